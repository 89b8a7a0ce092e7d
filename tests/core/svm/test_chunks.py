"""Passes as map and reduce: order, lost workers, files, and the model file."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from sipp_core.svm import CoresetSVC, chunks, load_model, read_chunks, save_model, scan
from sipp_core.svm.sampling import PrioritySample, priority_sample


def test_any_backend_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(9000) < 0.5, 1, 0)
    X = rng.normal(size=(9000, 2)) + y[:, None]
    data = chunks.ArrayChunks(X, y, np.ones(9000))
    one = CoresetSVC(0.1, band=300, coreset_size=300, random_state=0).fit_chunks(data, scan(data))
    with joblib.parallel_backend("threading"):
        two = CoresetSVC(0.1, band=300, coreset_size=300, random_state=0, n_jobs=2).fit_chunks(
            data, scan(data, 2)
        )
    assert one.coef_.tobytes() == two.coef_.tobytes()
    assert one.certificates_[0].dual == two.certificates_[0].dual


def test_the_number_of_blas_threads_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(150_000) < 0.5, 1, 0)
    X = rng.normal(size=(150_000, 20)) + y[:, None] / 4
    data, bits = chunks.ArrayChunks(X, y, np.ones(150_000)), set[bytes]()
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            made = CoresetSVC(0.1, band=5000, coreset_size=5000, random_state=0)
            bits.add(made.fit_chunks(data, scan(data)).coef_.tobytes())
    assert len(bits) == 1


def dies_once(folder: Path, number: int) -> int:
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    time.sleep(0.02 * (number % 3))  # they arrive in another order
    return 2 * number


def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bits(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    rng = np.random.default_rng(0)
    y = np.where(rng.random(150_000) < 0.5, 1, 0)
    np.save(tmp_path / "X.npy", rng.normal(size=(150_000, 20)) + y[:, None] / 4)
    np.save(tmp_path / "y.npy", y)
    data = read_chunks(tmp_path / "X.npy", labels=tmp_path / "y.npy")
    assert len(data) == 3

    def fitted(n_jobs: int | None) -> CoresetSVC:
        made = CoresetSVC(0.1, band=5000, coreset_size=5000, random_state=0, n_jobs=n_jobs)
        return made.fit_chunks(data, scan(data, n_jobs))

    plain = fitted(None)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_backend("dask"),
    ):  # fmt: skip
        lost = list(chunks.mapped(functools.partial(dies_once, tmp_path), 7, -1))
        shared = fitted(-1)
    assert (tmp_path / "died").exists() and lost == [0, 2, 4, 6, 8, 10, 12]
    assert shared.coef_.tobytes() == plain.coef_.tobytes()
    assert shared.certificates_[0].dual == plain.certificates_[0].dual


def test_priority_samples_merge_in_any_cut_and_are_unbiased() -> None:
    rng = np.random.default_rng(1)
    X, score = rng.normal(size=(200, 1)), rng.gamma(0.5, 1, 200) + 0.05
    ones = np.ones(200)

    def drawn(uniform: np.ndarray, cuts: list[int]) -> PrioritySample:
        parts = [
            priority_sample(20, X[a:b], ones[a:b], ones[a:b], score[a:b], uniform[a:b], a)
            for a, b in zip([0, *cuts], [*cuts, 200], strict=True)
        ]
        return functools.reduce(lambda one, other: one.merge(other), parts)

    totals: list[float] = []
    uniform = rng.random(200)
    whole = drawn(uniform, [])
    for _ in range(2000):
        uniform = rng.random(200)
        whole = drawn(uniform, [])
        assert len(whole.place) == 20
        totals.append(whole.factor.sum())
    cut = drawn(uniform, [30, 31, 150])
    assert cut.place.tolist() == whole.place.tolist() and cut.threshold == whole.threshold
    # A sum of ones: 200 in the mean.
    assert abs(np.mean(totals) - 200) < 4 * np.std(totals) / np.sqrt(2000)


def test_a_model_file_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    model = CoresetSVC().fit([[0.0], [1.0], [3.0], [4.0]], ["a", "a", "b", "b"])
    path = save_model(model, tmp_path / "model.safetensors")
    again = load_model(path)
    assert list(again.predict([[0.2]])) == ["a"]
    content = path.read_bytes()
    for changed in (
        content[:-8],
        content.replace(b"sipp-svm-2", b"sipp-svm-9"),
        content[:-1] + bytes([content[-1] ^ 1]),
        content.replace(b'\\"C\\": 1.0', b'\\"C\\":-1.0'),
        content.replace(b'\\"a\\", \\"b\\"', b'\\"a\\"     '),
        b"",
    ):
        assert changed != content
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="damaged or no model"):
            load_model(path)
    # Files of the old format have no checksum, and are read as before.
    path.write_bytes(content.replace(b"sipp-svm-2", b"sipp-svm-1"))
    assert list(load_model(path).predict([[0.2]])) == ["a"]


def test_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_chunks(tmp_path / "none.npz")
    (tmp_path / "data.txt").write_text("1")
    with pytest.raises(ValueError, match="must end in one of"):
        read_chunks(tmp_path / "data.txt")
    np.savez(tmp_path / "data.npz", X=[[1.0]])
    with pytest.raises(ValueError, match="must hold X and y; found X"):
        read_chunks(tmp_path / "data.npz")
    np.savez(tmp_path / "data.npz", X=[[1.0]], y=[1], sample_weight=[-1.0])
    with pytest.raises(ValueError, match="sample_weight must be at least 0"):
        read_chunks(tmp_path / "data.npz")
    pytest.importorskip("pyarrow")
    (tmp_path / "data.csv").write_text("a,label\n1,0\nx,1\n")
    with pytest.raises(ValueError, match="data.csv: column 'a' holds what is no number"):
        read_chunks(tmp_path / "data.csv")
    for text, words in (("a,a,label\n1,2,0\n", "more than one column 'a'"),
                        ("a,label\n", "no rows"), ("label\n1\n", "no column but the labels"),
                        ("", "data.csv: Empty CSV file")):  # fmt: skip
        (tmp_path / "data.csv").write_text(text)
        with pytest.raises(ValueError, match=words):
            read_chunks(tmp_path / "data.csv")
    np.save(tmp_path / "rows.npy", [[1.0], [np.nan]])
    np.save(tmp_path / "labels.npy", [[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"rows.npy has shape \(2, 1\), its labels \(2, 2\)"):
        read_chunks(tmp_path / "rows.npy", labels=tmp_path / "labels.npy")
    np.save(tmp_path / "labels.npy", [0, 1])
    with pytest.raises(ValueError, match=r"rows\.npy: X holds nan in row 1"):
        scan(read_chunks(tmp_path / "rows.npy", labels=tmp_path / "labels.npy"))


def test_a_few_bytes_that_stand_for_many_rows_are_refused(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file, count = tmp_path / "one.parquet", 2**22 + 1
    table = arrow.table({"x": np.zeros(count, np.int8), "y": np.zeros(count, np.int8)})
    parquet.write_table(table, file, compression="zstd", row_group_size=count)
    with pytest.raises(ValueError, match=r"row group 0 of .*one.parquet says .* 4,194,305 rows"):
        scan(read_chunks(file))
    parquet.write_table(table.slice(0, 2**20), file, row_group_size=2**18)
    assert scan(read_chunks(file)) == {0: 2.0**20}
