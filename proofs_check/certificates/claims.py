"""Claims of the family CT."""

from __future__ import annotations

import sipp_core
import sipp_theory
from proofs_check.certificates import symbolic
from proofs_check.ledger.claim import Claim, Step

TAIL = (
    r"$\Pr(\mathrm{Bin}(n, p) \leq k)$ is one minus the distribution function at $p$ of the law "
    r"$\mathrm{Beta}(k+1, n-k)$, so it falls strictly in $p$."
)
COUNT = (
    "The violations among $n$ i.i.d. points that had no say in the network are binomial at the "
    "population's rate."
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "CT-1", "Violation rate from held-out points",
        r"For a network and an $\epsilon$ that were fixed before, $n$ i.i.d. held-out points and "
        r"$k$ violations $e(x) > \epsilon$ among them: with confidence $1-\alpha$, "
        r"$\Pr(e > \epsilon) \leq \mathrm{BetaInv}(1-\alpha; k+1, n-k)$. The two-sided interval "
        r"has $\alpha/2$ on each side.",
        "How often the pruned network is off by more than a given error, from inputs that it has "
        "not seen.",
        "Clopper and Pearson, Biometrika 26 (1934)", assumptions=("A-held-out",),
        computes=(sipp_theory.violation_bound, sipp_theory.clopper_pearson, sipp_core.certify),
        steps=(
            Step(COUNT, why_not="the definition of i.i.d. and of the binomial law"),
            Step(TAIL, symbolic.tail_is_beta),
            Step(r"The same as polynomials, for every $k < n \leq 8$.",
                 symbolic.tail_is_the_beta_integral),
            Step(r"The bound fails exactly for the counts $0, \dots, c$ of a tail below "
                 r"$\alpha$, which have probability below $\alpha$.", symbolic.lower_set),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-2", "Certified error, a tolerance limit",
        "Let $r$ be the least integer with "
        r"$\Pr(\mathrm{Bin}(n, 1-\delta) \leq r-1) \geq 1-\alpha$. The $r$-th smallest of $n$ "
        r"held-out errors is an $\epsilon$ with $\Pr(e > \epsilon) \leq \delta$ at confidence "
        r"$1-\alpha$. There is such an $r$ if and only if $n \geq \ln \alpha/\ln(1-\delta)$.",
        "An error that all but a given share of fresh inputs stays within, from inputs that the "
        "network has not seen; about 90 of them are needed for 5% at 99% confidence.",
        "Wilks, Ann. Math. Stat. 12 (1941)", assumptions=("A-held-out",),
        computes=(sipp_theory.tolerance_rank, sipp_theory.error_quantile,
                  sipp_theory.points_needed, sipp_core.certify),
        steps=(
            Step(r"If the $r$-th smallest error $\epsilon$ has $\Pr(e > \epsilon) > \delta$, "
                 r"then $r$ of the points lie in the set where $F(e) < 1-\delta$, whose "
                 r"probability is at most $1-\delta$.",
                 why_not="measure theory: holds for laws with atoms too"),
            Step(TAIL, symbolic.tail_is_beta),
            Step(r"$\Pr(\mathrm{Bin}(n, t) \geq r)$ has the density of $\mathrm{Beta}(r, n-r+1)$ "
                 r"and rises in $t$, so a set of at most $1-\delta$ holds $r$ points with "
                 r"probability at most $\alpha$.", symbolic.order_statistic),
            Step(r"$r = n$ will do if and only if $(1-\delta)^n \leq \alpha$.",
                 symbolic.points_needed),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-3", "The sparsest network that meets a target",
        r"Networks are tested in an order fixed before, each at level $\alpha$ by whether "
        r"$\Pr(\mathrm{Bin}(n, \delta) \leq k) \leq \alpha$, and the first failure ends the "
        r"search. The chance that any accepted network has $\Pr(e > \epsilon) > \delta$ is at "
        r"most $\alpha$.",
        "The smallest network on a path from dense to sparse that provably meets a target; "
        "trying many costs no confidence.",
        "Maurer, Hothorn and Lehmacher (1995), fixed-sequence testing", assumptions=("A-held-out",),
        depends=("CT-1",), computes=(sipp_theory.fixed_sequence, sipp_core.sparsest),
        steps=(
            Step("If a network that misses the target is accepted, the first such network of the "
                 "order has passed its own test.", symbolic.fixed_sequence_logic),
            Step("Which network is first is no matter of chance, and its own test errs with "
                 r"probability at most $\alpha$ (CT-1).", symbolic.lower_set),
            Step(COUNT, why_not="the definition of i.i.d.; calibration is held fixed"),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-4", "Monitoring at any time",
        r"With $\pi$ a beta law cut off at $q > \delta$ and $k$ violations in $n$ points, $E = "
        r"\int q^k (1-q)^{n-k} d\pi(q)/\left(\delta^k "
        r"(1-\delta)^{n-k}\right)$ is a supermartingale for every rate $p \leq "
        r"\delta$ and has mean 1 at $p = \delta$, so that $\Pr(E$ ever reaches $1/\alpha) \leq "
        r"\alpha$. Cut off at $q < \delta$ it is the same against $p \geq "
        r"\delta$. The rates against which the whole mixture stays below $1/\alpha$ are a "
        "confidence sequence.",
        "Watch a network in use and look as often as you like: a false alarm stays as rare as "
        "promised.",
        "derived here; Robbins (1970), method of mixtures; Ville (1939)",
        computes=(sipp_theory.e_value, sipp_theory.log_e_value, sipp_theory.confidence_sequence),
        steps=(
            Step("One point multiplies each likelihood ratio by "
                 r"$1 + (p-\delta)(q-\delta)/(\delta (1-\delta))$ on average: 1 at $p = \delta$, "
                 "at most 1 where $p$ and $q$ lie on different sides.", symbolic.one_step),
            Step("The mixture over $q$ inherits it.", why_not="Tonelli's theorem, cited"),
            Step(r"The mean is 1 at $p = \delta$, as a function of $\delta$, for $n \leq 7$.",
                 symbolic.expectation_is_one),
            Step("Without the cut-off the claim is false: $E$ grows without a violation at "
                 "$p = 0$.", symbolic.untruncated_fails),
            Step(r"A supermartingale $\geq 0$ that starts at 1 ever reaches $1/\alpha$ with "
                 r"probability at most $\alpha$.",
                 why_not="Ville's inequality, cited; dynamic programming over all paths agrees"),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-5", "The whole curve: every error and every share at once",
        r"Let $b_r = \mathrm{BetaInv}(\alpha'; r, n-r+1)$ with the largest $\alpha'$ for which "
        r"uniform order statistics have $\Pr(U_{(r)} \geq b_r$ for all $r) \geq 1-\alpha$. With "
        r"confidence $1-\alpha$, $\Pr(e > e_{(r)}) \leq 1 - b_r$ for every $r$ at once, for any "
        r"law of $e$: $\epsilon$ or $\delta$ may be chosen after looking.",
        "One certificate for every error and every share of inputs together, so that nobody has "
        "to say beforehand which of them matters.",
        "Berk and Jones, Z. Wahrscheinlichkeitstheorie 47 (1979); Noe, Ann. Math. Stat. 43 (1972)",
        assumptions=("A-held-out",), depends=("CT-1",),
        computes=(sipp_theory.simultaneous_band, sipp_core.certify),
        steps=(
            Step(r"$e = F^{-1}(U)$ for uniform $U$, and then $\Pr(e > e_{(r)}) \leq 1 - U_{(r)}$, "
                 "with equality for a continuous law.",
                 why_not="the quantile transform; holds for laws with atoms too"),
            Step(TAIL, symbolic.tail_is_beta),
            Step(r"$U_{(r)} \geq b_r$ for all $r$ if and only if the count of points below $b_r$ "
                 r"never reaches $r$; given its total the count of a Poisson process is that of "
                 r"uniform points, for $n \leq 4$ as polynomials in the boundaries.",
                 symbolic.pinned_poisson),
            Step(r"A union over the $n$ boundaries allows $\alpha' = \alpha/n$, one boundary "
                 r"allows $\alpha' = \alpha$: the level lies between.", symbolic.union_of_levels),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-6", "Accuracy, and the accuracy that pruning costs",
        r"Of $n$ i.i.d. held-out points with labels the original has $k_{10}$ right that the "
        r"pruned network has wrong, and $k_{01}$ are the other way round. With confidence "
        r"$1-\alpha$ the drop in accuracy is at most $U(k_{10}; \alpha/2) - L(k_{01}; \alpha/2)$ "
        "(ends of CT-1's intervals), and with that confidence the pruned network's accuracy is at "
        "least CT-1's lower limit for its right answers.",
        "How much accuracy pruning can have cost on fresh inputs, and how accurate the pruned "
        "network is at least.",
        "derived here; Clopper and Pearson, Biometrika 26 (1934)", assumptions=("A-held-out",),
        depends=("CT-1",),
        computes=(sipp_theory.accuracy_drop, sipp_theory.accuracy_bound, sipp_core.certify),
        steps=(
            Step("The accuracies differ by the chance of a broken input less that of a mended one.",
                 symbolic.drop_is_a_difference),
            Step(COUNT, why_not="the definition of i.i.d. and of the binomial law"),
            Step(r"If the bound fails, one of two limits has failed, each with probability at "
                 r"most $\alpha/2$.", symbolic.one_of_two_limits),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-7", "Groups, scores and laws of corruption: a family at once",
        r"Statements by CT-1, CT-2, CT-5 or CT-6 for each of $G$ groups (classes, or labels of the "
        r"user's), scores or laws of corruption, each made at confidence $1-\alpha/G$, all hold "
        r"at once with confidence $1-\alpha$. A group of so few points that it proves nothing at "
        "that level is named.",
        "What pruning does to each class, or under each kind of noise, with one confidence for "
        "all of it.",
        "Bonferroni (1936)", assumptions=("A-held-out",), depends=("CT-1", "CT-2", "CT-5", "CT-6"),
        computes=(sipp_theory.family_confidence, sipp_core.certify),
        steps=(
            Step("Given the labels, the points of a group are i.i.d. draws of that group, and the "
                 "number of groups is fixed.", why_not="conditional independence, by definition"),
            Step(r"The chance that any of $G$ statements fails is at most the sum of their "
                 r"levels, $G \alpha/G$.", symbolic.union_of_levels),
        ),
        probabilistic=True,
    ),
    Claim(
        "CT-8", "CoreNet's sentence about the network, by simulation",
        r"Given the calibration, let the network be drawn anew for each of $n$ held-out inputs, "
        r"and let $k$ of these pairs have an output entry that leaves $(1 \pm \epsilon) f(x)$. "
        r"Budgets are tested from the largest on by whether "
        r"$\Pr(\mathrm{Bin}(n, \delta) \leq k) \leq \alpha$, and the first failure ends the "
        r"search. The chance that any accepted budget has $\Pr(\hat f(x) \notin (1 \pm \epsilon) "
        r"f(x)) > \delta$, over draw and fresh input together, is at most $\alpha$.",
        "How many draws, or weights, the sentence of CoreNet's network theorem truly needs: no "
        "assumption, and no number of the kind of 10^26.",
        "derived here; Clopper and Pearson (1934), Maurer et al. (1995); the sentence is [CN], "
        "arXiv 1804.05345, theorem 4", assumptions=("A-held-out",), depends=("CT-1", "CT-3"),
        computes=(sipp_theory.least_budget, sipp_theory.leaves_entrywise, sipp_core.least_budget),
        steps=(
            Step(r"The event of the theorem: an entry is within its factor if and only if "
                 r"$|\hat f - f| \leq \epsilon |f|$.", symbolic.entry_within_its_factor),
            Step("Each pair has an input and a draw of its own, so that the pairs are i.i.d. and "
                 "their failures binomial at the probability over both.",
                 why_not="the definition of i.i.d. and of the binomial law"),
            Step("If a budget that is not enough is accepted, the first such budget of the order "
                 "has passed its own test.", symbolic.fixed_sequence_logic),
            Step(r"That test errs with probability at most $\alpha$ (CT-1).", symbolic.lower_set),
        ),
        probabilistic=True,
    ),
)  # fmt: skip
