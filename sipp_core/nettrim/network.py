"""Net-Trim for a whole network of dense layers: parallel, or as a cascade."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.nettrim.program import Program, layer_program
from sipp_core.nettrim.reference import solve_cvxpy
from sipp_core.nettrim.relu import followed_by_relu
from sipp_core.nettrim.solution import Trimmed, Unsolved, as_stored
from sipp_core.nettrim.solver import solve, trim_to
from sipp_core.network.layers import prunable_layers, weight_of, write_weight
from sipp_core.network.selection import LayerChoice
from sipp_core.runtime.arguments import positive
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import Progress, forward, model_device, uncompiled, watching
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.isolation import isolated

Solver = Literal["admm", "cvxpy"]


@dataclass(frozen=True, eq=False)
class Retrimmed:
    """A trimmed network.

    Attributes:
        model: a new model; the given one was not touched.
        layers: what was done to each layer, by name, in the order of the forward pass.
        relu: whether a ReLU follows each layer, by name.
        promised: ||Y^ - Y||_F of each layer's outputs on the inputs given, NT-2 or NT-3, in order;
            it holds for layers that feed one another with nothing but ReLU between.
        cascade: whether each layer was trimmed on the trimmed network's activations.
        chained: whether they do so; if not, `promised` holds +inf from the second layer on.

    Claim: NT-2, NT-3. Source: [NT] arXiv 1611.05162.
    """

    model: nn.Module
    layers: dict[str, Trimmed]
    relu: dict[str, bool]
    promised: tuple[float, ...]
    cascade: bool
    chained: bool


@isolated
def retrim(
    model: nn.Module,
    inputs: Inputs,
    *,
    eps: float | None = None,
    keep: float | None = None,
    cascade: bool = False,
    gamma: float = 1.1,
    layers: LayerChoice = None,
    relu: Mapping[str, bool] | None = None,
    penalise_bias: bool = True,
    solver: Solver = "admm",
    tolerance: float = 1e-5,
    progress: Progress | None = None,
) -> Retrimmed:
    """Trim every dense layer of a network by Net-Trim.

    Parallel: each layer on the original network's activations, eps_l = eps ||Y_l||_F over the
    ball's entries. Cascade: the first layer likewise, each later one on the activations of the
    network trimmed so far, with eps_l from gamma (NT-3).

    Args:
        model: a network of nn.Linear layers; left as found.
        inputs: tensor (n, ...) or batches; all activations are held in memory.
        eps: relative error allowed a layer, in (0, 1); of the first layer only, in a cascade.
        keep: instead of eps, fraction of each layer's weights to keep, in (0, 1]; not in a cascade.
        cascade: which of the two.
        gamma: inflation of a cascade's later layers, >= 1.
        layers: which to trim, as in `sipp_core.prune`; all dense ones if not given.
        relu: whether a ReLU follows, by layer name, where tracing cannot tell.
        penalise_bias: whether |bias| counts in the objective.
        solver: "admm" or "cvxpy".
        tolerance: largest relative duality gap of each layer; "admm" with eps only.
        progress: called with (layers done, layers, "net-trim").

    Returns:
        The new model with a record a layer.

    Raises:
        TypeError, ValueError: a layer that is no nn.Linear, or arguments out of range.
        Unsolved: a program was not solved.

    Claim: NT-2, NT-3. Source: [NT] arXiv 1611.05162, algorithms 1 and 2.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
        >>> done = retrim(net, torch.rand(20, 2), eps=0.1)
        >>> list(done.layers), done.cascade
        (['0', '2'], False)
    """
    _checked(eps, keep, cascade, gamma, solver)
    model = uncompiled(model)
    chosen = prunable_layers(model, layers)
    for layer in chosen:
        if not isinstance(layer.module, nn.Linear):
            raise ValueError(
                f"layer {layer.name!r} is a {type(layer.module).__name__}: Net-Trim is for "
                f"nn.Linear layers here; leave it out with layers=['!{layer.name}']"
            )
    follows = followed_by_relu(model, [layer.name for layer in chosen], relu)
    stream = list(batches(inputs, 256, "inputs"))
    new = copy.deepcopy(model)
    original, copies = dict(model.named_modules()), dict(new.named_modules())
    before = _activations(model, stream, list(follows))
    trimmed: dict[str, Trimmed] = {}
    for name, with_relu in follows.items():
        place = original[name]
        assert isinstance(place, nn.Linear)
        later = cascade and bool(trimmed)
        rows = _activations(new, stream, [name])[name] if later else before[name]
        program = layer_program(
            place.weight, place.bias, rows, eps=0.0, relu=with_relu, penalise_bias=penalise_bias,
            targets=_outputs(place, before[name], with_relu) if later else None,
            gamma=gamma if later else None,
        )  # fmt: skip
        try:
            done = _solved(program, eps, keep, later, solver, tolerance)
        except Unsolved as error:
            raise Unsolved(f"layer {name!r}: {error}") from error
        weight = write_weight(name, weight_of(copies[name]), done.weight)
        bias = done.bias
        if bias is not None:
            bias = write_weight(name, copies[name].get_parameter("bias"), bias)
        trimmed[name] = as_stored(program, done, weight, bias)
        if progress is not None:
            progress(len(trimmed), len(follows), "net-trim")
    chained = _chained(before, follows, original)
    promised = _promised(trimmed, follows, before, original, cascade, gamma, chained)
    return Retrimmed(new, trimmed, follows, promised, cascade, chained)


def _checked(
    eps: float | None, keep: float | None, cascade: bool, gamma: float, solver: str
) -> None:
    if (eps is None) == (keep is None):
        raise ValueError(f"give either eps or keep; found eps={eps!r}, keep={keep!r}")
    if cascade and eps is None:
        raise ValueError("a cascade takes eps and gamma: its later radii follow from them")
    if eps is not None and positive("eps", eps) >= 1:
        raise ValueError(f"eps must lie in (0, 1), relative to ||Y||; found {eps!r}")
    if keep is not None and positive("keep", keep) > 1:
        raise ValueError(f"keep must lie in (0, 1]; found {keep!r}")
    if positive("gamma", gamma) < 1:
        raise ValueError(f"gamma must be at least 1; found {gamma!r}")
    if solver not in ("admm", "cvxpy"):
        raise ValueError(f"solver must be 'admm' or 'cvxpy'; found {solver!r}")
    if solver == "cvxpy" and keep is not None:
        raise ValueError("keep needs warm starts, which cvxpy has not: give eps, or solver='admm'")


def _solved(
    program: Program, eps: float | None, keep: float | None, later: bool, solver: str,
    tolerance: float,
) -> Trimmed:  # fmt: skip
    if keep is not None:
        size = program.start.shape[0] * (program.start.shape[1] - program.biased)
        return trim_to(program, int(keep * size))
    if not later:
        size = float(torch.where(program.inside, program.targets, 0.0).norm())
        program = program.at(float(eps or 0.0) * size)
    return solve_cvxpy(program) if solver == "cvxpy" else solve(program, tolerance=tolerance)


def _activations(model: nn.Module, stream: list[Given], names: list[str]) -> dict[str, Tensor]:
    """What enters each of the layers, (P, N) float64."""
    rows: dict[str, list[Tensor]] = {name: [] for name in names}
    modules = dict(model.named_modules())

    def keep(name: str, given: Tensor) -> None:
        rows[name].append(given.detach().flatten(0, -2).double())

    with watching(model, {name: modules[name] for name in names}, keep):
        for batch in stream:
            forward(model, batch.to(model_device(model)), "inputs")
    return {name: torch.cat(parts) for name, parts in rows.items()}


def _outputs(layer: nn.Linear, rows: Tensor, relu: bool) -> Tensor:
    outputs = rows @ layer.weight.detach().double().T
    if layer.bias is not None:
        outputs = outputs + layer.bias.detach().double()
    return (outputs.clamp(min=0) if relu else outputs).T


def _chained(
    before: Mapping[str, Tensor], follows: Mapping[str, bool], modules: Mapping[str, nn.Module]
) -> bool:
    """Whether each layer reads the one before through its ReLU and through nothing else."""
    names = list(follows)
    for name, after in itertools.pairwise(names):
        layer = modules[name]
        assert isinstance(layer, nn.Linear)
        outputs = _outputs(layer, before[name], follows[name]).T
        read = before[after]
        if outputs.shape != read.shape or not torch.allclose(outputs, read, rtol=1e-3, atol=1e-4):
            return False
    return True


def _promised(
    trimmed: Mapping[str, Trimmed], follows: Mapping[str, bool], before: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module], cascade: bool, gamma: float, chained: bool,
) -> tuple[float, ...]:  # fmt: skip
    done = list(trimmed.values())
    own = [math.hypot(one.constraint, one.overshoot) for one in done]
    if not chained:
        return (own[0], *[math.inf] * (len(done) - 1))
    if not cascade:
        norms = [float(torch.linalg.matrix_norm(one.weight, 2)) for one in done]
        return tuple(np.asarray(sipp_theory.parallel_error(own, norms)).tolist())
    norms = [
        float(torch.linalg.matrix_norm(weight_of(modules[name]).detach().double(), 2))
        for name in list(trimmed)[1:]
    ]
    # Rounded weights may lie outside the radius that gamma gives.
    passed = [max(1.0, one.constraint / one.eps) if one.eps > 0 else 1.0 for one in done[1:]]
    gammas = [gamma * share**2 for share in passed]
    promised = sipp_theory.cascade_error(own[0], gammas, norms)
    return tuple(np.asarray(promised).tolist())
