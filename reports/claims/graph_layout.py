"""Layers for a graph without circles: who uses whom, from top to bottom, families side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node's place.

    Attributes:
        x: across, in slots.
        layer: down, 0 at the top.
        family: the band it stands in; "" for a node of the first row.
    """

    x: float
    layer: int
    family: str


@dataclass(frozen=True)
class Band:
    """The slots of one family, from `left` to `right`."""

    family: str
    left: float
    right: float


def place(
    parents: Mapping[str, Sequence[str]], families: Mapping[str, str], widest: Mapping[str, int]
) -> tuple[dict[str, Node], list[Band]]:
    """Put every node below all that it uses, families side by side."""
    layers = _layers(parents, families, widest)
    bands, left = [], 0.0
    for family in dict.fromkeys(f for f in families.values() if f):
        mine = Counter(layer for name, layer in layers.items() if families[name] == family)
        bands.append(Band(family, left, left + max(mine.values())))
        left += max(mine.values())
    nodes: dict[str, Node] = {}
    for layer in range(max(layers.values(), default=0) + 1):
        for band in bands:
            row = [n for n in layers if layers[n] == layer and families[n] == band.family]
            row.sort(key=lambda name: _middle(name, parents, nodes, band))
            start = (band.left + band.right - len(row)) / 2
            for index, name in enumerate(row):
                nodes[name] = Node(start + index + 0.5, layer, band.family)
    first = [name for name in layers if not families[name]]
    return nodes | _first_row(first, parents, nodes, left), bands


def order(parents: Mapping[str, Sequence[str]]) -> list[str]:
    """The names, each after all that it uses, else as given."""
    done: dict[str, None] = {}
    open_names: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in open_names:
            circle = " -> ".join([*open_names[open_names.index(name) :], name])
            raise ValueError(f"claims use one another in a circle: {circle}")
        open_names.append(name)
        for parent in parents[name]:
            visit(parent)
        open_names.pop()
        done[name] = None

    for name in parents:
        visit(name)
    return list(done)


def _layers(
    parents: Mapping[str, Sequence[str]], families: Mapping[str, str], widest: Mapping[str, int]
) -> dict[str, int]:
    """The first layer below all parents in which the family has a slot left."""
    top = 1 if any(not family for family in families.values()) else 0
    layers: dict[str, int] = {}
    taken: Counter[tuple[str, int]] = Counter()
    for name in order(parents):
        family = families[name]
        if not family:
            layers[name] = 0
            continue
        layer = max([top, *(layers[parent] + 1 for parent in parents[name])])
        while taken[family, layer] >= widest[family]:
            layer += 1
        layers[name] = layer
        taken[family, layer] += 1
    return layers


def _middle(
    name: str, parents: Mapping[str, Sequence[str]], nodes: Mapping[str, Node], band: Band
) -> float:
    """Where its parents pull it to, the band's middle if it has none above."""
    above = [nodes[parent].x for parent in parents[name] if parent in nodes]
    return sum(above) / len(above) if above else (band.left + band.right) / 2


def _first_row(
    names: Sequence[str], parents: Mapping[str, Sequence[str]], nodes: Mapping[str, Node],
    width: float,
) -> dict[str, Node]:  # fmt: skip
    """The first row, each as near as may be to the middle of those that use it, evenly spread."""

    def pull(name: str) -> float:
        users = [nodes[n].x for n, used in parents.items() if name in used and n in nodes]
        return sum(users) / len(users) if users else width

    gap = max(width, 1.0) / max(len(names), 1)
    ranked = sorted(names, key=pull)
    return {name: Node((index + 0.5) * gap, 0, "") for index, name in enumerate(ranked)}
