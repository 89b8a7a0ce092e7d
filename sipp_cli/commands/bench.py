"""`sipp bench`: how fast, beside other ways, what the machine can do, and what was aimed at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sipp_cli import edge, options, render
from sipp_cli.benchmarks import run_benchmarks

if TYPE_CHECKING:
    from reports import BenchRun
    from reports.benches import Curve, Measured

UNITS = {"times": "x", "relative": ""}


def _amount(value: float, unit: str) -> str:
    return f"{render.number(value)} {UNITS.get(unit, unit)}".rstrip()


def _row(one: Measured) -> tuple[str, ...]:
    aim, met = "-", "-"
    if one.target is not None:
        aim = f"{one.sense} {_amount(one.target, one.unit)}"
        met = "yes" if one.met else "NO"
    between = f"{render.number(one.low)} to {render.number(one.high)}"
    return (
        one.family, one.case, one.what, str(one.threads), _amount(one.value, one.unit),
        between if one.repeats > 1 else "-", aim, met,
    )  # fmt: skip


def _growth(curve: Curve) -> str:
    parts = []
    for line in curve.series:
        ends = f"{_amount(line.y[0], curve.unit)} to {_amount(line.y[-1], curve.unit)}"
        power = "no fit" if line.exponent is None else f"as size^{line.exponent:.2f}"
        parts.append(f"{line.label} {power} ({ends})")
    sizes = curve.series[0].x
    span = f"{render.number(sizes[0])} to {render.number(sizes[-1])}"
    return f"{curve.family}: with {curve.axis} from {span}: {'; '.join(parts)} [{curve.note}]"


def _show(run: BenchRun) -> None:
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    render.show(f"{run.date}, {machine}")
    render.show_table(
        f"benchmarks, {run.scale}, seed {run.seed}",
        ("<family", "<case", "<what", "threads", "median", "quartiles", "target", "met"),
        (_row(one) for one in run.measured),
    )
    for curve in run.curves:
        render.show(_growth(curve))
    for left_out in run.skipped:
        render.show(f"{left_out.family}: skipped {left_out.what}: {left_out.why}")
    held = len(run.checks) - len(run.violated)
    render.show(f"{held} of {len(run.checks)} checks hold.")
    for check in run.violated:
        render.show(f"{check.family}: VIOLATED: {check.what}: {check.found}")
    missed = sum(one.met is False for one in run.measured)
    aimed = sum(one.met is not None for one in run.measured)
    render.show(f"{aimed - missed} of {aimed} targets are met.")


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller cases and fewer rounds, in a minute or two.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Family, as kernel; may be given again. All if not given."),
    ] = None,
    threads: Annotated[
        int, typer.Option(help="Threads to measure with; 0 for one, and as many as cores.")
    ] = 0,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Measure speed and memory: ratios within one run, curves, and the measured ceiling.

    Exit code 1: something that must be equal is not (bits of the kernels, bytes of processes,
    optima). A missed target is shown and is no error.
    """
    run = run_benchmarks(
        "quick" if quick else "full", only=only or (), seed=seed, data_dir=data_dir,
        device=device, threads=threads,
    )  # fmt: skip
    if json:
        render.show_json(run.summary())
    else:
        _show(run)
    if run.violated:
        raise typer.Exit(edge.UNMET)
