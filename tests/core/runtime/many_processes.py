"""What each process of `test_processes` runs: `main(folder, size, rank)`.

Every scenario leaves what a caller would see, a digest of all bits or the refusal. Size 0 is one
process without a group.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sipp_core import Calibration, calibrate, certify, prune

FIELDS = ("sensitivity", "mean", "live", "input_peak", "cancellation", "support", "points",
          "energy", "saliency")  # fmt: skip


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.copy_(random(*parameter.shape, seed=index))
    return model


def dense() -> nn.Module:
    return seeded(nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 7)))


def convolutional() -> nn.Module:
    return seeded(
        nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
            nn.Conv2d(6, 4, 3, groups=2), nn.Flatten(), nn.Linear(4 * 4 * 4, 5),
        )
    )  # fmt: skip


def bits(stats: Calibration) -> str:
    digest = hashlib.sha256()
    for layer in stats.layers:
        for field in FIELDS:
            result = getattr(layer, field)
            digest.update(b"" if result is None else result.numpy().tobytes())
        digest.update(repr((layer.rows, layer.complete, layer.support_total)).encode())
    for rows in stats.validation.values():
        digest.update(rows.numpy().tobytes())
    if isinstance(stats.held_inputs, torch.Tensor):
        digest.update(stats.held_inputs.numpy().tobytes())
    facts = (stats.inputs, stats.distinct, sorted(stats.digests), stats.original)
    digest.update(repr(facts).encode())
    return digest.hexdigest()


class Picky(nn.Module):
    """Fails on one input; not in a way that a refusal would."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = dense()

    def forward(self, x: Tensor) -> Tensor:
        if (x == 99).any():
            raise KeyError("99")
        return self.inner(x)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(12, 2), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def with_one(x: Tensor, index: int, value: float) -> Tensor:
    x = x.clone()
    x[index, 3] = value
    return x


def scenarios(folder: Path, rank: int, size: int) -> dict[str, Callable[[], str]]:
    x, images = random(301, 12), random(20, 2, 6, 6)
    x[7], x[200] = x[3], x[3]  # repeated inputs
    pairs = [(part, torch.arange(len(part)) % 7) for part in x.split(50)]

    def saved(model: Callable[[], nn.Module], inputs: Any, **settings: Any) -> str:
        result = prune(model(), inputs, seed=3, **settings)
        return hashlib.sha256(result.save(folder / f"net-{size}-{rank}").read_bytes()).hexdigest()

    def measured(model: Callable[[], nn.Module], data: Any, *more: str, **settings: Any) -> str:
        names = {"support", "mean", *more}
        return bits(calibrate(model(), data, statistics=names, seed=3, **settings))

    def left_as_found() -> str:
        model = dense()
        model.train()
        try:
            calibrate(model, with_one(x, 80, float("nan")), forward_size=64)
        except ValueError:
            return repr([(m.training, len(m._forward_pre_hooks)) for m in model.modules()])
        return "not refused"

    def alone() -> str:
        stats = calibrate(dense(), x, forward_size=64)
        return prune(dense(), stats, method="sipp-det", keep=0.5).original if rank == 0 else ""

    def certified(inputs: Any) -> str:
        other = dense()
        with torch.no_grad():
            next(other.parameters()).mul_(1.1)
        cert = certify(
            dense(), other, inputs, labels=torch.arange(301) % 7, groups="class",
            score=["relative-l2", "kl"], corruptions=["gaussian:0.1"],
        )  # fmt: skip
        return hashlib.sha256(json.dumps(cert.summary(), sort_keys=True).encode()).hexdigest()

    few = {"method": "sipp-poisson", "keep": 0.3, "forward_size": 64}
    result: dict[str, Callable[[], str]] = {}
    for cut in (1, 7, 256):
        result[f"file, stream cut in {cut}"] = lambda cut=cut: saved(dense, x.split(cut), **few)
    for batch in (1, 7, 256):
        result[f"file, forward passes of {batch}"] = lambda size=batch: saved(
            dense, x[:40], method="sipp-hybrid", keep=0.3, forward_size=size
        )
        result[f"file, batches of {batch}"] = lambda batch=batch: saved(
            dense, x, method="sipp-hybrid", keep=0.3, batch_size=batch
        )
    result |= {
        "file of a convolutional net": lambda: saved(
            convolutional, images, method="sipp-rand", keep=0.5, forward_size=3
        ),
        "file, sampled rows": lambda: saved(
            dense, x, method="sipp-rand", eps=0.5, delta=0.1, bound="exact", points=30,
            forward_size=64,
        ),
        "file, inputs set aside": lambda: saved(
            dense, x, method="corenet++", keep=0.3, points=30, forward_size=64
        ),
        "all statistics": lambda: measured(
            dense, x, points=40, validation_every=5, forward_size=16, inputs=True
        ),
        "all statistics of a convolutional net": lambda: measured(
            convolutional, images, points=40, forward_size=3
        ),
        # Sums of float32 layers are rounded to float32 in the end, which would hide their order.
        "all statistics in float64": lambda: measured(
            lambda: dense().double(), x.double(), points=40, forward_size=16
        ),
        "file by wanda": lambda: saved(
            convolutional, images, method="wanda", keep=0.5, batch_size=3
        ),
        "file by snip": lambda: saved(dense, pairs, method="snip", keep=0.5, batch_size=64),
        "all that baselines need": lambda: measured(
            lambda: dense().double(), [(a.double(), b) for a, b in pairs], "energy",
            "gradients", batch_size=16,
        ),
        "without targets": lambda: saved(dense, x, method="snip", keep=0.5),
        "more processes than batches": lambda: measured(dense, x[:10], points=4),
        "uneven": lambda: measured(dense, x[:70], points=100, forward_size=64),
        "not finite": lambda: measured(dense, with_one(x, 80, float("nan")), forward_size=64),
        "not finite twice": lambda: measured(
            dense, with_one(with_one(x, 300, float("inf")), 80, float("nan")), forward_size=64
        ),
        "of another shape": lambda: measured(dense, [x[:9], x[:9, :5]], forward_size=4),
        "empty": lambda: measured(dense, x[:0]),
        "never called": lambda: measured(lambda: seeded(Unused()), x),
        "a certificate": lambda: certified(list(x.split(50))),
        "left as found": left_as_found,
        "pruned alone": alone,
    }  # fmt: skip
    if size > 1:
        result |= {
            "a part each": lambda: measured(dense, x[rank:300:size], forward_size=16),
            "a certificate of another order": lambda: certified(x.roll(rank, 0)),
            "another order": lambda: measured(dense, x.roll(rank, 0), forward_size=16),
            "another budget": lambda: saved(dense, x, method="sipp-det", keep=0.25 * (rank + 1)),
            "another forward size": lambda: measured(dense, x, forward_size=16 + rank),
            "another model": lambda: measured(dense if rank == 0 else Unused, x),
            "one raises": lambda: measured(Picky, with_one(x, 80, 99), forward_size=64),
        }
    return result


def outcome(run: Callable[[], str]) -> str:
    try:
        return run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def dying(x: Tensor, lost: bool, until: Path | None) -> Iterator[Tensor]:
    """A stream in the middle of which a process is killed, or hangs until a file is there."""
    yield x
    if lost and until is None:
        os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(600 if lost and until else 0):
        if until and until.exists():
            break
        time.sleep(0.1)
    yield x


def start(folder: Path, size: int, rank: int, name: str, seconds: int) -> None:
    store = dist.FileStore(str(folder / f"store-{size}-{name}"), size)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=seconds)
    )


def lose_one(folder: Path, size: int, rank: int, until: Path | None) -> list[Any]:
    def run() -> str:
        inputs = dying(random(90, 12), rank == size - 1, until)
        result = prune(dense(), inputs, method="sipp-det", keep=0.5, forward_size=16)
        return str(result.save(folder / f"lost-{size}-{rank}"))

    began = time.monotonic()
    messages = [outcome(run), time.monotonic() - began]
    if until is not None:
        until.touch()
    return messages


def main(folder: Path, size: int, rank: int) -> None:
    torch.set_num_threads(1)
    seen: dict[str, Any] = {}
    if size:
        start(folder, size, rank, "first", 1200)
    for name, run in scenarios(folder, rank, size).items():
        seen[name] = outcome(run)
    file = folder / f"seen-{size}-{rank}.json"
    file.write_text(json.dumps(seen))
    if size == 2:  # one that hangs
        dist.destroy_process_group()
        start(folder, size, rank, "short", 6)
        seen["lost"] = lose_one(folder, size, rank, folder / "told")
    elif size == 3:  # one that is killed
        seen["lost"] = lose_one(folder, size, rank, None)
    file.write_text(json.dumps(seen))
    if size:
        dist.destroy_process_group()
        # Threads of gloo that outlive their group abort a process that ends (pytorch#190489).
        os._exit(0)
