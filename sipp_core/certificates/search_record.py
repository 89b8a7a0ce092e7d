"""What a search for the sparsest network has tested so far, on disk: a stopped one goes on there.

A network is a function of the search and its keep ratio, so only what was counted is kept; the
network that is accepted in the end is pruned once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

from sipp_core.runtime.processes import Processes
from sipp_core.runtime.sealed import read_sealed, write_sealed

FORM = 1
MOST = 1 << 20  # bytes of a record


@dataclass(frozen=True)
class Tested:
    """One network of a search.

    Attributes:
        keep: its keep ratio.
        count: held-out inputs that it fails on.
        drop: the drop of accuracy that is proved of it, None for another target.
        network: SHA-256 of the network.
    """

    keep: float
    count: int
    drop: float | None
    network: str


class SearchRecord:
    """The tests of one search, in their order; rank 0 of a group reads and writes, all know.

    Another search has a file of its own in the same folder. A file that is damaged counts as none.
    """

    def __init__(
        self, folder: str | PathLike[str] | None, search: Mapping[str, object],
        keeps: Sequence[float], group: Processes | None,
    ) -> None:  # fmt: skip
        self.key = hashlib.sha256(json.dumps(dict(search), sort_keys=True).encode()).hexdigest()
        self.path = None if folder is None else Path(folder) / f"sparsest-{self.key[:16]}.json"
        self.group = group
        tested = [asdict(one) for one in self._read(keeps)] if self._speaks() else []
        if group is not None and folder is not None:
            tested = group.gather_json(tested)[0]
        self.tested = [Tested(**one) for one in tested]

    def _speaks(self) -> bool:
        return self.path is not None and (self.group is None or self.group.rank == 0)

    def add(self, one: Tested) -> None:
        """Note a test, and write all of them down."""
        self.tested.append(one)
        if self.path is not None and self._speaks():
            tested = [asdict(each) for each in self.tested]
            write_sealed(self.path, {"form": FORM, "search": self.key, "tested": tested})

    def _read(self, keeps: Sequence[float]) -> list[Tested]:
        assert self.path is not None
        try:
            held = read_sealed(self.path, "record of a search", most=MOST)
            if held["form"] != FORM or held["search"] != self.key:
                return []
            tested = [Tested(**one) for one in held["tested"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []
        return tested if [one.keep for one in tested] == list(keeps)[: len(tested)] else []
