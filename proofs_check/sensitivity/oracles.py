"""Sensitivities in rational arithmetic; the published |S|; sizes of ES-4 at 50 digits."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain

import mpmath
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import sipp_core
import sipp_theory
from proofs_check.instances import trained
from proofs_check.instances.strategies import layers
from proofs_check.kinds.laws import hold
from proofs_check.kinds.oracles import DIGITS, TOLERANCE, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

PUBLISHED = (35, 42, 49, 56, 70, 83, 97, 111, 125, 139, 152, 180, 208, 235, 263)
PUBLISHED_DELTAS = (
    10,
    1,
    0.1,
    0.01,
    *(10.0**-p for p in (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)),
)
NETWORKS = ((2, 2), (202, 128), (410, 784), (10**6, 4096))
DELTAS = (0.9, 0.05, 1e-3, 1e-30)


def _shares(weights: np.ndarray, row: np.ndarray, sign: int) -> list[Fraction]:
    """The definition, in rational numbers."""
    terms = [
        Fraction(abs(float(w))) * Fraction(float(a)) if sign * w > 0 else Fraction(0)
        for w, a in zip(weights, row, strict=True)
    ]
    total = sum(terms)
    return [t / total if total else Fraction(0) for t in terms]


def _sensitivities(weights: np.ndarray, activations: np.ndarray) -> list[list[Fraction]]:
    """The largest share of every weight, by loops; signed rows are two non-negative ones."""
    rows = [part for a in activations for part in (np.maximum(a, 0), np.maximum(-a, 0))]
    sensitivities = []
    for neuron in weights:
        both = [[_shares(neuron, row, sign) for row in rows] for sign in (1, -1)]
        sensitivities.append([
            max(share[j] for share in both[0 if w > 0 else 1]) for j, w in enumerate(neuron)
        ])  # fmt: skip
    return sensitivities


def _agree(
    computed: np.ndarray, truth: list[list[Fraction]], relative: float, floor: float
) -> None:
    for got, expected in zip(computed.ravel().tolist(), chain.from_iterable(truth), strict=True):
        assert abs(Fraction(got) - expected) <= Fraction(relative) * expected + Fraction(floor), (
            f"{got!r}, truth {float(expected)!r}"
        )


@oracle("ES-1")
def shares_by_fractions(setting: Setting) -> Result:
    """Shares equal rational arithmetic to 1e-12, to the ends of float64 (1e-300 to 1e300)."""

    def law(layer: tuple[np.ndarray, np.ndarray], first: float, second: float) -> None:
        weights, rows = layer[0][0] * first, layer[1] * second
        for sign in (1, -1):
            truth = [_shares(weights, row, sign) for row in rows]
            # A share below the normal numbers has fewer digits.
            _agree(sipp_theory.shares(weights, rows, sign), truth, TOLERANCE, 1e-307)

    factors = st.sampled_from([1.0, 1e270, 1e-270])
    return hold(setting, given(layers(neurons=1), factors, factors)(law), examples=30)


@oracle("ES-1", "ES-3")
def case_by_hand(setting: Setting) -> Result:
    """One neuron, a weight of either sign and one of zero, two points of which one is negative."""
    weights, rows = np.array([[1.0, 3.0, -2.0, 0.0]]), np.array([[1.0, 1, 5, 9], [-2, 0, -1, 0]])
    # The second row is a- = (2, 0, 1, 0): weight 0 carries all of z+ there, weight 2 all of z-.
    shares = {
        "numpy": sipp_theory.sensitivity(weights, rows),
        "torch": sipp_core.empirical_sensitivity(
            torch.from_numpy(weights), torch.from_numpy(rows)
        ).numpy(),
    }
    for way, s in shares.items():
        if s.tolist() != [[1.0, 0.75, 1.0, 0.0]]:
            raise Refuted(f"{way}: sensitivities {s.tolist()}, by hand [[1, .75, 1, 0]]")
    for sign, expected in ((1, [0.25, 0.75, 0, 0]), (-1, [0, 0, 1.0, 0])):
        g = sipp_theory.shares(weights[0], rows[:1], sign)[0].tolist()
        if g != expected:
            raise Refuted(f"shares of sign {sign}: {g}, by hand {expected}")
    return Result(cases=4)


@oracle("ES-1", "ES-3")
def sensitivities_by_fractions(setting: Setting) -> Result:
    """Both float64 kernels equal rational arithmetic to 1e-12, the float32 one to its rounding."""

    def law(layer: tuple[np.ndarray, np.ndarray]) -> None:
        truth = _sensitivities(*layer)
        _agree(sipp_theory.sensitivity(*layer), truth, TOLERANCE, 0)
        weights, rows = (torch.from_numpy(part) for part in layer)
        _agree(sipp_core.empirical_sensitivity(weights, rows).numpy(), truth, TOLERANCE, 0)
        single = weights.float(), rows.float()
        truth = _sensitivities(*(part.double().numpy() for part in single))
        computed = sipp_core.empirical_sensitivity(*single).double().numpy()
        # As many additions as inputs, a division, two products; below 1e-37 numbers lose digits.
        _agree(computed, truth, (weights.shape[1] + 4) * 2.0**-23, 1e-37)

    return hold(setting, given(layers(signed_activations=True))(law), examples=30)


@oracle("ES-2")
def sum_bound_is_attained(setting: Setting) -> Result:
    """One-hot points attain min(edges, points), a single point attains 1."""
    cases = 0
    for edges in (1, 2, 5, 9):
        for points in (1, 3, 9, 12):
            rows = np.eye(edges)[np.arange(points) % edges]
            total = float(sipp_theory.sensitivity(np.ones((1, edges)), rows).sum())
            bound = float(sipp_theory.sensitivity_sum_bound(edges, points))
            if not total <= bound == min(edges, points) == total:
                raise Refuted(f"{points} one-hot points, {edges} edges: {total}, bound {bound}")
            cases += 1
        alone = float(sipp_theory.sensitivity(np.ones((1, edges)), np.ones((1, edges))).sum())
        close(alone, mpmath.mpf(1), {"edges": edges})
    return Result("attained", cases=cases, promised=1, needed=1)


@oracle("ES-2")
def sums_of_a_trained_network(setting: Setting) -> Result:
    """S_sum of each sign of each trained neuron against min(edges, points)."""
    lines, promised, needed, series = [], [], [], {}
    for name in trained.names(setting):
        for number, table in enumerate(trained.tables(setting, name), 1):
            bound = np.stack([
                sipp_theory.sensitivity_sum_bound(table.sign(s).sum(axis=1), trained.CALIBRATION)
                for s in (0, 1)
            ])  # fmt: skip
            live = table.total > 0
            total, bound = table.total[live], bound[live]
            # S_sum is a float32 sum of up to 784 maxima.
            if (total > bound * (1 + 1e-4)).any() or (total < 1 - 1e-4).any():
                worst = int(np.argmax(total / bound))
                raise Refuted(f"{name}, layer {number}: S_sum {total[worst]}, bound {bound[worst]}")
            lines.append(f"{name} layer {number}: {np.median(total):.3g} of {np.median(bound):.0f}")
            promised.append(float(np.median(bound)))
            needed.append(float(np.median(total)))
            series[f"{name} {number} S_sum"] = np.sort(total).tolist()
    ratio = np.divide(promised, needed)
    return Result(
        f"median S_sum of the most that ES-2 allows: {'; '.join(lines)}", cases=len(lines),
        promised=promised[int(ratio.argmax())], needed=needed[int(ratio.argmax())], series=series,
    )  # fmt: skip


@oracle("ES-4")
def published_sizes(setting: Setting) -> Result:
    """The 15 sizes of SiPP's sweep file come out, with eta* = 300: they leave the input out."""
    computed = [float(v) for v in sipp_theory.calibration_size(410, 300, PUBLISHED_DELTAS, "sipp")]
    for delta, got, expected in zip(PUBLISHED_DELTAS, computed, PUBLISHED, strict=True):
        if got != expected:
            raise Refuted(
                f"calibration_size(410, 300, {delta!r}, 'sipp') = {got}, published {expected}"
            )
    counted = [float(v) for v in sipp_theory.calibration_size(410, 784, PUBLISHED_DELTAS, "sipp")]
    more = [int(c - p) for c, p in zip(counted, PUBLISHED, strict=True)]
    if min(more) < 1:
        raise Refuted(f"with eta* = 784 the sizes are {counted}, no larger than those published")
    return Result(
        f"all 15 equal; a certificate of layer 1 needs eta* = 784 and {min(more)} to {max(more)} "
        "points more", cases=15,
        series={"delta": list(map(float, PUBLISHED_DELTAS)), "published": computed, "input counted":
                counted},
    )  # fmt: skip


@oracle("ES-4")
def sizes_at_50_digits(setting: Setting) -> Result:
    """|S| of both papers and K = ln(eta eta*) against 50 digits, over all sizes of network."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for eta, star in NETWORKS:
            edges = mpmath.log(mpmath.mpf(eta) * star)
            for factor in sipp_theory.assumption_factors(eta, star):
                close(float(factor), edges, {"eta": eta, "eta*": star})
            for delta in DELTAS:
                log = mpmath.log(8 * mpmath.mpf(eta) * star / mpmath.mpf(delta))
                at = {"eta": eta, "eta*": star, "delta": delta}
                for rule, factor in (("corenet", edges), ("sipp", mpmath.mpf(3))):
                    got = sipp_theory.calibration_size(eta, star, delta, rule)  # type: ignore[arg-type]
                    close(float(got), mpmath.ceil(factor * log), at | {"rule": rule}, "above")
                    cases += 1
    return Result(cases=cases)


@oracle("ES-4")
def boundary_of_the_assumption(setting: Setting) -> Result:
    """Where A1 holds with equality, |S| meets delta/(8 eta eta*) and one point less does not."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for eta, star in NETWORKS:
            for delta in DELTAS:
                edges = mpmath.log(mpmath.mpf(eta) * star)
                for rule, factor in (("corenet", edges), ("sipp", mpmath.mpf(3))):
                    size = int(sipp_theory.calibration_size(eta, star, delta, rule))  # type: ignore[arg-type]
                    target = mpmath.mpf(delta) / (8 * mpmath.mpf(eta) * star)
                    missed, before = (mpmath.exp(-m / factor) for m in (size, size - 1))
                    if not missed <= target < before:
                        raise Refuted(
                            f"{rule}: |S| = {size} misses an edge with probability "
                            f"{mpmath.nstr(missed, 5)}, allowed {mpmath.nstr(target, 5)}, at eta = "
                            f"{eta}, eta* = {star}, delta = {delta}"
                        )
                    cases += 1
    return Result("not a point too many", cases=cases)
