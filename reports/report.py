"""`build`: compute everything, then write it, the page last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from reports.benches import page as bench_page
from reports.claims import page as claims_page
from reports.generalization import page as generalization_page
from reports.generalization.run import Generalization
from reports.overview import experiment, page
from reports.overview.settings import SETTINGS
from reports.site.page import Page, Prepared
from reports.validation import Validation
from reports.validation import page as validation_page
from sipp_core.runtime import mapped, one_thread

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BuildResult:
    """What a report came to.

    Attributes:
        index: the page, one self-contained HTML file.
        results: the JSON file that every number in the page comes from.
        vacuous: whether the certificate of the chosen network says nothing. Bounds that say nothing
            are shown in the page and do not count here: CoreNet's network theorem always does.
        violated: whether a promise was broken where it holds: a claim that Monte Carlo refutes on
            the calibration inputs, a worst case that was exceeded, a ledger with a refuted claim or
            a mutation that nothing noticed, benchmarks with a check that does not
            hold, or a paper's experiment in which a promise was broken.
    """

    index: Path
    results: Path
    vacuous: bool
    violated: bool


def build(
    dataset: str,
    out: str | PathLike[str],
    *,
    data_dir: str | PathLike[str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    quick: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    ledger: dict[str, Any] | None = None,
    bench: dict[str, Any] | None = None,
    validation: Sequence[Validation] = (),
    generalization: Sequence[Generalization] = (),
) -> BuildResult:
    """Train, prune by every method, bound, check, certify; write the page that shows it.

    The folder receives index.html, results.json and each figure as PNG and SVG; with a ledger also
    claims.html and claims.json, with benchmarks bench.html and bench.json, with validations
    validation.html and validation.json, with bounds on true errors generalization.html and
    generalization.json. Everything is computed before the first file is written, each file appears
    whole, and the page comes last, so an interruption leaves no half-written report.

    Args:
        dataset: "digits", "mnist" or "fashion-mnist".
        out: folder to write to; made if needed.
        data_dir: folder of the data files, as in `sipp_core.datasets.load`.
        seed: seed of everything: split, training, draws and trials; >= 0.
        device: torch device to train and prune on, such as "cpu" or "cuda".
        quick: few weights, seeds and trials, in seconds: to try out, not to cite.
        jobs: processes, >= 1, or -1 for every core; None for what joblib's context says, else 1.
            They change no number.
        progress: callback (done, total, what).
        ledger: summary of a run of the ledger, for the claims page; None leaves that page out.
        bench: summary of a run of `reports.bench`, for the benchmarks page; None leaves it out.
        validation: results of the papers' experiments, for the validation page; none leaves it out.
        generalization: files with their bounds, for the generalization page; none leaves it out.

    Returns:
        Where the page is, and whether it reports a vacuous certificate or a broken promise.

    Raises:
        ValueError: an unknown data set, a device or seed that cannot be used, or a formula in the
            ledger that cannot be read, or benchmarks that are none.
        TypeError: the seed is no integer.
        OSError: the folder cannot be written to (found before any work is done), or the data are
            missing.

    Example:
        >>> build("no such data", "out")
        Traceback (most recent call last):
        ...
        ValueError: dataset must be one of digits, mnist, fashion-mnist; found 'no such data'
    """
    if dataset not in SETTINGS:
        raise ValueError(f"dataset must be one of {', '.join(SETTINGS)}; found {dataset!r}")
    _check_device(device)
    folder = Path(out)
    new = _claim_folder(folder)
    try:
        # A worker takes the largest first.
        subjects: dict[str, tuple[Page[Any], Any]] = {
            "validation": (validation_page.PAGE, validation or None),
            "generalization": (generalization_page.PAGE, generalization or None),
            "claims": (claims_page.PAGE, ledger),
            "bench": (bench_page.PAGE, bench),
        }
        present = {name: one for name, one in subjects.items() if one[1] is not None}
        prepared = mapped(_prepared, list(present.values()), jobs)
        pages = dict.fromkeys(subjects) | dict(zip(present, prepared, strict=True))
        with one_thread():  # the networks are small enough to lose nothing by it
            results = experiment.run(
                dataset,
                data_dir=data_dir,
                seed=seed,
                device=device,
                quick=quick,
                progress=progress,
                jobs=jobs,
            )
        first = page.PAGE.prepare((results, pages))
    except BaseException:
        _unclaim(new)
        raise
    beside = [page for page in pages.values() if page is not None]
    for extra in beside:
        extra.write(folder)
    index = first.write(folder)
    violated = (
        any(page.briefing.get("violated") for page in (first, *beside))
        or bool(ledger and (ledger["refuted"] or ledger["survived"]))
    )  # fmt: skip
    return BuildResult(index, folder / "results.json", first.briefing["vacuous"], violated)


def _prepared(page: Page[Any], subject: Any) -> Prepared:
    return page.prepare(subject)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used: {error}") from error


def _claim_folder(folder: Path) -> list[Path]:
    """Make the folder and try to write to it; return the folders that were made, deepest first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _unclaim(missing)
        raise type(error)(
            f"cannot write a report to {folder}: {error.strerror or error}; "
            "name another folder with out"
        ) from error
    return missing


def _unclaim(folders: list[Path]) -> None:
    """Remove the folders that we made, as far as they are empty."""
    for path in folders:
        try:
            path.rmdir()
        except OSError:
            return
