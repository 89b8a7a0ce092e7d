"""Assumptions as entries of their own: they are checked like claims."""

from __future__ import annotations

from proofs_check.claims.claim import Claim

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "A1",
        "CDF condition",
        r"With $F_j$ the CDF of $g_j$ and $M_j$ the least $y$ with $F_j(y) = 1$: $F_j(M_j/K) \leq "
        r"e^{-1/K'}$ for every weight, with $K = K' = \ln(\eta \eta^*)$ (CoreNet) or $K' = 3$ "
        r"(SiPP).",
        "No weight has its large shares only at a few inputs.",
        "arXiv 1804.05345, ICLR 2019, assumption 1; arXiv 1910.05422, SIAM J. Math. Data Sci. 2022",
        computes=("sipp_theory.assumption_factors", "sipp_theory.shares"),
    ),
    Claim(
        "A-iid",
        "Calibration and fresh inputs are exchangeable",
        r"The points of $S$ and a fresh $x$ are independent draws of one law, also given the "
        r"trained network.",
        "The network treats the inputs it was calibrated on as it treats new ones.",
        "all papers; tested by permutations of ranks, derived here",
        computes=("sipp_theory.shares",),
    ),
    Claim(
        "A-held-out",
        "Held-out inputs like those that will come",
        r"The $n$ held-out inputs and a fresh $x$ are independent draws of one law, and had no say "
        r"in $\hat f$.",
        "The inputs of a certificate are a fair sample, and nothing was chosen on them.",
        "Clopper and Pearson, Biometrika 1934; Wilks, Ann. Math. Stat. 1941",
        computes=("sipp_core.certify.output_errors",),
    ),
    Claim(
        "A-nonnegative",
        "Non-negative activations",
        r"$a_j(x) \geq 0$ for every input of every layer; elsewhere $a^+$ and $a^-$ count as two "
        r"rows.",
        "What enters a layer has one sign, as after ReLU.",
        "arXiv 1804.05345, ICLR 2019; two rows: arXiv 1910.05422",
        computes=("sipp_theory.sensitivity",),
    ),
    Claim(
        "A2",
        "Subexponential cancellation",
        r"$\Delta_i - E \Delta_i$ is subexponential with a parameter $\lambda \leq \ln(\eta "
        r"\eta^*)/2$: $E e^{s (\Delta_i - E \Delta_i)} \leq e^{s^2 \lambda^2/2}$ for $|s| \leq "
        r"1/\lambda$.",
        "No neuron's positive and negative parts cancel to nearly nothing but very rarely.",
        "[CN] arXiv 1804.05345, ICLR 2019, assumption 2",
        computes=("sipp_theory.hill_tail_index", "sipp_theory.delta_hat"),
    ),
)
