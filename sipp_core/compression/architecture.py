"""Architectures that a file names by a number, so that it can be read without being given one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from sipp_core.compression.range_coder import Coder, DamagedError, fixed, one_of
from sipp_core.zoo import models
from sipp_core.zoo.architectures import cells_left, rows_left
from sipp_core.zoo.networks import NETWORKS, Network

NUMBER_BITS = 5
# Whole parameters are below 2**LONGEST, and there are fewer than 2**COUNT_BITS of them.
LONGEST, COUNT_BITS = 16, 4
# A file of a few bytes must not ask for a network that fills the memory.
MOST_WEIGHTS = 1 << 24

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """Architectures that differ by whole parameters."""

    number: int  # how a file names it; never given to another
    build: Callable[[Sizes, int], nn.Module]  # refuses parameters that make no module
    shape: Callable[[Sizes], Sizes]  # of one input
    least: int = 0
    most: int = 0
    weights: Callable[[Sizes], int] | None = None  # None where there are no parameters


def _dense_weights(widths: Sizes) -> int:
    return sum(a * b + b for a, b in pairwise(widths))


def _compact_weights(sizes: Sizes) -> int:
    side, *widths = sizes
    rows = rows_left(side, len(widths))[-1]
    return _convolution_weights([1, *widths], rows)


def _oriented_weights(sizes: Sizes) -> int:
    side, cell, *widths = sizes
    return _convolution_weights(widths, cells_left(side, cell, len(widths) - 1)[-1])


def _convolution_weights(widths: list[int], rows: int) -> int:
    convolutions = sum(10 * a * b for a, b in pairwise(widths))
    return convolutions + 10 * (widths[-1] * rows * rows + 1)


def _family(network: Network) -> Family:
    return Family(
        network.number, lambda _, seed: models.build(network.name, seed),
        lambda _: network.input_shape,
    )  # fmt: skip


_FAMILIES = {name: _family(network) for name, network in NETWORKS.items()} | {
    "dense": Family(
        7, models.dense, lambda sizes: sizes[:1], least=2, most=15, weights=_dense_weights
    ),
    "compact": Family(
        8, models.compact, lambda sizes: (1, sizes[0], sizes[0]), least=2, most=8,
        weights=_compact_weights,
    ),
    "oriented": Family(
        10, models.oriented, lambda sizes: (1, sizes[0], sizes[0]), least=4, most=8,
        weights=_oriented_weights,
    ),
}  # fmt: skip
FAMILIES = dict(sorted(_FAMILIES.items(), key=lambda item: item[1].number))
"""Every family by its name, in the order of their numbers."""


@dataclass(frozen=True)
class Architecture:
    """A member of a family.

    Attributes:
        name: of the family, a key of `FAMILIES`.
        sizes: its whole parameters.
    """

    name: str
    sizes: Sizes = ()

    def __str__(self) -> str:
        return self.name + (":" + ",".join(map(str, self.sizes)) if self.sizes else "")

    @property
    def input_shape(self) -> Sizes:
        """Shape of one input, without the batch axis."""
        return FAMILIES[self.name].shape(self.sizes)

    @property
    def weights(self) -> int | None:
        """How many its parameters ask for; None where it has none and is what it is."""
        count = FAMILIES[self.name].weights
        return None if count is None else count(self.sizes)

    def build(self, seed: int = 0) -> nn.Module:
        """An untrained module of this architecture, as `sipp_core.zoo.models.build` makes it."""
        return FAMILIES[self.name].build(self.sizes, seed)


def named(text: str) -> Architecture:
    """Read an architecture as people write it: a family, then its parameters behind a colon.

    Example:
        >>> named("dense:784,32,10")
        Architecture(name='dense', sizes=(784, 32, 10))
    """
    name, _, words = text.partition(":")
    if name not in FAMILIES:
        raise ValueError(f"architecture must be one of {', '.join(FAMILIES)}; found {text!r}")
    try:
        sizes = tuple(int(word) for word in words.split(",")) if words else ()
    except ValueError as error:
        raise ValueError(
            f"architecture parameters must be whole numbers with commas between; found {words!r}"
        ) from error
    return _checked(name, sizes)


def _checked(name: str, sizes: Sizes) -> Architecture:
    family = FAMILIES[name]
    if not family.least <= len(sizes) <= family.most:
        raise ValueError(
            f"architecture {name!r} takes {family.least} to {family.most} parameters; "
            f"found {len(sizes)}"
        )
    for size in sizes:
        if not 1 <= size < 1 << LONGEST:
            raise ValueError(
                f"architecture parameters must be from 1 to {(1 << LONGEST) - 1}; found {size}"
            )
    if family.weights is not None and family.weights(sizes) > MOST_WEIGHTS:
        raise ValueError(f"architecture {name}:{sizes} has more than {MOST_WEIGHTS:,} weights")
    return Architecture(name, sizes)


def code_architecture(coder: Coder, architecture: Architecture) -> Architecture:
    """Write or read an architecture; a reader may be given any."""
    numbers = {family.number: name for name, family in FAMILIES.items()}
    number = fixed(coder, FAMILIES[architecture.name].number, NUMBER_BITS)
    if number not in numbers:
        raise DamagedError(f"it names architecture {number}, which this version does not know")
    sizes, count = architecture.sizes, len(architecture.sizes)
    if FAMILIES[numbers[number]].most:
        count = fixed(coder, count, COUNT_BITS)
    given = [*sizes, *[1] * count]
    read = tuple(_size(coder, given[k]) for k in range(count))
    try:
        return _checked(numbers[number], read)
    except ValueError as error:
        raise DamagedError(str(error)) from error


def _size(coder: Coder, size: int) -> int:
    """A number from 1 to 2**LONGEST - 1: how many bits it has, then those behind the first."""
    length = 1 + one_of(coder, size.bit_length() - 1, LONGEST)
    return (1 << (length - 1)) + fixed(coder, size & ((1 << (length - 1)) - 1), length - 1)
