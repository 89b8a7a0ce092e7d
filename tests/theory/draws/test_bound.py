"""The table of bounds, and what `sample_size` and `error` refuse; their values: the ledger."""

import inspect

import numpy as np
import pytest

from sipp_theory import INCLUSION_BOUNDS
from sipp_theory.draws.bound import BOUNDS, KINDS, Neuron, error, sample_size

SHARES = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
Q = SHARES.max(axis=0) / SHARES.max(axis=0).sum()


def test_the_table_lists_the_claims_from_the_loosest_to_the_sharpest():
    assert [(name, bound.claim, bound.knows) for name, bound in BOUNDS.items()] == [
        ("corenet", "SP-2", "network"),
        ("bernstein", "SP-3", "sum"),
        ("kl", "SP-4", "sum"),
        ("cramer", "SP-5", "shares"),
        ("exact", "SP-5x", "shares"),
        ("neuron", "SP-11", "neuron"),
        ("neuron-exact", "SP-11", "neuron"),
    ]
    assert list(KINDS) == list(BOUNDS) and KINDS[0] == "corenet" and len(KINDS) == 7
    assert list(INCLUSION_BOUNDS) == list(KINDS[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_reads_the_fields_that_it_needs_and_stops_at_a_limit(kind):
    bound, neuron = BOUNDS[kind], Neuron(2.0, SHARES, Q, 3.0, 10, 5)
    given = COMPLETE[kind] | ({"coverage_factor": 3.0} if bound.takes_coverage else {})
    size = float(sample_size(kind, eps=0.1, delta=0.05, **given))
    assert bound.size(neuron, 0.1, 0.05) == bound.size(neuron, 0.1, 0.05, limit=size) == size
    assert bound.size(neuron, 0.1, 0.05, limit=size - 1) == np.inf
    assert bound.error(neuron, size, 0.05) == error(kind, m=size, delta=0.05, **given) <= 0.1


def test_no_keyword_is_swallowed():
    for door in (sample_size, error):
        parameters = inspect.signature(door).parameters.values()
        assert all(p.kind is not p.VAR_KEYWORD for p in parameters)


COMPLETE = {
    "corenet": {"sensitivity_sum": 2.0, "eta": 10, "eta_star": 5},
    "bernstein": {"sensitivity_sum": 2.0},
    "kl": {"sensitivity_sum": 2.0},
    "cramer": {"shares": SHARES, "probabilities": Q},
    "exact": {"shares": SHARES, "probabilities": Q},
    "neuron": {"shares": SHARES, "probabilities": Q},
    "neuron-exact": {"shares": SHARES, "probabilities": Q},
}
OTHERS = {
    "sensitivity_sum": 2.0,
    "eta": 10,
    "eta_star": 5,
    "shares": SHARES,
    "probabilities": Q,
}


def doors(kind, given):
    yield lambda: sample_size(kind, eps=0.1, delta=0.05, **given)
    yield lambda: error(kind, m=10, delta=0.05, **given)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_foreign_arguments_are_refused(kind):
    for name in COMPLETE[kind]:
        for door in doors(kind, {k: v for k, v in COMPLETE[kind].items() if k != name}):
            with pytest.raises(ValueError, match=f"kind '{kind}' needs {name}"):
                door()
    for name, value in OTHERS.items():
        if name not in COMPLETE[kind]:
            for door in doors(kind, {**COMPLETE[kind], name: value}):
                with pytest.raises(ValueError, match=f"kind '{kind}' takes no {name}"):
                    door()
    if not BOUNDS[kind].takes_coverage:
        for factor in (2.0, np.array([1.0, 1.0])):
            for door in doors(kind, {**COMPLETE[kind], "coverage_factor": factor}):
                with pytest.raises(ValueError, match=f"kind '{kind}' takes no coverage_factor"):
                    door()


@pytest.mark.parametrize("kind", ["", "Bernstein", "hoeffding", None, 3])
def test_unknown_kinds_are_refused(kind):
    for door in doors(kind, {}):
        with pytest.raises(ValueError, match="kind must be one of corenet, bernstein, kl, cramer"):
            door()
