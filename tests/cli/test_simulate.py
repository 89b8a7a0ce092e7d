"""`sipp simulate`: CoreNet's sentence about the network, and what the theorem asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[..., Any]


def test_what_is_needed_stands_beside_the_theorem(sipp: Call) -> None:
    words = ["simulate", "--model", "digits-mlp", "--train", "digits", "--data", "digits",
             "--delta", "0.4", "--eps", "0.9", "--keep", "0.9", "--keep", "0.01"]  # fmt: skip
    ended = sipp(*words, "--method", "sipp-poisson", "--json")
    assert ended.code == 0, ended.err
    content = json.loads(ended.out)
    assert content["unit"] == "share" and content["failures"][0] < 100
    assert content["kept"] < 17_024 and content["theorem"] is None


def test_refusals(refused: Call, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 64), np.float32))
    words = ("simulate", "--model", "digits-mlp", "--data", tmp_path / "a.npy")
    assert "--inputs names the held-out inputs" in refused(*words)
