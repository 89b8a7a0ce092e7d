"""Claims of the family NW: from neurons to the network."""

from __future__ import annotations

import sipp_theory
from proofs_check.ledger.claim import Claim, Step
from proofs_check.network import symbolic

CORENET = "[CN] arXiv 1804.05345, ICLR 2019"
INDUCTION = (
    Step(r"$v_l = u_l \prod_{k>l} \Delta_k$ obeys $1 + v_l \leq (1 + v_{l-1})(1 + t_l)$, and "
         r"$u_l \leq v_l$.", symbolic.one_layer_of_the_split),
    Step(r"By induction $v_L \leq \sum_l t_l \prod_{k>l} (1 + t_k) = \prod_l (1 + t_l) - 1$.",
         symbolic.product_by_induction),
    Step(r"$\prod_l (1 + t_l) \leq \exp(\sum_l t_l)$.", symbolic.product_below_exponential),
)  # fmt: skip

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "NW-1", "Composition of relative errors",
        r"Let each sign of each neuron of layer $l$ be drawn to a relative error $\epsilon_l$, "
        r"with $\Delta_l \geq \max(1, (z^+ + z^-)/|z + b|)$. Then the pre-activations are within "
        r"$u_l = \Delta_l (u_{l-1} + \epsilon_l + u_{l-1} \epsilon_l)$, $u_0 = 0$, as long as "
        r"$u_k \leq 1$ in every ReLU layer $k < l$.",
        "Errors add up from layer to layer, and each layer blows them up by how much it cancels.",
        f"{CORENET}, proof of theorem 4; the bias in the denominator and the condition u <= 1 "
        "derived here",
        assumptions=("A-nonnegative",), depends=("SP-9",),
        computes=(sipp_theory.compose, sipp_theory.delta_ratio),
        steps=(
            Step(r"One sign: $(1 + u)(1 + \epsilon) - 1 = u + \epsilon + u \epsilon$, and below "
                 "no more is lost.", symbolic.sign_of_a_neuron),
            Step(r"Both signs: $|\hat z - z| \leq (u + \epsilon + u \epsilon)(z^+ + z^-)$, that "
                 r"is at most $\Delta |z + b|$ times it; the bias has no error.",
                 symbolic.both_signs_and_bias),
            Step("ReLU keeps a relative error of at most 1.", symbolic.relu_keeps_errors_up_to_one),
            Step("Neither condition can go: $z = 1, b = -0.99$ refutes $|z|$ in the denominator, "
                 "$z^+ = 1, z^- = 1.01$ refutes $u > 1$ through ReLU.",
                 symbolic.bias_and_relu_are_needed),
        ),
    ),
    Claim(
        "NW-2", "CoreNet's division of the error among layers",
        r"$\epsilon_l = \epsilon / (2 L \prod_{k \geq l} \Delta_k)$ gives $u_L \leq \epsilon$ "
        r"for $\epsilon \leq 1$.",
        "Every layer gets the same part of half of the error, divided by what later layers do to "
        "it.",
        f"{CORENET}, theorem 4 (constants re-derived)", depends=("NW-1",),
        computes=(sipp_theory.corenet_split,),
        steps=(
            *INDUCTION,
            Step(r"$t_l = \epsilon/(2L)$ adds up to $\epsilon/2$, and "
                 r"$e^{\epsilon/2} \leq 1 + \epsilon$ for $\epsilon \leq 1$.",
                 symbolic.half_of_eps_is_enough),
        ),
        use_instead="NW-3",
    ),
    Claim(
        "NW-3", "Logarithmic division of the error among layers",
        r"$\epsilon_l = t_l / \prod_{k \geq l} \Delta_k$ with $\sum_l t_l = \ln(1 + \epsilon)$ "
        r"gives $u_L \leq \epsilon$ for $\epsilon \leq 1$; $t_l$ proportional to $A_l^{1/3}$ "
        r"minimises $\sum_l A_l / t_l^2$. Against NW-2 it takes "
        r"$(\epsilon / (2 \ln(1 + \epsilon)))^2$ of the draws.",
        "The whole error is spent, where it is dear: a quarter to a half of CoreNet's draws.",
        "derived here", depends=("NW-1",), computes=(sipp_theory.log_split,),
        steps=(
            *INDUCTION,
            Step(r"$\exp(\ln(1 + \epsilon)) - 1 = \epsilon$, and earlier layers have less, so "
                 r"$u_l \leq \epsilon \leq 1$ before ReLU.", symbolic.all_of_eps_is_spent),
            Step("Lagrange gives $t_l$ proportional to $A_l^{1/3}$; tangents show that it is the "
                 "least.", symbolic.cube_roots_are_cheapest),
            Step("The ratio of the draws, 1/4 for small errors and .52 at 1.",
                 symbolic.samples_against_corenet),
        ),
    ),
    Claim(
        "NW-4", "CoreNet's allowance for the cancellation of a fresh input",
        r"Let $\hat\Delta_l = \max_i \mathrm{mean}_{x \in S} \Delta_i(x) + \kappa$, $\kappa = "
        r"\sqrt{2\lambda} (1 + \sqrt{2\lambda} \ln(8 \eta \eta^* / \delta))$, $\lambda = "
        r"\ln(\eta \eta^*)/2$, $|S| \geq \ln(\eta \eta^*) \ln(8 \eta "
        r"\eta^*/\delta)$. Under A2, for $\eta \eta^* \geq e$ and a layer no wider than $\eta^*"
        r"$, $\Pr(\max_i \Delta_i(x) \leq \hat\Delta_l) \geq 1 - \delta/(4 \eta)$.",
        "The mean over the calibration inputs plus an allowance covers a new input, if no neuron "
        "cancels too wildly.",
        f"{CORENET}, lemma on the approximation of Delta (constants re-derived; the conditions on "
        "eta eta* and on the width derived here)",
        assumptions=("A2", "A-iid"), computes=(sipp_theory.kappa, sipp_theory.delta_hat),
        steps=(
            Step(r"Chernoff: $E e^{s X} \leq e^{s^2 \lambda^2/2}$ for $|s| \leq 1/\lambda$ gives "
                 r"$\Pr(X > t) \leq e^{-t/(2 \lambda)}$ beyond $\lambda$.",
                 symbolic.chernoff_of_subexponential),
            Step(r"The second piece, $2\lambda \ln(8 \eta \eta^*/\delta)$, covers a fresh input "
                 r"but for $\delta/(8 \eta \eta^*)$.", symbolic.fresh_piece_of_kappa),
            Step(r"The first piece, $\sqrt{2\lambda}$, covers the mean over $S$ but for as much, "
                 r"if $\eta \eta^* \geq e$.", symbolic.mean_piece_of_kappa),
            Step(r"Two events for each of at most $\eta^*$ neurons add up to $\delta/(4\eta)$.",
                 symbolic.sum_over_a_layer),
            Step("The law of the sum over S is the product of the laws, and a union of events is "
                 "no likelier than their sum.",
                 why_not="independence and the union bound are axioms of probability, not algebra"),
            Step(r"Sharper: $\lambda (\ln(8 \eta \eta^*/\delta) + 1/2)$ would do for the second "
                 "piece.", symbolic.sharper_kappa),
        ),
        probabilistic=True,
    ),
    Claim(
        "NW-5", "CoreNet's network theorem",
        r"Under A1 and A2, for $\epsilon \leq 1$: drawing $\lceil 32 L^2 (\prod_{k \geq l} "
        r"\hat\Delta_k)^2 S \ln(\eta \eta^*) \ln(8 \eta/\delta) / \epsilon^2 "
        r"\rceil$ weights for each sign of each neuron, $S"
        r"$ its sum of sensitivities, gives $\Pr(\hat f(x) \in (1 \pm \epsilon) f(x)) \geq 1 - "
        r"\delta$; the nonzeros are at most the sum of the draws, each plus 1. Without the "
        r"instance, $S$ is replaced by $\min(|I|, |S|)$.",
        "With enough draws the whole pruned network is close to the original at a new input.",
        f"{CORENET}, theorem 4 (constants re-derived)",
        assumptions=("A1", "A2", "A-iid", "A-nonnegative"),
        depends=("ES-2", "ES-4", "SP-2", "NW-1", "NW-2", "NW-4"),
        computes=(sipp_theory.corenet_network_size, sipp_theory.corenet_network_size_bound),
        steps=(
            Step(r"SP-2's 8 at NW-2's error makes 32: $8 \cdot 2^2$.", symbolic.constant_32),
            Step(r"Two signs at $3\delta/(8\eta)$ and $\hat\Delta$ at $\delta/(4\eta)$: "
                 r"$2 \cdot 3/8 + 1/4 = 1$, over $\eta$ neurons $\delta$.", symbolic.failure_chain),
            Step(r"Where no event fails, NW-1 and NW-2 give $u_L \leq \epsilon$.",
                 why_not="composition of claims that are in the ledger; nothing is derived anew"),
        ),
        probabilistic=True, use_instead="CT-2",
    ),
    Claim(
        "NW-6", "The tail of the cancellation",
        "If $z_i$ has a density that is positive at 0 while $z^+ + z^-$ stays away from 0, "
        r"$\Pr(\Delta_i > t)$ falls as $c/t$: the mean is infinite and A2 fails. Hill's "
        "estimator measures the index of the tail, with an exact interval for a Pareto tail.",
        "A neuron whose input can come out as nearly nothing has no mean cancellation.",
        "derived here; Hill, Ann. Stat. 3 (1975)", computes=(sipp_theory.hill_tail_index,),
        steps=(
            Step("A density of at least $c$ on $[-h, h]$ puts $2c/t$ at $|z| < 1/t$, and "
                 r"$E\, 1/|z|$ has no limit.", symbolic.infinite_mean),
            Step("For a Gaussian $z$ the constant is $2 f(0)$.", symbolic.gaussian_tail),
            Step("No moment of order 1 or more is left, while A2 has all of them and a variance "
                 r"of at most $\lambda^2$.", symbolic.mean_contradicts_a2),
            Step(r"In general $c = 2 f(0)\, E(z^+ + z^- | z = 0)$.",
                 why_not="conditioning on an event of probability 0 takes measure theory"),
        ),
        probabilistic=True,
    ),
    Claim(
        "NW-7", "Entrywise absolute propagation",
        "For a 1-Lipschitz entrywise activation, "
        r"$|e^l| \leq |(\hat W - W)^l a^{l-1}| + |\hat W^l| |e^{l-1}|$; over a box of inputs by "
        "interval arithmetic.",
        "How far the outputs can move, input by input, with no chance and no assumption.",
        "derived here",
        computes=(sipp_theory.absolute_propagation, sipp_theory.interval_propagation),
        steps=(
            Step(r"$\hat W \hat a - W a = (\hat W - W) a + \hat W (\hat a - a)$, and the "
                 "triangle inequality.", symbolic.triangle),
            Step("ReLU, tanh and the logistic function move no further than their argument.",
                 symbolic.lipschitz),
            Step("Interval arithmetic encloses the activations of every input of the box.",
                 why_not="a property of the code's rounding: tried in exact fractions by "
                 "laws.network.propagation_bounds_the_true_error"),
        ),
    ),
)  # fmt: skip
