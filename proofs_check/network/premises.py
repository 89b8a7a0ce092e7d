"""NW-5 on real layers: the theorem is claimed where its premises hold, and nowhere else."""

from __future__ import annotations

import torch
from torch import nn

import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.mutation import Mutation
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.methods import CoreNet, CoreNetPlus, corenet
from sipp_core.pruning import prune

EPS, DELTA = 0.5, 0.1


class _Residual(nn.Module):
    """x + W2 relu(W1 x)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(torch.relu(self.first(x)))


def _chain(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 6), *between, nn.Linear(6, 2))


@oracle("NW-5")
def claimed_where_it_holds(setting: Setting) -> Result:
    """The theorem is claimed of a ReLU chain with inputs enough, and of nothing that breaks it."""
    rng = torch.Generator().manual_seed(setting.seed)
    enough = int(sipp_theory.calibration_size(14, 6, DELTA)) + 80
    rows = torch.rand(enough, 6, generator=rng)
    convolution = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    cases = [
        ("a ReLU chain", _chain(nn.ReLU()), rows, True),
        ("two inputs", _chain(nn.ReLU()), rows[:2], False),
        ("tanh between", _chain(nn.Tanh()), rows, False),
        ("signed inputs", _chain(nn.ReLU()), rows - 0.5, False),
        ("a residual path", _Residual(), rows, False),
        ("a convolution", convolution, rows[:, None, :], False),
    ]
    for method in (CoreNet(), CoreNetPlus()):
        for label, net, inputs, holds in cases:
            result = prune(net, inputs, method=method, eps=EPS, delta=DELTA)
            if ("NW-5" in result.claims) != holds:
                raise Refuted(
                    f"{method.name} on {label}: claims {result.claims}, holds for "
                    f"{result.holds_for!r}"
                )
    return Result(cases=2 * len(cases))


MUTATIONS = (
    Mutation("NW-5", "premises_unchecked",
             "CoreNet's theorem is claimed whatever the network and its inputs are.",
             corenet.failing_premises, lambda original: lambda *given: [],
             (claimed_where_it_holds,)),
)  # fmt: skip
