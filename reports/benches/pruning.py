"""End to end: `prune` from a model and inputs to a pruned model, beside torch's own magnitude."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from reports.benches.findings import Check, Findings, Measured
from reports.benches.method import figure, race, ratio, seconds, threads
from reports.benches.subjects import Setting, digits, lenet
from sipp_core import prune
from sipp_core.methods import Magnitude, SippDet, SippHybrid, SippPoisson, registered
from sipp_core.zoo import models

FAMILY = "prune"
KEEP = 0.25  # a whole number of weights in every layer of LeNet-300-100
LENET_LIMIT, RESNET_LIMIT = 0.3, 20.0
PEER = "torch.nn.utils.prune, by magnitude"


def sipp_methods() -> list[str]:
    """Methods of SiPP, by name."""
    return [name for name, method in registered().items() if method.facts.family == "sipp"]


def run(setting: Setting) -> Findings:
    """Time every SiPP method on LeNet-300-100 and two on ResNet-20, with all threads."""
    count = setting.threads[-1]
    with threads(count):
        return Findings(
            (*_lenet(setting, count), *_resnet(setting, count), *_magnitude(setting, count)),
            checks=(_same_mask(setting),),
        )


def _race(
    setting: Setting, case: str, model: nn.Module, inputs: Tensor, methods: list[str], count: int,
    limit: float | None, repeats: int,
) -> list[Measured]:  # fmt: skip
    ways = {
        m: lambda m=m: prune(model, inputs, method=m, keep=KEEP, seed=setting.seed) for m in methods
    }
    # The first call has loaded what there is to load.
    times = race(ways, repeats, warm_ups=0)
    return [
        seconds(FAMILY, case, way, t, threads=count, target=limit, sense="at most")
        for way, t in times.items()
    ]


def _lenet(setting: Setting, count: int) -> list[Measured]:
    rows = setting.size(8, 256, 256)
    if setting.scale == "tiny":  # rounds of refitting take seconds on 784 inputs
        model = models.build("digits-mlp", seed=setting.seed)
        inputs = torch.rand(rows, 64, generator=setting.generator())
        return _race(setting, "digits-mlp", model, inputs, sipp_methods(), count, None, 1)
    inputs, which = digits(setting, rows)
    case = f"LeNet-300-100, {rows} inputs, {which}"
    limit = LENET_LIMIT if rows == 256 else None
    return _race(setting, case, lenet(setting), inputs, sipp_methods(), count, limit,
                 setting.size(3, 3, 9))  # fmt: skip


def _resnet(setting: Setting, count: int) -> list[Measured]:
    images = setting.size(1, 32, 256)
    model = models.build("resnet-20", seed=setting.seed)
    inputs = torch.rand(images, 3, 32, 32, generator=setting.generator())
    case = f"ResNet-20, {images} random images of CIFAR's shape"
    both = [SippPoisson.name, SippHybrid.name]
    methods = setting.size([SippDet.name], both[:1], both)
    limit = RESNET_LIMIT if images == 256 else None
    return _race(setting, case, model, inputs, methods, count, limit, setting.size(1, 1, 3))


def by_torch(model: nn.Module) -> nn.Module:
    """A copy pruned by torch's own l1_unstructured, layer by layer."""
    pruned = copy.deepcopy(model)
    for module in pruned.modules():
        if isinstance(module, nn.Linear):
            amount = module.weight.numel() - round(KEEP * module.weight.numel())
            torch_prune.l1_unstructured(module, "weight", amount=amount)
            torch_prune.remove(module, "weight")
    return pruned


def _magnitude(setting: Setting, count: int) -> list[Measured]:
    model = lenet(setting)
    inputs, _ = digits(setting, 1)
    case = "LeNet-300-100, magnitude, one input"
    ours = "sipp, by magnitude"
    times = race(
        {
            ours: lambda: prune(model, inputs, method=Magnitude(), keep=KEEP),
            PEER: lambda: by_torch(model),
        },
        setting.size(1, 5, 9),
    )
    return [
        *(seconds(FAMILY, case, way, t, threads=count) for way, t in times.items()),
        figure(
            FAMILY, case, f"times as long as {PEER}", ratio(times[ours], times[PEER]), "times",
            threads=count, note="sipp also checks, measures and reports every layer",
        ),
    ]  # fmt: skip


def _same_mask(setting: Setting) -> Check:
    model = lenet(setting)
    inputs, _ = digits(setting, 1)
    ours = prune(model, inputs, method=Magnitude(), keep=KEEP).model.state_dict()
    theirs = by_torch(model).state_dict()
    different = sum(int(((ours[k] != 0) != (theirs[k] != 0)).sum()) for k in theirs)
    return Check(
        FAMILY, f"magnitude keeps the weights that {PEER} keeps", different == 0,
        "the same weights" if different == 0 else f"{different} weights differ",
    )  # fmt: skip
