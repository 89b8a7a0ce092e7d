"""`sipp check`: what it shows of the first check, and how it ends when a claim is refuted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import proofs_check

Call = Callable[..., Any]


def test_claims_hold_on_a_small_network(sipp: Call, weights: Path) -> None:
    words = ("check", "--weights", weights, "--eps", 0.5, "--delta", 0.1, "--trials", 300,
             "--neurons", 1, "--calibration-size", 24, "--fresh-size", 24)  # fmt: skip
    ended = sipp(*words)
    assert ended.code == 0 and "No claim was refuted" in ended.out
    for word in ("fc1", "fc3", "SP-2", "SP-5x", "SP-8", "asked/needed"):
        assert word in ended.out
    found = sipp(*words, "--json").json
    assert found["refuted"] == [] and len(found["rows"]) == 3 and found["trials"] == 300


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_refuted_claim_is_told_by_the_exit_code(
    sipp: Call, weights: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    seen: dict[str, Any] = {}

    class Refuted:
        rows, refuted, eps, delta, trials = (), ("SP-3",), 0.1, 0.05, 7

        def summary(self) -> dict[str, object]:
            return {"refuted": list(self.refuted)}

    def first_check(model: Any, calibration: Any, fresh: Any, **asked: Any) -> Refuted:
        seen.update(asked, calibration=calibration, fresh=fresh)
        return Refuted()

    monkeypatch.setattr(proofs_check, "first_check", first_check)
    ended = sipp(
        "check", "--weights", weights, "--trials", 7, "--seed", 2, "--fresh-size", 9, *form
    )
    assert ended.code == 1 and "SP-3" in ended.out
    assert (seen["trials"], seen["seed"], seen["neurons_per_layer"]) == (7, 2, 2)
    assert (len(seen["calibration"]), len(seen["fresh"])) == (256, 9)


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--eps", 0), "eps"),
        (("--delta", 1), "delta"),
        (("--trials", 0), "--trials"),
        (("--neurons", 0), "--neurons"),
        (("--data", "cifar"), "'cifar'"),
        (("--device", "abacus"), "'abacus'"),
        (("--fresh-size", 361), "--fresh-size"),
        (("--calibration-size", 0), "--calibration-size"),
        (("--weights", "none.safetensors"), "none.safetensors"),
    ],
)
def test_bad_options_are_refused_before_training(
    refused: Callable[..., str], words: tuple[object, ...], culprit: str
) -> None:
    assert culprit in refused("check", *words)
