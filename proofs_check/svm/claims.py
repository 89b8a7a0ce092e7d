"""Claims of the family SV: support vector machines, their sensitivities, coresets, certificates."""

from __future__ import annotations

import sipp_theory
from proofs_check.ledger.claim import Claim, Step
from proofs_check.svm import symbolic
from sipp_core.svm import CoresetSVC, certify_kernel, certify_svm

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "SV-0", "Duality gap of a linear SVM",
        r"$F(w,b) = \|w\|^2/2 + \sum c_i h_i$, $c_i = C u_i$, $h_i = \max(0, 1 - m_i)$, $m_i = y_i "
        r"(\langle x_i, w\rangle + b)$. For $a \in [0,c]$ with $\sum a y = 0$ and $v = \sum a y "
        r"x$: "
        r"$F(w,b) - D(a) = \|w - v\|^2/2 + \sum [c_i h_i - a_i (1 - m_i)]$, every term $\geq 0$, "
        r"$D(a) = \sum a - \|v\|^2/2 \leq F^*$.",
        "How far a support vector machine is from the best one, from any multipliers.",
        "Cortes and Vapnik 1995; the term by term form derived here",
        computes=(sipp_theory.svm_objective, sipp_theory.svm_dual, sipp_theory.solve_svm,
                  sipp_theory.SvmSolution),
        steps=(
            Step("The difference, term by term, where the multipliers balance.",
                 symbolic.gap_term_by_term),
            Step(r"$a_i (1 - m_i) \leq c_i h_i$ for $0 \leq a_i \leq c_i$.",
                 why_not="both sides of the hinge by inspection"),
        ),
    ),
    Claim(
        "SV-1", "Sensitivities from distances to cluster means",
        r"$s_i = \sup c_i h_i/F \leq u_i/U_c + C u_i D_i \varphi^*$ with $A = C \min(U_+, U_-)$, "
        r"$R = \|\mu_+ - \mu_-\|$, $\varphi^* = \sup_t t/\max(t^2/2 + A(2 - R t)_+, F_{lb})$ for "
        r"any "
        r"$F_{lb} \leq F^*$ (SV-1F); without it $1/(\sqrt A (2 - \sqrt A R))$ if $\sqrt A R \leq "
        r"1$, "
        r"else $R$.",
        "How much of the objective one point can ever be, from how far it is from its cluster.",
        "derived here", depends=("SV-0",), computes=(sipp_theory.cluster_sensitivities,),
        steps=(
            Step(r"$h_i \leq h_{\mu_c} + D_i \|w\|$ and $H_+ + H_- \geq 2 - R \|w\|$.",
                 why_not="convexity and the triangle inequality"),
            Step(r"The ray's peak, and the kink where it comes first.", symbolic.steepest_ray),
            Step(r"Where $F_{lb}$ takes over.", symbolic.crossing_the_floor),
        ),
    ),
    Claim(
        "SV-2", "Sensitivities as the paper prints them",
        r"$u_i \min(1, 1/U_c + \max(3a, \frac92 (\sqrt{4a^2 + 2 D_i^2/(9\,opt)} - 2a)))$, "
        r"$a = (U - U_c)/(2 U U_c)$, for $C = 1$; the lemma is recalled with $2a$. Other $C$: "
        r"$x \to \sqrt C x$, $opt \to opt/C$.",
        "The bound of the papers, for any penalty, with both constants.",
        "[SV] arXiv 2002.06469 and the authors' code; arXiv 1708.03835",
        computes=(sipp_theory.baykal_sensitivities,),
        steps=(
            Step("The lemma itself.", why_not="the paper's proof, cited; exact sensitivities "
                 "agree"),
            Step("Any penalty is the penalty 1 of other points.", symbolic.any_penalty),
        ),
        use_instead="SV-1",
    ),
    Claim(
        "SV-3", "Sizes of sensitivity samples",
        r"$m \geq (c S/\epsilon^2)(d \ln S + \ln(1/\delta))$ draws keep $F$ within $1 \pm "
        r"\epsilon$ "
        r"everywhere, and then $F(w_C) \leq \frac{1+\epsilon}{1-\epsilon} F^*$. At one query "
        r"Bernstein's size with range $S$ is enough.",
        "How many points a coreset needs, for one hyperplane or for all at once.",
        "[SV] arXiv 1708.03835; Braverman, Feldman and Lang 2016, arXiv 1612.00889; SP-3",
        depends=("SP-3",),
        computes=(sipp_theory.query_coreset_size, sipp_theory.uniform_coreset_size,
                  sipp_theory.coreset_suboptimality),
        steps=(
            Step("The uniform event.", why_not="a cited theorem, whose constant the papers leave "
                 "open; the caller names it"),
            Step("What it says of the minimiser.", symbolic.from_everywhere_to_the_minimiser),
        ),
        probabilistic=True, use_instead="SV-10",
    ),
    Claim(
        "SV-4", "Merge and reduce",
        r"A coreset of a coreset, $L$ deep, is one with $(1+\epsilon)^L - 1$; unbiased reductions "
        r"have errors that are a martingale, with independent inclusions "
        r"$\mathrm{Var} = \sum f_i^2 (1/\pi_i - 1)$ at the product of the rates. Sums of groups "
        r"add, "
        r"and $F \leq F_G + \|w\| \sum_G \sum_{i \in G} c_i \|x_i - \mu_G\|$.",
        "Streams and many machines: what merging costs, and what it does not.",
        "[SV] arXiv 1708.03835; the variances and the stream's bound derived here",
        depends=("SV-10",),
        computes=(sipp_theory.merged_error, sipp_theory.thinned_variance,
                  sipp_theory.stream_objective),
        steps=(
            Step("Two levels of inclusion add their variances.", symbolic.variances_add_up),
            Step(r"$h_i \leq h_{\mu} + \|w\| \|x_i - \mu\|$, summed over a group.",
                 why_not="the hinge is 1-Lipschitz"),
        ),
    ),
    Claim(
        "SV-5", "Exact sensitivities",
        r"$1/s_i = 1 + \lambda_i/c_i$, $\lambda_i = \inf (\|w\|^2/2 + \sum_{j \neq i} c_j "
        r"h_j)/h_i$, "
        r"the root of the concave $\lambda \mapsto \min_{w,b} \|w\|^2/2 + \sum_{j \neq i} c_j "
        r"h_j - "
        r"\lambda(1 - m_i)$.",
        "The sensitivity of one point as a convex program: what every bound is held against.",
        "derived here", depends=("SV-0",), computes=(sipp_theory.exact_sensitivity,),
        steps=(
            Step("The share of a point, from the rest's.", symbolic.share_of_the_rest),
            Step("A minimum of functions that are linear in lambda is concave.",
                 why_not="by definition"),
        ),
    ),
    Claim(
        "SV-6", "Dual sensitivities",
        r"If for $\nu > 0$ and $a \in [0,c]$: $\sum a y = \nu y_i$ and $\sum a - \nu \geq \|\sum "
        r"a y "
        r"x - \nu y_i x_i\|^2/2$, then $s_i \leq c_i/\nu$. Two explicit families of such $a$.",
        "A bound for each point from one feasible vector of multipliers.",
        "derived here", depends=("SV-0",), computes=(sipp_theory.dual_sensitivities,),
        steps=(
            Step(r"Weak duality for $\inf F - \nu h_i$.", symbolic.weak_duality),
            Step("The largest nu of each family.", symbolic.both_families),
        ),
    ),
    Claim(
        "SV-7", "Sensitivities bounded by the dimension",
        r"For $D(a) \geq 0$, $g = \min(a, c-a)$, $z = (y x, y)$, $G = \sum g_j^2 z_j z_j^T/w_j$, "
        r"$w_j \geq g_j \tau_j$, $\tau_j = \sqrt{z_j^T G^{-1} z_j}$: $s_i \leq c_i \tau_i$, and $S "
        r"\leq (d+2)/\kappa$ where $g \geq \kappa c$.",
        "With noisy classes a coreset's size depends on the dimension and not on the penalty.",
        "derived here; cf. Mai, Musco and Rao 2021, arXiv 2106.08443", depends=("SV-6",),
        computes=(sipp_theory.dimension_sensitivities, sipp_theory.lewis_weights),
        steps=(
            Step(r"$\beta_j = g_j^2 z_j^T G^{-1} z_i/w_j$ reproduces $z_i$.",
                 symbolic.reproduces_a_point),
            Step(r"$|z_j^T G^{-1} z_i| \leq \tau_i \tau_j$.", why_not="Cauchy-Schwarz"),
            Step(r"$a + \nu \beta$ stays in its box iff $\nu \tau_i \leq 1$.",
                 symbolic.stays_within_the_slack),
        ),
    ),
    Claim(
        "SV-8", "A coreset for all hyperplanes, whatever the dimension",
        r"With $q_i \propto c_i (\alpha + \beta \|x_i - o\|)$, $\beta = \varphi^*$, $\alpha = "
        r"1/F_{lb} "
        r"+ 1/A + \max_y \|\mu_y - o\| \varphi^*$, $T = \sum c_i(\alpha + \beta \|x_i - o\|)$: "
        r"with "
        r"probability $1 - \delta$, $\sup |F_C/F - 1| \leq T (2\sqrt2 + \sqrt{\ln(2/\delta)/2})/"
        r"\sqrt m$. Vacuous from $C n = 10$ on.",
        "A promise for every hyperplane at once, too weak to be used.",
        "derived here; cf. Alishahi and Phillips 2024, arXiv 2402.14092", depends=("SV-1",),
        computes=(sipp_theory.uniform_scores, sipp_theory.uniform_error,
                  sipp_theory.UniformScores),
        steps=(
            Step(r"$h_i/F$ is a hinge of a form that is linear in $(1, w, b)/F$; symmetrisation "
                 r"and "
                 "contraction.", why_not="Ledoux and Talagrand, cited; trials agree"),
            Step("Bounded differences.", symbolic.bounded_differences),
        ),
        probabilistic=True, use_instead="SV-10",
    ),
    Claim(
        "SV-9", "Control-variate coresets",
        r"Reference $(\hat w, \hat b)$, $r_i = 1 - m_i$ there, $\psi_i = 1[r_i > 0]$. $F = "
        r"\|w\|^2/2 "
        r"+ \sum c_i \psi_i (1 - m_i(w,b)) + \sum c_i \rho_i$, the second part exact by $d+1$ "
        r"sums. "
        r"On $\|\theta - \hat\theta\|_{Q^{-1}} \leq \rho_0$: $0 \leq \rho_i \leq (\rho_0 s_i - "
        r"|r_i|)_+$, $s_i = \|(x_i, 1)\|_Q$; with $q \propto c_i s_i$ on the band $|r_i| \leq "
        r"\rho_0 "
        r"s_i$, $T = \rho_0 \sum_{band} c_i s_i$, with probability $1 - \delta$ $\sup |F_C - F| "
        r"\leq "
        r"T (2/\sqrt m + \sqrt{\ln(2/\delta)/(2m)})$.",
        "Near a good guess only points that change sides need sampling.",
        "derived here", computes=(sipp_theory.control_variate, sipp_theory.control_variate_error,
                                  sipp_theory.ControlVariate),
        steps=(
            Step("The residual of a hinge.", symbolic.residual_of_a_hinge),
            Step("Symmetrisation and contraction for the residuals.",
                 why_not="Ledoux and Talagrand, cited; trials agree"),
            Step("Bounded differences.", symbolic.bounded_differences),
        ),
        probabilistic=True,
    ),
    Claim(
        "SV-10", "Jensen's certificate of suboptimality",
        r"Partition the points into groups of one class each and replace each by its weighted "
        r"mean: "
        r"$F_G \leq F$ everywhere, so any dual value $D_G$ of the means is $\leq F^*$ and $F(w,b) "
        r"\leq (1 + \epsilon) F^*$ with $\epsilon = F(w,b)/D_G - 1$.",
        "How far anybody's support vector machine is from the best one, after one pass.",
        "derived here", depends=("SV-0",),
        computes=(sipp_theory.jensen_certificate, sipp_theory.group_means, certify_svm,
                  sipp_theory.SvmCertificate),
        steps=(
            Step("Jensen's inequality for the hinge, group by group.",
                 why_not="convexity; a group has one label"),
            Step("Multipliers of the means are multipliers of the points.",
                 symbolic.multipliers_lift),
        ),
    ),
    Claim(
        "SV-11", "Adaptive training to a certified target",
        r"Pilot, control variates (SV-9) and Jensen bands that double (SV-10); with $F_k$ and "
        r"$D_k$ "
        r"of its rounds, the answer has $F \leq (\min_k F_k/\max_k D_k) F^*$.",
        "Train on few points, and stop when the certificate says that it is good enough.",
        "derived here", depends=("SV-9", "SV-10"), computes=(CoresetSVC,),
        steps=(Step("The best of each kind certify together.", symbolic.any_round_with_any_other),),
    ),
    Claim(
        "SV-12", "Kernel machines",
        r"For a fixed feature map all of SV holds in it. $D_K(a) = \sum a - (ay)^T K (ay)/2 \leq "
        r"F^*_K$, also for the multipliers $a_i = a_G c_i/c_G$ of groups in Nyström's features; "
        r"Nyström's $\hat K \preceq K$ gives $F^*_K \leq F^*_{\hat K}$. Random features "
        r"alone bound $F^*_K$ on no side.",
        "What is certified of a kernel machine, and what is not.",
        "derived here", depends=("SV-0",), computes=(sipp_theory.kernel_dual,
                                                                  certify_kernel),
        steps=(
            Step("The square of a sum of features is a form in the kernel.",
                 symbolic.kernel_of_a_feature_map),
            Step("Multipliers of groups are multipliers of the points.", symbolic.multipliers_lift),
        ),
    ),
)  # fmt: skip
