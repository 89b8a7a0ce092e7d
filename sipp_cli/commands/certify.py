"""`sipp certify`: what held-out inputs prove about a pruned network, or about any two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sipp_cli import certifying, edge, options, places, ranks, render, worst_case

if TYPE_CHECKING:
    from sipp_core import Certificate

# Shares that the curve is printed at.
SHOWN = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def _show(certificate: Certificate) -> None:
    for line in certificate.sentences():
        render.show(line)
    for one in (certificate, *certificate.family):
        noise = "" if one.corruption is None else f", {one.corruption}"
        of = f" ({one.score}{noise})" if certificate.family else ""
        if one.kind == "CT-1" and one.eps == 0:  # an event has a share and no curve
            render.show(f"Seen on the {one.n:,} inputs{of}: {one.violations:,}.")
            continue
        render.show(
            f"Seen on the {one.n:,} inputs{of}: mean error {render.number(one.observed_mean)}, "
            f"largest {render.number(one.observed_max)}, {one.violations:,} above eps."
        )
        curve = [(share, one.eps_at(share)) for share in SHOWN]
        points = ", ".join(
            f"{eps:.4g} for {share:.0%}" for share, eps in curve if eps < float("inf")
        )
        if points:
            render.show(
                f"The whole curve{of}, with {one.confidence:.0%} confidence at once: all but a "
                f"share stay within {points} of fresh inputs."
            )
    render.show(f"It speaks of {certificate.holds_for}; it assumes that")
    for line in certificate.assumptions:
        render.show(f"- {line}.")


def command(
    file: Annotated[
        Path | None, typer.Argument(metavar="[PRUNED]", help="File written by `sipp prune --out`.")
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "--inputs",
            help="Held-out inputs: a .npz, .npy or .pt file, or a data set (its test inputs).",
        ),
    ] = "",
    original: Annotated[
        str | None,
        typer.Option(
            help="Any network: package.module:factory, TorchScript, an .onnx file, or weights with "
            "--model."
        ),
    ] = None,
    pruned: Annotated[
        str | None, typer.Option(help="The other network, whatever made it, as --original.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model of networks given by weights; by default the built-in one that PRUNED fits."
        ),
    ] = None,
    weights: options.Weights = None,
    train: options.Train = None,
    delta: Annotated[
        float | None, typer.Option(help="Share of inputs that may move further; 0.05 if unset.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Confidence of the statement; 0.99 if unset.")
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(help="Bound the share of inputs that move further than this (CT-1)."),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(help="relative-l2, class-change, top-k:5, kl; @1 says where classes stand."),
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(help="Laws of noise, each certified too: gaussian:0.1,dropout:0.2."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Class numbers, for accuracy: a .npy file, or 'targets' of the data."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Group of each input: a .npy file, or 'class' for its label."),
    ] = None,
    allow_repeats: Annotated[
        bool, typer.Option("--allow-repeats", help="Accept inputs equal to calibration inputs.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the certificate here, for `sipp verify`.")
    ] = None,
    embed: Annotated[
        bool,
        typer.Option("--embed", help="Write it into the header of the pruned safetensors file."),
    ] = False,
    region: Annotated[
        str | None,
        typer.Option(help="Certify for every input of this box instead, LOW:HIGH as 0:1 (NC-6)."),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            help="Prove around inputs that no change this large of any coordinate makes the "
            "networks decide otherwise (NC-10); --region cuts it."
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="With --radius: around how many inputs; 100 if unset.")
    ] = None,
    symbols: Annotated[
        int | None,
        typer.Option(
            help="With --region or --radius: affine forms of so many generators bound layers of "
            "more than 2,048 values, each as dear as an input through both networks; 0: intervals. "
            "8,192 if unset."
        ),
    ] = None,
    output: options.Output = None,
    mask: options.Mask = None,
    data_dir: options.DataDir = None,
    images: options.Images = False,
    json: options.Json = False,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the training, if any (else the pruned file's), and of noise."),
    ] = None,
    device: options.Device = "cpu",
) -> None:
    """Certify a pruned network on held-out inputs, or any two networks that another tool made.

    Started by torchrun, the processes share the inputs; the first one writes and prints.

    Exit code 1: nothing could be certified.
    """
    import sipp_theory
    from sipp_cli import inputs
    from sipp_core.certificates import certificate_text, with_certificate
    from sipp_core.runtime import read_bytes, write_atomically

    worst_case.refuse(
        region, radius, symbols, count,
        {"--delta": delta, "--confidence": confidence, "--eps": eps, "--score": score,
         "--corrupt": corrupt, "--labels": labels, "--groups": groups,
         "--allow-repeats": allow_repeats, "--out": out, "--embed": embed, "--output": output,
         "--mask": mask},
    )  # fmt: skip
    delta = 0.05 if delta is None else delta
    confidence = 0.99 if confidence is None else confidence
    sipp_theory.points_needed(delta, confidence)  # refuses what is out of range before any work
    if eps is not None and not eps > 0:
        raise ValueError(f"--eps must be greater than 0; found {eps!r}")
    if not data:
        raise ValueError("--inputs names the held-out inputs: a file or a data set")
    if (file is None) == (pruned is None) or (original is None) != (pruned is None):
        raise ValueError("give a file of sipp prune, or two networks with --original and --pruned")
    if original is not None and (weights is not None or train is not None):
        raise ValueError("--weights and --train go with a file of sipp prune, not with --original")
    second = str(file) if pruned is None else pruned
    if embed and not second.endswith(".safetensors"):
        raise ValueError(f"--embed writes into a .safetensors file; {second} is none")
    places.check({"--out": out}, {"PRUNED": second, "--inputs": data, "--weights": weights})
    call = certifying.Call(
        data=data, pruned=second, original=original, model=model,
        weights=None if weights is None else str(weights), train=train,
        options={
            "delta": delta, "confidence": confidence, "eps": eps, "allow_repeats": allow_repeats,
            "score": score or ["relative-l2"],
            "corruptions": corrupt.split(",") if corrupt else [],
            "output": inputs.position(output), "mask": mask,
        },
        labels=labels, groups=groups, data_dir=None if data_dir is None else str(data_dir),
        images=images, seed=seed, device=device,
    )  # fmt: skip
    if region is not None or radius is not None:
        if not worst_case.show(worst_case.certified(call, region, radius, count, symbols), json):
            raise typer.Exit(edge.UNMET)
        return
    certificate = certifying.certificate_of(call)

    def finish() -> None:
        for note in certificate.notes:
            render.note(note)
        text = certificate_text(certificate, call.record())
        if out is not None:
            write_atomically(out, text.encode())
        if embed:
            content = read_bytes(second, "network")
            write_atomically(second, with_certificate(content, text))
        if json:
            render.show_json(certificate.summary() | {"sentence": certificate.sentence()})
        else:
            _show(certificate)

    ranks.only_first(finish)
    if certificate.vacuous:
        raise typer.Exit(edge.UNMET)
