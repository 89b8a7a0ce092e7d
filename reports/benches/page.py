"""The benchmarks page: one run of benchmarks through one template, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from reports.benches import words as bench_words
from reports.benches.figures import draw
from reports.benches.findings import read
from reports.site import page, plain
from reports.site.figure import Drawn
from reports.site.page import Prepared, write

Json = dict[str, Any]


def prepare(summary: Json) -> Prepared:
    """Compute the page and its figures; nothing is written."""
    read(summary)
    data = plain.dump(summary)
    written = json.loads(data)
    drawn = tuple(draw(written))
    briefing = {
        "headline": " ".join(bench_words.headline(written)[:1]),
        "date": written["date"],
        "processor": written["machine"].get("processor", "unknown"),
        "violated": any(not check["holds"] for check in written["checks"]),
    }
    return Prepared("bench", render(written, drawn), data, drawn, briefing)


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

    Claim: none (plumbing).

    Example:
        >>> import tempfile
        >>> from reports import bench
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bench(bench(scale="tiny", only=["gpu"]).summary(), folder).name
        'bench.html'
    """
    return write(prepare(summary), folder)


def _cases(run: Json) -> dict[str, dict[str, list[Json]]]:
    """Figures by family and case, in the order of the run."""
    found: dict[str, dict[str, list[Json]]] = {}
    for one in run["measured"]:
        found.setdefault(one["family"], {}).setdefault(one["case"], []).append(one)
    return found


def render(run: Json, drawn: Sequence[Drawn]) -> str:
    """Make the page of a run as it is written; the template adds words and no numbers."""
    made = page.environment()
    made.filters |= {
        "amount": bench_words.amount,
        "goal": bench_words.goal,
        "growth": bench_words.growth,
        "threads": bench_words.threads,
    }
    here = {one["family"] for kind in ("measured", "checks", "skipped") for one in run[kind]}
    return made.get_template("bench.html.jinja").render(
        r={"figures": [{"name": figure.name, "alt": figure.alt} for figure in drawn]},
        run=run,
        told=bench_words.headline(run),
        pictures=page.embedded(drawn),
        families=[(name, *words) for name, words in bench_words.FAMILIES.items() if name in here],
        cases=_cases(run),
    )
