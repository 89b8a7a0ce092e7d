"""The certificate: a frozen statement about fresh inputs, with all that it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

import sipp_theory
from sipp_core.certificates.curve import Curve, make_curve
from sipp_core.runtime.numbers import Bool, Float
from sipp_core.runtime.provenance import versions

RELATIVE_L2 = "relative L2 output error"


@dataclass(frozen=True)
class Accuracy:
    """What held-out labels prove about accuracy.

    Attributes:
        n: held-out inputs with labels.
        before: share of them that the original gets right.
        after: share of them that the other network gets right.
        broken: inputs that only the original gets right.
        mended: inputs that only the other network gets right.
        lower: the other network's accuracy on fresh inputs is at least this.
        drop: the original's accuracy less the other network's is at most this.

    Claim: CT-6. Source: [OWN]; Clopper and Pearson 1934.
    """

    n: int
    before: float
    after: float
    broken: int
    mended: int
    lower: float
    drop: float


@dataclass(frozen=True)
class Group:
    """What held-out inputs of one group prove, charged as one of all groups.

    Attributes:
        name: the class or the user's label.
        n: held-out inputs of the group.
        eps: as in `Certificate`, for fresh inputs of this group.
        delta: as in `Certificate`.
        violations: held-out inputs of the group whose score exceeds eps.
        disagreement: bound on the share of the group's fresh inputs whose class changes, or None.
        accuracy: accuracy on the group, or None without labels.
        too_small: whether the group has too few inputs for any statement on (eps, delta); never
            where eps is given, as any number of inputs then bounds delta.
        needed_n: least number of inputs of the group at which there is one.

    Claim: CT-7. Source: Bonferroni 1936.
    """

    name: str
    n: int
    eps: float
    delta: float
    violations: int
    disagreement: float | None
    accuracy: Accuracy | None
    too_small: bool
    needed_n: float


@dataclass(frozen=True)
class Certificate:
    """A statement about fresh inputs that held-out inputs prove at a confidence.

    Attributes:
        kind: "CT-2" (eps found for a given delta), "CT-1" (violation rate found for a given eps, or
            for an event such as a change of class) or "CT-3" (both given, the network found; see
            `sparsest`).
        eps: relative L2 output error |f^(x) - f(x)|/|f(x)|, or another score; +inf where nothing
            can be certified.
        delta: share of fresh inputs that may exceed eps (kind CT-1: the bound found).
        confidence: over the draw of the held-out inputs; of each kind of statement (eps and delta,
            the curve, disagreement, accuracy, its drop, and the groups' likewise), and for all
            members of the family at once.
        n: held-out inputs.
        violations: held-out inputs whose error exceeds eps.
        observed_mean: mean error over the held-out inputs.
        observed_max: largest error over them.
        disagreement: bound on the share of fresh inputs whose predicted class changes (CT-1); None
            for outputs that are not (n, classes).
        observed_disagreement: share of the held-out inputs whose class changed, or None.
        vacuous: whether nothing is certified.
        needed_n: least number of held-out inputs at which this kind can certify anything; inf where
            no number that float64 can tell would do.
        holds_for: in words, which inputs the statement speaks of.
        assumptions: what it rests on.
        claims: THEORY ids.
        versions: versions of the packages used.
        seed: seed of the pruning run, or None where unknown.
        curve: every eps and delta at once (CT-5).
        score: name of what is compared.
        unit: the score in words.
        corruption: law by which the inputs were perturbed, or None.
        accuracy: what labels prove (CT-6), or None without labels.
        groups: what is proved of each group (CT-7).
        statements: members of the family that are charged together: scores times laws.
        family: the other members.
        notes: what a reader should know of the held-out inputs.
        fingerprints: SHA-256 of the networks ("original", "pruned"), of the held-out "inputs",
            "labels" and "groups" in their order, and of the "calibration" inputs; None where
            unknown.
        arguments: the other arguments of the call.

    Claim: CT-1 to CT-3, CT-5 to CT-7. Source: Clopper and Pearson 1934; Wilks 1941; Maurer et al.
    1995; Berk and Jones 1979.
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
    needed_n: float
    holds_for: str
    assumptions: tuple[str, ...]
    claims: tuple[str, ...]
    versions: dict[str, str] = field(repr=False)
    seed: int | None
    curve: Curve
    score: str = "relative-l2"
    unit: str = RELATIVE_L2
    corruption: str | None = None
    accuracy: Accuracy | None = None
    groups: tuple[Group, ...] = ()
    statements: int = 1
    family: tuple[Certificate, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    fingerprints: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)

    def eps_at(self, delta: float) -> float:
        """Error that at most a share delta of fresh inputs exceeds, for any delta, chosen now.

        Holds with the certificate's confidence for all deltas and all eps at once (CT-5); +inf
        where the held-out inputs are too few. A delta in (0, 1).
        """
        return self.curve.eps_at(delta)

    def delta_at(self, eps: float) -> float:
        """Bound on the share of fresh inputs whose error exceeds eps, for any eps, chosen now.

        Holds with the certificate's confidence for all deltas and all eps at once (CT-5); 1 where
        nothing is known.
        """
        return self.curve.delta_at(eps)

    @property
    def worst_group(self) -> Group | None:
        """Group with the largest certified drop in accuracy, without labels the largest delta, eps.

        Of groups that are too small no eps is known, so they are not compared but listed in
        `small_groups`; None if there is no other.
        """
        decided = [group for group in self.groups if not group.too_small]
        return max(
            decided,
            key=lambda g: (g.accuracy.drop if g.accuracy else 0.0, g.delta, g.eps),
            default=None,
        )

    @property
    def small_groups(self) -> tuple[str, ...]:
        """Names of the groups of which too few inputs were held out."""
        return tuple(group.name for group in self.groups if group.too_small)

    def sentence(self) -> str:
        """The certificate in one plain sentence."""
        if self.vacuous:
            return (
                f"Nothing can be certified from {self.n} held-out inputs: "
                f"at least {self.needed_n:g} are needed."
                if self.n < self.needed_n
                else f"Nothing can be certified: the error is unbounded on the {self.n} inputs."
            )
        noise = "" if self.corruption is None else f", perturbed by {self.corruption},"
        share = f"at most {self.delta:.2%} of fresh inputs{noise}"
        together = f" in all {self.statements} statements" if self.statements > 1 else ""
        sure = f"With {self.confidence:.0%} confidence{together}, {share}"
        if self.kind == "CT-1" and self.eps == 0:
            return f"{sure} suffer a {self.unit}, from {self.n} held-out inputs."
        moved = (
            f"move the output by more than eps = {self.eps:.4g} (relative L2)"
            if self.unit == RELATIVE_L2
            else f"exceed eps = {self.eps:.4g} ({self.unit})"
        )
        return f"{sure} {moved}, from {self.n} held-out inputs."

    def sentences(self) -> list[str]:
        """All that it says, each sentence once: accuracy, classes, groups, the family's.

        Where the outputs are not (n, classes), and no score counts classes position by position,
        the last sentence says so.
        """
        sentences = list(dict.fromkeys(self._statements()))
        scores = [one.score for one in (self, *self.family)]
        if self.disagreement is None and not any(s.startswith("class-change@") for s in scores):
            sentences.append(
                "Changes of class are not certified: the outputs are not (n, classes). Where "
                "they score classes at every position (pixel, token), score="
                '"class-change@1" computes the share of positions whose class changes, 1 being '
                "the dimension of the classes."
            )
        return sentences

    def _statements(self) -> list[str]:
        statements = [self.sentence()]
        sure = f"With {self.confidence:.0%} confidence"
        if self.disagreement is not None and self.observed_disagreement is not None:
            statements.append(
                f"{sure}, at most {self.disagreement:.2%} of fresh inputs change their class "
                f"({self.observed_disagreement:.2%} did)."
            )
        if (seen := self.accuracy) is not None:
            statements.append(
                f"{sure}, accuracy is at least {seen.lower:.2%} ({seen.after:.2%} seen), and "
                f"{sure.lower()} at most {seen.drop:.2%} below the original's ({seen.before:.2%} "
                f"seen; {seen.broken} broken, {seen.mended} mended)."
            )
        small = self.small_groups
        if (worst := self.worst_group) is not None:
            what = (
                f"accuracy at most {worst.accuracy.drop:.2%} lower"
                if worst.accuracy
                else f"at most {worst.delta:.2%} beyond eps = {worst.eps:.4g}"
            )
            of = f" of the {len(self.groups) - len(small)} that are decided" if small else ""
            statements.append(
                f"{sure} for all {len(self.groups)} groups at once, the worst{of} is "
                f"{worst.name!r}: {what}, from {worst.n} inputs."
            )
        if small:
            needed = max(group.needed_n for group in self.groups)
            statements.append(
                f"Undecided, as fewer than the {needed:g} inputs needed were held out, "
                f"{'is the group' if len(small) == 1 else 'are the groups'} {', '.join(small)}."
            )
        return statements + [line for other in self.family for line in other._statements()]

    def summary(self) -> dict[str, object]:
        """All fields, ready for JSON."""
        plain: dict[str, object] = asdict(replace(self, family=()))
        lists = {name: list(getattr(self, name)) for name in ("assumptions", "claims", "notes")}
        return plain | lists | {"family": [other.summary() for other in self.family]}


def needed_points(delta: float, confidence: float) -> float:
    """Held-out inputs that CT-2 needs; a whole number, or inf."""
    needed = float(sipp_theory.points_needed(delta, confidence))
    return int(needed) if math.isfinite(needed) else needed


def point(
    errors: Float, eps: float | None, delta: float, level: float
) -> tuple[str, float, float, float]:
    """Kind, eps, delta and inputs needed: CT-2, or CT-1 where eps is given; (n,) errors."""
    if eps is None:
        quantile = float(sipp_theory.error_quantile(errors, delta, level))
        return "CT-2", quantile, delta, needed_points(delta, level)
    share = float(sipp_theory.violation_bound(int((errors > eps).sum()), len(errors), level))
    return "CT-1", eps, share, 1


def accuracy_of(right: Bool, level: float) -> Accuracy | None:
    """CT-6 for answers right before and after, (2, n); None without labels."""
    n = right.shape[1]
    if n == 0:
        return None
    before, after = right
    broken, mended = int((before & ~after).sum()), int((after & ~before).sum())
    return Accuracy(
        n=n,
        before=float(before.mean()),
        after=float(after.mean()),
        broken=broken,
        mended=mended,
        lower=float(sipp_theory.accuracy_bound(int(after.sum()), n, level)),
        drop=float(sipp_theory.accuracy_drop(broken, mended, n, level)),
    )


def _disagreement(changed: Bool, level: float) -> float | None:
    if not changed.size:
        return None
    return float(sipp_theory.violation_bound(int(changed.sum()), changed.size, level))


def groups_of(
    labels: np.ndarray, errors: Float, changed: Bool, right: Bool, *, eps: float | None,
    delta: float, level: float,
) -> tuple[Group, ...]:  # fmt: skip
    """CT-7: every group of the labels at level alpha/G; (n,) labels and errors."""
    names, members = np.unique(labels, return_inverse=True)
    each = sipp_theory.family_confidence(level, len(names))
    certificates = []
    for number, name in enumerate(names):
        mine = members == number
        values = errors[mine]
        _, quantile, share, needed = point(values, eps, delta, each)
        certificates.append(
            Group(
                name=str(name),
                n=int(mine.sum()),
                eps=quantile,
                delta=share,
                violations=int((values > quantile).sum()),
                disagreement=_disagreement(changed[mine] if changed.size else changed, each),
                accuracy=accuracy_of(right[:, mine], each) if right.size else None,
                too_small=len(values) < needed,
                needed_n=needed,
            )
        )
    return tuple(certificates)


def make_certificate(
    kind: str, errors: np.ndarray, changed: np.ndarray, *, eps: float, delta: float,
    confidence: float, needed: float, seed: int | None, family: int = 1, statements: int = 1,
) -> Certificate:  # fmt: skip
    """Put a certificate together from held-out errors.

    `family` networks were looked at and one chosen, `statements` certificates are made at once:
    what is not charged elsewhere is bounded for all of them.

    Shapes: errors (n,) float64, changed (n,) bool.

    Claim: CT-1 to CT-3, CT-5, CT-7. Source: see `Certificate`.
    """
    n = len(errors)
    level = sipp_theory.family_confidence(confidence, family * statements)
    return Certificate(
        kind=kind,
        eps=eps,
        delta=delta,
        confidence=confidence,
        n=n,
        violations=int((errors > eps).sum()),
        observed_mean=float(errors.mean()),
        observed_max=float(errors.max()),
        disagreement=_disagreement(changed, level),
        observed_disagreement=float(changed.mean()) if changed.size else None,
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
        claims=tuple(dict.fromkeys((kind, "CT-1", "CT-5") + (("CT-7",) if statements > 1 else ()))),
        versions=versions(),
        seed=seed,
        curve=make_curve(errors, level),
        statements=statements,
    )
