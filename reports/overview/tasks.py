"""The report's tasks over processes, told of as they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sipp_core.runtime import mapped

Progress = Callable[[int, int, str], None]
Json = dict[str, Any]


def told(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int | None,
    progress: Progress | None, says: Callable[[int], str],
) -> list[Any]:  # fmt: skip
    """What each call returns, in order; `says` names a call for the progress by its place."""
    results = []
    for place, result in enumerate(mapped(function, calls, jobs)):
        results.append(result)
        if progress is not None:
            progress(place + 1, len(calls), says(place))
    return results
