"""NW-1 to NW-3 and NW-7 on drawn networks, compared in exact arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import cycle, pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

# Whole numbers, so that float64 computes z+, z- and z without an error: dead, even, dominant.
WHOLE = st.one_of(st.integers(-3, 3), st.sampled_from([0, 0, 1, -1, 1000, -1000]))
# Products of three stay clear of underflow, which NW-7's code does not charge for.
WIDE = st.one_of(
    st.floats(-3, 3).map(lambda v: v if abs(v) > 1e-60 else 0.0),
    st.builds(lambda s, e: s * 10.0**e, st.sampled_from([-1, 1]), st.integers(-30, 30)),
    st.just(0.0),
)
RATIOS = st.lists(
    st.one_of(st.just(1.0), st.floats(1, 1e4), st.sampled_from([1 + 1e-12, 1e12])),
    min_size=1, max_size=6,
)  # fmt: skip
EPS = st.one_of(st.floats(1e-12, 1.0), st.sampled_from([1.0, 1e-150]))

Exact = list[Fraction]
Number = int | float | Fraction


def _relu(values: Exact) -> Exact:
    return [max(v, Fraction(0)) for v in values]


def _affine(weight: Sequence[Sequence[Number]], a: Exact, bias: Sequence[Number]) -> Exact:
    """W a + b, exactly."""
    return [
        sum((Fraction(w) * v for w, v in zip(row, a, strict=True)), Fraction(b))
        for row, b in zip(weight, bias, strict=True)
    ]


def _matrices(entries: st.SearchStrategy, layers: int, most: int = 3) -> st.SearchStrategy:
    """Weights, biases, and the input of networks of `layers` layers."""

    def build(widths: list[int]) -> st.SearchStrategy:
        rows = [
            st.lists(st.lists(entries, min_size=a, max_size=a), min_size=b, max_size=b)
            for a, b in pairwise(widths)
        ]
        shifts = [st.lists(entries, min_size=b, max_size=b) for b in widths[1:]]
        first = st.lists(entries, min_size=widths[0], max_size=widths[0])
        return st.tuples(st.tuples(*rows), st.tuples(*shifts), first)

    return st.lists(st.integers(1, most), min_size=layers + 1, max_size=layers + 1).flatmap(build)


@law("NW-1")
def composition_bounds_shaken_networks(setting: Setting) -> Result:
    """Each sign of each neuron shaken to its limit: no pre-activation leaves u_l, ReLU or bias."""

    def law(net: tuple, scale: int, turns: list[int]) -> None:
        weights, biases, given_x = net
        a = b = [Fraction(abs(v)) for v in given_x]
        errors, ratios, moved = [], [], []
        turn = cycle(turns)
        for w, bias in zip(weights, biases, strict=True):
            eps = Fraction(1, scale)
            plus = _affine([[max(v, 0) for v in row] for row in w], a, [0] * len(w))
            minus = _affine([[max(-v, 0) for v in row] for row in w], a, [0] * len(w))
            assume(max(plus + minus) < 2**53)
            shaken = []
            for row in w:
                up, down = 1 + next(turn) * eps, 1 + next(turn) * eps
                shaken.append([v * (up if v > 0 else down) for v in row])
            z, y = _affine(w, a, bias), _affine(shaken, b, bias)
            ratio = sipp_theory.delta_ratio(
                [float(v) for v in plus], [float(v) for v in minus], [float(v) for v in bias]
            )
            errors.append(1 / scale)
            ratios.append(float(np.max(ratio)))
            moved.append(list(zip(z, y, strict=True)))
            a, b = _relu(z), _relu(y)
        for limit, pairs in zip(sipp_theory.compose(errors, ratios), moved, strict=True):
            for z, y in pairs:
                # 1e-15: eps = 1/scale itself was rounded on its way into the code.
                reach = np.inf if np.isinf(limit) else Fraction(float(limit)) * abs(z)
                assert abs(y - z) <= reach * (1 + Fraction(1, 10**14)), (float(z), float(y), limit)

    return hold(
        setting,
        given(
            _matrices(WHOLE, 3), st.sampled_from([2, 10, 1000, 10**6]),
            st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=8),
        )(law),
        examples=100,
    )  # fmt: skip


@law("NW-1")
def composition_is_attained(setting: Setting) -> Result:
    """A neuron that cancels, all errors conspiring, is off by u_1 exactly."""

    def law(plus: int, gap: int, scale: int) -> None:
        minus, eps = plus, Fraction(1, scale)
        plus += gap
        worst = (plus * (1 + eps) - minus * (1 - eps) - gap) / Fraction(gap)
        ratio = sipp_theory.delta_ratio(float(plus), float(minus))
        u = float(sipp_theory.compose([1 / scale], [float(ratio)])[0])
        assert float(worst) <= u <= float(worst) * (1 + 1e-12)

    return hold(
        setting,
        given(st.integers(0, 10**6), st.integers(1, 1000), st.integers(1, 10**9))(law),
    )


@law("NW-1")
def woken_neurons_end_the_promise(setting: Setting) -> Result:
    """A neuron that was off and wakes: the next layer's error is as promised, or inf is."""

    def law(part: int, gap: int, scale: int, constant: int) -> None:
        # Hidden: z = part - (part + gap) < 0 and a constant c; output: their sum.
        eps = Fraction(1, scale)
        woken = max(part * (1 + eps) - (part + gap) * (1 - eps), Fraction(0))
        ratio = float(sipp_theory.delta_ratio(float(part), float(part + gap)))
        u = sipp_theory.compose([1 / scale, 0.0], [ratio, 1.0])
        moved = float(woken / constant)
        assert moved <= u[1] * (1 + 1e-12), (moved, u.tolist())

    return hold(
        setting,
        given(
            st.integers(0, 10**4), st.integers(1, 1000), st.sampled_from([2, 10, 100]),
            st.integers(1, 100),
        )(law),
    )  # fmt: skip


@law("NW-1")
def composition_is_monotone(setting: Setting) -> Result:
    """u_l rises with each error and each Delta; no error gives 0; Delta is at least 1."""

    def rises(errors: list[float], ratios: list[float], layer: int, factor: float) -> None:
        count = min(len(errors), len(ratios))
        errors, ratios, layer = errors[:count], ratios[:count], layer % count
        base = sipp_theory.compose(errors, ratios)
        more, larger = list(errors), list(ratios)
        more[layer] *= factor
        larger[layer] *= factor
        assert (sipp_theory.compose(more, ratios) >= base).all()
        assert (sipp_theory.compose(errors, larger) >= base).all()
        assert (sipp_theory.compose([0.0] * count, ratios) == 0).all()

    def at_least_one(plus: float, minus: float, bias: float) -> None:
        ratio = float(sipp_theory.delta_ratio(plus, minus, bias))
        assert ratio >= 1
        assert ratio == float(sipp_theory.delta_ratio(minus, plus, -bias))

    sizes = st.floats(0, 1e30)
    return hold(
        setting,
        given(
            st.lists(st.floats(0, 0.5), min_size=1, max_size=5), RATIOS, st.integers(0, 9),
            st.floats(1, 10),
        )(rises),
        given(sizes, sizes, st.floats(-1e30, 1e30))(at_least_one),
    )  # fmt: skip


@law("NW-2", "NW-3")
def splits_meet_the_error(setting: Setting) -> Result:
    """Both splits, composed again, give at most eps at the output and at most 1 before it."""

    def law(eps: float, ratios: list[float], costs: list[float]) -> None:
        prices = (costs * 6)[: len(ratios)]
        for split in (
            sipp_theory.corenet_split(eps, ratios),
            sipp_theory.log_split(eps, ratios),
            sipp_theory.log_split(eps, ratios, prices),
        ):
            u = sipp_theory.compose(split, ratios)
            assert (split >= 0).all() and u[-1] <= eps and u.max() <= 1

    return hold(
        setting,
        given(EPS, RATIOS, st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=6))(law),
        examples=100,
    )


@law("NW-3")
def log_split_spends_all(setting: Setting) -> Result:
    """A tenth more error in every layer breaks the promise for small eps: little is left over."""

    def law(eps: float, ratios: list[float]) -> None:
        assert sipp_theory.compose(sipp_theory.log_split(eps, ratios) * 1.1, ratios)[-1] > eps

    return hold(setting, given(st.floats(1e-9, 0.05), RATIOS)(law))


@law("NW-3")
def log_split_is_cheapest(setting: Setting) -> Result:
    """No other division of ln(1+eps) costs less draws than shares proportional to A^(1/3)."""

    def law(costs: list[float], other: list[float], eps: float) -> None:
        ones = [1.0] * len(costs)
        best = sipp_theory.log_split(eps, ones, costs)
        weights = np.array((other * 5)[: len(costs)])
        rival = weights / weights.sum() * np.log1p(eps)
        price = np.array(costs)
        assert (price / best**2).sum() <= (price / rival**2).sum() * (1 + 1e-9)
        # A tenth of a percent moved from one layer to another costs more, not less.
        moved = best.copy()
        moved[0] += 1e-3 * best.min()
        moved[-1] -= 1e-3 * best.min()
        assert (price / best**2).sum() <= (price / moved**2).sum() * (1 + 1e-9)

    part = st.floats(1e-3, 1e3)
    return hold(
        setting,
        given(
            st.lists(part, min_size=2, max_size=5), st.lists(part, min_size=1, max_size=5),
            st.floats(1e-6, 1),
        )(law),
    )  # fmt: skip


@law("NW-4", "NW-5")
def network_sizes_are_monotone(setting: Setting) -> Result:
    """NW-5 asks for more with more layers, S_sum or Delta and less eps or delta; kappa likewise."""

    def law(
        ratios: list[float], eps: float, delta: float, total: float, eta: int, star: int
    ) -> None:
        def nnz(hats: list[float], e: float, d: float, s: float) -> float:
            size = sipp_theory.corenet_network_size([[s]] * len(hats), hats, e, d, eta, star)
            assert sipp_theory.compose(size.errors, hats)[-1] <= e
            return size.nnz

        base = nnz(ratios, eps, delta, total)
        assert nnz([*ratios, 1.0], eps, delta, total) >= base
        assert nnz([2 * r for r in ratios], eps, delta, total) >= base
        assert nnz(ratios, eps / 2, delta, total) >= base
        assert nnz(ratios, eps, delta / 2, total) >= base
        assert nnz(ratios, eps, delta, 2 * total) >= base
        free = sipp_theory.corenet_network_size_bound(
            [[1000]] * len(ratios), 1000, ratios, eps, delta, eta, star
        )
        assert free.nnz >= base
        allowance = sipp_theory.kappa(eta, star, delta)
        assert sipp_theory.kappa(eta + 1, star, delta) >= allowance
        assert sipp_theory.kappa(eta, star + 1, delta) >= allowance
        assert sipp_theory.kappa(eta, star, delta / 2) >= allowance
        assert sipp_theory.delta_hat([total, 1.0], eta, star, delta) >= total + allowance

    return hold(
        setting,
        given(
            RATIOS, st.floats(1e-3, 1), st.floats(1e-6, 0.5), st.floats(1, 1000),
            st.integers(1, 10**6), st.integers(1, 10**6),
        )(law),
    )  # fmt: skip


@law("NW-7")
def propagation_bounds_the_true_error(setting: Setting) -> Result:
    """Per input and over a box, no pre-activation of the pruned network moves beyond the bound."""

    def law(net: tuple, factors: list[float], phi: str, radius: float) -> None:
        weights, biases, x = net
        factor = cycle(factors)
        pruned = [[[v * next(factor) for v in row] for row in w] for w in weights]
        low, high = np.array(x) - radius, np.array(x) + radius
        bound = sipp_theory.absolute_propagation(weights, pruned, biases, [x], phi)  # type: ignore[arg-type]
        box = sipp_theory.interval_propagation(weights, pruned, biases, low, high, phi)  # type: ignore[arg-type]
        a = b = [Fraction(v) for v in x]
        for w, other, bias, own, all_of_it in zip(weights, pruned, biases, bound, box, strict=True):
            z, y = _affine(w, a, bias), _affine(other, b, bias)
            for i, (before, after) in enumerate(zip(z, y, strict=True)):
                moved = abs(after - before)
                for limit in (own[0, i], all_of_it[i]):
                    assert np.isinf(limit) or moved <= Fraction(float(limit)), (i, float(moved))
            a, b = (_relu(z), _relu(y)) if phi == "relu" else (z, y)

    return hold(
        setting,
        given(
            _matrices(WIDE, 2),
            st.lists(st.sampled_from([0.0, 1.0, 0.5, 1.7, 30.0]), min_size=1, max_size=8),
            st.sampled_from(["relu", "identity"]), st.sampled_from([0.0, 0.25, 8.0]),
        )(law),
        examples=120,
    )  # fmt: skip
