"""All claims at one sign of one neuron: what each asks for, what is needed, and the verdicts.

The yardstick `needed` is the smallest size with which the worst calibration row meets (eps, delta)
in the trials. Two readings need care:

- SP-2's delta is that of the whole network in the paper, and what it promises one neuron is
  3 delta/(8 eta). Its size is taken at the printed (eps, delta) and checked against delta, which it
  implies: 3 delta/(8 eta) is far below what an affordable number of trials can tell from 0.
- On fresh inputs a claim with coverage factor C = 1 speaks only of those with g_j(x) <= s_j for all
  j ("fresh-covered"), and SP-5, SP-5x of none. Counts over all fresh inputs ("fresh") show how
  far a promise made for the calibration rows carries; they refute nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import sipp_theory
from proofs_check.ledger.judging import Coverage, Where, trials_for_power
from proofs_check.monte_carlo.needed import needed_size
from proofs_check.monte_carlo.neuron import Points, neuron_coverage
from proofs_check.monte_carlo.pair import Scheme
from sipp_core.pruning import Table
from sipp_core.runtime import Bool, Float
from sipp_theory import BOUNDS, Neuron

# Bounds on one sign of a neuron, and those of them that speak of inclusion.
OF_A_SIGN = tuple(bound for bound in BOUNDS.values() if bound.knows != "neuron")
INCLUSION_OF_A_SIGN = tuple(bound.name for bound in OF_A_SIGN if bound.inclusion is not None)
CLAIMS = (*(bound.claim for bound in OF_A_SIGN), "SP-6", "SP-8")
SCHEMES: dict[str, Scheme] = {"SP-6": "dropping", "SP-8": "inclusion"}
# These speak of the calibration rows alone, whatever the coverage factor.
ON_ROWS_ONLY = tuple(bound.claim for bound in OF_A_SIGN if bound.knows == "shares")
# Failures to count at the needed size: it then repeats within some 1.4% (one standard deviation).
NEEDED_FAILURES = 1_000
COVERED_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class NeuronCheck:
    """All claims at one sign of one neuron.

    Attributes:
        layer: name of its layer.
        neuron: index in the layer.
        sign: +1 or -1.
        sensitivity_sum: S_sum.
        weights: weights with s_j > 0.
        points: calibration rows that reach this sign.
        fresh_points: fresh rows that reach it.
        uncovered: share of the fresh rows with g_j > s_j for some j, of which claims with C = 1 do
            not speak.
        needed: smallest number of draws that Monte Carlo needs at the worst calibration row.
        needed_rate: smallest inclusion rate c likewise.
        needed_kept: smallest number of most sensitive weights whose keeping meets eps on all rows.
        sizes: given by each claim: draws, for SP-8 the rate c, for SP-6 weights kept.
        tightness: given size over needed size, 1 at best.
        coverages: verdicts at these sizes, see the module's docstring.

    Claim: SP-2 to SP-8. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422, [OWN].
    """

    layer: str
    neuron: int
    sign: int
    sensitivity_sum: float
    weights: int
    points: int
    fresh_points: int
    uncovered: float
    needed: float
    needed_rate: float
    needed_kept: float
    sizes: dict[str, float]
    tightness: dict[str, float]
    coverages: tuple[Coverage, ...]

    def summary(self) -> dict[str, object]:
        """All fields, ready for JSON."""
        names = ("layer", "neuron", "sign", "sensitivity_sum", "weights", "points",
                 "fresh_points", "uncovered", "needed", "needed_rate", "needed_kept", "sizes",
                 "tightness")  # fmt: skip
        fields: dict[str, object] = {name: getattr(self, name) for name in names}
        return fields | {"coverages": [coverage.summary() for coverage in self.coverages]}


def check_neuron(
    table: Table, new: Table, sign: int, neuron: int, eps: float, delta: float, trials: int,
    seed: int,
) -> NeuronCheck:  # fmt: skip
    """Ask every claim for its size at one sign of one neuron; find what is needed; judge each.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x, SP-6, SP-8. Source: see `sipp_theory`.
    """
    columns = table.sign(sign)[neuron]
    s = table.sensitivity[neuron, columns]
    shares = table.shares(sign, neuron, columns)
    fresh = new.shares(sign, neuron, columns)
    covered = (fresh <= s * (1 + COVERED_SLACK)).all(axis=1)
    sizes = _sizes(table, shares, s, eps, delta)
    many = max(trials, int(np.ceil(NEEDED_FAILURES / delta)))
    schemes: tuple[Scheme, ...] = ("draws", "inclusion", "dropping")
    needed = {
        scheme: needed_size(
            shares, s, eps=eps, delta=delta, scheme=scheme, trials=many, seed=seed
        ).size
        for scheme in schemes
    }
    coverages: list[Coverage] = []
    for claim in CLAIMS:
        coverages += _verdicts(
            claim, sizes[claim], shares, fresh, covered, s, eps, delta, trials, seed
        )
    return NeuronCheck(
        layer=table.statistics.name,
        neuron=neuron,
        sign=1 if sign == 0 else -1,
        sensitivity_sum=float(table.total[sign, neuron]),
        weights=int((s > 0).sum()),
        points=len(shares),
        fresh_points=len(fresh),
        uncovered=float(1 - covered.mean()) if len(fresh) else 0.0,
        needed=needed["draws"],
        needed_rate=needed["inclusion"],
        needed_kept=needed["dropping"],
        sizes=sizes,
        tightness={c: _ratio(sizes[c], needed[SCHEMES.get(c, "draws")]) for c in CLAIMS},
        coverages=tuple(coverages),
    )


def known_neuron(g: Float, s: Float, total: float, eta: int, eta_star: int) -> Neuron:
    """All that a bound may know of one sign of one neuron, live weights alone.

    Shapes: g (n, k), s (k,).

    Claim: SP-2 to SP-5x. Source: [SP] arXiv 1910.05422.
    """
    return Neuron(
        sensitivity_sum=max(1.0, total), shares=g, probabilities=s / total, eta=eta,
        eta_star=eta_star,
    )  # fmt: skip


def _sizes(table: Table, shares: Float, s: Float, eps: float, delta: float) -> dict[str, float]:
    """What each claim asks for, at the same eps and delta."""
    total, live = float(s.sum()), s > 0
    g, s = shares[:, live], s[live]
    neuron = known_neuron(g, s, total, table.eta, table.eta_star)
    return {b.claim: float(b.size(neuron, eps, delta)) for b in OF_A_SIGN} | {
        "SP-6": float(sipp_theory.deterministic_size(s, eps)),
        "SP-8": float(sipp_theory.inclusion_rate(s, eps, delta, shares=g)),
    }


def _ratio(size: float, needed: float) -> float:
    """Given size over needed size; 1 where both are 0."""
    return size / needed if needed > 0 else (1.0 if size == 0 else float("inf"))


def _verdicts(
    claim: str, size: float, shares: Float, fresh: Float, covered: Bool, s: Float, eps: float,
    delta: float, trials: int, seed: int,
) -> list[Coverage]:  # fmt: skip
    """Judge one claim at the size that it gives."""
    level = 1 - 1e-3 / max(1, len(shares))
    # Looking at all rows costs more, so it is done as often as its verdict needs, with a margin.
    joint = min(trials, int(1.2 * trials_for_power(delta, level)))
    covering = fresh[covered]
    if claim == "SP-6":
        # No draws: every row is looked at once, and no row that the claim speaks of may fail.
        plan: list[tuple[Where, Points, Float, int]] = [
            ("calibration", "each", shares, trials),
            ("fresh-covered", "each", covering, trials),
            ("fresh", "random", fresh, trials),
        ]
    else:
        plan = [
            ("calibration", "worst", shares, trials),
            ("calibration", "each", shares, joint),
            ("fresh-covered", "random", covering, joint),
            ("fresh", "random", fresh, joint),
            ("fresh", "worst", fresh, trials),
        ]
    # The pruner includes weights coupled to a fixed count; SP-8 is promised for that as well.
    extra: tuple[Scheme, ...] = ("coupled",) if claim == "SP-8" else ()
    return [
        neuron_coverage(
            rows, s, scheme=way, size=size, eps=eps, delta=delta,
            trials=count, seed=seed, points=points, claim=claim, where=where,
        )
        for where, points, rows, count in plan
        for way in (SCHEMES.get(claim, "draws"), *(extra if where == "calibration" else ()))
        if len(rows) and not (where == "fresh-covered" and claim in ON_ROWS_ONLY)
    ]  # fmt: skip
