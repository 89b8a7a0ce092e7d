"""Draws of neurons on the instances that are worst for them."""

from __future__ import annotations

from functools import partial

import numpy as np

import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.neurons.instances import disc_peaks, sign_design

TIE, STREAM = 1e-9, 91
DELTA = 0.05


def _multipliers(q: np.ndarray, m: int, trials: int, stream: tuple[int, ...]) -> np.ndarray:
    """(trials, n) N_q/(m pr(q)): draws of the harness's own, with no code under test."""
    rng = np.random.default_rng([STREAM, *stream])
    return rng.multinomial(m, q, size=trials) / (m * q)


def _far(
    weights: np.ndarray, values: np.ndarray, q: np.ndarray, m: int, limit: float,
    stream: tuple[int, ...], block: int, trials: int,
) -> int:  # fmt: skip
    u = _multipliers(q, m, trials, (*stream, block))
    errors = (u - 1) @ (weights * values).T
    return int((np.abs(errors).max(axis=1) > limit * (1 + TIE)).sum())


@coverage("NC-1")
def both_signs_on(setting: Setting) -> Experiment:
    """All neurons on, signs balanced: 20 draws over both signs at once, delta = .1."""
    n, m, delta = 40, 20, 0.1
    w = np.where(np.arange(n) % 2, 1.0, -1.0)[None]
    values = np.ones(n)
    q = np.asarray(sipp_theory.neuron_probabilities(w, np.ones(n)))
    mass = float(sipp_theory.neuron_mass(w, np.ones(n)))
    limit = float(sipp_theory.neuron_error(mass, m, delta))
    label = "n = 40, all of them on, signs balanced"
    return Experiment(label, delta, partial(_far, w, values, q, m, limit, (1, setting.seed)))


@coverage("NC-1")
def one_sign(setting: Setting) -> Experiment:
    """One sign, half of the mass on: draws are 0 or t with equal chances, as Hoeffding has them."""
    n, m = 40, 31
    w, values = np.ones((1, n)), (np.arange(n) < n // 2).astype(float)
    q = np.asarray(sipp_theory.neuron_probabilities(w, np.ones(n)))
    limit = float(sipp_theory.one_sign_error(sipp_theory.neuron_mass(w, np.ones(n)), m, DELTA))
    count = partial(_far, w, values, q, m, limit, (2, setting.seed))
    return Experiment("n = 40, one sign, half of them on", DELTA, count)


def _corrected(
    low: np.ndarray, high: np.ndarray, values: np.ndarray, w: np.ndarray, m: int, seed: int, at: int
) -> Experiment:
    """Draws with NC-1g's probabilities and correction, at all next neurons at once."""
    middle, half = sipp_theory.middle_and_half(low, high)
    q = np.asarray(sipp_theory.neuron_probabilities(w, half))
    mass = sipp_theory.neuron_mass(w, half)
    limit = float(sipp_theory.neuron_error(mass, m, DELTA, len(w)))
    count = partial(_far, w, values - middle, q, m, limit, (3, at, seed))
    return Experiment(f"n = {len(low)}, {len(w)} next neurons, any of them off", DELTA, count)


@coverage("NC-1g")
def all_at_the_top(setting: Setting) -> Experiment:
    """All neurons at the top of their range, signs balanced: uncorrected is twice as far."""
    w = sign_design(1, 64)
    return _corrected(np.zeros(64), np.ones(64), np.ones(64), w, 41, setting.seed, 0)


@coverage("NC-1g")
def many_next_neurons(setting: Setting) -> Experiment:
    """48 next neurons of orthogonal signs, all neurons at an end of their range."""
    w = sign_design(48, 64)
    return _corrected(-np.ones(64), np.ones(64), np.ones(64), w, 41, setting.seed, 1)


@coverage("NC-5")
def offsets_of_a_channel(setting: Setting) -> Experiment:
    """Channels of nine kernel offsets that all see the same value: the draw is their sum."""
    n, v, m = 64, 9, 41
    signs = sign_design(1, n)
    w = np.repeat(signs[..., None], v, axis=2)
    half = np.ones(n)
    q = np.asarray(sipp_theory.neuron_probabilities(w, half))
    limit = float(sipp_theory.neuron_error(sipp_theory.neuron_mass(w, half), m, DELTA))
    count = partial(_far, w.sum(axis=2), np.ones(n), q, m, limit, (5, setting.seed))
    return Experiment("64 channels, nine equal offsets each", DELTA, count)


def _disc(
    weights: np.ndarray, p: np.ndarray, q: np.ndarray, middle: np.ndarray, m: int, limit: float,
    stream: tuple[int, ...], block: int, trials: int,
) -> int:  # fmt: skip
    change = weights * (_multipliers(q, m, trials, (*stream, block)) - 1)
    aside = change @ middle
    worst = np.maximum(disc_peaks(change, p) - aside, disc_peaks(-change, p) + aside)
    return int((worst > limit * (1 + TIE)).sum())


def _circle(n: int) -> np.ndarray:
    angles = 2 * np.pi * (np.arange(n) + 0.3) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@coverage("NC-3")
def exact_over_the_disc(setting: Setting) -> Experiment:
    """12 ReLUs around the disc, one sign: the exact largest error over the disc, both sides."""
    n, m = 12, 24
    p, w = _circle(n), np.ones((1, n))
    q = np.asarray(sipp_theory.neuron_probabilities(w, np.ones(n)))
    limit = float(sipp_theory.ball_error(sipp_theory.neuron_mass(w, np.ones(n)), m, DELTA))
    count = partial(_disc, w[0], p, q, np.zeros(n), m, limit, (6, setting.seed))
    return Experiment("n = 12, d = 2, m = 24, supremum exact", DELTA, count, block=256)


@coverage("NC-3g")
def exact_over_the_disc_signed(setting: Setting) -> Experiment:
    """12 ReLUs around the disc, both signs: the exact largest error over the disc, both sides."""
    n, m = 12, 24
    p, w = _circle(n), np.where(np.arange(n) % 3 == 0, -1.0, 1.0)[None]
    half = np.full(n, 0.5)
    q = np.asarray(sipp_theory.neuron_probabilities(w, half))
    limit = float(sipp_theory.region_error(w, p, 1.0, q, half, m, DELTA, 1.5)[0])
    count = partial(_disc, w[0], p, q, half, m, limit, (7, setting.seed))
    return Experiment("n = 12, d = 2, m = 24, signed, supremum exact", DELTA, count, block=256)
