"""The benchmarks page: one run of benchmarks through one template, nothing fetched."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from reports.benches import words
from reports.benches.figures import FIGURES
from reports.benches.findings import read
from reports.site import plain
from reports.site.figure import draw
from reports.site.page import Contents, Page

Json = dict[str, Any]


def write_bench(summary: Json, folder: str | PathLike[str]) -> Path:
    """Write the benchmarks page of a run: bench.html, bench.json and the figures.

    Args:
        summary: of the run; what `sipp bench --json` prints.
        folder: of the report, whose index.html the page links to; made if needed.

    Returns:
        Where the page is.

    Raises:
        ValueError: it is the summary of no run.
        OSError: the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> from reports import bench
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bench(bench(scale="tiny", only=["gpu"]).summary(), folder).name
        'bench.html'
    """
    return PAGE.prepare(summary).write(folder)


def _cases(run: Json) -> dict[str, dict[str, list[Json]]]:
    """Figures by family and case, in the order of the run."""
    by_family: dict[str, dict[str, list[Json]]] = {}
    for one in run["measured"]:
        by_family.setdefault(one["family"], {}).setdefault(one["case"], []).append(one)
    return by_family


def _fill(summary: Json) -> Contents:
    """Figures and words of a run of benchmarks; the template adds no numbers."""
    read(summary)
    data = plain.dump(summary)
    run = json.loads(data)
    here = {one["family"] for kind in ("measured", "checks", "skipped") for one in run[kind]}
    sentences = words.headline(run)
    values = {
        "run": run, "sentences": sentences, "cases": _cases(run),
        "families": [(name, *text) for name, text in words.FAMILIES.items() if name in here],
    }  # fmt: skip
    filters = {
        "amount": words.amount, "goal": words.goal, "growth": words.growth,
        "threads": words.threads,
    }  # fmt: skip
    briefing = {
        "headline": " ".join(sentences[:1]), "date": run["date"],
        "processor": run["machine"].get("processor", "unknown"),
        "violated": any(not check["holds"] for check in run["checks"]),
    }  # fmt: skip
    return Contents(data, draw(FIGURES, run), values, filters, briefing)


PAGE = Page("bench", "bench.html.jinja", _fill)
