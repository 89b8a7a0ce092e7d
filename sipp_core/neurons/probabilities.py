"""How likely each neuron is to be drawn, and what NC-8 says of draws by a cone's shares."""

from __future__ import annotations

import numpy as np

import sipp_theory
from sipp_core.neurons.selection import Selection
from sipp_core.neurons.tables import NeuronTable
from sipp_core.runtime.numbers import Float


def probabilities(rule: str, table: NeuronTable) -> Float:
    """(units,) probability of each neuron in one draw."""
    n = table.group.units
    loads, heavy = table.loads, table.heaviest
    if rule == "mussay":
        size = np.sqrt((table.incoming**2).sum(axis=1) + table.bias**2)
        peak = np.sqrt(table.size**2 + 1) * size
        if table.act:
            peak = np.maximum(sipp_theory.ACTIVATIONS[table.act].function(peak), 0.0)
        scores = heavy * peak
    elif rule == "mussay-corrected":
        scores = loads
    elif rule == "uniform":
        scores = (loads > 0).astype(float)
    elif rule == "tukan":
        augmented = np.c_[table.incoming, table.bias]
        scores = sipp_theory.peeled_sensitivities(augmented * heavy[:, None])[0]
    else:
        scores = _shares(table)
    total = scores.sum()
    return scores / total if total > 0 else np.full(n, 1 / n)


def _shares(table: NeuronTable) -> Float:
    """(units,) NC-8's sensitivities, the bias as one more coordinate."""
    augmented = np.c_[table.incoming, table.bias]
    cone = "nonnegative" if table.nonnegative else "all"
    return sipp_theory.cone_sensitivities(augmented, table.heaviest, cone)


def relative_promise(table: NeuronTable, s: Selection, delta: float) -> str:
    """What SP-3 says of cone draws, relative to sum_p max_i |w_i(p)| relu(z_p)."""
    shares, names = _shares(table), ", ".join(table.group.producers)
    total = float(shares.sum())
    if shares.min() >= 1 - 1e-6:
        return (
            f"{names}: some input makes any neuron the only one, so shares are all 1 and the draws "
            "uniform (NC-8r): no relative promise is possible"
        )
    if not (table.act == "relu" and table.dense) or s.draws < 1:
        return f"{names}: NC-8 speaks of a Linear layer and ReLU alone"
    # Both signs together: a draw lies in [-S, S], so SP-3's range is 2 S.
    eps = float(sipp_theory.bernstein_error(max(1.0, 2 * total), s.draws, delta / table.outputs))
    return (
        f"{names}: S = {total:.4g} of {len(shares)} over the cone; error over sum |w| relu(z) at "
        f"one input at most {eps:.3g}"
    )
