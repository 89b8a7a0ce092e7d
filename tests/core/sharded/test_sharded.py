"""Pruning block by block from shards gives what pruning the whole network gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import sipp_core
from sipp_core.network.layers import prunable_layers
from sipp_core.pruning import measured_errors
from sipp_core.runtime import Batch
from sipp_core.sharded import blocks as driver
from sipp_core.sharded import on_meta, prune_sharded
from sipp_core.sharded.skeleton import best_blocks


class Attention(nn.Module):
    """Causal attention that is told positions by its block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        n, t, width = x.shape
        x = x + positions

        def split(y: Tensor) -> Tensor:
            return y.view(n, t, self.heads, -1).transpose(1, 2)

        y = nn.functional.scaled_dot_product_attention(
            split(self.q(x)), split(self.k(x)), split(self.v(x)), is_causal=True
        )
        return self.o(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    """A transformer block that returns a tuple, as those of libraries do."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.kind = "full"

    def forward(self, x: Tensor, *, positions: Tensor) -> tuple[Tensor, None]:
        x = x + self.attention(self.first(x), positions)
        return x + self.down(nn.functional.gelu(self.up(self.second(x)))), None


class Transformer(nn.Module):
    """Token ids to scores; the head is tied to the embedding."""

    places: Tensor

    def __init__(self, words: int = 20, width: int = 8, blocks: int = 3, inner: int = 24) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(Block(width, 2, inner) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("places", torch.linspace(0, 1, 64)[:, None], persistent=False)

    def forward(self, ids: Tensor, scale: float = 1.0) -> Tensor:
        x = self.embedding(ids)
        positions = self.places[: ids.shape[1]].to(x.dtype) * scale
        for block in self.blocks:
            assert block.kind == "full"
            (x, _) = block(x, positions=positions)
        return self.head(self.norm(x))


def written(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """A network with random weights, and its shards: two files, the tied weight once."""
    torch.manual_seed(0)
    model = Transformer().to(dtype).eval()
    state = {k: v.contiguous().clone() for k, v in model.state_dict().items() if k != "head.weight"}
    names = sorted(state)
    folder.mkdir()
    for part in (0, 1):
        save_file({n: state[n] for n in names[part::2]}, folder / f"part-{part}.safetensors")
    return model


def empty() -> Transformer:
    with on_meta():
        return Transformer()


def ids(count: int = 12, length: int = 7, seed: int = 1) -> Tensor:
    return torch.randint(0, 20, (count, length), generator=torch.Generator().manual_seed(seed))


def state_of(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by its index."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    files = {file: load_file(folder / file) for file in set(index.values())}
    assert sorted(index) == sorted(name for held in files.values() for name in held)
    return {name: files[file][name] for name, file in index.items()}


def filled(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    model = Transformer().to(dtype).eval()
    missing, unexpected = model.load_state_dict(state_of(folder), strict=False)
    assert (missing, unexpected) == (["head.weight"], [])
    return model


CASES = [
    {"method": "sipp-det", "keep": 0.4},
    {"method": "sipp-rand", "keep": 0.4, "seed": 3},
    {"method": "random", "keep": 0.5, "seed": 5},
    {"method": "wanda", "keep": 0.5},
    {"method": "sipp-poisson", "keep": 0.4, "seed": 2},
    {"method": "sipp-det", "eps": 0.4},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_on_dense_inputs_weights_are_those_of_prune(case: dict[str, Any], tmp_path: Path) -> None:
    model = written(tmp_path / "shards")
    result = prune_sharded(
        empty(), tmp_path / "shards", ids(), tmp_path / "new", sequential=False, **case
    )
    scope: dict[str, Any] = {} if "eps" in case else {"scope": "layer"}
    whole = sipp_core.prune(model, ids(), layers="blocks", **case, **scope)
    for name, value in state_of(tmp_path / "new").items():
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=0, atol=0)
    assert [layer["name"] for layer in result.layers] == [layer.name for layer in whole.layers]
    for mine, theirs in zip(result.layers, whole.layers, strict=True):
        assert mine == theirs.summary()
    assert (result.nnz_before, result.nnz_after) == (whole.nnz_before, whole.nnz_after)
    assert result.holds_for == whole.holds_for and result.claims == whole.claims


def test_each_block_is_calibrated_on_what_the_pruned_ones_give(tmp_path: Path) -> None:
    model = written(tmp_path / "shards")
    prune_sharded(empty(), tmp_path / "shards", ids(), tmp_path / "new", keep=0.3)
    pruned, expected = filled(tmp_path / "new"), model
    # The same, by pruning the whole network block after block.
    for number in range(3):
        step = sipp_core.prune(
            expected, ids(), method="sipp-det", keep=0.3, scope="layer", layers=f"blocks.{number}"
        )
        expected = step.model
    for name, value in pruned.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=0, atol=0)


def test_a_refit_aims_at_what_the_dense_network_gives(tmp_path: Path) -> None:
    model = written(tmp_path / "shards")
    errors = {}
    for refit in (False, True):
        folder = tmp_path / f"new-{refit}"
        prune_sharded(empty(), tmp_path / "shards", ids(64), folder, refit=refit, keep=0.4)
        with torch.no_grad():
            errors[refit] = float((filled(folder)(ids(64)) - model(ids(64))).square().mean())
    assert errors[True] < 0.5 * errors[False]


def test_padding_takes_no_part_in_a_refit(tmp_path: Path) -> None:
    """Attention is causal, so what stands behind a text changes nothing in it."""
    written(tmp_path / "shards")
    states = []
    for number, padding in enumerate((18, 19)):
        given = ids(32) % 18
        given[:, 5:] = padding
        folder = tmp_path / f"new-{number}"
        prune_sharded(
            empty(), tmp_path / "shards", given, folder, refit=True, keep=0.4,
            mask=lambda batch: torch.lt(batch, 18),  # type: ignore[arg-type]
        )  # fmt: skip
        states.append(state_of(folder))
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-4, atol=1e-6)


def test_measured_errors_are_those_of_the_pruned_inputs(tmp_path: Path) -> None:
    written(tmp_path / "shards")
    result = prune_sharded(empty(), tmp_path / "shards", ids(), tmp_path / "new", keep=0.3)
    pruned = filled(tmp_path / "new")
    dense = filled(tmp_path / "new")
    source = load_file(tmp_path / "shards/part-0.safetensors")
    source |= load_file(tmp_path / "shards/part-1.safetensors")
    own = {k: v for k, v in source.items() if k.startswith("blocks.2.")}
    dense.load_state_dict(own, strict=False)
    layers = prunable_layers(dense, "blocks.2")
    errors = measured_errors(dense, pruned, layers, [ids()])
    for layer in result.layers:
        if layer["name"] in errors:
            assert layer["measured"] == errors[layer["name"]].max()


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "shards")

    def run(folder: str) -> sipp_core.ShardedResult:
        return prune_sharded(
            empty(), tmp_path / "shards", ids(), tmp_path / folder, keep=0.5, refit=True,
            method="sipp-rand", seed=1,
        )  # fmt: skip

    whole = run("whole")
    result = driver._pruned
    done: list[int] = []

    def stopping(call: object, number: int, *rest: object) -> object:
        done.append(number)
        if len(done) == 3:
            raise KeyboardInterrupt
        return result(call, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(driver, "_pruned", stopping)
    with pytest.raises(KeyboardInterrupt):
        run("parts")
    again = run("parts")
    assert done == [0, 1, 2, 2]
    assert again.layers == whole.layers and again.notes == whole.notes
    first, second = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert all(torch.equal(first[name], second[name]) for name in first)
    # A finished one is read, and one of other arguments is refused.
    assert run("parts").layers == whole.layers and done == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="is of another call"):
        prune_sharded(empty(), tmp_path / "shards", ids(), tmp_path / "parts", keep=0.4)


def test_no_activations_and_no_model_are_left_behind(tmp_path: Path) -> None:
    written(tmp_path / "shards")
    model = empty()
    names = [name for name, value in model.named_parameters() if value.is_meta]
    prune_sharded(model, tmp_path / "shards", ids(), tmp_path / "new", keep=0.5)
    assert [n for n, value in model.named_parameters() if value.is_meta] == names
    assert all("forward" not in vars(block) for block in model.blocks)
    left = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert left == [
        *(f"model-{k:05d}-of-00004.safetensors" for k in range(1, 5)),
        "model.safetensors.index.json",
        "sipp.json",
    ]


def test_bfloat16_and_inputs_of_several_lengths(tmp_path: Path) -> None:
    written(tmp_path / "shards", torch.bfloat16)
    stream = [
        Batch(ids(4, 7), scale=0.5),
        Batch(ids(4, 9, 2), scale=0.5),
        Batch(ids(2, 7, 3), scale=0.5),
    ]
    result = prune_sharded(empty(), tmp_path / "shards", stream, tmp_path / "new", keep=0.5)
    state = state_of(tmp_path / "new")
    assert all(value.dtype == torch.bfloat16 for value in state.values())
    assert result.inputs == 10 and all(layer["measured"] is not None for layer in result.layers)


def test_only_chosen_layers(tmp_path: Path) -> None:
    written(tmp_path / "shards")
    chosen = ["blocks.*.up", "blocks.0.attention.q"]
    result = prune_sharded(
        empty(), tmp_path / "shards", ids(), tmp_path / "new", keep=0.5, layers=chosen
    )
    names = ["blocks.0.attention.q", "blocks.0.up", "blocks.1.up", "blocks.2.up"]
    assert [layer["name"] for layer in result.layers] == names


class Skipping(Transformer):
    """Its last block also sees what the first one gave."""

    def forward(self, ids: Tensor, scale: float = 1.0) -> Tensor:
        x = first = self.embedding(ids)
        for number, block in enumerate(self.blocks):
            (x, _) = block(x + (first if number == 2 else 0), positions=self.places[: ids.shape[1]])
            first = x if number == 0 else first
        return self.head(self.norm(x))


def test_refusals(tmp_path: Path) -> None:
    written(tmp_path / "shards")
    shards, new = tmp_path / "shards", tmp_path / "new"
    with on_meta():
        skipping, larger = Skipping(), Transformer(width=16)
    with pytest.raises(ValueError, match="skip over blocks"):
        prune_sharded(skipping, shards, ids(), tmp_path / "skip", keep=0.5)
    with pytest.raises(ValueError, match=r"has shape .*, not .*\(and \d+ more\)"):
        prune_sharded(larger, shards, ids(), new, keep=0.5)
    with pytest.raises(ValueError, match="more than one layer"):
        prune_sharded(empty(), shards, ids(), new, keep=0.5, method="sipp-network")
    with pytest.raises(ValueError, match="cannot prune block by block"):
        prune_sharded(empty(), shards, ids(), new, keep=0.5, method="corenet")
    with pytest.raises(ValueError, match="'corenet' speaks of the whole network"):
        prune_sharded(empty(), shards, ids(), new, keep=0.5, method="sipp-rand", bound="corenet")
    with pytest.raises(ValueError, match="must name a ModuleList"):
        prune_sharded(empty(), shards, ids(), new, keep=0.5, blocks="head")
    with pytest.raises(ValueError, match="is no module of the model"):
        prune_sharded(empty(), shards, ids(), new, keep=0.5, blocks="layers")
    with torch.device("meta"):
        lost = Transformer()
    with pytest.raises(ValueError, match=r"buffer 'places' has no values.*on_meta"):
        prune_sharded(lost, shards, ids(), new, keep=0.5)
    with pytest.raises(FileNotFoundError):
        prune_sharded(empty(), tmp_path, ids(), new, keep=0.5)
    with pytest.raises(ValueError, match="holds another checkpoint"):
        prune_sharded(empty(), shards, ids(), shards, keep=0.5)
    (new / "x").parent.mkdir(exist_ok=True)
    for content in (b"", b"\xff" * 7, (2**40).to_bytes(8, "little"), b"\x02" + b"\0" * 7 + b"[]"):
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="no safetensors file"):
            prune_sharded(empty(), tmp_path / "bad.safetensors", ids(), new, keep=0.5)
    long = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    content = len(long).to_bytes(8, "little") + long.encode()
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="does not fit where it should lie"):
        prune_sharded(empty(), tmp_path / "bad.safetensors", ids(), new, keep=0.5)


def test_the_blocks_with_which_least_is_in_memory() -> None:
    assert best_blocks(empty()) == "blocks"
    with pytest.raises(ValueError, match="no ModuleList or Sequential"):
        best_blocks(nn.Linear(2, 2))
