"""Claims of the family MS: entrywise sparsification of a matrix, and what no method can beat."""

from __future__ import annotations

import sipp_theory
from proofs_check.ledger.claim import Claim, Step
from proofs_check.matrices import symbolic
from sipp_core.methods import entrywise

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "MS-1", "Spectral error of entrywise draws",
        r"Draw $s$ entries of $A$ ($m \times n$) i.i.d. with probabilities $p_{ij}$, each giving "
        r"$X = (a_{ij}/p_{ij}) e_i e_j^T$, and let $\hat A$ be their mean. With $\sigma^2$ and "
        r"$R$ of MS-2, $\Pr(\|\hat A - A\|_2 \geq t) \leq (m+n) \exp\left(-t^2 s/(2\sigma^2 + 2 "
        r"R t/3)\right)$. Vacuous for $t \geq \|A\|_2$, which $\hat A = 0$ reaches.",
        "How far a layer that was thinned out by drawing single weights can be from the layer "
        "itself, whatever the input is.",
        "Tropp 2015, arXiv 1501.01571, Theorem 6.1.1; used so by Drineas and Zouzias, arXiv "
        "1006.0407",
        depends=("MS-2",),
        computes=(sipp_theory.spectral_failure, sipp_theory.spectral_error,
                  sipp_theory.spectral_size, entrywise.spectral_note),
        steps=(
            Step(r"The sum of $s$ independent centred $Z_k/s$ with $\|Z_k\| \leq R$ obeys matrix "
                 r"Bernstein with variance $\sigma^2/s$ and range $R/s$.",
                 why_not="Tropp's theorem, cited; trials and enumerated laws agree"),
            Step(r"With $\sigma^2/s$ and $R/s$ its exponent is the one of the statement.",
                 symbolic.exponent_of_a_mean),
            Step(r"At $t = \left(b + \sqrt{b^2 + 2 \sigma^2 L s}\right)/s$, $b = R L/3$, "
                 r"$L = \ln((m+n)/\delta)$, the bound is $\delta$.", symbolic.error_inverts),
            Step("The error falls in $s$, so the size is the least whole number that solves it.",
                 symbolic.error_falls),
        ),
        probabilistic=True,
    ),
    Claim(
        "MS-2", "Moments of one entrywise draw",
        "$E X = A$ wherever $p$ covers $A$. With $Z = X - A$, "
        r"$E Z Z^T = \mathrm{diag}(\sum_j a_{ij}^2/p_{ij}) - A A^T$ and $E Z^T Z$ alike by "
        r"columns; $\sigma^2$ is the larger of the two norms. $\max |a_{ij}|/p_{ij} - \|A\|_2 "
        r"\leq \max \|Z\| \leq R = \max |a_{ij}|/p_{ij} + \|A\|_2$.",
        "The two numbers that decide how good a way of drawing weights is, from the weights and "
        "the probabilities alone.",
        "derived here", computes=(sipp_theory.draw_moments, sipp_theory.DrawMoments),
        steps=(
            Step("$E X = A$, $E X X^T$ is diagonal, $E Z Z^T = E X X^T - A A^T$; for every "
                 r"$2 \times 3$ matrix and law.", symbolic.moments_of_a_draw),
            Step("The same entry by entry for any size: $e_i e_j^T e_j e_i^T = e_i e_i^T$.",
                 why_not="a sum over entries, term by term as in the case that was derived"),
            Step(r"$\|X\| = |a_{ij}|/p_{ij}$, and the triangle inequality both ways.",
                 why_not="norm axioms"),
        ),
    ),
    Claim(
        "MS-3", "Laws for drawing entries",
        r"Bounds on $R - \|A\|_2$ and $\sigma^2$ by rows (and columns): uniform $N \max|a|$, "
        r"$N \|A_i\|_2^2$; l1 $\|A\|_1$, $\|A\|_1 \|A_i\|_1$; l2 $\|A\|_F^2/\min|a|$, "
        r"$n_i \|A\|_F^2$; $\alpha$ l1 + $(1-\alpha)$ l2 the smaller of l1's over $\alpha$ and "
        r"l2's over $1-\alpha$. No law has a smaller $\max |a|/p$ than l1, nor a smaller "
        r"$E\|\hat A - A\|_F^2$.",
        "Which ways of drawing weights are safe: in proportion to the squares, small weights "
        "that happen to be drawn ruin the bound; half and half repairs it.",
        "Kundu and Drineas 2014, arXiv 1404.0320 (the mixture); the rest derived here",
        depends=("MS-2",), computes=(sipp_theory.closed_moments, sipp_theory.entry_probabilities),
        steps=(
            Step(r"$p \geq \alpha p_1$ and $p \geq (1-\alpha) p_2$ entrywise, so $|a|/p$ and "
                 r"$a^2/p$ are at most those of l1 over $\alpha$, of l2 over $1-\alpha$.",
                 symbolic.mixture_is_no_worse),
            Step(r"$\max |a|/p \geq \sum p |a|/p = \|A\|_1$, and l1 reaches it.",
                 symbolic.l1_has_the_least_range),
            Step(r"$s\,E\|\hat A - A\|_F^2 = \sum a^2/p - \|A\|_F^2$, at least "
                 r"$\|A\|_1^2 - \|A\|_F^2$ by Cauchy's inequality, which l1 reaches.",
                 symbolic.l1_has_the_least_mean_square),
            Step(r"$\|\mathrm{diag}(d) - A A^T\| \leq \max d$, as both terms and their "
                 "difference are positive semidefinite.",
                 why_not="order of symmetric matrices, cited"),
        ),
    ),
    Claim(
        "MS-4", "The best of a given rank",
        r"Every $B$ of rank at most $r$ has $\|A - B\|_2 \geq \sigma_{r+1}(A)$, and the "
        "truncated singular value decomposition reaches it. It is no floor for sparse $B$ of as "
        "many parameters: the identity has $n$ entries and full rank.",
        "How near any factorised layer of so many numbers can come; what other low-rank methods "
        "are to be measured by.",
        "Eckart and Young 1936; Mirsky 1960", computes=(sipp_theory.rank_floor,),
        steps=(
            Step("The kernel of $B$ meets the span of the first $r+1$ right singular vectors in "
                 r"a unit vector $v$: $\|A - B\| \geq \|A v\| \geq \sigma_{r+1}$.",
                 why_not="dimension count, cited; random rivals never come nearer"),
            Step(r"$\|A v\|^2 = \sum_{i \leq r+1} \sigma_i^2 c_i^2 \geq "
                 r"\sigma_{r+1}^2$ where $\sum c_i^2 = 1$.", symbolic.image_of_a_unit_vector),
        ),
    ),
    Claim(
        "MS-5", "The best of a given number of entries",
        r"Every $B$ of at most $k$ nonzero entries has $\|A - B\|_2 \geq \max\left(|a|_{(k+1)}, "
        r"\left(\sum_{l>k} |a|_{(l)}^2/\min(m,n)\right)^{1/2}\right)$, $|a|_{(l)}$ the entries "
        "by falling magnitude.",
        "How near any thinned-out layer of so many weights can come, whatever the method and its "
        "reweighting.",
        "derived here", computes=(sipp_theory.sparse_floor,),
        steps=(
            Step(r"$mn - k$ entries of $B$ are 0, so $\|A-B\|_F^2$ and its largest entry are at "
                 "least those of the smallest entries of $A$; enumerated for every support of a "
                 r"$2 \times 2$ matrix.", symbolic.what_is_dropped),
            Step(r"$\max |c_{ij}| \leq \|C\|_2$ and $\|C\|_F^2 \leq \min(m,n) \|C\|_2^2$.",
                 why_not="singular values: their squares add up to the Frobenius norm's"),
        ),
    ),
)  # fmt: skip
