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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--radius", 0.1, "--out", "c", "--delta", 0.1, "--eps", 1),
         "--delta, --eps, --out is for certificates on held-out inputs"),
        (("--region", "0:1", "--score", "kl"), "--score is for certificates on held-out inputs"),
        (("--count", 3), "--count has no effect without --radius"),
        (("--symbols", 3), "--symbols has no effect without --region or --radius"),
        (("--region", "0:1", "--count", 3), "--count has no effect without --radius"),
        (("--radius", 0.1, "--count", 0), "--count must be at least 1; found 0"),
        (("--radius", 0.1, "--count", 31), "--count must be from 1 to the 30 inputs; found 31"),
        (("--radius", -0.1), "--radius must be finite and at least 0; found -0.1"),
        (("--radius", "nan"), "--radius must be finite and at least 0; found nan"),
        (("--radius", 0.1, "--symbols", -1), "--symbols must be at least 0; found -1"),
        (("--radius", 0.1, "--symbols", 9), "symbols=9 has no effect"),
        (("--radius", 0.1, "--region", "3:4"), "30 of the inputs lie outside within"),
        (("--region", "nan:1"), "region must be 'data', or LOW:HIGH"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_refused(files: Path, words: tuple[object, ...], said: str) -> None:
    net = files / "net.safetensors"
    both = ("--original", net, "--pruned", net, "--model", "digits-mlp", "--inputs",
            files / "x.pt")  # fmt: skip
    code, out = call("certify", *both, *words)
    assert code == 2 and said in " ".join(out.split())


def test_symbols_reach_the_bound_of_a_wide_network(tmp_path: Path) -> None:
    """Two convolutions of 3,072 values each: intervals say less than affine forms."""
    (tmp_path / "wide_net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, "
        "padding=1), nn.ReLU(), nn.Conv2d(3, 1, 3, stride=8), nn.Flatten(), nn.Linear(16, 2))\n"
    )
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        from wide_net import make  # pyright: ignore[reportMissingImports]

        torch.manual_seed(0)
        net = make()
        for name, scale in (("a", 1.0), ("b", 0.98)):
            state = {k: v * scale for k, v in net.state_dict().items()}
            save_file(state, tmp_path / f"{name}.safetensors")
        torch.save(torch.rand(1, 1, 32, 32), tmp_path / "x.pt")
        bounds = []
        for symbols in (0, 40, None):
            more = () if symbols is None else ("--symbols", symbols)
            _, said = call(
                "certify", "--original", tmp_path / "a.safetensors", "--pruned",
                tmp_path / "b.safetensors", "--model", "wide_net:make", "--inputs",
                tmp_path / "x.pt", "--radius", 0.02, "--json", *more,
            )  # fmt: skip
            bounds.append(json.loads(said)["bound"][0])
        assert bounds[0] >= bounds[1] > bounds[2]
    finally:
        sys.path.remove(str(tmp_path))
