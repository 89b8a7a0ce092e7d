"""`sipp diff`: two certificates, or two pruning results, side by side."""

from __future__ import annotations

import json as js
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sipp_cli import edge, options, render

# Larger means that less is promised.
PROMISES = ("eps", "delta", "disagreement", "accuracy.drop", "vacuous")
# The curve is set side by side at these shares.
AT = {share: f"eps at {share:.0%}" for share in (0.5, 0.2, 0.1, 0.05, 0.01)}
LEFT_OUT = ("curve", "family", "holds_for", "versions")


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """Leaves by their dotted names; layers and groups by theirs."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items() if name not in LEFT_OUT]
    elif isinstance(value, list | tuple):
        if all(not isinstance(item, Mapping | list | tuple) for item in value):
            return {place: "; ".join(map(str, value))}
        items = [
            (str(item.get("name", number)) if isinstance(item, Mapping) else str(number), item)
            for number, item in enumerate(value)
        ]
    else:
        return {place: value}
    return {k: v for n, i in items for k, v in _flat(i, f"{place}.{n}".lstrip(".")).items()}


def _read(path: Path) -> dict[str, Any]:
    """What a certificate or a saved network says of itself, by dotted names."""
    from sipp_core.pruning import read_report
    from sipp_core.runtime import metadata_of, read_bytes

    content = read_bytes(path, "certificate or saved network")
    if content.lstrip().startswith(b"{"):
        return _certificate(path)
    try:
        known = metadata_of(content, str(path))
    except ValueError as error:
        raise ValueError(
            f"{path} is neither a certificate nor a network written by sipp: {error}"
        ) from error
    certified = _certificate(path) if "certificate" in known else {}
    own = {f"certificate.{name}": value for name, value in certified.items()}
    if "sipp" not in known and own:  # another tool's network
        return {"bytes": len(content)} | own
    if "sipp" not in known:
        raise ValueError(f"{path} is neither a certificate nor a network written by sipp")
    try:
        report = read_report(js.loads(known["sipp"])["report"], str(path))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} has a header that cannot be read: {error}") from error
    layers = report["layers"]
    weights = {
        "bytes": len(content),
        "nnz_before": sum(layer["nnz_before"] for layer in layers),
        "nnz_after": sum(layer["nnz_after"] for layer in layers),
    }
    return _flat(weights | report) | own


def _certificate(path: Path) -> dict[str, Any]:
    """What a certificate says, its curve at a few shares; refused if it has been edited."""
    from sipp_core.certificates import read_certificate, sealed

    recorded = read_certificate(path)
    if lines := sealed(recorded):
        raise ValueError(f"{path} cannot be compared: {lines[0]}")
    curve = recorded.certificate.get("curve")
    columns = [curve.get(name) for name in ("eps", "delta")] if isinstance(curve, Mapping) else []
    pairs = [
        (float(eps), float(share))
        for eps, share in zip(*(c if isinstance(c, list) else [] for c in columns), strict=False)
        if _numeric(eps) and _numeric(share)
    ]
    shown = {
        name: min((eps for eps, beyond in pairs if beyond <= share), default=math.inf)
        for share, name in AT.items()
    }
    return _flat(recorded.certificate) | shown


def _numeric(value: Any) -> bool:
    known = isinstance(value, int | float) or value in ("inf", "nan")
    return known and not isinstance(value, bool)


def _worse(rows: list[tuple[str, Any, Any]]) -> list[str]:
    """Promises that the second makes less of."""

    def size(value: Any) -> float:
        known = isinstance(value, bool) or _numeric(value)
        return float(value) if known else math.nan

    return [
        name
        for name, first, second in rows
        if name.removeprefix("certificate.") in (*PROMISES, *AT.values())
        and size(second) > size(first)
    ]


def command(
    first: Annotated[Path, typer.Argument(help="A certificate, or a network of `sipp prune`.")],
    second: Annotated[Path, typer.Argument(help="Another one, to be set beside it.")],
    json: options.Json = False,
) -> None:
    """Set two certificates or two pruning results side by side, for review.

    Exit code 1: the second promises less than the first (a larger eps, delta or drop in accuracy).
    """
    sides = [_read(path) for path in (first, second)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    rows = [
        (name, sides[0].get(name), sides[1].get(name))
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]
    worse = _worse(rows)
    if json:
        changed = {name: [one, other] for name, one, other in rows}
        render.show_json({"same": not rows, "differences": changed, "worse": worse})
    elif not rows:
        render.show("no difference")
    else:
        render.show_table(
            f"{first} and {second}",
            ("<what", "<first", "<second", "<"),
            [
                (name, _cell(one), _cell(other), "promises less" if name in worse else "")
                for name, one, other in rows
            ],
        )
    if worse:
        raise typer.Exit(edge.UNMET)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        text = "-" if value is None else str(value)
        return text if len(text) <= 40 else f"{text[:37]}..."
    return render.number(value)
