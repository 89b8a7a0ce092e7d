"""A decoder with random weights, written shard by shard: what `prune_sharded` is measured on."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

WORDS, HEAD = 32000, 64  # tokens known, and the width of one attention head


class Block(nn.Module):
    """Attention and a gated layer, as today's language models have them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, width) to the same."""
        y = self.before(x)
        q, k, v = (
            each(y).unflatten(-1, (-1, HEAD)).transpose(1, 2) for each in (self.q, self.k, self.v)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(-2))
        y = self.between(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    """Token ids (n, t) to scores of the next one."""

    def __init__(self, width: int, inner: int, blocks: int, words: int = WORDS) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(Block(width, inner) for _ in range(blocks))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(n, t) to (n, t, words)."""
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def write_shards(model: Decoder, folder: Path, seed: int) -> int:
    """Write random bfloat16 weights of a model on the meta device, one file a block; their number.

    No more than a block is in memory.
    """
    generator, count = torch.Generator().manual_seed(seed), 0
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in model.named_parameters():
        part = ".".join(name.split(".")[:2]) if name.startswith("blocks.") else "rest"
        parts.setdefault(part, {})[name] = value
    for part, tensors in parts.items():
        values = {}
        for name, value in tensors.items():
            count += value.numel()
            if value.ndim == 1:
                values[name] = torch.ones(value.shape, dtype=torch.bfloat16)
                continue
            drawn = torch.empty(value.shape, dtype=torch.bfloat16)
            scale = 1.0 if part == "rest" else value.shape[1] ** -0.5
            values[name] = drawn.normal_(generator=generator) * scale
        save_file(values, folder / f"{part}.safetensors")
    return count
