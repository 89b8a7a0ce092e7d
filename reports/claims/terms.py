"""What the claims page calls things, and how it writes a range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reports.site.plain import INFINITE, significant

Json = dict[str, Any]
FAMILIES = {
    "ES": "Sensitivities (ES)", "SP": "One neuron (SP)", "NW": "The whole network (NW)",
    "AL": "Sharing out a budget (AL)", "CT": "Certificates (CT)", "PF": "Channels (PF)",
    "NT": "Net-Trim (NT)", "MS": "Entries of a matrix (MS)", "GN": "Generalization (GN)",
    "NC": "Neurons (NC)", "SV": "Support vector machines (SV)", "A": "Assumptions (A)",
}  # fmt: skip
STATUSES = {
    "proved": "Every step listed under its proof was derived by machine, and no check found fault. "
    "Taken for granted: sums keep what holds for their terms, and a function whose derivative is "
    "positive rises.",
    "checked": "Every check was passed and none is missing; some step of the proof is not done by "
    "machine.",
    "consistent": "Nothing speaks against it, but the evidence is simulation alone, or a check is "
    "missing.",
    "assumption refuted here": "It rests on an assumption that fails on the networks looked at: "
    "it says nothing about them.",
    "refuted": "A counterexample was found, or simulation contradicts it beyond doubt.",
    "not checked": "Nothing can be said: no check of it ran.",
}


def measured(summary: Json) -> list[Json]:
    """Claims for which what is promised was held against what is needed."""
    return [claim for claim in summary["claims"] if claim["tightness"]]


def family(claim: Json) -> str:
    """Two letters, or "A" for an assumption, whether it is called A1 or A-iid."""
    return "A" if re.fullmatch(r"A\d*", claim["family"]) else claim["family"]


def times(tightness: Json, between: str = "–") -> str:
    r"""The range of promised over needed.

    >>> times({"least": 371.2, "largest": 412.0}), times({"least": 1.021, "largest": 1.0212})
    ('371–412', '1.02')
    >>> times({"least": 3.2e11, "largest": 4e24})
    '3\xa0×\xa010¹¹–4\xa0×\xa010²⁴'
    """
    least, largest = (_brief(tightness[end]) for end in ("least", "largest"))
    return least if least == largest else f"{least}{between}{largest}"


def _brief(value: Any) -> str:
    """Three digits, one where only the power of ten matters; never broken over two lines."""
    short = significant(value, 1 if value != INFINITE and value >= 1e7 else 3)
    return short.replace(" ", "\u00a0")


def listed(words: Sequence[str]) -> str:
    """Words as a list in prose.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
