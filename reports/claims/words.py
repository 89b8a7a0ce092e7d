"""The results of the ledger, in sentences that are computed from its summary."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from reports.claims.terms import STATUSES, family, listed, measured, times
from reports.site.plain import INFINITE, count

Json = dict[str, Any]
_FAILED = ("assumption refuted here", "refuted")
# What one claim does, and what several do.
_STANDS = {
    "proved": ("was proved by machine", "were proved by machine"),
    "checked": ("passed every check", "passed every check"),
    "consistent": ("agrees with what was seen", "agree with what was seen"),
    "assumption refuted here": (
        "rests on an assumption that fails here",
        "rest on an assumption that fails here",
    ),
    "refuted": ("was refuted", "were refuted"),
    "not checked": ("was not checked", "were not checked"),
}
_DATA = {"digits": "the digits", "mnist": "MNIST"}
_LOOSEST, _REPLACED = 3, 4


def briefing(summary: Json) -> Json:
    """What the head of a page says about the ledger.

    Args:
        summary: of a run of the ledger, as it is written.

    Returns:
        "claims" and "assumptions" (how many), "counts" by status, "headline" (one sentence) and
        "sentences" (what was found, for a reader who is no theorist) and "notes" (how it was).
    """
    claims, assumptions = _split(summary)
    counts = {status: n for status in STATUSES if (n := _number(claims, status))}
    return {
        "claims": len(claims),
        "assumptions": len(assumptions),
        "counts": counts,
        "headline": _headline(claims, counts),
        "sentences": [
            *_standing(claims),
            *_looseness(summary),
            *_assumed(summary),
            *_replacements(summary),
        ],
        "notes": [*_weakened(summary), *_left_out(summary)],
    }


def _split(summary: Json) -> tuple[list[Json], list[Json]]:
    claims = [claim for claim in summary["claims"] if family(claim) != "A"]
    return claims, [claim for claim in summary["claims"] if family(claim) == "A"]


def _number(claims: Iterable[Json], status: str) -> int:
    return sum(claim["status"] == status for claim in claims)


def _ids(claims: Iterable[Json]) -> str:
    return listed([claim["id"] for claim in claims])


def _named(claim: Json) -> str:
    return f"{claim['id']} ({claim['name']})"


def _ours(claim: Json) -> bool:
    """Whether the project comes first among the sources."""
    return claim["source"].lower().startswith("derived here")


def _headline(claims: list[Json], counts: Json) -> str:
    if not claims:
        return "The ledger of this run holds no claim."
    parts = [f"{count(n)} {_STANDS[status][n > 1]}" for status, n in counts.items()]
    return f"Of {count(len(claims))} claims, {listed(parts)}."


def _standing(claims: list[Json]) -> list[str]:
    groups = (
        ([claim for claim in claims if not _ours(claim)], "from the literature"),
        ([claim for claim in claims if _ours(claim)], "derived in this project"),
    )
    return [_stand(group, origin) for group, origin in groups if group]


def _stand(claims: list[Json], origin: str) -> str:
    if len(claims) == 1:
        return f"The claim {origin}, {_ids(claims)}, {_STANDS[claims[0]['status']][0]}."
    parts = []
    for status, words in _STANDS.items():
        mine = [claim for claim in claims if claim["status"] == status]
        if mine:
            ids = f" ({_ids(mine)})" if status in (*_FAILED, "not checked") else ""
            parts.append(f"{count(len(mine))} {words[len(mine) > 1]}{ids}")
    text = f"Of the {count(len(claims))} claims {origin}, {listed(parts)}"
    return text + ("." if _number(claims, "refuted") else "; none was refuted.")


def _largest(claim: Json) -> float:
    largest = claim["tightness"]["largest"]
    return math.inf if largest == INFINITE else float(largest)


def _looseness(summary: Json) -> list[str]:
    """The loosest bounds of the literature, and the tightest of all."""
    sized = sorted(measured(summary), key=_largest)
    if not sized:
        return []
    text = (
        f"For {count(len(sized))} of all claims what is promised was held against what is needed: "
        "1 would be perfect."
    )
    loose = [claim for claim in sized if not _ours(claim) and _largest(claim) > 2]
    if loose:
        loosest = [f"{_named(claim)} at {_times(claim)}" for claim in loose[: -_LOOSEST - 1 : -1]]
        named = listed(loosest)
        text += f" The loosest of the literature {'is' if len(loosest) == 1 else 'are'} {named}."
    close = sum(_largest(claim) <= 2 for claim in sized)
    return [
        text,
        f"The tightest of all is {_named(sized[0])} at {times(sized[0]['tightness'], ' to ')}; "
        f"for {count(close)} it never exceeds 2.",
    ]


def _times(claim: Json) -> str:
    return f"{times(claim['tightness'], ' to ')} times what is needed"


def _assumed(summary: Json) -> list[str]:
    claims, assumptions = _split(summary)
    failed = [a for a in assumptions if a["status"] in _FAILED]
    sentences = []
    for assumption in failed:
        text = f"The assumption {_named(assumption)} fails on {_where(assumption)}"
        hit = [
            claim
            for claim in claims
            if assumption["id"] in claim["assumptions"]
            and claim["status"] == "assumption refuted here"
        ]
        if hit:
            text += f", so that {_ids(hit)} {'say' if len(hit) > 1 else 'says'} nothing about it"
        sentences.append(text + ".")
    looked_at = [a for a in assumptions if a["status"] != "not checked"]
    if looked_at and not failed:
        verb = "was" if len(looked_at) == 1 else "were"
        sentences.append(f"No assumption was refuted; {_ids(looked_at)} {verb} looked at.")
    return sentences


def _where(assumption: Json) -> str:
    """The data of the networks on which it was refuted, by what the evidence names."""
    text = " ".join(
        f"{e['check']} {e['says']} {e['found']} {e['counterexample']}".lower()
        for e in assumption["evidence"]
        if e["outcome"] == "refuted"
    )
    names = [name for word, name in _DATA.items() if word in text]
    return f"a real network (trained on {listed(names)})" if names else "a real network"


def _replacements(summary: Json) -> list[str]:
    """The sharper claim for those that are loose or fail, worst first."""
    known = {claim["id"]: claim for claim in summary["claims"]}
    replaced: dict[str, list[Json]] = {}
    worst = [c for c in summary["claims"] if c["status"] in _FAILED or c["tightness"]]
    for claim in sorted(worst, key=_badness, reverse=True):
        better = _best(claim, known)
        if better is not None:
            replaced.setdefault(better["id"], []).append(claim)
    if not replaced:
        return []
    pairs = [
        f"instead of {_ids(old)} use {_sized(known[new])}"
        for new, old in list(replaced.items())[:_REPLACED]
    ]
    return [f"For the same question there is better: {'; '.join(pairs)}."]


def _best(claim: Json, known: dict[str, Json]) -> Json | None:
    """The end of the chain of replacements, as far as they stand."""
    best, seen = None, {claim["id"]}
    following = known.get(claim["use_instead"])
    while following is not None and following["id"] not in seen:
        seen.add(following["id"])
        if following["status"] not in (*_FAILED, "not checked"):
            best = following
        following = known.get(following["use_instead"])
    return best


def _badness(claim: Json) -> float:
    return math.inf if claim["status"] in _FAILED else _largest(claim)


def _sized(claim: Json) -> str:
    return _named(claim) + (f", at {_times(claim)}" if claim["tightness"] else "")


def _weakened(summary: Json) -> list[str]:
    mutations = [
        e for claim in summary["claims"] for e in claim["evidence"] if e["kind"] == "mutations"
    ]
    if not mutations:
        return []
    killed = sum(e["outcome"] == "killed" for e in mutations)
    text = (
        f"Would the checks notice an error? {count(len(mutations))} weakened copies of the bounds "
        f"were put in their place, and {count(killed)} were caught"
    )
    missed = summary["survived"]
    return [f"{text}, but not {listed(missed)}." if missed else f"{text}."]


def _left_out(summary: Json) -> list[str]:
    missing = [claim for claim in summary["claims"] if claim["missing"]]
    sentences = []
    if missing:
        sentences.append(
            f"Some checks of {_ids(missing)} were skipped or could not decide; the entries name "
            "them."
        )
    if summary["profile"] == "quick":
        sentences.append(
            "This was the quick profile: embedded data and few trials; the full one adds MNIST."
        )
    return sentences
