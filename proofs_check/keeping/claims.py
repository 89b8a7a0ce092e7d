"""Claims of the family SP about weights that are kept, and about joint promises."""

from __future__ import annotations

import sipp_theory
from proofs_check.keeping import rows, symbolic
from proofs_check.ledger.claim import Claim, Step
from sipp_core.pruning import measured_errors

SIPP = "SiPP, arXiv 1910.05422, SIAM J. Math. Data Sci. 2022"
CORENET = "CoreNet, arXiv 1804.05345, ICLR 2019"
HERE = "derived here"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="SP-6", name="Dropping the least sensitive weights",
        statement="Keep the weights outside $D$ of one sign of a neuron. On $S$, "
        r"$0 \leq z - \hat{z} \leq G_D z$ with $G_D = \max_{x \in S} \sum_{j \in D} g_j(x) \leq "
        r"\sum_{j \in D} s_j$. Rescaling what is kept by $\frac{1}{1 - "
        r"G_D/2}$ makes the worst error $\frac{G_D}{2 - G_D}$ on either side, and no other "
        r"factor does better. For a fresh $x$ with $g_j(x) \leq C s_j$ for all $j$, the sum of "
        "the $s_j$ is taken $C$ times.",
        plain="Dropping weights that carry little loses at most the share that they carry; "
        "rescaling the rest nearly halves that.",
        source=f"{SIPP}, which prints the sum; maximum and recentring {HERE}",
        assumptions=("A-nonnegative",), depends=("ES-1",),
        computes=(sipp_theory.dropped_share, sipp_theory.dropped_share_bound,
                  sipp_theory.recentring, sipp_theory.deterministic_error,
                  sipp_theory.deterministic_size, sipp_theory.keep_most_sensitive),
        steps=(
            Step(r"$(z - \hat{z})/z$ is the dropped share, in $[0, 1]$ and at most the sum of "
                 "the sensitivities", symbolic.dropped_part),
            Step(r"the factor $\frac{1}{1 - G/2}$ is the minimax one, its error "
                 r"$\frac{G}{2 - G} \leq G$", symbolic.recentring_is_minimax),
        ),
    ),
    Claim(
        id="SP-7", name="The better of drawing and dropping",
        statement="For each neuron and sign take whichever of drawing (SP-3 or sharper) and "
        "dropping (SP-6) promises the smaller error. The smaller promise holds, with the failure "
        r"probability $\delta$ of drawing: the choice looks at $S$ and at no draw.",
        plain="One may take the better of two guarantees for each neuron at no cost, as long as "
        "the choice is made before any die is cast.",
        source=SIPP, depends=("SP-3", "SP-6"), computes=(sipp_theory.hybrid_error,),
        steps=(
            Step("what is taken keeps its own promise, with its own failure probability",
                 symbolic.choice_costs_no_probability),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-9", name="Both signs of a neuron",
        statement=r"If each sign of $z = z^+ - z^-$ is within $\varepsilon$, then $|\hat{z} - z| "
        r"\leq \varepsilon \tilde{z} = \varepsilon \Delta |z|$ with $\tilde{z} = z^+ + "
        r"z^-$. With errors $\varepsilon_1$ and $\varepsilon_2"
        r"$ it is at most $\left(\max(\varepsilon_1, \varepsilon_2) \frac{\Delta + 1}{2} + "
        r"\min(\varepsilon_1, \varepsilon_2) \frac{\Delta - 1}{2}\right) |z|$. The failure "
        r"probabilities of the signs add up; where $a$ has both signs, those of its halves $a^+$ "
        "and $a^-$ in each sign do too.",
        plain="What the positive and the negative weights of a neuron get wrong adds up, "
        "measured against both parts together and not against their difference.",
        source=HERE, computes=(sipp_theory.combine_signs,),
        steps=(
            Step(r"the triangle inequality, $z^+$ and $z^-$ in terms of $\Delta$, and the union "
                 "of two events", symbolic.signs_add_up),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-10", name="CoreNet+ and CoreNet++: dead neurons, best of several",
        statement=r"Of $\tau = \lceil \ln(4/\delta) / \ln(10/9) \rceil$ independent candidates "
        "of $m$ draws each, the one of least mean relative error on $T$ errs on it in the mean "
        r"by at most $\frac{10}{9} \sqrt{(M - 1)/m}$ with probability at least $1 - \delta/4$, "
        r"if $g_j(x) \leq C s_j$ there, $M = C \sum_j s_j$. At a fresh input it fails with at "
        r"most $\tau$ times the probability of a single candidate, and no less is promised. A "
        "neuron that is dead on $n$ points fires at a fresh one with probability at most "
        r"$\frac{1}{n + 1}$, over points and input together; with confidence $1 - \beta$ all $N$ "
        r"such neurons fire with probability at most $1 - (\beta/N)^{1/n}$ each.",
        plain="The best of many random prunings is good on average on the inputs that it was "
        "chosen by; on a new input choosing may even hurt.",
        source=f"{CORENET} (the algorithms); what they promise {HERE}", assumptions=("A-iid",),
        depends=("SP-1", "ES-6"),
        computes=(sipp_theory.candidates, sipp_theory.best_of_tau, sipp_theory.mean_error_bound,
                  sipp_theory.selected_violation, sipp_theory.dead_neuron_violation),
        steps=(
            Step(r"$(9/10)^\tau \leq \delta/4$", symbolic.enough_candidates),
            Step(r"the mean error of one candidate on $T$ is at most $\sqrt{(M - 1)/m}$ in "
                 "expectation (the variance of a draw, Jensen)", symbolic.mean_of_one_candidate),
            Step("it exceeds $10/9$ of that with probability at most $9/10$, and the best of "
                 r"$\tau$ with its power (Markov)", symbolic.markov),
            Step("by Chebyshev half as many candidates promise the same",
                 symbolic.chebyshev_needs_half),
            Step("the union over the candidates at a fresh input", symbolic.union_over_candidates),
            Step("the rate of a neuron that is dead on all points", symbolic.dead_neurons),
            Step(r"$\frac{1}{n + 1}$ by exchangeability",
                 why_not="it is ES-6: symmetry of a joint law under permutations"),
        ),
        probabilistic=True,
    ),
    Claim(
        id="SP-12", name="The error measured after the draw",
        statement=r"For a finite set $S$ of rows and weights $\hat{w}$ as their dtype stores them, "
        r"$\varepsilon_i = \max_{x \in S} |\hat{z}_i(x) - z_i(x)|/\tilde{z}_i(x)$ gives "
        r"$|\hat{z}_i(x) - z_i(x)| \leq \varepsilon_i \tilde{z}_i(x)$ at each row of $S$ with "
        "certainty, however the weights were chosen: rates, seeds, the best of many draws and "
        r"weights that were solved for included. Here $\hat{z}_i - z_i = \sum_j (\hat{w}_{ij} - "
        r"w_{ij}) a_j + \hat{b}_i - b_i$ and $\tilde{z}_i = \sum_j |w_{ij} a_j|$, both of the "
        "layer's input in the dense network; the number computed is never below the exact one. "
        "It says nothing of other rows.",
        plain="Once the weights are there, their worst error on the calibration inputs can simply "
        "be measured, and holds there for certain; of new inputs it says nothing.",
        source=HERE, computes=(
            sipp_theory.measured_error, sipp_theory.error_of_products, measured_errors,
        ),
        steps=(
            Step("the maximum covers each row, and no probability enters",
                 symbolic.maximum_over_rows),
            Step(r"what rounding hides is at most $\gamma \sum_j |(\hat{w}_{ij} - w_{ij}) a_j|$, "
                 r"which is at most $\gamma \tilde{z}_i \max_j |\hat{w}_{ij}/w_{ij} - 1|$; added "
                 "to the error and taken from the denominator, the quotient is no smaller",
                 symbolic.charge_for_rounding),
            Step(r"a sum of $k$ products errs by at most $\gamma$ times the sum of magnitudes, "
                 r"$\gamma = (k + 4) u/(1 - (k + 4) u)$",
                 why_not="the model of floating-point arithmetic (Higham 2002, chapter 3), cited; "
                 "where products may underflow, the least number is charged for each; "
                 "the oracles look at exact rationals"),
        ),
    ),
    Claim(
        id="SP-13", name="Rows of an input",
        statement=r"Where a layer reads an input as $n$ rows (patches, tokens), a promise that "
        r"holds at each row with probability $1 - \delta$ over the draws holds at all rows of "
        r"the input at once with $1 - n \delta$ and, as the rows share one draw, no more is "
        r"known. With $\delta/n$ for each row it holds for the input with $1 - \delta$.",
        plain="That each patch of an image is usually right does not make images usually right.",
        source=HERE, computes=(sipp_theory.each_row, sipp_theory.some_row),
        steps=(Step("the union over rows", rows.union_over_rows),),
        probabilistic=True,
    ),
)  # fmt: skip
