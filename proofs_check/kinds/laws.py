"""Laws that hold for every instance, tried on adversarial ones that Hypothesis draws."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import Unsatisfiable

from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting

# How Hypothesis has introduced the instance, in its notes, through its versions.
CASE = re.compile(r"(?:Failing test case|Falsifying example): ")


@cache
def _leave_no_folder() -> None:
    """Keep what Hypothesis writes out of the folder that a user happens to stand in."""
    if "HYPOTHESIS_STORAGE_DIRECTORY" not in os.environ and "pytest" not in sys.modules:
        set_hypothesis_home_dir(Path(tempfile.gettempdir(), f"hypothesis-{os.getpid()}"))


def hold(setting: Setting, *laws: Callable[[], None], examples: int = 40) -> Result:
    """Try laws on drawn instances; the first that fails is refuted by its smallest instance.

    A law is a function that `hypothesis.given` fills in and that asserts no statistics. It is
    defined inside its check, so that it meets the code as it is at that moment. Ten times as many
    instances are drawn in the full profile.
    """
    _leave_no_folder()
    count = examples * (10 if setting.full else 1)
    rules = hypothesis.settings(
        max_examples=count,
        derandomize=False,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=(
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
        ),
    )
    for law in laws:
        try:
            hypothesis.seed(setting.seed)(rules(law))()
        except Unsatisfiable:
            raise
        except Exception as failure:
            raise Refuted(_example(failure)) from None
    return Result(cases=count * len(laws))


def _example(failure: BaseException) -> str:
    """The falsifying instance as one line, and what went wrong with it."""
    notes = [note for note in getattr(failure, "__notes__", []) if CASE.search(note)]
    call = " ".join(CASE.split(notes[0])[-1].split()) if notes else "an instance"
    call = call.replace("( ", "(").replace(", )", ")")
    text = f"{type(failure).__name__}: {failure}".rstrip(": ")
    return f"{call}: {text}"
