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


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are wrong, each in one way; and good.csv with model.safetensors of it."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    from sipp_core.svm import CoresetSVC, save_model

    place = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 3)).round(3)
    rows = [f"{a},{b},{c},{k}" for (a, b, c), k in zip(X.tolist(), y.tolist(), strict=True)]

    def csv(name: str, lines: list[str], head: str = "a,b,c,label") -> None:
        (place / f"{name}.csv").write_text("\n".join([*filter(None, [head]), *lines]) + "\n")

    csv("good", rows)
    csv("empty", [], "")
    csv("names", [])
    csv("no-names", rows, "")
    csv("one-class", [f"{row[:-1]}1" for row in rows])
    csv("nan", [*rows, "nan,1,1,0"])
    csv("ragged", [*rows, "1,2"])
    csv("huge", [*rows, f"1{'0' * 400},1,1,0"])
    csv("words", [f"x,{row}" for row in rows], "word,a,b,c,label")
    csv("fractions", [f"{row[:-1]}0.5" for row in rows])
    csv("weights", [f"{row},-1" for row in rows], "a,b,c,label,w")
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), place / "no-label.parquet")
    pq.write_table(pa.table({"a": X[:, 0], "label": y}), place / "narrow.parquet")
    (place / "cut.parquet").write_bytes((place / "narrow.parquet").read_bytes()[:300])
    np.savez(place / "good.npz", X=X, y=y)
    (place / "cut.npz").write_bytes((place / "good.npz").read_bytes()[:600])
    np.savez(place / "other.npz", A=X)
    np.savez(place / "short.npz", X=X, y=y[:5])
    np.savez(place / "weightless.npz", X=X, y=y, sample_weight=np.zeros(40))
    save_model(CoresetSVC().fit(X, y), place / "model.safetensors")
    return place


FIT = [
    ("empty.csv", "Empty CSV file"),
    ("names.csv", "has a line of names and no rows"),
    ("no-names.csv", "must name the columns; found numbers"),
    ("one-class.csv", "found one class, 1"),
    ("nan.csv", "nan.csv: X holds nan in row 40, column 0"),
    ("ragged.csv", "Expected 4 columns, got 2"),
    ("huge.csv", "X holds inf in row 40, column 0"),
    ("words.csv", "column 'word' holds what is no number"),
    ("fractions.csv", "y holds 0.5, which is the label of no class"),
    ("weights.csv --label label --weight w", "sample_weight must be at least 0 and finite"),
    ("good.csv --label label --weight label", "label and weight both name the column 'label'"),
    ("good.csv --labels good.csv", "labels is for a .npy file"),
    ("no-label.parquet", "which is the label of no class"),
    ("no-label.parquet --label label", "has no column 'label'; it has a, b"),
    ("cut.parquet", "cut.parquet: "),
    ("cut.npz", "cut.npz is truncated"),
    ("other.npz", "must hold X and y; found A"),
    ("short.npz", "y has shape (5,), X 40 rows"),
    ("weightless.npz", "no row with weight above 0"),
    ("good.csv --C 0", "'C' parameter of CoresetSVC must be"),
    ("nowhere.csv --C -1", "'C' parameter of CoresetSVC must be"),
    ("good.csv --C 1e400", "'C' parameter of CoresetSVC must be"),
    ("good.csv --C 1e200", "C times the sum of sample_weight must be"),
    ("good.csv --target 1.5", "--target must be at most 1"),
    ("good.csv --target 0", "'target' parameter"),
    ("good.csv --band 0", "'band' parameter"),
    ("good.csv --seed -1", "'random_state' parameter"),
    ("good.csv --jobs 0", "n_jobs == 0"),
    ("good.csv --class-weight some", "'class_weight' parameter"),
]


@pytest.mark.parametrize(("words", "message"), FIT)
def test_fits_that_are_refused(
    refused: Callable[..., str], odd: Path, tmp_path: Path, words: str, message: str
) -> None:
    data, *more = words.split()
    assert message in refused("svm", "fit", odd / data, *more, "--out", tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("narrow.parquet", "the model was fitted to 3 columns; the data have 1"),
        ("weightless.npz", "there is no point with weight above 0"),
        ("one-class.csv", "found only points of class 1"),
        ("good.csv --eps -1", "--eps must be at least 0"),
        ("cut.npz", "cut.npz is truncated"),
        ("nowhere.npz", "there is no file"),
    ],
)
def test_certificates_that_are_refused(
    refused: Callable[..., str], odd: Path, words: str, message: str
) -> None:
    data, *more = words.split()
    assert message in refused("svm", "certify", odd / "model.safetensors", odd / data, *more)
    assert "damaged" in refused("svm", "certify", odd / "cut.npz", odd / "good.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("good.csv --size 0", "'size' parameter of SVMCoreset must be"),
        ("good.csv --size 41", "--size must be at most the points of"),
        ("good.csv --size 99999999999999999999", "'size' parameter of SVMCoreset must be"),
        ("good.csv --method control-variate", "exact linear part"),
        ("good.csv --method some", "'method' parameter"),
        ("good.csv --C 0", "'C' parameter of SVMCoreset must be"),
        ("one-class.csv --size 10", "a coreset is for two classes"),
        ("nan.csv --size 10", "nan.csv: X holds nan in row 40"),
        ("weightless.npz --size 10", "no row with weight above 0"),
    ],
)
def test_coresets_that_are_refused(
    refused: Callable[..., str], odd: Path, tmp_path: Path, words: str, message: str
) -> None:
    data, *more = words.split()
    assert message in refused("svm", "coreset", odd / data, *more, "--out", tmp_path / "c.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["fit", "coreset"])
def test_the_data_are_never_written_over(
    refused: Callable[..., str], odd: Path, command: str
) -> None:
    before = (odd / "good.npz").read_bytes()
    told = refused("svm", command, odd / "good.npz", "--out", odd / "good.npz")
    assert "is the file that DATA reads" in told
    assert (odd / "good.npz").read_bytes() == before
