"""What runs in a process of its own: `python -m reports.benches.child TASK JSON`; prints JSON."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from reports.benches import decoder, subjects
from sipp_core import calibrate, certify, load, prune, prune_sharded
from sipp_core.compression import compress
from sipp_core.methods import SippDet, SippPoisson
from sipp_core.sharded import on_meta

Json = dict[str, Any]
PATIENCE = timedelta(seconds=600)


def _memory(word: str) -> float:
    """MiB of a line of the process's status: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(word):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the system does not tell {word}")


def _peak(work: Callable[[], object]) -> Json:
    """Seconds that the work takes, and MiB that it adds at its highest."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _memory("VmRSS")
    began = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "mib": max(0.0, _memory("VmHWM") - before)}


def _batches(shape: list[int], count: int, batch: int) -> Iterator[Tensor]:
    """Fresh random inputs batch by batch: what is measured holds none of them."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, batch):
        yield torch.randn(min(batch, count - start), *shape, generator=generator)


def _model(options: Json) -> nn.Module:
    kinds: dict[str, Callable[..., nn.Module]] = {"linear": nn.Linear, "conv": nn.Conv2d}
    torch.manual_seed(0)
    return kinds[options["kind"]](*options["sizes"], **options.get("more", {})).eval()


def measure(options: Json) -> Json:
    """Peak memory of calibrating one layer, and of nothing but the forward passes."""
    model, shape, batch = _model(options), options["shape"], options["batch"]
    count = options["inputs"]

    def forward() -> None:
        with torch.no_grad():
            for part in _batches(shape, count, batch):
                model(part)

    small = options.get("small", shape)
    calibrate(model, _batches(small, 2, 2), batch_size=2)  # loads the kernel
    if options["what"] == "forward":
        return _peak(forward)
    return _peak(lambda: calibrate(model, _batches(shape, count, batch), batch_size=batch))


def coverage(options: Json) -> Json:
    """Many pruned copies of LeNet-300-100: time and peak memory."""
    from proofs_check import network_coverage

    setting = subjects.Setting(seed=options["seed"])
    model = subjects.lenet(setting)
    inputs, _ = subjects.digits(setting, options["inputs"])
    result = prune(model, inputs[:256], method=SippPoisson(), keep=0.3, seed=0)

    def look(copies: int) -> object:
        return network_coverage(model, result, inputs, eps=0.5, delta=0.1, copies=copies)

    look(1)
    return _peak(lambda: look(options["copies"]))


def first(options: Json) -> Json:
    """Seconds of the kernel's first and second call."""
    setting = subjects.Setting()
    inputs, _ = subjects.digits(setting, options["rows"])
    problems = subjects.through(subjects.lenet(setting), inputs)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        subjects.maxima(problems)
        times.append(time.perf_counter() - began)
    return {"first": times[0], "second": times[1]}


def rank(options: Json) -> Json:
    """One of several processes that prune together; the file's digest and the seconds it took."""
    folder, size, me = Path(options["folder"]), options["size"], options["rank"]
    setting = subjects.Setting(seed=options["seed"])
    inputs, _ = subjects.digits(setting, options["inputs"])
    model = subjects.lenet(setting)
    subjects.maxima(subjects.through(model, inputs[:2]))  # loads the kernel
    store = dist.FileStore(str(folder / f"store-{size}"), size)
    dist.init_process_group("gloo", store=store, rank=me, world_size=size, timeout=PATIENCE)
    times, saved = [], set[str]()
    resting = _memory("VmRSS")
    for _ in range(options["repeats"]):
        dist.barrier()
        began = time.perf_counter()
        result = prune(model, inputs, method=SippPoisson(), keep=0.2, seed=setting.seed)
        dist.barrier()
        times.append(time.perf_counter() - began)
        file = result.save(folder / f"net-{size}-{me}")
        saved.add(hashlib.sha256(file.read_bytes()).hexdigest())
    dist.destroy_process_group()
    mib = max(0.0, _memory("VmHWM") - resting)
    return {"seconds": times, "bytes": sorted(saved), "mib": mib}


def _dense(options: Json) -> nn.Module:
    """A chain of square dense layers, or one layer of other outputs than inputs."""
    width = options["width"]
    sizes = [(width, options.get("out", width))] * options["layers"]
    chain = [m for a, b in sizes for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*chain).eval()


def whole(options: Json) -> Json:
    """Prune dense layers, and what that adds to the process's memory at its highest."""
    model, generator = _dense(options), torch.Generator().manual_seed(0)
    more: Json = {"method": options["method"], "refit": options.get("refit", False)}
    prune(nn.Linear(4, 4), torch.rand(2, 4), keep=0.5, **more)  # loads the kernel
    shape = options["inputs"], options["rows"], options["width"]
    inputs, keep = torch.rand(shape, generator=generator), options.get("keep", 0.3)
    peak = _peak(lambda: prune(model, inputs, keep=keep, **more))
    return peak | {"weights": _weights(model)}


def _weights(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.ndim > 1)


def afterwards(options: Json) -> Json:
    """What is done with a pruned chain of dense layers adds to the process's memory."""
    model, inputs = _dense(options), torch.rand(options["inputs"], options["width"])
    small, few = nn.Sequential(nn.Linear(4, 4)), torch.rand(9, 4)
    with tempfile.TemporaryDirectory() as place:
        for net, given, file in ((small, few, "small"), (model, inputs, "large")):
            result = prune(net, given[: len(given) // 2], method=SippDet(), keep=0.3)
            rest, path = given[len(given) // 2 :], Path(place) / file
            result.save(path)
            tasks: dict[str, Callable[[], object]] = {
                "certify": partial(certify, net, result.model, rest, delta=0.1, confidence=0.9),
                "save": partial(result.save, path),
                "load": partial(load, path, net),
                "compress": partial(compress, result.model),
            }
            if net is small:
                tasks[options["what"]]()
        return _peak(tasks[options["what"]]) | {"weights": _weights(model)}


def sharded(options: Json) -> Json:
    """Peak memory and time of pruning a decoder from its shards; the process's whole memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "dense").mkdir()
        with on_meta():
            model = decoder.Decoder(*(options[k] for k in ("width", "inner", "blocks", "words")))
        count = decoder.write_shards(model, folder / "dense", options["seed"])
        generator = torch.Generator().manual_seed(options["seed"])
        shape = options["inputs"], options["length"]
        ids = torch.randint(options["words"], shape, generator=generator)

        def work() -> None:
            prune_sharded(model, folder / "dense", ids, folder / "new", keep=0.5)

        block = (folder / "dense" / "blocks.0.safetensors").stat().st_size
        return _peak(work) | {"weights": count, "block": block}


def svm_solver(options: Json) -> Json:
    """A linear SVM by one solver."""
    from reports.benches import svm

    if options["solver"] == "libsvm":
        svm.limit_cpu(int(options["patience"]))
    return svm.solve(options, _peak)


def svm_mapped(options: Json) -> Json:
    """A linear SVM on a file larger than the memory."""
    from reports.benches import svm

    return svm.mapped(options)


TASKS: dict[str, Callable[[Json], Json]] = {
    "measure": measure, "coverage": coverage, "first": first, "rank": rank, "svm": svm_solver,
    "svm_mapped": svm_mapped,
    "sharded": sharded, "whole": whole, "afterwards": afterwards,
}  # fmt: skip


def main(task: str, options: Json) -> None:
    """Run a task and print its result."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(json.dumps(TASKS[task](options)))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
