"""A network whose blocks have no weights yet, and one block of it at a time in its place.

The network's own forward runs: blocks before the one that is looked at answer what is on disk, and
the pass ends behind it. So each block is called as the network calls it, whatever else it is given
(masks, position embeddings, caches).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from sipp_core.runtime.batch import Batch, run
from sipp_core.sharded.records import Records
from sipp_core.sharded.shards import Shards


@contextmanager
def on_meta() -> Iterator[None]:
    """Build a network whose parameters have no values, and take no memory; buffers have theirs.

    Returns:
        A context manager.

    Example:
        >>> with on_meta():
        ...     net = nn.Sequential(nn.Linear(10**4, 10**4), nn.BatchNorm1d(2))
        >>> net[0].weight.device.type, net[1].running_var.tolist()
        ('meta', [1.0, 1.0])
    """
    original = nn.Module.register_parameter

    def register(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta:  # one that is tied stays so
            param = nn.Parameter(param.detach().to("meta"), param.requires_grad)
        original(self, name, param)

    nn.Module.register_parameter = register
    try:
        yield
    finally:
        nn.Module.register_parameter = original


class _Reached(BaseException):
    """The block has answered; what follows it need not run."""


class Skeleton:
    """The network without the weights of its blocks; a copy, the given one is not touched."""

    def __init__(self, model: nn.Module, shards: Shards, blocks: str | None) -> None:
        self.model = copy.deepcopy(model).eval()
        self.name = best_blocks(self.model) if blocks is None else blocks
        try:
            self.container = self.model.get_submodule(self.name)
        except AttributeError:
            raise ValueError(
                f"blocks={self.name!r} is no module of the model; the best is "
                f"{best_blocks(self.model)!r}"
            ) from None
        if not isinstance(self.container, nn.ModuleList | nn.Sequential) or not self.container:
            raise ValueError(
                f"blocks={self.name!r} must name a ModuleList or Sequential that holds the blocks; "
                f"found {type(self.container).__name__}"
            )
        self.shards = shards
        self.empty = list(self.container)
        self.keys = {k: self._prefix(k) for k in range(len(self.empty))}
        self._check()
        self._fill_rest()

    def __deepcopy__(self, memo: dict[int, Any]) -> Skeleton:
        return self  # a copy of a stage runs in the same network

    def __len__(self) -> int:
        return len(self.empty)

    def _prefix(self, number: int) -> str:
        key = list(self.container._modules)[number]
        return f"{self.name}.{key}" if self.name else key

    def names(self, number: int) -> list[str]:
        """Names of the tensors of one block, as the shards have them."""
        prefix = self.keys[number] + "."
        return [name for name in self.shards.places if name.startswith(prefix)]

    def _tensors(self) -> dict[str, Tensor]:
        """Parameters, and buffers of the state, under every name that they have."""
        named = dict(self.model.named_parameters(remove_duplicate=False))
        state = self.model.state_dict(keep_vars=True)
        return named | {name: value for name, value in state.items() if isinstance(value, Tensor)}

    def _check(self) -> None:
        """Refuse tensors that are missing, too many, or of another shape, all at once."""
        tensors, places = self._tensors(), self.shards.places
        given = {id(value) for name, value in tensors.items() if name in places}
        faults = [f"{n!r} is missing" for n, v in tensors.items() if id(v) not in given]
        faults += [f"the model has no {name!r}" for name in places if name not in tensors]
        faults += [
            f"{name!r} has shape {places[name].shape}, not {tuple(value.shape)}"
            for name, value in tensors.items()
            if name in places and places[name].shape != tuple(value.shape)
        ]
        lost = [
            name for name, value in self.model.named_buffers()
            if value.is_meta and name not in tensors
        ]  # fmt: skip
        faults += [
            f"buffer {name!r} has no values and is in no shard: build the model under "
            "sipp_core.sharded.on_meta()" for name in lost
        ]  # fmt: skip
        if faults:
            more = f" (and {len(faults) - 4} more)" if len(faults) > 4 else ""
            raise ValueError(f"{self.shards.source} does not fit the model: "
                             f"{'; '.join(faults[:4])}{more}")  # fmt: skip

    def _fill_rest(self) -> None:
        """Give values to all that stands outside the blocks; tied parameters stay tied."""
        inside = tuple(f"{prefix}." for prefix in self.keys.values())
        filled: dict[int, Tensor] = {}
        tensors = self._tensors()
        for name, value in tensors.items():
            if name in self.shards.places and not name.startswith(inside):
                filled[id(value)] = self.shards.read(name)
        fresh: dict[int, nn.Parameter] = {}
        for name, value in tensors.items():
            if name.startswith(inside) or id(value) not in filled:
                continue
            owner, _, leaf = name.rpartition(".")
            module = self.model.get_submodule(owner)
            if isinstance(value, nn.Parameter):
                new = fresh.setdefault(id(value), nn.Parameter(filled[id(value)], False))
                module._parameters[leaf] = new
            else:
                module._buffers[leaf] = filled[id(value)]

    @property
    def rest(self) -> list[str]:
        """Names in the shards of what stands outside the blocks."""
        inside = tuple(f"{prefix}." for prefix in self.keys.values())
        return [name for name in self.shards.places if not name.startswith(inside)]

    def load(self, number: int, shards: Shards | None = None) -> nn.Module:
        """One block with its weights, from the shards or from others of the same names."""
        block = copy.deepcopy(self.empty[number])
        prefix = self.keys[number] + "."
        own = shards or self.shards
        state = {name[len(prefix):]: own.read(name) for name in self.names(number)}  # fmt: skip
        with torch.no_grad():
            block.load_state_dict(state, strict=False, assign=True)
        for parameter in block.parameters():
            parameter.requires_grad_(False)
        return block.eval()

    def answer(self, number: int, block: nn.Module, before: Any, batch: Batch | Tensor) -> Any:
        """What a block answers in its place, given what the one before it gave."""
        keys, taken = list(self.container._modules), list[Any]()

        def done(_: nn.Module, __: Any, output: Any) -> None:
            taken.append(output)
            raise _Reached

        def check(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            for leaf in pytree.tree_leaves((given, named)):
                if _numbers(leaf) and bool(leaf.isnan().any()):
                    raise ValueError(
                        f"block {self.keys[number]!r} is given what is no number: it looks at more "
                        "than the block before it (a skip over blocks), or weights are at fault"
                    )

        def standing_in(value: Any) -> Any:
            return lambda *_, **__: value

        with contextlib.ExitStack() as stack:
            unused = pytree.tree_map(_nothing, before)
            for k in range(number):
                module = self.empty[k]
                vars(module)["forward"] = standing_in(before if k == number - 1 else unused)
                stack.callback(vars(module).pop, "forward")
            self.container._modules[keys[number]] = block
            stack.callback(self.container._modules.__setitem__, keys[number], self.empty[number])
            stack.callback(
                block.register_forward_pre_hook(check, prepend=True, with_kwargs=True).remove
            )
            # The last hook of the block: those that watch it have been served.
            stack.callback(block.register_forward_hook(done).remove)
            with contextlib.suppress(_Reached):
                run(self.model, batch)
        if not taken:
            raise ValueError(
                f"block {self.keys[number]!r} was not called in a forward pass; name the list whose"
                " modules follow one another with blocks="
            )
        return taken[0]


def _nothing(value: Any) -> Any:
    """NaN in place of numbers that only the next block may look at."""
    return torch.full_like(value, torch.nan) if _numbers(value) else value


def _numbers(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


class Stage(nn.Module):
    """One block as a model of the network's own inputs, under the block's own name.

    Its first input (n,) says which of the recorded inputs these are.
    """

    def __init__(
        self, skeleton: Skeleton, number: int, block: nn.Module, before: Records | None
    ) -> None:
        super().__init__()
        self.held = (skeleton, number, before)  # no submodules: what runs is the block
        *above, last = skeleton.keys[number].split(".")
        place: nn.Module = self
        for name in above:
            place.add_module(name, nn.Module())
            place = place.get_submodule(name)
        place.add_module(last, block)

    def __deepcopy__(self, memo: dict[int, Any]) -> Stage:
        skeleton, number, before = self.held
        return Stage(skeleton, number, copy.deepcopy(self.block, memo), before)

    @property
    def block(self) -> nn.Module:
        """The block."""
        return self.get_submodule(self.held[0].keys[self.held[1]])

    def forward(self, which: Tensor, *arrays: Tensor, **named: Any) -> Any:
        """What the block answers for these inputs."""
        skeleton, number, before = self.held
        given = None if before is None else before.read(which.tolist(), which.device)
        return skeleton.answer(number, self.block, given, Batch(*arrays, **named))


def best_blocks(model: nn.Module) -> str:
    """The list of blocks with which least has to be in memory at once.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 9)))
        >>> best_blocks(net)
        '1'
    """
    total = sum(p.numel() for p in model.parameters())
    sizes = {
        name: [sum(p.numel() for p in child.parameters()) for child in module]
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
    }
    if not sizes:
        raise ValueError(
            "the model has no ModuleList or Sequential of several modules; its blocks must stand "
            "in one"
        )
    return min(sizes, key=lambda name: total - sum(sizes[name]) + max(sizes[name]))
