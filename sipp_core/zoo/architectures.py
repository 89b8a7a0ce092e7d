"""Dense, convolutional, residual and attention networks, made of separate layers."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

Layers = OrderedDict[str, nn.Module]


def _conv(channels_in: int, channels_out: int, size: int, stride: int = 1) -> nn.Module:
    # skip_init keeps the constructor's own draws away from the caller's global generator.
    return skip_init(
        nn.Conv2d, channels_in, channels_out, size, stride=stride, padding=size // 2, bias=False
    )


def _linear(fan_in: int, fan_out: int) -> nn.Module:
    return skip_init(nn.Linear, fan_in, fan_out)


def _dense(widths: Sequence[int]) -> Layers:
    """Fully connected layers fc1, relu1, fc2, ... with no activation after the last."""
    layers: Layers = OrderedDict()
    last = len(widths) - 1
    for k, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        layers[f"fc{k}"] = _linear(fan_in, fan_out)
        if k < last:
            layers[f"relu{k}"] = nn.ReLU()
    return layers


def dense(*widths: int) -> nn.Module:
    """Fully connected layers with ReLU between, from the inputs to the classes."""
    return nn.Sequential(_dense(widths))


def lenet(channels: tuple[int, int], padding: int, *widths: int) -> nn.Module:
    """Two 5x5 convolutions, the first with padding, and fully connected layers behind."""
    layers: Layers = OrderedDict(
        conv1=skip_init(nn.Conv2d, 1, channels[0], 5, padding=padding),
        relu_conv1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=skip_init(nn.Conv2d, *channels, 5),
        relu_conv2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
    )
    return nn.Sequential(layers | _dense(widths))


def vgg(*widths: int) -> nn.Module:
    """Stages of two 3x3 convolutions of so many channels, halved by pooling, and two dense layers.

    In the manner of VGG (Simonyan and Zisserman 2015), with batch normalisation; 3x32x32 images.
    """
    layers: Layers = OrderedDict()
    before = 3
    for stage, width in enumerate(widths, start=1):
        for k in (1, 2):
            layers[f"conv{stage}_{k}"] = _conv(before, width, 3)
            layers[f"bn{stage}_{k}"] = nn.BatchNorm2d(width)
            layers[f"relu{stage}_{k}"] = nn.ReLU()
            before = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = _linear(before * (32 >> len(widths)) ** 2, 128)
    layers["relu_fc1"] = nn.ReLU()
    layers["fc2"] = _linear(128, 10)
    return nn.Sequential(layers)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A of He et al. 2016)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, channels_out, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = _conv(channels_out, channels_out, 3)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride, self.added = stride, channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(branch(x) + shortcut(x)), new channels of the shortcut being 0."""
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        shortcut = F.pad(shortcut, (0, 0, 0, 0, before, self.added - before))
        return F.relu(branch + shortcut)


# Images wider than this are halved first: fewer places, and as easy to classify.
WIDE = 16


def rows_left(side: int, convolutions: int) -> list[int]:
    """Rows that each convolution of a compact network gets, and those left for the dense layer.

    Example:
        >>> rows_left(28, 2)
        [14, 6, 2]
    """
    return _rows(side, side // 2 if side > WIDE else side, convolutions)


def cells_left(side: int, cell: int, convolutions: int) -> list[int]:
    """The same of an oriented network, whose first convolution gets cells of pixels.

    Example:
        >>> cells_left(28, 4, 1)
        [7, 2]
    """
    if side % cell:
        raise ValueError(
            f"cells of {cell} pixels do not fill images of side {side}; take a divisor"
        )
    return _rows(side, side // cell, convolutions)


def _rows(side: int, first: int, convolutions: int) -> list[int]:
    left = [first]
    for k in range(1, convolutions + 1):
        if left[-1] < 3:
            raise ValueError(
                f"images of side {side} are too small for {convolutions} convolutions: "
                f"{left[-1]} rows are left for number {k}; use fewer"
            )
        rows = left[-1] - 2
        left.append(rows // 2 if rows > 2 else rows)
    return left


def compact(side: int, channels: Sequence[int]) -> nn.Module:
    """A small convolutional network for grey images, to be described in few bits.

    Images wider than 16 are averaged over 2x2 first; then 3x3 convolutions without padding, each
    with normalisation over all channels and places (which has no parameters), ReLU, and 2x2
    max-pooling where more than two rows are left; then one dense layer to 10 classes.
    """
    layers: Layers = OrderedDict()
    if side > WIDE:
        layers["pool0"] = nn.AvgPool2d(2)
    return nn.Sequential(layers | _convolutions(1, channels, rows_left(side, len(channels))))


class OrientedEdges(nn.Module):
    """How strong edges of each orientation are in each cell of a grey image; nothing is learnt.

    The image, smoothed by [1, 2, 1]/4 both ways, is differentiated by [-1, 0, 1] both ways; the
    derivative in each of so many directions around the circle is cut off at 2^-20, its square root
    taken and averaged over square cells, as in histograms of oriented gradients (Dalal and Triggs
    2005). Every number in it is written here and chosen before any data: a file pays nothing for it
    but its two parameters.

    Shapes: (n, 1, side, side) to (n, orientations, side/cell, side/cell).
    """

    # Below it the square root is flat: its slope at 0 would be infinite.
    LEAST = 2.0**-20

    def __init__(self, cell: int, orientations: int) -> None:
        super().__init__()
        self.cell, self.orientations = cell, orientations

    def forward(self, x: Tensor) -> Tensor:
        """Return the strengths."""
        for axis in (2, 3):
            before, after = _neighbours(x, axis)
            x = 0.5 * x + 0.25 * (before + after)
        above, below = _neighbours(x, 2)
        left, right = _neighbours(x, 3)
        down, across = below - above, right - left
        turns = [2 * math.pi * k / self.orientations for k in range(self.orientations)]
        edges = [
            F.avg_pool2d(
                (across * math.cos(turn) + down * math.sin(turn)).clamp(min=self.LEAST).sqrt(),
                self.cell,
            )
            for turn in turns
        ]
        return torch.cat(edges, dim=1)

    def extra_repr(self) -> str:
        """Its parameters, for printing."""
        return f"cell={self.cell}, orientations={self.orientations}"


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Every pixel's neighbour before and after it along an axis of images, 0 beyond the edge."""
    padded = F.pad(x, (0, 0, 1, 1) if axis == 2 else (1, 1))
    count = x.shape[axis]
    return padded.narrow(axis, 0, count), padded.narrow(axis, 2, count)


def oriented(side: int, cell: int, orientations: int, channels: Sequence[int]) -> nn.Module:
    """A small convolutional network on fixed oriented edges, to be described in few bits.

    `OrientedEdges`, normalised over all orientations and cells; behind it 3x3 convolutions as in
    `compact`, pooled by overlapping means that leave no row out and normalised once more; then one
    dense layer to 10 classes.
    """
    rows = cells_left(side, cell, len(channels))
    layers: Layers = OrderedDict(
        edges=OrientedEdges(cell, orientations),
        norm0=nn.GroupNorm(1, orientations, affine=False),
    )
    return nn.Sequential(layers | _convolutions(orientations, channels, rows, means=True))


def _convolutions(
    before: int, channels: Sequence[int], rows: Sequence[int], means: bool = False
) -> Layers:
    """Convolutions that get so many rows, and a dense layer behind the last."""
    if not channels:
        raise ValueError("channels must name one convolution at least; found none")
    layers: Layers = OrderedDict()
    for k, width in enumerate(channels, start=1):
        layers[f"conv{k}"] = skip_init(nn.Conv2d, before, width, 3)
        layers[f"norm{k}"] = nn.GroupNorm(1, width, affine=False)
        layers[f"relu{k}"] = nn.ReLU()
        left = rows[k - 1] - 2
        if left > 2 and means:
            layers[f"pool{k}"] = nn.AvgPool2d(2 + left % 2, 2)
            layers[f"again{k}"] = nn.GroupNorm(1, width, affine=False)
        elif left > 2:
            layers[f"pool{k}"] = nn.MaxPool2d(2)
        before = width
    layers["flatten"] = nn.Flatten()
    layers["fc"] = _linear(before * rows[-1] * rows[-1], 10)
    return layers


def resnet(depth: int) -> nn.Module:
    """The residual networks of He et al. 2016 for CIFAR: 6n+2 layers, 16, 32 and 64 channels."""
    layers: Layers = OrderedDict(conv1=_conv(3, 16, 3), bn1=nn.BatchNorm2d(16), relu1=nn.ReLU())
    before = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        for k in range(1, (depth - 2) // 6 + 1):
            stride = 2 if width != before else 1
            layers[f"block{stage}_{k}"] = ResidualBlock(before, width, stride)
            before = width
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = _linear(64, 10)
    return nn.Sequential(layers)


class Attention(nn.Module):
    """Self-attention with query, key, value and output as layers of their own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k = _linear(width, width), _linear(width, width)
        self.v, self.out = _linear(width, width), _linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return softmax(q k^T / sqrt(width/heads)) v over tokens (n, tokens, width), mixed."""
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        shares = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1)
        return self.out((shares @ v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and a dense pair, each behind a LayerNorm and beside a residual path."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1, self.fc2 = _linear(width, hidden), _linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens (n, tokens, width) after both halves."""
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    """Patches as tokens, a learnt position for each, pre-norm blocks, mean of tokens, a head."""

    def __init__(self, width: int, depth: int, heads: int, patch: int = 4, size: int = 32) -> None:
        super().__init__()
        self.patches = skip_init(nn.Conv2d, 3, width, patch, stride=patch)
        self.position = nn.Parameter(torch.zeros(1, (size // patch) ** 2, width))
        blocks = [TransformerBlock(width, heads, 2 * width) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.head = nn.LayerNorm(width), _linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (n, 10) of images (n, 3, size, size)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


def vit_tiny() -> nn.Module:
    """A vision transformer of width 64: 64 tokens of 4x4 pixels, four blocks of four heads.

    In the manner of Dosovitskiy et al. 2021, without a class token.

    Example:
        >>> sum(isinstance(m, nn.Linear) for m in vit_tiny().modules())
        25
    """
    return VisionTransformer(width=64, depth=4, heads=4)
