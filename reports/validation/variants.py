"""The methods of the training experiments: what `prune` is asked for by each name."""

from __future__ import annotations

from typing import TypedDict


class Asked(TypedDict):
    """Arguments of `prune`. Claim: none (plumbing)."""

    method: str
    scope: str
    ranking: str


def variant(name: str) -> Asked:
    """What `prune` is asked for.

    The budget is shared among all layers, as the papers do; Wanda compares the weights of one
    neuron. "sipp-det-mean" ranks by the mean instead of the largest sensitivity and gives every
    layer the same share: what AL-1 makes of a few per cent of the weights nearly empties the layers
    behind the first, and training cannot mend that.

    Example:
        >>> variant("sipp-det-mean")["ranking"], variant("snip")["scope"]
        ('mean', 'global')
    """
    if name == "sipp-det-mean":
        return {"method": "sipp-det", "scope": "layer", "ranking": "mean"}
    return {"method": name, "scope": "layer" if name == "wanda" else "global", "ranking": "max"}
