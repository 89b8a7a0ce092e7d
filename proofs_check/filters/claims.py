"""Claims of the family PF: channels."""

from __future__ import annotations

import sipp_theory
from proofs_check.filters import symbolic
from proofs_check.ledger.claim import Claim, Step
from sipp_core.filters import sensitivity

RANGE = Step(
    "$s_c$ is no less than $c$'s share in any one pre-activation, so a draw $g_c/q_c$ "
    "lies in $[0, M]$, $M = K S$, in all of them at once.",
    symbolic.one_draw_serves_all,
)
BERNSTEIN = Step(
    "In each of them $m$ draws fail with probability at most $2 e^{-L}$ where $m "
    r"\geq (2 (M - 1) + \frac{2}{3} \max(M - 1, 1) \epsilon) L/\epsilon^2$.",
    why_not="It is SP-3, a claim of its own.",
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "PF-1", "Drawing channels, as printed",
        "The share $g_c$ of channel $c$ in a pre-activation (filter, patch, sign) is the sum "
        "over its kernel positions; $s_c$ is the largest over inputs and pre-activations, $S$ "
        r"their sum. Where $g_c(x) \leq K s_c$ for all $c$, $m = \lceil (6 + 2\epsilon) S K "
        r"\ln(4 \eta^*/\delta)/\epsilon^2 \rceil$ draws by $s_c/S$ keep each of $N"
        r"$ pre-activations within $(1 \pm \epsilon) z$, all at once with probability $1 - "
        r"\delta$, for $N \leq 32 \eta^{*3}/\delta^2$. With the largest share of a single kernel "
        "position in place of the sum it is false.",
        "So many channels, drawn at random, stand for all of a layer's inputs.",
        "[PF] arXiv 1911.07412, ICLR 2020; the sum over positions and N derived here",
        assumptions=("A-nonnegative",), depends=("SP-1", "SP-3"),
        computes=(sipp_theory.channel_size, sipp_theory.channel_error),
        steps=(
            RANGE,
            BERNSTEIN,
            Step(r"$(6 + 2\epsilon)/3$ is never below what Bernstein asks for, so the printed "
                 r"size has $L = 3 \ln(4 \eta^*/\delta)$, three times what the proof uses.",
                 symbolic.printed_is_three_times),
            Step(r"$N$ failures of $2 (\delta/4\eta^*)^3$ add up to $\delta$ at "
                 r"$N = 32 \eta^{*3}/\delta^2$.", symbolic.what_the_printed_size_pays_for),
            Step("With the largest single position, $S$ can be $1/k$ at $k$ positions, and a "
                 "draw exceeds it.", symbolic.a_single_position_is_not_enough),
        ),
        probabilistic=True, use_instead="PF-2",
    ),
    Claim(
        "PF-2", "Channels for all pre-activations at once",
        r"Under the same coverage event with factor $C$, $M = C S$: $m = \lceil (2(M-1) + "
        r"\frac{2}{3}\max(M-1, 1)\epsilon) \ln(2N/\delta)/\epsilon^2 \rceil$ draws keep all of $N"
        r"$ pre-activations within $(1 \pm \epsilon) z$ with probability $1 - \delta$; if $m"
        "$ is chosen by looking at the draws among $T$ sizes settled before, $N T$ stands for $N"
        r"$. Dropping the channels $D$ takes at most $\min(1, C \sum_{c \in D} s_c) z$ from any "
        "of them, with certainty.",
        "So many channels are enough, a third of what the paper asks for or fewer; and dropping "
        "some costs at most the sum of their sensitivities.",
        "derived here from SP-3, SP-6 and a union bound", assumptions=("A-nonnegative",),
        depends=("SP-1", "SP-3", "SP-6"),
        computes=(sipp_theory.channel_bernstein_size, sipp_theory.channel_bernstein_error,
                  sensitivity.channel_sensitivity, sensitivity.measure_channels),
        steps=(
            RANGE,
            BERNSTEIN,
            Step(r"At $L = \ln(2N/\delta)$ the failures of $N$ pre-activations add up to "
                 r"$\delta$.", symbolic.union),
            Step("A choice among $T$ sizes by the draws fails only if one of them fails.",
                 symbolic.union),
            Step(r"What is dropped has the share $\sum_{c \in D} g_c \leq C \sum_{c \in D} s_c$.",
                 why_not="It is SP-6 with channels for weights, a claim of its own."),
        ),
        probabilistic=True,
    ),
)  # fmt: skip
