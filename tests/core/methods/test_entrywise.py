"""Draws from the whole matrix: their exact law by enumeration, their promises, their numbers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import sipp_theory
from sipp_core import calibrate, load, prune
from sipp_core.methods import Entrywise, entrywise
from sipp_core.pruning import promise
from sipp_core.pruning.plan import LayerPlan, draw, draw_many
from sipp_core.pruning.table import Table, make_table
from sipp_core.runtime.numbers import generator
from tests.core.conftest import expected_nonzeros

WEIGHT = np.array([[0.9, -0.3, 0.4], [-0.6, 0.0, 0.5]])
METHODS = {method.name: method for method in map(Entrywise, sipp_theory.ENTRY_KINDS)}
FACTORS = {
    "entry-uniform": (WEIGHT != 0).astype(float),
    "entry-l1": np.abs(WEIGHT),
    "entry-l2": WEIGHT**2,
}


def table(bound: str = "kl", weight: np.ndarray = WEIGHT, rows: int = 5) -> Table:
    module = nn.Linear(weight.shape[1], len(weight), bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight))
    x = torch.rand(rows, weight.shape[1], generator=torch.Generator().manual_seed(3)).double()
    layer = calibrate(module, x, points=rows).layers[0]
    eta, widest = len(weight), max(weight.shape)
    return make_table(
        layer, delta=0.2, coverage_factor=1, bound=bound, eta=eta, eta_star=widest
    )  # fmt: skip


def law(p: np.ndarray, m: int) -> list[tuple[np.ndarray, float]]:
    """Every multiplier of m draws with its probability, from all sequences of draws."""
    result: dict[tuple[int, ...], float] = {}
    for sequence in itertools.product(range(p.size), repeat=m):
        counts = tuple(np.bincount(sequence, minlength=p.size))
        result[counts] = result.get(counts, 0.0) + math.prod(p.ravel()[list(sequence)])
    safe = np.where(p > 0, p, 1)
    return [(np.reshape(c, p.shape) / (m * safe), chance) for c, chance in result.items() if chance]


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_draws_by_its_definition(method: str) -> None:
    plan = METHODS[method].by_budget([table()], 3)[0]
    if method == "entry-mixture":
        one, two = (FACTORS[f"entry-l{k}"] for k in (1, 2))
        p = (one / one.sum() + two / two.sum()) / 2
    else:
        p = FACTORS[method] / FACTORS[method].sum()
    q = plan.draw_probabilities(0) + plan.draw_probabilities(1)
    np.testing.assert_allclose(q, p, rtol=1e-14)
    m = plan.draws.max()
    assert plan.joint and (plan.draws == m).all() and m == np.floor(m)
    assert expected_nonzeros(plan) == pytest.approx((1 - (1 - p) ** m).sum())
    near = [abs((1 - (1 - p) ** k).sum() - 3) for k in (m - 1, m, m + 1)]
    assert min(near) == near[1]


@pytest.mark.parametrize("method", METHODS)
def test_the_law_of_draws_is_unbiased_and_is_the_one_enumerated(method: str) -> None:
    one, m = table(), 3
    p = sipp_theory.entry_probabilities(WEIGHT, METHODS[method].law)
    plan = entrywise.joint_plan(one, p, m)
    every = law(p, m)
    assert sum(chance for _, chance in every) == pytest.approx(1)
    mean = np.sum([chance * multiplier for multiplier, chance in every], axis=0)
    square = np.sum([chance * multiplier**2 for multiplier, chance in every], axis=0)
    np.testing.assert_allclose(mean, WEIGHT != 0, rtol=1e-12)
    live = WEIGHT != 0
    np.testing.assert_allclose(square[live] - 1, (1 - p[live]) / (m * p[live]), rtol=1e-9)
    # What the code draws follows that law, rare outcomes taken together.
    common = [(a, c) for a, c in every if c > 0.005]
    counts = np.zeros(len(common) + 1)
    trials = 3000
    for multiplier in draw_many(plan, 11, 0, trials):
        same = [k for k, (a, _) in enumerate(common) if np.allclose(a, multiplier)]
        counts[same[0] if same else -1] += 1
    chances = np.array([c for _, c in common])
    expected = trials * np.append(chances, max(1 - chances.sum(), 1e-12))
    if expected[-1] < 5:
        assert counts[-1] <= 20
        counts, expected = counts[:-1], expected[:-1] * counts[:-1].sum() / expected[:-1].sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-4


@pytest.mark.parametrize("bound", ["bernstein", "kl", "cramer", "exact"])
@pytest.mark.parametrize("method", METHODS)
def test_the_promise_of_each_pair_holds_under_the_exact_law(method: str, bound: str) -> None:
    """Chance of |z^ - z| > eps z at the worst row, by enumeration of six draws."""
    one, m = table(bound), 6
    p = sipp_theory.entry_probabilities(WEIGHT, METHODS[method].law)
    eps = entrywise.joint_plan(one, p, m).eps
    points = one.statistics.points[0].numpy()
    every = law(p, m)
    for sign, neuron in np.argwhere(one.total > 0):
        part = np.where(one.sign(sign)[neuron], np.abs(WEIGHT[neuron]), 0.0)
        z = points @ part
        failing = sum(
            chance * (np.abs(points @ (part * a[neuron]) - z) > eps[sign, neuron] * z * (1 + 1e-9))
            for a, chance in every
        )
        assert np.max(failing) <= one.delta[sign, neuron] * (1 + 1e-9)
        if bound == "exact":  # nor is it more than a step of the lattice too careful
            less = eps[sign, neuron] * (1 - 2e-2)
            tight = sum(
                chance * (np.abs(points @ (part * a[neuron]) - z) > less * z) for a, chance in every
            )
            assert np.max(tight) > one.delta[sign, neuron]


def test_the_span_is_the_largest_draw() -> None:
    one = table()
    p = sipp_theory.entry_probabilities(WEIGHT, "l1")
    for sign, neuron in np.argwhere(one.total > 0):
        mine = one.sign(sign)[neuron]
        largest = (one.sensitivity[neuron, mine] / p[neuron, mine]).max()
        assert promise.span(one, p, joint=True)[sign, neuron] == pytest.approx(largest)
        # A pair alone is drawn from more often.
        assert promise.span(one, p)[sign, neuron] < largest


def wide(bound: str) -> Table:
    rng = np.random.default_rng(0)
    return table(bound, rng.normal(size=(3, 400)), rows=40)


@pytest.mark.parametrize("bound", ["bernstein", "kl", "cramer"])
def test_one_number_of_draws_serves_every_pair_and_one_less_does_not(bound: str) -> None:
    one = wide(bound)
    plan = Entrywise("l1").by_eps(one, 0.9)
    m = plan.draws.max()
    assert plan.joint and (plan.draws == m).all() and m < 1200
    assert plan.eps.max() <= 0.9
    fewer = entrywise.joint_plan(one, plan.scores, m - 1)
    assert fewer.eps.max() > 0.9
    assert not Entrywise("l1").by_eps(one, 0.05).joint  # more draws than weights: kept whole


def test_what_cannot_be_drawn_promises_nothing() -> None:
    weight = np.array([[1.0, 1e-200], [1.0, -1.0]])
    for bound in ("kl", "exact"):
        one = table(bound, weight)
        p = sipp_theory.entry_probabilities(weight, "l2")
        assert p[0, 1] == 0
        assert entrywise.joint_plan(one, p, 50).eps[0, 0] >= 1
        assert not Entrywise("l2").by_eps(one, 0.9).joint


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_plan_draws_the_same_multipliers(method: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4))
    saved = prune(model, torch.rand(30, 12), method=method, keep=0.3, seed=5)
    again = load(saved.save(tmp_path / "net", plans=True), model)
    for index, (a, b) in enumerate(zip(saved.plans, again.plans, strict=True)):
        assert a.joint and b.joint
        first, second = (draw(plan, generator(5, index, 0)) for plan in (a, b))
        assert np.array_equal(first, second)
        weight = model.get_parameter(f"{a.name}.weight").detach().double().numpy()
        new = again.model.get_parameter(f"{a.name}.weight").detach()
        assert torch.equal(torch.from_numpy(weight * first).float(), new)


def test_the_note_says_what_was_promised_and_observed() -> None:
    model = nn.Sequential(nn.Linear(30, 20, bias=False)).double()
    result = prune(model, torch.rand(30, 30).double(), method="entry-l1", keep=0.4, delta=0.1)
    (note,) = [n for n in result.notes if "MS-1" in n]
    old, new = (m.get_parameter("0.weight").detach().numpy() for m in (model, result.model))
    observed = np.linalg.norm(new - old, 2) / np.linalg.norm(old, 2)
    assert f"observed {observed:.3g}" in note and "(vacuous)" in note
    moments = sipp_theory.draw_moments(old, np.abs(old) / np.abs(old).sum())
    m = result.layers[0].draws.max()
    promised = sipp_theory.spectral_error(moments.variance, moments.span, 50, m, 0.1)
    assert f"m = {m:.6g} draws, promised {promised:.3g}" in note
    assert "MS-1" in result.claims
    assert not any("MS-1" in n for n in prune(model, torch.rand(9, 30).double(),
                                              method="entry-l1", keep=1.0).notes)  # fmt: skip


def test_a_joint_plan_is_one_multinomial_over_the_matrix() -> None:
    plan = entrywise.joint_plan(table(), FACTORS["entry-l1"], 7)
    assert isinstance(plan, LayerPlan)
    for multiplier in draw_many(plan, 0, 0, 20):
        p = plan.draw_probabilities(0) + plan.draw_probabilities(1)
        assert np.sum(multiplier * 7 * p) == pytest.approx(7)
    alone = dataclasses.replace(plan, joint=False)
    np.testing.assert_allclose(alone.draw_probabilities(0).sum(axis=1), [1, 1])
