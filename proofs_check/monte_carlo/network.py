"""Coverage of a whole network: many pruned copies at once, the output's relative error counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from proofs_check.ledger.judging import CONFIDENCE, Coverage, Where, judge
from proofs_check.ledger.refusals import require_chance, require_counts
from proofs_check.monte_carlo.neuron import TIE
from sipp_core import PruneResult
from sipp_core.pruning import LayerPlan, draw, find_method
from sipp_core.runtime import Float, Progress, evaluating, generator, model_device

NETWORK_STREAM = 41
INPUTS_AT_ONCE = 256
# Bytes of stacked parameters and of outputs held at once.
LARGEST_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class NetworkCoverage:
    """How often a pruned copy's output leaves the promised error.

    Attributes:
        coverage: the verdict on Pr over input and draws; copy t is looked at one input drawn for
            it, so that the trials are independent (trials = copies).
        per_input: (n,) float64, share of the copies that fail at each input.
        per_copy: (copies,) float64, share of the inputs at which each copy fails.
        errors: (n,) float64, mean over the copies of the relative output error at each input.
        copies: how many pruned copies.
    """

    coverage: Coverage
    per_input: Float
    per_copy: Float
    errors: Float
    copies: int

    @property
    def rate(self) -> float:
        """Share of all (copy, input) pairs that fail; they are not independent of each other."""
        return float(self.per_input.mean())

    def summary(self) -> dict[str, object]:
        """Verdict and rates, ready for JSON."""
        return {
            "coverage": self.coverage.summary(),
            "rate": self.rate,
            "worst_input_rate": float(self.per_input.max()),
            "worst_copy_rate": float(self.per_copy.max()),
            "mean_error": float(self.errors.mean()),
            "copies": self.copies,
            "inputs": int(self.per_input.size),
        }


def network_coverage(
    model: nn.Module,
    result: PruneResult,
    inputs: Tensor,
    *,
    eps: float,
    delta: float,
    copies: int = 200,
    seed: int = 0,
    claim: str = "none",
    where: Where = "fresh",
    confidence: float = CONFIDENCE,
    batch_bytes: int = LARGEST_BYTES,
    progress: Progress | None = None,
) -> NetworkCoverage:
    """Draw the plans of a pruning result again and again and count output errors above eps.

    A failure is ||f^(x) - f(x)||_2 > eps ||f(x)||_2. Copy t has the same draws as
    `sipp_core.plan.draw_many`, so copy 0 with `seed=result.seed` is `result.model`.

    Args:
        model: the network before pruning; not changed, run in eval mode.
        result: what `sipp_core.prune` made of it.
        inputs: (n, ...) floating-point inputs, n >= 1.
        eps: relative error of the output, > 0.
        delta: failure probability claimed over input and draws, in (0, 1).
        copies: pruned copies, >= 1.
        seed: seed of the draws, >= 0.
        claim: id of the claim under test, for the record.
        where: what the inputs are, for the record.
        confidence: one-sided confidence of the verdict, in (0.5, 1).
        batch_bytes: memory for stacked copies and outputs, roughly; the draws do not depend on it.
        progress: callback (copies done, copies, "coverage").

    Returns:
        The verdict and the failure rates per input and per copy.

    Raises:
        TypeError: inputs that are no floating-point tensor.
        ValueError: an argument is out of range, a model that the result is not of, or a method
            whose weights are not one draw of its plan (corenet++).

    Claim: NW-1 to NW-5 as far as a network's promise is claimed. Source: the claim's; [OWN] count.

    Example:
        >>> from sipp_core import methods, prune
        >>> net, x = nn.Linear(4, 2), torch.rand(8, 4)
        >>> result = prune(net, x, method=methods.SippDet(), keep=1.0)
        >>> network_coverage(net, result, x, eps=0.1, delta=0.1, copies=3).rate
        0.0
    """
    _check(inputs, eps, delta, copies, batch_bytes)
    weights = _weights(model, result)
    failing = np.zeros((copies, len(inputs)), dtype=bool)
    errors = np.zeros(len(inputs))
    device = model_device(model)
    with evaluating(model):
        truth = torch.cat([model(part.to(device)).flatten(1) for part in _parts(inputs)])
        width = sum(w.numel() * max(4, w.element_size()) for w in weights.values())
        width += 16 * truth[:INPUTS_AT_ONCE].numel()
        step = max(1, int(batch_bytes // (3 * width)))
        for start in range(0, copies, step):
            chosen = range(start, min(start + step, copies))
            stacked = _stacked(result.plans, weights, seed, chosen)
            relative = _relative_errors(model, stacked, inputs, truth)
            failing[start : chosen.stop] = relative > eps + TIE
            errors += relative.sum(axis=0)
            if progress is not None:
                progress(chosen.stop, copies, "coverage")
    picks = generator(seed, NETWORK_STREAM).integers(len(inputs), size=copies)
    failures = int(failing[np.arange(copies), picks].sum())
    low, high, level, verdict = judge(failures, copies, delta, confidence=confidence)
    coverage = Coverage(
        claim, "network", where, float(eps), float(delta), float(result.nnz_after), copies,
        failures, low, high, level, verdict, -1, seed, "random",
    )  # fmt: skip
    return NetworkCoverage(
        coverage, failing.mean(axis=0), failing.mean(axis=1), errors / copies, copies
    )


def _parts(inputs: Tensor) -> tuple[Tensor, ...]:
    return inputs.split(INPUTS_AT_ONCE)


def _weights(model: nn.Module, result: PruneResult) -> dict[str, Tensor]:
    """Weight tensors of the planned layers by parameter name, in the plans' order."""
    if not find_method(result.method).redraws:
        raise ValueError(
            f"method {result.method!r} chooses the best of several draws; its copies are no draws "
            "of the plan. Check a method that draws once, such as CoreNet+"
        )
    parameters = dict(model.named_parameters())
    weights: dict[str, Tensor] = {}
    for plan in result.plans:
        name = f"{plan.name}.weight" if plan.name else "weight"
        if name not in parameters:
            raise ValueError(f"model has no parameter {name!r}; give the model that was pruned")
        weight = parameters[name].detach()
        if tuple(weight.flatten(1).shape) != plan.scores.shape:
            raise ValueError(
                f"parameter {name!r} has shape {tuple(weight.shape)}, the plan "
                f"{plan.scores.shape}; give the model that was pruned"
            )
        weights[name] = weight
    return weights


def _stacked(
    plans: tuple[LayerPlan, ...], weights: dict[str, Tensor], seed: int, copies: range
) -> dict[str, Tensor]:
    """Pruned weights of several copies, (copies, *weight shape) by parameter name."""
    stacked: dict[str, Tensor] = {}
    for index, (plan, (name, weight)) in enumerate(zip(plans, weights.items(), strict=True)):
        full = weight.double()
        pruned = torch.empty((len(copies), *weight.shape), dtype=weight.dtype, device=weight.device)
        for place, copy in enumerate(copies):
            multiplier = torch.from_numpy(draw(plan, generator(seed, index, copy)))
            factor = multiplier.to(weight.device).reshape(weight.shape)
            pruned[place] = (full * factor).to(weight.dtype)
        stacked[name] = pruned
    return stacked


def _relative_errors(
    model: nn.Module, stacked: dict[str, Tensor], inputs: Tensor, truth: Tensor
) -> NDArray[np.float64]:
    """Relative L2 output error of each copy at each input, (copies, n); 0/0 counts as 0."""
    device = truth.device

    def one(parameters: dict[str, Tensor], part: Tensor) -> Tensor:
        return functional_call(model, parameters, (part,)).flatten(1)

    columns = []
    for part, exact in zip(_parts(inputs), truth.split(INPUTS_AT_ONCE), strict=True):
        outputs = vmap(one, in_dims=(0, None))(stacked, part.to(device))
        difference = (outputs - exact).double().norm(dim=2)
        scale = exact.double().norm(dim=1)
        ratio = torch.where(difference > 0, difference / scale, torch.zeros_like(difference))
        columns.append(ratio.cpu().numpy())
    return np.concatenate(columns, axis=1)


def _check(inputs: Tensor, eps: float, delta: float, copies: int, batch_bytes: int) -> None:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise TypeError(f"inputs must be a floating-point tensor; found {type(inputs).__name__}")
    if inputs.ndim < 2 or len(inputs) == 0:
        raise ValueError(f"inputs must be (n, ...) with n >= 1; found {tuple(inputs.shape)}")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs must be finite; found NaN or infinity")
    if not (np.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be above 0; found {eps!r}")
    require_chance("delta", delta)
    require_counts(copies=copies, batch_bytes=batch_bytes)
