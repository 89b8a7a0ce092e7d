"""What pruning can change around each of many inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.certificates.attack import ascend
from sipp_core.certificates.two_networks import both_modules, generators, paired
from sipp_core.neurons import Box, Difference, Domain
from sipp_core.pruning import PruneResult
from sipp_core.runtime.arguments import at_least_0, refuse_nonfinite, whole
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.numbers import Float

# Regions that are bounded together.
TOGETHER = 64


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
        why: where none is proved, which layer's bounds are too wide; else empty.

    Claim: NC-10. Source: [OWN].
    """

    radius: float
    bound: Float
    attack: Float
    proved: np.ndarray
    broken: np.ndarray
    claims: tuple[str, ...]
    why: str = ""

    def summary(self) -> dict[str, object]:
        """All numbers, ready for JSON."""
        arrays = ("bound", "attack", "proved", "broken")
        return {name: getattr(self, name).tolist() for name in arrays} | {
            "radius": self.radius, "share": self.share, "claims": list(self.claims),
            "why": self.why,
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
            + (f" None is proved: {self.why}." if self.why else "")
        )


def certify_around(
    model: nn.Module,
    pruned: nn.Module | PruneResult,
    inputs: Tensor,
    radius: float,
    *,
    within: Box | None = None,
    attack_steps: int = 20,
    symbols: int | None = None,
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
        symbols: generators of affine forms, at most, that bound layers of more than 2,048 values,
            each about as dear as one input through both networks; 8,192 unless given, 0 for
            intervals there. Refused where no layer is so large.
        seed: of the attack's starts, >= 0.
        progress: callback (done, total, what).

    Returns:
        One certificate an input, and what the attack found beside it.

    Raises:
        TypeError: no modules, inputs that are no tensor, a region that is no Box.
        ValueError: a radius below 0, no inputs, networks that cannot be paired, of weights that are
            not finite, or of one output; an argument that has no effect.

    Claim: NC-10. Source: [OWN]; Zhang et al. 2018, arXiv 1811.00866.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> certify_around(net, net, torch.rand(3, 4), 0.0).bound.max() < 1e-9
        np.True_
    """
    dense, small = both_modules(model, pruned)
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs must be a tensor (n, ...); found {type(inputs).__name__}")
    radius = at_least_0("radius", radius)
    for name, value in (("attack_steps", attack_steps), ("seed", seed)):
        whole(name, value, 0)
    if len(inputs) == 0:
        raise ValueError("inputs must hold one input at least; found none")
    refuse_nonfinite("inputs", inputs)
    x = inputs.detach().double().cpu()
    low, high = cut(x, radius, within)
    put_back = paired(dense, small, x[:1], "inputs")
    wide = Difference(dense, put_back, Domain.box(x[:1], x[:1]), refine=False).wide
    symbols = generators(symbols, wide)
    # Affine forms are of one region at a time.
    size = 1 if wide and symbols else TOGETHER
    parts: list[tuple[np.ndarray, ...]] = []
    why = ""
    for start in range(0, len(inputs), size):
        if progress is not None:
            progress(start, len(inputs), "regions")
        rows = slice(start, start + size)
        both = Difference(dense, put_back, Domain.box(low[rows], high[rows]), symbols=symbols)
        parts.append(_around(both, attack_steps, seed))
        why = why or both.blame()
    bound, attack, proved, broken = (np.concatenate(p) for p in zip(*parts, strict=True))
    return LocalCertificates(
        radius, bound, attack, proved, broken, ("NC-10",), "" if proved.any() else why
    )


def cut(inputs: Tensor, radius: float, within: Box | None) -> tuple[Tensor, Tensor]:
    """Ends of the boxes around inputs, as far as they lie within another box.

    Shapes: inputs (n, ...) float64; returns the same twice.
    """
    low, high = inputs - radius, inputs + radius
    if within is None:
        return low, high
    if not isinstance(within, Box):
        raise TypeError(f"within must be a Box; found {type(within).__name__}")
    if within.shape != tuple(inputs.shape[1:]):
        raise ValueError(
            f"within has inputs of shape {within.shape}, inputs of {tuple(inputs.shape[1:])}"
        )
    low, high = torch.maximum(low, within.low), torch.minimum(high, within.high)
    outside = (low > high).flatten(1).any(1).nonzero().flatten().tolist()
    if outside:
        raise ValueError(
            f"{len(outside)} of the inputs lie outside within by more than the radius {radius:g}, "
            f"input {outside[0]} first"
        )
    return low, high


def _around(both: Difference, steps: int, seed: int) -> tuple[np.ndarray, ...]:
    first, second, domain = both.first, both.second, both.domain
    with torch.no_grad():
        scores = first(domain.centre)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"a decision needs two scores at least; found {tuple(scores.shape[1:])}")
    n, classes = scores.shape
    unit = torch.eye(classes, dtype=torch.float64)
    none = torch.zeros_like(unit)
    moved = torch.maximum(both.bound(none, unit), both.bound(none, -unit))
    moved = torch.minimum(moved, both.spans[both.output].gap).amax(1)
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

    attacked, worst = ascend(apart, domain, 4, steps, seed)
    broken = torch.zeros(n, dtype=torch.bool)
    for x in (domain.centre, worst, against(first), against(second)):
        with torch.no_grad():
            broken |= first(x).argmax(1) != second(x).argmax(1)
    return moved.numpy(), attacked.numpy(), proved.numpy(), broken.numpy()
