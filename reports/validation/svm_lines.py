"""SVM coresets in a table and in pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reports.validation.svm_plans import COLUMNS, METHODS, PENALTY, SOLVERS, Plan
from reports.validation.tables import ends, not_run, panel, rows_of
from reports.validation.verdicts import Line, interval

Json = dict[str, Any]
SOURCE = "the thesis of [SV]: sensitivities beat uniform samples"
# Total sensitivities as the paper's table has them (recalled): the total, and the points.
PUBLISHED = {"HTRU": (475.8, 17_898), "W1": (24_231.6, 49_749)}
TABLE = "; ".join(f"{name} {total:,} of {n:,} points" for name, (total, n) in PUBLISHED.items())
BOUNDS = ("SV-1", "SV-1F", "SV-2", "SV-6", "SV-7")


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)
        for scale in plan.scales:
            here = [row for row in mine if row.get("scale") == scale]
            for size in plan.sizes:
                table.append(_methods(plan, scale, size, here))
            table += [*_totals(plan, scale, here), *_stream(plan, scale, here)]
        table += [*_race(plan, mine), *_libsvm(plan, mine)]
    schedule = plans[0].schedule
    table += _certificates(schedule, rows)
    for name in ("HTRU", "Skin", "Cod-RNA", "W1"):
        table.append(
            not_run(
                f"experiments on {name}", "figures", schedule, "its files are not at hand", "[SV]"
            )
        )
    return table


def _methods(plan: Plan, scale: float, size: int, rows: Sequence[Json]) -> Line:
    """The median suboptimality by method, and whether sensitivities beat uniform samples."""
    off = {
        name: [
            max(row["off"], 1e-12)
            for row in rows
            if row["part"] == "method" and row["method"] == name and row["size"] == size
        ]
        for name in METHODS
    }
    logs = [math.log(u / s) for u, s in zip(off["uniform"], off["sensitivity"], strict=True)]
    mean, low, high = interval(logs)
    words = ", ".join(f"{name} {np.median(values):.2g}" for name, values in off.items())
    agrees = "in part" if len(logs) < 2 or low <= 0 <= high else "yes" if low > 0 else "no"
    return Line(
        what=f"suboptimality F/F* - 1 of {size:,} points, {plan.subject.data}, C n = {scale:g}",
        paper="sensitivity sampling is better than uniform",
        ours=f"{words}; uniform is {math.exp(mean):.2g} times sensitivity's, "
        f"{_times(off['uniform'], off['control-variate'])} times control-variate's",
        agrees=agrees, unit="times", schedule=plan.schedule, source=SOURCE,
        why="medians over draws; the interval is of the ratio, uniform over sensitivity",
        **ends(math.exp(low), math.exp(high), len(logs)),
    )  # fmt: skip


def _times(more: list[float], less: list[float]) -> str:
    """The geometric mean of the draws' ratios."""
    ratios = [math.log(a / b) for a, b in zip(more, less, strict=True)]
    return f"{math.exp(float(np.mean(ratios))):.2g}"


def _totals(plan: Plan, scale: float, rows: Sequence[Json]) -> Iterator[Line]:
    for row in rows:
        if row["part"] == "totals":
            yield Line(
                what=f"total sensitivity bounds, {plan.subject.data}, C n = {scale:g}",
                paper=TABLE, ours=", ".join(f"{name} {row[name]:,.0f}" for name in BOUNDS)
                + f" of {row['points']:,} points", agrees="no claim", schedule=plan.schedule,
                source="[SV], recalled",
            )  # fmt: skip


def _stream(plan: Plan, scale: float, rows: Sequence[Json]) -> Iterator[Line]:
    size = plan.sizes[-1]
    tree = [row["off"] for row in rows if row["part"] == "stream"]
    shot = [
        row["off"]
        for row in rows
        if row["part"] == "method" and row["method"] == "uniform" and row["size"] == size
    ]
    if tree:
        yield Line(
            what=f"stream of 20 chunks, levels of {size:,}, {plan.subject.data}, C n = {scale:g}",
            paper="(1 + eps)^levels - 1",
            ours=f"{np.median(tree):.2g}, one shot {np.median(shot):.2g}",
            agrees="no claim", schedule=plan.schedule, source="SV-4",
        )  # fmt: skip


def _race(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """CPU time and memory of each solver: absolute for the coreset, as ratios for the others."""
    for count in plan.timed:
        by_solver = {
            row["solver"]: row for row in rows if row["part"] == "race" and row["points"] == count
        }
        if "coreset" not in by_solver:
            continue
        ours = by_solver["coreset"]
        words = [
            f"coreset {ours['cpu']:.2g} s, {ours['mib']:.0f} MiB beside the data, certified "
            f"{ours['eps']:.1e}"
        ]
        for name in (*SOLVERS[1:], "libsvm"):
            row = by_solver.get(name)
            if row and not row["ended"]:
                words.append(f"{name} not done after {row['cpu'] / ours['cpu']:.2g} times its time")
            elif row:
                epochs = f", {row['epochs']} epochs" if "epochs" in row else ""
                short = " (stopped there)" if row["capped"] else ""
                words.append(
                    f"{name} {row['cpu'] / ours['cpu']:.2g} times its time{epochs}, "
                    f"{row['mib']:.0f} MiB, certified {row['eps']:.1e}{short}"
                )
        yield Line(
            what=f"time and memory to a certificate, {count:,} points, {_raced(plan)}",
            paper="-", ours="; ".join(words), agrees="no claim", schedule=plan.schedule,
            source="ours",
            why="CPU seconds of one process each, one after the other on a machine that others "
            "may use; ours to 1e-5, Newton's gap to 1e-5, LinearSVC(loss='hinge') and SGD with the "
            "least epochs to 1e-3, LIBSVM with its own tolerance",
        )  # fmt: skip


def _raced(plan: Plan) -> str:
    data = f"Gaussian, d = {COLUMNS}" if plan.embedded else plan.subject.data
    return f"{data}, C = {PENALTY:g}"


def _libsvm(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """LIBSVM's times where it ends, and, extrapolated, what it would take where it was not run."""
    took = {
        row["points"]: row["cpu"]
        for row in rows
        if row["part"] == "race" and row["solver"] == "libsvm" and row["ended"]
    }
    counts = sorted(took)[-2:]
    if len(counts) < 2:
        return
    power = math.log(took[counts[1]] / took[counts[0]]) / math.log(counts[1] / counts[0])
    words = ", ".join(f"{took[n]:.2g} s of {n:,} points" for n in sorted(took))
    more = [n for n in plan.timed if n > counts[1]]
    guesses = " and ".join(
        f"{took[counts[1]] * (n / counts[1]) ** power:.2g} s of {n:,}" for n in more
    )
    guess = f"; extrapolated by the last two's power {power:.2g}, not run: {guesses}"
    yield Line(
        what=f"CPU time of LIBSVM, {_raced(plan)}", paper="-", ours=words + (guess if more else ""),
        agrees="no claim", schedule=plan.schedule, source="ours",
        why=f"SVC(kernel='linear') with its tolerance of 1e-3; its time grows with the square of "
        f"the points or faster, so that {counts[1]:,} are the most that it is given",
    )  # fmt: skip


def _certificates(schedule: str, rows: Sequence[Json]) -> list[Line]:
    """SV-10 against the truth: never below it, and how far above."""
    held = [row for row in rows if row["part"] == "method"]
    if not held:
        return []
    broken = [r for r in held if not r["below"] or r["certified"] < r["off"] * (1 - 1e-9) - 1e-9]
    close = [r["certified"] / r["off"] for r in held if r["off"] > 1e-6]
    near = float(np.mean([ratio <= 1.01 for ratio in close])) if close else 1.0
    worst = max(close, default=1.0)
    return [
        Line(
            what="certified suboptimality (SV-10) against the true one, all coresets",
            paper="never below it",
            ours=f"{len(broken)} of {len(held)} below; {near:.0%} within 1% of it, the loosest "
            f"{worst:.3g} times it",
            agrees="no" if broken else "yes", schedule=schedule, source="SV-10", guarantee=True,
        )
    ]  # fmt: skip


FIGURES = {
    "svmsize-": (
        "Suboptimality against size",
        "F/F* − 1 of the coreset's solution on all points, by method: median of the draws, with "
        "the least and the largest shaded; one panel a value of C n.",
    ),
    "svm-certified": (
        "Certified beside true suboptimality",
        "Each point is one coreset (all methods, sizes and values of C n): what SV-10 certifies "
        "against the truth by the exact solver. On the grey line the two are equal; below it "
        "would be a broken certificate.",
    ),
    "svm-stream": (
        "A stream against one shot",
        "Merge and reduce over 20 chunks, levels of the largest size, beside one uniform sample "
        "of that size: median F/F* − 1, with the least and the largest shaded.",
    ),
    "svm-totals": (
        "Total sensitivities",
        "Sums of the bounds as shares of the number of points. The stars are the paper's totals "
        "on its own sets (HTRU, W1), which are not at hand; the most that a bound can say is 1.",
    ),
}
# What is drawn of errors: below it they stand at the edge.
LEAST = 1e-8
# Coresets of a kind that a chart of certificates shows.
SHOWN = 40


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Panels of the four figures; those with nothing to show are left out."""
    own = [(plan, rows_of(plan, rows)) for plan in plans]
    panels = [one for plan, mine in own for one in _by_size(plan, mine)]
    for draw in (_certified, _streams, _shares):
        panels += [one for plan, mine in own for one in draw(plan, mine)]
    return panels


def _series(name: str, groups: dict[float, list[float]]) -> Json:
    """Median, least and largest of each group, by its place along the axis."""
    along = sorted(key for key, values in groups.items() if values)
    columns = [
        [float(f"{max(pick(groups[key]), LEAST):.4g}") for key in along]
        for pick in (np.median, min, max)
    ]
    return {"name": name, "kept": along, **dict(zip(("y", "low", "high"), columns, strict=True))}


def _by_size(plan: Plan, rows: Sequence[Json]) -> Iterator[Json]:
    held = [row for row in rows if row["part"] == "method"]
    for scale in plan.scales if held and len(plan.sizes) > 1 else ():
        series = [
            _series(name, {
                size: [
                    row["off"] for row in held
                    if (row["method"], row["size"], row["scale"]) == (name, size, scale)
                ]
                for size in plan.sizes
            })
            for name in METHODS
        ]  # fmt: skip
        yield panel(
            f"svmsize-{plan.subject.net.removeprefix('svm-')}", f"C n = {scale:g}", series,
            "relative error of F", along="points of the coreset",
        ) | {"least": LEAST}  # fmt: skip


def _thinned(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """As many of them as can be told apart in a chart, the loosest among them."""
    step = -(-len(pairs) // SHOWN)
    loosest = max(pairs, key=lambda pair: pair[1] / pair[0])
    return sorted({*pairs[::step], loosest})


def _certified(plan: Plan, rows: Sequence[Json]) -> Iterator[Json]:
    held = [row for row in rows if row["part"] == "method" and row["off"] > LEAST]
    if not held:
        return
    kinds = {"certified, control variates": True, "certified, samples": False}
    series = []
    for name, kind in kinds.items():
        some = [r for r in held if (r["method"] == "control-variate") == kind]
        pairs = _thinned(sorted((r["off"], r["certified"]) for r in some))
        x, y = ([float(f"{value:.4g}") for value in column] for column in zip(*pairs, strict=True))
        series.append({"name": name, "kept": x, "y": y, "low": y, "high": y})
    ends_ = [min(r["off"] for r in held), max(r["off"] for r in held)]
    level = [float(f"{value:.4g}") for value in ends_]
    series.append({"name": "the truth", "kept": level, "y": level, "low": level, "high": level})
    yield panel(
        "svm-certified", plan.subject.data, series, "certified error of F",
        along="true relative error of F",
    ) | {"least": LEAST}  # fmt: skip


def _streams(plan: Plan, rows: Sequence[Json]) -> Iterator[Json]:
    def by_scale(part: str, **more: Any) -> dict[float, list[float]]:
        fixed = {"part": part, **more}
        some = [row for row in rows if all(row.get(k) == v for k, v in fixed.items())]
        return {s: [r["off"] for r in some if r["scale"] == s] for s in plan.scales}

    stream = by_scale("stream")
    if len(plan.scales) > 1 and any(stream.values()):
        shot = by_scale("method", method="uniform", size=plan.sizes[-1])
        yield panel(
            "svm-stream", plan.subject.data,
            [_series("stream of 20 chunks", stream), _series("one shot", shot)],
            "relative error of F", along="C n",
        ) | {"least": LEAST}  # fmt: skip


def _shares(plan: Plan, rows: Sequence[Json]) -> Iterator[Json]:
    held = sorted(
        (row for row in rows if row["part"] == "totals"), key=lambda row: float(row["scale"])
    )
    if len(held) < 2:
        return
    series = [
        _series(name, {row["scale"]: [row[name] / row["points"]] for row in held})
        for name in BOUNDS
    ]
    middle = math.sqrt(held[0]["scale"] * held[-1]["scale"])
    shares = sorted(total / n for total, n in PUBLISHED.values())
    # Where along the axis the paper's stand is unknown: it has C = 1 and standardised points.
    series.append({
        "name": "published", "kept": [middle] * len(shares),
        **{key: [float(f"{share:.4g}") for share in shares] for key in ("y", "low", "high")},
    })  # fmt: skip
    yield panel(
        "svm-totals", plan.subject.data, series, "share of the points", along="C n"
    ) | {"log": True}  # fmt: skip
