"""The checks: each a function with the ids of the claims that it bears on.

A check lives in the folder of its family and is called <kind>.<family>.<function>; its decorator
says the kind. Its docstring's first line is what the ledger says about it. It returns None or
`Result` if nothing was refuted, and for coverage one or several `Experiment`; it raises `Refuted`
with the smallest counterexample, `Unproved` with the step, or `Unavailable` with what is missing.
It calls the code under test as `sipp_theory.name`, so that a mutation is seen.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import ModuleType
from typing import Literal, TypeVar, get_args

from proofs_check.ledger.evidence import (
    Evidence,
    Experiment,
    Kind,
    Outcome,
    Refuted,
    Result,
    Unavailable,
    Unproved,
)

Profile = Literal["quick", "full"]
CheckOutput = Result | Experiment | Sequence[Experiment] | None
Body = Callable[["Setting"], CheckOutput]
AnyBody = TypeVar("AnyBody", bound=Body)

FINE: dict[str, Outcome] = {
    "symbolic": "proved",
    "laws": "passed",
    "oracles": "passed",
    "assumptions": "holds",
    "coverage": "consistent",
}


@dataclass(frozen=True)
class Setting:
    """What a check may depend on, and nothing else.

    Attributes:
        profile: "quick" (embedded data, two minutes for all) or "full" (half an hour, MNIST).
        seed: seed of everything random, >= 0.
        data_dir: folder of the data files, "" for none.
        cache: folder where trained networks are kept, "" for none.
        device: where the trained networks compute.
    """

    profile: Profile = "quick"
    seed: int = 0
    data_dir: str = ""
    cache: str = ""
    device: str = "cpu"

    @property
    def full(self) -> bool:
        """Whether time is there to look longer."""
        return self.profile == "full"


@dataclass(frozen=True)
class Check:
    """One check and what it bears on.

    Attributes:
        name: "<kind>.<family>.<function>".
        claims: ids of the claims.
        kind: kind of evidence.
        profile: "full" if it is left out of the quick profile.
        says: first line of its docstring.
        body: the function.
    """

    name: str
    claims: tuple[str, ...]
    kind: Kind
    profile: Profile
    says: str
    body: Body

    def run(self, setting: Setting) -> list[Evidence] | list[Experiment]:
        """Run the check: one piece of evidence a claim, or the experiments that it asks for."""
        try:
            result = self.body(setting)
        except Refuted as refuted:
            return self._all(
                "refuted", counterexample=str(refuted), seen=Result(series=refuted.series)
            )
        except Unproved as step:
            return self._all("open", text=str(step))
        except Unavailable as missing:
            return self._all("skipped", text=str(missing))
        if isinstance(result, Experiment):
            return [result]
        if result is None or isinstance(result, Result):
            return self._all(FINE[self.kind], seen=result or Result())
        return list(result)

    def evidence(self, claim: str, outcome: Outcome) -> Evidence:
        """Blank evidence of this check for one claim."""
        return Evidence(claim, self.kind, self.name, self.says, outcome)

    def _all(
        self, outcome: Outcome, text: str = "", counterexample: str = "", seen: Result | None = None
    ) -> list[Evidence]:
        seen = seen or Result(text)
        return [
            replace(
                self.evidence(claim, outcome),
                found=seen.text, counterexample=counterexample, trials=int(seen.cases),
                promised=float(seen.promised), needed=float(seen.needed),
                series={n: [float(x) for x in values] for n, values in seen.series.items()},
            )
            for claim in self.claims
        ]  # fmt: skip


_CHECKS: dict[Body, Check] = {}


def check(kind: Kind, *claims: str, profile: Profile = "quick") -> Callable[[AnyBody], AnyBody]:
    """Register a function as a check of these claims; its folder is the family."""
    if not claims:
        raise ValueError("a check bears on at least one claim; found none")

    def register(body: AnyBody) -> AnyBody:
        family = body.__module__.split(".")[-2]
        name = f"{kind}.{family}.{body.__name__.strip('_')}"
        summary = (body.__doc__ or "").strip().partition("\n")[0]
        if not summary or any(name == other.name for other in _CHECKS.values()):
            raise ValueError(f"check {name!r} must have a docstring and a name of its own")
        _CHECKS[body] = Check(name, claims, kind, profile, summary, body)
        return body

    return register


symbolic = partial(check, "symbolic")
law = partial(check, "laws")
oracle = partial(check, "oracles")
coverage = partial(check, "coverage")
assumption = partial(check, "assumptions")


@cache
def families() -> tuple[str, ...]:
    """The families: the folders of `proofs_check` that have a module `claims`, by name."""
    return tuple(
        folder.name
        for folder in pkgutil.iter_modules(importlib.import_module("proofs_check").__path__)
        if folder.ispkg and importlib.util.find_spec(f"proofs_check.{folder.name}.claims")
    )


@cache
def modules() -> tuple[ModuleType, ...]:
    """Load the modules of all families."""
    return tuple(
        importlib.import_module(f"proofs_check.{family}.{module.name}")
        for family in families()
        for module in pkgutil.iter_modules(
            importlib.import_module(f"proofs_check.{family}").__path__
        )
    )


def all_checks() -> dict[str, Check]:
    """Every registered check by name, in the order of kinds, families and source."""
    modules()
    kinds = list(FINE)
    ordered = sorted(_CHECKS.values(), key=lambda c: (kinds.index(c.kind), c.body.__module__))
    return {one.name: one for one in ordered}


def name_of(body: Body) -> str:
    """The name of a check, given as a function."""
    return _CHECKS[body].name


def checks_of(claim: str, profile: Profile = "full") -> list[Check]:
    """Checks that bear on a claim."""
    if profile not in get_args(Profile):
        raise ValueError(f"profile must be one of {get_args(Profile)}; found {profile!r}")
    return [
        one
        for one in all_checks().values()
        if claim in one.claims and (profile == "full" or one.profile == "quick")
    ]
