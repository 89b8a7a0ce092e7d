"""Coverage of SP-2 to SP-5x: draws with replacement."""

from __future__ import annotations

import sipp_theory
from proofs_check.coverage import neuron_experiment, two_point
from proofs_check.evidence import Experiment
from proofs_check.registry import Setting, check


@check("SP-3")
def bernstein_two_point(setting: Setting) -> Experiment:
    """Draws as many as SP-3 asks for, on the two-point instance that attains Chernoff's bound."""
    shares, scores = two_point(9)
    size = float(sipp_theory.bernstein_size(9.0, 0.2, 0.05))
    return neuron_experiment(
        "9 weights, eps = 0.2, delta = 0.05", shares, scores, scheme="draws", size=size, eps=0.2,
        delta=0.05, seed=setting.seed, stream=(1,),
    )  # fmt: skip
