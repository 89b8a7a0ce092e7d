"""The matrix of promises: its covering, and a run of all that is taken up again."""

from __future__ import annotations

import itertools
import json
import runpy
import sys
from pathlib import Path

import pytest

from proofs_check.keeping import matrix


def test_a_covering_holds_every_pair_of_levels() -> None:
    levels = [matrix._levels(one) for one in matrix.accepted()]

    def pairs(places: object) -> set[tuple[object, ...]]:
        assert isinstance(places, (tuple, range))
        return {
            (i, j, levels[place][i], levels[place][j])
            for place in places
            for i, j in itertools.combinations(range(7), 2)
        }

    places = matrix.covering(2)
    assert pairs(places) == pairs(range(len(levels)))
    assert len(places) < len(levels) / 100 and len(set(places)) == len(places)


def test_a_run_of_all_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, parts = tmp_path / "looks.jsonl", len(matrix.accepted()) // 2
    monkeypatch.setattr(sys, "argv", ["keeping", str(path), "1", str(parts)])
    monkeypatch.delitem(sys.modules, "proofs_check.keeping.__main__", raising=False)
    runpy.run_module("proofs_check.keeping", run_name="__main__")
    lines = path.read_text().splitlines()
    assert [json.loads(line)["place"] for line in lines] == [1, 1 + parts]
    assert not any(json.loads(line)["broken"] for line in lines)
    path.write_text(lines[0] + "\n")
    runpy.run_module("proofs_check.keeping", run_name="__main__")
    assert path.read_text().splitlines() == lines
