"""What `sipp bounds` asks of sipp_theory, and the answers in a form to show; without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import sipp_theory
from sipp_cli import inputs

# (eta, eta_star), or None where the network is not described.
Network = tuple[float, float] | None


@dataclass(frozen=True)
class Question:
    """What is asked of every bound: the draws for eps, or the error of m draws."""

    eps: float | None
    m: float | None
    delta: float
    coverage_factor: float

    def by_sum(self, kind: str, total: float, network: Network) -> float:
        """Answer of a bound that knows a neuron by its S_sum."""
        eta, eta_star = network if network and kind == "corenet" else (None, None)
        factor = 1.0 if kind == "corenet" else self.coverage_factor
        if self.m is not None:
            return float(
                sipp_theory.error(
                    kind, m=self.m, delta=self.delta, sensitivity_sum=total,
                    coverage_factor=factor, eta=eta, eta_star=eta_star,
                )
            )  # fmt: skip
        assert self.eps is not None
        return float(
            sipp_theory.sample_size(
                kind, eps=self.eps, delta=self.delta, sensitivity_sum=total,
                coverage_factor=factor, eta=eta, eta_star=eta_star,
            )
        )  # fmt: skip

    def by_shares(self, kind: str, shares: Any, probabilities: Any) -> float:
        """Answer of a bound that knows a neuron by its shares at given inputs."""
        if self.m is not None:
            return float(
                sipp_theory.error(
                    kind, m=self.m, delta=self.delta, shares=shares, probabilities=probabilities
                )
            )
        assert self.eps is not None
        return float(
            sipp_theory.sample_size(
                kind, eps=self.eps, delta=self.delta, shares=shares, probabilities=probabilities
            )
        )


def _like_for_like(question: Question, total: float, network: tuple[float, float]) -> float:
    """Answer of Bernstein on SP-2's own terms: coverage factor K, two tails of delta/(8 eta)."""
    factor, _ = sipp_theory.assumption_factors(*network)
    delta = question.delta / (4 * network[0])
    fair = replace(question, delta=delta, coverage_factor=max(1.0, float(factor)))
    return fair.by_sum("bernstein", total, None)


def ladder(question: Question, total: float, kinds: list[str], network: Network) -> dict[str, Any]:
    """Answers of the bounds that know a neuron by its S_sum."""
    answers = {kind: question.by_sum(kind, total, network) for kind in kinds}
    looseness = None
    if network and "corenet" in answers and total > 0:
        fair = _like_for_like(question, total, network)
        looseness = answers["corenet"] / fair if fair > 0 else None
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
    largest = rows.max(axis=0)
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
    by_sum = [] if total is None else [*(["corenet"] if network else []), "bernstein", "kl"]
    asked = kinds if kinds is not None else [*by_sum, "cramer", "exact"]
    if total is None:
        found: dict[str, Any] = {
            "sensitivity_sum": None,
            "answers": {},
            "corenet_looseness": None,
        }
    else:
        found = ladder(question, total, [k for k in asked if k in by_sum], network)
    for kind in asked:
        if kind in ("cramer", "exact"):
            found["answers"][kind] = question.by_shares(kind, rows, q)
    return found | {"shares": shares}


def calibration(
    network: Network, delta: float, points: float | None, dimension: float | None,
    beta: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """How many calibration inputs the claims on fresh inputs ask for, or what so many give."""
    found: list[dict[str, Any]] = []
    if network:
        for rule in ("corenet", "sipp"):
            size = float(sipp_theory.calibration_size(*network, delta, rule))
            found.append({"claim": "ES-4", "rule": rule, "points": size, "assumes": "A1"})
    if points is not None and dimension is not None:
        uncovered = float(sipp_theory.scenario_violation(points, dimension, beta))
        found.append(
            {
                "claim": "ES-5",
                "points": points,
                "dimension": dimension,
                "beta": beta,
                "violation": uncovered,
                "assumes": "i.i.d. inputs",
            }
        )
    return found
