"""Claims of the family NT."""

from __future__ import annotations

import sipp_theory
from proofs_check.ledger.claim import Claim, Step
from proofs_check.nettrim import symbolic
from sipp_core.nettrim import program, reference, retrim, solver

SOURCE = "arXiv 1611.05162 (Aghasi, Abdi, Nguyen, Romberg, NeurIPS 2017)"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "NT-1", "Error of one trimmed layer",
        r"Let $U$ have the least $\sum_{mn} |U_{mn}|$ subject to "
        r"$\sum_{y_{mp} > 0} (u_m \cdot x_p - y_{mp})^2 \leq \epsilon^2$ and "
        r"$u_m \cdot x_p \leq 0$ where $y_{mp} = 0$, for $Y = \max(W X, 0)$. Then "
        r"$\|\max(U X, 0) - Y\|_F \leq \epsilon$. For every $\Lambda$ with $\Lambda \leq 0$ "
        r"where $y = 0$ and $|\Lambda X^T| \leq 1$ the least objective is at least "
        r"$\langle \Lambda, Y \rangle - \epsilon \|\Lambda_{y > 0}\|_F$.",
        "A layer is retrained to be sparse, and on the inputs seen its outputs move by no more "
        "than was allowed.",
        SOURCE + "; the dual certificate is derived here",
        computes=(sipp_theory.retrim_error, solver.trim, reference.solve_cvxpy,
                  program.lower_bound),
        steps=(
            Step(r"$|\max(z, 0) - y| \leq |z - y|$ for $y > 0$, and $\max(z, 0) = 0$ for "
                 r"$z \leq 0$.", symbolic.relu_moves_no_further),
            Step(r"$\langle \Lambda, Z - Y \rangle \geq -\epsilon \|\Lambda\|_F$ over the ball, "
                 r"and $\langle \Lambda, U X \rangle \leq \sum |U|$: weak duality.",
                 symbolic.weak_duality),
        ),
    ),
    Claim(
        "NT-2", "Parallel trimming of a network",
        r"If every layer is trimmed on the original network's activations, $\|\hat Y^{(l)} - "
        r"Y^{(l)}\|_F \leq \sum_{j \leq l} \epsilon_j \prod_{k=j+1}^{l} \|\hat W_k\|_2$, with "
        "the trimmed weights without bias. If each layer's weights and penalised bias have "
        r"$\sum |W_l| = 1$, this is at most $\sum_{j \leq l} \epsilon_j$.",
        "Trimmed all at once, the layers' errors add up, each amplified by the layers behind it.",
        SOURCE + ", theorem 1; the spectral norm is derived here", depends=("NT-1",),
        computes=(sipp_theory.parallel_error, sipp_theory.parallel_split, retrim),
        steps=(
            Step(r"$e_l \leq \|\hat W_l\|_2 e_{l-1} + \epsilon_l$: ReLU is 1-Lipschitz, and a "
                 "bias cancels in a difference.", symbolic.relu_is_lipschitz),
            Step("The recursion gives the sum of products.", symbolic.recursion_unrolls),
            Step(r"$W_l$ is feasible, so $\sum |\hat W_l| \leq \sum |W_l|$; the spectral norm is "
                 "at most the Frobenius norm, and that at most the sum.",
                 symbolic.norms_are_ordered),
        ),
    ),
    Claim(
        "NT-3", "Cascade",
        "If from layer 2 on the program has the pruned network's activations as inputs, "
        r"$\epsilon_l^2 = \gamma_l \sum_{y > 0} (w \cdot \hat y - y)^2$ and ceilings "
        r"$W_l \hat Y^{(l-1)}$, with $\gamma_l \geq 1$, then $\|\hat Y^{(l)} - Y^{(l)}\|_F \leq "
        r"\epsilon_1 \prod_{j=2}^{l} \sqrt{\gamma_j} \|W_j\|_2$; with $\|W_j\|_F \leq "
        r"1$ at most $\epsilon_1 \prod \sqrt{\gamma_j}$. A last layer without ReLU has all "
        "entries in the ball, and the same bound.",
        "Trimmed one after the other, each layer may repair what the ones before it spoilt.",
        SOURCE + ", theorem 2; the spectral norm is derived here", depends=("NT-1",),
        computes=(sipp_theory.cascade_error, retrim),
        steps=(
            Step(r"Where $y = 0$: $\max(u \cdot \hat y, 0) \leq \max(w \cdot \hat y, 0) \leq |w "
                 r"\cdot \hat y - w \cdot y|$, as $w \cdot y \leq 0$.",
                 symbolic.ceiling_of_the_given_weights),
            Step(r"$\gamma A + B \leq \gamma (A + B)$ for $\gamma \geq 1$, and not below 1.",
                 symbolic.gamma_covers_both),
            Step(r"$A + B \leq \|W (\hat Y - Y)\|_F^2 \leq \|W\|_2^2 \|\hat Y - "
                 r"Y\|_F^2$, and $\|W\|_2 \leq \|W\|_F$.", symbolic.norms_are_ordered),
        ),
    ),
    Claim(
        "NT-4", "Samples for a sparse neuron",
        "Let $w$ have $s$ nonzero weights of $N$ and $X$ be $P$ independent standard normal "
        r"inputs. If $P \geq (11 s + 7) \mu \ln N$, the program with $\epsilon = 0$ has $w$ as "
        r"its only solution with probability at least $1 - N^{1-\mu}$.",
        "How many random inputs are enough to find a sparse neuron again.", SOURCE + ", theorem 3",
        depends=("NT-1",), computes=(sipp_theory.recovery_samples, sipp_theory.recovery_failure),
        steps=(
            Step(r"$\mu = P/((11 s + 7) \ln N)$ turns $N^{1-\mu}$ into "
                 r"$\exp(\ln N - P/(11 s + 7))$.", symbolic.failure_inverts_samples),
            Step(r"Recovery with probability $1 - N^{1-\mu}$.",
                 why_not="the paper's golfing argument, cited; coverage looks at the rate"),
        ),
        probabilistic=True,
    ),
)  # fmt: skip
