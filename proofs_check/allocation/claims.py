"""Claims of the family AL."""

from __future__ import annotations

import sipp_theory
from proofs_check.allocation import symbolic
from proofs_check.allocation import symbolic_layers as layers
from proofs_check.allocation import symbolic_network as network
from proofs_check.ledger.claim import Claim, Step
from sipp_core.methods import SippNetwork
from sipp_core.pruning import refit
from sipp_core.sensitivity import LayerSensitivity, output_sensitivity

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "AL-1", "Optimal allocation of a budget",
        "Let pair $i$ have the promised error "
        r"$\epsilon_i(m) = \left(b_i + \sqrt{b_i^2 + 2 V_i m}\right)/m$ at $m$ draws. The least "
        r"$\sum_i l_i \epsilon_i(m_i)$ subject to $\sum_i m_i \leq B$, $0 \leq m_i \leq n_i$ is "
        r"reached where $m_i = \min\left(n_i, 2 V_i y_i^2 + 2 b_i y_i\right)$ and $y_i$ is the "
        r"positive root of $4 V_i y^3 + 2 b_i y^2 = l_i/\mu$, with one multiplier $\mu$ for all "
        "pairs: the one that spends the budget.",
        "A given number of weights is divided among the neurons so that the promised errors add "
        "up to as little as possible; no solver is needed.",
        "arXiv 1910.05422, SIAM J. Math. Data Sci. 2022 (OptAlloc); the solution is derived here",
        depends=("SP-3",), computes=(sipp_theory.allocate, sipp_theory.round_allocation),
        steps=(
            Step(r"With $y = 1/\epsilon$ the size is $m = 2 V y^2 + 2 b y$.", symbolic.error_in_y),
            Step(r"$\epsilon(m)$ falls and is strictly convex; the objective is a sum of such "
                 "terms, each in a variable of its own.", symbolic.error_falls_and_is_convex),
            Step(r"$\epsilon(m') \geq \epsilon(m) + \epsilon'(m)(m' - m)$: the difference is a "
                 "square times a positive factor.", symbolic.tangent_lies_below),
            Step(r"Equal $-l_i \epsilon_i'(m_i) = \mu$, larger ones where $m_i = n_i$, and "
                 r"$\sum_i m_i = B$ suffice: no other allocation is better (weak duality).",
                 symbolic.conditions_suffice),
            Step(r"$-l \epsilon'(m) = \mu$ is the cubic, which has one positive root.",
                 symbolic.stationarity_is_a_cubic),
            Step(r"Newton's method from $\min\left((l/4 \mu V)^{1/3}, (l/2 \mu b)^{1/2}\right)$ "
                 r"stays above the root and starts within a factor $\sqrt{2}$ of it.",
                 symbolic.newton_from_above),
            Step(r"Each size falls in $\mu$, from without bound to 0.",
                 symbolic.size_falls_in_the_multiplier),
            Step(r"So there is a $\mu$ with $\sum_i m_i = B$ whenever the caps leave room for it.",
                 why_not="intermediate value theorem, cited; the oracles look at the sizes found"),
        ),
    ),
    Claim(
        "AL-2", "Fewest draws for given errors",
        r"The least $\sum_i m_i$ subject to $\epsilon_i(m_i) \leq \epsilon_i$ takes "
        r"$m_i = \lceil (2 V_i + 2 b_i \epsilon_i)/\epsilon_i^2 \rceil$. Subject to "
        r"$\sum_i l_i \epsilon_i(m_i) \leq E$ it is AL-1's solution at the budget whose least "
        "sum is $E$.",
        "For given errors, the fewest weights that meet them.",
        "derived here (the dual of AL-1)", depends=("AL-1", "SP-3"),
        computes=(sipp_theory.allocate_for_errors, sipp_theory.allocate_for_total),
        steps=(
            Step(r"$m = (2 V + 2 b \epsilon)/\epsilon^2$ is the size of error $\epsilon$, and "
                 r"falls in $\epsilon$.", symbolic.size_inverts_error),
            Step(r"$\epsilon(m)$ falls strictly, so the next whole number is the least one; the "
                 "pairs share no constraint, so the sum of the least is the least sum.",
                 symbolic.error_falls_and_is_convex),
            Step(r"For a sum of errors the condition is AL-1's cubic with $\lambda = 1/\mu$, and "
                 "a rival of no larger sum of errors has no fewer draws.",
                 symbolic.same_multiplier),
            Step(r"There is a $\mu$ at which the sum of errors is $E$.",
                 why_not="intermediate value theorem, cited; the oracles look at the sizes found"),
        ),
    ),
    Claim(
        "AL-3", "Every layer counts alike",
        r"SiPP's authors share a budget by $\min \sum_i f_i(m_i)/k_i$ subject to $\sum_i m_i \leq "
        r"B$, $0 \leq m_i \leq n_i$, for $k_i$ the neurons of the pair's layer and $f_i(m) = "
        r"\frac{1}{2} \left( \sqrt{(a_i/3m)^2 + 6 a_i/3m} + a_i/3m \right)$, $a_i = 2 C S_i "
        r"\ln(8 (p + 1) q/\delta)$ with $p$ patches an input, $q$ positions of the kernel, $C = 3$ "
        r"and $\delta = 10^{-16}$. It is AL-1 with $b = a/6$, $V = a/4$ and $l_i = 1/k_i$. Where "
        r"$f$ falls like $a/3m$, as at that $\delta$, $m_i$ grows like $\sqrt{a_i/k_i}$. $f$ is an "
        "estimate (SP-3): what an allocation promises is for a bound to say.",
        "A budget is shared so that every layer counts alike: with all neurons counting alike the "
        "widest layer takes nearly all of it, and the later ones are emptied.",
        "the authors' code for arXiv 1910.05422; the solution is derived here",
        depends=("AL-1", "SP-3"), computes=(sipp_theory.allocate_by_layer,),
        steps=(
            Step(r"$f(m) = \left(b + \sqrt{b^2 + 2 V m}\right)/m$ for $b = a/6$, $V = a/4$.",
                 layers.estimate_is_of_bernstein_form),
            Step(r"$m f(m) \to a/3$ for $m/a \to 0$, and of $\sum_i a_i/(3 k_i m_i)$ the least is "
                 r"at $m_i \propto \sqrt{a_i/k_i}$.", layers.balance_of_layers),
            Step("The rest is AL-1.", symbolic.conditions_suffice),
        ),
    ),
    Claim(
        "AL-4", "Sensitivity of the network's output",
        "Let $h$ be the outputs of the network, minus their mean over classes where they are "
        r"scores of classes, and $J_i(x) = \partial h/\partial z_i$. Taking a share $t$ of weight "
        r"$w_{ij}$ away changes $h(x)$ by $t |w_{ij} a_j(x)| \|J_i(x)\|/\|h(x)\|$ of itself, up to "
        r"$O(t^2)$. The score is $\Lambda_{ij} = |w_{ij}| \sqrt{c_i A_j^2 + u_i V_j}$ with $u_i$ "
        r"the mean over inputs of $\sum_p \|J_{ip}\|^2/\|h\|^2$ over the positions $p$ of a "
        r"convolution, $c_i$ that of $\|\sum_p J_{ip}\|^2/\|h\|^2$, and $A_j$, $V_j$ mean and "
        "variance of $a_j$ over inputs and patches; where the bias is solved for again, $A_j$ "
        "costs nothing and counts as 0. For a dense layer and one input it is the first-order "
        "change itself. Over many inputs it is an approximation, not a bound: of the root mean "
        "square change, by marginals.",
        "A weight matters by how much the network's output would change without it, which is one "
        "scale for all layers.",
        "derived here", computes=(output_sensitivity, LayerSensitivity),
        steps=(
            Step(r"$\|h(z - t w a) - h(z)\|^2/(t \|h\|)^2 \to w^2 a^2 \|J\|^2/\|h\|^2$ as "
                 r"$t \to 0$ (Taylor).", network.first_order_step),
            Step("Over patches that are uncorrelated given the layer, means add up coherently and "
                 "deviations do not; a bias that is solved for takes the mean.",
                 network.positions_and_patches),
            Step("The norm of centred scores from one gradient an output, or, without bias, from "
                 "random signs.", network.centred_scores),
            Step("The mean of the product misses the product of the means by a covariance, which "
                 "is 0 for one input.", network.marginals),
            Step("Inputs and gradients are taken as uncorrelated, and a whole weight for a small "
                 "share of it.", why_not="an approximation; nothing is promised by it"),
        ),
    ),
    Claim(
        "AL-5", "Refit of the kept weights",
        r"With the kept set $K_i$ of neuron $i$ fixed, its weights and bias minimise $\frac{1}{n} "
        r"\|\hat{A} w + b - z\|^2 + \lambda \sum_j d_j (w_j - w_{0j})^2$ over $w$ with support in "
        r"$K_i$: $\hat{A}$ ($n$ rows) enters the layer of the pruned network, refitted up to "
        "there, $z$ leaves the layer of the dense network, $w_0$ are the weights before. They "
        r"solve $(G + \lambda D) w = c + \lambda D w_0$, $D = \mathrm{diag}(d)$, with $G$ and $c$ "
        r"the centred moments of the kept inputs, and $b = \bar{z} - w \cdot \bar{a}$; without a "
        "bias, the moments are about 0. A BatchNorm right behind a layer without a bias serves as "
        "one; where the output (or that of its norm) goes into a sum, $z$ is what makes the sum "
        "right, given the other summand of the pruned network. "
        r"$\lambda$ is the strength of the ridge, $d_j$ the variance of input $j$ plus a hundredth "
        "of the layer's mean variance (mean squares without a bias): correlations shrink by "
        r"$\lambda/(1 + \lambda)$, variances stay. By default that share is the estimate "
        r"$\sum_{j \neq k} (1 - r_{jk}^2)^2 / (m \sum_{j \neq k} r_{jk}^2)$ of the best one, $m$ "
        "the number of inputs, $r$ their correlations. "
        "Nothing is promised of other inputs.",
        "Once it is settled which weights stay, the best values for them are those of a least "
        "squares fit to what the layer gave before.",
        "derived here (ridge regression)", computes=(refit,),
        steps=(
            Step(r"Where the normal equations hold, a change $v$ of $w$ raises the objective by "
                 r"$\|\hat{A} v\|^2 + \lambda \sum_j d_j v_j^2 \geq 0$: there is no other.",
                 network.normal_equations),
            Step(r"For each $w$ the best bias is $\bar{z} - w \cdot \bar{a}$, and what is left is "
                 "the objective of centred rows.", network.intercept_by_centring),
        ),
    ),
    Claim(
        "AL-6", "Weights on no live path",
        r"Where SiPP network ranks by AL-4, or a power of it times one of $|w|$, a weight into a "
        r"neuron with $J_i(x) = 0$ at all inputs "
        r"(as where all weights that leave it are 0) has $\Lambda_{ij} = 0$ exactly; so has, where "
        "biases are solved for again, a weight whose input does not vary, as where all weights "
        "into the neuron before it are 0. On the inputs, and to first order, dropping it costs "
        "nothing. Such a weight is never kept: the budget of the round goes to the others. The "
        "last round is taken again without what it cut off, up to four times.",
        "A weight that no longer connects the input with the output is not counted as kept; its "
        "place goes to one that does.",
        "derived here, after the code of arXiv 1910.05422", depends=("AL-4", "AL-5"),
        computes=(output_sensitivity, SippNetwork),
        steps=(
            Step(r"$J_i = \phi' \sum_k w_{ki} J_k = 0$ where all $w_{ki}$ are 0; a constant input "
                 "has $V_j = 0$ and moves into the bias.", network.weights_on_no_path),
            Step("A round keeps the largest scores, and none that is 0.",
                 why_not="a property of the code; an oracle prunes networks with dead paths"),
        ),
    ),
)  # fmt: skip
