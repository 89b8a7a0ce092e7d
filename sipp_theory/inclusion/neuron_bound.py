"""SP-11 as a bound: what `sample_size`, `inclusion_rate` and their inverses say of one neuron."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bound import Bound, Neuron, register_bound
from sipp_theory.draws.law_of_a_draw import checked_shares, draws_instance
from sipp_theory.draws.worst_input import one_number
from sipp_theory.inclusion.neuron import least_rates
from sipp_theory.inclusion.neuron_laws import Coins, GivenDraws
from sipp_theory.inclusion.poisson_rate import Checked, Weights
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def _signed(shares: ArrayLike) -> Float:
    """Live rows of signed shares (n, k), whose magnitudes add up to 1."""
    table = np.atleast_2d(nm.finite("shares", shares))
    live = np.abs(table).sum(axis=-1) > 0
    return np.copysign(checked_shares(np.abs(table)), table[live])


class _Inclusion(Checked):
    """What SP-11 says of the coins of one neuron, whose shares have signs."""

    needs_shares = True

    def _weights(
        self, sensitivity: ArrayLike, delta: float, shares: ArrayLike | None, factor: float
    ) -> Weights:
        magnitudes = None if shares is None else np.abs(nm.finite("shares", shares))
        weights = super()._weights(sensitivity, delta, magnitudes, factor)
        return weights if shares is None else replace(weights, shares=_signed(shares))

    def _law(self, weights: Weights) -> Coins:
        assert weights.shares is not None
        return Coins(*_one(weights.shares, weights.s), weights.delta, self.independent)

    def promised(self, weights: Weights, rate: float) -> float:
        """Error at a rate above 0."""
        return float(self._law(weights).worst(np.array([rate]), np.array([0]))[0][0])

    def least_rate(self, weights: Weights, eps: float) -> float:
        """Least rate at every input to a relative RATE_TOLERANCE, from the holding side."""
        return float(least_rates(self._law(weights), eps)[0])


class _ExactInclusion(_Inclusion):
    """By convolution, of independent coins alone."""

    independent = True


def _one(shares: Float, scores: Float) -> tuple[Float, Float, Float, Float]:
    """A layer of one neuron that has these shares: weights, rows, scores, z~."""
    return np.ones((1, shares.shape[1])), shares, scores[None], np.ones((1, len(shares)))


class NeuronTail(Bound):
    """SP-11: one tail for a neuron; shares are signed, and delta is the neuron's.

    `exact` says whether it is the tail by convolution, or Chernoff's bound on it.

    Claim: SP-11. Source: [OWN].
    """

    name, claim, title, knows = "neuron", "SP-11", "neuron's tail", "neuron"
    exact: ClassVar[bool] = False

    def __init__(self) -> None:
        self.inclusion = (_ExactInclusion if self.exact else _Inclusion)(self.name)

    def _error(self, shares: Float, q: Float, m: float, delta: float) -> float:
        given = np.array([[m], [0.0]])
        law = GivenDraws(*_one(shares, q), delta, self.exact, given)
        return float(law.worst(np.ones(1), np.array([0]))[0][0])

    def _known(self, neuron: Neuron) -> tuple[Float, Float]:
        shares, probabilities = self.known(neuron)
        signed = _signed(shares)
        drawn = draws_instance(np.abs(signed), probabilities)
        support = np.asarray(probabilities, np.float64) > 0
        return signed[:, support] if len(signed) else signed, drawn.probabilities

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> np.float64:
        """Least number of draws from all weights of the neuron together."""
        target = one_number("eps", nm.probability("eps", eps))
        failure = one_number("delta", nm.probability("delta", delta))
        shares, q = self._known(neuron)
        if shares.size == 0:
            return np.float64(0.0)
        if np.isfinite(limit) and (limit < 1 or self._error(shares, q, limit, failure) > target):
            return np.float64(np.inf)
        span = float((np.abs(shares) / q).max())
        enough = np.ceil(2 * span * (1 + target) * nm.log_over(2.0, failure) / target**2 + 1)
        return np.float64(
            nm.search_integer(lambda m: self._error(shares, q, m, failure), target, float(enough))
        )

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> np.float64:
        """Error of m draws from all weights of the neuron together."""
        failure = one_number("delta", nm.probability("delta", delta))
        draws = one_number("m", nm.integer_at_least("m", m, 0.0))
        shares, q = self._known(neuron)
        if shares.size == 0:
            return np.float64(0.0)
        return np.float64(np.inf if draws == 0 else self._error(shares, q, draws, failure))


@register_bound
class ChernoffNeuronTail(NeuronTail):
    """SP-11 by Chernoff's bound, which pivotal coupling within one sign of w a keeps."""


@register_bound
class ExactNeuronTail(NeuronTail):
    """SP-11 by convolution; it speaks of independent coins alone."""

    name, title, exact = "neuron-exact", "neuron's exact tail", True
