"""What `sipp bounds` asks of sipp_theory, and the answers in a form to show; without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import sipp_theory
from sipp_cli import inputs
from sipp_theory import BOUNDS, Bound, Neuron

# (eta, eta_star), or None where the network is not described.
Network = tuple[float, float] | None


@dataclass(frozen=True)
class Question:
    """What every bound computes: the draws for eps, or the error of m draws."""

    eps: float | None
    m: float | None
    delta: float
    coverage_factor: float

    def answer(self, bound: Bound, neuron: Neuron) -> float:
        """What a bound says of one neuron."""
        if self.m is not None:
            return float(bound.error(neuron, self.m, self.delta))
        assert self.eps is not None
        return float(bound.size(neuron, self.eps, self.delta))


def _like_for_like(question: Question, neuron: Neuron, network: tuple[float, float]) -> float:
    """Answer of Bernstein on SP-2's own terms: coverage factor K, two tails of delta/(8 eta)."""
    factor, _ = sipp_theory.assumption_factors(*network)
    covered = replace(neuron, coverage_factor=max(1.0, float(factor)))
    fair = replace(question, delta=question.delta / (4 * network[0]))
    return fair.answer(BOUNDS["bernstein"], covered)


def ladder(
    question: Question, kinds: list[str] | None, network: Network, total: float | None = None,
    shares: Any = None, probabilities: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Answers of the bounds that what is known is enough for, those by the shares last."""
    eta, eta_star = network or (None, None)
    neuron = Neuron(total, shares, probabilities, question.coverage_factor, eta, eta_star)
    known = {
        "sum": total is not None,
        "network": total is not None and network is not None,
        "shares": shares is not None,
        # Of one sign it says what SP-5 says; shares of both signs are for it alone.
        "neuron": shares is not None and kinds is not None,
    }
    last = ("shares", "neuron")
    chosen = sorted((BOUNDS[k] for k in kinds or BOUNDS), key=lambda b: b.knows in last)
    answers = {b.name: question.answer(b, neuron) for b in chosen if known[b.knows]}
    looseness = None
    printed = next((answers[b.name] for b in chosen if b.claim == "SP-2" and b.name in answers), 0)
    if printed and network and total:
        fair = _like_for_like(question, neuron, network)
        looseness = printed / fair if fair > 0 else None
    return {"sensitivity_sum": total, "answers": answers, "corenet_looseness": looseness}


def _read_instance(shares: Path, probabilities: Path | None) -> tuple[Any, Any, float | None]:
    """Shares, draw probabilities, and S_sum if the draws are in proportion to sensitivity."""
    rows = np.atleast_2d(inputs.array(shares))
    if rows.dtype.kind not in "fiub" or rows.ndim != 2 or rows.size == 0:
        raise ValueError(
            f"--shares {shares} must hold an (n, k) array of numbers; found {rows.dtype}, shape "
            f"{rows.shape}"
        )
    if not np.isfinite(rows).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(rows))[0])
        raise ValueError(f"--shares {shares} holds {rows[row, column]} at index ({row}, {column})")
    if probabilities is not None:
        return rows, inputs.array(probabilities), None
    largest = np.abs(rows).max(axis=0)
    total = float(largest.sum())
    if total <= 0:
        raise ValueError(f"--shares {shares} are all 0: a dead neuron needs no draws")
    return rows, largest / total, total


def instance(
    question: Question, shares: Path, probabilities: Path | None, kinds: list[str] | None,
    network: Network,
) -> dict[str, Any]:  # fmt: skip
    """Answers of all bounds that apply to shares in a file."""
    rows, q, total = _read_instance(shares, probabilities)
    return ladder(question, kinds, network, total, rows, q) | {"shares": shares}


def calibration(
    network: Network, delta: float, points: float | None, dimension: float | None,
    beta: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """How many calibration inputs the claims on fresh inputs ask for, or what so many give."""
    rows: list[dict[str, Any]] = []
    if network:
        for rule in sipp_theory.CALIBRATION_RULES:
            size = float(sipp_theory.calibration_size(*network, delta, rule))
            rows.append({"claim": "ES-4", "rule": rule, "points": size, "assumes": "A1"})
    if points is not None and dimension is not None:
        uncovered = float(sipp_theory.scenario_violation(points, dimension, beta))
        rows.append(
            {
                "claim": "ES-5",
                "points": points,
                "dimension": dimension,
                "beta": beta,
                "violation": uncovered,
                "assumes": "i.i.d. inputs",
            }
        )
    return rows
