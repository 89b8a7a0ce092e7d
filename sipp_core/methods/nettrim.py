"""Net-Trim as a method of `prune`: parallel or in cascade, by our solver or by cvxpy."""

from __future__ import annotations

import math

from torch import Tensor

from sipp_core.nettrim.network import Retrimmed, Solver, retrim
from sipp_core.pruning.job import Job, Sparsified
from sipp_core.pruning.rewriting import Rewrite, rewrite
from sipp_core.runtime.numbers import Float

METHODS = ("nettrim", "nettrim-cascade", "nettrim-cvxpy", "nettrim-cvxpy-cascade")


def sparsify(job: Job) -> Sparsified:
    """Replace the weights of every dense layer by sparse ones that do the same on the inputs.

    eps is relative to ||Y||_F of a layer's outputs on the calibration inputs, and nothing is left
    to chance. keep takes for each layer the eps whose solution is just within the budget (parallel,
    our solver). The default settings are those of `nettrim_network.retrim`, which has them all.

    Claim: NT-1, NT-2, NT-3. Source: Aghasi et al., arXiv 1611.05162.
    """
    assert job.inputs is not None
    wanted = {layer.name for layer in job.stats.layers}
    solver: Solver = "cvxpy" if "cvxpy" in job.method else "admm"
    done = retrim(
        job.model,
        job.inputs,
        eps=job.eps,
        keep=job.keep,
        cascade=job.method.endswith("cascade"),
        layers=lambda name, _: name in wanted,
        solver=solver,
        progress=job.progress,
    )
    rewrites = [
        Rewrite(
            layer.name,
            done.layers[layer.name].weight.cpu().numpy(),
            bias=_numbers(done.layers[layer.name].bias),
        )
        for layer in job.stats.layers
    ]
    found = rewrite(job, rewrites)
    kept_all = all(report.nnz_after == report.nnz_before for report in found.reports)
    return Sparsified(
        found.model,
        found.reports,
        found.masks,
        notes=(*found.notes, _note(done)),
        vacuous=job.keep is None and kept_all,
    )


def _numbers(bias: Tensor | None) -> Float | None:
    return None if bias is None else bias.double().cpu().numpy()


def _note(done: Retrimmed) -> str:
    """What each layer's program came to, and what NT-2 or NT-3 says of the whole."""
    parts = []
    for (name, layer), promised in zip(done.layers.items(), done.promised, strict=True):
        gap = "" if math.isnan(layer.gap) else f", duality gap {layer.gap:.1g}"
        composed = "nothing" if math.isinf(promised) else f"{promised:.4g}"
        parts.append(
            f"{name}: ||Y^ - Y|| is {layer.constraint:.4g} of {layer.eps:.4g} allowed{gap}, "
            f"composed promise {composed}"
        )
    rule = "NT-3" if done.cascade else "NT-2"
    chain = "" if done.chained else "; the layers do not feed one another through ReLU alone"
    return f"{rule}, Frobenius norm over the calibration inputs{chain}. " + "; ".join(parts)
