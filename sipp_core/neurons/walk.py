"""A network as a list of operations that bounds know, held against what it computes.

The network is traced once. Two networks of one architecture are walked together, node by node.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sipp_core.filters.recording import trace
from sipp_core.neurons.maps import ACTIVATION_MODULES, Step, pooled, step_of

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    act: getattr(F, act) for act in ACTIVATION_MODULES.values()
}  # fmt: skip
# Relative difference of two ways to compute one network in float64.
CLOSE = 1e-9


def steps_of(model: nn.Module, other: nn.Module | None, example: Tensor) -> list[Step]:
    """The operations of one network, or of two of one architecture, in order.

    Shapes: example (1, ...), any input.
    """
    graph = trace(model)
    shapes = _Shapes(graph)
    several = _around(example)
    with torch.no_grad():
        shapes.run(several.clone())
    if isinstance(shapes.result, Tensor) and not torch.isfinite(shapes.result[:1]).all():
        raise ValueError("the model answers the middle of the region with a number not finite")
    steps: list[Step] = []
    refused: list[str] = []
    for node in graph.graph.nodes:
        try:
            _refuse_overwriting(graph, node)
            step = step_of(graph, other, node, shapes.values)
        except ValueError as error:
            refused.append(str(error))
            continue
        if step is not None:
            steps.append(step)
    if refused:
        raise ValueError("; ".join(dict.fromkeys(refused)))
    for which, net in enumerate((model, other)):
        if net is not None:
            _hold_against(net, steps, which, several)
    return steps


def _around(example: Tensor) -> Tensor:
    """The example, and others that are nothing like it."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(3, *example.shape[1:], generator=rng, dtype=torch.float64)
    return torch.cat([example, example + noise * (1 + example.abs())])


def _hold_against(net: nn.Module, steps: list[Step], which: int, inputs: Tensor) -> None:
    """Refuse a network that computes else than its steps, or mixes inputs of a batch."""
    with torch.no_grad():
        own = torch.cat([net(x) for x in inputs.clone().split(1)])
        walked = answers(steps, which, inputs)
    finite = own.isfinite().flatten(1).all(1)  # far from the region anything may happen
    if walked.shape != own.shape or not torch.allclose(
        walked[finite], own[finite], rtol=0, atol=CLOSE * float(own[finite].abs().max())
    ):
        raise ValueError(
            "the model computes else than its operations one by one, or an input's answer depends "
            "on others of its batch: no bound here knows it"
        )


def answers(steps: list[Step], which: int, inputs: Tensor) -> Tensor:
    """What the first network (0) or the second (1) answers, step by step.

    Shapes: inputs (n, ...), float64; returns (n, ...out).
    """
    values: dict[str, Tensor] = {}
    for step in steps:
        given = [values[name] for name in step.parents]
        if step.kind == "input":
            values[step.name] = inputs
        elif step.maps is not None:
            values[step.name] = step.maps[which].plain(given)
        elif step.pool is not None:
            values[step.name] = pooled(step.pool, given[0])[0]
        elif step.kind == "activation":
            values[step.name] = FUNCTIONS[step.act](given[0])
        else:
            return given[0]
    raise AssertionError("a network without an output")


def _refuse_overwriting(graph: fx.GraphModule, node: fx.Node) -> None:
    """Refuse what is written over and read again: the graph shows the value that it had before."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    over = node.kwargs.get("inplace") is True or node.target in (
        operator.iadd, operator.isub, operator.imul, operator.itruediv,
    )  # fmt: skip
    over |= node.op != "call_module" and name.endswith("_") and not name.endswith("__")
    if node.op == "call_module":
        over |= getattr(graph.get_submodule(str(node.target)), "inplace", False) is True
    given = node.args[0] if node.args else None
    if not over or not isinstance(given, fx.Node):
        return
    order = {each: place for place, each in enumerate(graph.graph.nodes)}
    again = [user.name for user in given.users if order[user] > order[node]]
    if again:
        raise ValueError(
            f"{node.name!r} writes over {given.name!r}, which {', '.join(map(repr, again))} "
            "read afterwards: no bound here knows it; let it give a new tensor (inplace=False)"
        )


class _Shapes(fx.Interpreter):
    """Remembers what each node gave on the example."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[str, Any] = {}
        self.result: Any = None

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        self.values[n.name] = out
        if n.op == "output":
            self.result = out
        return out
