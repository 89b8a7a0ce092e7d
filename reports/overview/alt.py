"""Alternative texts: what each figure shows, computed from the same numbers."""

from __future__ import annotations

from typing import Any

from reports.overview.settings import DRAWN
from reports.site.plain import count, percent, significant, upward

Json = dict[str, Any]
# Shares of fresh inputs at which the certified curve is described in words.
SHARES = (0.05, 0.1, 0.5)


def labels(results: Json) -> dict[str, str]:
    """What readers call each method, by name."""
    return {m["name"]: m["label"] for m in results["methods"]}


def at_middle(results: Json) -> tuple[float, list[Json]]:
    """The keep ratio of the grid nearest to one half, and its rows."""
    keep = min(results["grid"]["keeps"], key=lambda k: abs(k - 0.5))
    return keep, [row for row in results["grid"]["rows"] if row["keep"] == keep]


def accuracy(results: Json) -> str:
    """Say who is best and worst at half of the weights."""
    names = labels(results)
    keep, rows = at_middle(results)
    ranked = sorted(rows, key=lambda row: -row["accuracy"])
    best, worst = ranked[0], ranked[-1]
    original = results["network"]["figure_accuracy"]
    return (
        f"Line chart of accuracy against weights kept for {len(names)} methods. Unpruned: "
        f"{percent(original)}. With {percent(keep, 0)} of the weights, "
        f"{names[best['method']]} is most accurate ({percent(best['accuracy'])}) and "
        f"{names[worst['method']]} least ({percent(worst['accuracy'])}). All curves fall towards "
        "chance as weights are removed; no network was retrained."
    )


def output_error(results: Json) -> str:
    """Say how the output error of the best and worst method compares at half of the weights."""
    names = labels(results)
    keep, rows = at_middle(results)
    ranked = sorted(rows, key=lambda row: row["error"])
    best, worst = ranked[0], ranked[-1]
    text = (
        f"Line chart, log axis, of mean relative output error against weights kept. With "
        f"{percent(keep, 0)} asked for, {names[best['method']]} has the least error "
        f"({significant(best['error'])}) and {names[worst['method']]} the largest "
        f"({significant(worst['error'])})."
    )
    pair = {row["method"]: row["error"] for row in rows}
    one, other = DRAWN
    if {one, other} <= pair.keys():
        ratio = significant(pair[one] / pair[other], 2)
        text += f" {names[one]} has {ratio} times the error of {names[other]}."
    return text


def certified_curves(results: Json) -> list[tuple[str, list[tuple[float, float]]]]:
    """What is drawn of each certified network: its name, and its (delta, eps), delta rising."""
    names, network = labels(results), results["certified"]["network"]
    chosen = f"{names[network['method']]}, {percent(network['kept'])} kept: chosen"
    curves = [(chosen, results["certified"]["certificate"]["curve"])]
    rows = [row for row in results["sparsest"]["rows"] if "curve" in row]
    curves += [
        (f"{names[row['method']]}, {percent(row['kept'])} kept", row["curve"])
        for row in sorted(rows, key=lambda row: row["kept"])
    ]
    drawn = [
        (name, sorted((d, e) for e, d in zip(curve["eps"], curve["delta"], strict=True) if e > 0))
        for name, curve in curves
    ]
    return [(name, points) for name, points in drawn if points]


def certified_curve(results: Json) -> str:
    """Say what each curve certifies at three shares."""
    parts = []
    for name, points in certified_curves(results):
        spread = [
            f"{upward(min(eps for delta, eps in points if delta <= share))} at {percent(share, 0)}"
            if points[0][0] <= share
            else f"nothing at {percent(share, 0)}"
            for share in SHARES
        ]
        parts.append(f"{name}: {', '.join(spread)}")
    return (
        "Staircases, log axes: certified error eps against the share delta of fresh inputs that "
        f"may exceed it, all shares at once. Eps by share: {'; '.join(parts)}."
    )


def sample_sizes(results: Json) -> str:
    """Say how many times too many draws each bound asks for."""
    claims = results["check"]["claims"]
    parts = [
        f"{name} {significant(claims[claim]['tightness']['median'])} times"
        for claim, name in (
            ("SP-2", "CoreNet as printed"), ("SP-3", "Bernstein"), ("SP-4", "Chernoff-Hoeffding"),
            ("SP-5", "Cramér"), ("SP-5x", "the exact tail"),
        )
    ]  # fmt: skip
    return (
        f"Dot chart, log axis: draws that five bounds ask for at {len(results['check']['rows'])} "
        "neurons, beside the draws that Monte Carlo needs. Median ratio of asked to needed: "
        f"{', '.join(parts)}."
    )


def promises(results: Json) -> str:
    """Say how far the observed errors stay below the promised ones."""
    names = labels(results)
    parts = [
        f"{names[m['method']]}: {count(m['exceeding'])} of {count(m['neurons'])} neurons above the "
        f"line, promise {significant(m['ratio'], 2)} times the observed error at the median, "
        f"{count(m['vacuous'])} promises that say nothing (1 or more)"
        for m in results["promises"]["methods"]
    ]
    return (
        "Three scatter charts, log axes: error observed against error promised, one dot a neuron. "
        + "; ".join(parts)
        + "."
    )


def network_bound(results: Json) -> str:
    """Say which factor makes CoreNet's network theorem ask for so much."""
    layers = results["theory"]["network"]["layers"]
    parts = [
        f"{layer['layer']} is asked for {significant(layer['draws'], 2)} draws where it has "
        f"{count(layer['weights'])} weights"
        for layer in layers
    ]
    first = layers[0]["factors"]
    cancel = first["own"] + first["later"]
    return (
        "Stacked bars, log axis: factors of the draws that CoreNet's network theorem asks of one "
        f"neuron and sign. {'; '.join(parts)}. In {layers[0]['layer']} cancellation contributes a "
        f"factor of {significant(10**cancel, 2)}, everything else "
        f"{significant(10 ** (first['constants'] + first['sensitivity']), 2)}."
    )
