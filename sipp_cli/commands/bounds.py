"""`sipp bounds`: every bound from numbers on the command line; torch is never imported."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sipp_cli import edge, ladder, options, render
from sipp_theory import BOUNDS


def _show(question: ladder.Question, neurons: list[Any], calibration: list[Any]) -> None:
    rows, loose = [], []
    for neuron in neurons:
        sharpest = min(neuron["answers"].values(), default=math.nan)
        total = neuron["sensitivity_sum"]
        for kind, answer in neuron["answers"].items():
            times = answer / sharpest if sharpest > 0 and math.isfinite(answer) else math.nan
            rows.append(
                (
                    render.number(total),
                    kind,
                    BOUNDS[kind].claim,
                    render.number(answer),
                    "-" if math.isnan(times) else f"{times:.2f}",
                )
            )
        if neuron["corenet_looseness"] is not None:
            what = "draws" if question.m is None else "error"
            loose.append(
                f"S = {render.number(total)}: SP-2 as printed has "
                f"{neuron['corenet_looseness']:.2f} times the {what} of Bernstein on SP-2's own "
                "terms (C = K, delta/(8 eta) a tail)."
            )
    if rows:
        target = f"eps = {question.eps:g}" if question.m is None else f"m = {question.m:g}"
        answer = "draws needed" if question.m is None else "error promised"
        columns = ("S_sum", "<bound", "<claim", answer, "times the sharpest")
        render.show_table(f"{target}, delta = {question.delta:g}", columns, rows)
    for line in loose:
        render.show(line)
    if loose:
        render.show(
            "In corenet, delta is the whole network's and fresh inputs are covered under A1; in "
            "the others it is one neuron's, sign's and input's."
        )
    for entry in calibration:
        if entry["claim"] == "ES-4":
            render.show(
                f"ES-4 ({entry['rule']}): {render.number(entry['points'])} calibration inputs, "
                "under assumption A1."
            )
        else:
            render.show(
                f"ES-5: {render.number(entry['points'])} i.i.d. inputs leave at most "
                f"{entry['violation']:.4g} of fresh inputs uncovered in {entry['dimension']:g} "
                f"sensitivities, with confidence {1 - entry['beta']:g}."
            )


def _vacuous(neurons: list[Any], calibration: list[Any], m: float | None, most: float) -> bool:
    limit = most if m is None else np.nextafter(1.0, 0.0)
    answers = [answer for neuron in neurons for answer in neuron["answers"].values()]
    return any(a > limit or math.isinf(a) for a in answers) or any(
        entry.get("violation", 0.0) >= 1 for entry in calibration
    )


def _check_kinds(kinds: list[str], network: ladder.Network, instance: bool) -> None:
    for kind in kinds:
        if kind not in BOUNDS:
            raise ValueError(f"--kind must be one of {', '.join(BOUNDS)}; found {kind!r}")
        if BOUNDS[kind].knows == "network" and not network:
            raise ValueError(f"--kind {kind} needs --eta and --eta-star")
        if BOUNDS[kind].knows in ("shares", "neuron") and not instance:
            raise ValueError(f"--kind {kind} needs --shares")


def command(
    sensitivity_sum: Annotated[
        list[float] | None, typer.Option(help="S_sum of one sign of a neuron; repeatable.")
    ] = None,
    eps: Annotated[float | None, typer.Option(help="Relative error: how many draws?")] = None,
    m: Annotated[float | None, typer.Option(help="Number of draws: what error?")] = None,
    delta: Annotated[float, typer.Option(help="Failure probability.")] = 0.05,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this bound; repeatable. Default: all that can.")
    ] = None,
    coverage_factor: Annotated[float, typer.Option(help="C of g <= C s (bernstein, kl).")] = 1.0,
    eta: Annotated[float | None, typer.Option(help="Neurons of the network (corenet).")] = None,
    eta_star: Annotated[
        float | None, typer.Option(help="Widest layer, the input's width included (corenet).")
    ] = None,
    shares: Annotated[
        Path | None, typer.Option(help=".npy of g, (inputs, weights), for cramer and exact.")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(help=".npy of q; default: in proportion to the column maxima.")
    ] = None,
    weights: Annotated[
        float | None, typer.Option(help="Weights that the neuron has: more draws are vacuous.")
    ] = None,
    points: Annotated[float | None, typer.Option(help="Calibration inputs (ES-5).")] = None,
    dimension: Annotated[
        float | None, typer.Option(help="Sensitivities to cover at once (ES-5).")
    ] = None,
    beta: Annotated[float, typer.Option(help="1 - confidence of ES-5.")] = 0.05,
    json: options.Json = False,
    seed: Annotated[int, typer.Option(help="As in every command; nothing is drawn here.")] = 0,
    device: Annotated[str, typer.Option(help="As in every command; it is not used here.")] = "cpu",
) -> None:
    """Compute sample sizes (--eps) or errors (--m) by every bound, and calibration sizes.

    Exit code 1: some bound shown is vacuous: an error of 1 or more, more draws than --weights, no
    finite number of draws, or nothing covered. Choose bounds with --kind.
    """
    if weights is not None and not weights > 0:
        raise ValueError(f"--weights must be above 0; found {weights}")
    for first, second, pair in (
        (eta, eta_star, "--eta and --eta-star"),
        (points, dimension, "--points and --dimension"),
    ):
        if (first is None) != (second is None):
            raise ValueError(f"give both {pair}")
    if probabilities is not None and shares is None:
        raise ValueError("--probabilities belongs to --shares")
    network = None if eta is None or eta_star is None else (eta, eta_star)
    _check_kinds(kind or [], network, shares is not None)
    neurons: list[dict[str, Any]] = []
    question = ladder.Question(eps, m, delta, coverage_factor)
    if sensitivity_sum or shares is not None:
        if (eps is None) == (m is None):
            raise ValueError("give either --eps, to get draws, or --m, to get errors")
        neurons += [ladder.ladder(question, kind, network, s) for s in sensitivity_sum or ()]
    elif not network and points is None:
        raise ValueError(
            "give --sensitivity-sum or --shares with --eps or --m, or --eta and --eta-star, or "
            "--points and --dimension"
        )
    if shares is not None:
        neurons.append(ladder.instance(question, shares, probabilities, kind, network))
    calibration = ladder.calibration(network, delta, points, dimension, beta)
    vacuous = _vacuous(neurons, calibration, m, math.inf if weights is None else weights)
    if json:
        arguments = {"eps": eps, "m": m, "delta": delta, "coverage_factor": coverage_factor}
        answer = "size" if m is None else "error"
        for neuron in neurons:
            neuron["bounds"] = [
                {"kind": name, "claim": BOUNDS[name].claim, answer: value}
                for name, value in neuron.pop("answers").items()
            ]
        results = {"neurons": neurons, "calibration": calibration, "vacuous": vacuous}
        render.show_json(arguments | results)
    else:
        _show(question, neurons, calibration)
        if vacuous:
            render.show("A bound shown here is vacuous.")
    if vacuous:
        raise typer.Exit(edge.UNMET)
