"""Claims of the family GN: generalization bounds."""

from __future__ import annotations

import sipp_theory
from proofs_check.generalization import symbolic
from proofs_check.ledger.claim import Claim, Step

CHERNOFF = Step(
    r"$\Pr(\mathrm{Bin}(n, p) \leq q n) \leq e^{n (a q + \ln(1 - p + p "
    r"e^{-a}))}$ for $a \geq 0$, and the least exponent is $-n\,kl(q \| "
    "p)$, at $e^{-a} = q(1-p)/(p(1-q))$.",
    symbolic.least_exponent_is_kl,
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "GN-1", "Generalization by compression",
        "Let $G$ be a list of $r^q$ classifiers fixed before the $n$ i.i.d. points, and let "
        r"$\hat f \in G$ have every score within $\gamma/2$ of $f$'s, except at a share $\xi$ of "
        r"the points. With probability $1 - \delta$, for all $\hat f \in G$, $f$ and $\gamma$ at "
        r"once, $L_0(\hat f) \leq \hat L_\gamma(f) + \xi + \sqrt{(q \ln r + "
        r"\ln(1/\delta))/(2n)}$; the best of $c$ lists costs $\ln c$ more. With $\gamma"
        r"$ in the place of $\gamma/2$ it is false.",
        "A network that nearly agrees with one from a short list errs on new inputs little more "
        "than on those it was trained on.",
        "[AR] arXiv 1802.05296, Theorem 2.1; the half of the margin and the price of choices "
        "derived here",
        computes=(sipp_theory.compression_bound, sipp_theory.margins, sipp_theory.margin_loss,
                  sipp_theory.margin_quantiles),
        steps=(
            Step(r"Two scores that move by $\gamma/2$ at most move their difference by $\gamma$ "
                 r"at most: a margin above $\gamma$ stays above 0. Two that move by $\gamma$ can "
                 r"turn a margin of $3\gamma/2$ into an error.", symbolic.half_a_margin),
            Step(r"So $\hat L_0(\hat f) \leq \hat L_\gamma(f) + \xi$, whatever $f$ and $\gamma$ "
                 "were chosen by.", why_not="each point is counted by the one or the other"),
            Step("One classifier is off by more than $t$ with probability at most $e^{-2nt^2}$.",
                 why_not="Hoeffding's inequality, cited; trials agree"),
            Step(r"At $t = \sqrt{(q \ln r + \ln c + \ln(1/\delta))/(2n)}$ the $c\,r^q$ failures "
                 r"add up to $\delta$.", symbolic.union_of_lists),
        ),
        probabilistic=True, use_instead="GN-3",
    ),
    Claim(
        "GN-2", "CoreNet's generalization bound",
        r"With $\epsilon = \min(1, \gamma/(2 \max_x \|f(x)\|))$ in NW-5, $q$ the number of "
        "nonzeros that it asks for (at most $N$, the number of weights) and $r$ values of each: "
        r"$L_0(\hat f) \leq \hat L_\gamma(f) + \lfloor \delta_1 n \rfloor/n + \sqrt{((q + b) \ln "
        r"r + q \ln(e N/q) + \ln(N+1) + \ln(1/\delta))/(2n)}$ for some draw $\hat f$, $b"
        r"$ biases and $\delta_1$ the failure probability in NW-5. Without places, biases and "
        r"rounding the square of the last term is $64 L^2 (\max \|f\|/\gamma)^2 \sum_l "
        r"(\hat\Delta_{l \to})^2 \sum_i S_i \cdot \ln(\eta \eta^*) \ln(8\eta/\delta_1) \ln r/n$.",
        "What the size of CoreNet's pruned network says about new inputs: nothing for networks "
        "in use, where it asks for more weights than there are.",
        "[CN] arXiv 1804.05345, corollary 5; places, values and constants derived here",
        assumptions=("A1", "A2"), depends=("NW-5", "GN-1"),
        computes=(sipp_theory.corenet_generalization,),
        steps=(
            Step(r"$\epsilon \max \|f\| \leq \gamma/2$, and the constants multiply to 64.",
                 symbolic.corenet_constants),
            Step(r"On average over the draw at most $\delta_1 n$ points are off, so some draw "
                 r"has at most $\lfloor \delta_1 n \rfloor$ of them.",
                 why_not="a whole number that is at most its mean is taken; NW-5 is a claim of "
                 "its own"),
            Step(r"$q$ nonzeros have $\binom{N}{q} \leq N^q/q! \leq (e N/q)^q$ places, chosen on "
                 r"the points: they are part of the list. Which $q$ costs $\ln(N+1)$.",
                 why_not=r"$q^q/q!$ is one term of the series of $e^q$; every $q \leq N \leq 60$ "
                 "is looked at in whole numbers"),
            Step(r"The list for each $q$ is the same for every $\gamma$, so that $\gamma$ is "
                 "free.", why_not="GN-1, a claim of its own"),
        ),
        probabilistic=True, use_instead="GN-3",
    ),
    Claim(
        "GN-3", "Occam's bound",
        r"Let every network $h$ have $B(h) \geq 0$ bits with $\sum_h 2^{-B(h)} \leq 1$, fixed "
        "before the $n$ i.i.d. points, and $k(h)$ errors on them. With probability "
        r"$1 - \delta$, for all $h$ at once, $L(h) \leq \max\{p : \Pr(\mathrm{Bin}(n, p) \leq k) "
        r"\geq \delta 2^{-B}\}$, which is at most the kl form $\max\{p : n\,kl(k/n \| p) \leq B "
        r"\ln 2 + \ln(1/\delta)\}$, which is at most $k/n + \sqrt{(B \ln 2 + "
        r"\ln(1/\delta))/(2n)}$.",
        "A network that fits into a short file and errs rarely on the inputs it was trained on "
        "errs rarely on new ones; what was chosen on them is part of the file.",
        "Blumer et al. 1987 (Occam's razor); Langford, JMLR 6 (2005), the binomial tail; Kraft "
        "1949 and McMillan 1956, codes; Elias 1975, whole numbers",
        depends=("CT-1",),
        computes=(sipp_theory.occam_bound, sipp_theory.bits_allowed, sipp_theory.choice_bits,
                  sipp_theory.search_bits, sipp_theory.count_bits, sipp_theory.kraft_sum,
                  sipp_theory.require_prefix_code, sipp_theory.BitBudget),
        steps=(
            Step(r"The bound of one $h$ fails with probability at most $\delta 2^{-B(h)}$.",
                 why_not=r"It is CT-1 at the confidence $1 - \delta 2^{-B}$, a claim of its own."),
            Step(r"These add up to $\delta \sum_h 2^{-B(h)} \leq \delta$, and with it any choice "
                 "of $h$ is covered.", why_not="the union bound"),
            Step("The files of a prefix-free code, one after the other or one of a list, have "
                 r"$\sum 2^{-B} \leq 1$.", why_not="Kraft's inequality, cited; words are built"),
            Step("The lengths of Elias' delta code of all whole numbers have the sum 1.",
                 symbolic.counts_are_a_code),
            CHERNOFF,
            Step(r"$kl(q \| p) - 2(p-q)^2$ rises in $p \geq q$ from 0.", symbolic.pinsker),
        ),
        probabilistic=True,
    ),
    Claim(
        "GN-4", "Catoni's bound with its union paid",
        r"Let $\pi$ be a law over networks fixed before the $n$ i.i.d. points. With probability "
        r"$1 - \delta$, for every law $\rho$ and every $\lambda \geq 1$ at once, $R(\rho) \leq "
        r"\Phi^{-1}_{\lambda/n}\left(\hat R(\rho) + \frac{1+\alpha}{\lambda}\left(KL(\rho \| "
        r"\pi) + \ln\frac{1}{\delta} + 2 \ln\left(2 + \frac{\ln "
        r"\lambda}{\ln(1+\alpha)}\right)\right)\right)$, $\Phi^{-1}_a(q) = (1 - e^{-aq})/(1 - "
        r"e^{-a})$. Without the last logarithm and $\alpha$ its infimum is the kl form of GN-3, "
        r"which holds for a single network of a prefix-free code ($KL = B \ln 2$) and is not "
        r"proved for a spread $\rho$.",
        "The form in which published bounds of compressed networks are computed; for a single "
        "network Occam's bound is always smaller.",
        "Catoni 2007, arXiv 0712.0248, Theorem 1.2.6; Zhou et al. 2019, arXiv 1804.05862; the "
        "remark on the kl form derived here",
        computes=(sipp_theory.catoni_bound,),
        steps=(
            Step(r"$E e^{-a \ell} = 1 - p(1 - e^{-a}) = e^{-a \Phi_a(p)}$ for an error of "
                 r"probability $p$, so $E e^{\lambda (\Phi_{\lambda/n}(R) - \hat R)} = 1$ for "
                 r"each network, and $\Phi^{-1}_a$ inverts $\Phi_a$.", symbolic.catoni_moment),
            Step(r"$\lambda(\Phi(R(\rho)) - \hat R(\rho)) \leq KL(\rho \| \pi) + "
                 r"\ln(1/\delta)$ for all $\rho$ at once, with probability $1 - \delta$.",
                 why_not="Donsker and Varadhan's inequality, Markov's, and Jensen's for the "
                 r"convex $\Phi_a$, cited"),
            Step(r"$\sum_{k \geq 0} 1/((k+1)(k+2)) = 1$ and $(k+1)(k+2) \leq (k+2)^2$: all "
                 r"$\lambda = (1+\alpha)^k$ hold at once.", symbolic.grid_of_lambda),
            Step(r"For $\lambda$ between two of them the lower one holds; it has a smaller "
                 r"$\Phi^{-1}$, as this rises in $a$ for $q < 1$, and $1/\lambda$ grew by "
                 r"$1 + \alpha$ at most. So the infimum may be over all $\lambda \geq 1$.",
                 symbolic.inverse_rises),
            CHERNOFF,
        ),
        probabilistic=True, use_instead="GN-3",
    ),
)  # fmt: skip
