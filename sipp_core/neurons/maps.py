"""The operations of a network as bounds know them: linear maps, activations, maxima.

An operation that is not known is refused by its name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sipp_core.filters.flow import function_name
from sipp_core.network.layers import SUPPORTED
from sipp_core.network.structure import Norm

ACTIVATION_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.LeakyReLU: "leaky_relu", nn.ELU: "elu", nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid", nn.Softplus: "softplus", nn.GELU: "gelu", nn.SiLU: "silu",
}  # fmt: skip
# Parameters with which the bounds know an activation.
USUAL = {
    "negative_slope": 0.01,
    "alpha": 1.0,
    "beta": 1.0,
    "approximate": "none",
    "threshold": 20.0,
}
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
NOTHING_NAMES = {"dropout", "contiguous", "clone", "detach"}
LINEAR_MODULES = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d, nn.ZeroPad2d,
)  # fmt: skip
LINEAR_NAMES = {"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
                "adaptive_avg_pool2d", "mean", "getitem", "pad", "cat"}  # fmt: skip
RESHAPES = {"flatten", "view", "reshape"}
ARITHMETIC = {"add", "iadd", "sub", "isub", "mul", "imul", "truediv", "div", "neg"}
# Parameters of activations that functions written in C take by position.
BY_PLACE = {"softplus": ("beta", "threshold")}
Apply = Callable[[list[Tensor]], Tensor]


@dataclass(frozen=True, eq=False)
class Linear:
    """An affine map of one or several tensors.

    Attributes:
        plain: the map, in float64.
        absolute: the same with |weights| and |bias|.
        terms: most products that one sum of it, or of its transpose, adds up.
        weight: (out, in) where it is a matrix on the last axis, which is faster.
        still: the map without its constant, where it has one.
    """

    plain: Apply
    absolute: Apply
    terms: int
    weight: Tensor | None = None
    still: Apply | None = None

    def without_constant(self, given: list[Tensor]) -> tuple[Tensor, Tensor | float]:
        """Its linear part, and the size of what had to be taken off again for it."""
        if self.still is not None:
            return self.still(given), 0.0
        constant = self.plain([torch.zeros_like(x[:1]) for x in given])
        return self.plain(given) - constant, constant.abs()

    def transposed(self, coefficients: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
        """Coefficients of the inputs that give these of the output.

        Shapes: coefficients (n, ...out); returns one (n, ...in) an input.
        """
        if self.weight is not None:
            return [coefficients @ self.weight]
        n = len(coefficients)
        with torch.enable_grad():
            zeros = [torch.zeros(n, *s, dtype=torch.float64, requires_grad=True) for s in shapes]
            out = self.plain(zeros)
            return list(torch.autograd.grad(out, zeros, coefficients.reshape(out.shape)))


@dataclass(frozen=True, eq=False)
class Step:
    """One node of the graph.

    Attributes:
        name: of the node.
        kind: what it is.
        parents: nodes that it reads.
        maps: of a linear step, of the first network and of the second; the same object where they
            are equal.
        act: of an activation, its name in `sipp_theory.ACTIVATIONS`.
        pool: of a maximum, keyword arguments of F.max_pool and the number of axes.
        layer: name of the Linear, Conv or BatchNorm layer that it is, else "".
    """

    name: str
    kind: Literal["input", "linear", "activation", "max", "output"]
    parents: tuple[str, ...]
    maps: tuple[Linear, Linear] | None = None
    act: str = ""
    pool: tuple[dict[str, Any], int] | None = None
    layer: str = ""


def step_of(
    graph: fx.GraphModule, other: nn.Module | None, node: fx.Node, values: dict[str, Any]
) -> Step | None:
    """One node of a graph as a step; None for what is no tensor."""
    name = node.name
    if node.op == "placeholder":
        return Step(name, "input", ())
    tensors = [k for k in node.all_input_nodes if isinstance(values[k.name], Tensor)]
    parents = tuple(k.name for k in tensors)
    if node.op == "output":
        if len(parents) != 1 or node.args[0] is not tensors[0]:
            raise ValueError("the model must return one tensor to be bounded over a region")
        return Step(name, "output", parents)
    if not isinstance(values[name], Tensor):
        return None  # a shape, read for a reshape
    if node.op == "get_attr":
        raise ValueError(f"{node.target!r} is used as a tensor of its own: no bound knows it")
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        twin = other.get_submodule(str(node.target)) if other is not None else module
        return _of_module(name, str(node.target), module, twin, parents)
    return _of_function(node, parents, values)


def _of_module(
    name: str, target: str, module: nn.Module, twin: nn.Module, parents: tuple[str, ...]
) -> Step:
    if isinstance(module, SUPPORTED):
        same = all(torch.equal(a, b) for a, b in zip(_own(module), _own(twin), strict=True))
        first = _weights(module)
        pair = (first, first if same else _weights(twin))
        return Step(name, "linear", parents, pair, layer=target)
    if isinstance(module, Norm):
        if not module.track_running_stats:
            raise ValueError(f"layer {target!r} normalises by its batch: no bound can know it")
        same = all(torch.equal(a, b) for a, b in zip(_own(module), _own(twin), strict=True))
        first = _norm(module)
        pair = (first, first if same else _norm(twin))
        return Step(name, "linear", parents, pair, layer=target)
    for kind, act in ACTIVATION_MODULES.items():
        if type(module) is kind:
            given = {k: getattr(module, k) for k in USUAL if hasattr(module, k)}
            _usual(repr(target), given)
            return Step(name, "activation", parents, act=act)
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d):
        axes = int(type(module).__name__[-2])
        keys = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return Step(name, "max", parents, pool=({key: getattr(module, key) for key in keys}, axes))
    if isinstance(module, NOTHING):
        return _unweighted(name, parents, lambda xs: xs[0], 1)
    if isinstance(module, nn.Flatten):
        return _unweighted(name, parents, lambda xs: module(xs[0]), 1)
    if isinstance(module, LINEAR_MODULES):
        return _unweighted(name, parents, lambda xs: module(xs[0]), 4096)
    raise ValueError(f"layer {target!r} is a {type(module).__name__}, which no bound here knows")


def _usual(name: str, given: dict[str, Any]) -> None:
    strange = {k: v for k, v in given.items() if v != USUAL[k]}
    if strange:
        raise ValueError(f"activation {name} has {_listed(strange)}, which no bound here knows")


def _of_function(node: fx.Node, parents: tuple[str, ...], values: dict[str, Any]) -> Step:
    op, name = function_name(node.target), node.name
    if op in ACTIVATION_MODULES.values():
        _usual(repr(name), _settings(node, op))
        return Step(name, "activation", parents, act=op)
    if op in ("max_pool1d", "max_pool2d", "max_pool3d"):
        keys = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        given = dict(zip(keys, node.args[1:], strict=False)) | {
            k: v for k, v in node.kwargs.items() if k in keys
        }
        return Step(name, "max", parents, pool=(given, int(op[-2])))
    if op in RESHAPES:
        shape = values[name].shape[1:]
        return _unweighted(name, parents, lambda xs: xs[0].reshape(len(xs[0]), *shape), 1)
    if op == "dropout" and node.kwargs.get("training", (*node.args, True, True)[2]) is not False:
        raise ValueError(
            f"operation {name!r} drops out in eval mode too: no bound can know it; give it "
            "training=self.training"
        )
    if op in NOTHING_NAMES:
        return _unweighted(name, parents, lambda xs: xs[0], 1)
    if op in ARITHMETIC and node.kwargs:
        raise ValueError(f"operation {name!r} has {_listed(node.kwargs)}: no bound here knows it")
    if op in ARITHMETIC and (step := _arithmetic(op, name, node.args, parents)) is not None:
        return step
    if op in LINEAR_NAMES and len(parents) >= 1:
        return _unweighted(name, parents, _again(node, values), 4096)
    raise ValueError(f"operation {name!r} ({op or node.target}) is none that a bound here knows")


def _arithmetic(op: str, name: str, args: tuple[Any, ...], parents: tuple[str, ...]) -> Step | None:
    """A sum or difference, or what a number is added to or multiplies; None where it is no such."""
    args = (*args, -1.0) if op == "neg" else args
    if len(args) != 2:
        return None
    a, b = args
    turned = isinstance(b, fx.Node) and not isinstance(a, fx.Node)
    if turned:
        a, b = b, a
    if not isinstance(a, fx.Node) or (turned and "div" in op):
        return None
    number = isinstance(b, int | float)
    if op in ("neg", "mul", "imul", "truediv", "div"):
        if not number:
            return None
        by = 1 / float(b) if "div" in op else float(b)
        return _unweighted(name, parents, lambda xs: xs[0] * by, 2, lambda xs: xs[0] * abs(by))
    sign = -1.0 if "sub" in op else 1.0
    if number:
        first, then = (sign, b) if turned else (1.0, sign * b)
        return _unweighted(
            name, parents, lambda xs: first * xs[0] + then, 2, lambda xs: xs[0] + abs(then)
        )
    if a is b:
        return _unweighted(name, parents, lambda xs: (1 + sign) * xs[0], 2)
    if len(parents) != 2:  # one is a number that the graph computes
        return None
    return _unweighted(name, parents, lambda xs: xs[0] + sign * xs[1], 2, sum)


def _settings(node: fx.Node, op: str) -> dict[str, Any]:
    """Parameters of an activation that is called as a function."""
    given = dict(zip(BY_PLACE.get(op, ()), node.args[1:], strict=False))
    return given | {k: v for k, v in node.kwargs.items() if k in USUAL}


def _listed(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in given.items())


def _again(node: fx.Node, values: dict[str, Any]) -> Apply:
    """The same call on other tensors."""
    order = [k for k in node.all_input_nodes if isinstance(values[k.name], Tensor)]

    def apply(xs: list[Tensor]) -> Tensor:
        given = dict(zip(order, xs, strict=True))

        def load(n: fx.Node) -> Any:
            return given.get(n, values[n.name])

        args, kwargs = fx.map_arg(node.args, load), fx.map_arg(node.kwargs, load)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    return apply


def _unweighted(
    name: str, parents: tuple[str, ...], plain: Apply, terms: int, absolute: Any = None
) -> Step:
    linear = Linear(plain, absolute or plain, terms)
    return Step(name, "linear", parents, (linear, linear))


def _own(module: nn.Module) -> list[Tensor]:
    return [t.detach() for t in (*module.parameters(), *module.buffers())]


def _weights(module: nn.Module) -> Linear:
    """A Linear or Conv layer in float64 on the CPU, and its absolute values."""
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise ValueError(f"a convolution pads by {module.padding_mode!r}: no bound here knows it")
    plain = copy.deepcopy(module).double().cpu().requires_grad_(False)
    absolute = copy.deepcopy(plain)
    for tensor in absolute.parameters():
        tensor.abs_()
    weight = plain.weight
    assert isinstance(weight, Tensor)
    terms = int(max(weight[0].numel(), weight.numel() // weight.shape[1])) + 4
    matrix = weight if isinstance(module, nn.Linear) else None
    still = copy.deepcopy(plain)
    still.register_parameter("bias", None)
    return Linear(
        lambda xs: plain(xs[0]), lambda xs: absolute(xs[0]), terms, matrix,
        lambda xs: still(xs[0]),
    )  # fmt: skip


def _norm(module: nn.Module) -> Linear:
    assert isinstance(module, Norm)
    mean, variance = module.running_mean, module.running_var
    assert mean is not None and variance is not None
    scale = (variance.detach().double().cpu() + module.eps).rsqrt()
    shift = -mean.detach().double().cpu() * scale
    size = mean.detach().double().cpu().abs() * scale
    if module.affine:
        gamma, beta = module.weight.detach().double().cpu(), module.bias.detach().double().cpu()
        scale, shift = scale * gamma, shift * gamma + beta
        size = size * gamma.abs() + beta.abs()

    def along(x: Tensor, v: Tensor) -> Tensor:
        return v.view(1, -1, *[1] * (x.ndim - 2))

    return Linear(
        lambda xs: xs[0] * along(xs[0], scale) + along(xs[0], shift),
        lambda xs: xs[0] * along(xs[0], scale.abs()) + along(xs[0], size),
        16,
        still=lambda xs: xs[0] * along(xs[0], scale),
    )


def pooled(pool: tuple[dict[str, Any], int], value: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima and where they are, flat within each channel."""
    given, axes = pool
    function = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[axes]
    out, index = function(value, **given, return_indices=True)
    return out, index


def apart(pool: tuple[dict[str, Any], int]) -> bool:
    """Whether the windows of a maximum do not overlap."""
    given, _ = pool
    size, stride = given["kernel_size"], given.get("stride") or given["kernel_size"]
    return size == stride and not any(
        given.get(key) not in (None, 0, 1, False) for key in ("padding", "dilation", "ceil_mode")
    )
