"""Results as files, numbers and the network side by side; those that come with the package."""

from __future__ import annotations

import hashlib
import json
import math
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import sipp_theory
from reports.generalization import halves
from reports.generalization.run import FORMAT, Generalization, of_half
from sipp_core.compression import Compressed, named_in

Json = dict[str, Any]
NUMBERS, NETWORK = ".json", ".sipp"
_INFINITE = {"inf": math.inf, "-inf": -math.inf}
# Between machines, the last digits of a logarithm may differ.
_CLOSE = 1e-9


def stem(net: str, data: str) -> str:
    """How the files of a result are called, without their ends."""
    return f"{net}-{data}".replace(":", "-").replace(",", "-")


def read(summary: Any, content: bytes) -> Generalization:
    """Make a result of its numbers and its network again, and see that they belong together."""
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        raise ValueError("this is no output of `sipp generalize --out`; make it anew")
    facts = _finite_or_not(summary)
    try:
        _agree(facts, content)
        # Earlier releases left the rules out of this column.
        facts["half"] = half = halves.priced(facts["half"], facts["delta"])
        facts["bounds"] = [
            of_half(half) if row["column"] == "half" else row for row in facts["bounds"]
        ]
        sections = tuple((str(a), str(b), float(c)) for a, b, c in facts["file"]["sections"])
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"this is no whole output of `sipp generalize --out`: {error}") from error
    return Generalization(Compressed(content, sections), facts)


def _agree(facts: Json, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != facts["file"]["sha256"]:
        raise ValueError(
            f"the network beside it has sha256 {digest[:12]}..., its numbers are of one with "
            f"{facts['file']['sha256'][:12]}...; put the files of one run side by side"
        )
    if str(named_in(content)) != facts["net"]:
        raise ValueError(f"the file holds {named_in(content)}, the numbers are of {facts['net']}")
    best, certified = facts["candidates"][facts["best"]], facts["bounds"][0]
    bits = math.fsum(float(charge["bits"]) for charge in facts["budget"])
    value = float(
        sipp_theory.occam_bound(
            "binomial", errors=best["errors"], n=facts["n"], bits=bits, delta=facts["delta"]
        )
    )
    if bits < 8 * len(content) or not math.isclose(value, certified["value"], rel_tol=_CLOSE):
        raise ValueError(
            f"its certified bound is {certified['value']!r}, its errors and bits give {value!r}; "
            "make it anew"
        )


def _finite_or_not(value: Any) -> Any:
    """Infinite numbers, which JSON writes as words, as numbers again."""
    if isinstance(value, dict):
        return {name: _finite_or_not(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite_or_not(item) for item in value]
    return _INFINITE.get(value, value) if isinstance(value, str) else value


def load(folder: str | Path | None = None) -> list[Generalization]:
    """Read results: the checked-in ones, or those of a folder.

    Args:
        folder: of files NAME.json and NAME.sipp, as `sipp generalize --out` and `--file` write
            them; None for those that come with the package.

    Returns:
        One a network and data set; digits last, then by the certified bound, the least first.

    Raises:
        ValueError: a file that is damaged, no result, or without the one that belongs beside it.
        FileNotFoundError: no such folder.

    Example:
        >>> all(one.bound <= 1 for one in load())
        True
    """
    if folder is None:
        place: Traversable = resources.files("reports.generalization") / "results"
        if not place.is_dir():
            return []
    else:
        place = Path(folder)
        if not place.is_dir():
            raise FileNotFoundError(2, "no such folder of generalization results", str(place))
    there = {item.name: item for item in place.iterdir()}
    pairs = [_pair(name, there) for name in sorted(there) if name.endswith((NUMBERS, NETWORK))]
    results = [one for one in pairs if one is not None]
    return sorted(results, key=lambda one: (one.facts["data"] == "digits", one.bound))


def _pair(name: str, there: dict[str, Traversable]) -> Generalization | None:
    """The result of a file of numbers; of a network, that its numbers are there."""
    start, _, end = name.rpartition(".")
    other = start + (NETWORK if f".{end}" == NUMBERS else NUMBERS)
    if other not in there:
        raise ValueError(f"{name} lacks {other} beside it; both belong to a result")
    if name.endswith(NETWORK):
        return None
    try:
        summary = json.loads(there[name].read_text("utf-8"))
        return read(summary, there[other].read_bytes())
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
