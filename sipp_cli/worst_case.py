"""The other half of `sipp certify`: for every input of a box, or around each of some inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipp_cli import certifying, inputs, render

if TYPE_CHECKING:
    from sipp_core import LocalCertificates, RegionCertificate


def certified(call: certifying.Call, region: str | None, radius: float | None, count: int) -> Any:
    """The certificate over a box, or around so many of the call's inputs."""
    import torch

    import sipp_core
    from sipp_core.neurons import box_ends

    ends = None if region is None else box_ends(region)
    subject, held = certifying.both_of(call)
    if not isinstance(held, torch.Tensor):
        raise ValueError("--region and --radius are for models of one input tensor")
    box = None
    if ends is not None:
        low, high = (torch.full(held.shape[1:], end) for end in ends)
        box = sipp_core.Box(low, high)
    seed = call.seed or 0
    with render.progress() as progress:
        if radius is None:
            assert box is not None
            return sipp_core.certify_region(
                subject.original, subject.pruned, box, seed=seed, progress=progress
            )
        some = inputs.some(held, min(count, len(held)), seed, "--count")
        return sipp_core.certify_around(
            subject.original, subject.pruned, some, radius, within=box, seed=seed,
            progress=progress,
        )  # fmt: skip


def show(certificate: RegionCertificate | LocalCertificates, json: bool) -> bool:
    """Print it, and say whether it certifies anything."""
    import sipp_core

    if json:
        render.show_json(certificate.summary() | {"sentence": certificate.sentence()})
    else:
        render.show(certificate.sentence())
    if isinstance(certificate, sipp_core.LocalCertificates):
        return certificate.share > 0
    if certificate.layers and not json:
        rows = [
            (one.name, *(render.number(float(v.max(initial=0.0))) for v in
                         (one.interval, one.linear, one.certified, one.attack)))
            for one in certificate.layers
        ]  # fmt: skip
        columns = ("<layer", "intervals", "LP", "certified", "attack")
        render.show_table("most that its pre-activations move (NC-6)", columns, rows)
    return not certificate.vacuous
