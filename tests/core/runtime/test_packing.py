"""Arrays in fewer bytes are read again as they were."""

from __future__ import annotations

import pytest
import torch

from sipp_core.runtime.packing import pack, unpack


@pytest.mark.parametrize("width", [128, 255, 256, 257, 2**15, 2**15 + 1])
def test_rows_as_wide_as_their_index_type_counts_are_read_again(width: int) -> None:
    tensor = torch.zeros(8, width)
    tensor[:, 0], tensor[3, width - 1] = 1.0, 2.0
    parts = pack("a", tensor)
    assert "columns/a" in parts
    result = unpack("a", parts, tensor)
    assert result is not None and torch.equal(result, tensor)
