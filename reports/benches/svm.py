"""Linear SVMs: CPU time and memory to a certified suboptimality, by our solvers and by others."""

from __future__ import annotations

import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from reports.benches.children import child, no_memory
from reports.benches.findings import Check, Findings, Measured
from reports.benches.subjects import Setting

Json = dict[str, Any]
Solution = tuple[np.ndarray, float]
FAMILY = "svm"
COLUMNS, C = 20, 1.0
# What others must reach by the same certificate; ours goes on to `OURS`.
TARGET, OURS = 1e-3, 1e-5
FASTER, MOST_MIB = 50.0, 200.0
# CPU seconds that the search for another solver's effort may take: SGD would take any.
PATIENCE = 300
REPEATS = 3
# Seconds by the clock of one process, on a machine that others may use.
LONGEST = 7200
SOLVERS = ("coreset", "newton", "linear svc", "sgd")
MAPPED_MIB = 256


def run(setting: Setting) -> Findings:
    """Race the solvers, each in a process of its own, and fit a file larger than the memory."""
    n = setting.size(2000, 100_000, 1_000_000)
    case = f"{n:,} Gaussian points, d = {COLUMNS}, C = {C:g}"
    options = {"n": n, "d": COLUMNS, "C": C, "seed": setting.seed,
             "patience": setting.size(1, 60, PATIENCE), "repeats": REPEATS}  # fmt: skip
    skipped = no_memory(FAMILY, "memory")
    if skipped:
        return Findings(skipped=skipped)
    took = {name: child("svm", options | {"solver": name}) for name in SOLVERS}
    full = setting.scale == "full"
    ours = took["coreset"]
    measured = [
        _one(case, f"{name}, CPU time", row["cpu"], "s", row["least"], row["most"],
             note=_reached(row))
        for name, row in took.items()
    ]  # fmt: skip
    for name, least in (("linear svc", FASTER), ("newton", 1.0)):
        row = took[name]
        measured.append(
            _one(case, f"times less CPU time than {name}", row["cpu"] / ours["cpu"], "times",
                 row["least"] / ours["most"], row["most"] / ours["least"],
                 target=least if full else None, note=_reached(row))
        )  # fmt: skip
    measured += [
        _one(case, f"{name}, memory beside the data", row["mib"], "MiB", note=_reached(row))
        for name, row in took.items()
        if name != "coreset"
    ]
    measured.append(
        _one(case, "memory beside the data", ours["mib"], "MiB",
             target=MOST_MIB if full else None, sense="at most")
    )  # fmt: skip
    # Twice the memory that is allowed, and more.
    rows = setting.size(60_000, 4_000_000, 10_000_000)
    mapped = child("svm_mapped", {"rows": rows, "mib": MAPPED_MIB, "seed": setting.seed})
    where = f"{rows:,} mapped points, {mapped['file']:.0f} MiB, {MAPPED_MIB} MiB allowed"
    measured.append(_one(where, "coreset, CPU time", mapped["cpu"], "s", note=_reached(mapped)))
    reached = max(ours["eps"], mapped["eps"])
    check = Check(FAMILY, f"certified {OURS:g}", reached <= OURS, f"certified {reached:.2g}")
    return Findings(tuple(measured), checks=(check,))


def _one(
    case: str, what: str, value: float, unit: str, low: float | None = None,
    high: float | None = None, **more: Any,
) -> Measured:  # fmt: skip
    return Measured(
        FAMILY, case, what, value, value if low is None else low, value if high is None else high,
        unit, repeats=REPEATS if low is not None else 1, **more,
    )  # fmt: skip


def _reached(row: Json) -> str:
    epochs = f" after {row['epochs']} epochs" if "epochs" in row else ""
    return f"certified {row['eps']:.1e}{epochs}" + ("; stopped there" if row.get("capped") else "")


# --- in a process of its own --------------------------------------------------------------------


def points(options: Json) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian points of two classes, or those of a file that is named."""
    if "file" in options:
        with np.load(options["file"]) as held:
            return held["X"], held["y"]
    rng = np.random.default_rng(options["seed"])
    y = np.where(rng.random(options["n"]) < 0.5, 1.0, -1.0)
    X = rng.normal(size=(options["n"], options["d"]))
    X[:, 0] += y
    return X, y


def solve(options: Json, peak: Callable[[Callable[[], object]], Json]) -> Json:
    """One solver: CPU seconds, MiB beside the data, and the certified eps that it reached.

    Of a solver that takes a number of epochs it is the least number, by bisection, whose
    suboptimality is at most TARGET; `cpu` is the median of `repeats` runs with it, of which `least`
    and `most` are the ends. `capped` where the patience ended first.
    """
    from sipp_core.svm import CoresetSVC, certify_svm
    from sipp_theory.svm import solve_svm

    X, y = points(options)
    n, penalty, seed = len(y), options["C"], options["seed"]
    warnings.simplefilter("ignore")
    own: list[float] = []

    def coreset() -> Solution:
        model = CoresetSVC(penalty, target=OURS, random_state=seed).fit(X, y)
        own.append(model.certified_eps_)
        return model.coef_, float(model.intercept_[0])

    def newton() -> Solution:
        solution = solve_svm(X, y, penalty, tol=OURS)
        return solution.w, solution.b

    def timed(way: Callable[[], Solution]) -> tuple[Json, Solution]:
        held: list[Solution] = []
        began = time.process_time()
        row = peak(lambda: held.append(way()))
        return row | {"cpu": time.process_time() - began}, held[0]

    ways: dict[str, Callable[[], Solution]] = {
        "coreset": coreset, "newton": newton, "libsvm": lambda: _libsvm(X, y, penalty),
    }  # fmt: skip
    epochs = {"linear svc": _linear_svc, "sgd": _sgd}
    name = options["solver"]
    if name in epochs:
        # Memory is the first run's, before anything else has left any behind.
        row, solution = timed(epochs[name](X, y, penalty, seed, 1))
        effort, runs, capped = _least_effort(
            lambda effort: timed(epochs[name](X, y, penalty, seed, effort)),
            X, y, penalty, options["patience"],
        )  # fmt: skip
        again = 0 if capped else options.get("repeats", 1) - 1
        runs += [timed(epochs[name](X, y, penalty, seed, effort)) for _ in range(again)]
        row["epochs"], solution = effort, runs[0][1]
    else:
        runs, capped = [timed(ways[name]) for _ in range(options.get("repeats", 1))], False
        row, solution = runs[0]
    took = [run["cpu"] for run, _ in runs]
    eps = own[0] if own else certify_svm(*solution, X, y, penalty).eps
    return row | {
        "cpu": float(np.median(took)), "least": min(took), "most": max(took), "points": n,
        "eps": eps, "capped": capped,
    }  # fmt: skip


def _least_effort(
    run: Callable[[int], tuple[Json, Solution]], X: np.ndarray, y: np.ndarray, C: float,
    patience: float,
) -> tuple[int, list[tuple[Json, Solution]], bool]:  # fmt: skip
    """The least number of epochs, to 1%, that reaches TARGET, its run, and False.

    Where the patience ends first: the last number tried, its run, and True.
    """
    from sipp_theory.svm import solve_svm, svm_objective

    best = solve_svm(X, y, C, tol=1e-7).dual
    spent, runs, off = 0.0, dict[int, tuple[Json, Solution]](), dict[int, float]()

    def reaches(effort: int) -> bool:
        nonlocal spent
        runs[effort] = row, (w, b) = run(effort)
        spent += row["cpu"]
        off[effort] = svm_objective(np.ravel(w), b, X, y, C) / best - 1
        return off[effort] <= TARGET

    low, high = 0, 8
    while not reaches(high):
        # The next one costs twice as much as the last.
        if spent > patience / 2:
            return high, [runs[high]], True
        low, high = high, 2 * high
    turn = 0
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        if low and turn % 2 == 0 and off[high] > 0:
            # Errors fall geometrically; the next is half a percent beyond where they cross.
            share = np.log(off[low] / TARGET) / np.log(off[low] / off[high])
            middle = int(np.clip(low + 1.005 * share * (high - low), low + 1, high - 1))
        turn += 1
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high, [runs[high]], False


def _linear_svc(
    X: np.ndarray, y: np.ndarray, C: float, seed: int, epochs: int
) -> Callable[[], Solution]:
    """LIBLINEAR's dual coordinate descent for the hinge."""
    from sklearn.svm import LinearSVC

    model: Any = LinearSVC(loss="hinge", C=C, tol=1e-9, max_iter=epochs, random_state=seed)

    def fit() -> Solution:
        model.fit(X, y)
        return model.coef_, float(model.intercept_[0])

    return fit


def _sgd(X: np.ndarray, y: np.ndarray, C: float, seed: int, epochs: int) -> Callable[[], Solution]:
    """Averaged stochastic gradients of the same objective."""
    from sklearn.linear_model import SGDClassifier

    never = cast("Any", None)  # its own rule to stop looks at another loss
    model: Any = SGDClassifier(alpha=1 / (C * len(y)), average=True, tol=never, max_iter=epochs,
                          random_state=seed)  # fmt: skip

    def fit() -> Solution:
        model.fit(X, y)
        return model.coef_, float(model.intercept_[0])

    return fit


def _libsvm(X: np.ndarray, y: np.ndarray, C: float) -> Solution:
    from sklearn.svm import SVC

    model = SVC(kernel="linear", C=C).fit(X, y)
    return model.coef_, float(model.intercept_[0])


def one(options: Json) -> Json:
    """One solver in a process of its own, as `solve` tells of it; LIBSVM may not end at all."""
    try:
        return child("svm", options, patience=LONGEST) | {"ended": True}
    except RuntimeError:
        if options["solver"] != "libsvm":
            raise
        return {"cpu": float(options["patience"]), "capped": True, "ended": False}


def limit_cpu(seconds: int) -> None:
    """End this process after so many CPU seconds more: LIBSVM looks at no clock."""
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))


def mapped(options: Json) -> Json:
    """Fit a file of points under a limit of the memory that it may take beside what is loaded."""
    from sipp_core.svm import CoresetSVC

    rows, rng = options["rows"], np.random.default_rng(options["seed"])
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
        most = held * 1024 + options["mib"] * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        began = time.process_time()
        model = CoresetSVC(C, target=OURS, random_state=options["seed"])
        model.fit(np.load(path, mmap_mode="r"), y)
        return {"cpu": time.process_time() - began, "eps": model.certified_eps_, "file": size}
