"""Run the ledger: every check and every mutation, on as many processes as there are.

Checks run side by side; the trials that they ask for are counted after that, block by block, all
experiments at once; and what is finished is stored. Nothing depends on which process did what, so a
run gives the same bits on one process, on many, and on a cluster
(`joblib.parallel_backend("dask")` around `run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from proofs_check.kinds.mutations import all_mutations
from proofs_check.ledger.all_claims import LEDGER
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.evidence import Evidence, Experiment
from proofs_check.ledger.performing import Planned, perform
from proofs_check.ledger.registry import Profile, Setting, all_checks
from proofs_check.ledger.sequential import Count, block_sizes, counted, verdict
from proofs_check.ledger.status import Entry, corrected, entries
from proofs_check.ledger.store import Store, versions
from sipp_core.runtime import as_done, mapped, one_thread

Progress = Callable[[int, int, str], None]

# What later checks need, loaded by a worker before its first.
LOADED = ("torch", "cvxpy", "sipp_core.methods", "sipp_core.zoo")


@dataclass(frozen=True)
class LedgerRun:
    """What one run of the ledger came to.

    Attributes:
        entries: one a claim, in the ledger's order.
        profile: "quick" or "full".
        seed: seed of everything.
        versions: of what it ran on.
    """

    entries: tuple[Entry, ...]
    profile: Profile
    seed: int
    versions: dict[str, str]

    @property
    def refuted(self) -> tuple[str, ...]:
        """Claims with a counterexample; a failed assumption refutes no claim."""
        return tuple(e.claim.id for e in self.entries if e.status == "refuted")

    @property
    def survived(self) -> tuple[str, ...]:
        """Mutations that no check noticed."""
        return tuple(name for entry in self.entries for name in entry.survived)

    def summary(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        statuses = [entry.status for entry in self.entries]
        return {
            "profile": self.profile,
            "seed": self.seed,
            "versions": self.versions,
            "refuted": list(self.refuted),
            "survived": list(self.survived),
            "counts": {name: statuses.count(name) for name in dict.fromkeys(statuses)},
            "claims": [entry.summary() for entry in self.entries],
        }


def run(
    profile: Profile = "quick",
    *,
    claims: Sequence[str] = (),
    seed: int = 0,
    jobs: int | None = None,
    data_dir: str | None = None,
    store: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> LedgerRun:
    """Run the checks and mutations of the ledger and say what each claim's status is.

    Args:
        profile: "quick" (embedded data, two minutes on two cores) or "full" (half an hour, and
            MNIST where `data_dir` has it).
        claims: ids to run, with the assumptions that they name; all if empty.
        seed: seed of everything, >= 0.
        jobs: processes; None for what joblib's context says, 1 outside any. With 1 everything runs
            in this process.
        data_dir: folder of the data files.
        store: folder where finished checks and trained networks are kept; a run that was stopped
            goes on from there. None keeps nothing.
        device: where the trained networks compute, "cpu" or "cuda".
        progress: callback (checks done, checks, name of the last).

    Returns:
        The entries with their evidence; the same bits whatever `jobs` is.

    Raises:
        ValueError: an unknown profile or claim, a seed below 0, or Python without assertions.

    Example:
        >>> run(claims=["ES-9"])
        Traceback (most recent call last):
        ...
        ValueError: claims must be ids of the ledger; found 'ES-9'
    """
    if not __debug__:
        raise ValueError(
            "python -O takes the assertions of laws and oracles away, so that all would hold; run "
            "without -O and PYTHONOPTIMIZE"
        )
    if profile not in get_args(Profile):
        raise ValueError(f"profile must be one of {get_args(Profile)}; found {profile!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number >= 0; found {seed!r}")
    chosen = _chosen(claims)
    setting = Setting(profile, seed, str(data_dir or ""), str(store or ""), device)
    ids = {claim.id for claim in chosen}
    names = [
        name
        for name, check in all_checks().items()
        if ids & set(check.claims) and (setting.full or check.profile == "quick")
    ] + [name for name, mutation in all_mutations().items() if mutation.claim in ids]
    kept = Store(store, setting)
    evidence_of: dict[str, list[Evidence]] = {}
    for name in names:
        if (earlier := kept.get(name)) is not None:
            evidence_of[name] = earlier
    for name, evidence in _performed([n for n in names if n not in evidence_of], setting, jobs):
        evidence_of[name] = evidence
        kept.put(name, evidence)
        if progress is not None:
            progress(len(evidence_of), len(names), name)
    evidence = [e for name in names for e in evidence_of[name] if e.claim in ids]
    return LedgerRun(entries(chosen, corrected(evidence)), profile, seed, versions())


def _chosen(ids: Sequence[str]) -> list[Claim]:
    """Claims of these ids and the assumptions that they name, in the ledger's order."""
    for one in ids:
        if one not in LEDGER:
            raise ValueError(f"claims must be ids of the ledger; found {one!r}")
    chosen = set(ids) or set(LEDGER)
    chosen |= {name for one in chosen for name in LEDGER[one].assumptions}
    return [claim for claim in LEDGER.values() if claim.id in chosen]


def _performed(
    names: Sequence[str], setting: Setting, jobs: int | None
) -> Iterator[tuple[str, list[Evidence]]]:
    """Run checks side by side, then the trials that they ask for; each with its evidence."""
    trials_of: dict[str, list[Evidence | Planned]] = {}
    for place, result in as_done(perform, [(name, setting) for name in names], jobs, LOADED):
        evidence = [one for one in result if isinstance(one, Evidence)]
        if len(evidence) == len(result):
            yield names[place], evidence
        else:
            trials_of[names[place]] = result
    # In their order: as they come is another order each time.
    yield from _counted({name: trials_of[name] for name in names if name in trials_of}, jobs)


def _counted(
    results: dict[str, list[Evidence | Planned]], jobs: int | None
) -> Iterator[tuple[str, list[Evidence]]]:
    """Count the trials of all experiments, 1, 2, 4, ... blocks of each at a time."""
    experiments = [
        (name, *one)
        for name, several in results.items()
        for one in several
        if not isinstance(one, Evidence)
    ]
    counts = [Count() for _ in experiments]
    sizes = [block_sizes(one) for _, _, one in experiments]
    left, wave = dict(results), 1
    while left:
        work = [
            (index, block)
            for index, count in enumerate(counts)
            if not count.stopped
            for block in range(count.blocks, min(count.blocks + wave, len(sizes[index])))
        ]
        blocks = [(experiments[i][2], block, sizes[i][block]) for i, block in work]
        for (index, block), failed in zip(
            work, mapped(count_block, blocks, jobs, LOADED), strict=True
        ):
            # Blocks beyond the stop were counted in vain: they must not change the result.
            if not counts[index].stopped:
                counts[index] = counted(
                    experiments[index][2], counts[index], failed, sizes[index][block]
                )
        going = {experiments[index][0] for index, count in enumerate(counts) if not count.stopped}
        for name in [name for name in left if name not in going]:
            yield (
                name,
                [one for one in left.pop(name) if isinstance(one, Evidence)]
                + [
                    verdict(blank, experiment, count)
                    for (of, blank, experiment), count in zip(experiments, counts, strict=True)
                    if of == name
                ],
            )
        wave *= 2


def count_block(experiment: Experiment, block: int, size: int) -> int:
    """Count one block in one thread."""
    with one_thread():
        return experiment.count(block, size)
