"""Many processes: the bytes of one, refusals that all ranks share, and a lost process named."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from sipp_core.runtime import exact_sum
from sipp_core.runtime.processes import processes
from tests import forked
from tests.core.runtime import many_processes

Seen = dict[str, dict[str, Any]]
SIZES = (1, 2, 3)  # processes in the group; 0 stands for one without a group


def run(folder: Path, sizes: list[int]) -> Seen:
    """Start the processes of several groups side by side; what each of them saw."""
    who = [(size, rank) for size in sizes for rank in range(max(1, size))]
    started = [
        forked.start(folder, os.environ, many_processes.main, folder, *one, strict=True)
        for one in who
    ]
    try:
        for one, (size, rank) in zip(started, who, strict=True):
            code, _, message = one.finish()
            # The last of three kills itself in the end.
            assert code == (-9 if (size, rank) == (3, 2) else 0), message
    finally:
        for one in started:
            one.process.kill()
    return {f"{s}-{r}": json.loads((folder / f"seen-{s}-{r}.json").read_text()) for s, r in who}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def seen(folder: Path) -> Seen:
    return run(folder, [0, *SIZES])


SAME = (
    "file, stream cut in 1",
    "file, stream cut in 7",
    "file, stream cut in 256",
    "file, batches of 1",
    "file, batches of 7",
    "file, batches of 256",
    "file, forward passes of 1",
    "file, forward passes of 7",
    "file, forward passes of 256",
    "file of a convolutional net",
    "file, sampled rows",
    "file, inputs set aside",
    "all statistics",
    "all statistics in float64",
    "all statistics of a convolutional net",
    "file by wanda",
    "file by snip",
    "all that baselines need",
    "more processes than batches",
    "uneven",
    "a certificate",
    "left as found",
)


def test_one_two_and_three_processes_give_the_same_bytes(seen: Seen) -> None:
    for name in SAME:
        expected = seen["0-0"][name]
        assert "Error" not in expected, expected
        assert {who: result[name] for who, result in seen.items()} == dict.fromkeys(seen, expected)
    # However the user's stream is cut, too; a forward pass of another size may round otherwise.
    for how in ("stream cut in", "batches of"):
        assert len({seen["0-0"][f"file, {how} {n}"] for n in (1, 7, 256)}) == 1


REFUSED = {
    "not finite": "ValueError: rank 1: layer '0' .*not finite: nan at row 16, input 3 of its batch "
    r"\(inputs from 64 on\)",
    # Inputs 80 and 300 are in batches 1 and 4; the earlier one is told, as in one process.
    "not finite twice": r"ValueError: rank 1: .*nan at row 16, .*\(inputs from 64 on\)",
    "of another shape": r"ValueError: calibration batch 1 has inputs of shape \(\d+, 5\)",
    "empty": "ValueError: calibration is empty",
    "without targets": "ValueError: calibration batch 0 has no targets",
    "never called": "ValueError: layer 'unused' was never called",
    "a part each": "ValueError: rank 1 has another stream of inputs than rank 0 .*the whole of the",
    "a certificate of another order": "ValueError: rank 1 has another inputs than rank 0",
    "another order": "ValueError: rank 1 has another stream of inputs than rank 0",
    "another budget": r"ValueError: rank 1 has another target .*0\.5.*0\.25",
    "another forward size": r"ValueError: rank 1 has another forward_size .*\(17 and 16\)",
    "another model": "ValueError: rank 1 has another model than rank 0",
}


@pytest.mark.parametrize("name", REFUSED)
def test_all_ranks_refuse_together_and_by_name(seen: Seen, name: str) -> None:
    messages = {result[name] for who, result in seen.items() if who[0] in "23"}
    if name == "a part each" and len(messages) == 2:  # 300 inputs can be cut in 2 and 3 equal parts
        messages = {message.partition("(")[0] + "the whole of the" for message in messages}
    for message in messages:
        assert_matches(REFUSED[name], message)
    for size in (2, 3):
        assert len({seen[f"{size}-{rank}"][name] for rank in range(size)}) == 1
    if name in seen["0-0"] and "rank" not in REFUSED[name]:
        assert messages == {seen["0-0"][name]}


def assert_matches(pattern: str, message: str) -> None:
    with pytest.raises(Exception, match=pattern):
        raise Exception(message)


def test_a_fault_of_the_model_is_said_with_its_type_everywhere(seen: Seen) -> None:
    message = (
        r"ValueError: rank 1: the model cannot run on calibration of shape .*: KeyError: '99'$"
    )
    for who in ("2-0", "3-0", "3-1", "3-2"):
        assert_matches(message, seen[who]["one raises"])


def test_a_calibration_made_together_is_pruned_alone(seen: Seen) -> None:
    for size in SIZES:
        assert seen[f"{size}-0"]["pruned alone"] == seen["0-0"]["pruned alone"]


@pytest.mark.parametrize(("size", "most"), [(3, 30), (2, 40)])
def test_a_lost_process_ends_the_call_in_bounded_time_and_nothing_is_written(
    seen: Seen, folder: Path, size: int, most: float
) -> None:
    """The last of three is killed, which is noticed at once; that of two hangs, and 4 s pass."""
    for rank in range(2 if size == 3 else 1):
        message, seconds = seen[f"{size}-{rank}"]["lost"]
        assert_matches(rf"ProcessLost: rank {rank}: another process .*has ended, does", message)
        assert "nothing has been written" in message and seconds < most
    assert not list(folder.glob("lost-*"))


# ---- sums without an order ---------------------------------------------------------------------


def test_exact_sums_do_not_depend_on_order_or_grouping() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.rand(5000, 6, generator=generator, dtype=torch.float64) ** 20 * 256
    for units, scale in ((exact_sum.SHARES, 1.0), (exact_sum.RATIOS, 1e30)):
        values = parts * torch.where(torch.arange(5000)[:, None] % 3 == 0, scale, 1.0)

        def total(values: torch.Tensor, units: tuple[int, ...] = units) -> exact_sum.ExactSum:
            result = exact_sum.ExactSum(values[0], units)
            for value in values:
                result.add(value)
            return result

        whole = total(values).value()
        order = torch.randperm(5000, generator=generator)
        assert torch.equal(total(values[order]).value(), whole)
        first, second = total(values[order[:137]]), total(values[order[137:]])
        second._carry()
        limbs = iter(second._limbs)
        first.merge(lambda limb, limbs=limbs: limb + next(limbs))
        assert torch.equal(first.value(), whole)
        columns = [math.fsum(column) for column in values.T.tolist()]
        exactly = torch.tensor(columns, dtype=torch.float64)
        # Each number is cut to a multiple of 2^-62 before it is added.
        torch.testing.assert_close(whole, exactly, rtol=2e-16, atol=2e-15)


def test_exact_sums_keep_infinity_and_the_largest_ratios() -> None:
    result = exact_sum.ExactSum(torch.zeros(3, dtype=torch.float64), exact_sum.RATIOS)
    for value in ([1.0, 1.0, 3e38], [math.inf, 1e200, 1.0], [1.0, 2.0, 3e38]):
        result.add(torch.tensor(value, dtype=torch.float64))
    assert result.value().tolist() == [math.inf, math.inf, math.fsum([3e38, 1.0, 3e38])]


def test_without_a_group_there_are_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes() is None
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    assert processes() is None
