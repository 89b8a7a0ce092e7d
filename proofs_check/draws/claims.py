"""Claims of the family SP that draw weights with replacement."""

from __future__ import annotations

import sipp_theory
from proofs_check.draws import symbolic
from proofs_check.ledger.claim import Claim, Step
from sipp_core.pruning import draw

FRONT = (sipp_theory.sample_size, sipp_theory.error)

MARKOV = Step(
    r"$\Pr(X \geq a) \leq e^{-\lambda a} E e^{\lambda X}$, and the mean of "
    r"$e^{\lambda X}$ multiplies over independent draws.",
    symbolic.markov,
)
RANGE = Step(
    r"Where $g_j(x) \leq C s_j$, a draw $T = g_J / q_J$ lies in $[0, M]$ with "
    r"$M = C S$, and $\mathrm{Var} T \leq M - 1$.",
    symbolic.range_and_variance,
)
TWO_POINT = Step(
    r"Among laws on $[0, M]$ with mean 1 the one on $\{0, M\}$ has the largest "
    r"$E e^{\lambda T}$, for every $\lambda$: the exponential lies below its chord.",
    symbolic.two_point_has_the_largest_moments,
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="SP-1", name="Drawing with replacement is unbiased",
        statement="Draw $m$ indices independently with probabilities $q_j = s_j / S$ and let "
        r"$\hat{w}_j = w_j N_j / (m q_j)$, $\hat{z} = \sum_j \hat{w}_j a_j$. Then "
        r"$E \hat{z} = z$ on the support of $q$. Where $g_j(x) \leq C s_j$ for all $j$, a draw "
        r"$T = c_J / q_J$ lies in $[0, M z]$ and $\mathrm{Var} T \leq (M - 1) z^2$, $M = C S$.",
        plain="The pruned neuron is right on average, and no single draw can be far too large.",
        source="SiPP, arXiv 1910.05422, SIAM J. Math. Data Sci. 2022; the -1 derived here",
        assumptions=("A-nonnegative",), depends=("ES-1",),
        computes=(draw, sipp_theory.expected_distinct, sipp_theory.draws_for_distinct),
        steps=(
            Step(r"$E T = \sum_j q_j c_j / q_j = z$ and $E N_j = m q_j$.", symbolic.unbiased),
            RANGE,
        ),
    ),
    Claim(
        id="SP-2", name="CoreNet's sample size",
        statement=r"With $K = \ln(\eta \eta^*)$ and $m = \left\lceil 8 S K \ln(8 \eta / \delta) "
        r"/ \epsilon^2 \right\rceil$ draws, $\Pr(|\hat{z} - z| \leq \epsilon z) \geq 1 - 3 "
        r"\delta / (8 \eta)$.",
        plain="CoreNet's number of draws is enough, hundreds of times more than what real "
        "neurons need: its constant is 3 to 4 times too large, and K and the union over all "
        "neurons do the rest.",
        source="CoreNet, arXiv 1804.05345, ICLR 2019 (confirmed from the supplement)",
        assumptions=("A1", "A-iid", "A-nonnegative"), depends=("SP-3", "ES-4"),
        computes=(sipp_theory.corenet_size, sipp_theory.corenet_error, *FRONT),
        steps=(
            Step(r"$\Pr(\exists j : g_j(x) > K s_j) \leq \delta / (8 \eta)$ at a fresh input.",
                 why_not="It is ES-4, a claim of its own, and rests on assumption A1."),
            RANGE,
            MARKOV,
            Step(r"Bernstein asks for $\frac{6 + 2 \epsilon}{3} M L / \epsilon^2$ at most, "
                 r"$M = K S$, $L = \ln(8 \eta / \delta)$.", symbolic.bernstein_simple_form),
            Step(r"$8 \geq \frac{6 + 2 \epsilon}{3}$, 4 times over at $\epsilon = 0$ and 3 times "
                 r"at $\epsilon = 1$.", symbolic.eight_is_three_too_many),
            Step(r"$\delta / (8 \eta) + 2 \delta / (8 \eta) = 3 \delta / (8 \eta)$.",
                 symbolic.corenet_failure),
        ),
        probabilistic=True, use_instead="SP-4",
    ),
    Claim(
        id="SP-3", name="Bernstein's sample size",
        statement=r"Where $g_j(x) \leq C s_j$ for all $j$, $M = C S$, $L = \ln(2 / \delta)$: "
        r"with $m \geq (2 (M - 1) + \frac{2}{3} \max(M - 1, 1) \epsilon) L / "
        r"\epsilon^2$ draws, $\Pr(|\hat{z} - z| > \epsilon z) \leq \delta$. The authors' ranking "
        "heuristic has half of this variance term and is no bound.",
        plain="So many draws keep a neuron within eps, from its sum of sensitivities alone.",
        source="SiPP, arXiv 1910.05422, SIAM J. Math. Data Sci. 2022 (constants re-derived)",
        assumptions=("A-nonnegative",), depends=("SP-1",),
        computes=(sipp_theory.bernstein_size, sipp_theory.bernstein_error,
                  sipp_theory.heuristic_error, sipp_theory.bernstein_coefficients, *FRONT),
        steps=(
            RANGE,
            MARKOV,
            Step(r"For $X \leq b$ with mean 0 and variance $v$, $E e^{\lambda X} \leq \exp(v "
                 r"(e^{\lambda b} - 1 - \lambda b) / b^2)$.", symbolic.bennett_moment),
            Step(r"At the best tilt the exponent at $t$ is $\frac{v}{b^2} h(b t / v)$ with "
                 r"$h(u) = (1 + u) \ln(1 + u) - u$.", symbolic.bennett_exponent),
            Step(r"$h(u) \geq \frac{u^2}{2 + 2 u / 3}$.", symbolic.bennett_to_bernstein),
            Step(r"With $v = M - 1$, $b = \max(M - 1, 1)$ and $\delta / 2$ a side, "
                 r"$m \epsilon^2 = (2 v + \frac{2}{3} b \epsilon) L$, and its inverse in "
                 r"$\epsilon$ is exact.", symbolic.bernstein_inverse),
            Step(r"It never exceeds the simple form $2 M (1 + \epsilon / 3) L / \epsilon^2$.",
                 symbolic.bernstein_simple_form),
            Step(r"The authors' code solves $m \epsilon^2 = (1 + \frac{2}{3} \epsilon) M L$: its "
                 "1 is not Bernstein's 2.", symbolic.plus_one_is_no_plus_two),
        ),
        probabilistic=True, use_instead="SP-4",
    ),
    Claim(
        id="SP-4", name="The Chernoff-Hoeffding sample size",
        statement=r"Where $g_j(x) \leq C s_j$ for all $j$, $p = 1 / (C S)$: with $m \geq "
        r"\frac{\ln(2 / \delta)}{\min(\mathrm{kl}((1 + \epsilon) p, p), \mathrm{kl}((1 - "
        r"\epsilon) p, p))}$ draws, $\Pr(|\hat{z} - z| > \epsilon z) \leq "
        r"\delta$, $\mathrm{kl}(a, p) = a \ln \frac{a}{p} + (1 - a) \ln \frac{1 - a}{1 - p}$. "
        "Never more than SP-3.",
        plain="The sharpest size of its kind that the sum of sensitivities alone can give.",
        source="Hoeffding 1963, Theorem 1, applied to SiPP, arXiv 1910.05422; derived here",
        assumptions=("A-nonnegative",), depends=("SP-1",),
        computes=(sipp_theory.kl_size, sipp_theory.kl_error, *FRONT),
        steps=(
            RANGE,
            MARKOV,
            TWO_POINT,
            Step(r"The Legendre transform of the two-point law at $1 \pm \epsilon$ is "
                 r"$\mathrm{kl}((1 \pm \epsilon) p, p)$.", symbolic.two_point_rate),
            Step(r"$\mathrm{kl}((1 + e) p, p) = p h(e) + (1 - p) h(-e p / (1 - p))$, the form "
                 "computed, in which nothing cancels.", symbolic.divergence_without_cancelling),
            Step(r"$\mathrm{kl}((1 \pm e) p, p) \geq \frac{e^2}{2 (M - 1) + \frac{2}{3} \max(M - "
                 "1, 1) e}$, so SP-4 is at most SP-3.", symbolic.chernoff_is_above_bernstein),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-5", name="Cramér's sample size at given inputs",
        statement=r"$m \geq \max_{x \in S} \frac{\ln(2 / \delta)}{\min(I_x(1 + \epsilon), I_x(1 "
        r"- \epsilon))}$ draws give $\Pr(|\hat{z} - z| > \epsilon z) \leq \delta$ at each $x \in "
        r"S$, where $I_x$ is the Legendre transform of $\ln \sum_j q_j e^{\lambda g_j(x) / "
        "q_j}$. Never more than SP-4 with $C = 1$.",
        plain="Knowing the inputs themselves saves a little; the bound is still twice the truth.",
        source="Cramer 1938; derived here in this use", assumptions=("A-nonnegative",),
        depends=("SP-1",), computes=(sipp_theory.cramer_size, sipp_theory.cramer_error, *FRONT),
        steps=(
            MARKOV,
            Step(r"The error is $\min_\mu (K(\mu) + y) / \mu$, $y = \ln(2 / \delta) / m$, and "
                 r"any $\mu$ gives a true bound.", symbolic.error_is_the_inverse_rate),
            TWO_POINT,
            Step("A smaller moment at every tilt is a larger rate, so SP-5 is at most SP-4.",
                 symbolic.rates_keep_the_order_of_moments),
        ),
        probabilistic=True, use_instead="SP-5x",
    ),
    Claim(
        id="SP-5x", name="The exact tail at given inputs",
        statement=r"The $m$ computed has $\Pr(|\hat{z} - z| > \epsilon z) \leq \delta$ at each "
        r"$x \in S$, the probability taken from the law of the estimate itself, by a convolution "
        "whose grid, window and rounding err on the safe side. Never more than SP-5.",
        plain="The number of draws that the calibration inputs really need, to about one per "
        "cent.",
        source="derived here; method after Koskela et al. 2020 and Gopi et al. 2021 (privacy)",
        assumptions=("A-nonnegative",), depends=("SP-1", "SP-3", "SP-5"),
        computes=(sipp_theory.exact_size, sipp_theory.exact_error, *FRONT),
        steps=(
            MARKOV,
            Step("At the size of SP-5 Chernoff's bound of the tail is delta, so SP-5x is at most "
                 "SP-5.", symbolic.exact_tail_is_below_chernoff),
            Step("Grid residue and window, two sides each, cost a thousandth of delta apiece.",
                 symbolic.bookkeeping_is_paid),
            Step("The residue and the window leave their Bernstein radius with that probability: "
                 r"$h(u) \geq \frac{u^2}{2 + 2 u / 3}$.", symbolic.bennett_to_bernstein),
            Step("The Fourier transform's rounding error stays below the allowance made for it.",
                 why_not="Rounding of a library's transform; compared with enumeration and with "
                 "binomial laws instead."),
        ),
        probabilistic=True,
    ),
)  # fmt: skip
