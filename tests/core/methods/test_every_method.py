"""What every method does: models stay, files, certificates, a ready calibration, its arguments."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import METHODS, Calibration, calibrate, certify, load, prune
from sipp_core.methods import Method, Rewriting, find_method, registered
from sipp_core.pruning.arguments import make_request
from tests.core.conftest import for_method
from tests.core.methods.conftest import relu_network, rows

KEEP: dict[str, Any] = {"keep": 0.5}
WITHIN: dict[str, Any] = {"eps": 0.4, "delta": 0.1}
CALLS: list[tuple[str, dict[str, Any]]] = [
    (name, mode)
    for name, method in registered().items()
    for mode in (KEEP, WITHIN)
    if next(iter(mode)) in method.takes
]


def writes_weights(method: Method) -> bool:
    """Whether new weights are written, of which a budget of signs says nothing."""
    return isinstance(method, Rewriting) or method.name.startswith("nettrim")


@pytest.mark.parametrize(("method", "mode"), CALLS)
def test_it_prunes_saves_and_certifies(method: str, mode: dict[str, Any], tmp_path: Path) -> None:
    model, x = relu_network(), rows()
    before = copy.deepcopy(model.state_dict())
    result = prune(model, for_method(method, x), method=method, seed=2, **mode)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert result.method == method
    assert result.nnz_after < result.nnz_before or (result.vacuous and "eps" in mode)
    weights = [m.weight for m in result.model.modules() if isinstance(m, nn.Linear)]
    counts = [int((w != 0).sum()) for w in weights]
    assert sum(counts) == result.nnz_after
    assert len(counts) > 3 or counts == [r.nnz_after for r in result.layers]
    for report in result.layers:
        assert report.nnz_after == report.budgets.sum() or writes_weights(find_method(method))
        assert report.eps_neuron.shape == (report.shape[0],)
    again = load(result.save(tmp_path / "a"), model)
    with torch.no_grad():
        assert torch.equal(again.model(x), result.model(x))
    assert again.structure == result.structure and again.vacuous == result.vacuous
    assert again.arguments == result.arguments and again.claims == result.claims
    assert again.holds_for == result.holds_for and again.scope == result.scope
    assert again.save(tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    certificate = certify(model, again.model, rows(60, seed=9), delta=0.2, confidence=0.9)
    assert np.isfinite(certificate.eps)


@pytest.mark.parametrize(("method", "mode"), CALLS)
def test_a_ready_calibration_makes_the_same_file(
    method: str, mode: dict[str, Any], tmp_path: Path
) -> None:
    model, x = relu_network(), for_method(method, rows())
    rule = find_method(method)
    request = make_request(rule, model, seed=2, **mode)
    needs = rule.needs(request)
    ready = calibrate(
        model, x, statistics=needs.statistics, points=request.points, inputs=True,
        validation_every=needs.held_out, seed=2,
    )  # fmt: skip
    first, second = (prune(model, given, method=rule, seed=2, **mode) for given in (x, ready))
    files = [r.save(tmp_path / k).read_bytes() for r, k in ((first, "a"), (second, "b"))]
    assert files[0] == files[1]


@pytest.fixture(scope="module")
def one_for_all() -> tuple[nn.Module, Calibration]:
    model, x = relu_network(), rows()
    return model, calibrate(
        model,
        for_method("snip", x),
        statistics={"mean", "energy", "gradients"},
        inputs=True,
        points=1024,
    )


@pytest.mark.parametrize(("method", "mode"), CALLS)
def test_one_calibration_serves_all_that_set_nothing_aside(
    method: str, mode: dict[str, Any], one_for_all: tuple[nn.Module, Calibration]
) -> None:
    model, ready = one_for_all
    if find_method(method).needs(make_request(find_method(method), model, **mode)).held_out:
        with pytest.raises(ValueError, match=r"lacks what method .*validation_every=5"):
            prune(model, ready, method=method, **mode)
        return
    alone = prune(model, for_method(method, rows()), method=method, **mode)
    result = prune(model, ready, method=method, **mode)
    pairs = zip(alone.model.parameters(), result.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_that_lacks_what_it_looks_at_is_refused(method: str) -> None:
    model, rule = relu_network(), find_method(method)
    mode = KEEP if "keep" in rule.takes else WITHIN
    needs = rule.needs(make_request(rule, model, **mode))
    lacking = [*map(repr, needs.statistics), *(["inputs=True"] if needs.inputs else [])]
    lacking += ["validation_every="] if needs.held_out else []
    plain = calibrate(model, rows())
    if not lacking:
        assert prune(model, plain, method=method, **mode).inputs == 40
        return
    with pytest.raises(ValueError, match="the calibration lacks") as refusal:
        prune(model, plain, method=method, **mode)
    assert all(word in str(refusal.value) for word in (repr(method), *lacking))


@pytest.mark.parametrize("method", METHODS)
def test_a_promise_that_is_certain_needs_no_delta(method: str) -> None:
    rule, model = find_method(method), relu_network()
    if "eps" not in rule.takes:
        with pytest.raises(ValueError, match=r"does not use eps=0.4; it takes "):
            make_request(rule, model, eps=0.4)
    elif rule.certain:
        assert make_request(rule, model, eps=0.4).delta == 0.05
        words = rule.promise(make_request(rule, model, eps=0.4)).holds_for
        assert "with probability" not in words
    else:
        with pytest.raises(ValueError, match="guarantee mode needs delta="):
            make_request(rule, model, eps=0.4)
        words = rule.promise(make_request(rule, model, eps=0.4, delta=0.1)).holds_for
        assert "with probability" in words


@pytest.mark.parametrize("method", METHODS)
def test_its_facts_say_what_pages_show(method: str) -> None:
    facts = find_method(method).facts
    assert facts.label and facts.source and facts.note.endswith(".")


@pytest.mark.parametrize("method", METHODS)
def test_another_seed_gives_another_network_where_it_says_so(method: str) -> None:
    model, x, rule = relu_network(), for_method(method, rows()), find_method(method)
    mode = KEEP if "keep" in rule.takes else WITHIN
    weights: list[list[Tensor]] = [
        list(prune(model, x, method=method, seed=seed, **mode).model.parameters())
        for seed in range(4)
    ]
    first, *others = weights
    same = all(
        a.shape == b.shape and torch.equal(a, b)
        for other in others for a, b in zip(first, other, strict=True)
    )  # fmt: skip
    # The hybrid drops wherever that promises more, on a small network everywhere.
    assert same != rule.random or method == "sipp-hybrid"
