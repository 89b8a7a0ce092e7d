"""How each operation of a graph treats the channels of what it is given.

An operation that is not known here fixes the channels that reach it: nothing is removed on a guess.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters.coupling import NOBODY, Flow, Units

ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign,
    nn.LogSigmoid, nn.Threshold, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Identity,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
# By the names that torch, its functional module and its tensors share; none is infinite at 0.
ELEMENTWISE_NAMES = {
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid",
    "tanh", "hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "logsigmoid",
    "threshold", "tanhshrink", "softshrink", "hardshrink", "clamp", "clip", "dropout", "dropout1d",
    "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "neg", "abs", "square",
    "exp", "contiguous", "clone", "detach", "float", "double", "half", "to",
}  # fmt: skip
PER_CHANNEL = re.compile(
    r"(?:MaxPool|AvgPool|AdaptiveAvgPool|AdaptiveMaxPool|LPPool|ReflectionPad|ReplicationPad"
    r"|ZeroPad|ConstantPad|CircularPad|max_pool|avg_pool|adaptive_avg_pool|adaptive_max_pool"
    r"|lp_pool)([123])d"
)
SUMS = frozenset({"mean", "sum", "amax", "amin"})
JOINS = frozenset({"add", "iadd", "sub", "isub", "mul", "imul"})
PARTS = frozenset({"chunk", "split", "tensor_split", "unbind"})
# torch.export's operators by the names of torch's functions, where these differ.
OPERATORS = {
    "_to_copy": "to", "alias": "clone", "lift_fresh_copy": "clone", "clamp_min": "clamp",
    "clamp_max": "clamp", "split_with_sizes": "split",
}  # fmt: skip
QUERIES = frozenset({"size", "dim", "ndimension", "numel", "getattr"})


class Operation:
    """One node of the graph as it ran: what it is, what it was given, and what came out.

    Attributes:
        label: how to call it in a reason.
        name: of the function or method, "" for a module.
        given: positional arguments as values.
        named: keyword arguments as values.
        flows: of the positional arguments, None where they carry no channels; lists for lists.
        literal: positional arguments as they stand in the graph, for numbers written there.
        users: indices at which later nodes read `shape` or `size()`; None: in other ways too.
        out: what came out.
    """

    def __init__(
        self, label: str, name: str, given: tuple[Any, ...], named: dict[str, Any],
        flows: tuple[Any, ...], literal: tuple[Any, ...], users: list[int] | None, out: Any,
    ) -> None:  # fmt: skip
        self.label, self.name, self.given, self.named = label, name, given, named
        self.flows, self.literal, self.users, self.out = flows, literal, users, out

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument that may be given either way."""
        return self.given[position] if len(self.given) > position else self.named.get(name, default)


def through_module(module: nn.Module, value: Tensor, flow: Flow) -> Flow | None:
    """Follow channels through a module without weights.

    Example:
        >>> through_module(nn.Flatten(), torch.ones(2, 2, 3), Flow(np.arange(2), 1)).units.tolist()
        [0, 0, 0, 1, 1, 1]
    """
    if isinstance(module, ELEMENTWISE):
        return flow
    if isinstance(module, nn.Flatten):
        return _flattened(value, flow, module.start_dim, module.end_dim)
    if isinstance(module, nn.Upsample) or _per_channel(type(module).__name__, value):
        return flow if flow.axis == 1 else None
    return None


def _per_channel(name: str, value: Tensor) -> bool:
    match = PER_CHANNEL.fullmatch(name)
    return match is not None and value.ndim == int(match.group(1)) + 2


def _flattened(value: Tensor, flow: Flow, start: int, end: int) -> Flow | None:
    start, end = start % value.ndim, end % value.ndim
    if flow.axis < start:
        return flow
    if flow.axis > end:
        return Flow(flow.units, flow.axis - (end - start))
    if flow.axis > start:
        return None
    return Flow(np.repeat(flow.units, math.prod(value.shape[start + 1 : end + 1])), start)


def through_function(op: Operation, units: Units) -> Flow | list[Flow | None] | None:
    """Follow channels through a function or a method; the channels it does not know are fixed.

    Example:
        >>> x, flow = torch.ones(2, 3), Flow(np.arange(3), 1)
        >>> op = Operation("relu", "relu", (x,), {}, (flow,), (None,), [], x)
        >>> through_function(op, Units()) is flow
        True
    """
    carried = [f for f in flat(op.flows) if f is not None]
    if not carried:
        return None
    result: Any = None
    if op.name == "getitem" and isinstance(op.flows[0], list):
        return _part(op)
    if op.name in PARTS and len(carried) == 1 and op.flows[0] is carried[0]:
        result = _parts(op, carried[0], units)
    elif op.name in JOINS:
        result = _joined(op, units)
    elif op.name in ("cat", "concat"):
        result = _concatenated(op)
    elif len(carried) == 1 and op.flows and op.flows[0] is carried[0]:
        result = _alone(op, carried[0], units)
        if op.name in QUERIES:
            return None
    if result is None:
        for flow in carried:
            units.fix(flow, f"reaches {op.label}, which is not known to treat channels one by one")
    return result


def flat(flows: tuple[Any, ...] | list[Any]) -> list[Flow | None]:
    """Flows of the arguments, those inside lists too."""
    leaves = []
    for flow in flows:
        leaves += flat(flow) if isinstance(flow, list | tuple) else [flow]
    return leaves


def _alone(op: Operation, flow: Flow, units: Units) -> Flow | None:
    """Follow the channels of a first argument that is the only one to carry any."""
    value = op.given[0]
    others = [x for x in (*op.given[1:], *op.named.values()) if isinstance(x, Tensor)]
    if op.name in QUERIES:
        _queried(op, flow, units)
        return None
    if op.name in ("truediv", "div"):
        return _beside(op, flow, units, value, op.given[1])
    if op.name in ELEMENTWISE_NAMES and not others:
        return flow
    if _per_channel(op.name, value) or op.name == "interpolate":
        return flow if flow.axis == 1 else None
    if op.name == "flatten":
        start, end = op.argument(1, "start_dim", 0), op.argument(2, "end_dim", -1)
        return _flattened(value, flow, start, end)
    rules: dict[str, Callable[..., Flow | None]] = {
        "view": _reshaped, "reshape": _reshaped, "getitem": _sliced, "pad": _padded,
        "permute": _permuted, **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _swapped),
        **dict.fromkeys(SUMS, _summed),
    }  # fmt: skip
    return rules[op.name](op, flow, units) if op.name in rules else None


def _queried(op: Operation, flow: Flow, units: Units) -> None:
    """Whoever reads the number of channels could compute with it: it must stay what it is."""
    if op.name in ("dim", "ndimension"):
        return
    if op.name == "getattr" and op.given[1] in ("dtype", "device", "ndim"):
        return
    rank = op.given[0].ndim
    axes = [op.given[1]] if op.name == "size" and len(op.given) > 1 else op.users
    if op.name == "numel" or axes is None or flow.axis in [i % rank for i in axes]:
        units.freeze(flow, f"the number of channels is read by {op.label}")


def _joined(op: Operation, units: Units) -> Flow | None:
    """Follow a sum or a product, of two tensors or of a tensor and a number."""
    if len(op.given) < 2:
        return None
    a, b, left, right = op.given[0], op.given[1], op.flows[0], op.flows[1]
    if right is None:
        return _beside(op, left, units, a, b)
    if left is None:
        return _beside(op, right, units, b, a)
    if left.axis - a.ndim != right.axis - b.ndim or len(left.units) != len(right.units):
        return None
    both = Flow(units.unify(left.units, right.units), op.out.ndim - (a.ndim - left.axis))
    if NOBODY in left.units or NOBODY in right.units:
        units.freeze(both, f"{op.label} joins the channels with some that no filter made")
    return both


def _beside(op: Operation, flow: Flow, units: Units, value: Tensor, other: Any) -> Flow | None:
    """Follow a sum or product with something that carries no channels."""
    if not isinstance(other, Tensor):
        return flow
    behind = value.ndim - flow.axis
    axis = op.out.ndim - behind
    if op.out.shape[axis] != len(flow.units):
        return None
    if other.ndim >= behind and other.shape[-behind] != 1:
        units.freeze(flow, f"{op.label} joins the channels with a tensor of as many")
    return Flow(flow.units, axis)


def _concatenated(op: Operation) -> Flow | None:
    parts, flows = op.given[0], op.flows[0]
    dim = op.argument(1, "dim", 0) % op.out.ndim
    if any(f is not None and f.axis != dim for f in flows):
        return None
    labels = [
        np.full(part.shape[dim], NOBODY) if flow is None else flow.units
        for part, flow in zip(parts, flows, strict=True)
    ]
    return Flow(np.concatenate(labels), dim)


def _reshaped(op: Operation, flow: Flow, units: Units) -> Flow | None:
    """Follow (n, channels, ...) to (n, channels * ...), and nothing else."""
    value = op.given[0]
    sizes = list(op.literal[1:])
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = list(sizes[0])
    if flow.axis != 1 or op.out.ndim != 2 or op.out.shape[0] != value.shape[0]:
        return None
    if any(isinstance(size, int) and size != -1 for size in sizes[1:]):
        units.freeze(flow, f"{op.label} writes the number of features as a number")
    return Flow(np.repeat(flow.units, math.prod(value.shape[2:])), 1)


def _sliced(op: Operation, flow: Flow, units: Units) -> Flow | None:
    """Follow slices, axes that are taken away by a number, and new ones."""
    index = op.given[1] if isinstance(op.given[1], tuple) else (op.given[1],)
    taken, before, after, chosen = 0, 0, 0, slice(None)
    for entry in index:
        if isinstance(entry, bool) or not isinstance(entry, int | slice | None):
            return None
        if entry is not None and taken == flow.axis:
            chosen = entry
        elif taken <= flow.axis:
            before += entry is None
            after += isinstance(entry, int)
        taken += entry is not None
    if isinstance(chosen, int):
        return None
    axis = flow.axis + before - after
    if chosen == slice(None):
        return Flow(flow.units, axis)
    units.freeze(flow, f"{op.label} takes some channels by number")
    return Flow(flow.units[chosen], axis)


def _permuted(op: Operation, flow: Flow, units: Units) -> Flow | None:
    dims = op.given[1:] if len(op.given) > 2 else op.argument(1, "dims")
    order = [dim % op.out.ndim for dim in dims]
    return Flow(flow.units, order.index(flow.axis))


def _swapped(op: Operation, flow: Flow, units: Units) -> Flow | None:
    a, b = (op.argument(k, f"dim{k - 1}") % op.out.ndim for k in (1, 2))
    return Flow(flow.units, {a: b, b: a}.get(flow.axis, flow.axis))


def _parts(op: Operation, flow: Flow, units: Units) -> list[Flow | None] | None:
    """Follow chunk, split and unbind: a list of what each part carries."""
    dim = op.argument(1 if op.name == "unbind" else 2, "dim", 0) % op.given[0].ndim
    if op.name == "unbind":
        if dim == flow.axis:
            return None
        return [Flow(flow.units, flow.axis - (dim < flow.axis)) for _ in op.out]
    if dim != flow.axis:
        return [flow for _ in op.out]
    units.freeze(flow, f"{op.label} cuts the channels by number")
    ends = np.cumsum([part.shape[dim] for part in op.out])
    return [Flow(labels, dim) for labels in np.split(flow.units, ends[:-1])]


def _part(op: Operation) -> Any:
    """Take one of several parts, or some of them."""
    index = op.given[1]
    return op.flows[0][index] if isinstance(index, int | slice) else None


def _padded(op: Operation, flow: Flow, units: Units) -> Flow | None:
    pad = list(op.argument(1, "pad"))
    place = 2 * (op.given[0].ndim - 1 - flow.axis)
    before, after = pad[place : place + 2] if len(pad) > place else (0, 0)
    if before == after == 0:
        return flow
    if op.argument(2, "mode", "constant") != "constant" or min(before, after) < 0:
        return None
    units.freeze(flow, f"{op.label} pads the channels by a number")
    return Flow(np.pad(flow.units, (before, after), constant_values=NOBODY), flow.axis)


def _summed(op: Operation, flow: Flow, units: Units) -> Flow | None:
    """Follow a mean or sum over other axes."""
    dims = op.argument(1, "dim")
    if dims is None:
        return None
    rank = op.given[0].ndim
    gone = {d % rank for d in ([dims] if isinstance(dims, int) else dims)}
    if flow.axis in gone or not gone:
        return None
    kept = op.argument(2, "keepdim", False)
    return Flow(flow.units, flow.axis - (0 if kept else sum(d < flow.axis for d in gone)))


def function_name(target: Any) -> str:
    """Name an operation of torch or Python; "" for anything else.

    Example:
        >>> import operator
        >>> function_name(torch.relu_), function_name(operator.add), function_name(len)
        ('relu', 'add', '')
    """
    if isinstance(target, str):
        return target.rstrip("_")
    if isinstance(target, torch._ops.OpOverload):
        name = target._schema.name.partition("::")[2].rstrip("_")
        return "interpolate" if name.startswith("upsample_") else OPERATORS.get(name, name)
    name = getattr(target, "__name__", "")
    home = (getattr(target, "__module__", "") or "").partition(".")[0]
    # Functions written in C have no module of their own.
    known = home in ("torch", "_operator") or target in (getattr, getattr(torch, name, None))
    return name.rstrip("_") if known else ""
