"""Shared by all tests: seeded Hypothesis, one torch thread a worker, and where the data lie."""

from __future__ import annotations

import gc
import importlib
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

# Several workers share the cores, and results must not depend on how many threads there are.
torch.set_num_threads(1)
importlib.import_module("scipy.linalg")  # brings a BLAS beside numpy's
threadpool_limits(limits=1, user_api="blas")

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    deadline=None,
    max_examples=1000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return ROOT


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Let the first worker that needs a folder fill it, and all others read it."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path = place / name
        with FileLock(f"{path}.lock"):
            if not path.is_dir():
                filled = tmp_path_factory.mktemp(name)
                fill(filled)
                filled.rename(path)
        return path

    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("SIPP_DATA_DIR") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist (name a folder with SIPP_DATA_DIR)")
    return folder


@pytest.fixture(scope="session")
def mnist_dir(data_dir: Path) -> Path:
    """Folder of the real MNIST files; the test is skipped where they are missing."""
    for folder in (data_dir / "mnist", data_dir):
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            return folder
    pytest.skip(f"no real MNIST in {data_dir} or its folder mnist")


@pytest.fixture(scope="session")
def cifar_dir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a few hundred real CIFAR-10 images, the first of each class.

    All 60,000 take ten seconds to decode, and minutes to be run through a network.
    """
    archive = data_dir / "cifar10" / "cifar10-jpeg.zip"
    if not archive.is_file():
        pytest.skip(f"no real CIFAR-10: {archive} does not exist")
    folder = tmp_path_factory.mktemp("cifar10")
    taken: Counter[str] = Counter()
    with zipfile.ZipFile(archive) as source:
        for name in sorted(source.namelist()):
            part = name.rpartition("/")[0]
            if name.endswith(".jpg") and taken[part] < (60 if name.startswith("test") else 30):
                source.extract(name, folder)
                taken[part] += 1
    return folder


def pytest_collection_finish() -> None:
    """Keep the tests themselves from the garbage collector, which looks at them again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, with the reason."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
