"""Claims of the family AL."""

from __future__ import annotations

import sipp_theory
from proofs_check.allocation import symbolic
from proofs_check.ledger.claim import Claim, Step

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
        "For errors that are asked for, the fewest weights that meet them.",
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
)  # fmt: skip
