"""SP-8 and SP-11: weights that are included at random, one sign or a whole neuron at a time."""

from __future__ import annotations

import sipp_theory
from proofs_check.inclusion import symbolic, symbolic_neuron
from proofs_check.keeping import symbolic as keeping_symbolic
from proofs_check.ledger.claim import Claim, Step

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="SP-8", name="Inclusion of each weight by a coin",
        statement=r"Keep weight $j$ with $p_j = \min(1, c s_j)$ and $\hat{w}_j = w_j/p_j$, where "
        r"$g_j(x) \leq C s_j$. Let $R = \{j : p_j < 1\}$ and "
        r"$G_R = \max_{x} \sum_{j \in R} g_j(x)$. Then "
        r"$\Pr(|\hat{z} - z| > \varepsilon z) \leq \delta$ as soon as $c \geq \frac{2 C (G_R + "
        r"\varepsilon/3) \ln(2/\delta)}{\varepsilon^2}$ or, never more, $c \geq \frac{C "
        r"\ln(2/\delta)}{G_R h(\varepsilon/G_R)}$, $h(t) = (1+t) \ln(1+t) - "
        r"t$. The number kept is $\sum_j p_j$ in expectation. Both hold as well for weights that "
        "are coupled by pivotal sampling, which fixes the number kept; the exact tail (SP-5x) "
        "holds for independent coins alone.",
        plain="Keeping each weight by a coin of its own, likelier for more important weights, "
        "errs by more than promised at most as often as promised; so does a version that always "
        "keeps the same number.",
        source="derived here; Bernstein 1946, Bennett 1962, Deville and Tille 1998 (pivotal "
        "sampling)",
        assumptions=("A-nonnegative",), depends=("ES-1", "ES-2"),
        computes=(sipp_theory.inclusion_rate, sipp_theory.inclusion_error,
                  sipp_theory.inclusion_probabilities, sipp_theory.expected_kept),
        steps=(
            Step("unbiased; terms within $C/c$ whose variances add up to at most $C G_R z^2/c$",
                 symbolic.moments_of_a_coin),
            Step("the exponential moment of one centred term, and of a sum of independent ones",
                 symbolic.exponential_moment),
            Step(r"the best exponent, two sides at $\ln(2/\delta)$", symbolic.bennett_exponent),
            Step("Bennett's form never asks for more than Bernstein's",
                 symbolic.bennett_beats_bernstein),
            Step("the printed rate solves Bernstein's equation; the error inverts it",
                 symbolic.bernstein_rate),
            Step(r"the expected number kept is $\sum_j p_j$", symbolic.expected_count),
            Step("a duel of pivotal sampling keeps the means and the total and never raises the "
                 "exponential moment on either side, so that every bound by that moment carries "
                 "over (induction over the duels)", symbolic.pivotal_duel),
            Step("the exponential moment bounds the tail (Markov's inequality)",
                 keeping_symbolic.markov),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-11", name="One tail for a whole neuron",
        statement=r"Of one neuron at one input, with $\tilde{z} = \sum_j |w_j a_j|$ and "
        r"$v_j = \frac{w_j a_j}{p_j \tilde{z}}$ of any sign, independent inclusion has "
        r"$\Pr(|\hat{z} - z| > \varepsilon \tilde{z}) \leq \delta$ as soon as, for some $t > 0$ "
        r"on each side, $K(\pm t) - t \varepsilon \leq -\ln(2/\delta)$, $K(t) = \sum_j \left[ "
        r"\ln(1 - p_j + p_j e^{t v_j}) - t p_j v_j \right]$. For $m$ draws with replacement from "
        r"each sign, $K(t) = \sum m \ln \sum_j q_j e^{t v_j} - t m \sum_j q_j v_j$ with $v_j = "
        r"\frac{w_j a_j}{m q_j \tilde{z}}$. It holds as well under pivotal coupling within groups "
        r"in which $w_j a_j$ has one sign at every input. The tail itself, by convolution with "
        "jumps of both signs, is the exact form, for independent coins.",
        plain="The errors of a neuron's positive and negative parts partly cancel, and need not be "
        "insured one by one.",
        source="derived here; Cramer 1938, Deville and Tille 1998 (pivotal sampling)",
        depends=("SP-8", "SP-9"),
        computes=(sipp_theory.tail_error, sipp_theory.tail_rate,
                  sipp_theory.tail_draws_error, sipp_theory.tail_draws,
                  sipp_theory.sample_size, sipp_theory.error),
        steps=(
            Step("the moment of one centred coin, whatever the sign of its jump",
                 symbolic_neuron.moment_of_a_coin),
            Step("draws from each sign: centring, and moments of independent draws multiply",
                 symbolic_neuron.moment_of_draws),
            Step(r"two tails at $\ln(2/\delta)$, no union over signs",
                 symbolic_neuron.one_union_of_two_tails),
            Step("the exponential moment bounds the tail (Markov's inequality)",
                 keeping_symbolic.markov),
            Step("drawing the signs apart, each in its share, has no larger moment",
                 symbolic_neuron.strata_help),
            Step("a duel of pivotal sampling never raises the moment where both jumps have one "
                 "sign", symbolic_neuron.duels_of_one_sign),
        ),
        probabilistic=True,
    ),
)  # fmt: skip
