"""Candidates of the search for a short file: what they are, what became of them, kept on disk."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

import sipp_theory
from sipp_core.compression.compress import Compressed, decompress
from sipp_core.compression.quantization import Codebook
from sipp_core.runtime.sealed import read_sealed, write_sealed
from sipp_core.zoo.recipes import Recipe

__all__ = ["RULES_BITS", "UNPRUNED", "Coded", "Schedule", "Setting", "candidates", "charged"]

RULES_BITS = sipp_theory.RULES_BITS
"""Charged for the rules by which bytes become a network."""

UNPRUNED = "none"
"""Method of a candidate that keeps every weight."""


@dataclass(frozen=True)
class Setting:
    """What one candidate of the search is.

    Attributes:
        method: a method of `prune`, or "none".
        keep: fraction of the prunable weights, in (0, 1]; 1 with "none".
        levels: values that a weight may take.
        codebook: "grid" or "table".
        filters: fraction of the weights that is left when whole neurons and filters go first, the
            same share of each layer, in (0, 1].
    """

    method: str
    keep: float
    levels: int
    codebook: Codebook
    filters: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """How candidates are made.

    Attributes:
        again: training after each pruning.
        levels: training on levels.
        steps: fractions kept on the way to a candidate's, between `filters` and `keep`,
            descending; each is pruned to and trained again.
        rate: price of a bit in squared steps; see `learning_levels`.
        inputs: calibration inputs of a pruning method.
    """

    again: Recipe
    levels: Recipe
    steps: tuple[float, ...] = ()
    rate: float = 0.05
    inputs: int = 400


def candidates(
    methods: Sequence[str], keeps: Sequence[float], levels: Sequence[int],
    codebooks: Sequence[Codebook], filters: Sequence[float] = (1.0,),
) -> list[Setting]:  # fmt: skip
    """Every combination; a grid takes odd numbers of levels only, and "none" keeps everything.

    Args:
        methods: of `prune`, or "none".
        keeps: fractions, each in (0, 1].
        levels: values a weight may take.
        codebooks: kinds of levels.
        filters: fractions left when whole neurons go first, each in (0, 1].

    Returns:
        Settings without repetition, the densest first.

    Raises:
        ValueError: none is left, or a fraction outside (0, 1].

    Example:
        >>> [c.codebook for c in candidates(["none"], [0.5, 0.1], [4, 5], ["grid", "table"])]
        ['table', 'grid', 'table']
    """
    for name, shares in (("keep", keeps), ("filters", filters)):
        for share in shares:
            if not 0 < share <= 1:
                raise ValueError(f"{name} must lie in (0, 1]; found {share!r}")
    distinct = {
        Setting(method, 1.0 if method == UNPRUNED else keep, count, codebook, share): None
        for share in filters
        for method in methods
        for keep in sorted(keeps, reverse=True)
        for count in levels
        for codebook in codebooks
        if codebook == "table" or count % 2
    }
    if not distinct:
        raise ValueError("no candidate is left: a grid needs an odd number of levels")
    return list(distinct)


@dataclass(frozen=True, eq=False)
class Coded:
    """A candidate as a file, with what it gets wrong and what is promised of it.

    Attributes:
        setting: what it is.
        file: its bytes; the network is what they decode to.
        kept: fraction of the prunable weights that is not zero after decoding.
        errors: training inputs that the decoded network gets wrong.
        n: training inputs.
        test_errors: the same on the test inputs; takes no part in the bound.
        test_n: test inputs.
        choice_bits: what is charged besides the file; see `charged`.
        bound: upper bound on the true error at confidence 1 - delta, GN-3's binomial form.

    Claim: GN-3. Source: Blumer et al. 1987, Langford 2005.
    """

    setting: Setting
    file: Compressed
    kept: float
    errors: int
    n: int
    test_errors: int
    test_n: int
    choice_bits: float
    bound: float

    def network(self, template: nn.Module | None = None) -> nn.Module:
        """The network that the file decodes to."""
        return decompress(self.file.content, template).eval()


def charged(count: int) -> float:
    """What is charged besides the file: the rules of the code, and which candidate was taken.

    Args:
        count: candidates of the search, >= 1.

    Returns:
        `sipp_theory.search_bits`: RULES_BITS + log2(count), in bits, rounded up.

    Raises:
        ValueError: a count below 1.

    Claim: GN-3. Source: Blumer et al. 1987, Langford 2005.

    Example:
        >>> charged(4)
        34.0
    """
    return float(sipp_theory.search_bits(count))


@dataclass(frozen=True)
class CandidateCache:
    """Finished candidates of one search in a folder; those of another search are not seen."""

    folder: Path
    search: tuple[object, ...]

    def _path(self, setting: Setting) -> Path:
        mark = hashlib.sha256(repr((self.search, setting)).encode()).hexdigest()[:16]
        return self.folder / f"candidate-{mark}.json"

    def get(self, setting: Setting) -> Coded | None:
        """A candidate that is there."""
        path = self._path(setting)
        if not path.is_file():
            return None
        try:
            fields = dict(read_sealed(path, "candidate"))
            content = base64.b64decode(fields.pop("content"), validate=True)
            parts = tuple((str(a), str(b), float(c)) for a, b, c in fields.pop("sections"))
            return Coded(setting, Compressed(content, parts), **fields)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}); delete it") from error

    def put(self, one: Coded) -> None:
        """Keep a candidate."""
        content = {
            name: value for name, value in vars(one).items() if name not in ("setting", "file")
        } | {
            "content": base64.b64encode(one.file.content).decode(),
            "sections": [list(section) for section in one.file.sections],
        }  # fmt: skip
        write_sealed(self._path(one.setting), content)
