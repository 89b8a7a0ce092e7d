"""Net-Trim (NT): the convex program, its solvers, and a whole network."""

from __future__ import annotations

from sipp_core.nettrim import program, reference, solution, solver
from sipp_core.nettrim.network import retrim
from sipp_core.nettrim.program import Program, layer_program, objective, violations
from sipp_core.nettrim.solution import feasible
from sipp_core.nettrim.solver import solve

__all__ = [
    "Program", "feasible", "layer_program", "objective", "program", "reference", "retrim",
    "solution", "solve", "solver", "violations",
]  # fmt: skip
