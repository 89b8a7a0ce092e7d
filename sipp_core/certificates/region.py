"""What pruning can cost at worst, over a region of inputs or around each of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.attack import ascend
from sipp_core.neurons import Ball, Box, Difference, Domain, embedded
from sipp_core.pruning import PruneResult
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.numbers import Float

# Regions that are bounded together.
TOGETHER = 64


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


@dataclass(frozen=True, eq=False)
class RegionCertificate:
    """How far a pruned network can be from the original, for every input of a region.

    Attributes:
        bound: (out,) |f^ - f| of each output is at most that at every input; the least of the two
            bounds below.
        composed: (out,) from the layers' own worst cases (NC-7); +inf where it does not apply.
        relaxed: (out,) from the linear relaxation of the difference of both networks.
        attack: (out,) what projected gradient ascent finds, from below.
        spread: (out,) how far the original's outputs can range over the region, from above.
        layers: of each layer that lost inputs, where NC-6 applies.
        region: in words.
        claims: THEORY ids.
        why: where nothing is said, which term is too large; empty if the bound says something.

    Claim: NC-6, NC-7. Source: [OWN].
    """

    bound: Float
    composed: Float
    relaxed: Float
    attack: Float
    spread: Float
    layers: tuple[LayerWorstCase, ...]
    region: str
    claims: tuple[str, ...]
    why: str

    def summary(self) -> dict[str, object]:
        """All numbers, ready for JSON."""
        arrays = ("bound", "composed", "relaxed", "attack", "spread")
        parts = ("interval", "linear", "certified", "attack")
        layers = [
            {"name": one.name, "outputs": list(one.outputs)}
            | {name: getattr(one, name).tolist() for name in parts}
            for one in self.layers
        ]
        return {name: getattr(self, name).tolist() for name in arrays} | {
            "layers": layers, "region": self.region, "claims": list(self.claims), "why": self.why,
        }  # fmt: skip

    @property
    def vacuous(self) -> bool:
        """Whether the bound is no less than the original's own range."""
        return bool(self.why)

    def sentence(self) -> str:
        """The certificate in one plain sentence."""
        text = (
            f"For every input of {self.region}, pruning moves no output by more than "
            f"{self.bound.max():.4g}; an attack moves one by {self.attack.max():.4g}."
        )
        return text + (f" That is vacuous: {self.why}." if self.why else "")


@dataclass(frozen=True, eq=False)
class LocalCertificates:
    """What pruning can change around each of many inputs.

    Attributes:
        radius: largest change of a coordinate (boxes), or of the input in norm (balls).
        bound: (n,) no output moves by more than that, at any input that near.
        attack: (n,) what projected gradient ascent finds, from below.
        proved: (n,) whether pruning provably changes no decision: both networks have one and the
            same class at every input that near.
        broken: (n,) whether the attack found an input that near at which the classes differ.
        claims: THEORY ids.

    Claim: NC-7. Source: [OWN].
    """

    radius: float
    bound: Float
    attack: Float
    proved: np.ndarray
    broken: np.ndarray
    claims: tuple[str, ...]

    def summary(self) -> dict[str, object]:
        """All numbers, ready for JSON."""
        arrays = ("bound", "attack", "proved", "broken")
        return {name: getattr(self, name).tolist() for name in arrays} | {
            "radius": self.radius, "share": self.share, "claims": list(self.claims),
        }  # fmt: skip

    @property
    def share(self) -> float:
        """Share of the inputs around which pruning provably changes no decision."""
        return float(self.proved.mean())

    def sentence(self) -> str:
        """The certificates in one plain sentence."""
        return (
            f"Around {int(self.proved.sum())} of {len(self.proved)} inputs ({self.share:.1%}) no "
            f"change of at most {self.radius:g} makes the pruned network decide otherwise than the "
            f"original; the attack found {int(self.broken.sum())} where one does."
        )


def _modules(model: object, pruned: object) -> tuple[nn.Module, nn.Module]:
    if isinstance(pruned, PruneResult):
        pruned = pruned.model
    for name, module in (("model", model), ("pruned", pruned)):
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{name} must be an nn.Module or a PruneResult; found {type(module).__name__}"
            )
    assert isinstance(model, nn.Module) and isinstance(pruned, nn.Module)
    return model, pruned


@overload
def certify_region(
    model: nn.Module, pruned: nn.Module | PruneResult, region: Box | Ball, *,
    radius: None = None, outputs: Sequence[int] | None = None, steps: int = 100,
    attack_steps: int = 100, seed: int = 0, progress: Progress | None = None,
) -> RegionCertificate: ...  # fmt: skip


@overload
def certify_region(
    model: nn.Module, pruned: nn.Module | PruneResult, region: Tensor, *, radius: float,
    attack_steps: int = 100, seed: int = 0, progress: Progress | None = None,
) -> LocalCertificates: ...  # fmt: skip


def certify_region(
    model: nn.Module,
    pruned: nn.Module | PruneResult,
    region: Box | Ball | Tensor,
    *,
    radius: float | None = None,
    outputs: Sequence[int] | None = None,
    steps: int = 100,
    attack_steps: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> RegionCertificate | LocalCertificates:
    """Bound what pruning can cost at worst, for every input of a region, adversarial or not.

    The pruned network is paired with the original and both are bounded together by linear
    relaxation of their difference. For layers that lost neurons between Linear layers and ReLU,
    NC-6 bounds what the next layer can lose (never above its LP bound), and NC-7 composes these.
    Any method's result can be certified, and any network of one architecture with fewer neurons.

    The bounds are for the weights as stored, in real arithmetic; their own computation is in
    float64 with what it rounds charged. The attack is beside them, from below.

    Args:
        model: the original network; never changed.
        pruned: the pruned one, or a result.
        region: a Box or Ball of inputs; or inputs (n, ...) to look around, with a radius.
        radius: largest change of a coordinate around each input: the same as `certify_around`.
        outputs: which pre-activations of each layer NC-6 looks at; None for all, which NC-7 needs.
        steps: of the search for NC-6's parameters; 0 for the LP bound alone.
        attack_steps: of gradient ascent.
        seed: of the attack's starts, >= 0.
        progress: callback (done, total, what).

    Returns:
        The certificate; `why` says where it says nothing. With a radius one for each input.

    Raises:
        TypeError: no modules, or no region.
        ValueError: networks that cannot be paired, an operation that no bound knows.

    Claim: NC-6, NC-7. Source: [OWN]; Zhang et al. 2018, arXiv 1811.00866.

    Example:
        >>> from sipp_core import prune_neurons
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> box = Box(torch.zeros(4), torch.ones(4))
        >>> found = certify_region(net, prune_neurons(net, box, method="norm", neurons=4), box)
        >>> bool((found.attack <= found.bound).all())
        True
    """
    if radius is not None and isinstance(region, Tensor):
        if outputs is not None:
            raise ValueError(f"outputs= is for a region; leave it out with radius={radius!r}")
        return certify_around(
            model, pruned, region, radius, attack_steps=attack_steps, seed=seed, progress=progress
        )
    dense, small = _modules(model, pruned)
    if radius is not None or not isinstance(region, Box | Ball):
        raise TypeError(
            "region must be a Box or a Ball, or inputs (n, ...) with radius=...; found "
            f"{type(region).__name__} and radius={radius!r}"
        )
    domain = region.domain()
    put_back = embedded(dense, small, domain.centre.expand(2, *region.shape).to(_dtype(dense)))
    both = Difference(dense, put_back, domain)
    relaxed, spread = _ends(both)
    layers = tuple(_layers(both, dense, put_back, outputs, steps, attack_steps, seed, progress))
    composed = _composed(both, dense, put_back, layers, outputs)
    bound = np.minimum(relaxed, composed)
    found = _attacked(both, len(bound), attack_steps, seed)
    why = ""
    if (bound >= spread).all():
        worst = max(layers, key=lambda one: float(one.certified.max()), default=None)
        term = f", most of it at the inputs of {worst.name!r}" if worst is not None else ""
        why = f"the bound passes the range of the outputs themselves, {spread.max():.4g}{term}"
    return RegionCertificate(
        bound=bound, composed=composed, relaxed=relaxed, attack=found, spread=spread,
        layers=layers, region=region.words(), claims=("NC-6", "NC-7"), why=why,
    )  # fmt: skip


def _dtype(model: nn.Module) -> torch.dtype:
    parameter = next(model.parameters(), None)
    return torch.float32 if parameter is None else parameter.dtype


def _ends(both: Difference) -> tuple[Float, Float]:
    """Bounds on |difference|, and on the width of the range of values, of each output."""
    span = both.spans[both.output]
    shape, count = span.low.shape[1:], span.low[0].numel()
    unit = torch.eye(count, dtype=torch.float64).view(count, *shape)
    none = torch.zeros_like(unit)
    more, less = both.bound(none, unit)[0], -both.bound(none, -unit)[0]
    high, low = both.bound(unit, none)[0], -both.bound(-unit, none)[0]
    return torch.maximum(more.abs(), less.abs()).numpy(), (high - low).clamp_min(0).numpy()


def _attacked(both: Difference, count: int, steps: int, seed: int) -> Float:
    """Largest |f^ - f| of each output that gradient ascent finds."""
    best = np.zeros(count)
    for k in range(count):
        for sign in (1.0, -1.0):

            def score(x: Tensor, k: int = k, sign: float = sign) -> Tensor:
                flat = x.flatten(0, 1)
                gap = (both.second(flat) - both.first(flat)).flatten(1)[:, k]
                return sign * gap.view(x.shape[:2])

            found, _ = ascend(score, both.domain, 8, steps, seed)
            best[k] = max(best[k], float(found.max()))
    return best


def _layers(
    both: Difference, dense: nn.Module, small: nn.Module, outputs: Sequence[int] | None,
    steps: int, attack_steps: int, seed: int, progress: Progress | None,
) -> list[LayerWorstCase]:  # fmt: skip
    """NC-6 at every Linear layer that reads a Linear layer's ReLUs and lost some of them."""
    known, made = {s.name: s for s in both.steps}, []
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
        made.append(LayerWorstCase(step.layer, picked, *table.T))
    return made


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

        found, _ = ascend(score, region, 16, steps, seed)
        best = max(best, float(found.max()))
    return best


def _composed(
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


def certify_around(
    model: nn.Module,
    pruned: nn.Module | PruneResult,
    inputs: Tensor,
    radius: float,
    *,
    within: Box | None = None,
    attack_steps: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> LocalCertificates:
    """Prove around each of many inputs that pruning changes no decision.

    Around each input stands the box of all within `radius` of it in every coordinate. Both networks
    are bounded together over all boxes: no output moves by more than `bound`, and where the margins
    of the original and of the pruned network are above 0 throughout, both always decide alike.

    Args:
        model: the original network; never changed.
        pruned: the pruned one, or a result.
        inputs: (n, ...) inputs to look around.
        radius: largest change of a coordinate, >= 0.
        within: the inputs that there are, as [0, 1] for pixels; boxes are cut to it.
        attack_steps: of gradient ascent.
        seed: of the attack's starts, >= 0.
        progress: callback (done, total, what).

    Returns:
        One certificate an input, and what the attack found beside it.

    Raises:
        TypeError: no modules, or inputs that are no tensor.
        ValueError: a radius below 0, no inputs, networks that cannot be paired, or of one output.

    Claim: NC-7. Source: [OWN]; Zhang et al. 2018, arXiv 1811.00866.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> certify_around(net, net, torch.rand(3, 4), 0.0).bound.max() < 1e-9
        np.True_
    """
    dense, small = _modules(model, pruned)
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs must be a tensor (n, ...); found {type(inputs).__name__}")
    if not (np.isfinite(radius) and radius >= 0):
        raise ValueError(f"radius must be finite and at least 0; found {radius!r}")
    if len(inputs) == 0:
        raise ValueError("inputs must hold one input at least; found none")
    put_back = embedded(dense, small, inputs[:2].expand(2, *inputs.shape[1:]))
    parts: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(inputs), TOGETHER):
        if progress is not None:
            progress(start, len(inputs), "regions")
        x = inputs[start : start + TOGETHER].detach().double().cpu()
        low, high = x - radius, x + radius
        if within is not None:
            low, high = torch.maximum(low, within.low), torch.minimum(high, within.high)
            if (low > high).any():
                raise ValueError("an input lies outside within by more than the radius")
        both = Difference(dense, put_back, Domain.box(low, high))
        parts.append(_around(both, attack_steps, seed))
    bound, attack, proved, broken = (np.concatenate(p) for p in zip(*parts, strict=True))
    return LocalCertificates(float(radius), bound, attack, proved, broken, ("NC-7",))


def _around(both: Difference, steps: int, seed: int) -> tuple[np.ndarray, ...]:
    first, second, domain = both.first, both.second, both.domain
    with torch.no_grad():
        scores = first(domain.centre)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"a decision needs two scores at least; found {tuple(scores.shape[1:])}")
    n, classes = scores.shape
    unit = torch.eye(classes, dtype=torch.float64)
    none = torch.zeros_like(unit)
    moved = torch.maximum(both.bound(none, unit), both.bound(none, -unit)).amax(1)
    label = scores.argmax(1)
    # Every class less the decision's: a margin with the sign turned.
    rival = unit[None] - unit[label][:, None]
    others = torch.arange(classes)[None] != label[:, None]
    free = torch.zeros_like(rival)
    ours = torch.where(others, both.bound(rival, free), -torch.inf).amax(1)
    theirs = torch.where(others, both.bound(rival, rival), -torch.inf).amax(1)
    proved = (ours < 0) & (theirs < 0)

    def apart(x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        return (second(flat) - first(flat)).abs().amax(1).view(x.shape[:2])

    def against(net: nn.Module) -> Tensor:
        def score(x: Tensor) -> Tensor:
            out = net(x.flatten(0, 1)).view(*x.shape[:2], classes)
            own = out.gather(2, label.expand(len(x), -1)[..., None])
            return (out - own).masked_fill(~others, -torch.inf).amax(2)

        return ascend(score, domain, 4, steps, seed)[1]

    found, worst = ascend(apart, domain, 4, steps, seed)
    broken = torch.zeros(n, dtype=torch.bool)
    for x in (domain.centre, worst, against(first), against(second)):
        with torch.no_grad():
            broken |= first(x).argmax(1) != second(x).argmax(1)
    return moved.numpy(), found.numpy(), proved.numpy(), broken.numpy()
