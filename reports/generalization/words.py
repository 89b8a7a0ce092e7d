"""What the generalization page and `sipp generalize` say in words: promises, limits, bounds."""

from __future__ import annotations

from decimal import ROUND_CEILING
from typing import Any

from reports.site import methods
from reports.site.plain import count, percent, share, significant, upward

Json = dict[str, Any]
LIMITS = (
    "It speaks of new inputs drawn independently from the same source as the training inputs. Of "
    "other handwriting, another scanner or anything else that has shifted, it says nothing.",
    "It speaks of the network that this very file decodes to, not of the network that it was made "
    "from, and not of the next one that is trained in the same way.",
    "The probability is over the draw of the training inputs: of all the training sets that could "
    "have been drawn, at most that share would make the statement false. It is no statement about "
    "a single input.",
    "It takes the training inputs as independent draws, and the rules by which bytes become a "
    "network as fixed before they were looked at. The rules are public and fixed for this file; "
    "because their constants were settled while such networks were looked at, 32 bits are charged "
    "for them.",
    "Each bound in the table holds with its own probability; that all hold at once is less sure. "
    "The one to rely on was named before: the first row.",
)
# Published bounds on MNIST with a prior fixed before the data; theirs, for other networks.
REFERENCES = (
    (0.46, "Zhou et al. 2019, LeNet-5"),
    (0.116, "Lotfi et al. 2022"),
)
PARTS = {
    "positions": "where weights are not zero", "magnitudes": "sizes of weights",
    "signs": "signs of weights", "bytes": "weights as they are", "form": "form of each tensor",
    "frame": "header, checksum, architecture, rounding",
    "search": "the search and the rules of the code",
}  # fmt: skip


def amount(value: float | str) -> str:
    """A bound as a percentage, rounded up; from 100% on it is vacuous, and called so.

    >>> amount(0.09871), amount(1.0), amount(2.29), amount("infinite"), amount(4.2e9)
    ('9.88%', 'vacuous', 'vacuous (229%)', 'vacuous (∞)', 'vacuous (4.20 × 10¹¹%)')
    """
    if isinstance(value, str) or value == float("inf"):
        return "vacuous (∞)"
    if value < 1:
        return percent(value, 2, ROUND_CEILING)
    return "vacuous" if value == 1 else f"vacuous ({upward(100 * value)}%)"


def sure(delta: float) -> str:
    """The probability with which a bound holds.

    >>> sure(0.05)
    '95%'
    """
    return share(round(1 - delta, 12))


def rate(errors: int, n: int) -> str:
    """A share of errors.

    >>> rate(64, 1437)
    '4.45%'
    """
    return percent(errors / n, 2)


def chosen(facts: Json) -> Json:
    """The candidate whose file has the least bound."""
    row: Json = facts["candidates"][facts["best"]]
    return row


def vacuous(facts: Json) -> bool:
    """Whether the certified bound, GN-3's binomial form, says nothing."""
    return bool(facts["bounds"][0]["vacuous"])


def promise(facts: Json) -> str:
    """What the certified bound means, in a sentence."""
    n, value = count(facts["n"]), facts["bounds"][0]["value"]
    if vacuous(facts):
        return (
            f"The certified bound is vacuous: {n} training inputs are too few for so long a file, "
            "so nothing is known of its errors on new inputs."
        )
    return (
        f"With probability at least {sure(facts['delta'])} over the draw of the {n} training "
        f"inputs, the network in this file is wrong on at most {amount(value)} of new inputs drawn "
        "like them."
    )


def headline(facts: Json) -> str:
    """A result in a sentence."""
    tests = rate(chosen(facts)["test_errors"], facts["test_n"])
    name, size = f"{facts['net']} on {facts['data']}", count(facts["file"]["bytes"])
    if vacuous(facts):
        return f"{name}: no file had a bound that says anything; {tests} wrong on test inputs."
    least = amount(facts["bounds"][0]["value"])
    return (
        f"{name}: certified from {size} bytes to be wrong on at most {least} of new inputs, at "
        f"{sure(facts['delta'])} confidence; {tests} measured on test inputs."
    )


def setting(one: Json) -> str:
    """How a candidate was made.

    >>> setting({"method": "none", "keep": 1.0, "levels": 5, "codebook": "table", "filters": 1.0})
    'not pruned, 5 levels (table)'
    """
    text = f"{one['levels']} levels ({one['codebook']})"
    if one["filters"] < 1:
        text += f", whole neurons first to {share(one['filters'])}"
    if one["method"] == "none":
        return f"no single weights pruned, {text}" if one["filters"] < 1 else f"not pruned, {text}"
    return f"{label(one['method'])}, {share(one['keep'])} of the weights, {text}"


def label(method: str) -> str:
    """A method as pages name it."""
    if method == "none":
        return "not pruned"
    return methods.label(method)


def subject(facts: Json, row: Json) -> str:
    """Of which network a bound speaks: they are not all of the same."""
    if row["column"] == "half":
        one = facts["half"]["candidates"][facts["half"]["best"]]
        how = "not pruned" if one["method"] == "none" else f"pruned to {share(one['keep'])}"
        return f"another network, trained on {count(facts['half']['trained_on'])} inputs, {how}"
    if row["claim"] == "GN-1":
        one = min(facts["printed"], key=lambda one: one["bound"])
        return f"the dense network pruned to {share(one['keep'])} and rounded, not trained again"
    if row["claim"] == "GN-2":
        idle = facts["theorem"]["parameters"] == facts["theorem"]["weights"]
        return "the dense network" + (" (CoreNet prunes nothing)" if idle else " pruned by CoreNet")
    return "the network in the file"


def table(facts: Json) -> list[Json]:
    """Bounds side by side: the prior fixed before the data, and that from half of them.

    Args:
        facts: a result as it is written.

    Returns:
        Rows with claim, name, subject, and amounts "all" and "half", None where there is none.
    """
    rows = []
    for row in facts["bounds"]:
        value = amount(row["value"])
        columns = {"all": None, "half": None} | {row["column"]: value}
        rows.append({**row, **columns, "subject": subject(facts, row)})
    return rows


def kind(charge: Json) -> str:
    """Which part of the file an item of the budget belongs to; a key of `PARTS`.

    >>> kind({"what": "fc1 weight positions"}), kind({"what": "rounding"})
    ('positions', 'frame')
    """
    if charge["what"] in ("the search", "the rules of the code"):
        return "search"
    last = charge["what"].rpartition(" ")[2]
    return last if last in PARTS else "frame"


def largest(facts: Json) -> str:
    """Which factor of GN-2 does most to make it vacuous, in a sentence."""
    theorem = facts["theorem"]
    if "refused" in theorem:
        return f"{theorem['refused'][:1].upper()}{theorem['refused'][1:]}."
    size, there = significant(theorem["asked"]), count(theorem["weights"])
    idle = ", so nothing is pruned" if theorem["parameters"] == theorem["weights"] else ""
    return (
        f"What weighs most in CoreNet's bound is {theorem['largest_factor']}: the theorem asks for "
        f"{size} weights where there are {there}{idle}."
    )
