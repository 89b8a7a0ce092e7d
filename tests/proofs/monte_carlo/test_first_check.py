"""The first check on trained networks: sizes, yardstick, verdicts, and a bound to be caught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import sipp_theory
from proofs_check import FirstCheck, first_check, layer_coverage, needed_size
from proofs_check.kinds.mutations import divided
from proofs_check.ledger.mutation import substituted
from proofs_check.monte_carlo.neuron_check import CLAIMS
from sipp_core import calibrate, prune
from sipp_core.zoo import datasets, models, training
from tests.proofs.conftest import Trained


@pytest.fixture(scope="module")
def check(digits: Trained) -> FirstCheck:
    return first_check(
        digits.model, digits.calibration, digits.fresh, eps=0.2, delta=0.05, trials=5000
    )


def test_no_claim_is_refuted_on_the_rows_that_it_speaks_of(check: FirstCheck) -> None:
    assert check.refuted == ()
    for row in check.rows:
        for result in row.coverages:
            if result.where == "calibration":
                assert result.verdict == "consistent", result
            if result.where == "fresh-covered":
                assert result.verdict != "refuted", result


def test_the_ladder_of_sizes_and_how_tight_it_is(check: FirstCheck) -> None:
    assert len(check.rows) == 6 and {row.layer for row in check.rows} == {"fc1", "fc2", "fc3"}
    for row in check.rows:
        ladder = [row.sizes[claim] for claim in ("SP-2", "SP-3", "SP-4", "SP-5", "SP-5x")]
        assert ladder == sorted(ladder, reverse=True)
        assert row.tightness["SP-2"] > 100
        assert 1.5 < row.tightness["SP-5"] <= 2.2
        assert 0.95 < row.tightness["SP-5x"] <= 1.1
        assert row.tightness["SP-6"] >= 1 and 1 < row.tightness["SP-8"] < 5
        assert row.tightness["SP-3"] == row.sizes["SP-3"] / row.needed
        assert 0 <= row.uncovered < 1 and row.needed_kept <= row.weights


def test_every_claim_is_judged_in_every_place(check: FirstCheck) -> None:
    for row in check.rows:
        places = {(c.claim, c.where) for c in row.coverages}
        for claim in CLAIMS:
            assert (claim, "calibration") in places and (claim, "fresh") in places
            assert ((claim, "fresh-covered") in places) == (claim not in ("SP-5", "SP-5x"))
        assert {c.scheme for c in row.coverages if c.claim == "SP-8"} == {"inclusion", "coupled"}


def test_the_summary_is_json_and_says_it_all(check: FirstCheck) -> None:
    read = json.loads(json.dumps(check.summary(), allow_nan=False))
    assert set(read["claims"]) == set(CLAIMS) and len(read["rows"]) == 6
    assert read["eta"] == 128 + 64 + 10 and read["eta_star"] == 128 and read["refuted"] == []
    assert read["claims"]["SP-5x"]["verdicts"]["calibration"] == {"consistent": 12}


def test_the_same_seed_gives_the_same_check(digits: Trained) -> None:
    options = {"eps": 0.3, "delta": 0.1, "trials": 500, "neurons_per_layer": 1}
    runs = [
        first_check(digits.model, digits.calibration, digits.fresh, seed=seed, **options)
        for seed in (0, 0, 1)
    ]
    assert runs[0].summary() == runs[1].summary() != runs[2].summary()


def test_a_bound_divided_by_eight_is_refuted(digits: Trained) -> None:
    with substituted(sipp_theory.bernstein_size, divided(8)):
        result = first_check(
            digits.model, digits.calibration, digits.fresh, eps=0.3, delta=0.1, trials=2000,
            neurons_per_layer=1,
        )  # fmt: skip
    assert result.refuted == ("SP-3",)


def test_bad_arguments_are_named(digits: Trained) -> None:
    good = {"eps": 0.2, "delta": 0.1}
    model, old, new = digits.model, digits.calibration, digits.fresh
    for calibration, fresh, change, error, message in (
        (old, new, {"eps": 1.0}, ValueError, "eps .*1.0"),
        (old, new, {"delta": 0.0}, ValueError, "delta .*0.0"),
        (old, new, {"neurons_per_layer": 0}, ValueError, "neurons_per_layer .*0"),
        (old, new, {"trials": 0.5}, ValueError, "trials .*0.5"),
        (old, [1], {}, TypeError, "fresh must be a tensor; found list"),
        (old[:0], new, {}, ValueError, "calibration must be"),
        (old, old[:7], {}, ValueError, "fresh inputs are calibration inputs"),
        (torch.zeros(3, 64), new, {"rows": 0}, ValueError, "rows .*0"),
    ):
        with pytest.raises(error, match=message):
            first_check(model, calibration, fresh, **(good | change))  # type: ignore[arg-type]


def test_a_net_that_never_fires_has_nothing_to_check() -> None:
    with pytest.raises(ValueError, match="nothing can be checked"):
        first_check(torch.nn.Linear(4, 2), torch.zeros(3, 4), torch.ones(3, 4), eps=0.1, delta=0.1)


def test_mnist_meets_its_promises_and_the_sharp_bounds_are_sharp(mnist_dir: Path) -> None:
    data = datasets.load("mnist", data_dir=mnist_dir)
    model = models.build("lenet-300-100", seed=0)
    training.train(model, data, training.Recipe(1, 256, 2e-3), seed=0)
    calibration = data.train_inputs[:226]
    # Whole layers, guarantee mode: every neuron keeps its promise on its worst calibration row.
    layers = {layer.name: layer for layer in calibrate(model, calibration, points=1000).layers}
    for name, bound in (("fc2", "bernstein"), ("fc3", "cramer")):
        result = prune(
            model, calibration, method="sipp-poisson", bound=bound, eps=0.3, delta=0.05,
            layers=[name],
        )  # fmt: skip
        found = layer_coverage(
            result.plans[0], layers[name].layer.weight.double().numpy(),
            layers[name].points.numpy(), delta=0.05 / 2, trials=2000,
        )  # fmt: skip
        assert found.refuted == () and found.tested.sum() > 15
    # Two neurons of fc1: what the instance-exact bounds ask beside what is needed.
    fc1 = layers["fc1"]
    for neuron in (0, 1):
        columns = fc1.layer.weight[neuron].numpy() > 0
        part = fc1.points[0].numpy()[:, columns] * fc1.layer.weight[neuron].numpy()[columns]
        shares = part / part.sum(axis=1, keepdims=True)
        s = shares.max(axis=0)
        live = s > 0
        needed = needed_size(shares, s, eps=0.3, delta=0.05).size
        cramer, exact = (
            float(
                sipp_theory.sample_size(
                    kind,
                    shares=shares[:, live],
                    probabilities=s[live] / s.sum(),
                    eps=0.3,
                    delta=0.05,
                )
            )
            for kind in ("cramer", "exact")
        )
        assert cramer <= 2.2 * needed
        assert 0.95 * needed <= exact <= 1.1 * needed
