"""Claims of the family ES: shares, empirical sensitivities, and how many points they need."""

from __future__ import annotations

import sipp_core
import sipp_theory
from proofs_check.ledger.claim import Claim, Step
from proofs_check.sensitivity import symbolic
from sipp_core.certificates import output_errors

PAPERS = "arXiv 1804.05345, ICLR 2019; arXiv 1910.05422, SIAM J. Math. Data Sci. 2022"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        "ES-1", "Shares of a neuron's output",
        r"$g_j(x) = |w_j| a_j(x) / z^s(x)$ lies in $[0, 1]$, and $\sum_j g_j(x) = 1$ where "
        "$z^s(x) > 0$.",
        "At each input, the weights of one sign divide the neuron's output among them.", PAPERS,
        assumptions=("A-nonnegative",),
        computes=(sipp_theory.shares, sipp_core.empirical_sensitivity, sipp_core.calibrate),
        steps=(
            Step(r"$0 \leq c_j/(c_j + r) \leq 1$ and $\sum_j c_j/z = 1$ with $z = \sum_j c_j$.",
                 symbolic.shares_add_up),
        ),
    ),
    Claim(
        "ES-2", "Instance-independent bound of the sensitivity sum",
        r"$1 \leq S_\mathrm{sum} = \sum_j s_j \leq \min(|I|, |S|)$ if any point has $z^s > 0$.",
        "The sensitivities of a neuron add up to no more than its weights, nor than the points.",
        PAPERS, assumptions=("A-nonnegative",), depends=("ES-1",),
        computes=(sipp_theory.sensitivity_sum_bound,),
        steps=(
            Step(r"By adding one point at a time: $g \leq \max(s, g) \leq s + g$, and the shares "
                 "of a point add up to 1.", symbolic.sum_between_one_and_edges_and_points),
        ),
    ),
    Claim(
        "ES-3", "Invariance and growth of sensitivities",
        r"$s_j = \max_{x \in S} g_j(x)$ does not change with a positive factor on the weight row "
        "or on any activation row, is permuted with the weights, does not depend on the order of "
        "the points, and never falls as $S$ grows.",
        "Units and order do not matter; more points never make a weight less important.", PAPERS,
        depends=("ES-1",), computes=(sipp_theory.sensitivity, sipp_core.empirical_sensitivity),
        steps=(
            Step("Factors cancel in the ratio, sums and maxima do not know an order, and "
                 r"$\max(s, g) \geq s$.", symbolic.scaling_order_and_growth),
        ),
    ),
    Claim(
        "ES-4", "Calibration points that A1 needs",
        r"Under A1, $|S| \geq K' \ln(8 \eta \eta^*/\delta)$ i.i.d. points give "
        r"$\Pr(\exists j: K s_j < g_j(x)) \leq \delta/(8 \eta)$ for a neuron. CoreNet takes "
        r"$K = K' = \ln(\eta \eta^*)$, SiPP $K' = 3$.",
        "If no weight's large shares are rare, a few hundred points see nearly all there is.",
        f"{PAPERS} (constants re-derived)", assumptions=("A1", "A-iid", "A-nonnegative"),
        depends=("ES-1",), computes=(sipp_theory.calibration_size, sipp_theory.assumption_factors),
        steps=(
            Step(r"$K s_j < g_j(x) \leq M_j$ means that all points of $S$ have $g_j \leq M_j/K$, "
                 "which independent points do with probability $F_j(M_j/K)^{|S|}$.",
                 why_not="the product rule for independent events"),
            Step(r"$e^{-|S|/K'} \leq \delta/(8 \eta \eta^*)$, and Boole's inequality over the "
                 r"$\eta^*$ edges into a neuron.", symbolic.failure_arithmetic),
        ),
        probabilistic=True, use_instead="ES-5",
    ),
    Claim(
        "ES-5", "Uncovered mass by the scenario approach",
        "For $n = |S|$ i.i.d. points of any law and $d$ sensitivities, $n > d$: with confidence "
        r"$1 - \beta$ over $S$, $\Pr_x(\exists j: g_j(x) > s_j) \leq e$ with "
        r"$\sum_{i=0}^{d-1} C(n, i) e^i (1-e)^{n-i} = \beta$. Seen afterwards, with $k$ points "
        r"that set some maximum: at most $1 - t$ with $\frac{\beta}{n+1} \sum_{m=k}^{n} C(m, k) "
        "t^{m-k} = C(n, k) t^{n-k}$.",
        "Without any assumption on the data: how many inputs may lie outside what was seen.",
        "Campi and Garatti, SIAM J. Optim. 19 (2008), theorem 1, and Math. Program. 167 (2018), "
        "theorem 1; applied here",
        assumptions=("A-iid",), depends=("ES-1",),
        computes=(sipp_theory.scenario_violation, sipp_theory.scenario_points,
                  sipp_theory.scenario_support, sipp_theory.wait_and_judge_violation),
        steps=(
            Step(r"$s_j \geq g_j(x)$ for all $j$ and $x \in S$, least $\sum_j s_j$, is a convex "
                 "program whose solution is the vector of maxima, with at most $d$ points that "
                 "matter.", why_not="definition of a scenario program"),
            Step("The law of the uncovered mass of a scenario program is bounded by Beta's.",
                 why_not="theorem of Campi and Garatti (2008), cited"),
            Step("The binomial tail falls strictly in $e$ and is $1 - I_e(d, n-d+1)$, so the "
                 "root is one and the code's.", symbolic.tail_is_an_incomplete_beta),
            Step("The same with the number $k$ of points that matter, seen afterwards.",
                 why_not="theorem of Campi and Garatti (2018), cited"),
            Step(r"Its equation is $\beta F(e) = e F'(e)$, $e = 1 - t$, with $F$ the CDF of "
                 "Beta$(k+1, n-k+1)$, which the code solves.",
                 symbolic.wait_and_judge_by_incomplete_beta),
        ),
        probabilistic=True,
    ),
    Claim(
        "ES-6", "One sensitivity, by exchangeability",
        r"$\Pr(g_j(x) > s_j) \leq 1/(|S| + 1)$ over $S$ and $x$, for exchangeable points.",
        "A new input beats the record of n others with a chance of one in n + 1.", "derived here",
        assumptions=("A-iid",), computes=(sipp_theory.exchangeable_violation,),
        steps=(
            Step("That one given point of $|S| + 1$ is the only maximum are disjoint events of "
                 "equal probability.", symbolic.strict_maximum_of_exchangeable),
        ),
        probabilistic=True,
    ),
)  # fmt: skip

ASSUMPTIONS: tuple[Claim, ...] = (
    Claim(
        "A1", "CDF condition",
        "With $F_j$ the CDF of $g_j$ and $M_j$ the least $y$ with $F_j(y) = 1$: "
        r"$F_j(M_j/K) \leq e^{-1/K'}$ for every weight, with $K = K' = \ln(\eta \eta^*)$ "
        "(CoreNet) or $K' = 3$ (SiPP).",
        "No weight has its large shares only at a few inputs.",
        "arXiv 1804.05345, ICLR 2019, assumption 1; arXiv 1910.05422, SIAM J. Math. Data Sci. "
        "2022",
        computes=(sipp_theory.assumption_factors, sipp_theory.shares),
    ),
    Claim(
        "A-iid", "Calibration and fresh inputs are exchangeable",
        "The points of $S$ and a fresh $x$ are independent draws of one law, also given the "
        "trained network.",
        "The network treats the inputs it was calibrated on as it treats new ones.",
        "all papers; tested by permutations of ranks, derived here", computes=(sipp_theory.shares,),
    ),
    Claim(
        "A-held-out", "Held-out inputs like those that will come",
        "The $n$ held-out inputs and a fresh $x$ are independent draws of one law, and had no "
        r"say in $\hat f$.",
        "The inputs of a certificate are a fair sample, and nothing was chosen on them.",
        "Clopper and Pearson, Biometrika 1934; Wilks, Ann. Math. Stat. 1941",
        computes=(output_errors,),
    ),
    Claim(
        "A-nonnegative", "Non-negative activations",
        r"$a_j(x) \geq 0$ for every input of every layer; elsewhere $a^+$ and $a^-$ count as two "
        "rows.",
        "What enters a layer has one sign, as after ReLU.",
        "arXiv 1804.05345, ICLR 2019; two rows: arXiv 1910.05422",
        computes=(sipp_theory.sensitivity,),
    ),
    Claim(
        "A2", "Subexponential cancellation",
        r"$\Delta_i - E \Delta_i$ is subexponential with a parameter "
        r"$\lambda \leq \ln(\eta \eta^*)/2$: "
        r"$E e^{s (\Delta_i - E \Delta_i)} \leq e^{s^2 \lambda^2/2}$ for $|s| \leq 1/\lambda$.",
        "No neuron's positive and negative parts cancel to nearly nothing but very rarely.",
        "[CN] arXiv 1804.05345, ICLR 2019, assumption 2",
        computes=(sipp_theory.hill_tail_index, sipp_theory.delta_hat),
    ),
)  # fmt: skip
