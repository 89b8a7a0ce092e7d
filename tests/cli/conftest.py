"""One small trained network for all tests of the command line, and a way to call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from sipp_cli.main import app


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


@pytest.fixture
def sipp() -> Callable[..., Ended]:
    """Run a command in this process."""

    def call(*words: object) -> Ended:
        result = CliRunner().invoke(app, [str(word) for word in words], prog_name="sipp")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def refused(sipp: Callable[..., Ended]) -> Callable[..., str]:
    """Run a command that must be refused; its message, which is one line."""

    def call(*words: object) -> str:
        ended = sipp(*words)
        assert ended.code == 2, (ended.out, ended.err)
        assert ended.out == ""
        lines = ended.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith(f"sipp {words[0]}: "), ended.err
        return lines[0]

    return call


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a digits-mlp that has learnt a little."""
    from sipp_core.zoo import datasets, models, training

    model = models.build("digits-mlp")
    training.train(model, datasets.load("digits"), training.Recipe(3, 64, 3e-3))
    path = tmp_path_factory.mktemp("trained") / "original.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def pruned(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That network, pruned on some training digits."""
    path = tmp_path_factory.mktemp("pruned") / "pruned.safetensors"
    words = ["prune", "--model", "digits-mlp", "--weights", str(weights), "--data", "digits",
             "--keep", "0.5", "--calibration-size", "100", "--out", str(path)]  # fmt: skip
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    return path


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every recipe a matter of a second."""
    from sipp_core.zoo import training

    monkeypatch.setattr(training, "recipe", lambda *_: training.Recipe(1, 64, 3e-3))
