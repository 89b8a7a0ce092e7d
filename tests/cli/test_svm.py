"""`sipp svm`: fit, certify and coreset, on every kind of file, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

N = 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same points as npz, npy, csv and parquet."""
    place = tmp_path_factory.mktemp("points")
    rng = np.random.default_rng(0)
    y = np.where(rng.random(N) < 0.4, 1, 0)
    X = rng.normal(size=(N, 3))
    X[:, 0] += y
    np.savez(place / "data.npz", X=X, y=y)
    np.save(place / "X.npy", X)
    np.save(place / "y.npy", y)
    rows = np.column_stack([X, y])
    lines = ["a,b,c,label", *(",".join(map(repr, map(float, row))) for row in rows)]
    (place / "data.csv").write_text("\n".join(lines) + "\n")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "label": y, "c": X[:, 2]})
    pq.write_table(table, place / "data.parquet", row_group_size=1000)
    return place


def test_fit_certify_and_coreset(sipp: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    fit = ["svm", "fit", folder / "data.npz", "--C", "0.1", "--target", "1e-4", "--band", "500"]
    ended = sipp(*fit, "--out", model, "--json")
    assert ended.code == 0 and ended.json["eps"] <= 1e-4
    assert ended.json["classes"] == [0, 1]
    again = sipp("svm", "certify", model, folder / "data.npz", "--json")
    assert again.json["certificates"][0]["primal"] == pytest.approx(
        ended.json["certificates"][0]["primal"]
    )
    assert sipp("svm", "certify", model, folder / "data.npz", "--eps", "1e-12").code == 1
    out = tmp_path / "few.npz"
    drawn = sipp("svm", "coreset", folder / "data.npz", "--size", "300", "--out", out, "--json")
    assert drawn.code == 0 and drawn.json["kept"] <= 300
    with np.load(out) as few:
        assert few["sample_weight"].sum() == pytest.approx(N, rel=0.3)
        assert few["X"].shape == (drawn.json["kept"], 3)
    assert "certified eps" in sipp(*fit, "--out", model).out


def test_every_kind_of_file_is_the_same_data(
    sipp: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    found = []
    for name, extra in (
        ("data.npz", []),
        ("X.npy", ["--labels", folder / "y.npy"]),
        ("data.csv", []),
        ("data.parquet", ["--label", "label"]),
    ):
        ended = sipp(
            "svm", "fit", folder / name, *extra, "--C", "0.1", "--out",
            tmp_path / "model.safetensors", "--json",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        found.append(ended.json["certificates"][0])
    assert found[0]["primal"] == found[1]["primal"] == found[2]["primal"]
    # Another order of columns and other chunks: another path to the same optimum.
    assert found[3]["primal"] == pytest.approx(found[0]["primal"], rel=2e-3)


def test_refusals(refused: Callable[..., str], folder: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "m.safetensors"]
    assert "there is no file" in refused("svm", "fit", tmp_path / "no.npz", *out)
    assert "holds no labels" in refused("svm", "fit", folder / "X.npy", *out)
    assert "no column 'z'" in refused("svm", "fit", folder / "data.csv", "--label", "z", *out)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    assert "truncated, no NumPy" in refused("svm", "fit", tmp_path / "bad.npz", *out)
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    assert "damaged" in refused("svm", "certify", tmp_path / "bad.safetensors", folder / "data.npz")
    np.savez(tmp_path / "one.npz", X=np.ones((5, 2)), y=np.ones(5))
    assert "two classes" in refused("svm", "fit", tmp_path / "one.npz", *out)
    np.savez(tmp_path / "nan.npz", X=np.full((5, 2), np.nan), y=np.arange(5) % 2)
    assert "row 0, column 0" in refused("svm", "fit", tmp_path / "nan.npz", *out)
    assert not (tmp_path / "m.safetensors").exists()
