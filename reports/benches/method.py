"""How time is taken: warm-up, rivals in turns, medians and quartiles, ratios round by round."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reports.benches.findings import Check, Measured, Series

Clock = Callable[[], float]
Way = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of several runs."""

    median: float
    low: float
    high: float
    repeats: int


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, linear between neighbours."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(median), float(low), float(high), len(values))


@dataclass(frozen=True)
class Timing:
    """Seconds of one way.

    Attributes:
        first: of the first call, which may load and compile.
        runs: of each round after the warm-up.
    """

    first: float
    runs: tuple[float, ...]

    @property
    def seconds(self) -> Spread:
        """Median and quartiles of the rounds."""
        return spread(self.runs)


def race(
    ways: Mapping[str, Way], repeats: int, *, warm_ups: int = 1, clock: Clock = time.perf_counter
) -> dict[str, Timing]:
    """Time several ways in turns, so that all of them meet the same weather.

    The first call of each is timed apart. In every round each way runs once; every other round
    goes backwards, so that none always follows the same one.
    """
    first = {name: _timed(way, clock) for name, way in ways.items()}
    for way in ways.values():
        for _ in range(warm_ups):
            way()
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats):
        names = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in names:
            runs[name].append(_timed(ways[name], clock))
    return {name: Timing(first[name], tuple(runs[name])) for name in ways}


def _timed(way: Way, clock: Clock) -> float:
    began = clock()
    way()
    return clock() - began


def ratio(slow: Timing, fast: Timing) -> Spread:
    """How many times as long one way takes as another: formed round by round, then the median."""
    return spread([a / b for a, b in zip(slow.runs, fast.runs, strict=True)])


def difference(whole: Timing, part: Timing) -> Spread:
    """What one way takes beyond another, round by round."""
    return spread([a - b for a, b in zip(whole.runs, part.runs, strict=True)])


def figure(family: str, case: str, what: str, spread: Spread, unit: str, **more: Any) -> Measured:
    """A figure of a spread."""
    return Measured(
        family,
        case,
        what,
        spread.median,
        spread.low,
        spread.high,
        unit,
        repeats=spread.repeats,
        **more,
    )


def seconds(family: str, case: str, what: str, timing: Timing, **more: Any) -> Measured:
    """A figure of a timing, its first call beside it."""
    return figure(family, case, what, timing.seconds, "s", first=timing.first, **more)


def versus(
    family: str, case: str, times: Mapping[str, Timing], ours: str, *, threads: int = 1, **more: Any
) -> list[Measured]:
    """Seconds of every way, and how many times faster ours is than each other."""
    return [
        *(seconds(family, case, way, t, threads=threads) for way, t in times.items()),
        *(
            figure(family, case, f"times faster than {way}", ratio(t, times[ours]), "times",
                   threads=threads, **more)
            for way, t in times.items() if way != ours
        ),
    ]  # fmt: skip


def same_bits(family: str, what: str, different: int) -> Check:
    """A check that two ways give the same sensitivities."""
    outcome = "every sensitivity equal" if different == 0 else f"{different} sensitivities differ"
    return Check(family, what, different == 0, outcome)


def rate(work: float, timing: Timing) -> Spread:
    """Work a second: the fastest quartile of time is the upper quartile of the rate."""
    return spread([work / run for run in timing.runs])


def series(label: str, x: Sequence[float], y: Sequence[float]) -> Series:
    """A line with its fitted exponent."""
    exponent = None
    if len(set(x)) > 1 and min(y) > 0:
        exponent = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    return Series(label, tuple(map(float, x)), tuple(map(float, y)), exponent)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch, and with it the kernel, use so many threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(works: Sequence[Way]) -> None:
    """Run each work in a thread of its own, for references that release the GIL."""
    helpers = [threading.Thread(target=work) for work in works[1:]]
    for helper in helpers:
        helper.start()
    works[0]()
    for helper in helpers:
        helper.join()
