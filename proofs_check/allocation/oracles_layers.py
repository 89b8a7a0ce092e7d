"""AL-3 against the authors' program in cvxpy, and against their code's way with a budget."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result, Unavailable
from proofs_check.ledger.registry import Setting, law, oracle
from sipp_core.runtime import generator
from sipp_theory.allocation import layers

STREAM = 67
SOLVED = 1e-5
# Neurons, patches and kernel positions of the layers of a small convolutional network.
LAYERS = ((6, 576, 25), (16, 64, 25), (120, 1, 1), (10, 1, 1))


def _instance(setting: Setting, number: int) -> dict[str, Any]:
    rng = generator(setting.seed, STREAM, number)
    rows = np.array([layer for layer in LAYERS for _ in range(2 * layer[0])], dtype=float).T
    total = 1 + rng.gamma(1, 6, rows.shape[1])
    total[rng.random(total.size) < 0.05] = 0
    capacity = np.where(total > 0, np.floor(total * rng.uniform(1, 12, total.size)) + 1, 0)
    return {
        "sensitivity_sum": total, "capacity": capacity, "neurons": rows[0], "patches": rows[1],
        "kernel": rows[2],
    }  # fmt: skip


def _estimate(one: dict[str, Any], sizes: np.ndarray) -> np.ndarray:
    """The estimate f as the authors' code writes it."""
    log = np.log(8 * (one["patches"] + 1) * one["kernel"] / layers.SIPP_DELTA)
    ratio = 2 * layers.SIPP_COVERAGE * one["sensitivity_sum"] * log / (3 * sizes)
    return (np.sqrt(ratio**2 + 6 * ratio) + ratio) / 2


@oracle("AL-3")
def layers_by_cvxpy(setting: Setting) -> Result:
    """The authors' program, as their code hands it to cvxpy, is no better than AL-3."""
    try:
        import cvxpy as cp
    except ImportError as error:
        raise Unavailable(f"cvxpy: {error}") from error
    shares = (0.05, 0.3) if setting.full else (0.2,)
    for number, share in enumerate(shares):
        one = _instance(setting, number)
        live = one["sensitivity_sum"] > 0
        budget = share * one["capacity"].sum()
        got = sipp_theory.allocate_by_layer(**one, budget=budget)
        x: Any = cp.Variable(int(live.sum()))
        log = np.log(8 * (one["patches"] + 1) * one["kernel"] / layers.SIPP_DELTA)
        scale = (2 * layers.SIPP_COVERAGE * one["sensitivity_sum"] * log)[live]
        parts = cp.vstack([
            cp.multiply(cp.inv_pos(x), scale / 3),
            cp.multiply(cp.inv_pos(cp.sqrt(x)), np.sqrt(6 * scale / 3)),
        ])  # fmt: skip
        value = cp.norm(parts, axis=0) / 2 + cp.multiply(cp.inv_pos(x), scale / 6)
        goal: Any = cp.sum(cp.multiply(1 / one["neurons"][live], value))
        program = cp.Problem(
            cp.Minimize(goal), [x >= 0, x <= one["capacity"][live], cp.sum(x) <= budget]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program.solve(solver=cp.CLARABEL)
        if program.status != "optimal":
            raise Unavailable(f"the solver says {program.status}")
        sizes = got.sizes[live]
        ours = (_estimate(one, np.where(live, got.sizes, 1.0))[live] / one["neurons"][live]).sum()
        if got.sizes.sum() > budget * (1 + 1e-9) or (sizes > one["capacity"][live]).any():
            raise Refuted(f"share {share}: the budget or a cap is passed")
        if not abs(ours / float(goal.value) - 1) < SOLVED:
            raise Refuted(f"share {share}: {ours!r}, and cvxpy {float(goal.value)!r}")
    return Result(cases=len(shares))


@oracle("AL-3", "SP-3")
def estimates_of_an_allocation(setting: Setting) -> Result:
    """The errors of an allocation are the authors' estimates of its sizes."""
    one = _instance(setting, 9)
    got = sipp_theory.allocate_by_layer(**one, budget=0.2 * one["capacity"].sum())
    live = got.sizes > 0
    exact = _estimate(one, np.where(live, got.sizes, 1.0))
    known = sipp_theory.heuristic_error(
        one["sensitivity_sum"], np.where(live, got.sizes, 1.0), layers.SIPP_DELTA, one["kernel"],
        one["patches"], layers.SIPP_COVERAGE,
    )  # fmt: skip
    for name, values in (("allocate_by_layer", got.errors), ("heuristic_error", known)):
        if not np.allclose(values[live], exact[live], rtol=1e-12, atol=0):
            raise Refuted(f"{name} has other estimates than the authors' code")
    return Result(cases=int(live.sum()))


@law("AL-3")
def layers_count_alike(setting: Setting) -> Result:
    """A layer of k times the neurons, each with the same sums, gets sqrt(k) times the weights."""
    cases = 0
    for k in (2, 16, 100):
        for share in (0.002, 0.02):
            total, width = np.full(1 + k, 9.0), np.array([1.0] + [float(k)] * k)
            sizes = sipp_theory.allocate_by_layer(total, 1e9, width, share * (1 + k)).sizes
            ratio = sizes[1:].sum() / sizes[0]
            if not np.isclose(ratio, np.sqrt(k), rtol=0.05):
                raise Refuted(f"a layer of {k} neurons gets {ratio!r} times one neuron's weights")
            if not np.isclose(sizes.sum(), share * (1 + k), rtol=1e-9):
                raise Refuted("the budget is not spent")
            cases += 1
    return Result(cases=cases)
