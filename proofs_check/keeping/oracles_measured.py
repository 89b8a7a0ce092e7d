"""SP-12 against exact rational arithmetic, of arrays, of stored weights and of pruned networks."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sipp_core
import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.methods import (
    Magnitude,
    SippDet,
    SippNetwork,
    SippPoisson,
    SippRand,
    SippRecentred,
)
from sipp_core.pruning import measured_errors
from sipp_core.runtime import generator

STREAM = 64
# More than the charge for rounding comes to, in units of the terms that it is taken of.
LOOSE = Fraction(1, 10**12)
# No power of two: what is multiplied by it is rounded when it is stored.
FACTOR = 1 / 0.7


def exact_errors(
    old: np.ndarray, new: np.ndarray, rows: np.ndarray, shift: np.ndarray
) -> list[tuple[Fraction | None, Fraction]]:
    """Each neuron's largest relative error, None for infinity, and that of the terms' magnitudes.

    Shapes: old and new (out, k), rows (n, k), shift (out,).
    """
    points = [[Fraction(float(a)) for a in row] for row in rows]
    pairs = []
    for before, after, moved in zip(old, new, shift, strict=True):
        w = [Fraction(float(x)) for x in before]
        d = [Fraction(float(y)) - x for x, y in zip(w, after, strict=True)]
        errors, spreads, infinite = [Fraction(0)], [Fraction(0)], False
        ratio = max((abs(y / x) for x, y in zip(w, d, strict=True) if x), default=Fraction(0))
        for a in points:
            size = sum((abs(x * y) for x, y in zip(w, a, strict=True)), Fraction(0))
            error = sum((x * y for x, y in zip(d, a, strict=True)), Fraction(float(moved)))
            spread = sum((abs(x * y) for x, y in zip(d, a, strict=True)), ratio * size)
            if size:
                errors.append(abs(error) / size)
                spreads.append((spread + abs(Fraction(float(moved)))) / size)
            infinite |= not size and spread + abs(Fraction(float(moved))) > 0
        pairs.append((None if infinite else max(errors), max(spreads)))
    return pairs


def complaint(measured: np.ndarray, truths: list[tuple[Fraction | None, Fraction]]) -> str:
    """Where what is measured lies below the exact maximum or needlessly far above, "" nowhere."""
    for neuron, (value, (truth, spread)) in enumerate(zip(measured.tolist(), truths, strict=True)):
        exact = "inf" if truth is None else f"{float(truth)!r}"
        at = f"neuron {neuron}: measured {value!r}, exact {exact}"
        if truth is None or np.isinf(value):
            if (truth is None) != np.isinf(value):
                return at
        elif Fraction(value) < truth:
            return f"{at}, below by {float(truth - Fraction(value)):.1e}"
        elif Fraction(value) > truth + LOOSE * (truth + spread):
            return f"{at}, above by {float(Fraction(value) - truth):.1e}"
    return ""


def _instances(setting: Setting) -> list[tuple[np.ndarray, ...]]:
    """(weight, stored, rows, shift): what float64 loses, infinite ratios, and random layers."""
    one, shift = np.ones((1, 2)), np.zeros(1)
    lost = np.array([[0.0, 1 - 2.0**-53]])  # 1 + 2^-53 is the sum, and 1 what float64 makes of it
    instances: list[tuple[np.ndarray, ...]] = [
        (one, lost, one, shift),
        (one, one, one, shift),
        (one, one, one, np.array([0.25])),
        (np.array([[1.0, 0.0]]), np.array([[1.0, 1e-3]]), np.array([[2.0, 5.0]]), shift),
        (np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]]), shift),
        (one, np.array([[1.0, 3.0]]), np.array([[1.0, -1.0], [0.0, 0.0]]), shift),
        (one, one, np.zeros((1, 2)), np.array([1e-9])),
    ]
    for number in range(60 if setting.full else 12):
        rng = generator(setting.seed, STREAM, number)
        weight = rng.normal(size=(3, 8)).astype(np.float32).astype(np.float64)
        drawn = weight * rng.choice([0.0, 1.0, FACTOR], size=weight.shape)
        kind = (np.float16, np.float32, np.float64)[number % 3]
        stored = drawn.astype(kind).astype(np.float64)
        moved = rng.normal(size=3) * (number % 2)
        instances.append((weight, stored, rng.normal(size=(6, 8)), moved))
    return instances


@oracle("SP-12")
def exact_maximum(setting: Setting) -> Result:
    """The measured error is the exact rational maximum, never below and above by a rounding."""
    instances = _instances(setting)
    for instance in instances:
        wrong = complaint(sipp_theory.measured_error(*instance), exact_errors(*instance))
        if wrong:
            raise Refuted(f"{wrong}; weight, stored, rows, shift: {[x.tolist() for x in instance]}")
    return Result(cases=len(instances))


def _network(rng: np.random.Generator, convolution: bool) -> tuple[nn.Sequential, Tensor]:
    """A small network in float32, and 12 inputs."""
    modules: list[nn.Module] = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(),
                                nn.Linear(5, 3, bias=False)]  # fmt: skip
    shape: tuple[int, ...] = (6,)
    if convolution:
        modules = [nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)]
        shape = (2, 3, 3)
    model = nn.Sequential(*modules)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    return model, torch.from_numpy(rng.normal(size=(12, *shape))).float()


def _exact_of(
    dense: nn.Module, pruned: nn.Module, name: str, inputs: Tensor
) -> list[tuple[Fraction | None, Fraction]]:
    """The exact errors of a dense layer or a 2-d convolution without padding."""
    given: list[Tensor] = []
    module = dense.get_submodule(name)
    handle = module.register_forward_pre_hook(lambda _, values: given.append(values[0].detach()))
    with torch.no_grad():
        dense(inputs)
    handle.remove()
    rows = given[0]
    if isinstance(module, nn.Conv2d):
        kernel = (module.kernel_size[0], module.kernel_size[1])
        rows = nn.functional.unfold(rows, kernel).transpose(1, 2).flatten(0, 1)
    modules: list[Any] = [module, pruned.get_submodule(name)]
    old, new = (m.weight.detach().flatten(1).double().numpy() for m in modules)
    biases = [0.0 if m.bias is None else m.bias.detach().double().numpy() for m in modules]
    shift = np.broadcast_to(biases[1] - biases[0], len(old))
    return exact_errors(old, new, rows.double().numpy(), shift)


@oracle("SP-12")
def stored_weights(setting: Setting) -> Result:
    """What is measured is the error of the weights as float16, bfloat16 and float32 hold them."""
    cases = 0
    for number, dtype in enumerate((torch.float16, torch.bfloat16, torch.float32)):
        rng = generator(setting.seed, STREAM, 100, number)
        dense, inputs = _network(rng, convolution=False)
        dense = dense.to(dtype).float()  # computes in float32 with weights that dtype can hold
        pruned = copy.deepcopy(dense)
        layers = [one.layer for one in sipp_core.calibrate(dense, inputs).layers]
        for layer in layers:
            weight = pruned.get_submodule(layer.name).get_parameter("weight").data
            kept = torch.from_numpy(rng.random(tuple(weight.shape)) < 0.6)
            weight.copy_((weight.double() * FACTOR * kept).to(dtype))
        errors = measured_errors(dense, pruned, layers, [inputs])
        for name, measured in errors.items():
            wrong = complaint(measured, _exact_of(dense, pruned, name, inputs))
            if wrong:
                raise Refuted(f"layer {name}, weights stored as {dtype}: {wrong}")
            cases += len(measured)
    return Result(cases=cases)


@oracle("SP-12")
def pruned_networks(setting: Setting) -> Result:
    """What `prune` reports as measured is exact in each neuron, by rule, draw, refit and rounds."""
    cases = 0
    for number, (rule, refit) in enumerate((
        (SippDet(), False), (SippRecentred(), False), (SippRand(), False),
        (Magnitude(), True), (SippNetwork(rounds=2), False),
    )):  # fmt: skip
        for convolution in (False, True):
            rng = generator(setting.seed, STREAM, 200, number, int(convolution))
            dense, inputs = _network(rng, convolution)
            result = sipp_core.prune(dense, inputs, method=rule, keep=0.5, refit=refit, seed=number)
            for layer in result.layers:
                truths = _exact_of(dense, result.model, layer.name, inputs)
                assert layer.measured is not None and layer.measured_neuron is not None
                wrong = complaint(layer.measured_neuron, truths)
                if wrong or layer.measured != layer.measured_neuron.max():
                    raise Refuted(f"{rule.name}, refit={refit}, layer {layer.name}: {wrong}")
                cases += len(truths)
    return Result(cases=cases)


@oracle("SP-12")
def chosen_by_measuring(setting: Setting) -> Result:
    """Guarantee mode by measuring keeps its eps in exact arithmetic, refitted or not."""
    cases, eps = 0, 0.4
    for number, (rule, refit) in enumerate((
        (SippPoisson(), False), (SippRand(), False), (Magnitude(), False), (SippRecentred(), False),
        (Magnitude(), True), (SippPoisson(), True), (SippNetwork(), False),
    )):  # fmt: skip
        for convolution in (False, True):
            rng = generator(setting.seed, STREAM, 300, number, int(convolution))
            dense, inputs = _network(rng, convolution)
            result = sipp_core.prune(
                dense, inputs, method=rule, eps=eps, bound="measured", seed=number, refit=refit,
                candidates=4 if rule.random else None,
            )  # fmt: skip
            if result.nnz_after == result.nnz_before:
                raise Refuted(f"{rule.name} keeps every weight")
            for layer in result.layers:
                for neuron, (error, _) in enumerate(
                    _exact_of(dense, result.model, layer.name, inputs)
                ):
                    if error is None or error > Fraction(eps):
                        raise Refuted(f"{rule.name}: neuron {neuron} of layer {layer.name} errs by "
                                      f"{None if error is None else float(error)!r}")  # fmt: skip
                    cases += 1
    return Result(cases=cases)
