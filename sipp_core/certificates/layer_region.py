"""What lost neurons can cost the next layer at worst (NC-6), and what that makes of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.attack import ascend
from sipp_core.neurons import Difference, Domain
from sipp_core.neurons.maps import Step
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.numbers import Float


@dataclass(frozen=True, eq=False)
class LayerWorstCase:
    """What lost neurons can cost the next layer, over the range of the original layers below.

    Attributes:
        name: of the layer that lost inputs.
        outputs: (k,) which of its pre-activations were looked at.
        interval: (k,) bound on |z^ - z| with every neuron at its own worst.
        linear: (k,) LP bound of the triangle relaxation.
        certified: (k,) the least bound, NC-6 with parabolas among them.
        attack: (k,) what projected gradient ascent finds, from below.

    Claim: NC-6. Source: [OWN].
    """

    name: str
    outputs: tuple[int, ...]
    interval: Float
    linear: Float
    certified: Float
    attack: Float


def worst_layers(
    both: Difference, dense: nn.Module, small: nn.Module, outputs: Sequence[int] | None,
    steps: int, attack_steps: int, seed: int, progress: Progress | None,
) -> tuple[LayerWorstCase, ...]:  # fmt: skip
    """NC-6 at every Linear layer that reads a Linear layer's ReLUs and lost some of them."""
    known: dict[str, Step] = {s.name: s for s in both.steps}
    layers: list[LayerWorstCase] = []
    for step in both.steps:
        if step.maps is None or step.maps[0] is step.maps[1] or step.maps[0].weight is None:
            continue
        act = known[step.parents[0]]
        source = known[act.parents[0]] if act.kind == "activation" and act.act == "relu" else None
        if source is None or source.maps is None or source.maps[0].weight is None:
            continue
        p = source.maps[0].weight.numpy()
        own = both.spans[source.parents[0]]
        if own.low.shape[0] != 1 or own.low.ndim != 2:
            continue
        bias = source.maps[0].plain([torch.zeros(1, p.shape[1], dtype=torch.float64)])[0].numpy()
        direct = known[source.parents[0]].kind == "input"
        if direct and both.domain.ball:
            centre, radius = both.domain.centre[0].numpy(), both.domain.radius[0].numpy()
        else:
            box = Domain.box(own.low, own.high)
            centre, radius = box.centre[0].numpy(), box.radius[0].numpy()
        w, u = dense.get_submodule(step.layer), small.get_submodule(step.layer)
        change = _matrix(u) - _matrix(w)
        shift = _offset(u) - _offset(w)
        picked = tuple(range(len(change))) if outputs is None else tuple(outputs)
        picked = tuple(k for k in picked if k < len(change))
        rows = []
        region = Domain(
            torch.from_numpy(centre)[None], torch.from_numpy(np.asarray(radius))[None],
            direct and both.domain.ball,
        )  # fmt: skip
        for place, k in enumerate(picked):
            if progress is not None:
                progress(place, len(picked), f"NC-6 at {step.layer}")
            sides = [
                sipp_theory.worst_relu_sum(
                    sign * change[k], p, bias, sign * float(shift[k]), centre, radius, steps
                )
                for sign in (1.0, -1.0)
            ]
            seen = _layer_attack(change[k], p, bias, float(shift[k]), region, attack_steps, seed)
            rows.append([
                max(0.0, *(getattr(s, kind) for s in sides))
                for kind in ("interval", "linear", "bound")
            ] + [seen])  # fmt: skip
        table = np.array(rows).reshape(-1, 4)
        layers.append(LayerWorstCase(step.layer, picked, *table.T))
    return tuple(layers)


def _matrix(module: nn.Module) -> Float:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach().double().cpu().numpy()


def _offset(module: nn.Module) -> Float:
    bias = module.bias
    if not isinstance(bias, Tensor):
        return np.zeros(len(_matrix(module)))
    return bias.detach().double().cpu().numpy()


def _layer_attack(
    change: Float, p: Float, bias: Float, shift: float, region: Domain, steps: int, seed: int
) -> float:
    a, rows, offset = (torch.from_numpy(v) for v in (change, p, bias))
    best = 0.0
    for sign in (1.0, -1.0):

        def score(x: Tensor, sign: float = sign) -> Tensor:
            return sign * (torch.relu(x @ rows.T + offset) @ a + shift)

        errors, _ = ascend(score, region, 16, steps, seed)
        best = max(best, float(errors.max()))
    return best


def composed(
    both: Difference, dense: nn.Module, small: nn.Module, layers: tuple[LayerWorstCase, ...],
    outputs: Sequence[int] | None,
) -> Float:  # fmt: skip
    """NC-7, for a chain of Linear layers and 1-Lipschitz activations of which only inputs went."""
    span = both.spans[both.output]
    nothing = np.full(span.low[0].numel(), np.inf)
    chain = [s for s in both.steps if s.kind not in ("input", "output")]
    straight = all(len(s.parents) == 1 for s in chain) and all(
        (s.kind == "linear" and (s.maps is None or s.maps[0].weight is not None or not s.layer))
        or (s.kind == "activation" and sipp_theory.ACTIVATIONS[s.act].lipschitz <= 1)
        for s in chain
    )
    if outputs is not None or not straight:
        return nothing
    matrices = [s for s in chain if s.layer]
    known = {one.name: one.certified for one in layers}
    errors: list[Float] = []
    for step in matrices:
        assert step.maps is not None
        if step.maps[0] is step.maps[1]:
            errors.append(np.zeros(len(_matrix(dense.get_submodule(step.layer)))))
        elif step.layer in known:
            errors.append(known[step.layer])
        else:
            return nothing
    weights = [_matrix(small.get_submodule(s.layer)) for s in matrices[1:]]
    return np.asarray(sipp_theory.network_error(weights, errors))
