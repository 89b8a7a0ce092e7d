"""The other half of `sipp certify`: for every input of a box, or around each of some inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sipp_cli import certifying, inputs, render

if TYPE_CHECKING:
    from sipp_core import LocalCertificates, RegionCertificate

# Inputs that are looked around unless --count says how many.
AROUND = 100


def refuse(
    region: str | None, radius: float | None, symbols: int | None, count: int | None,
    others: Mapping[str, object],
) -> None:  # fmt: skip
    """Refuse what has no effect: on a box, around inputs, or on held-out inputs."""
    given = [name for name, value in others.items() if value not in (None, False, [])]
    if region is None and radius is None:
        mine = {"--symbols": symbols, "--count": count}
        if stray := [name for name, value in mine.items() if value is not None]:
            needed = "--radius" if stray == ["--count"] else "--region or --radius"
            raise ValueError(f"{' and '.join(stray)} has no effect without {needed}")
        return
    kind = "--region" if radius is None else "--radius"
    if given:
        raise ValueError(
            f"{', '.join(given)} is for certificates on held-out inputs; leave out with {kind}"
        )
    if radius is None and count is not None:
        raise ValueError("--count has no effect without --radius")
    if count is not None and count < 1:
        raise ValueError(f"--count must be at least 1; found {count}")
    if symbols is not None and symbols < 0:
        raise ValueError(f"--symbols must be at least 0; found {symbols}")
    if radius is not None and not 0 <= radius < float("inf"):
        raise ValueError(f"--radius must be finite and at least 0; found {radius}")


def certified(
    call: certifying.Call, region: str | None, radius: float | None, count: int | None,
    symbols: int | None,
) -> Any:  # fmt: skip
    """The certificate over a box, or around so many of the call's inputs."""
    import torch

    import sipp_core
    from sipp_core.neurons import box_ends

    ends = None if region is None else box_ends(region)
    pair, held = certifying.both_of(call)
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
                pair.original, pair.pruned, box, symbols=symbols, seed=seed,
                progress=progress,
            )  # fmt: skip
        many = min(AROUND, len(held)) if count is None else count
        some = inputs.some(held, many, seed, "--count")
        return sipp_core.certify_around(
            pair.original, pair.pruned, some, radius, within=box, symbols=symbols, seed=seed,
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
