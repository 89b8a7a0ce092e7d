"""SP-8 and SP-11 at the given inputs: what a rate promises follows from the shares themselves.

sum_j g_j (B_j/p_j - 1) is a sum of independent two-point laws, whose tail Chernoff's bound or a
convolution bounds from above; of one sign of a neuron that is SP-8, of both at once SP-11.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.worst_input import search_rows
from sipp_theory.inclusion.neuron import RATE_TOLERANCE, least_rates, tail_error, tail_rate
from sipp_theory.inclusion.neuron_laws import Coins
from sipp_theory.inclusion.poisson_rate import Bennett, Checked, Weights
from sipp_theory.numeric.checks import Float

# Rates at which the likeliest weight is kept less often than this count as equal.
LEAST_CERTAINTY = 1e-6


def one_neuron(shares: Float, scores: Float) -> tuple[Float, Float, Float, Float]:
    """A layer of one neuron that has these shares: weights, rows, scores, z~."""
    return np.ones((1, shares.shape[1])), shares, scores[None], np.ones((1, len(shares)))


class Cramer(Checked):
    """Chernoff's bound for the sum of independent two-point laws."""

    needs_shares = True
    tolerance = RATE_TOLERANCE

    def _law(self, weights: Weights) -> Coins:
        assert weights.shares is not None
        layer = one_neuron(weights.shares, weights.s)
        return Coins(*layer, np.array([weights.delta]), self.independent)

    def promised(self, weights: Weights, rate: float) -> float:
        """Error at a rate above 0."""
        return float(self._law(weights).worst(np.array([rate]), np.array([0]))[0][0])

    def least_rate(self, weights: Weights, eps: float) -> float:
        """Least rate at every input to a relative tolerance, from the holding side."""
        return float(least_rates(self._law(weights), eps, self.tolerance)[0])

    def layer_rates(
        self, weight: Float, rows: Float, scores: Float, eps: float, delta: ArrayLike,
        threads: int = 1,
    ) -> Float:  # fmt: skip
        """Least rate of each neuron, by `tail_rate`."""
        return tail_rate(
            weight, rows, scores, eps, delta, exact=self.independent, tolerance=self.tolerance,
            threads=threads,
        )  # fmt: skip

    def layer_errors(
        self, weight: Float, rows: Float, probabilities: Float, delta: ArrayLike, threads: int = 1
    ) -> Float:
        """Error of each neuron, by `tail_error`."""
        exact = self.independent
        return tail_error(weight, rows, probabilities, delta, exact=exact, threads=threads)


class ExactTail(Cramer):
    """The exact tail where Cramer's bound does not show an error at most the floor.

    A quantile need not fall as the rate grows, so the search climbs from rates that fail.
    """

    independent = True
    tolerance = 2e-4

    def least_rate(self, weights: Weights, eps: float) -> float:
        """First rate at which the error is at most eps at every input, to the tolerance."""
        law, s = self._law(weights), weights.s
        enough = Bennett(self.name).least_rate(weights, eps)
        one = np.zeros(1, np.intp)

        def holds(rate: float, row: int) -> bool:
            return bool(law.errors(np.array([rate]), one, one + row, np.full(1, eps))[0] <= eps)

        def failing(rate: float) -> int:
            return int(law.worst(np.array([rate]), one, eps)[1][0])

        def solve(row: int, low: float) -> float:
            high, step = max(enough, low * (1 + self.tolerance)), 1.5
            while low * step < high:
                if holds(low * step, row):
                    high = low * step
                    break
                low *= step
            while high / low > 1 + self.tolerance:
                middle = float(np.sqrt(low * high))
                if holds(middle, row):
                    high = middle
                else:
                    low = middle
            return high

        start = enough / 64
        while failing(start) < 0 and start * s.max() > LEAST_CERTAINTY:
            start /= 8
        return search_rows(failing, solve, start)

    def layer_rates(
        self, weight: Float, rows: Float, scores: Float, eps: float, delta: ArrayLike,
        threads: int = 1,
    ) -> Float:  # fmt: skip
        """First rate of each neuron, one by one."""
        rates = np.zeros(len(weight))
        for i, level in enumerate(np.broadcast_to(delta, len(weight)).tolist()):
            fires = scores[i] > 0
            part = np.abs(weight[i, fires]) * np.abs(rows[:, fires])
            live = part.sum(axis=1) > 0
            if live.any():
                shares = part[live] / part[live].sum(axis=1, keepdims=True)
                rates[i] = self.rate(scores[i, fires], eps, level, shares=shares)
        return rates
