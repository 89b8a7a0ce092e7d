"""Saved networks on one page: weights, size, accuracy, certified curves, worst groups, layers."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from reports.comparison.saved import Json, Saved, read_saved
from reports.site.page import Contents, Page

# Size of the chart in its own units; the page scales it.
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 400, 62, 46, 14, 14
COLOURS = ("#0b5cad", "#b35900", "#00755a", "#8e3b8e", "#8a6d00", "#b3261e")
DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "12 4")


def _log_range(values: Sequence[float]) -> tuple[float, float]:
    """Powers of ten around positive values."""
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    return float(low), float(max(high, low + 1))


def _powers(low: float, high: float) -> range:
    return range(int(low), int(high) + 1)


def _curves(networks: Sequence[Saved]) -> list[Json]:
    """Curves that can be drawn on logarithmic axes: eps above 0, delta below 1."""
    curves = []
    for number, network in enumerate(networks):
        curve = (network.certificate or {}).get("curve") or {}
        points = [
            (float(delta), float(eps))
            for eps, delta in zip(curve.get("eps", ()), curve.get("delta", ()), strict=False)
            if 0 < float(eps) < math.inf and 0 < float(delta) <= 1
        ]
        if points:
            curves.append({"number": number, "name": network.name, "points": points})
    return curves


def _chart(curves: list[Json]) -> Json | None:
    """Paths, ticks and scales of the chart; None where there is nothing to draw."""
    if not curves:
        return None
    x_low, x_high = _log_range([delta for c in curves for delta, _ in c["points"]])
    y_low, y_high = _log_range([eps for c in curves for _, eps in c["points"]])

    def x(delta: float) -> float:
        return LEFT + (math.log10(delta) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y(eps: float) -> float:
        return (
            HEIGHT - BOTTOM - (math.log10(eps) - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP)
        )

    lines = []
    for curve in curves:
        points = sorted(curve["points"])
        # From one share to the next the error of the smaller share is what is certified.
        path = f"M{x(points[0][0]):.1f} {y(points[0][1]):.1f}"
        for (_, before), (delta, eps) in itertools.pairwise(points):
            path += f"L{x(delta):.1f} {y(before):.1f}L{x(delta):.1f} {y(eps):.1f}"
        number = curve["number"]
        lines.append(
            {
                "name": curve["name"],
                "path": path,
                "colour": number % len(COLOURS),
                "dash": DASHES[number % len(DASHES)],
                "points": points,
            }
        )
    return {
        "lines": lines,
        "x_ticks": [(x(10.0**p), f"{10.0 ** (p + 2):g}%") for p in _powers(x_low, x_high)],
        "y_ticks": [(y(10.0**p), f"{10.0**p:g}") for p in _powers(y_low, y_high)],
        "x_range": (x_low, x_high), "y_range": (y_low, y_high),
        "box": (WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT),
    }  # fmt: skip


def _worst(certificate: Json) -> Json | None:
    """The group with the largest certified drop, or share, of those that are not too small."""
    decided = [group for group in certificate.get("groups") or () if not group["too_small"]]

    def badness(group: Json) -> tuple[float, float, float]:
        accuracy = group.get("accuracy")
        return (accuracy["drop"] if accuracy else 0.0), float(group["delta"]), float(group["eps"])

    return max(decided, key=badness, default=None)


def _row(network: Saved) -> Json:
    certificate = network.certificate or {}
    return {
        "network": network,
        "dense": network.multiply_adds("weights"),
        "sparse": network.multiply_adds("nonzero"),
        "certificate": certificate,
        "accuracy": certificate.get("accuracy"),
        "worst": _worst(certificate),
        "small": [g["name"] for g in certificate.get("groups") or () if g["too_small"]],
    }


def _plain(networks: Sequence[Saved]) -> str:
    fields = [
        {"name": n.name, "method": n.method, "bytes": n.size, "weights": n.weights,
         "nonzero": n.nonzero, "multiply_adds": n.multiply_adds("weights"),
         "multiply_adds_nonzero": n.multiply_adds("nonzero"), "layers": list(n.layers),
         "certificate": n.certificate,
         "edited": n.edited}
        for n in networks
    ]  # fmt: skip
    text = json.dumps(fields, indent=1)
    return text.replace("Infinity", '"inf"').replace("NaN", '"nan"')


def _different(networks: Sequence[Saved], mark: str) -> bool:
    marks = {
        (n.certificate.get("fingerprints") or {}).get(mark)
        for n in networks
        if n.certificate is not None
    }
    return len(marks) > 1


def fill(networks: Sequence[Saved]) -> Contents:
    """Everything that the page shows."""
    chart = _chart(_curves(networks))
    names = list(dict.fromkeys(layer["name"] for n in networks for layer in n.layers))
    layers = [
        (name, [next((la for la in n.layers if la["name"] == name), None) for n in networks])
        for name in names
    ]
    rows, small = [_row(network) for network in networks], dict[str, list[str]]()
    for row in rows:
        if row["small"]:
            small.setdefault(", ".join(row["small"]), []).append(row["network"].name)
    values: dict[str, Any] = {
        "rows": rows,
        "small_groups": list(small.items()),
        "layers": layers,
        "chart": chart,
        "colours": COLOURS,
        "lines_json": json.dumps(
            []
            if chart is None
            else [{"name": line["name"], "points": line["points"]} for line in chart["lines"]]
        ).replace("<", "\\u003c"),
        "other_inputs": _different(networks, "inputs"),
        "other_original": _different(networks, "original"),
    }
    return Contents(_plain(networks), (), values, {"float": float})


PAGE: Page[Sequence[Saved]] = Page("comparison", "comparison.html.jinja", fill)


def build_comparison(paths: Sequence[str | PathLike[str]], out: str | PathLike[str]) -> Path:
    """Write a page that sets saved networks side by side; one file, which fetches nothing.

    Args:
        paths: saved networks, ours or another tool's, with their certificates as `read_saved` finds
            them.
        out: folder of the page.

    Returns:
        The page, `comparison.html`; its numbers lie beside it as `comparison.json`.

    Raises:
        FileNotFoundError: a file that is not there.
        ValueError: no file is given, or one is no network.

    Claim: none (a page).

    Example:
        >>> build_comparison([], "out")
        Traceback (most recent call last):
        ...
        ValueError: a comparison needs at least one saved network
    """
    if not paths:
        raise ValueError("a comparison needs at least one saved network")
    return PAGE.prepare([read_saved(Path(path)) for path in paths]).write(out)
