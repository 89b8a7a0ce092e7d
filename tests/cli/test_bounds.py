"""`sipp bounds`: the ladder, calibration sizes, exit codes, and no torch at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sipp_theory

Call = Callable[..., Any]


def answers(neuron: dict[str, Any], what: str) -> dict[str, float]:
    return {entry["kind"]: float(entry[what]) for entry in neuron["bounds"]}


def test_sizes_are_those_of_the_theory(sipp: Call) -> None:
    ended = sipp("bounds", "--sensitivity-sum", 9, "--sensitivity-sum", 4, "--eps", 0.1,
                 "--eta", 410, "--eta-star", 784, "--json")  # fmt: skip
    assert ended.code == 0
    nine, four = ended.json["neurons"]
    for neuron, total in ((nine, 9.0), (four, 4.0)):
        assert neuron["sensitivity_sum"] == total
        known = {"sensitivity_sum": total, "eps": 0.1, "delta": 0.05}
        assert answers(neuron, "size") == {
            "corenet": sipp_theory.sample_size("corenet", eta=410, eta_star=784, **known),
            "bernstein": sipp_theory.sample_size("bernstein", **known),
            "kl": sipp_theory.sample_size("kl", **known),
        }
    # SP-2's proof needs (6 + 2 eps)/3 where it prints 8; the rest is M - 1 against M.
    assert nine["corenet_looseness"] == pytest.approx(24 / 6.2, rel=0.02)


def test_errors_are_the_inverse(sipp: Call) -> None:
    ended = sipp("bounds", "--sensitivity-sum", 9, "--m", 6099, "--kind", "bernstein", "--json")
    (neuron,) = ended.json["neurons"]
    assert ended.code == 0 and 0.0999 < answers(neuron, "error")["bernstein"] <= 0.1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--eps", 0.1, "--weights", 6070), 1),
        (("--eps", 0.1, "--weights", 6071), 0),
        (("--m", 5), 1),
        (("--m", 0), 1),
        (("--m", 6071), 0),
    ],
)
def test_a_vacuous_bound_is_told_by_the_exit_code(
    sipp: Call, words: tuple[object, ...], code: int
) -> None:
    ended = sipp("bounds", "--sensitivity-sum", 9, "--kind", "kl", *words)
    assert ended.code == code
    assert ("vacuous" in ended.out) == (code == 1)
    assert sipp("bounds", "--sensitivity-sum", 9, "--kind", "kl", *words, "--json").json[
        "vacuous"
    ] == (code == 1)


def test_calibration_sizes(sipp: Call) -> None:
    ended = sipp("bounds", "--eta", 410, "--eta-star", 300, "--delta", 1e-16, "--points", 500,
                 "--dimension", 20, "--json")  # fmt: skip
    corenet, sipps, scenario = ended.json["calibration"]
    assert sipps["points"] == 152 and corenet["points"] > sipps["points"]
    assert scenario["violation"] == pytest.approx(0.0553, abs=1e-4)
    assert sipp("bounds", "--points", 10, "--dimension", 20).code == 1


def test_shares_give_the_whole_ladder(sipp: Call, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(6), size=5)
    np.save(tmp_path / "g.npy", rows)
    ended = sipp("bounds", "--shares", tmp_path / "g.npy", "--eps", 0.3, "--json")
    (neuron,) = ended.json["neurons"]
    sizes = answers(neuron, "size")
    assert neuron["sensitivity_sum"] == pytest.approx(rows.max(axis=0).sum())
    assert list(sizes) == ["bernstein", "kl", "cramer", "exact"]
    assert sizes["bernstein"] >= sizes["kl"] >= sizes["cramer"] >= sizes["exact"] >= 1


def test_given_probabilities_leave_the_bounds_that_know_only_the_sum(
    sipp: Call, tmp_path: Path
) -> None:
    np.save(tmp_path / "g.npy", [[0.5, 0.5], [1.0, 0.0]])
    np.save(tmp_path / "q.npy", [0.5, 0.5])
    words = ("--shares", tmp_path / "g.npy", "--probabilities", tmp_path / "q.npy", "--eps", 0.5)
    (neuron,) = sipp("bounds", *words, "--kind", "cramer", "--json").json["neurons"]
    assert answers(neuron, "size") == {"cramer": 29.0}
    assert neuron["sensitivity_sum"] is None
    assert "SP-5x" in sipp("bounds", *words).out


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        ((), "--sensitivity-sum"),
        (("--sensitivity-sum", 9), "--eps"),
        (("--sensitivity-sum", 9, "--eps", 0.1, "--m", 5), "--eps"),
        (("--sensitivity-sum", 9, "--eps", 1.5), "eps must be strictly between 0 and 1; found 1.5"),
        (("--sensitivity-sum", 9, "--eps", 0.1, "--delta", 0), "delta"),
        (("--sensitivity-sum", 0.5, "--eps", 0.1), "sensitivity_sum"),
        (("--sensitivity-sum", "nan", "--eps", 0.1), "sensitivity_sum"),
        (("--sensitivity-sum", "nine", "--eps", 0.1), "--sensitivity-sum"),
        (("--sensitivity-sum", 9, "--eps", 0.1, "--kind", "magic"), "'magic'"),
        (("--sensitivity-sum", 9, "--eps", 0.1, "--kind", "corenet"), "--eta"),
        (("--sensitivity-sum", 9, "--eps", 0.1, "--kind", "exact"), "--shares"),
        (("--eta", 410), "--eta-star"),
        (("--points", 410), "--dimension"),
        (("--probabilities", "q.npy"), "--shares"),
        (("--shares", "none.npy", "--eps", 0.1), "none.npy"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_bad_numbers_are_refused_by_name(
    refused: Callable[..., str], words: tuple[object, ...], culprit: str
) -> None:
    assert culprit in refused("bounds", *words)


@pytest.mark.parametrize(
    ("rows", "culprit"),
    [([[0.5, float("nan")]], "(0, 1)"), ([[0.0, 0.0]], "dead"), ([["a", "b"]], "numbers")],
)
def test_bad_shares_are_refused(
    refused: Callable[..., str], tmp_path: Path, rows: list[list[object]], culprit: str
) -> None:
    np.save(tmp_path / "g.npy", np.asarray(rows))
    assert culprit in refused("bounds", "--shares", tmp_path / "g.npy", "--eps", 0.1)


@pytest.mark.parametrize("call", ["-m sipp_cli", "-c"])
def test_torch_is_never_imported(repository: Path, tmp_path: Path, call: str) -> None:
    """Once as users call it, with a torch that cannot be imported; once asking what was loaded."""
    np.save(tmp_path / "g.npy", [[0.5, 0.5], [1.0, 0.0]])
    words = ["bounds", "--sensitivity-sum", "9", "--eps", "0.1", "--eta", "410", "--eta-star", "9",
             "--shares", str(tmp_path / "g.npy"), "--json"]  # fmt: skip
    (tmp_path / "torch.py").write_text("raise ImportError('torch must stay out')\n")
    code = (
        "import sys; from sipp_cli.main import run; "
        f"assert run({words}) == 0; assert 'torch' not in sys.modules"
    )
    arguments = [*call.split(), *words] if call != "-c" else [call, code]
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=repository,
        env={"PYTHONPATH": f"{tmp_path}:{repository}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["neurons"]) == 2
