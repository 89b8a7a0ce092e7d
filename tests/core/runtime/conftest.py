"""A model of token ids and their mask, and such inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Words(nn.Module):
    """Token ids and their mask to scores of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc, self.head = nn.Embedding(9, 5), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        tokens = torch.relu(self.fc(self.table(input_ids)))
        kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mean = (tokens * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
        return {"logits": self.head(mean), "pooled": mean}


def words(n: int, length: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 9, (n, length), generator=generator)
    ends = torch.randint(1, length + 1, (n, 1), generator=generator)
    mask = (torch.arange(length)[None] < ends).long()
    return ids * mask, mask


IDS, MASK = words(12, 5)
NAMED = {"input_ids": IDS, "attention_mask": MASK}
