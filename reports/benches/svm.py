"""Linear SVMs: CPU time and memory to a certified suboptimality, by our solvers and by others."""

from __future__ import annotations

import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from reports.benches.children import child, no_memory
from reports.benches.findings import Check, Findings, Measured
from reports.benches.subjects import Setting

Json = dict[str, Any]
Found = tuple[np.ndarray, float]
FAMILY = "svm"
COLUMNS, C = 20, 1.0
# What others must reach by the same certificate; ours goes on to `OURS`.
TARGET, OURS = 1e-3, 1e-5
FASTER, MOST_MIB = 50.0, 200.0
# CPU seconds that another solver may take.
PATIENCE = 600
MAPPED_MIB = 256


def run(setting: Setting) -> Findings:
    """Race the solvers, each in a process of its own, and fit a file larger than the memory."""
    n = setting.size(2000, 100_000, 1_000_000)
    case = f"{n:,} Gaussian points, d = {COLUMNS}, C = {C:g}"
    asked = {"n": n, "d": COLUMNS, "C": C, "seed": setting.seed, "patience": PATIENCE}
    skipped = no_memory(FAMILY, "memory")
    if skipped:
        return Findings(skipped=skipped)
    took = {name: child("svm", asked | {"solver": name}) for name in ("coreset", "newton")}
    took["linear svc"] = child("svm", asked | {"solver": "linear svc"})
    full = setting.scale == "full"
    ours = took["coreset"]
    measured = [
        _one(case, f"{name}, CPU time", row["cpu"], "s", note=_reached(row))
        for name, row in took.items()
    ]
    for name, least in (("linear svc", FASTER), ("newton", 1.0)):
        row = took[name]
        measured.append(
            _one(case, f"times less CPU time than {name}", row["cpu"] / ours["cpu"], "times",
                 target=least if full else None, note=_reached(row))
        )  # fmt: skip
    measured.append(
        _one(
            case,
            "memory beside the data",
            ours["mib"],
            "MiB",
            target=MOST_MIB if full else None,
            sense="at most",
        )
    )
    # Twice the memory that is allowed, and more.
    rows = setting.size(60_000, 4_000_000, 10_000_000)
    mapped = child("svm_mapped", {"rows": rows, "mib": MAPPED_MIB, "seed": setting.seed})
    where = f"{rows:,} mapped points, {mapped['file']:.0f} MiB, {MAPPED_MIB} MiB allowed"
    measured.append(_one(where, "coreset, CPU time", mapped["cpu"], "s", note=_reached(mapped)))
    reached = max(ours["eps"], mapped["eps"])
    check = Check(FAMILY, f"certified {OURS:g}", reached <= OURS, f"certified {reached:.2g}")
    return Findings(tuple(measured), checks=(check,))


def _one(case: str, what: str, value: float, unit: str, **more: Any) -> Measured:
    return Measured(FAMILY, case, what, value, value, value, unit, **more)


def _reached(row: Json) -> str:
    return f"certified {row['eps']:.1e}" + ("; stopped there" if row.get("capped") else "")


# --- in a process of its own --------------------------------------------------------------------


def points(asked: Json) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian points of two classes, or those of a file that is named."""
    if "file" in asked:
        with np.load(asked["file"]) as held:
            return held["X"], held["y"]
    rng = np.random.default_rng(asked["seed"])
    y = np.where(rng.random(asked["n"]) < 0.5, 1.0, -1.0)
    X = rng.normal(size=(asked["n"], asked["d"]))
    X[:, 0] += y
    return X, y


def solve(asked: Json, peak: Callable[[Callable[[], object]], Json]) -> Json:
    """One solver: CPU seconds, MiB beside the data, and the certified eps that it reached.

    Another's effort is raised step by step until `certify_svm` says TARGET; `cpu` is that of the
    first run that got there, or of the last one within the patience (`capped`).
    """
    from sipp_core.svm import CoresetSVC, certify_svm
    from sipp_theory.svm import solve_svm

    X, y = points(asked)
    n, penalty, seed = len(y), asked["C"], asked["seed"]
    warnings.simplefilter("ignore")
    held: list[Found] = []
    own: list[float] = []

    def coreset() -> Found:
        model = CoresetSVC(penalty, target=OURS, random_state=seed).fit(X, y)
        own.append(model.certified_eps_)
        return model.coef_, float(model.intercept_[0])

    def newton() -> Found:
        found = solve_svm(X, y, penalty, tol=OURS)
        return found.w, found.b

    ways: dict[str, Callable[[], Iterator[Callable[[], Found]]]] = {
        "coreset": lambda: iter([coreset]),
        "newton": lambda: iter([newton]),
        "linear svc": lambda: _linear_svc(X, y, penalty, seed),
        "sgd": lambda: _sgd(X, y, penalty, seed),
        "libsvm": lambda: iter([lambda: _libsvm(X, y, penalty)]),
    }
    row: Json = {}
    for way in ways[asked["solver"]]():
        began = time.process_time()
        row = peak(lambda w=way: held.append(w()))
        row["cpu"] = time.process_time() - began
        row["eps"] = own[0] if own else certify_svm(*held[-1], X, y, penalty).eps
        row["points"] = n
        if row["eps"] <= TARGET or row["cpu"] > asked["patience"]:
            break
    return row | {"capped": bool(row["eps"] > TARGET)}


def _linear_svc(X: np.ndarray, y: np.ndarray, C: float, seed: int) -> Iterator[Callable[[], Found]]:
    """LIBLINEAR's dual coordinate descent for the hinge, with more and more epochs."""
    from sklearn.svm import LinearSVC

    most = 10
    while True:
        model = LinearSVC(loss="hinge", C=C, tol=1e-9, max_iter=int(most), random_state=seed)

        def fit(model: Any = model) -> Found:
            model.fit(X, y)
            return model.coef_, float(model.intercept_[0])

        yield fit
        most *= 1.4


def _sgd(X: np.ndarray, y: np.ndarray, C: float, seed: int) -> Iterator[Callable[[], Found]]:
    """Averaged stochastic gradients of the same objective, with more and more epochs."""
    from sklearn.linear_model import SGDClassifier

    most, never = 5, cast("Any", None)  # its own rule to stop looks at another loss
    while True:
        model = SGDClassifier(alpha=1 / (C * len(y)), average=True, tol=never, max_iter=most,
                              random_state=seed)  # fmt: skip

        def fit(model: Any = model) -> Found:
            model.fit(X, y)
            return model.coef_, float(model.intercept_[0])

        yield fit
        most *= 2


def _libsvm(X: np.ndarray, y: np.ndarray, C: float) -> Found:
    from sklearn.svm import SVC

    model = SVC(kernel="linear", C=C).fit(X, y)
    return model.coef_, float(model.intercept_[0])


def limit_cpu(seconds: int) -> None:
    """End this process after so many CPU seconds more: LIBSVM looks at no clock."""
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))


def mapped(asked: Json) -> Json:
    """Fit a file of points under a limit of the memory that it may take beside what is loaded."""
    from sipp_core.svm import CoresetSVC

    rows, rng = asked["rows"], np.random.default_rng(asked["seed"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "X.npy")
        X = np.lib.format.open_memmap(path, "w+", np.float64, (rows, COLUMNS))
        y = np.where(rng.random(rows) < 0.5, 1.0, -1.0)
        for start in range(0, rows, 2**18):
            part = y[start : start + 2**18]
            X[start : start + 2**18] = rng.normal(size=(len(part), COLUMNS))
            X[start : start + 2**18, 0] += part
        X.flush()
        size = X.nbytes / 2**20
        del X
        held = next(
            int(line.split()[1])
            for line in Path("/proc/self/status").read_text("ascii").splitlines()
            if line.startswith("VmData")
        )
        most = held * 1024 + asked["mib"] * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        began = time.process_time()
        model = CoresetSVC(C, target=OURS, random_state=asked["seed"])
        model.fit(np.load(path, mmap_mode="r"), y)
        return {"cpu": time.process_time() - began, "eps": model.certified_eps_, "file": size}
