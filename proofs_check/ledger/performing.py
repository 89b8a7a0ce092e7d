"""One check or one mutation at a time, as a process of the harness does it."""

from __future__ import annotations

import sys
from dataclasses import replace

from proofs_check.instances import trained
from proofs_check.kinds.mutations import all_mutations
from proofs_check.ledger.evidence import Evidence, Experiment
from proofs_check.ledger.mutation import Mutation, substituted
from proofs_check.ledger.registry import FINE, Setting, all_checks, families, name_of
from proofs_check.ledger.sequential import run_serially, verdict
from sipp_core.runtime import one_thread

Planned = tuple[Evidence, Experiment]


def perform(name: str, setting: Setting) -> list[Evidence | Planned]:
    """Run one check or one mutation by name, in one thread."""
    with one_thread():
        if name in all_mutations():
            return [try_mutation(name, all_mutations()[name], setting)]
        check = all_checks()[name]
        result: list[Evidence | Planned] = []
        for one in check.run(setting):
            if isinstance(one, Evidence):
                result.append(one)
            else:
                fine = FINE[check.kind]
                result += [(check.evidence(claim, fine), one) for claim in check.claims]
        return result


def try_mutation(name: str, mutation: Mutation, setting: Setting) -> Evidence:
    """Put the weakened copy in place and run the checks that must refute it."""
    quick = replace(setting, profile="quick")
    blank = Evidence(mutation.claim, "mutations", name, mutation.says, "survived")
    forget()
    try:
        with substituted(mutation.target, mutation.wrong):
            for check in map(name_of, mutation.by):
                for one in perform(check, quick):
                    if not isinstance(one, Evidence):
                        one = verdict(one[0], one[1], run_serially(one[1]))
                    if one.outcome == "refuted":
                        counterexample = f"{check}: {one.counterexample}"
                        return replace(blank, outcome="killed", found=counterexample)
    finally:
        forget()
    return replace(blank, found=f"not noticed by {', '.join(map(name_of, mutation.by))}")


def forget() -> None:
    """Empty what checks remember between calls, trained networks excepted.

    What was computed by a weakened copy must not outlive it, nor hide it.
    """
    trained.forget_calibration()
    for key, module in list(sys.modules.items()):
        parts = key.split(".")
        if parts[0] == "proofs_check" and len(parts) > 2 and parts[1] in families():
            for value in vars(module).values():
                if hasattr(value, "cache_clear") and value.__module__ == key:
                    value.cache_clear()
