"""Net-Trim (NT): the convex program, its solvers, and a whole network."""

from __future__ import annotations

from sipp_core.nettrim import program, reference, solution, solver
from sipp_core.nettrim.network import retrim
from sipp_core.nettrim.program import Program, layer_program, objective, violations
from sipp_core.nettrim.solution import feasible
from sipp_core.nettrim.solver import path, solve, trim, trim_to

__all__ = [
    "Program", "feasible", "layer_program", "objective", "path", "program", "reference",
    "retrim", "solution", "solve", "solver", "trim", "trim_to", "violations",
]  # fmt: skip
