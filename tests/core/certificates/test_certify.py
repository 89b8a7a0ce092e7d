"""Certificates: hand-computed numbers, refusals, coverage over repeated splits, and the search."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import sipp_theory
from sipp_core import Calibration, calibrate, certify, load, output_errors, prune, sparsest
from sipp_core.methods import Method, SippDet, find_method, registered
from sipp_core.pruning import make_request
from sipp_theory.certificates import certificates


class Ones(nn.Module):
    """f(x) = (1, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.ones(len(x)), torch.zeros(len(x))], dim=1)


class Off(nn.Module):
    """f^(x) = (1 - x, 0): its relative error at x is x."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([1 - x[:, 0], torch.zeros(len(x))], dim=1)


class Column(nn.Module):
    """One output, in any of two shapes."""

    def __init__(self, flat: bool, factor: float = 1.0) -> None:
        super().__init__()
        self.flat, self.factor = flat, factor

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, :1] * self.factor
        return y.squeeze(1) if self.flat else y


class Constant(nn.Module):
    def __init__(self, value: float, *, only_at: float | None = None) -> None:
        super().__init__()
        self.value, self.only_at = value, only_at

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(len(x), 2) if self.only_at is not None else torch.full((len(x), 2), 1.0)
        y[(x[:, 0] == self.only_at) if self.only_at is not None else slice(None), 0] = self.value
        return y


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def column(values: Any) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))[:, None]


def test_errors_are_relative_and_classes_compared() -> None:
    x = column([0.0, 0.25, 1.0, 1.5])
    errors, changed = output_errors(Ones(), Off(), x)
    np.testing.assert_allclose(errors, [0, 0.25, 1, 1.5], rtol=1e-6)
    assert changed.tolist() == [False, False, False, True]
    both = output_errors(Ones(), Off(), [(x[:1], torch.zeros(1)), (x[1:], None)], forward_size=3)
    assert np.array_equal(both[0], errors) and np.array_equal(both[1], changed)


@pytest.mark.parametrize(("n", "delta", "confidence"), [(200, 0.05, 0.99), (1000, 0.1, 0.9)])
def test_ct2_is_the_wilks_order_statistic(n: int, delta: float, confidence: float) -> None:
    values = np.random.default_rng(0).permutation((np.arange(n) + 1) / (2 * n))
    cert = certify(Ones(), Off(), column(values), delta=delta, confidence=confidence)
    # The least r with Pr(Bin(n, 1 - delta) <= r - 1) >= confidence, by scipy.
    rank = int(stats.binom.ppf(confidence, n, 1 - delta)) + 1
    assert stats.binom.cdf(rank - 1, n, 1 - delta) >= confidence
    assert stats.binom.cdf(rank - 2, n, 1 - delta) < confidence
    assert cert.eps == pytest.approx(rank / (2 * n), rel=1e-6)
    errors, _ = output_errors(Ones(), Off(), column(values))
    assert cert.eps == sipp_theory.error_quantile(errors, delta, confidence)
    assert (cert.kind, cert.n, cert.delta, cert.confidence) == ("CT-2", n, delta, confidence)
    assert cert.violations == n - rank and not cert.vacuous
    assert cert.observed_max == errors.max() and cert.observed_mean == pytest.approx(errors.mean())
    assert cert.claims == ("CT-2", "CT-1", "CT-5") and "i.i.d." in cert.assumptions[0]
    assert f"at most {delta:.2%} of fresh inputs" in cert.sentence()


def test_ct1_is_clopper_pearson_by_hand() -> None:
    values = np.concatenate([np.full(95, 0.1), np.full(5, 0.9)])
    cert = certify(Ones(), Off(), column(values), eps=0.5, confidence=0.95)
    assert (cert.kind, cert.eps, cert.violations) == ("CT-1", 0.5, 5)
    assert cert.delta == pytest.approx(stats.beta.ppf(0.95, 6, 95), rel=1e-9)
    none = certify(Ones(), Off(), column(np.full(299, 0.1)), eps=0.5, confidence=0.95)
    # No violation: 1 - alpha^(1/n), the rule of three.
    assert none.delta == pytest.approx(1 - 0.05 ** (1 / 299), rel=1e-9)
    every = certify(Ones(), Off(), column(np.full(20, 0.9)), eps=0.5)
    assert every.delta == 1 and every.vacuous and "Nothing can be certified" in every.sentence()


def test_disagreement_has_its_own_bound() -> None:
    values = np.concatenate([np.full(190, 0.1), np.full(10, 1.5)])
    cert = certify(Ones(), Off(), column(values), confidence=0.9)
    assert cert.observed_disagreement == 0.05
    assert cert.disagreement == pytest.approx(stats.beta.ppf(0.9, 11, 190), rel=1e-9)


def test_too_few_points_are_vacuous_and_say_how_many_are_needed() -> None:
    for n, vacuous in ((89, True), (90, False)):
        cert = certify(Ones(), Off(), column(np.full(n, 0.1)), delta=0.05, confidence=0.99)
        assert cert.vacuous == vacuous and cert.needed_n == 90
        assert math.isinf(cert.eps) == vacuous
        assert ("at least 90 are needed" in cert.sentence()) == vacuous
    assert 0.95**90 <= 0.01 < 0.95**89


@pytest.mark.parametrize("flat", [True, False])
def test_models_of_one_output_have_no_class(flat: bool) -> None:
    cert = certify(Column(flat), Column(flat, 1.5), column(np.arange(1, 201)))
    assert cert.eps == pytest.approx(0.5)
    assert cert.disagreement is None and cert.observed_disagreement is None


def test_outputs_that_are_not_finite_are_named() -> None:
    x = column(np.arange(300.0))
    with pytest.raises(ValueError, match="pruned has an output that is not finite at input 270"):
        certify(Ones(), Constant(math.nan, only_at=270.0), x)
    with pytest.raises(ValueError, match="model has an output that is not finite at input 0"):
        certify(Constant(math.inf), Ones(), x)


def test_an_output_of_zero_is_exact_or_infinitely_wrong() -> None:
    x = column(np.arange(200.0))
    zero, wrong = Constant(0.0, only_at=7.0), Constant(1.0, only_at=7.0)
    assert output_errors(zero, zero, x)[0].max() == 0
    errors = output_errors(zero, wrong, x)[0]
    assert errors[7] == math.inf and np.delete(errors, 7).max() == 0
    spared = certify(zero, wrong, x, delta=0.1, confidence=0.9)
    assert spared.eps == 0 and spared.violations == 1 and spared.observed_max == math.inf
    hopeless = certify(Constant(0.0, only_at=-1.0), Ones(), x)
    assert hopeless.vacuous and "unbounded on the 200 inputs" in hopeless.sentence()


# ---- refusals ----------------------------------------------------------------------------------


def small() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return net


def inputs(n: int, seed: int) -> Tensor:
    return torch.rand(n, 6, generator=torch.Generator().manual_seed(seed))


def test_calibration_inputs_are_refused_as_held_out_ones(tmp_path: Any) -> None:
    model, x, fresh = small(), inputs(100, 1), inputs(200, 2)
    result = prune(model, x, method="sipp-det", keep=0.5)
    reloaded = load(result.save(tmp_path / "net"), model).model
    one = torch.cat([fresh, x[40:41]])
    for pruned in (result.model, reloaded):
        with pytest.raises(ValueError, match="100 of 100 held-out inputs were calibration inputs"):
            certify(model, pruned, x)
        for reused in (
            one,
            list(one.split(7)),
            iter([(one, torch.zeros(201))]),
            one.reshape(-1, 6),
        ):
            with pytest.raises(ValueError, match="1 of 201 held-out .*allow_repeats=True"):
                certify(model, pruned, reused)
        assert certify(model, pruned, one, allow_repeats=True).n == 201
        assert certify(model, pruned, fresh).seed == 0
    with pytest.raises(ValueError, match="of 100 held-out inputs were calibration inputs"):
        sparsest(model, x, x, eps=0.5, delta=0.1)
    # Of a model from elsewhere nothing is known, and nothing is claimed.
    assert certify(model, small(), x).seed is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"delta": 0.0}, ValueError, "delta must be strictly between 0 and 1; found 0"),
        ({"delta": 1.0}, ValueError, "delta must be strictly between 0 and 1; found 1"),
        ({"confidence": 1.0}, ValueError, "confidence must be strictly between 0 and 1"),
        ({"confidence": math.nan}, ValueError, "confidence must be"),
        ({"eps": 0.0}, ValueError, r"eps must be greater than 0; found 0\.0"),
        ({"eps": math.nan}, ValueError, "eps must be greater than 0; found nan"),
        ({"inputs": torch.zeros(0, 6)}, ValueError, "inputs is empty"),
        ({"inputs": torch.ones(9, 7)}, ValueError, r"cannot run on inputs of shape \(9, 7\)"),
        ({"inputs": 3}, TypeError, "inputs must be a tensor, a mapping"),
        ({"pruned": "net"}, TypeError, r"pruned must be an nn.Module .*found str"),
        ({"pruned": nn.Linear(6, 4)}, ValueError, r"different shapes: \(200, 3\) and \(200, 4\)"),
        ({"pruned": Two()}, TypeError, "must return one tensor.*a tuple of 0 .*output="),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"pruned": small(), "inputs": inputs(200, 2)} | arguments
    with pytest.raises(error, match=message):
        certify(small(), given.pop("pruned"), given.pop("inputs"), **given)


def test_both_models_are_left_as_they_were() -> None:
    model, pruned = small().train(), nn.Sequential(nn.Dropout(0.9), small()).train()
    state = torch.get_rng_state()
    first = certify(model, pruned, inputs(200, 2))
    assert first.eps == 0 and model.training and all(m.training for m in pruned.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_certificate_is_frozen_and_json() -> None:
    cert = certify(Ones(), Off(), column(np.full(200, 0.1)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        cert.eps = 0.0  # type: ignore[misc]
    assert json.loads(json.dumps(cert.summary()))["eps"] == pytest.approx(0.1)
    assert set(cert.versions) == {"sipp-theory", "torch", "numpy"}


# ---- coverage ----------------------------------------------------------------------------------


def test_ct2_covers_over_repeated_splits_and_a_lower_rank_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors are uniform on (0, 1), so the share of fresh inputs beyond eps is 1 - eps."""
    n, delta, confidence, trials = 150, 0.1, 0.9, 800
    splits = np.random.default_rng(0).random((trials, n))

    def misses() -> int:
        certs = (
            certify(Ones(), Off(), column(x), delta=delta, confidence=confidence) for x in splits
        )
        return sum(1 - cert.eps > delta for cert in certs)

    margin = stats.binom.isf(1e-4, trials, 1 - confidence)
    sound = misses()
    assert sound <= margin
    # Not trivially loose either: the rank below would promise less than asked.
    assert sound >= stats.binom.ppf(1e-4, trials, 0.3 * (1 - confidence))
    rank = sipp_theory.tolerance_rank
    monkeypatch.setattr(certificates, "tolerance_rank", lambda *given: rank(*given) - 2)
    assert misses() > margin


# ---- the sparsest network ----------------------------------------------------------------------


class Dial(nn.Module):
    """Error 1 - keep at every input above a threshold: monotone in keep."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.full((len(x),), self.keep), torch.zeros(len(x))], dim=1)


@dataclasses.dataclass
class FakeResult:
    model: nn.Module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    options: list[float] = []

    def fake_prune(model: nn.Module, calibration: object, *, keep: float, **rest: object) -> Any:
        options.append(keep)
        return FakeResult(Dial(keep))

    # `sipp_core.certificates.sparsest` is the function.
    home = sys.modules["sipp_core.certificates.sparsest"]
    monkeypatch.setattr(home, "prune", fake_prune)
    monkeypatch.setattr(home, "calibrate_for", lambda *given, **named: None)
    return options


def test_the_search_goes_from_dense_to_sparse_and_stops_at_the_first_failure(
    fake: list[float],
) -> None:
    search = sparsest(
        Ones(), [], column(np.zeros(100)), eps=0.45, delta=0.05, confidence=0.95,
        keeps=(0.9, 0.7, 0.6, 0.5, 0.2, 0.1),
    )  # fmt: skip
    assert fake == [0.9, 0.7, 0.6, 0.5] == list(search.keeps)
    assert search.violations == (0, 0, 0, 100)
    assert search.result is not None and isinstance(search.result.model, Dial)
    assert search.result.model.keep == 0.6
    assert search.certificate is not None
    assert (search.certificate.kind, search.certificate.eps) == ("CT-3", 0.45)
    assert search.certificate.observed_max == pytest.approx(0.4)
    # The hold-out chose among six, so disagreement is bounded for all six at once.
    assert search.certificate.disagreement == pytest.approx(1 - (0.05 / 6) ** 0.01, rel=1e-9)


def test_nothing_is_accepted_where_the_densest_fails_or_points_are_too_few(
    fake: list[float],
) -> None:
    strict = sparsest(Ones(), [], column(np.zeros(100)), eps=0.05, delta=0.05, confidence=0.95)
    assert strict.result is None and strict.certificate is None and fake == [0.9]
    few = sparsest(Ones(), [], column(np.zeros(58)), eps=0.5, delta=0.05, confidence=0.95)
    assert few.result is None and few.violations == (0,)
    enough = sparsest(
        Ones(), [], column(np.zeros(59)), eps=0.5, delta=0.05, confidence=0.95, keeps=(0.9, 0.8)
    )
    assert enough.result is not None and enough.keeps == (0.9, 0.8)


def test_the_search_on_a_real_pruner_meets_its_target() -> None:
    model, x, held, fresh = small(), inputs(200, 1), inputs(400, 2), inputs(4000, 3)
    search = sparsest(model, iter(x.split(50)), held, eps=0.4, delta=0.1, confidence=0.95)
    assert search.result is not None and search.certificate is not None
    errors, _ = output_errors(model, search.result.model, fresh)
    assert (errors > 0.4).mean() <= 0.1
    assert search.result.keep == search.keeps[-1] or search.result.keep == search.keeps[-2]


def labelled(method: str | Method, x: Tensor) -> Any:
    return [(x, torch.arange(len(x)) % 3)] if find_method(method).name == "snip" else x


SEARCHED = [name for name, method in registered().items() if "keep" in method.takes]


@pytest.mark.parametrize("method", [*SEARCHED, SippDet(rank="mean")], ids=str)
def test_the_search_serves_every_method_with_a_budget(method: str | Method) -> None:
    model, held, rule = small(), inputs(60, 2), find_method(method)
    needs = rule.needs(make_request(rule, model, keep=0.9))
    ready = calibrate(
        model, labelled(method, inputs(100, 1)), statistics=needs.statistics, inputs=needs.inputs,
        validation_every=needs.held_out, points=1024 if needs.rows else 0,
    )  # fmt: skip
    both = [
        sparsest(
            model, calibration, held, eps=2.0, delta=0.1, confidence=0.95, method=method,
            keeps=(0.9, 0.6),
        )
        for calibration in (labelled(method, inputs(100, 1)), ready)
    ]  # fmt: skip
    for result in both:
        assert result.result is not None and result.result.method == rule.name
        assert result.certificate is not None and result.violations[0] <= 1
    first, second = (result.result.model.state_dict() for result in both if result.result)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert both[0].violations == both[1].violations


def test_a_calibration_is_made_once_and_one_of_another_network_is_refused() -> None:
    model, calls = small(), []
    calibration = iter(inputs(100, 1).split(50))  # it can be read once
    search = sparsest(
        model, calibration, inputs(60, 2), eps=2.0, delta=0.1, confidence=0.95,
        keeps=(0.9, 0.8, 0.7), progress=lambda done, total, what: calls.append(what),
    )  # fmt: skip
    assert search.keeps == (0.9, 0.8, 0.7) and calls == ["keep 0.9", "keep 0.8", "keep 0.7"]
    other: Calibration = calibrate(nn.Linear(6, 3), inputs(100, 1))
    with pytest.raises(ValueError, match="calibration is of another network"):
        sparsest(model, other, inputs(60, 2), eps=2.0, delta=0.1, confidence=0.95)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keeps": ()}, "keeps must be strictly decreasing and not empty"),
        ({"keeps": (0.5, 0.5)}, "keeps must be strictly decreasing"),
        ({"keeps": (0.1, 0.5)}, "keeps must be strictly decreasing"),
        ({"keeps": (1.5, 0.5)}, r"within \(0, 1\]; found \[1\.5, 0\.5\]"),
        ({"eps": -1.0}, "eps must be greater than 0"),
        ({"delta": 0.0}, "delta must be"),
        ({"confidence": 0.0}, "confidence must be"),
        ({"method": "best"}, "method must be one of"),
        ({"method": "nettrim-cascade"}, "'nettrim-cascade' does not use keep=0.9; it takes eps"),
        ({"method": "svd", "scope": "global"}, "'svd' does not use scope='global'; it takes"),
    ],
)
def test_bad_searches_are_refused(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"eps": 0.5, "delta": 0.1} | arguments
    with pytest.raises(ValueError, match=message):
        sparsest(small(), inputs(100, 1), inputs(100, 2), **given)


def test_a_share_that_no_number_of_inputs_can_show_is_vacuous() -> None:
    certificate = certify(small(), small(), inputs(50, 2), delta=1e-15)
    assert (
        certificate.vacuous
        and certificate.needed_n == np.inf
        and certificate.summary()["needed_n"] == np.inf
    )
    assert "at least inf are needed" in certificate.sentence()
    search = sparsest(small(), inputs(40, 1), inputs(50, 2), eps=0.5, delta=1e-15, keeps=(0.9,))
    assert search.result is None


# ---- the sparsest network by accuracy ----------------------------------------------------------


class Answers(nn.Module):
    """The class 1 at inputs above a threshold that falls with what is kept, else the class 0."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot((x[:, 0] > 1 - self.keep).long(), 2).double()


def test_a_target_drop_is_tested_at_the_level_of_the_whole_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer differs at a share 1 - keep of the inputs: all of them are broken."""
    home = sys.modules["sipp_core.certificates.sparsest"]
    monkeypatch.setattr(home, "prune", lambda *_, keep, **__: FakeResult(Answers(keep)))
    monkeypatch.setattr(home, "calibrate_for", lambda *given, **named: None)
    held = column((np.arange(1000) + 0.5) / 1000)
    labels = torch.ones(1000, dtype=torch.long)
    keeps = (1.0, 0.98, 0.97, 0.95, 0.5)
    best = sparsest(Answers(1.0), [], held, drop=0.05, labels=labels, confidence=0.95, keeps=keeps)
    broken = (0, 20, 30, 50)
    assert best.violations == broken and best.keeps == keeps[:4]
    expected = [float(sipp_theory.accuracy_drop(k, 0, 1000, 0.95)) for k in broken]
    assert list(best.drops) == expected and expected[2] <= 0.05 < expected[3]
    assert best.result is not None and best.result.model.keep == 0.97
    certificate = best.certificate
    assert (
        certificate is not None
        and certificate.accuracy is not None
        and "CT-6" in certificate.claims
    )
    assert certificate.accuracy.drop == expected[2] and certificate.accuracy.broken == 30
    # What the search did not test is charged for the choice among five.
    level = sipp_theory.family_confidence(0.95, 5)
    assert certificate.accuracy.lower == sipp_theory.accuracy_bound(970, 1000, level)
    assert certificate.disagreement == sipp_theory.violation_bound(30, 1000, level)
    assert (best.eps, best.delta, best.drop) == (None, None, 0.05)


def test_a_target_drop_is_met_on_fresh_inputs_by_a_real_pruner() -> None:
    model, x, held, fresh = small(), inputs(200, 1), inputs(2000, 2), inputs(4000, 3)
    with torch.no_grad():
        labels, truth = (model(each).argmax(1) for each in (held, fresh))
    best = sparsest(
        model, x, list(zip(held.split(100), labels.split(100), strict=True)), drop=0.1,
        labels="targets", confidence=0.95, method="magnitude", keeps=(0.9, 0.6, 0.3, 0.1),
    )  # fmt: skip
    assert best.result is not None and best.certificate is not None
    with torch.no_grad():
        right = (best.result.model(fresh).argmax(1) == truth).double().mean()
    assert 1 - float(right) <= 0.1 and best.certificate.accuracy is not None
    assert 0 < best.certificate.accuracy.drop <= 0.1
    summary = best.summary()
    assert summary["certificate"] == best.certificate.summary() and summary["keeps"] == best.keeps
    assert summary["result"] == best.result.summary() and summary["drop"] == 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give one target"),
        ({"eps": 0.5}, r"give one target.*delta=None"),
        ({"delta": 0.5}, "give one target"),
        ({"eps": 0.5, "delta": 0.1, "drop": 0.1}, "give one target"),
        ({"drop": 0.1, "delta": 0.1, "labels": "targets"}, "give one target"),
        ({"drop": 0.1}, "labels go with a target drop.*no labels"),
        ({"eps": 0.5, "delta": 0.1, "labels": torch.zeros(100).long()}, "labels go with a target"),
        ({"drop": 0.0, "labels": torch.zeros(100).long()}, r"drop must lie in \(0, 1\)"),
        ({"drop": 0.1, "labels": torch.zeros(99).long()}, "there are 99 labels for 100 inputs"),
    ],
)
def test_half_a_target_and_two_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sparsest(small(), inputs(100, 1), inputs(100, 2), **arguments)
