"""What is promised is paid for: factors of coverage, and neurons that CoreNet+ removes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.ledger.registry import Setting, oracle
from sipp_core import calibrate, empirical_sensitivity
from sipp_core.methods import CoreNetPlus, CoreNetPlusPlus, corenet, registered
from sipp_core.pruning import prune, table
from sipp_theory import BOUNDS

FACTOR = 1000.0


@oracle("SP-2", "SP-9")
def coverage_is_paid_or_refused(setting: Setting) -> Result:
    """A promise for inputs that a factor covers costs more than one for the inputs seen."""
    net = nn.Linear(300, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(net.weight)
    rows = torch.ones(1, 300, dtype=torch.float64)
    paid, refused = 0, 0
    for method in registered().values():
        if not {"keep", "bound", "coverage_factor"} <= method.takes:
            continue
        for bound in filter(method.accepts, BOUNDS.values()):
            call = {"method": method, "bound": bound, "keep": 0.9, "delta": 0.1}
            if bound.knows in ("shares", "neuron"):
                call["points"] = 8
            try:
                far = prune(net, rows, **call, coverage_factor=FACTOR).layers[0].eps
            except ValueError:
                refused += 1
                continue
            near = prune(net, rows, **call).layers[0].eps
            # Three inputs on have shares 1/3 = 100 times the sensitivities 1/300: to lose one of
            # them is an error of a third, which no promise for the calibration inputs covers.
            if not far > near:
                raise Refuted(
                    f"{method.name} by {bound.name}: eps {far!r} at C = {FACTOR:g}, {near!r} at 1"
                )
            paid += 1
    if not (paid and refused):
        raise Refuted(f"{paid} combinations were paid for and {refused} refused")
    return Result(f"{paid} combinations cost more, {refused} are refused", cases=paid + refused)


@oracle("SP-10")
def removed_neurons_say_so(setting: Setting) -> Result:
    """A neuron that CoreNet+ removed although something reached it is promised an error of 1."""
    first = nn.Linear(4, 3)
    net = nn.Sequential(first, nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        first.weight[0] = 0.1
        first.bias[0] = -5.0  # never fires, though its sum is above 0
    rows = torch.rand(40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    result = prune(net, rows, method=CoreNetPlus(), keep=0.6, delta=0.1, seed=setting.seed)
    report = result.layers[0]
    gone = (result.model.get_submodule("0").get_parameter("weight")[0] == 0).all()
    reached = calibrate(net, rows).layers[0].sensitivity[0].max() > 0
    if not (gone and reached):
        raise Refuted("the neuron was not removed, or nothing reached it")
    if report.eps_neuron[0] < 1 or report.eps < 1:
        raise Refuted(f"it is promised eps {report.eps_neuron[0]!r}, the layer {report.eps!r}")
    return Result(cases=1)


@oracle("SP-10")
def candidates_share_delta(setting: Setting) -> Result:
    """CoreNet++ promises of its chosen candidate what none of the candidates fails to keep."""
    rng = torch.Generator().manual_seed(setting.seed)
    rows = torch.rand(9, 40, generator=rng, dtype=torch.float64)
    net = nn.Linear(40, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(net.weight)  # one sign, so that all of delta is this pair's
    total = float(empirical_sensitivity(net.weight.detach(), rows).sum())
    for delta in (0.3, 0.05):
        tau = float(sipp_theory.candidates(delta))
        for bound in ("bernstein", "kl"):
            # Every fifth input is set aside, a copy of those that stay.
            result = prune(net, rows.repeat_interleave(5, dim=0), method=CoreNetPlusPlus(),
                           bound=bound, keep=0.5, delta=delta, seed=setting.seed)  # fmt: skip
            m = float(result.plans[0].draws[0, 0])
            promised = float(result.plans[0].eps[0, 0])
            one = sipp_theory.error(bound, sensitivity_sum=total, m=m, delta=delta / tau)
            if promised < one * (1 - 1e-6):
                raise Refuted(
                    f"{bound}, {m:g} draws, delta {delta}: {promised!r} is promised of the best of "
                    f"{tau:g}, of which each keeps {one!r} but with delta/tau"
                )
    return Result(cases=4)


def _only_counted(_: Function) -> Function:
    def wrong(report: object, dead: np.ndarray, seen: np.ndarray) -> object:
        return replace(report, removed=int(dead.sum()), dead=int((~seen).sum()))  # type: ignore[type-var]

    return wrong


MUTATIONS = (
    Mutation("SP-2", "coverage_promised_for_nothing",
             "A coverage factor that the bound ignores is taken and promised all the same.",
             table.refuse_coverage, lambda original: lambda bound, factor: None,
             (coverage_is_paid_or_refused,)),
    Mutation("SP-10", "removed_for_nothing",
             "A neuron that was removed with its edges keeps the eps that its draws had.",
             corenet._with_removed, _only_counted, (removed_neurons_say_so,)),
    Mutation("SP-10", "delta_for_each_candidate",
             "Each of tau candidates may fail with the whole delta.", corenet.one_candidate,
             lambda original: lambda request: request, (candidates_share_delta,)),
)  # fmt: skip
