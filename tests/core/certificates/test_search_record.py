"""A search for the sparsest network that was stopped goes on, with the bits of one that was not."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sipp_core import SparsestResult, sparsest

KEEPS = (0.9, 0.8, 0.6, 0.5, 0.02)


def inputs(n: int, seed: int) -> Tensor:
    return torch.rand(n, 6, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))


@pytest.fixture
def pruned(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keep ratios that were pruned to, in their order."""
    home = sys.modules["sipp_core.certificates.sparsest"]
    result, real = list[float](), home.prune

    def noted(*given: Any, keep: float, **named: Any) -> Any:
        result.append(keep)
        return real(*given, keep=keep, **named)

    monkeypatch.setattr(home, "prune", noted)
    return result


def search(model: nn.Module, store: Path | None, **changes: Any) -> SparsestResult:
    given: dict[str, Any] = {"eps": 0.6, "delta": 0.1, "keeps": KEEPS, "method": "sipp-poisson"}
    x = inputs(200, 1)
    return sparsest(model, x, inputs(300, 2), confidence=0.95, store=store, **(given | changes))


def stopped_at(keep: float) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, what: str) -> None:
        if what == f"keep {keep:g}":
            raise KeyboardInterrupt

    return progress


def other_form(text: str) -> str:
    """A record that is whole, of a form that is not known."""
    made = json.loads(text)["made"] | {"form": 2}
    return json.dumps(
        {"made": made, "sha256": hashlib.sha256(json.dumps(made).encode()).hexdigest()}
    )


def same(first: SparsestResult, second: SparsestResult, folder: Path) -> bool:
    assert first.result is not None and second.result is not None
    a, b = (r.save(folder / "net").read_bytes() for r in (first.result, second.result))
    return a == b and first.summary() == second.summary()


@pytest.mark.parametrize("target", ["error", "accuracy"])
def test_a_stopped_search_goes_on_with_the_same_bits(
    model: nn.Module, pruned: list[float], tmp_path: Path, target: str
) -> None:
    more: dict[str, Any] = {}
    if target == "accuracy":
        truth = model(inputs(300, 2)).argmax(1)
        more = {"eps": None, "delta": None, "drop": 0.2, "labels": truth}
    whole = search(model, None, **more)
    tested = list(whole.keeps)
    assert pruned == tested and 3 <= len(tested) <= len(KEEPS)
    pruned.clear()
    with pytest.raises(KeyboardInterrupt):
        search(model, tmp_path, progress=stopped_at(tested[-1]), **more)
    assert pruned == tested[:-1]
    pruned.clear()
    assert same(search(model, tmp_path, **more), whole, tmp_path / "files")
    # The last that passed is needed as a network, and so made again.
    assert pruned == [tested[-1], tested[-2]]
    pruned.clear()
    assert same(search(model, tmp_path, **more), whole, tmp_path / "files")
    assert pruned == [tested[-2]]


def test_another_search_finds_nothing_there(
    model: nn.Module, pruned: list[float], tmp_path: Path
) -> None:
    search(model, tmp_path, keeps=(0.9, 0.8))
    for changes in ({"eps": 0.31}, {"seed": 1}, {"method": "magnitude"}, {"keeps": (0.9, 0.7)}):
        pruned.clear()
        search(model, tmp_path, **({"keeps": (0.9, 0.8)} | changes))
        assert len(pruned) == 2
    assert len(list(tmp_path.iterdir())) == 5
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    pruned.clear()
    search(model, tmp_path, keeps=(0.9, 0.8))
    assert pruned == [0.9, 0.8]


@pytest.mark.parametrize("damage", ["cut", "altered", "other form", "no JSON", "deep"])
def test_a_damaged_record_counts_as_none(
    model: nn.Module, pruned: list[float], tmp_path: Path, damage: str
) -> None:
    search(model, tmp_path, keeps=(0.9, 0.8))
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    path.write_text(
        {
            "cut": text[:-20],
            "altered": text.replace('count": 0', 'count": 1'),
            "other form": other_form(text),
            "no JSON": "\x00",
            "deep": "[" * 100_000,
        }[damage]
    )
    assert path.read_text() != text
    pruned.clear()
    search(model, tmp_path, keeps=(0.9, 0.8))
    assert pruned == [0.9, 0.8] and path.read_text() == text


def test_a_record_of_other_networks_is_refused(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = sys.modules["sipp_core.certificates.sparsest"]
    with monkeypatch.context() as other:
        other.setattr(home, "fingerprint", lambda network: "0" * 64)
        search(model, tmp_path, keeps=(0.9, 0.8))
    (path,) = tmp_path.iterdir()
    real = home.SearchRecord

    def placed(*given: Any) -> Any:
        result = real(*given)
        result.tested = [
            home.Tested(**one) for one in json.loads(path.read_text())["made"]["tested"]
        ]
        return result

    monkeypatch.setattr(home, "SearchRecord", placed)
    with pytest.raises(ValueError, match="holds another network at keep=0.8 .* remove it"):
        search(model, tmp_path, keeps=(0.9, 0.8))
