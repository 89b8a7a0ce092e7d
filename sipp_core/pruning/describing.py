"""What a pruning run says of itself: reports, notes, claims, and what its promises hold for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

import sipp_theory
from sipp_core.methods import entrywise
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import INSTANCE_BOUNDS, Table
from sipp_core.pruning.result import LayerReport
from sipp_core.sensitivity.calibrate import Calibration

CORENET = ("corenet", "corenet+", "corenet++")
# Their promises speak of the weights that were dropped, so they need no probability; "random" chose
# them by chance, and is promised what its own mask allows.
DETERMINISTIC = ("sipp-det", "sipp-recentred", "magnitude", "random", "wanda", "snip", "svd",
                 "filters-det")  # fmt: skip
# They write new weights, and leave no mask of the old ones.
NETTRIM = ("nettrim", "nettrim-cascade", "nettrim-cvxpy", "nettrim-cvxpy-cascade")
FILTERS = ("filters-det", "filters-rand")
REWRITING = ("svd", *NETTRIM, *FILTERS)


def layer_report(table: Table, plan: LayerPlan, mask: Tensor, dead: Tensor | None) -> LayerReport:
    """Report what pruning did to one layer.

    Shapes: dead (out,) bool.

    Claim: SP-9 (a neuron's promise is the worse of its signs'). Source: [SP] arXiv 1910.05422.
    """
    kept = mask.flatten(1).cpu().numpy()
    live = table.total > 0
    eps = np.where(live, plan.eps, 0.0).max(axis=0)
    neurons = live.any(axis=0)
    return LayerReport(
        name=plan.name,
        shape=(table.weight.shape[0], table.weight.shape[1]),
        nnz_before=int((table.weight != 0).sum()),
        nnz_after=int(kept.sum()),
        eps=float(eps.max(initial=0.0)),
        eps_neuron=eps,
        budgets=np.stack([(kept & plan.sign(s)).sum(axis=1) for s in (0, 1)]),
        draws=plan.draws,
        sensitivity_sum=table.total,
        whole=int((neurons & (plan.whole | ~live).all(axis=0)).sum()),
        dead=int((~neurons).sum()),
        removed=0 if dead is None else int(dead.sum()),
        vacuous_neurons=int((eps >= 1).sum()),
    )


def is_vacuous(
    plans: Sequence[LayerPlan], reports: Sequence[LayerReport], guaranteed: bool
) -> bool:
    """Tell whether a run's promises say nothing."""
    if guaranteed and plans:
        return all(bool((p.whole | p.dead).all()) for p in plans)
    return any(report.vacuous_neurons for report in reports)


def network_note(tables: Sequence[Table], size: sipp_theory.NetworkSize, delta: float) -> str:
    """Say what CoreNet's network theorem asks for, layer by layer with the factors that make it.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, Theorem 4.
    """
    added = float(sipp_theory.kappa(tables[0].eta, tables[0].eta_star, delta))
    parts = []
    for table, draws, eps in zip(tables, size.sizes, size.errors, strict=True):
        worst = float(table.statistics.cancellation.max())
        parts.append(
            f"{table.statistics.name}: worst mean Delta {worst:.4g} (Delta^ adds kappa = "
            f"{added:.4g}), eps_l {eps:.2g}, up to "
            f"{float(np.max(draws)):.2g} draws for {table.weight.shape[1]} weights a neuron"
        )
    asked = sum(
        int(((m >= t.support) & (t.total > 0)).sum())
        for m, t in zip(size.sizes, tables, strict=True)
    )
    live = sum(int((t.total > 0).sum()) for t in tables)
    verdict = "vacuous: " if asked == live else ""
    return (
        f"NW-5 {verdict}{asked} of {live} (neuron, sign) pairs ask for more draws than weights. "
        + "; ".join(parts)
    )


def amplified_note(delta: float) -> str:
    """Say what the choice among candidates means for a promise.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet++), statement [OWN].
    """
    tau = int(sipp_theory.candidates(delta))
    return (
        f"the best of tau = {tau} candidates per neuron and sign was chosen on held-out inputs "
        "(SP-10); at a fresh input the failure probability of the choice is up to tau times that "
        "of one candidate"
    )


def notes_on(
    stats: Calibration, reports: Sequence[LayerReport], bound: str, guaranteed: bool
) -> list[str]:
    """Say what a reader should know: dtypes, dead and whole neurons, samples, repeats."""
    notes = []
    half = [s.name for s in stats.layers if s.layer.weight.dtype in (torch.float16, torch.bfloat16)]
    if half:
        notes.append(f"half-precision layers were measured in float32: {', '.join(half)}")
    dead = {r.name: r.dead for r in reports if r.dead and r.nnz_after < r.nnz_before}
    if dead:
        gone = not any(r.budgets[:, (r.sensitivity_sum == 0).all(axis=0)].any() for r in reports)
        notes.append(
            "no calibration input reached these many neurons"
            + (", and their weights were removed (exact on the calibration set)" if gone else "")
            + f": {dead}"
        )
    if guaranteed:
        whole = {r.name: f"{r.whole} of {r.shape[0]}" for r in reports if r.whole}
        if whole:
            notes.append(f"neurons kept whole because the bound asks for too much: {whole}")
    partial = [s.name for s in stats.layers if not s.complete]
    if bound in INSTANCE_BOUNDS and partial:
        notes.append(
            f"bound {bound!r} speaks of a uniform sample of the activation rows in "
            f"{', '.join(partial)}; raise points= to cover all of them"
        )
    if stats.left_whole:
        notes.append(
            "left whole, because no layer of a known kind multiplies by them: "
            + ", ".join(stats.left_whole)
        )
    if stats.distinct < stats.inputs:
        notes.append(f"{stats.inputs - stats.distinct} calibration inputs are repeats of others")
    return notes


def holds_for(method: str, bound: str, guaranteed: bool, factor: float, amplified: bool) -> str:
    """Say which inputs the promises speak of, and with what probability."""
    if method in CORENET and guaranteed:
        return (
            "the network's output at a fresh input, entrywise, with probability 1 - delta over "
            "draws and calibration, under assumptions A1 and A2 (ES-4, NW-4)"
        )
    if method in NETTRIM:
        return (
            "||Y^ - Y||_F <= eps ||Y||_F over the calibration inputs, for each layer's own program "
            "(NT-1); nothing is left to chance, and no neuron is promised anything by itself"
        )
    where = "each calibration input"
    if bound in INSTANCE_BOUNDS:
        where = "each calibration row kept for the bound"
    elif factor > 1:
        where = f"each input at which every share g_j is at most {factor:g} times its sensitivity"
    text = f"|z^ - z| <= eps z~ at {where}, per neuron given the layer's input"
    if method not in DETERMINISTIC:
        text += ", with probability 1 - delta over the draws"
    if amplified:
        text += ", for one candidate (see notes on the choice among tau)"
    return text


def claims_of(method: str, bound: str, guaranteed: bool, by_mean: bool = False) -> tuple[str, ...]:
    """List the THEORY ids that a run's promises rest on."""
    by_bound = {
        "corenet": "SP-2",
        "bernstein": "SP-3",
        "kl": "SP-4",
        "cramer": "SP-5",
        "exact": "SP-5x",
    }
    if method in NETTRIM:
        return ("NT-1", "NT-3" if method.endswith("cascade") else "NT-2")
    claims = ["ES-1", "SP-9"]
    if method in FILTERS:
        return (*claims, "SP-6" if method == "filters-det" else "PF-2")
    if method in ("sipp-rand", "sipp-hybrid", "uniform", *entrywise.KINDS, *CORENET):
        claims += ["SP-1", by_bound[bound]]
    if method in ("sipp-hybrid", *DETERMINISTIC):
        claims.append("SP-6")
    if method == "sipp-hybrid":
        claims.append("SP-7")
    if method == "sipp-poisson":
        claims += ["SP-8"] + (["SP-5x"] if bound == "exact" else [])
    if method in entrywise.KINDS:
        claims.append("MS-1")
    if method in CORENET[1:]:
        claims.append("SP-10")
    if method in CORENET and guaranteed:
        claims.append("NW-5")
    elif not guaranteed and not by_mean and method.startswith(("sipp", "corenet")):
        claims.append("AL-1")
    return tuple(claims)
