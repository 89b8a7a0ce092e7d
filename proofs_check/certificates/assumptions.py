"""The assumption behind the certificates: held-out inputs are like those that will come."""

from __future__ import annotations

from scipy import stats

import sipp_core
from proofs_check.instances import methods, trained
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, assumption
from sipp_core.certificates import output_errors
from sipp_core.runtime import Float, generator

HELD_OUT_STREAM = 74
LEVEL = 1e-3


def _shift(first: Float, second: Float) -> float:
    """How surprising the difference of two samples of errors is, if they are of one law."""
    return float(stats.mannwhitneyu(first, second).pvalue)


@assumption("A-held-out")
def halves_of_the_fresh_inputs(setting: Setting) -> Result:
    """Output errors of a pruned network on a random half of the fresh inputs and on the other."""
    lines, series = [], {}
    for number, name in enumerate(trained.names(setting)):
        network = trained.network(setting, name)
        pruned = sipp_core.prune(network.model, network.train[:256], method=methods.PLAIN, keep=0.5)
        errors, _ = output_errors(network.model, pruned.model, network.fresh)
        half = len(errors) // 2
        order = generator(setting.seed, HELD_OUT_STREAM, number).permutation(len(errors))
        p_value = _shift(errors[order[:half]], errors[order[half:]])
        in_order = _shift(errors[:half], errors[half:])
        lines.append(
            f"{name}: p = {p_value:.3g} for {half} inputs against {len(errors) - half}, split at "
            f"random; split in the order of the file p = {in_order:.3g}"
        )
        series[f"{name} p"] = [p_value, in_order]
        if p_value <= LEVEL:
            raise Refuted(f"held-out inputs differ from those that come: {lines[-1]}", series)
    return Result("; ".join(lines), cases=len(lines), series=series)
