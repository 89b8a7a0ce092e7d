"""Claims of the family NC: coresets of neurons for every input of a region, and certificates."""

from __future__ import annotations

import sipp_core
import sipp_theory
from proofs_check.ledger.claim import Claim, Step
from proofs_check.neurons import symbolic

MUSSAY = "arXiv 1907.04018 (Mussay, Osadchy, Braverman, Zhou, Feldman, ICLR 2020)"
DRAW = Step(r"Each draw $w_i(q) v(q)/\mathrm{pr}(q)$ lies in $[-t, t]$, and in $[0, t]$ for one "
            "sign and values above 0.", symbolic.one_draw_is_bounded)  # fmt: skip
HOEFFDING = Step(r"Hoeffding's inequality for range $t$ or $2t$, inverted; $k$ outputs share "
                 r"$\delta$.", symbolic.hoeffding_inverts)  # fmt: skip
CONTRACTION = Step("Symmetrisation, and contraction by the Lipschitz constant.",
                   why_not="Cited: Ledoux and Talagrand 1991, theorem 4.12, one-sided: it "
                   "needs no value 0 at 0, as a constant has mean 0 under the signs.")  # fmt: skip
MCDIARMID = Step("One draw changes the supremum by at most $R/m$: McDiarmid, each side at "
                 r"$\delta/(2k)$.", symbolic.mcdiarmid_inverts)  # fmt: skip

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "NC-1", "Drawn neurons at one input",
        r"Let $t = \sum_p |w(p)| \phi(\beta \|p\|)$, $\phi \geq 0$ non-decreasing, and draw $m$ "
        r"neurons with $\mathrm{pr}(p) = |w(p)| \phi(\beta \|p\|)/t$, $u(q) = w(q) N_q/(m\, "
        r"\mathrm{pr}(q))$. For each $\|x\| \leq \beta$, with probability $1 - \delta$, the error "
        r"is at most $t \sqrt{\ln(2/\delta)/(2m)}$ for weights of one sign, and $t \sqrt{2 "
        r"\ln(2/\delta)/m}$ over both signs at once.",
        "A few hidden neurons, drawn at random and re-weighted, do what all did, at any one input "
        "that did not know the draw.",
        MUSSAY + "; the range 2t over both signs is derived here",
        computes=(sipp_theory.neuron_mass, sipp_theory.neuron_probabilities,
                  sipp_theory.neuron_draw, sipp_theory.one_sign_error, sipp_theory.neuron_error),
        steps=(DRAW, HOEFFDING), probabilistic=True, use_instead="NC-1g",
    ),
    Claim(
        "NC-1g", "Drawn neurons of any activation, biases corrected",
        r"Let $\mathrm{mid}_p$ and $\mathrm{width}_p$ be of the range of $\mathrm{act}(p \cdot x "
        r"+ b)$ over the region, $\mathrm{pr}(p) = \max_i |w_i(p)| \mathrm{width}_p/(2t)$, and the "
        r"next biases corrected by $\sum_p (w_i(p) - u_i(p)) \mathrm{mid}_p$. For each $x$ of the "
        r"region, with probability $1 - \delta$, all $k$ next neurons are within $t \sqrt{2 "
        r"\ln(2k/\delta)/m}$.",
        "The same for every activation, half as far off, for all next neurons at once.",
        "derived here; Hoeffding 1963",
        computes=(sipp_theory.ACTIVATIONS["relu"].__class__, sipp_theory.activation_range,
                  sipp_theory.preactivation_range, sipp_theory.middle_and_half,
                  sipp_theory.neuron_mass, sipp_theory.neuron_probabilities,
                  sipp_theory.neuron_error, sipp_theory.neuron_size),
        steps=(Step("The correction leaves the error of the centred values.",
                    symbolic.middles_cancel), DRAW, HOEFFDING),
        probabilistic=True,
    ),
    Claim(
        "NC-2", "Drawn neurons over the ball, as the paper has it",
        r"$m \geq (c\, t/\epsilon^2)(d \ln t + \ln(1/\delta))$ draws hold for every $\|x\| \leq "
        r"\beta$ at once. The constant $c$ is not given, so that no size follows.",
        "How the number of draws grows with the size of the layer, without the constant that "
        "would make it a number.",
        MUSSAY + ", as recalled", depends=("NC-1",), computes=(sipp_theory.mussay_size,),
        steps=(Step("By the dimension of range spaces.",
                    why_not="The paper's own proof; its constant is not given."),),
        use_instead="NC-3",
    ),
    Claim(
        "NC-3", "Drawn ReLUs over the ball",
        r"ReLU without biases, weights of one sign: with probability $1 - \delta$, $\sup_{\|x\| "
        r"\leq \beta} |\mathrm{error}| \leq t (\frac{3}{2\sqrt m} + \sqrt{\ln(2/\delta)/(2m)})$; "
        "contraction of the whole ReLU gives 2 for 3/2.",
        "For every input of a ball at once, an adversarial one included, and with no dimension in "
        "it.",
        "derived here; Ledoux and Talagrand 1991, McDiarmid 1989", depends=("NC-1",),
        computes=(sipp_theory.ball_error,),
        steps=(CONTRACTION, Step("ReLU in halves.", symbolic.relu_in_halves), MCDIARMID),
        probabilistic=True, use_instead="NC-3g",
    ),
    Claim(
        "NC-3g", "Drawn neurons over a box or a ball",
        r"For an $L$-Lipschitz activation, $\sup_X |\mathrm{error}_i| \leq \frac{2L}{\sqrt m} "
        r"\sum_j r_j \sqrt{\sum_p w_i(p)^2 p_j^2/\mathrm{pr}(p)} + R \sqrt{\ln(2k/\delta)/(2m)}$, "
        r"$R = \max_p |w_i(p)| \mathrm{width}_p/\mathrm{pr}(p)$; on a ball the first sum is $r "
        r"\sqrt{\sum w_i^2 \|p\|^2/\mathrm{pr}}$; for ReLU $2L$ becomes $3/2$.",
        "The same for boxes, biases, any activation and all next neurons at once.",
        "derived here; Ledoux and Talagrand 1991, McDiarmid 1989", depends=("NC-1g",),
        computes=(sipp_theory.region_error, sipp_theory.support),
        steps=(CONTRACTION, Step("ReLU in halves.", symbolic.relu_in_halves),
               Step("What a bias adds to the error is the same at every input and has "
                    "mean 0, so that the expected supremum does not see it.",
                    why_not="One line: the draws are unbiased."), MCDIARMID),
        probabilistic=True, use_instead="NC-6",
    ),
    Claim(
        "NC-4", "The number of draws must be fixed",
        r"Drawing until $k$ distinct neurons were met is biased: for two neurons with pr = (.9, "
        r".1) the share of the second is .2076 on average, not .1. An $m$ that solves $\mathrm{E} "
        r"\#\mathrm{distinct} = k$ depends on no draw and is not.",
        "The official code stops when it has as many neurons as it should keep, and that moves "
        "the result.",
        MUSSAY + ", its code; derived here", depends=("NC-1",),
        computes=(sipp_theory.neuron_draw, sipp_theory.draws_for_distinct),
        steps=(Step("The stopped mean of two neurons.", symbolic.stopping_is_biased),),
    ),
    Claim(
        "NC-5", "A channel is one draw",
        r"A channel $p$ with kernel rows $w_i(p, v)$, $v$ over the offsets, is one draw of "
        r"$\sum_v w_i(p, v) \mathrm{act}(\cdot)$ at every position, in $[-t, t]$ with $t = \sum_p "
        r"\max_i \sum_v |w_i(p, v)| \mathrm{width}_p/2$. NC-3g's first term is summed over $v$.",
        "Whole channels of a convolution are drawn as neurons are; what one weighs is summed over "
        "its kernel.",
        "arXiv 2008.08316; derived here", depends=("NC-1g",),
        computes=(sipp_theory.neuron_mass, sipp_theory.neuron_probabilities,
                  sipp_theory.neuron_error, sipp_theory.region_error),
        steps=(DRAW, HOEFFDING), probabilistic=True,
    ),
    Claim(
        "NC-6", "A certificate after the fact",
        r"$e(x) = \sum_j a_j \mathrm{relu}(z_j) + a_0$ over a box or ball: each $|z_j|$ of an "
        r"unstable neuron is at most $\kappa(z^2/(2k) + k/2) + (1-\kappa)\mathrm{chord}(z)$ and at "
        r"least $\kappa z^2/\max(-l, v) + (1-\kappa) \tau z$; the quadratic in $(1, s)$ that "
        r"results has $\sup \leq (D_0 + \sum D_i) \max(0, \lambda_{\max}(D^{-1/2} M D^{-1/2}))$. "
        "Sound for all parameters, and for any selection of neurons.",
        "Whatever chose the neurons, this is how far off the smaller layer can ever be, proved "
        "in floating point.",
        "derived here; Rump 2006 for the Cholesky factorisation",
        computes=(sipp_theory.worst_relu_sum, sipp_theory.proven_peak),
        steps=(Step("Parabolas and chords are on the right side of $|z|$.",
                    symbolic.parabolas_are_on_the_right_side),
               Step("One eigenvalue bounds a quadratic on the box.",
                    symbolic.one_eigenvalue_bounds_the_box),
               Step("A Cholesky factorisation that runs to its end in floating point proves "
                    "positive definiteness up to its margin.",
                    why_not="Cited: Rump 2006, BIT 46, theorem 2.3.")),
    ),
    Claim(
        "NC-7", "A network pruned layer by layer",
        r"If $D_l$ bounds the error that dropped neurons of layer $l$ make at the next layer, over "
        r"the range of the original layers below, then $|f - \hat f| \leq \sum_l |\hat W^L| \cdots "
        r"|\hat W^{l+2}| D_l$ for every $x$ of the region and a 1-Lipschitz activation.",
        "The layers' errors add up, each moved on by the weights above it.",
        "derived here", depends=("NC-6", "NC-3g"), computes=(sipp_theory.network_error,),
        steps=(Step("The networks pruned so far telescope.", symbolic.telescoping),
               Step("A 1-Lipschitz activation moves no error further.",
                    why_not="The definition of Lipschitz, coordinate by coordinate.")),
    ),
    Claim(
        "NC-10", "The difference of two networks, relaxed",
        r"Two networks of one architecture have values $z$ and $z + d$. A layer makes $(W z + b, "
        r"\hat W d + (\hat W - W) z + \hat b - b)$ of them; an activation with slopes in "
        r"$[\ell, L]$ has $\mathrm{act}(z + d) - \mathrm{act}(z)$ between two lines in $d$, or "
        r"each value between lines of its own. Put together from the output back to the input, "
        r"every linear function of the scores and of their difference is at most a linear function "
        r"of $x$ plus a constant, and so over the region at most a number.",
        "How far pruning can move any score, and whether it can change a decision, for every input "
        "of a box or ball, or around a given one.",
        "derived here; Zhang et al. 2018, arXiv 1811.00866 (one network); Paulsen, Wang and Wang "
        "2020 (pairs); Singh et al. 2018 (affine forms)",
        computes=(sipp_core.certify_region, sipp_core.certify_around),
        steps=(Step("A layer of the difference.", symbolic.the_difference_of_a_layer),
               Step("Two lines hold how much an activation moves.",
                    symbolic.lines_hold_the_difference),
               Step("A line holds ReLU on an interval.", symbolic.a_line_above_relu),
               Step("Sums of products are off by at most $(n + 4) 2^{-53}$ of the sum of absolute "
                    "products, which is charged to the bound.",
                    why_not="Cited: Higham 2002, Accuracy and Stability, section 3.1.")),
    ),
    Claim(
        "NC-8", "Sensitivities over a cone of inputs",
        r"$s_j = \sup_{x \in K} w_j \mathrm{relu}(p_j \cdot x)/\sum_q w_q \mathrm{relu}(p_q \cdot "
        r"x)$ is $w_j$ over one linear program: $\min \sum w_q t_q$, $t_q \geq p_q \cdot x$, $p_j "
        r"\cdot x = 1$. Draws in proportion to $s$ have SP-3's error with $M = S$ at every input "
        "of the cone.",
        "Where the inputs come out of ReLUs, how much each neuron can ever matter is computed "
        "exactly, with no data.",
        "derived here", depends=("SP-3",), computes=(sipp_theory.cone_sensitivities,),
        steps=(Step("A share does not change along a ray.",
                    symbolic.shares_do_not_depend_on_scale),),
    ),
    Claim(
        "NC-8r", "No small multiplicative coreset for every input",
        r"If the $p$ are linearly independent, $s_j = 1$ for every $j$ over all of $R^d$: choose "
        r"$x$ with $p_j \cdot x + b_j = 1$ and $-1$ otherwise. $\mu = \sup \sum w |p \cdot x|/\sum "
        r"w\, \mathrm{relu}(p \cdot x) = 2 + 1/v$, $v = \min\{\sum w\, \mathrm{relu}(p \cdot x) : "
        r"(\sum w p) \cdot x = -1\}$, says when one exists.",
        "For the usual hidden layers some input makes any one neuron the only one that counts, so "
        "none can go with a relative promise for every input.",
        "derived here: a refutation",
        computes=(sipp_theory.isolating_input, sipp_theory.sign_ratio),
        steps=(Step("An isolated neuron has share 1; $|z| = 2\\,\\mathrm{relu}(z) - z$.",
                    symbolic.an_isolated_neuron_has_share_one),),
    ),
    Claim(
        "NC-9", "Sensitivities by peeling",
        r"Peel off coresets $S_k$ with $\max_P |p \cdot x| \leq f_k \max_{S_k} |q \cdot x|$: a "
        r"point of round $i$ has $|p \cdot x|/\sum_q |q \cdot x| \leq 1/(1 + \sum_{k<i} 1/f_k)$. "
        r"For fewer than $2 r^2$ points of rank $r$ all get 1.",
        "Another way to draw neurons, for |.| and not for ReLU; on the usual layers it is uniform "
        "sampling.",
        "arXiv 2209.08554, from re-implementations; the factor as computed is derived here",
        computes=(sipp_theory.linf_coreset, sipp_theory.peeled_sensitivities),
        steps=(Step("What every earlier round beat by.", symbolic.rounds_add_up),),
        use_instead="NC-8",
    ),
)  # fmt: skip
