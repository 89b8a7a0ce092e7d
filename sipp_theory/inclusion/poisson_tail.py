"""SP-8 at the given inputs: Cramer's bound and the exact tail of independent inclusion.

What a rate promises there follows from the shares themselves: sum_j g_j (B_j/p_j - 1) is a sum of
independent two-point laws, whose tail the Chernoff bound or a convolution on a grid bounds from
above. The grid's bookkeeping is that of `draws.exact`, the search over inputs that of
`draws.worst_input`.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from sipp_theory.draws.cramer import inverse_rate
from sipp_theory.draws.exact import BOOKKEEPING, LARGEST_WINDOW, bernstein_radius, tail_quantile
from sipp_theory.draws.law_of_a_draw import Instance, inclusion_instance, inclusion_log_mgf
from sipp_theory.draws.worst_input import search_rows, worst_error
from sipp_theory.inclusion.poisson_rate import Bennett, Checked, Weights, inclusion_probabilities
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

RATE_TOLERANCE = 2e-3
# Rates at which the likeliest weight is kept less often than this are not told apart.
LEAST_CERTAINTY = 1e-6


def coins_tail(values: Float, p: Float, delta: float) -> float:
    """Exact-tail error of sum_j v_j (B_j - p_j), v of any sign: two-point laws folded in in turn.

    Direct convolution adds only non-negative numbers, so its float error is relative and tiny.
    """
    variance = float((p * (1 - p)) @ values**2)
    if variance == 0:
        return 0.0
    log = float(np.log(1 / (BOOKKEEPING * delta)))
    # Residues add up like sqrt(weights), so a finer grid for more of them keeps their share fixed.
    active = np.flatnonzero(values)
    values, p = values[active], p[active]
    step = np.sqrt(variance) / max(128.0, 16.0 * np.sqrt(values.size))
    grid = np.rint(values / step)
    residue = values - step * grid
    rounded = bernstein_radius(float((p * (1 - p)) @ residue**2), float(np.abs(residue).max()), log)
    reach = bernstein_radius(variance, float(np.abs(values).max()), log) + rounded
    size = int(2 * np.ceil(reach / step) + 8)
    if size > LARGEST_WINDOW:
        return np.inf
    centre = int(np.rint(float(grid @ p)))
    pmf = np.zeros(size)
    pmf[-centre % size] = 1.0
    moved = np.empty_like(pmf)
    # A weight that rounds to 0 moves nothing; its residue is in the radius.
    for jump, chance in zip(grid[grid != 0].astype(np.int64) % size, p[grid != 0], strict=True):
        moved[jump:], moved[:jump] = pmf[: size - jump], pmf[size - jump :]
        pmf *= 1 - chance
        moved *= chance
        pmf += moved
    steps = tail_quantile(pmf, 4 * BOOKKEEPING * delta + 1e-14 * values.size, delta)
    shift = abs(float(grid @ p) - centre) * step
    return float(nm.up((step * steps + shift + rounded) * (1 + 1e-12)))


def _screen(instance: Instance, delta: float) -> Float:
    """Bernstein with each input's own variance: an upper bound of every instance-exact error."""
    values, p = instance.shares / instance.probabilities, instance.probabilities
    log = nm.log_over(2.0, delta)
    linear = values.max(axis=1, initial=0.0) * log / 3
    variance = values**2 @ (p * (1 - p))
    return nm.up((linear + np.sqrt(linear**2 + 2 * variance * log)) * (1 + 1e-12))


class AtInputs(Checked):
    """An inclusion bound that follows from the shares at the given inputs."""

    needs_shares = True

    @abstractmethod
    def row_errors(self, part: Instance, delta: float, floor: float) -> Float:
        """Error at each input, which need be no better than Cramer's where that is <= floor."""

    def promised(self, weights: Weights, rate: float) -> float:
        """Error at a rate above 0."""
        assert weights.shares is not None
        p = inclusion_probabilities(weights.s, rate)
        return self.worst_error(inclusion_instance(weights.shares, p), weights.delta)

    def worst_error(self, instance: Instance, delta: float) -> float:
        """Worst error over the inputs."""
        if instance.shares.size == 0:
            return 0.0
        return worst_error(
            instance,
            _screen(instance, delta),
            lambda part, floor: self.row_errors(part, delta, floor),
            0.0,
        )[0]

    def failing_row(self, instance: Instance, delta: float, eps: float) -> int:
        """An input whose error exceeds eps, the likeliest looked at first; -1 if there is none."""
        if instance.shares.size == 0:
            return -1
        screen = _screen(instance, delta)
        order = np.argsort(-screen, kind="stable")
        order = order[screen[order] > eps]
        for start in range(0, order.size, 8):
            rows = order[start : start + 8]
            part = Instance(instance.shares[rows], instance.probabilities)
            failing = self.row_errors(part, delta, eps) > eps
            if failing.any():
                return int(rows[np.argmax(failing)])
        return -1

    def least_rate(self, weights: Weights, eps: float) -> float:
        """Least rate at every input to a relative RATE_TOLERANCE, from the holding side."""
        table, s, delta = weights.shares, weights.s, weights.delta
        assert table is not None
        enough = Bennett(self.name).least_rate(weights, eps)

        def instance_at(rate: float, rows: slice | NDArray[np.intp] = slice(None)) -> Instance:
            return inclusion_instance(table[rows], inclusion_probabilities(s, rate))

        def solve(row: int, low: float) -> float:
            rows = np.array([row])
            high, step = max(enough, low * (1 + RATE_TOLERANCE)), 1.5
            # Climb from the failing side, then halve the bracket in log c.
            while low * step < high:
                if self.worst_error(instance_at(low * step, rows), delta) <= eps:
                    high = low * step
                    break
                low *= step
            while high / low > 1 + RATE_TOLERANCE:
                middle = float(np.sqrt(low * high))
                if self.worst_error(instance_at(middle, rows), delta) <= eps:
                    high = middle
                else:
                    low = middle
            return high

        def failing(rate: float) -> int:
            return self.failing_row(instance_at(rate), delta, eps)

        start = enough / 64
        while failing(start) < 0 and start * s.max() > LEAST_CERTAINTY:
            start /= 8
        return search_rows(failing, solve, start)


class Cramer(AtInputs):
    """Cramer's bound for the sum of independent two-point laws."""

    def row_errors(self, part: Instance, delta: float, floor: float) -> Float:
        """Error at each input by the Chernoff bound, delta/2 a side."""
        values, p = part.shares / part.probabilities, part.probabilities
        variance = values**2 @ (p * (1 - p))
        exponent = np.full(variance.size, nm.log_over(2.0, delta))
        above = inverse_rate(
            inclusion_log_mgf(part, 1.0), variance, exponent, (values * (1 - p)).sum(1)
        )
        below = inverse_rate(inclusion_log_mgf(part, -1.0), variance, exponent, (values * p).sum(1))
        return np.maximum(above, below)


class ExactTail(Cramer):
    """The exact tail where Cramer's bound does not show an error at most the floor."""

    independent = True

    def row_errors(self, part: Instance, delta: float, floor: float) -> Float:
        """Error at each input, never above Cramer's."""
        errors = super().row_errors(part, delta, floor)
        values, p = part.shares / part.probabilities, part.probabilities
        for row in np.flatnonzero(errors > floor):
            errors[row] = min(errors[row], coins_tail(values[row], p, delta))
        return errors
