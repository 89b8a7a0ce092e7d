"""The results that come with the package, and how a result file is named and read."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from reports.validation.run import PAPERS, SCHEDULES
from reports.validation.verdicts import Validation, read


def load(folder: str | Path | None = None) -> list[Validation]:
    """Read results: the checked-in ones, or those of a folder.

    Args:
        folder: of files <paper>-<schedule>.json as `sipp validate --out` writes them; None for
            those that come with the package.

    Returns:
        One a paper and schedule, in the order of papers, the fullest schedule first.

    Raises:
        ValueError: a file is damaged, or no result.
        FileNotFoundError: no such folder.

    Example:
        >>> all(one.paper in PAPERS for one in load())
        True
    """
    if folder is None:
        place = resources.files("reports.validation") / "results"
    else:
        place = Path(folder)
        if not place.is_dir():
            raise FileNotFoundError(2, "no such folder of validation results", str(place))
    results = []
    for item in sorted(place.iterdir(), key=lambda item: item.name):
        if item.name.endswith(".json"):
            try:
                results.append(read(json.loads(item.read_text("utf-8"))))
            except ValueError as error:
                raise ValueError(f"{item.name}: {error}") from error
    return sorted(results, key=_place)


def _place(result: Validation) -> tuple[int, int]:
    """Papers in the order of PAPERS, then the fullest schedule first."""
    if result.paper not in PAPERS or result.schedule not in SCHEDULES:
        raise ValueError(
            f"paper {result.paper!r} and schedule {result.schedule!r} are not those of this version"
        )
    return list(PAPERS).index(result.paper), -SCHEDULES.index(result.schedule)
