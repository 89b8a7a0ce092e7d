"""`prune_neurons`: a coreset of the neurons of every layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from sipp_core.methods.neurons.method import Neurons
from sipp_core.network.layers import SUPPORTED
from sipp_core.network.selection import LayerChoice
from sipp_core.neurons.reading import INPUTS
from sipp_core.neurons.regions import Ball, Box, Region
from sipp_core.pruning.method import registered
from sipp_core.pruning.prune import prune
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime.arguments import positive, refuse_no_module, whole
from sipp_core.runtime.execution import Progress


def prune_neurons(
    model: nn.Module,
    region: Region,
    *,
    method: str = "mussay",
    keep: float | None = None,
    neurons: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    data: Tensor | None = None,
    seed: int = 0,
    layers: LayerChoice = None,
    progress: Progress | None = None,
) -> PruneResult:
    """Remove hidden neurons and channels of a trained model, promised for every input of a region.

    Neurons of a layer that no sum joins with others are drawn or chosen, the others removed with
    their weights; the next layers are re-weighted, and their biases (or the BatchNorm behind them)
    corrected by the middles of what was dropped. A channel is one neuron, its weights summed over
    the kernel (NC-5). BatchNorm is folded in eval mode, pooling keeps the promise at one input.
    Channels that sums join keep their place and are named with the reason.

    Each promise is for one layer's pre-activations over the range of the original layers below, in
    units of the layer's mass t; `certify_region` says what holds of the result, and is sharper.

    Args:
        model: nn.Module of one input tensor whose graph torch.fx can record; never changed.
        region: a Box or Ball of inputs, without the batch axis.
        method: "mussay" (as the paper), "mussay-corrected" (NC-1g), "norm" (largest |w| |p|), "omp"
            (matching pursuit with refit), "cone" (NC-8), "uniform" or "tukan" (NC-9).
        keep: fraction of the prunable weights to keep, in (0, 1].
        neurons: how many neurons of each layer, or a fraction below 1; draws then stay unbiased.
        eps: error in units of t, in (0, 1): the fewest neurons that promise it.
        delta: failure probability of a layer at one input, in (0, 1); 0.05 unless given. Methods
            that draw nothing ("norm", "omp") take none.
        data: inputs (n, ...) that "omp" fits; without them random inputs of the region,
            2,048 or 64 images.
        seed: seed of every draw, >= 0.
        layers: which layers may change (see `calibrate`); None for all.
        progress: callback (done, total, what).

    Returns:
        The result; `result.model` is a deep copy with smaller layers, `result.channels` says what
        was promised of each group.

    Raises:
        TypeError: wrong types of model, region, data or numbers.
        ValueError: anything out of range, an operation that no bound knows, no neuron that could
            go, a budget that cannot be met; nothing has been changed.

    Claim: NC-1 to NC-9. Source: [MU] arXiv 1907.04018, arXiv 2008.08316, 2209.08554, [OWN].

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> result = prune_neurons(net, Box(torch.zeros(4), torch.ones(4)), method="norm", keep=0.5)
        >>> result.model[0].weight.shape
        torch.Size([4, 4])
    """
    refuse_no_module(model)
    if isinstance(model, SUPPORTED):
        raise ValueError(
            f"the model is one {type(model).__name__} layer: there is no hidden neuron to remove"
        )
    if not isinstance(region, Box | Ball):
        raise TypeError(f"region must be a Box or a Ball; found {type(region).__name__}")
    known = {n.removeprefix("neurons-"): m for n, m in registered().items()
             if isinstance(m, Neurons)}  # fmt: skip
    name = str(method).removeprefix("neurons-")
    if name not in known:
        raise ValueError(f"method must be one of {', '.join(known)}; found {method!r}")
    if data is not None and not known[name].fits:
        fitting = ", ".join(repr(n) for n, m in known.items() if m.fits)
        raise ValueError(f"data is what {fitting} fits; method {method!r} looks at none")
    if (keep is None) + (neurons is None) + (eps is None) != 2:
        raise ValueError(
            f"give one of keep, neurons and eps; found {keep!r}, {neurons!r} and {eps!r}"
        )
    if neurons is not None:
        positive("neurons", neurons)
        keep = 1.0
    chosen = replace(known[name], region=region, neurons=neurons or 0.0)
    if delta is not None and chosen.certain:
        raise ValueError(
            f"delta={delta!r} has no effect: method {method!r} draws nothing, and what it promises "
            "is certain"
        )
    whole("seed", seed, 0)
    if data is not None and not isinstance(data, Tensor):
        raise TypeError(f"data must be a tensor (n, ...); found {type(data).__name__}")
    if data is not None and tuple(data.shape[1:]) != region.shape:
        raise ValueError(
            f"data has inputs of shape {tuple(data.shape[1:])}, the region of {region.shape}"
        )
    if eps is not None and delta is None and not chosen.certain:
        delta = 0.05
    parameters = next(model.parameters(), None)
    # Each image is many rows.
    count = INPUTS if chosen.fits and len(region.shape) == 1 else 64
    inputs = region.sample(count, seed) if data is None else data
    if parameters is not None:
        inputs = inputs.to(parameters.dtype)
    return prune(
        model, inputs, method=chosen, keep=keep, eps=eps, delta=delta, seed=seed, layers=layers,
        progress=progress,
    )  # fmt: skip
