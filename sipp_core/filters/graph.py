"""Which channels of a network can be removed together: its graph, walked once.

The user's model is traced and run on two inputs, in eval mode, and left exactly as it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from sipp_core.filters.coupling import NOBODY, Flow, Labels, Units, root
from sipp_core.filters.flow import Operation, flat, function_name, through_function, through_module
from sipp_core.filters.recording import Norm, Recorded, record
from sipp_core.network.layers import SUPPORTED, prunable_layers
from sipp_core.network.selection import LayerChoice
from sipp_core.runtime.batch import Given, joined
from sipp_core.runtime.execution import evaluating, model_device


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that compete: those of layers that are coupled, directly or through others.

    Attributes:
        units: number of distinct channels; several places may share one.
        producers: layers whose filters they are.
        outputs: by name of a producer, or of a depthwise convolution or BatchNorm that passes them
            on: (out,) int64, the unit of each channel.
        inputs: by name of a layer that consumes them: (in,) int64, the unit of each input channel,
            -1 for those of no unit of this group.
        frozen: why its channels keep their place and can only be set to zero; empty if they can be
            removed.
    """

    units: int
    producers: tuple[str, ...]
    outputs: dict[str, Labels]
    inputs: dict[str, Labels]
    frozen: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """The groups of a network, and the layers of which no filter can go.

    Attributes:
        groups: in the order of their first layer.
        whole: why, by name of the layer.
        recorded: the graph that they were found in.
    """

    groups: tuple[ChannelGroup, ...]
    whole: dict[str, str]
    recorded: Recorded


class _Walk(fx.Interpreter):
    """Runs the graph on an example and follows the channels from node to node."""

    def __init__(self, recorded: Recorded, chosen: set[str]) -> None:
        super().__init__(recorded.graph)
        self.chosen, self.units = chosen, Units()
        self.flows: dict[fx.Node, Flow | list[Flow | None] | None] = {}
        self.outputs: dict[str, Flow] = {}
        self.inputs: dict[str, Flow] = {}
        self.producers: list[str] = []
        self.why: dict[str, str] = {}
        nodes = list(recorded.graph.graph.nodes)
        self.calls = Counter(id(self.fetch_attr(n.target)) for n in nodes if n.op == "call_module")
        self.read = recorded.read

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and settle what its result carries."""
        given = self.fetch_args_kwargs_from_env(n)[0][:1] if n.op.startswith("call_") else ()
        before = given[0]._version if given and isinstance(given[0], Tensor) else 0
        out = super().run_node(n)
        self.flows[n] = None
        if given and out is given[0] and isinstance(out, Tensor) and out._version == before:
            self.flows[n] = self._flow(n.args)[0]  # dropout or stochastic depth: nothing was done
            return out
        if n.op in ("call_module", "call_function", "call_method"):
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            flows = self._flow(n.args)
            if n.op == "call_module" and len(args) == 1 and not kwargs:
                self.flows[n] = self._module(str(n.target), args[0], flows[0], out)
            elif n.op == "call_module":
                self._fix(n, f"reaches {n.target!r} among several arguments")
            elif any(self.flows[k] for k in n.all_input_nodes if k in n.kwargs.values()):
                self._fix(n, f"reaches {n.name!r} as a keyword argument")
            else:
                op = Operation(
                    f"{n.name!r}", function_name(n.target), tuple(args), dict(kwargs),
                    tuple(flows), n.args, _indices(n), out,
                )  # fmt: skip
                self.flows[n] = through_function(op, self.units)
        elif n.op == "output":
            self._fix(n, "is an output of the model")
        return out

    def _flow(self, argument: Any) -> Any:
        """What an argument carries; a list for a list."""
        if isinstance(argument, list | tuple):
            return [self._flow(entry) for entry in argument]
        return self.flows.get(argument) if isinstance(argument, fx.Node) else None

    def _fix(self, n: fx.Node, reason: str) -> None:
        for node in n.all_input_nodes:
            for flow in flat([self.flows[node]]):
                if flow is not None:
                    self.units.fix(flow, reason)

    def _module(self, name: str, value: Any, flow: Flow | None, out: Any) -> Flow | None:
        module = self.fetch_attr(name)
        if isinstance(module, SUPPORTED):
            return self._layer(name, module, value, flow, out)
        if flow is None:
            return None
        if isinstance(module, Norm) and flow.axis == 1 and self._alone(name, module):
            self.outputs[name] = flow
            return flow
        result = through_module(module, value, flow)
        if result is None:
            kind = type(module).__name__
            self.units.fix(flow, f"reaches {name!r} ({kind}), which does not keep channels apart")
        return result

    def _alone(self, name: str, module: nn.Module) -> bool:
        return self.calls[id(module)] == 1 and name not in self.read

    def _layer(
        self, name: str, module: nn.Module, value: Tensor, flow: Flow | None, out: Tensor
    ) -> Flow | None:
        """Note what a Linear or Conv layer consumes, and start the units of its filters."""
        axis, groups = 1, int(getattr(module, "groups", 1))
        before = int(getattr(module, "in_channels", 0))
        if isinstance(module, nn.Linear):
            axis, before = out.ndim - 1, module.in_features
        depthwise = 1 < groups == before
        excuse = ""
        if name not in self.chosen:
            excuse = "was left out of the choice of layers"
        elif not self._alone(name, module):
            excuse = "is used more than once"
        elif flow is not None and (flow.axis != axis or len(flow.units) != before):
            excuse = "does not run along the channels that reach it"
        elif flow is not None and groups > 1 and not depthwise and NOBODY in flow.units:
            excuse = "has groups of channels, of which some receive none that could go"
        elif depthwise and flow is None:
            excuse = "passes on channels that no filter made"
        if excuse:
            self.why[name] = f"it {excuse}"
            if flow is not None:
                self.units.fix(flow, f"reaches {name!r}, which {excuse}")
            return None
        if depthwise and flow is not None:
            passed = Flow(np.repeat(flow.units, out.shape[1] // before), 1)
            self.outputs[name] = passed
            return passed
        if flow is not None:
            self.inputs[name] = Flow(self.units.alike(flow.units, groups), axis)
        output = Flow(self.units.alike(self.units.new(out.shape[axis]), groups), axis)
        self.outputs[name] = output
        self.producers.append(name)
        return output


def _indices(n: fx.Node) -> list[int] | None:
    """Indices at which a shape is read by the nodes that use it; None if it is used otherwise."""
    indices = []
    for user in n.users:
        index = user.args[1] if len(user.args) > 1 else None
        if function_name(user.target) != "getitem" or not isinstance(index, int):
            return None
        indices.append(index)
    return indices


def channel_graph(model: nn.Module, example: Given, layers: LayerChoice = None) -> ChannelGraph:
    """Find the channels of a network that can be removed, and what keeps the others.

    A channel goes through elementwise operations, pooling, BatchNorm, depthwise convolutions,
    flattening, permutation and concatenation. Sums and products couple the layers behind them, and
    the groups of a grouped convolution each other: such channels go together. Where a number of
    channels is written in the forward pass they are frozen: set to zero, they keep their place.

    Shapes: example (n, ...).
    """
    chosen = [layer.name for layer in prunable_layers(model, layers)]
    inputs = example.to(model_device(model))
    recorded = record(model, inputs)
    walk = _Walk(recorded, set(chosen))
    with evaluating(model):
        recorded.run(walk)
    return _resolved(walk, chosen, recorded)


def _resolved(walk: _Walk, chosen: list[str], recorded: Recorded) -> ChannelGraph:
    units, whole = walk.units, {}
    fixed, frozen = units.reasons(units.fixed), units.reasons(units.frozen)
    members: dict[int, list[str]] = {}
    consumed = {root(units.group, u) for f in walk.inputs.values() for u in _real(f.units)}
    for name in chosen:
        if name not in walk.producers:
            if name not in walk.outputs:
                whole[name] = walk.why.get(name, "it is not called as a layer of the graph")
            continue
        group = root(units.group, int(walk.outputs[name].units[0]))
        if group in fixed:
            whole[name] = f"its output {fixed[group][0]}"
        elif group not in consumed:
            whole[name] = "no layer that could drop its channels comes after it"
        else:
            members.setdefault(group, []).append(name)
    groups = [
        _group(walk, key, tuple(names), tuple(frozen.get(key, ())))
        for key, names in members.items()
    ]
    return ChannelGraph(tuple(groups), whole, recorded)


def _real(labels: Labels) -> list[int]:
    return labels[labels != NOBODY].tolist()


def _group(
    walk: _Walk, key: int, producers: tuple[str, ...], frozen: tuple[str, ...]
) -> ChannelGroup:
    units = walk.units
    ids: dict[int, int] = {}

    def own(flow: Flow) -> Labels:
        labels = [
            ids.setdefault(u, len(ids)) if u != NOBODY and root(units.group, u) == key else NOBODY
            for u in units.roots(flow.units).tolist()
        ]
        return np.array(labels, dtype=np.int64)

    outputs = {name: labels for name, f in walk.outputs.items() if ((labels := own(f)) >= 0).any()}
    inputs = {name: labels for name, f in walk.inputs.items() if ((labels := own(f)) >= 0).any()}
    return ChannelGroup(len(ids), producers, outputs, inputs, frozen)


def example_of(batch: Given) -> Given:
    """Two inputs of a batch, enough to tell its axes apart.

    Shapes: batch (n, ...); returns (2, ...).
    """
    return batch[:2] if len(batch) > 1 else joined([batch, batch])
