"""A model's forward pass as a graph: by torch.fx, or by torch.export where that does not reach.

torch.export runs the model on an example, so it takes what torch.fx refuses: dicts, keywords,
`*args`, conditions on shapes. Its graph holds torch's own operators and no layers; layers are put
back where an operator took exactly their parameters inside their own call.
"""

from __future__ import annotations

import inspect
import io
import logging
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from sipp_core.network.layers import SUPPORTED
from sipp_core.runtime.batch import BY_NAME, Batch, Given
from sipp_core.runtime.execution import evaluating, forward
from sipp_core.runtime.outputs import tensors_in

Norm = nn.modules.batchnorm._BatchNorm
LEAVES = (*SUPPORTED, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
END = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Recorded:
    """A graph and what to run it on.

    Attributes:
        graph: its layers are the model's own modules.
        inputs: values of the placeholders, in their order.
        read: names of the modules whose tensors the forward pass takes in its own hands.
        exported: whether numbers read from shapes stand in the graph as numbers, so that nobody
            can see there what depends on a number of channels.
    """

    graph: fx.GraphModule
    inputs: tuple[Any, ...]
    read: frozenset[str]
    exported: bool

    def run(self, interpreter: fx.Interpreter) -> Any:
        """Run the graph on a copy of its inputs, which the model may write to."""
        given = [each.clone() if isinstance(each, Tensor) else each for each in self.inputs]
        return interpreter.run(*given, enable_io_processing=False)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is a layer that runs as its class says."""
    return any(isinstance(module, b) and type(module).forward is b.forward for b in LEAVES)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep layers whole that only say how they are built, not how they run."""
        return is_leaf(m) or super().is_leaf_module(m, module_qualified_name)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Run a block and take away what a recording leaves on the model: tensors made in forward."""
    before = [(module, dict(vars(module))) for module in model.modules()]
    try:
        with evaluating(model):
            yield
    finally:
        for module, own in before:
            for name in set(vars(module)) - set(own):
                vars(module).pop(name)
            for name, value in own.items():
                if vars(module).get(name, own) is not value:
                    vars(module)[name] = value


def trace(model: nn.Module) -> fx.GraphModule:
    """Record the operations of a model's forward pass; the model itself is not changed.

    Example:
        >>> [n.op for n in trace(nn.Sequential(nn.ReLU())).graph.nodes]
        ['placeholder', 'call_module', 'output']
    """
    try:
        with _unchanged(model):
            return fx.GraphModule(model, _Tracer().trace(model))
    except Exception as error:
        raise _refusal(model, str(error)) from error


def record(model: nn.Module, example: Given) -> Recorded:
    """Record a forward pass by torch.fx, or else by torch.export, and make sure of the graph.

    Shapes: example (n, ...), n >= 2, on the model's device.

    Example:
        >>> record(nn.Sequential(nn.ReLU()), torch.ones(2, 1)).exported
        False
    """
    reasons = []
    with evaluating(model):
        expected = forward(model, example.clone(), "calibration")
    for name, way in (("torch.fx", _traced), ("torch.export", _exported)):
        try:
            graph = way(model, example)
            with evaluating(model):
                answer = graph.run(fx.Interpreter(graph.graph))
                again = forward(model, example.clone(), "calibration")
        except Exception as error:
            reasons.append(f"{name}: {_short(error)}")
            continue
        # A model that answers at random cannot be held against its graph.
        if _alike(answer, expected) or not _alike(again, expected):
            return graph
        reasons.append(f"{name}: what it recorded answers otherwise than the model")
    raise _refusal(model, "; ".join(reasons))


def _refusal(model: nn.Module, reason: str) -> ValueError:
    return ValueError(
        f"the forward pass of {type(model).__name__} cannot be recorded ({reason}): filters are "
        "removed along its graph, which must not depend on the data. Take the branch, loop or "
        "conversion out of forward, or prune weights with a method that only masks them, such "
        "as prune(method='sipp-hybrid')"
    )


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def _alike(one: Any, other: Any) -> bool:
    """Whether two answers hold the same tensors in the same order, to rounding."""
    first, second = tensors_in(one), tensors_in(other)
    return len(first) == len(second) and all(
        a.shape == b.shape
        and a.dtype == b.dtype
        and torch.allclose(a, b, rtol=1e-3, atol=1e-6, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )


def _traced(model: nn.Module, example: Given) -> Recorded:
    """Record by torch.fx; what forward takes and is not given counts as its default."""
    given = _arguments(model, example)
    fixed: dict[str, Any] = {}
    for name, each in inspect.signature(model.forward).parameters.items():
        if each.kind in BY_NAME and not isinstance(given.get(name), Tensor):
            fixed[name] = given.get(name, each.default)
    with _unchanged(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defaults that are no plain numbers
        graph = _Tracer().trace(model, concrete_args=fixed or None)
        inputs: list[Any] = []
        for node in [n for n in graph.nodes if n.op == "placeholder"]:
            place = str(node.target)
            if isinstance(value := given.get(place), Tensor):
                inputs.append(value)
            elif place.startswith("*"):
                inputs += given["*"]
            else:
                _erase(graph, node)
        whole = fx.GraphModule(model, graph)
    read = {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}
    return Recorded(whole, tuple(inputs), frozenset(read), False)


def _erase(graph: fx.Graph, node: fx.Node) -> None:
    """Take out a node and what is made of it: the check that an argument is its default."""
    for user in list(node.users):
        _erase(graph, user)
    graph.erase_node(node)


def _arguments(model: nn.Module, example: Given) -> dict[str, Any]:
    """The arguments of forward by name; what `*args` takes stands under "*"."""
    arrays = (example,) if isinstance(example, Tensor) else example.arrays
    names = [
        name
        for name, each in inspect.signature(model.forward).parameters.items()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    arguments: dict[str, Any] = dict(zip(names, arrays, strict=False))
    arguments["*"] = list(arrays[len(names) :])
    return (
        arguments
        if isinstance(example, Tensor)
        else {**arguments, **example.named, **example.settings}
    )


class _Tensors(nn.Module):
    """A model that answers with the tensors alone: caches and the like are not known to export."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)

    def forward(self, *given: Any, **named: Any) -> list[Tensor]:
        return tensors_in(self.model(*given, **named))


def _exported(model: nn.Module, example: Given) -> Recorded:
    """Record by torch.export, and put the model's layers in the place of their operators."""
    batch = example if isinstance(example, Batch) else Batch(example)
    named = {**batch.named, **batch.settings}
    with _unchanged(model), warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # of torch's own, about what it imports
        program = torch.export.export(_Tensors(model), batch.arrays, named, strict=False)
        whole = program.module()
    assert isinstance(whole, fx.GraphModule)
    modules: dict[str, Any] = {}
    for node in list(whole.graph.nodes):
        name = _operator(node)
        if node.op == "call_module" or (name.startswith("_assert") and not node.users):
            whole.graph.erase_node(node)  # checks of the inputs
        elif node.op == "call_function":
            _put_back(model, whole, node, name, modules)
    for node in reversed(list(whole.graph.nodes)):
        if not node.users and (node.op == "get_attr" or _operator(node) == "pad"):
            whole.graph.erase_node(node)
    read = set()
    for number, node in enumerate(n for n in whole.graph.nodes if n.op == "get_attr"):
        target, node.target = str(node.target), f"tensor_{number}"
        modules[node.target] = operator.attrgetter(target)(whole)
        read.add(_own_name(target).rpartition(".")[0])
    graph = fx.Graph()
    graph.output(graph.graph_copy(whole.graph, {}))
    inputs = (*batch.arrays, *named.values())
    return Recorded(fx.GraphModule(modules, graph), inputs, frozenset(read), True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Run a block without messages: what torch logs and prints of a refusal is in its error."""
    before = logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _operator(node: fx.Node) -> str:
    """The name of one of torch's operators, "" of anything else."""
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else schema.name.partition("::")[2]


def _put_back(
    model: nn.Module, whole: fx.GraphModule, node: fx.Node, name: str, modules: dict[str, Any]
) -> None:
    """Make an operator the layer that it is, or a function by the name that it has in torch."""
    layer = _layer(model, node, name)
    if layer is not None:
        path, module, given = layer
        modules[path] = module
        with whole.graph.inserting_before(node):
            new = whole.graph.create_node("call_module", path, (given,))
        _replace(whole.graph, node, new)
    elif name in ("slice", "select"):
        _, dim, chosen, end, step = (*node.args, *(None, 0, None, None, 1)[len(node.args) :])
        if name == "slice":
            end = None if end == END else end
            chosen = slice(chosen or None, end, None if step == 1 else step)
        if isinstance(dim, int) and dim >= 0:
            with whole.graph.inserting_before(node):
                index: Any = (*[slice(None)] * dim, chosen)
                new = whole.graph.call_function(operator.getitem, (node.args[0], index))
            _replace(whole.graph, node, new)


def _replace(graph: fx.Graph, node: fx.Node, new: fx.Node) -> None:
    node.replace_all_uses_with(new)
    graph.erase_node(node)


def _layer(model: nn.Module, node: fx.Node, name: str) -> tuple[str, nn.Module, fx.Node] | None:
    """The layer that an operator is: its name, itself, and what it was given; None if it is none.

    The operator must take the layer's weight and bias, inside a call of the layer.
    """
    if name not in ("linear", "conv1d", "conv2d", "conv3d", "batch_norm"):
        return None
    given, weight, bias = (*node.args[:3], None)[:3]
    if not isinstance(given, fx.Node) or not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return None
    path, _, last = _own_name(weight.target).rpartition(".")
    if not path or path not in dict(model.named_modules()):
        return None
    module = model.get_submodule(path)
    own = _own_name(bias.target) if isinstance(bias, fx.Node) else None
    its = f"{path}.bias" if getattr(module, "bias", None) is not None else None
    if last != "weight" or own != its or not is_leaf(module) or _caller(node) != path:
        return None
    if isinstance(module, Norm) and (node.args[5] or not module.track_running_stats):
        return None
    while _caller(given) == path and _operator(given) == "pad":  # a convolution's own padding
        above = given.args[0]
        assert isinstance(above, fx.Node)
        given = above
    return path, module, given


def _caller(node: fx.Node) -> str | None:
    """The name of the module in whose call an operator ran."""
    stack = node.meta.get("nn_module_stack")
    return _own_name(list(stack.values())[-1][0]) if stack else None


def _own_name(target: object) -> str:
    """The name that something has in the model itself."""
    return str(target).removeprefix("model").removeprefix(".")


def same_operations(one: Recorded, other: Recorded) -> bool:
    """Whether two graphs do the same with the same numbers, whatever the shapes of their layers.

    Example:
        >>> x = torch.ones(2, 3)
        >>> a, b = (record(nn.Sequential(nn.Linear(3, k)), x) for k in (4, 5))
        >>> same_operations(a, b)
        True
    """
    nodes = [list(each.graph.graph.nodes) for each in (one, other)]
    if len(nodes[0]) != len(nodes[1]):
        return False
    place = [{node: k for k, node in enumerate(each)} for each in nodes]
    for a, b in zip(*nodes, strict=True):
        args = [
            fx.map_arg((node.args, node.kwargs), lambda n, at=at: f"%{at[n]}")
            for node, at in zip((a, b), place, strict=True)
        ]
        if (a.op, a.target) != (b.op, b.target) or repr(args[0]) != repr(args[1]):
            return False
        if a.op == "get_attr":
            first, second = (
                operator.attrgetter(str(n.target))(each.graph) for n, each in ((a, one), (b, other))
            )
            if first.shape != second.shape or not torch.equal(first, second):
                return False
    return True
