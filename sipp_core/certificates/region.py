"""What pruning can cost at worst, over a region of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.certificates.around import LocalCertificates, certify_around
from sipp_core.certificates.attack import ascend
from sipp_core.certificates.layer_region import LayerWorstCase, composed, worst_layers
from sipp_core.certificates.two_networks import both_modules, generators, paired
from sipp_core.neurons import Ball, Box, Difference
from sipp_core.pruning import PruneResult
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.numbers import Float


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

    Claim: NC-6, NC-7, NC-10. Source: [OWN].
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


@overload
def certify_region(
    model: nn.Module, pruned: nn.Module | PruneResult, region: Box | Ball, *,
    radius: None = None, outputs: Sequence[int] | None = None, steps: int | None = None,
    attack_steps: int | None = None, symbols: int | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> RegionCertificate: ...  # fmt: skip


@overload
def certify_region(
    model: nn.Module, pruned: nn.Module | PruneResult, region: Tensor, *, radius: float,
    within: Box | None = None, attack_steps: int | None = None, symbols: int | None = None,
    seed: int = 0, progress: Progress | None = None,
) -> LocalCertificates: ...  # fmt: skip


def certify_region(
    model: nn.Module,
    pruned: nn.Module | PruneResult,
    region: Box | Ball | Tensor,
    *,
    radius: float | None = None,
    within: Box | None = None,
    outputs: Sequence[int] | None = None,
    steps: int | None = None,
    attack_steps: int | None = None,
    symbols: int | None = None,
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
        within: with a radius, the inputs that there are (see `certify_around`).
        outputs: which pre-activations of each layer NC-6 looks at; None for all, which NC-7 needs.
        steps: of the search for NC-6's parameters, 100 unless given; 0 for the LP bound alone.
        attack_steps: of gradient ascent, 100 unless given; 20 around inputs.
        symbols: generators of affine forms, at most, that bound layers of more than 2,048 values,
            each about as dear as one input through both networks; 8,192 unless given, 0 for
            intervals there. Refused where no layer is so large.
        seed: of the attack's starts, >= 0.
        progress: callback (done, total, what).

    Returns:
        The certificate; `why` says where it says nothing. With a radius one for each input.

    Raises:
        TypeError: no modules, or no region.
        ValueError: networks that cannot be paired or whose weights are not finite, operations that
            no bound knows, an argument out of range or without effect.

    Claim: NC-6, NC-7, NC-10. Source: [OWN]; Zhang et al. 2018, arXiv 1811.00866.

    Example:
        >>> from sipp_core import prune_neurons
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> box = Box(torch.zeros(4), torch.ones(4))
        >>> cert = certify_region(net, prune_neurons(net, box, method="norm", neurons=4), box)
        >>> bool((cert.attack <= cert.bound).all())
        True
    """
    if radius is not None and isinstance(region, Tensor):
        for name, value in (("outputs", outputs), ("steps", steps)):
            if value is not None:
                raise ValueError(f"{name}= is for a region; leave it out with radius={radius!r}")
        return certify_around(
            model, pruned, region, radius, within=within,
            attack_steps=20 if attack_steps is None else attack_steps, symbols=symbols, seed=seed,
            progress=progress,
        )  # fmt: skip
    if radius is not None or not isinstance(region, Box | Ball):
        raise TypeError(
            "region must be a Box or a Ball, or inputs (n, ...) with radius=...; found "
            f"{type(region).__name__} and radius={radius!r}"
        )
    if within is not None:
        raise ValueError("within= cuts the boxes of a radius; a region is cut by its own ends")
    dense, small = both_modules(model, pruned)
    steps = 100 if steps is None else whole("steps", steps, 0)
    attack_steps = 100 if attack_steps is None else whole("attack_steps", attack_steps, 0)
    whole("seed", seed, 0)
    domain = region.domain()
    put_back = paired(dense, small, domain.centre, "the region's inputs")
    outputs = _outputs(outputs, dense)
    wide = Difference(dense, put_back, domain, refine=False).wide
    both = Difference(dense, put_back, domain, symbols=generators(symbols, wide))
    relaxed, spread = _ends(both)
    layers = worst_layers(both, dense, put_back, outputs, steps, attack_steps, seed, progress)
    over_layers = composed(both, dense, put_back, layers, outputs)
    bound = np.minimum(relaxed, over_layers)
    attack = _attacked(both, len(bound), attack_steps, seed)
    why = ""
    if (bound >= spread).all():
        why = (
            f"the bound passes the range of the outputs themselves, {spread.max():.4g}; "
            f"{both.blame()}"
        )
    return RegionCertificate(
        bound=bound, composed=over_layers, relaxed=relaxed, attack=attack, spread=spread,
        layers=layers, region=region.words(), claims=("NC-6", "NC-7", "NC-10"), why=why,
    )  # fmt: skip


def _outputs(outputs: object, model: nn.Module) -> tuple[int, ...] | None:
    """Which pre-activations are looked at, each of them there in some Linear layer."""
    if outputs is None:
        return None
    if isinstance(outputs, str) or not isinstance(outputs, Sequence):
        raise TypeError(f"outputs must be a list of places, as [0, 7]; found {outputs!r}")
    if not outputs:
        raise ValueError("outputs must name one pre-activation at least; found none")
    widest = max((m.out_features for m in model.modules() if isinstance(m, nn.Linear)), default=1)
    return tuple(dict.fromkeys(whole("outputs", k, 0, widest) for k in outputs))


def _ends(both: Difference) -> tuple[Float, Float]:
    """Bounds on |difference|, and on the width of the range of values, of each output."""
    span = both.spans[both.output]
    shape, count = span.low.shape[1:], span.low[0].numel()
    unit = torch.eye(count, dtype=torch.float64).view(count, *shape)
    none = torch.zeros_like(unit)
    more, less = both.bound(none, unit)[0], -both.bound(none, -unit)[0]
    high, low = both.bound(unit, none)[0], -both.bound(-unit, none)[0]
    moved = torch.minimum(torch.maximum(more.abs(), less.abs()), span.gap.flatten())
    spread = torch.minimum(high - low, (span.high - span.low).flatten())
    return moved.numpy(), spread.clamp_min(0).numpy()


def _attacked(both: Difference, count: int, steps: int, seed: int) -> Float:
    """Largest |f^ - f| of each output that gradient ascent finds."""
    best = np.zeros(count)
    for k in range(count):
        for sign in (1.0, -1.0):

            def score(x: Tensor, k: int = k, sign: float = sign) -> Tensor:
                flat = x.flatten(0, 1)
                gap = (both.second(flat) - both.first(flat)).flatten(1)[:, k]
                return sign * gap.view(x.shape[:2])

            errors, _ = ascend(score, both.domain, 8, steps, seed)
            best[k] = max(best[k], float(errors.max()))
    return best
