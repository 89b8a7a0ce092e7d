"""Plans: draws of them are unbiased, seeded, never on a dropped weight, and counted right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from sipp_core.pruning.plan import LayerPlan, draw, draw_counts, draw_many
from sipp_core.runtime.numbers import generator
from tests.core.conftest import expected_nonzeros

OUT, FAN_IN = 4, 30


def make_plan(kind: str, seed: int = 0) -> LayerPlan:
    """Neuron 0 is drawn or included as said; 1 kept by masks; 2 dead; 3 mixes both by sign."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(OUT, FAN_IN))
    weight[:, ::7] = 0
    nonzero, scores = weight != 0, (0.1 + rng.random((OUT, FAN_IN))) * (weight != 0)
    draws = np.zeros((2, OUT))
    probability = np.where(nonzero, 0.05 + 0.95 * rng.random((OUT, FAN_IN)), 0.0)
    probability[1] = (probability[1] > 0.5).astype(float)
    probability[2], scores[2] = 0, 0
    if kind == "drawn":
        draws[:, 0], draws[0, 3] = (6, 9), 5
        probability[0] = 0
        probability[3, weight[3] > 0] = 0
    no = np.zeros((2, OUT), dtype=bool)
    return LayerPlan(
        name="layer",
        scores=scores,
        positive=weight > 0,
        nonzero=nonzero,
        probability=probability,
        draws=draws,
        eps=np.zeros((2, OUT)),
        dead=no,
        whole=no,
        scale=np.ones((2, OUT)),
        coupled=kind == "coupled",
    )


KINDS = ("independent", "coupled", "drawn")


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_have_mean_one_and_the_counted_nonzeros(kind: str) -> None:
    plan, trials = make_plan(kind), 2000
    drawn = np.stack(list(draw_many(plan, 3, 0, trials)))
    assert drawn.shape == (trials, OUT, FAN_IN) and (drawn >= 0).all()
    possible = plan.nonzero & (plan.probability > 0)
    for sign in (0, 1):
        here = plan.sign(sign) & (plan.draws[sign] > 0)[:, None]
        possible = np.where(here, plan.draw_probabilities(sign) > 0, possible)
    assert (drawn[:, ~possible] == 0).all()
    # Six standard errors of each weight's own law, 120 weights.
    error = 6 * drawn.std(axis=0)[possible] / np.sqrt(trials) + 1e-9
    assert (np.abs(drawn.mean(axis=0)[possible] - 1) <= error).all()
    counts = (drawn > 0).sum(axis=(1, 2))
    margin = 6 * counts.std() / np.sqrt(trials) + 1e-9
    assert abs(counts.mean() - expected_nonzeros(plan)) <= margin


def test_draws_follow_the_multinomial_law() -> None:
    plan = make_plan("drawn")
    q = plan.draw_probabilities(0)[0]
    assert q.sum() == pytest.approx(1) and (q[~plan.sign(0)[0]] == 0).all()
    trials = 4000
    counts = np.zeros(FAN_IN)
    for multiplier in draw_many(plan, 0, 0, trials):
        on = plan.sign(0)[0] & (q > 0)
        one = np.rint(multiplier[0, on] * 6 * q[on])
        np.testing.assert_allclose(multiplier[0, on], one / (6 * q[on]), rtol=1e-12)
        assert one.sum() == 6
        counts[on] += one
    live = q > 0
    assert stats.chisquare(counts[live], 6 * trials * q[live]).pvalue > 1e-4
    wrong = np.roll(q[live], 1)
    assert stats.chisquare(counts[live], 6 * trials * wrong).pvalue < 1e-4


def test_coupled_inclusion_fixes_the_count_of_each_neuron_and_sign() -> None:
    plan = make_plan("coupled")
    for multiplier in draw_many(plan, 0, 0, 200):
        for sign in (0, 1):
            expected = np.where(plan.sign(sign), plan.probability, 0).sum(axis=1)
            count = ((multiplier > 0) & plan.sign(sign)).sum(axis=1)
            assert (np.abs(count - expected) < 1).all()


def test_scale_multiplies_what_is_kept() -> None:
    plan = make_plan("independent")
    scale = np.array([[1.0, 1.5, 1.0, 1.0], [1.0, 1.25, 1.0, 1.0]])
    scaled = draw(dataclasses.replace(plan, scale=scale), generator(0))
    plain = draw(plan, generator(0))
    factor = np.where(plan.positive, scale[0][:, None], scale[1][:, None])
    assert np.array_equal(scaled, plain * factor)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_is_all_that_a_draw_depends_on(kind: str) -> None:
    plan = make_plan(kind)
    np.random.seed(5)
    position = np.random.get_state(legacy=False)["state"]["pos"]
    first = draw(plan, generator(7, 2, 0))
    assert np.array_equal(first, draw(plan, generator(7, 2, 0)))
    assert np.random.get_state(legacy=False)["state"]["pos"] == position
    for other in ((8, 2, 0), (7, 3, 0), (7, 2, 1)):
        assert not np.array_equal(first, draw(plan, generator(*other)))
    with pytest.raises(ValueError, match="seed must be at least 0; found -1"):
        generator(-1)


def test_streams_are_pinned() -> None:
    """Same seed, same network, on every machine and in every release."""
    assert generator(0).bit_generator.random_raw(2).tolist() == [
        259491006799949737,
        4754966410622352325,
    ]


def test_rounding_never_lands_a_draw_on_a_weight_that_cannot_be_drawn() -> None:
    q = np.array([[0.5, 0.3, 0.2 - 1e-13, 0.0]])
    counts = draw_counts(np.repeat(q, 50, axis=0), np.full(50, 10**15), generator(0))
    assert (counts[:, 3] == 0).all() and (counts.sum(axis=1) == 10**15).all()
