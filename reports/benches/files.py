"""Files: how long `compress` and `decompress` take, and how long a saved network's file is."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from reports.benches.findings import Check, Findings, Measured
from reports.benches.method import Spread, figure, race, seconds
from reports.benches.subjects import Setting
from sipp_core import compress, decompress, prune
from sipp_core.methods import Magnitude
from sipp_core.zoo import models

FAMILY = "files"
KEEP, REACH = 0.3, 7
# CPU seconds each way, and bytes of a saved file for each of its sparse weights.
LIMITS = {"resnet-20": 2.0, "ResNet-18": 60.0}
LONGEST = 1.3


def run(setting: Setting) -> Findings:
    """Time files of networks at 30% of their weights, as floats and on a grid, one thread."""
    random = setting.generator()
    name = setting.size("digits-mlp", "resnet-20", "resnet-20")
    networks = {name: models.build(name, setting.seed)}
    if setting.scale == "full":
        networks["ResNet-18"] = resnet_18()
    measured: list[Measured] = []
    checks: list[Check] = []
    for name, network in networks.items():
        for form, model in _forms(network, random):
            rows, check = _both_ways(f"{name}, {form}", model, LIMITS.get(name))
            measured += rows
            checks.append(check)
    return Findings((*measured, _saved(setting)), checks=tuple(checks))


def _forms(network: nn.Module, random: torch.Generator) -> Iterator[tuple[str, nn.Module]]:
    """A network pruned, and then rounded too; one object."""
    yield "floats", thinned(network, random)
    yield f"{2 * REACH + 1} levels", on_grid(network)


def resnet_18() -> nn.Module:
    """The layers of torchvision's ResNet-18; a file knows nothing of how they are joined."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, bias=False), nn.BatchNorm2d(64)]
    before = 64
    for width in (64, 128, 256, 512):
        sizes = [(before, width, 3), *[(width, width, 3)] * 3]
        if width != before:
            sizes.append((before, width, 1))
        for size in sizes:
            layers += [nn.Conv2d(*size, bias=False), nn.BatchNorm2d(width)]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, 1000))


def thinned(model: nn.Module, random: torch.Generator) -> nn.Module:
    """Draw matrices from a normal law, of which the largest `KEEP` stay, and vectors evenly."""
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim < 2:
                value.uniform_(-1, 1, generator=random)
                continue
            value.normal_(generator=random)
            least = value.abs().flatten().kthvalue(round((1 - KEEP) * value.numel())).values
            value[value.abs() <= least] = 0.0  # and not -0.0, which has a bit of its own
    return model


def on_grid(model: nn.Module) -> nn.Module:
    """Round every tensor to `REACH` steps of a grid on either side of 0."""
    with torch.no_grad():
        for value in model.parameters():
            step = float((value.abs().max() / REACH).bfloat16())
            value.copy_((value / step).round() * step + 0.0)
    return model


def _both_ways(case: str, model: nn.Module, limit: float | None) -> tuple[list[Measured], Check]:
    content = compress(model).content
    ways = {"compress": lambda: compress(model), "decompress": lambda: decompress(content, model)}
    times = race(ways, 1, warm_ups=0, clock=time.process_time)
    state = decompress(content, model).state_dict()
    other = [k for k, value in model.state_dict().items() if not torch.equal(value, state[k])]
    return [
        seconds(FAMILY, case, way, timing, threads=1, target=limit, sense="at most",
                note=f"CPU seconds; {len(content):,} bytes")
        for way, timing in times.items()
    ], Check(
        FAMILY, f"{case}: every tensor comes back as it was", not other,
        f"{len(state)} tensors equal" if not other else f"{', '.join(other)} differ",
    )  # fmt: skip


def sparse_bytes(model: nn.Module) -> int:
    """Weights in the shorter of bitmask and CSR form, columns in 4 bytes; vectors as they are."""

    def size(value: Tensor) -> int:
        kept = int(value.count_nonzero())
        if value.ndim < 2:
            return value.nbytes
        places = min(-(-value.numel() // 8), 4 * kept + 4 * (len(value) + 1))
        return min(value.nbytes, places + kept * value.element_size())

    return sum(map(size, model.state_dict().values()))


def _saved(setting: Setting) -> Measured:
    """Bytes of a saved network for each byte of its sparse weights."""
    name = setting.size("digits-mlp", "resnet-20", "resnet-20")
    inputs = torch.rand(2, *models.input_shape(name), generator=setting.generator())
    result = prune(models.build(name, setting.seed), inputs, method=Magnitude.name, keep=KEEP)
    with tempfile.TemporaryDirectory() as folder:
        length = result.save(Path(folder) / "network").stat().st_size
    times = length / sparse_bytes(result.model)
    return figure(
        FAMILY, f"{name}, {KEEP:.0%} of the weights", "saved file, times its sparse weights",
        Spread(times, times, times, 1), "times", note=f"{length:,} bytes",
        target=None if setting.scale == "tiny" else LONGEST, sense="at most",
    )  # fmt: skip
