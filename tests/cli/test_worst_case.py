"""`sipp prune --method neurons-...` and `sipp certify --region` or `--radius`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from sipp_cli.main import app
from sipp_core import models


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("neurons")
    save_file(models.build("digits-mlp", 1).state_dict(), folder / "net.safetensors")
    torch.save(torch.rand(30, 64, generator=torch.Generator().manual_seed(0)), folder / "x.pt")
    return folder


def call(*words: object) -> tuple[int, str]:
    ended = CliRunner().invoke(app, [str(word) for word in words])
    return ended.exit_code, ended.output


def test_neurons_go_and_are_certified(files: Path) -> None:
    given = ("--weights", files / "net.safetensors", "--model", "digits-mlp")
    code, said = call(
        "prune", *given, "--data", files / "x.pt", "--method", "neurons-norm", "--keep", 0.6,
        "--set", "region=0:1", "--out", files / "small",
    )  # fmt: skip
    assert code == 0 and "region: the box [0, 1] of 64 inputs" in said
    around = ("certify", files / "small", *given, "--inputs", files / "x.pt", "--json")
    code, said = call(*around, "--radius", 0.001, "--region", "0:1", "--count", 5)
    found = json.loads(said)
    assert len(found["bound"]) == 5 and code == (0 if found["share"] else 1)
    assert all(a <= b for a, b in zip(found["attack"], found["bound"], strict=True))
    code, said = call(*around, "--region", "1:0")
    assert code == 2 and "region must be" in said
    code, said = call(*around, "--radius", 0.1, "--out", files / "certificate")
    assert code == 2 and "--out and --embed" in said
