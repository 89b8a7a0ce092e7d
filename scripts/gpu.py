"""All that a machine with a GPU is asked for, in one run: `make gpu PYTHON=python3`.

Nothing is installed or fetched: the code runs from this folder, with the packages of the Python
that runs it, and each package that is missing is named with what it would bring. A run that was
stopped goes on where it was; the table comes last and is what `docs/gpu.md` holds of a card.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Package, the name that it is imported by, and what it brings.
CORE = {
    "torch": ("torch", "everything"),
    "numpy": ("numpy", "everything"),
    "scipy": ("scipy", "the bounds"),
    "numba": ("numba", "the CPU kernel that the GPU's results are held against"),
    "safetensors": ("safetensors", "saved networks"),
    "threadpoolctl": ("threadpoolctl", "one BLAS thread where results must not depend on more"),
}
KERNEL = {"triton": ("triton", "the GPU kernel; without it torch's operations are measured")}
TESTS = {"pytest": ("pytest", "the tests"), "hypothesis": ("hypothesis", "the tests")}
DIGITS = {"scikit-learn": ("sklearn", "the test that trains on digits")}
Packages = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """Something to run, and what it needs."""

    name: str
    says: str
    command: list[str]
    needs: Packages
    most: int  # seconds


def steps(device: str) -> list[Step]:
    """What is run, in its order."""
    python = sys.executable
    marked = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests" / "core").rglob("test_*.py")
        if "mark.gpu" in path.read_text("utf-8")
    )
    # Other versions of torch and triton warn of other things, and not every plugin is here.
    options = ["-o", "addopts=--import-mode=importlib", "-o", "filterwarnings=default"]
    options += ["-W", "ignore::pytest.PytestConfigWarning", "-p", "no:cacheprovider"]
    this = str(Path(__file__).resolve())
    return [
        Step(
            "tests", "the tests marked gpu",
            [python, "-m", "pytest", "-q", "-m", "gpu", *options, *marked], CORE | TESTS | DIGITS,
            240,
        ),
        Step(
            "bench", "sipp bench --only gpu: the kernel against torch and against its ceiling",
            [python, this, "--bench", "--device", device], CORE, 180,
        ),
        Step(
            "processes", "two processes on one card: the masks of one",
            [python, this, "--together", "--device", device], CORE, 90,
        ),
        Step(
            "end-to-end", "prune, refit and certify here and on the CPU",
            [python, this, "--end-to-end", "--device", device], CORE, 180,
        ),
    ]  # fmt: skip


def missing(packages: Packages) -> Iterator[str]:
    """Packages that are not at hand, each with what it brings."""
    for name, (module, brings) in packages.items():
        if importlib.util.find_spec(module) is None:
            yield f"{name} ({brings})"


def probe(device: str) -> dict[str, Any] | None:
    """What card there is, with its driver and the versions that run it; None without one."""
    if importlib.util.find_spec("torch") is None:
        return None
    code = (
        "import json, sys, torch; there = torch.cuda.is_available(); "
        "print(json.dumps({'card': torch.cuda.get_device_name(sys.argv[1]), "
        "'cuda': torch.version.cuda, 'torch': torch.__version__} if there else None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, device], capture_output=True, text=True, check=False
    )
    content = json.loads(done.stdout) if done.returncode == 0 else None
    if content is None:
        return None
    messages = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(messages, capture_output=True, text=True, check=False).stdout
    except OSError:
        driver = ""
    versions = {name: _version(name) for name in ("triton", "numpy", "numba")}
    return content | {"driver": driver.strip().partition("\n")[0]} | versions


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def fingerprint(machine: dict[str, Any]) -> str:
    """What a finished step rests on: the code and the machine."""
    digest = hashlib.sha256(json.dumps(machine, sort_keys=True).encode())
    for folder in ("sipp_theory", "sipp_core", "reports/benches", "sipp_cli", "scripts", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def perform(step: Step, out: Path, key: str, left: float) -> dict[str, Any]:
    """Run a step, or take what an earlier run found."""
    path = out / f"{step.name}.json"
    if path.is_file():
        kept = json.loads(path.read_text("utf-8"))
        if kept["key"] == key and kept["ended"] == 0:
            return kept | {"again": False}
    needed = {n: each for n, each in step.needs.items() if n not in DIGITS}
    if lacking := list(missing(needed)):
        return {"ended": None, "why": "lacks " + ", ".join(lacking), "seconds": 0.0, "output": ""}
    if left < 10:
        return {"ended": None, "why": "no time is left", "seconds": 0.0, "output": ""}
    print(f"{step.name}: {step.says} ...", flush=True)
    began, most = time.monotonic(), min(left, step.most)
    path_of_code = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        step.command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path_of_code}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            output, errors = child.communicate(timeout=most)
            ended, why = child.returncode, errors[-2000:]
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # with the processes that it started
            output = child.communicate()[0]
            ended, why = None, f"took longer than {most:.0f} s"
    result = {"key": key, "ended": ended, "why": why, "output": output}
    result["seconds"] = time.monotonic() - began
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(result), "utf-8")
    partial.replace(path)
    return result


def rows(name: str, result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Lines of the table: step, what, figure."""
    if result["ended"] is None:
        yield name, "not run", result["why"]
        return
    lines = result["output"].strip().splitlines()
    yield name, "passed" if result["ended"] == 0 else f"FAILED ({result['ended']})", (
        lines[-1] if name == "tests" and lines else f"{result['seconds']:.0f} s"
    )  # fmt: skip
    if name == "tests" or not lines:
        return
    try:
        content = json.loads(lines[-1])  # a library may have printed before
    except ValueError:
        yield name, "last line", lines[-1][:200]
        return
    if name == "bench":
        for one in content["measured"]:
            yield name, f"{one['case']}: {one['what']}", f"{one['value']:.4g} {one['unit']}"
    else:
        for what, value in content.items():
            yield name, what, f"{value:.4g}" if isinstance(value, float) else str(value)


def end_to_end(
    device: str, widths: tuple[int, ...] = (784, 300, 100, 10), rows: int = 512
) -> dict[str, Any]:
    """Prune, refit and certify a dense network on a device and on the CPU, from the same inputs.

    In float64 both choose the same weights but for near-ties, as sums round otherwise; with the
    same weights chosen, the refitted ones and the certificate agree to the rounding of a solution.
    """
    import copy

    import torch

    from sipp_core import certify, prune
    from sipp_core.zoo import models

    torch.manual_seed(0)
    model = models.dense(widths, 0).double()
    calibration, held_out = (
        (torch.rand(n, widths[0]).double() - 0.8).clamp(min=0) * 5 for n in (rows, 2 * rows)
    )
    result: dict[str, Any] = {}
    results = []
    for place, label in (("cpu", "CPU"), (device, device)):
        here = copy.deepcopy(model).to(place)
        began = time.perf_counter()
        pruned = prune(
            here, calibration.to(place), method="sipp-det", keep=0.5, seed=0, refit=True
        )  # fmt: skip
        pruned_in = time.perf_counter() - began
        began = time.perf_counter()
        certificate = certify(
            here, pruned.model, held_out.to(place), delta=0.05, confidence=0.99
        )  # fmt: skip
        result |= {
            f"prune and refit, {label}, s": pruned_in,
            f"certify, {label}, s": time.perf_counter() - began,
            f"certified eps, {label}": float(certificate.eps),
        }
        results.append((pruned, float(certificate.eps)))
    (first, eps), (second, other) = results
    differ = total = 0
    for name, mask in first.masks.items():
        differ += int((mask.cpu() != second.masks[name].cpu()).sum())
        total += mask.numel()
    gap = max(
        float((a - b.cpu()).detach().abs().max() / a.detach().abs().max())
        for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True)
    )
    # Infinite where nothing is certified.
    apart = 0.0 if eps == other else abs(eps - other) / max(eps, 1e-300)
    result |= {
        "weights chosen otherwise": f"{differ} of {total}",
        "largest difference of a weight, of the layer's largest": gap,
        "difference of the certified eps": apart,
    }
    agrees = differ == 0 and gap <= 1e-6 and apart <= 1e-6
    near = 0 < differ <= 0.001 * total and apart <= 0.05
    result["agree"] = "yes" if agrees else "but for near-ties" if near else "NO"
    return result


def together(device: str, widths: tuple[int, ...] = (784, 300, 100, 10)) -> dict[str, Any]:
    """Prune in two processes that share a device: gloo carries what is on it, as NCCL cannot."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), "--rank", json.dumps(
                    {"rank": rank, "size": 2, "folder": folder, "device": device, "widths": widths}
                )],
                cwd=ROOT, stdout=subprocess.PIPE, text=True,
            )
            for rank in range(2)
        ]  # fmt: skip
        try:
            messages = [process.communicate()[0] for process in ranks]
        finally:
            for process in ranks:
                process.kill()
    seconds = time.perf_counter() - began
    ended = [process.returncode for process in ranks]
    marks = {json.loads(out.splitlines()[-1])["masks"] for out in messages if out}
    alone = rank_of({"rank": 0, "size": 1, "folder": "", "device": device, "widths": widths})
    same = ended == [0, 0] and marks == {alone["masks"]}
    return {"two processes, s": seconds, "agree": "yes" if same else "NO"}


def measured(device: str, scale: str = "full") -> dict[str, Any]:
    """What `sipp bench --only gpu --json` prints, without the packages that commands need."""
    from reports import bench

    run = bench(scale=scale, only=["gpu"], device=device)
    return dict(run.summary()) | {"agree": "NO" if run.violated else "yes"}


def rank_of(options: dict[str, Any]) -> dict[str, Any]:
    """One process of several, or the only one: the SHA-256 of the masks that it comes to."""
    import torch
    import torch.distributed as dist

    from sipp_core import prune
    from sipp_core.zoo import models

    if options["size"] > 1:
        store = dist.FileStore(str(Path(options["folder"]) / "store"), options["size"])
        dist.init_process_group(
            "gloo", store=store, rank=options["rank"], world_size=options["size"]
        )
    torch.manual_seed(0)
    model = models.dense(options["widths"], 0).to(options["device"])
    inputs = torch.rand(2048, options["widths"][0])
    masks = prune(model, inputs, method="sipp-poisson", keep=0.3, seed=0).masks
    digest = hashlib.sha256()
    for _, mask in sorted(masks.items()):
        digest.update(mask.cpu().numpy().tobytes())
    if options["size"] > 1:
        dist.destroy_process_group()
    return {"masks": digest.hexdigest()}


def table(lines: list[tuple[str, str, str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [
        ("step", "what", "figure"), ("---", "---", "---"), *lines,
    ])  # fmt: skip


def main() -> int:
    """Run what is left to be run; 0 if all of it passed or there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", help="finished steps")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=480.0, help="the most that all may take")
    parser.add_argument("--bench", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--end-to-end", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--together", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    alone = {"bench": measured, "together": together, "end_to_end": end_to_end}
    part = next((run for name, run in alone.items() if getattr(given, name)), None)
    if given.rank or part is not None:
        result = rank_of(given.rank) if part is None else part(given.device)
        print(json.dumps(result))
        return int(result.get("agree") == "NO")
    began = time.monotonic()
    for name in missing(CORE | KERNEL | TESTS | DIGITS):
        print(f"missing: {name}")
    machine = probe(given.device)
    if machine is None:
        print("No CUDA device is at hand, so nothing was run. With one, this would be:")
        for step in steps(given.device):
            print(f"- {step.name}: {step.says}, at most {step.most} s:\n  {' '.join(step.command)}")
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    key = fingerprint(machine)
    lines: list[tuple[str, str, str]] = []
    passed = True
    for step in steps(given.device):
        result = perform(step, given.out, key, given.seconds - (time.monotonic() - began))
        passed &= result["ended"] == 0
        if result["ended"] != 0 and result["output"]:
            print(result["output"][-4000:], result["why"], sep="\n")
        lines += rows(step.name, result)
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(table(lines))
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
