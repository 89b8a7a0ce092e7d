"""NW-4 where A2 holds and where it cannot, NW-6's tail, and the coverage of Hill's interval."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import optimize, special, stats

import sipp_theory
from proofs_check.ledger.evidence import Experiment, Refuted, Result
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.runtime import Float, generator

TAIL_STREAM = 62


def _largest_exponential(lam: float) -> float:
    """Mean of the heaviest exponential law that A2 admits: E e^(X-EX)/lam = e^(1/2)."""
    ratio = optimize.brentq(lambda r: -r - np.log1p(-r) - 0.5, 0.1, 0.99)
    return lam * float(np.asarray(ratio))


def _points(eta: int, star: int, delta: float) -> int:
    """CoreNet's |S|, written out so that no bound is called: ln(eta eta*) ln(8 eta eta*/delta)."""
    return int(np.ceil(np.log(eta * star) * np.log(8 * eta * star / delta)))


def _uncovered(
    mean: float, points: int, width: int, allowance: float, seed: int, stream: int,
    block: int, trials: int,
) -> int:  # fmt: skip
    """Trials in which a fresh Delta of some neuron passes the largest mean over S + kappa."""
    rng = generator(seed, TAIL_STREAM, stream, block)
    # The mean of n exponentials is Gamma(n)/n; a constant in front of Delta cancels.
    means = rng.standard_gamma(points, (trials, width)).max(axis=1) * mean / points
    fresh = rng.exponential(mean, (trials, width)).max(axis=1)
    return int((fresh > means + allowance).sum())


def _needed_allowance(mean: float, points: int, share: float) -> float:
    """The allowance over one neuron's mean that fails with probability `share`, exactly.

    Pr(X > mean over S + k) = e^(-k/mean) (1 + 1/n)^-n for an exponential X.
    """
    return mean * (-np.log(share) - points * np.log1p(1 / points))


def _subexponential(eta: int, star: int, width: int, delta: float, seed: int) -> Experiment:
    allowance = float(sipp_theory.kappa(eta, star, delta))
    mean, points = _largest_exponential(np.log(eta * star) / 2), _points(eta, star, delta)
    share = delta / (4 * eta)
    return Experiment(
        f"{width} of {eta} neurons, eta* = {star}, Delta - 1 exponential of mean {mean:.3g}.",
        share, partial(_uncovered, mean, points, width, allowance, seed, eta), block=4096,
        promised=allowance,
        needed=_needed_allowance(mean, points, share) if width == 1 else np.nan,
    )  # fmt: skip


@coverage("NW-4")
def kappa_covers_under_a2(setting: Setting) -> list[Experiment]:
    """Under A2, with the heaviest exponential law that it admits, Delta^ covers a fresh input."""
    return [
        _subexponential(1, 100, 1, 0.2, setting.seed),
        _subexponential(4, 50, 4, 0.8, setting.seed),
    ]


@coverage("NW-4")
def kappa_covers_a_wide_output(setting: Setting) -> Experiment:
    """A last layer wider than eta*, which CoreNet's union bound leaves out, is covered as well."""
    return _subexponential(3, 2, 3, 0.9, setting.seed)


@coverage("NW-6")
def kappa_fails_at_near_zero_denominators(setting: Setting) -> Result:
    """Where z has a density at 0, the event of NW-4 fails far more often than delta/(4 eta)."""
    eta, star, delta, trials = 410, 784, 0.05, 20_000
    points, promised = _points(eta, star, delta), delta / (4 * eta)
    rng = generator(setting.seed, TAIL_STREAM, 41)
    # z uniform on (-1, 1), z~ = 1: Delta = 1/|z| exceeds t with probability 1/t exactly.
    delta_s = 1 / rng.uniform(0, 1, (trials, points))
    hat = delta_s.mean(axis=1) + float(sipp_theory.kappa(eta, star, delta))
    fails = int((1 / rng.uniform(0, 1, trials) > hat).sum())
    p_value = float(stats.binom.sf(fails - 1, trials, promised))
    exact = float((1 / hat).mean())
    if p_value > 1e-6:
        raise Refuted(f"z uniform at 0: only {fails} of {trials} pass Delta^, p = {p_value:.2g}")
    return Result(
        f"one neuron: {fails} of {trials} fresh inputs pass Delta^ ({exact:.2%} by the exact law), "
        f"promised at most {promised:.2e}: NW-4 cannot do without A2",
        cases=trials,
    )


@coverage("NW-6")
def tail_of_a_gaussian(setting: Setting) -> Result:
    """Delta = 1/|z|, z Gaussian: t Pr(Delta > t) is 2 f(0) = .798, and the running mean climbs."""
    trials = 400_000 if setting.full else 100_000
    ratio = np.sort(1 / np.abs(generator(setting.seed, TAIL_STREAM, 42).normal(size=trials)))
    at = np.array([10.0, 30, 100, 300, 1000])
    counts = trials - np.searchsorted(ratio, at, side="right")
    for t, count in zip(at, counts, strict=True):
        law = special.erf(1 / (t * np.sqrt(2)))
        p_value = float(stats.binomtest(int(count), trials, law).pvalue)
        if p_value < 1e-6:
            raise Refuted(f"Pr(1/|z| > {t:g}): {count} of {trials}, law {law:.4g}, p {p_value:.2g}")
    estimate = sipp_theory.hill_tail_index(ratio, 2000, 0.999)
    if not estimate.low <= 1 <= estimate.high < 2:
        raise Refuted(f"tail index of 1/|z|, truth 1: [{estimate.low:.3f}, {estimate.high:.3f}]")
    scaled = at * counts / trials
    return Result(
        f"t Pr(Delta > t) = {', '.join(f'{v:.3f}' for v in scaled)} at t = 10 .. 1000; "
        f"Hill's index {estimate.index:.3f} in [{estimate.low:.3f}, {estimate.high:.3f}]",
        cases=trials,
        series={"t": at.tolist(), "share": (counts / trials).tolist()},
    )


def _marked(flags: np.ndarray, size: int, block: int, trials: int) -> int:
    return int(flags[block * size : block * size + trials].sum())


def _hill(alpha: float, n: int, k: int, confidence: float, stream: int, seed: int) -> Experiment:
    """Trials drawn beforehand, so that the estimator under test is called here, not in a block."""
    trials, size = 2048, 512
    rng = generator(seed, TAIL_STREAM, stream)
    flags = np.empty(trials, bool)
    for index in range(trials):
        interval = sipp_theory.hill_tail_index(_pareto(rng, alpha, n), k, confidence)
        flags[index] = not interval.low <= alpha <= interval.high
    return Experiment(
        f"Pareto samples, alpha = {alpha:g}, n = {n}, k = {k}: the interval misses alpha.",
        1 - confidence, partial(_marked, flags, size), block=size, most=trials,
    )  # fmt: skip


def _pareto(rng: np.random.Generator, alpha: float, n: int) -> Float:
    return (1 - rng.random(n)) ** (-1 / alpha)


@coverage("NW-6")
def hill_interval(setting: Setting) -> list[Experiment]:
    """Hill's interval misses the index of exact Pareto samples as often as it says."""
    return [
        _hill(1.0, 200, 50, 0.9, 51, setting.seed),
        _hill(3.0, 60, 10, 0.8, 52, setting.seed),
    ]


@coverage("NW-6")
def hill_interval_is_not_wider_than_it_need_be(setting: Setting) -> Result:
    """The two ends of Hill's interval miss equally often, and together not too rarely."""
    rng, trials, confidence = generator(setting.seed, TAIL_STREAM, 53), 2000, 0.9
    below = above = 0
    for _ in range(trials):
        interval = sipp_theory.hill_tail_index(_pareto(rng, 1.5, 200), 50, confidence)
        below, above = below + (interval.high < 1.5), above + (interval.low > 1.5)
    for name, count in (("high", below), ("low", above)):
        p_value = float(stats.binomtest(count, trials, (1 - confidence) / 2).pvalue)
        if p_value < 1e-6:
            raise Refuted(f"the {name} end misses in {count} of {trials}, should in 5%")
    return Result(f"misses {below} + {above} of {trials}, 5% each promised", cases=trials)
