"""Planning: the least inclusion rates of some neurons, two ways, and the plan of a large layer."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

import sipp_theory
from reports.benches.findings import Check, Findings, Measured
from reports.benches.method import figure, race, ratio, seconds, threads
from reports.benches.subjects import Setting
from sipp_core import calibrate, prune
from sipp_core.runtime import Float

FAMILY = "planning"
EPS, DELTA, CLOSE = 0.3, 0.05, 1e-4
LIMITS = {"kl": 5.0, "cramer": 60.0}
OURS, THEIRS = "compiled", "numpy, whole arrays at once"


def run(setting: Setting) -> Findings:
    """Time the search for rates beside the plain one, and the plans of a layer of 45 M weights."""
    count = setting.threads[-1]
    with threads(count):
        measured, check = _beside(setting)
        if setting.scale == "full":
            measured += _whole(setting, count)
    return Findings(tuple(measured), checks=(check,))


def numpy_rate(weight: Float, rows: Float, scores: Float, eps: float, delta: float) -> float:
    """Least rate of a neuron by bisection, each row's error by Newton's steps in the tilt."""
    size, y = np.abs(rows) @ np.abs(weight), math.log(2 / delta)
    low, high = 0.0, min(2 * (1 + eps / 3) * y / eps**2, float(1 / scores[scores > 0].min()))
    while high > low * (1 + CLOSE):
        rate = math.sqrt(low * high) if low else high / 2
        p = np.minimum(1.0, rate * scores)
        moving = (p > 0) & (p < 1)
        v, chance = weight[moving] * rows[:, moving] / size[:, None] / p[moving], p[moving]
        variance, jump = v**2 @ (chance * (1 - chance)), np.abs(v).max(axis=1, initial=0.0)
        screen = jump * y / 3 + np.sqrt((jump * y / 3) ** 2 + 2 * variance * y)
        v = v[screen > eps]
        if all((_errors(side * v, chance, y) <= eps).all() for side in (1.0, -1.0)):
            high = rate
        else:
            low = rate
    return high


def _errors(v: Float, p: Float, y: float) -> Float:
    """Least (K(mu) + y)/mu of each row. Shapes: v (n, k), p (k,)."""
    mu, best = np.sqrt(2 * y / (v**2 @ (p * (1 - p)))), np.full(len(v), np.inf)
    for _ in range(12):
        tilt = mu[:, None] * v
        grown = p * np.expm1(np.minimum(tilt, 700.0))
        chance = (p + grown) / (1 + grown)
        beyond = np.maximum(tilt - 700.0, 0.0)
        k = (np.log1p(grown) + beyond - p * tilt).sum(axis=1)
        first, second = ((chance - p) * v).sum(axis=1), (chance * (1 - chance) * v**2).sum(axis=1)
        best = np.minimum(best, (k + y) / mu)
        step = (mu * first - k - y) / (mu * second)
        if (np.abs(step) <= 1e-6 * mu).all():
            break
        mu = np.clip(mu - step, mu / 2, mu * 2)
    return best


def _beside(setting: Setting) -> tuple[list[Measured], Check]:
    out, fan_in, n = setting.size((2, 40, 4), (2, 2000, 32), (4, 11008, 64))
    rng = np.random.default_rng(setting.seed)
    weight, rows = rng.normal(size=(out, fan_in)), np.maximum(rng.normal(size=(n, fan_in)), 0.0)
    size = np.abs(weight) @ rows.T
    shares = [np.abs(w) * rows / z[:, None] for w, z in zip(weight, size, strict=True)]
    scores = np.array([share.max(axis=0) for share in shares])
    rates: dict[str, Float] = {}

    def compiled() -> None:
        rates[OURS] = sipp_theory.tail_rate(weight, rows, scores, EPS, DELTA)

    def plain() -> None:
        each = zip(weight, scores, strict=True)
        rates[THEIRS] = np.array([numpy_rate(w, rows, s, EPS, DELTA) for w, s in each])

    times = race({OURS: compiled, THEIRS: plain}, setting.size(1, 1, 3))
    case = f"{out} neurons of {fan_in:,} weights at {n} inputs, SP-11"
    gap = float(np.abs(rates[OURS] / rates[THEIRS] - 1).max())
    return [
        *(seconds(FAMILY, case, way, t, threads=1) for way, t in times.items()),
        figure(FAMILY, case, f"times faster than {THEIRS}", ratio(times[THEIRS], times[OURS]),
               "times", threads=1),
    ], Check(FAMILY, "both ways find the same rates, to the searches' tolerance", gap < 3 * CLOSE,
             f"they differ by {gap:.1e} of a rate")  # fmt: skip


def _whole(setting: Setting, count: int) -> list[Measured]:
    layer, random = nn.Linear(11008, 4096), setting.generator()
    with torch.no_grad():
        layer.weight.normal_(generator=random)
    inputs = torch.randn(64, 11008, generator=random).clamp_(min=0)
    calibration = calibrate(layer, inputs, points=64)
    ways = {
        bound: lambda bound=bound: prune(
            layer, calibration, method="sipp-poisson", eps=EPS, delta=DELTA, bound=bound
        )
        for bound in LIMITS
    }
    times = race(ways, 1, warm_ups=0)
    return [
        seconds(FAMILY, "4096 x 11008, 64 inputs calibrated before", f"prune, bound={bound!r}", t,
                threads=count, target=LIMITS[bound], sense="at most")
        for bound, t in times.items()
    ]  # fmt: skip
