"""Memory-mapped data larger than the memory that is allowed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROWS, COLUMNS, ALLOWED = 800_000, 20, 96 * 2**20
CHILD = """
import resource, sys
from pathlib import Path
import numpy as np
from sipp_core.svm import CoresetSVC

def held():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmData" in x)
    return int(line.split()[1]) * 1024

X, y = np.load(sys.argv[1] + "/X.npy", mmap_mode="r"), np.load(sys.argv[1] + "/y.npy")
CoresetSVC(0.01, band=100, coreset_size=100).fit(X[:60_000], y[:60_000])
most = held() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
if sys.argv[3] == "hold":
    np.array(X)
print(CoresetSVC(0.01, target=1e-4, random_state=0).fit(X, y).certified_eps_)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_data_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(ROWS) < 0.5, 1, -1)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (ROWS, COLUMNS))
    X[:] = rng.normal(size=(ROWS, COLUMNS))
    X[:, 0] += y
    X.flush()
    assert X.nbytes > ALLOWED
    np.save(tmp_path / "y.npy", y)

    def run(how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path), str(ALLOWED), how],
            cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = run("map")
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) <= 1e-4
    # The limit is one: whoever holds the data does not get through.
    assert "MemoryError" in run("hold").stderr
