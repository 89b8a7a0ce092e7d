"""Which layers the user means: names, glob patterns, types and exclusions."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from sipp_core.network.packed import projections


@dataclass(frozen=True)
class Except:
    """What to leave out: everything that a name, a glob pattern or a type matches.

    Attributes:
        what: as one entry of `layers=`; the text "!head" is short for Except("head").
    """

    what: str | type[nn.Module]


Entry = str | type[nn.Module] | Except
LayerChoice = Callable[[str, nn.Module], bool] | Entry | Iterable[Entry] | None


@dataclass(frozen=True)
class Place:
    """A module where it stands: itself and the modules that it is part of.

    Attributes:
        name: its qualified name.
        module: the module.
        line: (name, module) of itself and of everything it is inside of.
    """

    name: str
    module: nn.Module
    line: tuple[tuple[str, nn.Module], ...]


def places(model: nn.Module) -> list[Place]:
    """List every module of a model with what it is part of, in the order of `named_modules`."""
    lines: dict[str, tuple[tuple[str, nn.Module], ...]] = {}
    all_places = []
    for name, module in model.named_modules():
        above = lines[name.rpartition(".")[0]] if name else ()
        lines[name] = (*above, (name, module))
        all_places.append(Place(name, module, lines[name]))
        for part, projection in projections(name, module):
            all_places.append(Place(part, projection, (*lines[name], (part, projection))))
    return all_places


def _matches(what: str | type[nn.Module], place: Place) -> bool:
    """Whether an entry means this module or something that it is part of."""
    if isinstance(what, str):
        # A name that holds glob characters still means itself.
        return any(name == what or fnmatch.fnmatchcase(name, what) for name, _ in place.line)
    return any(isinstance(module, what) for _, module in place.line)


def _entries(layers: Any) -> list[str | type[nn.Module] | Except]:
    """Check the entries of `layers=` and turn "!name" into what it is short for."""
    several = isinstance(layers, Iterable) and not isinstance(layers, str | type)
    checked: list[Any] = []
    for entry in layers if several else [layers]:
        what = entry.what if isinstance(entry, Except) else entry
        if not isinstance(what, str) and not (
            isinstance(what, type) and issubclass(what, nn.Module)
        ):
            raise TypeError(
                "layers must hold names, glob patterns, module types such as nn.Conv2d, or "
                f"Except(...) of these; found {what!r}"
            )
        if isinstance(entry, str) and entry.startswith("!"):
            entry = Except(entry[1:])
        checked.append(entry)
    return checked


class Choice:
    """What `layers=` asks for, once its entries are read."""

    def __init__(self, layers: LayerChoice) -> None:
        self.predicate: Callable[[str, nn.Module], bool] | None = None
        self.included: list[str | type[nn.Module]] | None = None
        self.excluded: list[str | type[nn.Module]] = []
        if layers is None:
            return
        if callable(layers) and not isinstance(layers, type):
            self.predicate = layers
            return
        entries = _entries(layers)
        positive = [entry for entry in entries if not isinstance(entry, Except)]
        self.excluded = [entry.what for entry in entries if isinstance(entry, Except)]
        # Nothing but exclusions means everything else.
        self.included = positive if positive or not entries else None

    def __call__(self, place: Place) -> bool:
        """Whether this module is selected."""
        if self.predicate is not None:
            return bool(self.predicate(place.name, place.module))
        if any(_matches(what, place) for what in self.excluded):
            return False
        return self.included is None or any(_matches(what, place) for what in self.included)

    def refuse_slips(self, known: list[Place]) -> None:
        """Refuse an entry that matches nothing: a slip must not prune the wrong layer."""
        for exclusion, entries in ((False, self.included or []), (True, self.excluded)):
            for what in entries:
                if not any(_matches(what, place) for place in known):
                    shown = repr(what) if isinstance(what, str) else what.__name__
                    there = ", ".join(f"{p.name!r} ({type(p.module).__name__})" for p in known)
                    raise ValueError(
                        f"layers: {'the exclusion ' if exclusion else ''}{shown} matches no layer "
                        f"of the model; there are: {there or 'none'}"
                    )


def _highest(name: str, others: Iterable[str], lift: bool) -> str:
    """The module highest up that a layer is part of and none of the others."""
    above = name.rpartition(".")[0]
    if not lift or not above or any(f"{other}.".startswith(f"{above}.") for other in others):
        return name
    return _highest(above, others, lift)


def leaving_out(names: Iterable[str], all_names: Iterable[str]) -> str:
    """The argument of `prune` that leaves modules out: globs where they mean these and no others.

    Example:
        >>> leaving_out(["h.0.attn", "h.1.attn"], ["h.0.attn", "h.0.fc", "h.1.attn", "h.1.fc"])
        "layers=['!h.*.attn']"
    """
    names, others = list(names), set(all_names)
    others -= {other for other in others for name in names if f"{other}.".startswith(f"{name}.")}
    names = list(dict.fromkeys(_highest(name, others, len(names) > 1) for name in names))
    # Blocks of a network differ by their numbers.
    patterns = [".".join("*" if p.isdigit() else p for p in name.split(".")) for name in names]
    entries: dict[str, None] = {}
    for name, pattern in zip(names, patterns, strict=True):
        means_others = any(fnmatch.fnmatchcase(other, pattern) for other in others)
        alone = patterns.count(pattern) == 1
        entries[f"!{name if alone or means_others else pattern}"] = None
    return f"layers={list(entries)!r}"
