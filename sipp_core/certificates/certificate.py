"""The certificate: a frozen statement about fresh inputs, with all that it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

import sipp_theory
from sipp_core.runtime.provenance import versions


@dataclass(frozen=True)
class Certificate:
    """A statement about fresh inputs that held-out inputs prove at a confidence.

    Attributes:
        kind: "CT-2" (eps found for a given delta), "CT-1" (violation rate found for a given eps) or
            "CT-3" (both given, the network found; see `sparsest`).
        eps: relative L2 output error |f^(x) - f(x)|/|f(x)|; +inf where nothing can be certified.
        delta: share of fresh inputs that may exceed eps (kind CT-1: the bound found).
        confidence: over the draw of the held-out inputs; of the eps statement and of the
            disagreement statement each.
        n: held-out inputs.
        violations: held-out inputs whose error exceeds eps.
        observed_mean: mean error over the held-out inputs.
        observed_max: largest error over them.
        disagreement: bound on the share of fresh inputs whose predicted class changes (CT-1); None
            for a model without at least two outputs.
        observed_disagreement: share of the held-out inputs whose class changed, or None.
        vacuous: whether nothing is certified.
        needed_n: least number of held-out inputs at which this kind can certify anything.
        holds_for: in words, which inputs the statement speaks of.
        assumptions: what it rests on.
        claims: THEORY ids.
        versions: versions of the packages used.
        seed: seed of the pruning run, or None where unknown.

    Claim: CT-1, CT-2, CT-3. Source: Clopper and Pearson 1934; Wilks 1941; Maurer et al. 1995.
    """

    kind: str
    eps: float
    delta: float
    confidence: float
    n: int
    violations: int
    observed_mean: float
    observed_max: float
    disagreement: float | None
    observed_disagreement: float | None
    vacuous: bool
    needed_n: int
    holds_for: str
    assumptions: tuple[str, ...]
    claims: tuple[str, ...]
    versions: dict[str, str] = field(repr=False)
    seed: int | None

    def sentence(self) -> str:
        """The certificate in one plain sentence."""
        if self.vacuous:
            return (
                f"Nothing can be certified from {self.n} held-out inputs: "
                f"at least {self.needed_n} are needed."
                if self.n < self.needed_n
                else f"Nothing can be certified: the error is unbounded on the {self.n} inputs."
            )
        share = f"at most {self.delta:.2%} of fresh inputs"
        return (
            f"With {self.confidence:.0%} confidence, {share} move the output by more than "
            f"eps = {self.eps:.4g} (relative L2), from {self.n} held-out inputs."
        )

    def summary(self) -> dict[str, object]:
        """All fields, ready for JSON."""
        plain: dict[str, object] = asdict(self)
        return plain | {"assumptions": list(self.assumptions), "claims": list(self.claims)}


def make_certificate(
    kind: str, errors: np.ndarray, changed: np.ndarray, *, eps: float, delta: float,
    confidence: float, needed: int, seed: int | None, family: int = 1,
) -> Certificate:  # fmt: skip
    """Put a certificate together from held-out errors.

    Shapes: errors (n,) float64, changed (n,) bool.

    Claim: CT-1, CT-2, CT-3. Source: see `Certificate`.
    """
    n = len(errors)
    switched = int(changed.sum()) if changed.size else None
    # The chosen network is one of `family`: its disagreement is bounded for all of them at once.
    level = 1 - (1 - confidence) / family
    return Certificate(
        kind=kind,
        eps=eps,
        delta=delta,
        confidence=confidence,
        n=n,
        violations=int((errors > eps).sum()),
        observed_mean=float(errors.mean()),
        observed_max=float(errors.max()),
        disagreement=None
        if switched is None
        else float(sipp_theory.violation_bound(switched, n, level)),
        observed_disagreement=None if switched is None else switched / n,
        vacuous=not np.isfinite(eps) or delta >= 1,
        needed_n=needed,
        holds_for="fresh inputs from the population that the held-out inputs were drawn from",
        assumptions=(
            "the held-out inputs are i.i.d. draws from that population",
            "they played no part in training or calibration"
            + (
                ", nor in the choice of the pruned network"
                if family == 1
                else "; the choice among the keep ratios is paid for"
            ),
        ),
        claims=tuple(dict.fromkeys((kind, "CT-1"))),
        versions=versions(),
        seed=seed,
    )
