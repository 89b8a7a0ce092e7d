"""Net-Trim as a method of `prune`: parallel or in cascade, by our solver or by cvxpy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from torch import Tensor

from sipp_core.nettrim.network import Retrimmed, Solver, retrim
from sipp_core.pruning.method import Facts, Method, Needs, Promise, Pruned, register
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.writing import Rewrite, rewrite
from sipp_core.runtime.numbers import Float
from sipp_core.sensitivity.calibrate import Calibration

SOLVERS = ("admm", "cvxpy")


@dataclass(frozen=True)
class NetTrim(Method):
    """Replace the weights of every dense layer by sparse ones that do the same on the inputs.

    eps is relative to ||Y||_F of a layer's outputs on the calibration inputs, and nothing is left
    to chance. keep takes for each layer the eps whose solution is just within the budget (parallel,
    our solver). The other settings are those of `sipp_core.nettrim.retrim`, which has them all.

    Attributes:
        cascade: whether each layer is trimmed on what the layers trimmed before it make.
        solver: "admm", ours, or "cvxpy".

    Claim: NT-1, NT-2, NT-3. Source: Aghasi et al., arXiv 1611.05162.
    """

    cascade: bool = False
    solver: Solver = "admm"
    name: str = field(init=False, repr=False)
    facts: Facts = field(init=False, repr=False)
    random = False
    certain = True
    takes: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(SOLVERS)}; found {self.solver!r}")
        general = self.solver != "admm"
        label = "Net-Trim" + " cascade" * self.cascade + f" ({self.solver})" * general
        how = "solved by a general convex solver" if general else "solved by our own solver"
        note = (
            f"Net-Trim layer after layer, each on what the layers trimmed before it make; {how}."
            if self.cascade
            else "Each layer gets the weights of least absolute sum whose outputs on the inputs "
            f"stay within eps; a convex program, {how}."
        )
        name = "nettrim" + f"-{self.solver}" * general + "-cascade" * self.cascade
        object.__setattr__(self, "name", name)
        # A cascade's later radii follow from eps, and the search for one that keeps so many weights
        # needs warm starts.
        takes = {"eps"} if self.cascade or general else {"keep", "eps"}
        object.__setattr__(self, "takes", frozenset(takes))
        object.__setattr__(self, "facts", Facts(label, "peer", note, "arXiv 1611.05162"))

    def needs(self, request: Request) -> Needs:
        """The inputs, on which every layer's program is set up."""
        return Needs(inputs=True)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Trim, write, and say what the programs came to."""
        assert calibration.held_inputs is not None
        names = [layer.name for layer in calibration.layers]
        target = request.target
        done = retrim(
            request.model,
            calibration.held_inputs,
            eps=None if isinstance(target, Keep) else target.eps,
            keep=target.fraction if isinstance(target, Keep) else None,
            cascade=self.cascade,
            layers=lambda name, _: name in names,
            solver=self.solver,
            progress=request.progress,
        )
        trimmed = ((name, done.layers[name]) for name in names)
        rewrites = [Rewrite(n, t.weight.cpu().numpy(), bias=_numbers(t.bias)) for n, t in trimmed]
        new = rewrite(request, calibration, rewrites)
        whole = all(report.nnz_after == report.nnz_before for report in new.reports)
        constant = [r.name for r in new.reports if r.nnz_before and not r.nnz_after]
        notes = (*new.notes, _note(done), *map(_constant, constant))
        vacuous = whole if request.guaranteed else bool(constant)
        return replace(new, notes=notes, vacuous=vacuous)

    def promise(self, request: Request) -> Promise:
        """NT-1 for each layer's own program, composed by NT-2 or NT-3."""
        return Promise(
            ("NT-1", "NT-3" if self.cascade else "NT-2"),
            "||Y^ - Y||_F <= eps ||Y||_F over the calibration inputs, for each layer's own program "
            "(NT-1) before its weights are rounded to their dtype; of the stored weights the notes "
            "say what it is; nothing is left to chance, and no neuron is promised anything by "
            "itself",
        )


for _solver in SOLVERS:
    for _cascade in (False, True):
        register(NetTrim(_cascade, _solver))


def _numbers(bias: Tensor | None) -> Float | None:
    return None if bias is None else bias.double().cpu().numpy()


def _constant(name: str) -> str:
    return (
        f"layer {name!r} has no weight left, so that its output does not depend on its inputs; "
        "keep more weights, or take a smaller eps"
    )


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
