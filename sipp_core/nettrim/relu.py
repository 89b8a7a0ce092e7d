"""What follows a layer in the forward pass: a ReLU, or something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import fx, nn

RELUS = (torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_)


def followed_by_relu(
    model: nn.Module, names: Iterable[str], stated: Mapping[str, bool] | None = None
) -> dict[str, bool]:
    """Find out by tracing which layers feed a ReLU, and nothing else.

    A layer whose output has no ReLU among its readers is linear; one that is read by a ReLU and by
    something else is refused, as its negative outputs matter.
    """
    known, required = dict(stated or {}), list(names)
    strange = set(known) - set(required)
    if strange:
        raise ValueError(f"relu names layers that are not trimmed: {sorted(strange)}")
    if set(known) == set(required):
        return {name: known[name] for name in required}
    graph, modules = _traced(model)
    result: dict[str, bool] = {}
    for node in graph.nodes:
        if node.op != "call_module" or node.target not in required:
            continue
        name = str(node.target)
        if name in result:
            raise ValueError(f"layer {name!r} is called more than once: it has no one output")
        answers = {_is_relu(reader, modules) for reader in node.users}
        if name not in known and answers == {True, False}:
            raise ValueError(
                f"layer {name!r} is read by a ReLU and by something else; say which it is trimmed "
                f"for with relu={{{name!r}: True}} or False"
            )
        result[name] = known.get(name, answers == {True})
    missing = [name for name in required if name not in result]
    if missing:
        raise ValueError(f"layer {missing[0]!r} is not called in the forward pass")
    return result


def _traced(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module]]:
    modules = dict(model.named_modules())
    if isinstance(model, nn.Linear):
        graph = fx.Graph()
        called = graph.create_node("call_module", "", (graph.placeholder("x"),))
        graph.output(called)
        return graph, modules
    try:
        return fx.Tracer().trace(model), modules
    except Exception as error:
        raise ValueError(
            "the model's forward pass cannot be traced, so it is unknown which layers a ReLU "
            f"follows ({error}); say it for every layer with relu={{name: True or False}}"
        ) from error


def _is_relu(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], nn.ReLU)
    return node.target in RELUS or (node.op == "call_method" and node.target in ("relu", "relu_"))
