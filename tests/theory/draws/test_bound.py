"""The two front doors: they dispatch, refuse what a kind would ignore, and keep the ladder."""

import inspect

import numpy as np
import pytest

from sipp_theory.draws import bernstein, chernoff_hoeffding, cramer, exact
from sipp_theory.draws.bound import KINDS, error, sample_size

SHARES = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
S = SHARES.max(axis=0)
Q = S / S.sum()


def test_every_kind_reaches_its_own_bound():
    total, draws = 1.5, {"m": 700, "delta": 0.05}
    ask = {"eps": 0.1, "delta": 0.05}
    assert sample_size("corenet", sensitivity_sum=total, eta=10, eta_star=5, **ask) == (
        bernstein.corenet_size(total, 0.1, 0.05, 10, 5)
    )
    assert error("corenet", sensitivity_sum=total, eta=10, eta_star=5, **draws) == (
        bernstein.corenet_error(total, 700, 0.05, 10, 5)
    )
    for kind, size, promise in (
        ("bernstein", bernstein.bernstein_size, bernstein.bernstein_error),
        ("kl", chernoff_hoeffding.kl_size, chernoff_hoeffding.kl_error),
    ):
        for c in (1.0, 3.0):
            given = {"sensitivity_sum": total, "coverage_factor": c}
            assert sample_size(kind, **given, **ask) == size(total, 0.1, 0.05, c)
            assert error(kind, **given, **draws) == promise(total, 700, 0.05, c)
    for kind, size, promise in (
        ("cramer", cramer.cramer_size, cramer.cramer_error),
        ("exact", exact.exact_size, exact.exact_error),
    ):
        given = {"shares": SHARES, "probabilities": Q}
        assert sample_size(kind, **given, **ask) == size(SHARES, Q, 0.1, 0.05)
        assert error(kind, **given, **draws) == promise(SHARES, Q, 700, 0.05)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("eps", [0.1, 0.6])
def test_the_ladder(seed, eps):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(8, [0.2, 1.0, 5.0][seed % 3]), 10)
    s = shares.max(axis=0)
    total, q = float(s.sum()), s / s.sum()
    delta = 0.05
    eta = 4
    sizes = [
        sample_size("exact", shares=shares, probabilities=q, eps=eps, delta=delta),
        sample_size("cramer", shares=shares, probabilities=q, eps=eps, delta=delta),
        sample_size("kl", sensitivity_sum=total, eps=eps, delta=delta),
        sample_size("bernstein", sensitivity_sum=total, eps=eps, delta=delta),
        # ln(8 eta/delta') = ln(2/delta): CoreNet's delta is that of the whole network.
        sample_size(
            "corenet", sensitivity_sum=total, eps=eps, delta=4 * eta * delta, eta=eta, eta_star=50
        ),
    ]
    assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[3] < sizes[4]
    errors = [
        error("exact", shares=shares, probabilities=q, m=500, delta=delta),
        error("cramer", shares=shares, probabilities=q, m=500, delta=delta),
        error("kl", sensitivity_sum=total, m=500, delta=delta),
        error("bernstein", sensitivity_sum=total, m=500, delta=delta),
    ]
    assert errors == sorted(errors)


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
    if kind not in ("bernstein", "kl"):
        for factor in (2.0, np.array([1.0, 1.0])):
            for door in doors(kind, {**COMPLETE[kind], "coverage_factor": factor}):
                with pytest.raises(ValueError, match=f"kind '{kind}' takes no coverage_factor"):
                    door()


@pytest.mark.parametrize("kind", ["", "Bernstein", "hoeffding", None, 3])
def test_unknown_kinds_are_refused(kind):
    for door in doors(kind, {}):
        with pytest.raises(ValueError, match="kind must be one of corenet, bernstein, kl, cramer"):
            door()
