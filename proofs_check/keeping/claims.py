"""Claims of the family SP about weights that are kept or included, and about joint promises."""

from __future__ import annotations

from proofs_check.ledger.claim import Claim, Step

SIPP = "SiPP, arXiv 1910.05422, SIAM J. Math. Data Sci. 2022"
CORENET = "CoreNet, arXiv 1804.05345, ICLR 2019"
HERE = "derived here"
LINEAR = "symbolic.keeping"
COINS = "symbolic.inclusion"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="SP-6",
        name="Dropping the least sensitive weights",
        statement="Keep the weights outside $D$ of one sign of a neuron. On $S$, "
        r"$0 \leq z - \hat{z} \leq G_D z$ with $G_D = \max_{x \in S} \sum_{j \in D} g_j(x) \leq "
        r"\sum_{j \in D} s_j$. Rescaling what is kept by $\frac{1}{1 - G_D/2}$ makes the worst "
        r"error $\frac{G_D}{2 - G_D}$ on either side, and no other factor does better. For a fresh "
        r"$x$ with $g_j(x) \leq C s_j$ for all $j$, the sum of the $s_j$ is taken $C$ times.",
        plain="Dropping weights that carry little loses at most the share that they carry; "
        "rescaling the rest nearly halves that.",
        source=f"{SIPP}, which prints the sum; maximum and recentring {HERE}",
        assumptions=("A-nonnegative",),
        depends=("ES-1",),
        computes=(
            "sipp_theory.dropped_share", "sipp_theory.dropped_share_bound",
            "sipp_theory.recentring", "sipp_theory.deterministic_error",
            "sipp_theory.deterministic_size", "sipp_theory.keep_most_sensitive",
        ),
        steps=(
            Step(r"$(z - \hat{z})/z$ is the dropped share, in $[0, 1]$ and at most the sum of the "
                 "sensitivities", f"{LINEAR}.dropped_part"),
            Step(r"the factor $\frac{1}{1 - G/2}$ is the minimax one, its error "
                 r"$\frac{G}{2 - G} \leq G$", f"{LINEAR}.recentring_is_minimax"),
        ),
    ),
    Claim(
        id="SP-7",
        name="The better of drawing and dropping",
        statement="For each neuron and sign take whichever of drawing (SP-3 or sharper) and "
        "dropping (SP-6) promises the smaller error. The smaller promise holds, with the failure "
        r"probability $\delta$ of drawing: the choice looks at $S$ and at no draw.",
        plain="One may take the better of two guarantees for each neuron at no cost, as long as "
        "the choice is made before any die is cast.",
        source=SIPP,
        depends=("SP-3", "SP-6"),
        computes=("sipp_theory.hybrid_error",),
        steps=(
            Step("what is taken keeps its own promise, with its own failure probability",
                 f"{LINEAR}.choice_costs_no_probability"),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-8",
        name="Inclusion of each weight by a coin",
        statement=r"Keep weight $j$ with $p_j = \min(1, c s_j)$ and $\hat{w}_j = w_j/p_j$, where "
        r"$g_j(x) \leq C s_j$. Let $R = \{j : p_j < 1\}$ and "
        r"$G_R = \max_{x} \sum_{j \in R} g_j(x)$. Then "
        r"$\Pr(|\hat{z} - z| > \varepsilon z) \leq \delta$ as soon as "
        r"$c \geq \frac{2 C (G_R + \varepsilon/3) \ln(2/\delta)}{\varepsilon^2}$ or, never more, "
        r"$c \geq \frac{C \ln(2/\delta)}{G_R h(\varepsilon/G_R)}$, $h(t) = (1+t) \ln(1+t) - t$. "
        r"The number kept is $\sum_j p_j$ in expectation. Both hold as well for weights that are "
        "coupled by pivotal sampling, which fixes the number kept; the exact tail (SP-5x) holds "
        "for independent coins alone.",
        plain="Keeping each weight by a coin of its own, likelier for more important weights, "
        "errs by more than promised at most as often as promised; so does a version that always "
        "keeps the same number.",
        source=f"{HERE}; Bernstein 1946, Bennett 1962, Deville and Tille 1998 (pivotal sampling)",
        assumptions=("A-nonnegative",),
        depends=("ES-1", "ES-2"),
        computes=(
            "sipp_theory.inclusion_rate", "sipp_theory.inclusion_error",
            "sipp_theory.inclusion_probabilities", "sipp_theory.expected_kept",
        ),
        steps=(
            Step(r"unbiased; terms within $C/c$ whose variances add up to at most $C G_R z^2/c$",
                 f"{COINS}.moments_of_a_coin"),
            Step("the exponential moment of one centred term, and of a sum of independent ones",
                 f"{COINS}.exponential_moment"),
            Step(r"the best exponent, two sides at $\ln(2/\delta)$", f"{COINS}.bennett_exponent"),
            Step("Bennett's form never asks for more than Bernstein's",
                 f"{COINS}.bennett_beats_bernstein"),
            Step("the printed rate solves Bernstein's equation; the error inverts it",
                 f"{COINS}.bernstein_rate"),
            Step(r"the expected number kept is $\sum_j p_j$", f"{COINS}.expected_count"),
            Step("a duel of pivotal sampling keeps the means and the total and never raises the "
                 "exponential moment on either side, so that every bound by that moment carries "
                 "over (induction over the duels)", f"{COINS}.pivotal_duel"),
            Step("the exponential moment bounds the tail (Markov's inequality)",
                 f"{LINEAR}.markov"),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-9",
        name="Both signs of a neuron",
        statement=r"If each sign of $z = z^+ - z^-$ is within $\varepsilon$, then "
        r"$|\hat{z} - z| \leq \varepsilon \tilde{z} = \varepsilon \Delta |z|$ with "
        r"$\tilde{z} = z^+ + z^-$. With errors $\varepsilon_1$ and $\varepsilon_2$ it is at most "
        r"$\left(\max(\varepsilon_1, \varepsilon_2) \frac{\Delta + 1}{2} + "
        r"\min(\varepsilon_1, \varepsilon_2) \frac{\Delta - 1}{2}\right) |z|$. The failure "
        "probabilities of the signs add up.",
        plain="What the positive and the negative weights of a neuron get wrong adds up, measured "
        "against both parts together and not against their difference.",
        source=HERE,
        computes=("sipp_theory.combine_signs",),
        steps=(
            Step(r"the triangle inequality, $z^+$ and $z^-$ in terms of $\Delta$, and the union of "
                 "two events", f"{LINEAR}.signs_add_up"),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-10",
        name="CoreNet+ and CoreNet++: dead neurons, best of several",
        statement=r"Of $\tau = \lceil \ln(4/\delta) / \ln(10/9) \rceil$ independent candidates of "
        r"$m$ draws each, the one of least mean relative error on $T$ errs on it in the mean by at "
        r"most $\frac{10}{9} \sqrt{(M - 1)/m}$ with probability at least $1 - \delta/4$, if "
        r"$g_j(x) \leq C s_j$ there, $M = C \sum_j s_j$. At a fresh input it fails with at most "
        r"$\tau$ times the probability of a single candidate, and no less is promised. A neuron "
        r"that is dead on $n$ points fires at a fresh one with probability at most "
        r"$\frac{1}{n + 1}$, over points and input together; with confidence $1 - \beta$ all $N$ "
        r"such neurons fire with probability at most $1 - (\beta/N)^{1/n}$ each.",
        plain="The best of many random prunings is good on average on the inputs that it was "
        "chosen by; on a new input choosing may even hurt.",
        source=f"{CORENET} (the algorithms); what they promise {HERE}",
        assumptions=("A-iid",),
        depends=("SP-1", "ES-6"),
        computes=(
            "sipp_theory.candidates", "sipp_theory.best_of_tau", "sipp_theory.mean_error_bound",
            "sipp_theory.selected_violation", "sipp_theory.dead_neuron_violation",
        ),
        steps=(
            Step(r"$(9/10)^\tau \leq \delta/4$", f"{LINEAR}.enough_candidates"),
            Step(r"the mean error of one candidate on $T$ is at most $\sqrt{(M - 1)/m}$ in "
                 "expectation (the variance of a draw, Jensen)", f"{LINEAR}.mean_of_one_candidate"),
            Step(r"it exceeds $10/9$ of that with probability at most $9/10$, and the best of "
                 r"$\tau$ with its power (Markov)", f"{LINEAR}.markov"),
            Step("by Chebyshev half as many candidates promise the same",
                 f"{LINEAR}.chebyshev_needs_half"),
            Step("the union over the candidates at a fresh input",
                 f"{LINEAR}.union_over_candidates"),
            Step("the rate of a neuron that is dead on all points", f"{LINEAR}.dead_neurons"),
            Step(r"$\frac{1}{n + 1}$ by exchangeability",
                 why_not="it is ES-6: symmetry of a joint law under permutations"),
        ),
        probabilistic=True,
    ),
)  # fmt: skip
