"""SV-11: pilot, control variates and Jensen bands, until the target is certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sipp_core.runtime import generator
from sipp_core.svm.bands import Bands, BlockView, View, primal_above
from sipp_core.svm.blocks import dense, sizes
from sipp_core.svm.certify import BAND_BYTES
from sipp_core.svm.chunks import OneAgainstRest, in_order
from sipp_core.svm.sampling import PrioritySample, priority_sample
from sipp_theory.numeric.checks import Float
from sipp_theory.svm import SvmCertificate
from sipp_theory.svm.problem import Instance, check_scale, slacks, suboptimality
from sipp_theory.svm.solver import minimise, solve

Progress = Callable[[int, int, str], None]
PILOT, RESIDUAL = 1, 2
# How much wider than the disagreement of two half samples the neighbourhood is taken.
RADIUS = 2.5
QUANTILE = 0.95
# Control variates sample while the neighbourhood holds more than this many bands.
CROWDED = 1.5
ROUNDS = 12


@dataclass(frozen=True)
class Search:
    """What is to be solved, and how far.

    Attributes: target is the relative suboptimality to certify; band the points that stay single,
    to begin with; pilot the points of the first sample.
    """

    data: OneAgainstRest
    C: float
    target: float
    band: int
    pilot: int
    seed: int
    n_jobs: int | None
    progress: Progress | None


def search(given: Search) -> SvmCertificate:
    """Solve to the target, or as far as rounds and memory allow; the certificate says how far."""
    pilot, total = _pilot(given)
    at, radius, metric = _start(given, pilot)
    least = max(1, BAND_BYTES // (8 * given.data.chunks.columns))
    band, best, dual = min(given.band, least), None, 0.0
    jensen = False
    for number in range(ROUNDS):
        limit = _limit(pilot, at, metric, band / total)
        view = View(at[:-1], float(at[-1]), given.C, band, metric, limit)
        sampled = not jensen and _inside(pilot, at, metric, radius) * total > CROWDED * band
        if sampled:
            reduced = _reduced(given, partial(_residuals_part, given, view, radius, number))
        else:
            reduced = _reduced(given, partial(_bands_part, given, view))
        primal = reduced.primal()
        if best is None or primal < best.primal:
            best = SvmCertificate(primal, dual, np.inf, int(total), 0, view.w, view.b)
        elif sampled:
            # Control variates made it worse: the sample is too small for them.
            at, jensen = np.append(best.w, best.b), True
            continue
        if sampled:
            nearer = _control_variate(view, reduced, radius)
            at, radius, jensen = (at, radius, True) if nearer is None else (*nearer, False)
            continue
        jensen = True
        proof = reduced.certificate(min(1e-8, given.target / 10))
        gained = proof.dual - dual
        dual = max(dual, proof.dual)
        best = replace(
            best,
            dual=dual,
            eps=suboptimality(best.primal, dual),
            groups=max(best.groups, proof.groups),
        )
        if given.progress is not None:
            given.progress(number + 1, ROUNDS, f"certified {best.eps:.1e}")
        if best.eps <= given.target or (band >= total and gained <= 0):
            break
        at = np.append(proof.w, proof.b)
        if gained < 0.5 * (best.primal - dual):
            band = min(2 * band, least)
    assert best is not None
    return best


# --- the pilot ----------------------------------------------------------------------------------


def _pilot_part(given: Search, number: int) -> tuple[dict[float, PrioritySample], Float]:
    """Samples of both classes by weight; the weight of each, and how many points have some."""
    block = given.data.block(number, known=True)
    random = generator(given.seed, PILOT, number).random(block.rows)
    parts, weights = {}, np.zeros(3)
    weights[2] = (block.weight > 0).sum()
    for place, side in enumerate((-1.0, 1.0)):
        score = np.where(block.y == side, block.weight, 0.0)
        weights[place] = score.sum()
        parts[side] = priority_sample(
            given.pilot // 2, block.X, block.y, score * given.C, score, random, number << 32
        )
    return parts, weights


def _join(first: Any, second: Any) -> Any:
    parts, weights = first
    return {side: one.merge(second[0][side]) for side, one in parts.items()}, weights + second[1]


def _pilot(given: Search) -> tuple[Instance, float]:
    """A sample balanced between the classes, with weights that keep F unbiased; points in all."""
    parts, weights = in_order(
        partial(_pilot_part, given), len(given.data.chunks), given.n_jobs, _join
    )
    if not (weights > 0).all():
        raise ValueError("there must be two classes with weight above 0")
    sides = [parts[-1.0], parts[1.0]]
    sample = Instance(
        np.concatenate([dense(one.X) for one in sides]),
        np.concatenate([one.y for one in sides]),
        np.concatenate([one.c * one.factor for one in sides]),
    )
    check_scale(sample.X, sample.c)
    return sample, float(weights[2])


def _start(given: Search, pilot: Instance) -> tuple[Float, float, Float]:
    """(d + 1,) the pilot's solution, the neighbourhood's radius, and the metric."""
    mean_square = (pilot.X**2).mean(axis=0)
    metric = np.append(1 / (mean_square + 1 / pilot.c.sum() + 1e-300), 1.0)
    halves = []
    for turn in (0, 1):
        part = slice(turn, None, 2)
        half = Instance(pilot.X[part], pilot.y[part], 2 * pilot.c[part])
        if (half.y > 0).any() and (half.y < 0).any():
            done = solve(half, 1e-3)
            halves.append(np.append(done.w, done.b))
    first = solve(pilot, 1e-4)
    at = np.append(first.w, first.b)
    if len(halves) < 2:
        return at, np.inf, metric
    return at, _radius(pilot.X, halves[0] - halves[1], metric), metric


def _radius(X: Float, apart: Float, metric: Float) -> float:
    """2.5 times the 95% disagreement, in units of the metric."""
    moved = np.abs(X @ apart[:-1] + apart[-1]) / sizes(X, metric)
    return RADIUS * float(np.quantile(moved, QUANTILE))


def _limit(pilot: Instance, at: Float, metric: Float, share: float) -> float:
    """A distance that more than a band of points lies within, as far as the pilot can tell."""
    r = slacks(at[:-1], float(at[-1]), pilot.X, pilot.y)
    distance = np.abs(r) / sizes(pilot.X, metric)
    order = np.argsort(distance)
    reached = np.cumsum(pilot.c[order]) >= 2 * share * pilot.c.sum()
    return float(distance[order][np.argmax(reached)]) if reached.any() else np.inf


def _inside(pilot: Instance, at: Float, metric: Float, radius: float) -> float:
    """The share of all points in the neighbourhood, as far as the pilot can tell."""
    r = slacks(at[:-1], float(at[-1]), pilot.X, pilot.y)
    near = np.abs(r) <= radius * sizes(pilot.X, metric)
    return float(pilot.c[near].sum() / pilot.c.sum())


# --- one pass -----------------------------------------------------------------------------------


def _reduced(given: Search, part: Callable[[int], Any]) -> Any:
    """One pass: what the parts of all chunks merge to."""
    return in_order(part, len(given.data.chunks), given.n_jobs, _merge)


def _merge(first: Any, second: Any) -> Any:
    first.merge(second)
    return first


def _bands_part(given: Search, view: View, number: int) -> Bands:
    return Bands.of(view, given.data.block(number))


@dataclass
class Residuals:
    """What control variates need of a part of the data (SV-9)."""

    view: View
    hinge: float
    blocks: int
    linear: Float  # (d + 1,) sum c y (x, 1) over the points with a hinge
    sample: PrioritySample

    def merge(self, other: Residuals) -> None:
        """Take in the part that comes next."""
        self.hinge += other.hinge
        self.blocks += other.blocks
        self.linear = self.linear + other.linear
        self.sample.merge(other.sample)

    def primal(self) -> float:
        """F(w, b), rounded up."""
        return primal_above(self.view, self.hinge, self.blocks)


def _residuals_part(
    given: Search, view: View, radius: float, stream: int, number: int
) -> Residuals:
    """Sums over one chunk, and a sample of its points in the neighbourhood."""
    block = given.data.block(number)
    look = BlockView.at(view, block)
    near = np.abs(look.r) <= radius * look.size
    active = look.c * (look.r > 0) * look.y
    random = generator(given.seed, RESIDUAL, stream, number).random(block.rows)[look.index]
    return Residuals(
        view, look.hinge, 1, np.append(look.X.T @ active, active.sum()),
        priority_sample(
            view.singles, look.X, look.y, look.c, np.where(near, look.c * look.size, 0.0), random,
            number << 32,
        ),
    )  # fmt: skip


def _control_variate(view: View, residuals: Residuals, radius: float) -> tuple[Float, float] | None:
    """SV-9: the minimiser of the exact linear part and sampled residuals, and its own radius."""
    sample = residuals.sample
    X = dense(sample.X)
    if len(X) < 50 * X.shape[1]:
        return None
    weight = sample.c * sample.factor
    start = np.append(view.w, view.b)
    solved = []
    for part, scale in ((slice(0, None, 2), 2), (slice(1, None, 2), 2), (slice(None), 1)):
        at = residual_minimiser(
            X[part], sample.y[part], scale * weight[part], residuals.linear, start
        )
        if not np.isfinite(at).all():
            return None
        solved.append(at)
    width = sizes(X, view.metric)
    moved = np.abs(X @ (solved[2] - start)[:-1] + (solved[2] - start)[-1]) / width
    if float(np.quantile(moved, QUANTILE)) > 2 * radius:
        return None
    return solved[2], _radius(X, solved[0] - solved[1], view.metric)


def residual_minimiser(X: Float, y: Float, c: Float, linear: Float, start: Float) -> Float:
    """(w, b) of least ||w||^2/2 - linear . (w, b) + sum c rho, with `start` as the reference."""
    centre = X.mean(axis=0)
    r = slacks(start[:-1], float(start[-1]), X, y)
    flip = np.where(r > 0, -1.0, 1.0)
    V = np.column_stack([(flip * y)[:, None] * (X - centre), flip * y])
    g = -np.append(linear[:-1] - linear[-1] * centre, linear[-1])
    moved = np.append(start[:-1], start[-1] + start[:-1] @ centre)
    spread = float(np.quantile(np.abs(r), 0.5)) + 1e-12
    at = minimise(V, flip, c, g, moved, 1e-4 * spread, spread)
    return np.append(at[:-1], at[-1] - at[:-1] @ centre)
