"""Networks of a given structure that checks prune."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TwoGroups(nn.Module):
    """A layer of 500 inputs, 300 from one group of channels and 200 from another; all weights 1."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 300), nn.Linear(3, 200)
        self.last = nn.Linear(500, 1)
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, 1) of inputs (n, 3)."""
        return self.last(torch.cat([self.left(x).relu(), self.right(x).relu()], dim=1))
