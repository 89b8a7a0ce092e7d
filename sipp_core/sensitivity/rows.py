"""A uniform sample of a layer's activation rows, the same whoever computes which batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sipp_core.runtime.processes import Processes


class Reservoir:
    """A uniform sample of rows, whoever sees them: those of least random priority.

    The dice of a row are named by the seed, its batch and its place there, so they are the same in
    whichever process the batch runs.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seen, self._seed = size, 0, seed
        self._random: np.random.Generator | None = None
        self._batch = 0
        self._priority, self._batches = np.empty(0), np.empty(0, dtype=np.int64)
        self._rows: list[Tensor] = []

    def open(self, batch: int) -> None:
        """Begin the batch of that index."""
        self._batch, self._random = batch, None

    def add(self, block: Tensor) -> None:
        """Offer rows (groups, n, fan_in) of the batch that was begun."""
        n = block.shape[1]
        self.seen += n
        if self.size == 0:
            return
        if self._random is None:
            seeds = np.random.SeedSequence((self._seed, self._batch))
            self._random = np.random.Generator(np.random.Philox(seeds))
        self._priority = np.concatenate([self._priority, self._random.random(n)])
        self._batches = np.concatenate([self._batches, np.full(n, self._batch)])
        held = self._priority.size - n
        kept = self._least(self._priority)
        # Only rows that stay leave the device; as copies, since the model may overwrite its own.
        fresh = torch.from_numpy(kept[kept >= held] - held)
        self._rows.append(block.detach()[:, fresh.to(block.device)].cpu())
        if len(kept) < held + n:
            stay = np.concatenate([kept[kept < held], held + np.arange(len(fresh))])
            self._rows = [torch.cat(self._rows, dim=1)[:, torch.from_numpy(stay)]]
            self._priority, self._batches = self._priority[kept], self._batches[kept]

    def _least(self, priority: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.sort(np.argsort(priority, kind="stable")[: self.size])

    def merge(self, group: Processes, like: Tensor) -> None:
        """Join the samples of all processes; `like` is (groups, fan_in) of the rows' dtype."""
        self.seen = group.count(self.seen)
        if self.size == 0:
            return
        priorities = group.gather(torch.from_numpy(self._priority))
        batches = group.gather(torch.from_numpy(self._batches))
        owner = np.repeat(np.arange(group.size), [len(p) for p in priorities])
        place = np.concatenate([np.arange(len(p)) for p in priorities])
        priority, batch = torch.cat(priorities).numpy(), torch.cat(batches).numpy()
        # A batch is in one process only, so this is the order of the stream.
        order = np.argsort(batch, kind="stable")
        order = order[self._least(priority[order])]
        # Only rows that stay are sent.
        empty = like.new_zeros((like.shape[0], 0, like.shape[1])).cpu()
        mine = place[order[owner[order] == group.rank]]
        own = torch.cat([empty, *self._rows], dim=1)[:, torch.from_numpy(mine)]
        sent = torch.cat(group.gather(own.movedim(1, 0).contiguous())).movedim(0, 1)
        back = np.argsort(np.argsort(owner[order], kind="stable"), kind="stable")
        self._rows = [sent[:, torch.from_numpy(back)]]
        self._priority, self._batches = priority[order], batch[order]

    def rows(self, like: Tensor) -> Tensor:
        """All rows kept, float64, signed rows split in two non-negative ones."""
        if not self._rows:
            return torch.zeros((like.shape[0], 0, like.shape[1]), dtype=torch.float64)
        joined = torch.cat(self._rows, dim=1).double()
        if not bool((joined < 0).any()):
            return joined
        return torch.cat([joined.clamp(min=0), (-joined).clamp(min=0)], dim=1)
