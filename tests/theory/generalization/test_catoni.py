"""GN-4 at its edges, and beside GN-3's kl form, which it never beats."""

import numpy as np
import pytest

from sipp_theory import catoni_bound


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_refusals(bad):
    given = {"error_rate": 0.1, "n": 10, "divergence": 1.0, "delta": 0.1}
    with pytest.raises(ValueError, match="alpha must be"):
        catoni_bound(**given, alpha=bad)
    with pytest.raises(ValueError, match=r"error_rate must lie in \[0, 1\]; found 1.1"):
        catoni_bound(**given | {"error_rate": 1.1})
