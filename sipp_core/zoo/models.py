"""Reference networks by name, so that examples, reports and tests speak of the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sipp_core.runtime.arguments import whole
from sipp_core.zoo import architectures
from sipp_core.zoo import pretrained as shipped
from sipp_core.zoo.networks import NETWORKS, Network

__all__ = [
    "NAMES", "build", "compact", "dense", "initialise", "input_shape", "oriented", "pretrained",
    "vgg",
]  # fmt: skip

NAMES: tuple[str, ...] = tuple(NETWORKS)
"""Names that `build` knows."""


def _known(name: str) -> Network:
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}; found {name!r}")
    return NETWORKS[name]


def initialise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all weights of a network again, from a generator of our own.

    Weights are He-normal and biases zero; normalisation starts at mean 0 and variance 1; positions
    of tokens have a standard deviation of 0.02, as is usual for transformers.

    Args:
        model: any module, changed in place.
        seed: any integer in [0, 2**63).

    Returns:
        The same module.

    Raises:
        ValueError: a seed out of range.
        TypeError: a seed that is no integer.

    Source: He et al. 2015, arXiv 1502.01852.

    Example:
        >>> a, b = initialise(nn.Linear(3, 2), 1), initialise(nn.Linear(3, 2), 1)
        >>> torch.equal(a.weight, b.weight)
        True
    """
    generator = torch.Generator().manual_seed(whole("seed", seed, 0, 2**63))
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.LayerNorm)]
    for norm in norms:
        norm.reset_parameters()
    settled = {id(parameter) for norm in norms for parameter in norm.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) in settled:
            continue
        if name == "position":
            nn.init.normal_(parameter, std=0.02, generator=generator)
        elif parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return model


def input_shape(name: str) -> tuple[int, ...]:
    """Shape of one input of a built-in model, without the batch axis.

    Args:
        name: one of `NAMES`.

    Returns:
        (d,) for a model of flat inputs, (channels, height, width) for one of images.

    Raises:
        ValueError: the name is not one of `NAMES`.

    Example:
        >>> input_shape("lenet-300-100")
        (784,)
        >>> input_shape("lenet-5")
        (1, 28, 28)
    """
    return _known(name).input_shape


def build(name: str, seed: int = 0) -> nn.Module:
    """Build an untrained reference network whose weights depend on nothing but the seed.

    Every model has named layers (fc1, relu1, ...; conv1, ...) in float32 and maps a batch of inputs
    to 10 class scores. lenet-300-100 is 784-300-100-10, digits-mlp is 64-128-64-10, lenet-5 has two
    5x5 convolutions (6 and 16 channels, each with ReLU and 2x2 max-pooling) and 400-120-84-10
    behind; lenet-5-caffe, of 431,080 parameters, is what many papers on pruning mean by LeNet-5: 20
    and 50 channels without padding, then 800-500-10. vgg-small, resnet-20 (option A, He et al.
    2016) and vit-tiny take 3x32x32 images; see `sipp_core.zoo.architectures`. The global random
    state is neither read nor moved.

    Args:
        name: one of `NAMES`.
        seed: any integer in [0, 2**63).

    Returns:
        The module, on the CPU, in training mode as every new module.

    Raises:
        ValueError: the name is unknown, or the seed is out of range.
        TypeError: the seed is no integer.

    Example:
        >>> model = build("digits-mlp", seed=3)
        >>> [name for name, _ in model.named_children()]
        ['fc1', 'relu1', 'fc2', 'relu2', 'fc3']
        >>> tuple(model(torch.zeros(5, 64)).shape)
        (5, 10)
    """
    network, start = _known(name), whole("seed", seed, 0, 2**63)
    return initialise(network.layers(), start)


def dense(widths: Sequence[int], seed: int = 0) -> nn.Module:
    """Build an untrained fully connected network of any depth, as `build` does.

    Layers fc1, relu1, fc2, ...; no activation after the last.

    Args:
        widths: neurons of each layer, input first and classes last; at least two, each >= 1.
        seed: any integer in [0, 2**63).

    Returns:
        The module, on the CPU, in training mode as every new module.

    Raises:
        ValueError: fewer than two widths, a width below 1, or a seed out of range.
        TypeError: a width or the seed is no integer.

    Example:
        >>> a, b = dense((784, 300, 100, 10), seed=1), build("lenet-300-100", seed=1)
        >>> torch.equal(a.fc1.weight, b.fc1.weight)
        True
    """
    sizes = [whole(f"widths[{k}]", width, 1) for k, width in enumerate(widths)]
    if len(sizes) < 2:
        raise ValueError(f"widths must name the input and the output at least; found {sizes}")
    return initialise(architectures.dense(*sizes), seed)


def compact(sizes: Sequence[int], seed: int = 0) -> nn.Module:
    """Build an untrained small convolutional network, as `build` does.

    See `sipp_core.zoo.architectures.compact`; it takes (batch, 1, side, side) images.

    Args:
        sizes: side of an image, >= 4, then the channels of each 3x3 convolution, each >= 1.
        seed: any integer in [0, 2**63).

    Returns:
        The module, on the CPU, in training mode as every new module.

    Raises:
        ValueError: fewer than two sizes, one out of range, more convolutions than the image has
            room for, or a seed out of range.
        TypeError: a size or the seed is no integer.

    Example:
        >>> sum(p.numel() for p in compact((28, 8, 12), seed=1).parameters())
        1446
    """
    numbers = [whole(f"sizes[{k}]", size, 4 if k == 0 else 1) for k, size in enumerate(sizes)]
    if len(numbers) < 2:
        raise ValueError(f"sizes must name the side and a width at least; found {numbers}")
    return initialise(architectures.compact(numbers[0], numbers[1:]), seed)


def vgg(widths: Sequence[int], seed: int = 0) -> nn.Module:
    """Build an untrained network in the manner of VGG, as `build` does; vgg-small is 32, 64, 128.

    Args:
        widths: channels of each stage of two 3x3 convolutions, one to five, each >= 1.
        seed: any integer in [0, 2**63).

    Returns:
        The module for 3x32x32 images, on the CPU, in training mode as every new module.

    Raises:
        ValueError: no stage or more than five, a width below 1, or a seed out of range.
        TypeError: a width or the seed is no integer.

    Example:
        >>> a, b = vgg((32, 64, 128), seed=1), build("vgg-small", seed=1)
        >>> torch.equal(a.fc1.weight, b.fc1.weight)
        True
    """
    sizes = [whole(f"widths[{k}]", width, 1) for k, width in enumerate(widths)]
    if not 1 <= len(sizes) <= 5:
        raise ValueError(f"widths must name one to five stages; found {sizes}")
    return initialise(architectures.vgg(*sizes), seed)


def oriented(sizes: Sequence[int], seed: int = 0) -> nn.Module:
    """Build an untrained small network on fixed oriented edges, as `build` does.

    What sees the image first has no weights: strengths of edges in so many orientations, averaged
    over cells; see `sipp_core.zoo.architectures.OrientedEdges`. Behind it are 3x3 convolutions and
    a dense layer, as in `compact`. It takes (batch, 1, side, side) images.

    Args:
        sizes: side of an image, side of a cell, which divides it, orientations, then the channels
            of each 3x3 convolution; each >= 1, and 3 cells a side at least.
        seed: any integer in [0, 2**63).

    Returns:
        The module, on the CPU, in training mode as every new module.

    Raises:
        ValueError: fewer than four sizes, one out of range, cells that do not fill the image, more
            convolutions than there are cells for, or a seed out of range.
        TypeError: a size or the seed is no integer.

    Example:
        >>> sum(p.numel() for p in oriented((28, 4, 8, 10), seed=1).parameters())
        1140
    """
    numbers = [whole(f"sizes[{k}]", size, 1) for k, size in enumerate(sizes)]
    if len(numbers) < 4:
        raise ValueError(
            f"sizes must name the side, a cell, orientations and a width at least; found {numbers}"
        )
    side, cell, orientations, *channels = numbers
    return initialise(architectures.oriented(side, cell, orientations, channels), seed)


def pretrained(name: str) -> nn.Module:
    """Build a reference network with the trained weights that come with the package.

    lenet-5 learnt MNIST, resnet-20 CIFAR-10 (from JPEGs, which are lossy), both from inputs in
    [0, 1] as `sipp_core.datasets.load(name, flat=False)` gives them; `sipp_core.shipped.facts` says
    how, and how well.

    Args:
        name: a key of `sipp_core.shipped.DATASETS`.

    Returns:
        The module, on the CPU, in evaluation mode.

    Raises:
        ValueError: no weights come with this model, or their file is damaged.
        FileNotFoundError: the file of weights is missing.

    Example:
        >>> pretrained("lenet-5").training
        False
    """
    state = shipped.state(name)
    model = build(name)
    model.load_state_dict(state)
    return model.eval()
