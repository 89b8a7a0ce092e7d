"""SP-11 as a bound: what `sample_size`, `inclusion_rate` and their inverses say of one neuron."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bound import Bound, Neuron, register_bound
from sipp_theory.draws.law_of_a_draw import checked_shares, draws_instance
from sipp_theory.draws.worst_input import one_number
from sipp_theory.inclusion.at_inputs import Cramer, one_neuron
from sipp_theory.inclusion.neuron_laws import GivenDraws
from sipp_theory.inclusion.poisson_rate import Weights
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def _signed(shares: ArrayLike) -> Float:
    """Live rows of signed shares (n, k), whose magnitudes add up to 1."""
    table = np.atleast_2d(nm.finite("shares", shares))
    live = np.abs(table).sum(axis=-1) > 0
    return np.copysign(checked_shares(np.abs(table)), table[live])


class _Inclusion(Cramer):
    """What SP-11 says of the coins of one neuron, whose shares have signs."""

    def _weights(
        self, sensitivity: ArrayLike, delta: float, shares: ArrayLike | None, factor: float
    ) -> Weights:
        magnitudes = None if shares is None else np.abs(nm.finite("shares", shares))
        weights = super()._weights(sensitivity, delta, magnitudes, factor)
        return weights if shares is None else replace(weights, shares=_signed(shares))


class _ExactInclusion(_Inclusion):
    """By convolution, of independent coins alone."""

    independent = True


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
        law = GivenDraws(*one_neuron(shares, q), np.array([delta]), self.exact, given=given)
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
