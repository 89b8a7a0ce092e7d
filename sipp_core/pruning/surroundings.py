"""What stands around a layer: the BatchNorm behind it, and the sum that its output goes into.

Found by watching one forward pass: a norm is given the very tensor that a layer returned, and a sum
is called with it. Nothing is assumed of how the model is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sipp_core.network.layers import PrunableLayer, write_weight
from sipp_core.runtime.batch import Given, run
from sipp_core.runtime.execution import evaluating, model_device, watching

Norm = nn.modules.batchnorm._BatchNorm
ADDITIONS = {
    torch.add, torch.Tensor.add, torch.Tensor.add_, torch.Tensor.__add__, torch.Tensor.__radd__,
    torch.Tensor.__iadd__,
}  # fmt: skip
# Channels that a norm all but switches off can make up for nothing.
LEAST_SCALE = 1e-3


class _Reached(BaseException):
    """All that is looked for has been seen; what follows need not run."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A layer in its network.

    Attributes:
        layer: the layer.
        calls: how often a forward pass calls it.
        norm: the BatchNorm that takes its output right away, or None.
        norm_name: its name.
        added: whether its output, or the norm's, is added to another tensor of its shape.
    """

    layer: PrunableLayer
    calls: int
    norm: Norm | None = None
    norm_name: str = ""
    added: bool = False

    def within(self, model: nn.Module) -> Surroundings:
        """The same places in a copy of the model."""
        norm: Any = None if self.norm is None else model.get_submodule(self.norm_name)
        return replace(self, layer=self.layer.within(model), norm=norm)

    @property
    def takes_bias(self) -> bool:
        """Whether a constant can be added to each of the layer's outputs."""
        return isinstance(self.layer.module.bias, Tensor) or self.norm is not None

    def scale(self) -> Tensor | None:
        """(out,) float64 factor that the norm multiplies by, or None where there is no norm."""
        if self.norm is None:
            return None
        assert self.norm.running_var is not None
        scale = (self.norm.running_var.double() + self.norm.eps).rsqrt()
        return scale if self.norm.weight is None else scale * self.norm.weight.detach().double()

    def unnormed(self, added: Tensor) -> Tensor:
        """What the layer would have to give for its norm to give this, channel by channel.

        Next to nothing where the norm all but switches a channel off.

        Shapes: added (n, out).
        """
        scale = self.scale()
        if scale is None:
            return added
        # A norm of zeros, as residual branches often start with, hands nothing on.
        largest = scale.abs().max()
        if not largest > 0:
            return torch.zeros_like(added)
        part = scale / largest
        return added * (part / (part.square() + LEAST_SCALE**2) / largest)

    def shift_to(self, dense: Surroundings, bias: Tensor) -> None:
        """Write a bias into the layer, or into its norm in place of one. Shapes: bias (out,)."""
        name = self.layer.name
        if isinstance(self.layer.module.bias, Tensor):
            write_weight(name, self.layer.module.get_parameter("bias"), bias)
            return
        assert self.norm is not None and dense.norm is not None
        mean, old = self.norm.running_mean, dense.norm.running_mean
        assert mean is not None and old is not None
        write_weight(name, mean, old.double() - bias)


@dataclass(eq=False)
class Call:
    """One call of a layer: what it was given, and what was added to its output or its norm's."""

    given: Tensor
    added: Tensor | None = None


class _Sums(TorchFunctionMode):
    """Reports what is added to the tensors it follows, unless they were written to before."""

    def __init__(self, report: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        # The tensors are held, so that no other can have their id meanwhile.
        self.known: dict[int, tuple[str, Tensor, int]] = {}
        self.report = report

    def tell(self, name: str, value: Any) -> None:
        """Have additions to a tensor reported under a name."""
        if isinstance(value, Tensor):
            self.known[id(value)] = name, value, value._version

    def name_of(self, value: Any) -> str | None:
        """The name of a followed tensor that has not changed; None of any other."""
        name, known, version = self.known.get(id(value), (None, None, 0))
        return name if known is value and value._version == version else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in ADDITIONS and len(args) == 2 and not kwargs:
            for one, other in (args, args[::-1]):
                name = self.name_of(one)
                if name is not None and isinstance(other, Tensor) and other.shape == one.shape:
                    self.report(name, other.detach().clone())
        return func(*args, **kwargs)


def calls_in_order(
    model: nn.Module, layers: Sequence[PrunableLayer], example: Given
) -> dict[str, int]:
    """How often each layer is called in a forward pass, in the order of the first calls."""
    calls: dict[str, int] = {}

    def see(name: str, _: Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1

    with watching(model, {layer.name: layer.module for layer in layers}, see):
        run(model, example.to(model_device(model), copy=True))
    return calls


def look_around(
    model: nn.Module, layers: Sequence[PrunableLayer], example: Given
) -> dict[str, Surroundings]:
    """Find the surroundings of each layer that is called, in the order of the first calls."""
    by_name = {layer.name: layer.within(model) for layer in layers}
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Norm) and isinstance(module.running_mean, Tensor)
    }
    calls = calls_in_order(model, list(by_name.values()), example)
    behind: dict[str, list[str]] = {}
    norm_calls: dict[str, int] = {}
    added: set[str] = set()
    given = _Sums(lambda *_: None)
    sums = _Sums(lambda name, _: added.add(name))

    def layer_done(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            given.tell(name, out)
            sums.tell(name, out)

        return hook

    def norm_done(norm: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], out: Any) -> None:
            norm_calls[norm] = norm_calls.get(norm, 0) + 1
            name = given.name_of(inputs[0]) if inputs else None
            if name is not None:
                behind.setdefault(name, []).append(norm)
                sums.tell(name, out)

        return hook

    with contextlib.ExitStack() as stack:
        for name, layer in by_name.items():
            stack.callback(layer.module.register_forward_hook(layer_done(name)).remove)
        for name, module in norms.items():
            stack.callback(module.register_forward_hook(norm_done(name)).remove)
        stack.enter_context(evaluating(model))
        stack.enter_context(sums)
        run(model, example.to(model_device(model), copy=True))
    around = {}
    for name, count in calls.items():
        own = behind.get(name, [])
        single = count == 1 and (not own or (len(own) == 1 and norm_calls[own[0]] == 1))
        norm = own[0] if own and single else ""
        around[name] = Surroundings(
            by_name[name], count, norms.get(norm), norm, single and name in added
        )
    return around


def watch(
    model: nn.Module, places: Mapping[str, Surroundings], batch: Given,
    done: Callable[[str, Call], None], last: str | None = None,
) -> None:  # fmt: skip
    """Run the model, and hand on each call of some layers once all of it is known.

    With `last` the forward pass ends with the last call of that layer. Shapes: as the model's.
    """
    open_calls: dict[str, Call] = {}
    seen = dict.fromkeys(places, 0)

    def finish(name: str) -> None:
        seen[name] += 1
        done(name, open_calls.pop(name))
        if name == last and seen[name] == places[name].calls:
            raise _Reached

    def summed(name: str, other: Tensor) -> None:
        if name in open_calls:
            open_calls[name].added = other
            finish(name)

    sums = _Sums(summed)

    def called(name: str, value: Tensor) -> None:
        # The model may write to it between two calls.
        open_calls[name] = Call(value.detach().clone())
        if not places[name].added:
            finish(name)

    def after(name: str) -> Callable[..., None]:
        return lambda _, __, out: sums.tell(name, out)

    with contextlib.ExitStack() as stack:
        for name, place in places.items():
            if place.added:
                end = place.layer.module if place.norm is None else place.norm
                stack.callback(end.register_forward_hook(after(name)).remove)
        # Observed as in calibration, parts of a packed projection too.
        modules = {name: place.layer.module for name, place in places.items()}
        stack.enter_context(contextlib.suppress(_Reached))
        stack.enter_context(watching(model, modules, called))
        stack.enter_context(sums)
        run(model, batch.to(model_device(model), copy=True))
