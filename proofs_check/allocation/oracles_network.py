"""AL-4 to AL-6 against brute force: Jacobians, removed weights, lstsq, paths in the graph."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import sipp_core
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.methods import SippNetwork
from sipp_core.pruning import refit
from sipp_core.runtime import Float, generator
from sipp_core.sensitivity import LayerSensitivity, output_sensitivity

STREAM = 63
CLOSE = 1e-9


def network(kind: str, rng: np.random.Generator) -> tuple[nn.Sequential, Tensor]:
    """A float64 network of one kind with random weights, and 9 inputs of any sign."""
    parts: dict[str, tuple[list[nn.Module], tuple[int, ...]]] = {
        "dense": (
            [nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)], (5,)
        ),
        "one output": ([nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1)], (4,)),
        "without biases": (
            [nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)], (4,)
        ),
        "convolutions": (
            [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 2, groups=2, stride=2),
             nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)], (2, 4, 4),
        ),
    }  # fmt: skip
    modules, shape = parts[kind]
    model = nn.Sequential(*modules).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    return model, torch.from_numpy(rng.normal(size=(9, *shape)) + 0.3)


KINDS = ("dense", "one output", "without biases", "convolutions")


def layers_of(model: nn.Module, inputs: Tensor) -> list[Any]:
    """The layers of a model as calibration names them."""
    return [one.layer for one in sipp_core.calibrate(model, inputs).layers]


def known_of(model: nn.Module, inputs: Tensor) -> dict[str, LayerSensitivity]:
    """AL-4 as the code measures it."""
    return output_sensitivity(model, inputs, layers_of(model, inputs))


def weight_of(model: nn.Module, name: str) -> Tensor:
    """The weight of a layer, without gradients; what is written to it is written to the model."""
    return model.get_submodule(name).get_parameter("weight").detach()


def entering(model: nn.Sequential, name: str, inputs: Tensor) -> Tensor:
    """What enters the module of that name."""
    with torch.no_grad():
        return model[: int(name)](inputs)


def patches(module: nn.Module, given: Tensor) -> Tensor:
    """Rows that a layer multiplies, (groups, inputs, positions, fan_in)."""
    if isinstance(module, nn.Linear):
        return given[None, :, None, :]
    assert isinstance(module, nn.Conv2d)
    rows = functional.unfold(
        given,
        (module.kernel_size[0], module.kernel_size[1]),
        padding=int(module.padding[0]),
        stride=(module.stride[0], module.stride[1]),
    )
    return rows.unflatten(1, (module.groups, -1)).permute(1, 0, 3, 2)


def centred(outputs: Tensor) -> Tensor:
    """Scores of classes, (n, k), minus their mean; a single output as it is."""
    return outputs - outputs.mean(1, keepdim=True) if outputs.shape[1] > 1 else outputs


def brute_force(model: nn.Sequential, name: str, inputs: Tensor) -> tuple[Float, Float]:
    """Scores of one layer from Jacobians input by input, without and with a refitted bias."""
    after = model[int(name) + 1 :]
    module = model.get_submodule(name)
    coherent, incoherent = [], []
    for one in inputs:
        z = module(entering(model, name, one[None])).detach()
        jacobian = torch.autograd.functional.jacobian(lambda value: centred(after(value))[0], z)
        assert isinstance(jacobian, Tensor)
        # Where all outputs are 0, nothing that can be relative to them is counted.
        size = centred(model(one[None])).detach().square().sum().item() or np.inf
        rows = jacobian.reshape(jacobian.shape[0], z.shape[1], -1)
        coherent.append(rows.sum(2).square().sum(0) / size)
        incoherent.append(rows.square().sum((0, 2)) / size)
    together, outgoing = (torch.stack(x).mean(0).numpy() for x in (coherent, incoherent))
    rows = patches(module, entering(model, name, inputs)).flatten(1, 2).numpy()
    weight = np.abs(weight_of(model, name).flatten(1).numpy())
    per_group = len(weight) // len(rows)
    mean = np.repeat(rows.mean(axis=1), per_group, axis=0)
    variance = np.repeat(rows.var(axis=1), per_group, axis=0)
    with_bias = weight * np.sqrt(outgoing[:, None] * variance)
    return np.sqrt(with_bias**2 + weight**2 * together[:, None] * mean**2), with_bias


def _agree(computed: Float, truth: Float, what: str, tolerance: float = CLOSE) -> None:
    if not np.allclose(
        computed, truth, rtol=tolerance, atol=tolerance * float(np.abs(truth).max())
    ):
        raise Refuted(f"{what}: {computed.tolist()}, truth {truth.tolist()}")


@oracle("AL-4")
def scores_by_jacobians(setting: Setting) -> Result:
    """Scores of dense layers, convolutions and groups against Jacobians taken input by input."""
    cases = 0
    for number in range(5 if setting.full else 1):
        for place, kind in enumerate(KINDS):
            model, inputs = network(kind, generator(setting.seed, STREAM, number, place))
            for name, known in known_of(model, inputs).items():
                weight = weight_of(model, name).flatten(1).numpy()
                for refitted, truth in enumerate(brute_force(model, name, inputs)):
                    got = known.scores(weight, bool(refitted))
                    _agree(got, truth, f"scores of layer {name}, {kind}, refitted={bool(refitted)}")
                    cases += got.size
    return Result(cases=cases)


@oracle("AL-4")
def removed_weights(setting: Setting) -> Result:
    """At one input a weight's score is the output's relative error a share t of it less, over t."""
    cases, share = 0, 1e-6
    for place, kind in enumerate(("dense", "one output", "without biases")):
        model, inputs = network(kind, generator(setting.seed, STREAM, 100, place))
        one = inputs[:1]
        before = centred(model(one)).detach()
        for name, known in known_of(model, one).items():
            weight = weight_of(model, name)
            scores = known.scores(weight.numpy(), False)
            truth = np.zeros(weight.shape)
            for at in np.ndindex(*weight.shape):
                kept = float(weight[at])
                weight[at] = kept * (1 - share)
                after = centred(model(one)).detach()
                weight[at] = kept
                truth[at] = float((after - before).norm() / before.norm()) / share
            _agree(scores, truth, f"errors of layer {name}, {kind}", 1e-4)
            cases += scores.size
    return Result(cases=cases)


@oracle("AL-4")
def many_outputs(setting: Setting) -> Result:
    """Of 24 outputs the norm is estimated: its mean over seeds is the Jacobian's."""
    rng = generator(setting.seed, STREAM, 200)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 24)).double()
    inputs = torch.from_numpy(rng.normal(size=(4, 3)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    layers = layers_of(model, inputs)
    weight = weight_of(model, "0").numpy()
    squares = np.array([
        output_sensitivity(model, inputs, layers, seed)["0"].scores(weight, True) ** 2
        for seed in range(400 if setting.full else 80)
    ])  # fmt: skip
    truth = brute_force(model, "0", inputs)[1] ** 2
    error = squares.std(axis=0) / np.sqrt(len(squares))
    if not (np.abs(squares.mean(axis=0) - truth) <= 5 * error).all():
        raise Refuted(f"mean squares {squares.mean(axis=0).tolist()}, truth {truth.tolist()}")
    return Result(cases=len(squares))


def pruned_copy(
    model: nn.Module, layers: Sequence[Any], rng: np.random.Generator
) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """A copy with half of its weights at random, one neuron left empty and one left whole."""
    pruned, masks = copy.deepcopy(model), {}
    assert isinstance(pruned, nn.Sequential)
    for layer in layers:
        mask = torch.from_numpy(rng.random(tuple(layer.weight.shape)) < 0.5)
        if len(mask) > 2:
            mask[0], mask[-1] = False, True
        weight = weight_of(pruned, layer.name)
        masks[layer.name] = mask.reshape(weight.shape)
        weight.mul_(masks[layer.name])
    return pruned, masks


@oracle("AL-5")
def refit_by_lstsq(setting: Setting) -> Result:
    """Refitted weights and biases against numpy's least squares of the augmented system."""
    cases = 0
    for number in range(5 if setting.full else 1):
        for place, kind in enumerate(KINDS):
            rng = generator(setting.seed, STREAM, 300, number, place)
            dense, inputs = network(kind, rng)
            inputs = inputs.repeat_interleave(3, 0) + torch.from_numpy(
                rng.normal(size=(27, *inputs.shape[1:]))
            )
            layers = layers_of(dense, inputs)
            pruned, masks = pruned_copy(dense, layers, rng)
            old = copy.deepcopy(pruned)
            ridge = float(rng.uniform(0.01, 0.5))
            refit(dense, pruned, layers, masks, inputs, ridge=ridge)
            for layer in layers:
                cases += _by_lstsq(dense, pruned, old, layer.name, masks, inputs, ridge)
    return Result(cases=cases)


def _by_lstsq(
    dense: nn.Sequential, pruned: nn.Sequential, old: nn.Sequential, name: str,
    masks: dict[str, Tensor], inputs: Tensor, ridge: float,
) -> int:  # fmt: skip
    """Hold one layer's neurons against least squares; the number of neurons."""
    # Layers before this one are as they were when it was refitted.
    theirs, ours = (
        patches(m.get_submodule(name), entering(m, name, inputs)).flatten(1, 2).numpy()
        for m in (dense, pruned)
    )
    before, after, start = (weight_of(m, name).flatten(1).numpy() for m in (dense, pruned, old))
    mask = masks[name].flatten(1).numpy()
    biases = [
        bias.detach().numpy()
        for bias in (m.get_submodule(name).bias for m in (dense, pruned))
        if isinstance(bias, Tensor)
    ]
    intercept = bool(biases)
    per_group = len(before) // len(ours)
    for i in range(len(before)):
        rows, kept = ours[i // per_group], mask[i]
        z = theirs[i // per_group] @ before[i]
        z = z + biases[0][i] if intercept else z
        squares = rows.var(axis=0) if intercept else np.square(rows).mean(axis=0)
        pull = np.sqrt(len(rows) * ridge * (squares + squares.mean() / 100)[kept])
        count = int(kept.sum())
        above = np.hstack([rows[:, kept], np.ones((len(rows), int(intercept)))])
        below = np.hstack([np.diag(pull), np.zeros((count, int(intercept)))])
        right = np.concatenate([z, pull * start[i, kept]])
        truth = np.linalg.lstsq(np.vstack([above, below]), right, rcond=None)[0]
        if after[i, ~kept].any():
            raise Refuted(f"layer {name}, neuron {i}: a weight that was dropped is back")
        computed = after[i, kept]
        if intercept:
            computed = np.append(computed, biases[1][i])
        if not np.allclose(computed, truth, rtol=1e-8, atol=1e-8):
            raise Refuted(f"layer {name}, neuron {i}, ridge {ridge!r}: {computed.tolist()}, "
                          f"least squares {truth.tolist()}")  # fmt: skip
    return len(before)


def live_weights(model: nn.Sequential) -> dict[str, np.ndarray]:
    """Which weights of a dense network lie on a path of weights from input to output."""
    names = [name for name, module in model.named_children() if isinstance(module, nn.Linear)]
    edges = [weight_of(model, name).numpy() != 0 for name in names]
    fed = [np.ones(edges[0].shape[1], dtype=bool)]
    for edge in edges:
        fed.append((edge & fed[-1]).any(axis=1))
    heard = [np.ones(edges[-1].shape[0], dtype=bool)]
    for edge in reversed(edges):
        heard.insert(0, (edge & heard[0][:, None]).any(axis=0))
    return {
        name: edge & fed[k][None, :] & heard[k + 1][:, None]
        for k, (name, edge) in enumerate(zip(names, edges, strict=True))
    }


def with_dead_paths(rng: np.random.Generator, rows: int = 40) -> tuple[nn.Sequential, Tensor]:
    """A dense tanh network with neurons that nothing enters and neurons that nothing leaves."""
    model = nn.Sequential(
        nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
        weight_of(model, "0")[rng.integers(0, 3)] = 0.0
        weight_of(model, "2")[:, rng.integers(3, 7)] = 0.0
        weight_of(model, "2")[rng.integers(0, 3)] = 0.0
        weight_of(model, "4")[:, rng.integers(3, 6)] = 0.0
    return model, torch.from_numpy(rng.normal(size=(rows, 4)))


@oracle("AL-6")
def scores_by_paths(setting: Setting) -> Result:
    """The score is 0 exactly where the graph has no path from input to output, refit or not."""
    cases, dead = 0, 0
    for number in range(40 if setting.full else 8):
        model, inputs = with_dead_paths(generator(setting.seed, STREAM, 400, number))
        known = known_of(model, inputs)
        for name, live in live_weights(model).items():
            weight = weight_of(model, name).numpy()
            scores = known[name].scores(weight, refitted=True)
            if ((scores > 0) != live).any():
                at = tuple(map(int, np.argwhere((scores > 0) != live)[0]))
                raise Refuted(f"network {number}, layer {name}, weight {at}: score "
                              f"{scores[at]!r}, on a path: {bool(live[at])}")  # fmt: skip
            cases, dead = cases + live.size, dead + int((~live & (weight != 0)).sum())
    return Result(f"{dead} weights that are not 0 lie on no path", cases=cases)


@oracle("AL-6")
def dead_paths_go_first(setting: Setting) -> Result:
    """With a budget of the live weights all of these stay, no other, and no output changes."""
    cases = 0
    for number in range(10 if setting.full else 3):
        model, inputs = with_dead_paths(generator(setting.seed, STREAM, 500, number))
        live = live_weights(model)
        size = sum(x.size for x in live.values())
        count = sum(int(x.sum()) for x in live.values())
        rule = SippNetwork(rounds=1)
        result = sipp_core.prune(model, inputs, method=rule, keep=count / size)
        for name, truth in live.items():
            kept = weight_of(result.model, name).numpy() != 0
            if (kept != truth).any():
                raise Refuted(f"network {number}, layer {name}: {int((kept & ~truth).sum())} "
                              "weights on no path are kept")  # fmt: skip
            cases += truth.size
        with torch.no_grad():
            gap = float((result.model(inputs) - model(inputs)).abs().max())
        if gap > 1e-9:
            raise Refuted(f"network {number}: an output moved by {gap!r}")
    return Result(cases=cases)
