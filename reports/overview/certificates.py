"""Certificates for the report: one network in a sentence, the sparsest one, CoreNet's sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

import sipp_core
from reports.overview.settings import SIMULATED, Settings
from reports.overview.splits import Splits
from reports.overview.tasks import Json, Progress, told
from sipp_core.pruning import find_method
from sipp_core.runtime import one_thread, shuffled

# Sparsest certified networks whose whole curve is kept.
CURVES = 3


def chosen(
    model: nn.Module, splits: Splits, plan: Settings, choice: Json
) -> tuple[Json, sipp_core.Certificate]:
    """Certify the chosen network on inputs that had no part in choosing it (CT-2, CT-1)."""
    pruned = sipp_core.prune(
        model, splits.calibration_pairs, method=choice["method"], keep=choice["keep"],
        seed=choice["seed"],
    )  # fmt: skip
    # The splits are disjoint by index; an equal image would be a fresh draw that repeats.
    certificate = sipp_core.certify(
        model, pruned.model, splits.certificate_inputs, delta=plan.target_delta,
        confidence=plan.confidence, allow_repeats=True,
    )  # fmt: skip
    network = {
        "method": choice["method"],
        "keep": choice["keep"],
        "kept": pruned.kept,
        "nnz_before": pruned.nnz_before,
        "nnz_after": pruned.nnz_after,
        "seed": choice["seed"],
        "accuracy": choice["accuracy"],
        "error": choice["error"],
        "tolerance": plan.tolerance,
        "layers": [
            {"name": r.name, "nnz_before": r.nnz_before, "nnz_after": r.nnz_after}
            for r in pruned.layers
        ],
    }
    return {"network": network, "certificate": certificate.summary()}, certificate


def searches(
    model: nn.Module,
    splits: Splits,
    plan: Settings,
    seed: int,
    progress: Progress | None,
    jobs: int | None = None,
) -> Json:
    """Search the sparsest certified network per method (CT-3), all statements holding at once.

    The confidence of each search is 1 - (1 - confidence)/methods, so that by the union bound all of
    them together have the confidence of the report.
    """
    each = 1 - (1 - plan.confidence) / len(plan.methods)
    given = model, splits.calibration_pairs, splits.certificate_inputs, plan, each, seed
    calls = [(*given, one) for one in plan.methods]
    rows = told(_search, calls, jobs, progress, lambda i: f"certify {plan.methods[i]}")
    # Three curves are distinct in a figure; as all lines hold at once, they may be chosen now.
    drawn = sorted((row for row in rows if row["found"]), key=lambda row: row["kept"])[:CURVES]
    for row in rows:
        if row not in drawn:
            del row["curve"]
    return {
        "eps": plan.target_eps, "delta": plan.target_delta, "confidence": plan.confidence,
        "confidence_each": each, "n": len(splits.certificate_inputs), "rows": rows,
    }  # fmt: skip


def _search(
    model: nn.Module,
    calibration: Any,
    held_out: Tensor,
    plan: Settings,
    confidence: float,
    seed: int,
    method: str,
) -> Json:
    """The sparsest certified network of one method."""
    with one_thread():
        search = sipp_core.sparsest(
            model, calibration, held_out, eps=plan.target_eps, delta=plan.target_delta,
            confidence=confidence, method=method, seed=seed, allow_repeats=True,
        )  # fmt: skip
    certificate = search.certificate
    accepted = certificate is not None and search.result is not None
    return {
        "method": method,
        "found": accepted,
        "curve": asdict(certificate.curve) if certificate and accepted else None,
        "keep": search.result.keep if search.result else None,
        "kept": search.result.kept if search.result else None,
        "violations": certificate.violations if certificate else None,
        "tested": [
            {"keep": k, "violations": v}
            for k, v in zip(search.keeps, search.violations, strict=True)
        ],
    }


def sentences(
    model: nn.Module,
    inputs: Tensor,
    splits: Splits,
    plan: Settings,
    seed: int,
    progress: Progress | None,
    jobs: int | None = None,
) -> Json:
    """What CoreNet's sentence about the network truly needs (CT-8), all lines holding at once.

    CoreNet's own draws by their number, the other methods by the weights that they keep, pruned on
    many training inputs: weights that few leave dead go first, and held-out outputs near 0 move.
    """
    inputs = shuffled(inputs, plan.simulated_on, seed)[0]
    each = 1 - (1 - plan.confidence) / len(SIMULATED)
    given = model, inputs, splits.certificate_inputs[: plan.pairs], plan, each, seed
    calls = [(*given, one) for one in SIMULATED]
    rows = told(_sentence, calls, jobs, progress, lambda i: f"simulate {SIMULATED[i]}")
    return {
        "eps": plan.eps, "delta": plan.delta, "confidence": plan.confidence,
        "confidence_each": each, "n": rows[0]["n"], "inputs": len(inputs), "rows": rows,
    }  # fmt: skip


def _sentence(
    model: nn.Module,
    inputs: Tensor,
    held_out: Tensor,
    plan: Settings,
    confidence: float,
    seed: int,
    method: str,
) -> Json:
    """The least budget with which it is true of one method."""
    with one_thread():
        budget = sipp_core.least_budget(
            model, inputs, held_out, eps=plan.eps, delta=plan.delta, confidence=confidence,
            method=method, seed=seed, allow_repeats=True,
        )  # fmt: skip
    return {"label": find_method(method).facts.label} | budget.summary()
