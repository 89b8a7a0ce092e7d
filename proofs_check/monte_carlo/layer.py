"""Coverage of a whole layer's promises: every sign of every neuron at its own worst row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofs_check.ledger.judging import CONFIDENCE, Coverage, Where, judge
from proofs_check.monte_carlo.neuron import TIE
from proofs_check.monte_carlo.sampling import (
    LARGEST_CHUNK,
    coupled_estimates,
    draw_estimates,
    draw_law,
    inclusion_estimates,
)
from sipp_core.pruning import LayerPlan
from sipp_core.runtime import Bool, Float

LAYER_STREAM = 31


@dataclass(frozen=True, eq=False)
class LayerCoverage:
    """Failures of every (sign, neuron) pair of a layer; sign index 0 is positive.

    Attributes:
        name: the layer.
        trials: pruned versions of each pair.
        eps: (2, out) float64 error that had to be met.
        delta: (2, out) float64 failure probability promised.
        failures: (2, out) int64.
        point: (2, out) int64, row of largest mean square error; -1 for pairs that never fire.
        tested: (2, out) bool, pairs that fire on some row and promise an error below 1.
        verdict: (2, out) text, "" where not tested; corrected for the number of pairs tested.
        worst: the pair whose failures are least likely under its promise, None if none was tested.
        worst_pair: (sign index, neuron) of it.
        seed: seed of the trials.
    """

    name: str
    trials: int
    eps: Float
    delta: Float
    failures: NDArray[np.int64]
    point: NDArray[np.int64]
    tested: Bool
    verdict: NDArray[np.str_]
    worst: Coverage | None
    worst_pair: tuple[int, int] | None
    seed: int

    @property
    def refuted(self) -> tuple[tuple[int, int], ...]:
        """Pairs (sign index, neuron) whose promise is refuted."""
        return tuple((int(s), int(i)) for s, i in np.argwhere(self.verdict == "refuted"))

    def summary(self) -> dict[str, object]:
        """Counts and the worst pair, ready for JSON."""
        return {
            "name": self.name,
            "trials": self.trials,
            "pairs": int(self.tested.sum()),
            "verdicts": {
                v: int((self.verdict == v).sum()) for v in ("consistent", "refuted", "undecided")
            },
            "refuted": [list(pair) for pair in self.refuted],
            "worst": None if self.worst is None else self.worst.summary(),
            "worst_pair": None if self.worst_pair is None else list(self.worst_pair),
            "seed": self.seed,
        }


def layer_coverage(
    plan: LayerPlan,
    weight: ArrayLike,
    activations: ArrayLike,
    *,
    delta: ArrayLike,
    eps: ArrayLike | None = None,
    trials: int = 2_000,
    seed: int = 0,
    claim: str = "none",
    where: Where = "calibration",
    confidence: float = CONFIDENCE,
    chunk: int = LARGEST_CHUNK,
) -> LayerCoverage:
    """Test the promise of a plan, Pr(|z^s^ - z^s| > eps z^s) <= delta, for every sign and neuron.

    Each pair is drawn `trials` times by the law that the plan names and looked at where its mean
    square error is largest, computed for all rows beforehand (exactly, but for coupled inclusion,
    which is taken as independent there). Verdicts are corrected for
    the number of pairs (Bonferroni). Promises of 1 or more are vacuous and not tested.

    Args:
        plan: how the layer is kept, as in `PruneResult.plans`.
        weight: (out, fan_in) weights before pruning.
        activations: (n, fan_in) or (groups, n, fan_in) rows that enter the layer; signed rows count
            as two non-negative ones.
        delta: failure probability of one sign of one neuron at one row, in (0, 1); a number or
            (2, out).
        eps: relative error, a number or (2, out); the plan's own promises if not given.
        trials: pruned versions of each pair, >= 1.
        seed: seed of the trials, >= 0.
        claim: id of the claim under test, for the record.
        where: what the rows are, for the record.
        confidence: one-sided confidence of all verdicts together, in (0.5, 1).
        chunk: largest number of float64 held at once, roughly.

    Returns:
        Failures and verdicts of all pairs.

    Raises:
        ValueError: shapes that do not fit the plan, or values out of range.

    Claim: SP-2 to SP-8, whichever made the plan. Source: the claim's; the count is [OWN].

    Example:
        >>> one = np.ones((1, 2)); no = np.zeros((2, 1), bool); half = np.full((1, 2), 0.5)
        >>> plan = LayerPlan("a", one, one > 0, one > 0, half, no * 0.0, no + 0.1, no, no,
        ...                  no + 1.0)
        >>> layer_coverage(plan, [[1.0, 2.0]], [[1.0, 1.0]], delta=0.05).refuted
        ((0, 0),)
    """
    w = _checked_weight(plan, weight)
    rows = _checked_rows(w, activations)
    limit, failure = _checked_promise(plan, eps, delta)
    point = _worst_rows(plan, w, rows, chunk)
    tested = (point >= 0) & (limit < 1)
    failures = np.zeros(point.shape, np.int64)
    per_group = len(w) // rows.shape[0]
    for sign, neuron in np.argwhere(tested):
        row = rows[neuron // per_group, point[sign, neuron]]
        part = np.where(plan.sign(sign)[neuron], np.abs(w[neuron]) * row, 0.0)
        estimates = _estimates(plan, sign, neuron, part / part.sum(), trials, seed)
        bad = np.abs(plan.scale[sign, neuron] * estimates - 1) > limit[sign, neuron] + TIE
        failures[sign, neuron] = np.count_nonzero(bad)
    return _judged(
        plan, limit, failure, failures, point, tested, trials, seed, claim, where, confidence
    )


def _estimates(
    plan: LayerPlan, sign: int, neuron: int, shares: Float, trials: int, seed: int
) -> Float:
    stream = (LAYER_STREAM, sign, neuron)
    m = int(plan.draws[sign, neuron])
    if m == 0 and plan.coupled:
        p = np.where(plan.sign(sign)[neuron], plan.probability[neuron], 0.0)
        return coupled_estimates(shares, p, trials, seed, *stream)
    if m == 0:
        return inclusion_estimates(shares, plan.probability[neuron], trials, seed, *stream)
    mine = np.where(plan.sign(sign)[neuron], plan.scores[neuron], 0.0)
    return draw_estimates(draw_law(shares, mine / mine.sum()), m, trials, seed, *stream)


def _worst_rows(plan: LayerPlan, w: Float, rows: Float, chunk: int) -> NDArray[np.int64]:
    """Row of largest E (z^/z - 1)^2 per pair, (2, out); -1 where no row fires."""
    out, groups = len(w), rows.shape[0]
    block = out // groups
    best = np.full((2, out), -1.0)
    point = np.full((2, out), -1, np.int64)
    step = max(1, chunk // max(4 * block, rows.shape[2]))
    for sign in (0, 1):
        q = plan.draw_probabilities(sign)
        drawn = plan.draws[sign][:, None] > 0
        m = np.maximum(plan.draws[sign], 1.0)
        size = np.where(plan.sign(sign), np.abs(w), 0.0)
        factor = plan.scale[sign]
        p = np.where(drawn, q, plan.probability)
        kept = np.where(p > 0, size, 0.0)
        over = np.divide(kept**2, p, out=np.zeros_like(kept), where=p > 0)
        spread = np.where(drawn, over / m[:, None], over - kept**2)
        shrink = np.where(drawn[:, 0], 1 / m, 0.0)
        for group in range(groups):
            mine = slice(group * block, (group + 1) * block)
            for start in range(0, rows.shape[1], step):
                a = rows[group, start : start + step]
                z, reached = a @ size[mine].T, a @ kept[mine].T
                live = z > 0
                safe = np.where(live, z, 1.0)
                share = reached / safe
                square = (a**2 @ spread[mine].T) / safe**2 - shrink[mine] * share**2
                square = factor[mine] ** 2 * np.maximum(square, 0)
                square = np.where(live, square + (1 - factor[mine] * share) ** 2, -1.0)
                top = square.argmax(axis=0)
                value = square[top, np.arange(block)]
                better = value > best[sign, mine]
                point[sign, mine] = np.where(better, top + start, point[sign, mine])
                best[sign, mine] = np.maximum(value, best[sign, mine])
    return point


def _judged(
    plan: LayerPlan, eps: Float, delta: Float, failures: NDArray[np.int64],
    point: NDArray[np.int64], tested: Bool, trials: int, seed: int, claim: str, where: Where,
    confidence: float,
) -> LayerCoverage:  # fmt: skip
    looks = max(1, int(tested.sum()))
    verdict = np.full(tested.shape, "", dtype="<U10")
    known: dict[tuple[int, float], Coverage] = {}
    worst: Coverage | None = None
    worst_pair: tuple[int, int] | None = None
    for sign, neuron in np.argwhere(tested):
        key = (int(failures[sign, neuron]), float(delta[sign, neuron]))
        if key not in known:
            low, high, level, word = judge(
                key[0], trials, key[1], looks=looks, confidence=confidence
            )
            m = float(plan.draws[sign, neuron])
            known[key] = Coverage(
                claim, "draws" if m else "inclusion", where, float(eps[sign, neuron]), key[1], m,
                trials, key[0], low, high, level, word, int(point[sign, neuron]), seed,
            )  # fmt: skip
            if worst is None or known[key].p_value < worst.p_value:
                worst, worst_pair = known[key], (int(sign), int(neuron))
        verdict[sign, neuron] = known[key].verdict
    return LayerCoverage(
        plan.name, trials, eps, delta, failures, point, tested, verdict, worst, worst_pair, seed
    )


def _checked_weight(plan: LayerPlan, weight: ArrayLike) -> Float:
    w = np.asarray(weight, np.float64)
    if w.shape != plan.scores.shape:
        raise ValueError(f"weight must have the plan's shape {plan.scores.shape}; found {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError(f"weight must be finite; found {w[~np.isfinite(w)][0]}")
    wrong = (plan.nonzero != (w != 0)) | (plan.positive != (w > 0))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"weight has another sign than in the plan at index {index}: {w[index]}")
    return w


def _checked_rows(w: Float, activations: ArrayLike) -> Float:
    rows = np.asarray(activations, np.float64)
    rows = rows[None] if rows.ndim == 2 else rows
    if rows.ndim != 3 or rows.shape[2] != w.shape[1] or rows.shape[1] == 0:
        raise ValueError(
            f"activations must be (n, {w.shape[1]}) or (groups, n, {w.shape[1]}) with n >= 1; "
            f"found shape {np.asarray(activations).shape}"
        )
    if len(w) % rows.shape[0]:
        raise ValueError(f"{len(w)} neurons cannot be divided among {rows.shape[0]} groups")
    if not np.isfinite(rows).all():
        raise ValueError(f"activations must be finite; found {rows[~np.isfinite(rows)][0]}")
    if (rows < 0).any():
        rows = np.concatenate([np.maximum(rows, 0), np.maximum(-rows, 0)], axis=1)
    return rows


def _checked_promise(
    plan: LayerPlan, eps: ArrayLike | None, delta: ArrayLike
) -> tuple[Float, Float]:
    shape = plan.draws.shape
    limit = np.broadcast_to(np.asarray(plan.eps if eps is None else eps, np.float64), shape)
    failure = np.broadcast_to(np.asarray(delta, np.float64), shape)
    if not (limit >= 0).all():
        raise ValueError(f"eps must be >= 0; found {float(np.min(limit))}")
    bad = ~((failure > 0) & (failure < 1))
    if bad.any():
        raise ValueError(f"delta must lie in (0, 1); found {float(failure[bad][0])}")
    return limit, failure
