"""What a saved network says of itself: weights, layers, size, and the certificate it carries."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sipp_core.certificates import CertificateFile, read_certificate, sealed
from sipp_core.pruning import read_report
from sipp_core.runtime import metadata_of, read_bytes, read_state

Json = dict[str, Any]
MOST_BYTES = 2**33


@dataclass(frozen=True)
class Saved:
    """One saved network, as far as its file tells.

    Attributes:
        name: name of the file, without .safetensors.
        method: what made it; None for another tool's.
        size: bytes of the file.
        weights: weights of the matrices of its layers.
        nonzero: those that are not 0.
        layers: each with name, weights, nonzero, promised eps, measured error and rows an input
            (None: unknown).
        certificate: what it carries, or what stands beside it, or None.
        edited: whether that certificate has been edited.

    Claim: none (a page).

    Example:
        >>> Saved("a", None, 100, 10, 5, (), None, False).kept
        0.5
    """

    name: str
    method: str | None
    size: int
    weights: int
    nonzero: int
    layers: tuple[Json, ...]
    certificate: Json | None
    edited: bool

    @property
    def kept(self) -> float:
        """Share of the weights that are not 0."""
        return self.nonzero / self.weights if self.weights else math.nan

    def multiply_adds(self, weights: str) -> int | None:
        """Multiply-adds of the layers' "weights", or of the "nonzero" ones, on one input.

        A weight takes one for each row (patch, token) that its layer receives; None where the file
        does not tell of every layer how many those are.
        """
        if not self.layers or any(layer["rows"] is None for layer in self.layers):
            return None
        # Fractions, because no number of a file may overflow.
        return round(sum(layer[weights] * Fraction(layer["rows"]) for layer in self.layers))


def _ours(header: str, where: str) -> tuple[str, tuple[Json, ...]]:
    """Method and layers of a file of `sipp prune`."""
    try:
        text = json.loads(header)["report"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{where} has a header that cannot be read ({error})") from error
    report = read_report(text, where)
    layers = tuple(
        {
            "name": layer["name"],
            "weights": layer["shape"][0] * layer["shape"][1],
            "nonzero": layer["nnz_after"],
            "promised": layer["eps"],
            "measured": layer.get("measured"),
            "rows": layer.get("rows_per_input"),
        }
        for layer in report["layers"]
    )
    return report["method"], layers


def _foreign(content: bytes, where: str) -> tuple[Json, ...]:
    """Layers of a state_dict: tensors of two dimensions and more."""
    state = read_state(content, where, MOST_BYTES)
    return tuple(
        {
            "name": name.removesuffix(".weight"), "weights": tensor.numel(),
            "nonzero": int((tensor != 0).sum()), "promised": None, "measured": None,
            "rows": None,
        }
        for name, tensor in state.items()
        if tensor.ndim > 1
    )  # fmt: skip


def _beside(path: Path, carried: bool) -> CertificateFile | None:
    """The certificate in the header, or in NAME.json or certificate.json of NAME.safetensors."""
    if carried:
        return read_certificate(path)
    beside = path.with_suffix(".json")
    return read_certificate(beside) if beside.is_file() else None


def read_saved(path: Path) -> Saved:
    """Read what a saved network tells of itself; no model is needed, and nothing is run.

    Args:
        path: a file of `sipp prune`, or a state_dict in a safetensors file or of torch.save. A
            certificate is read from its header, or from NAME.json beside NAME.safetensors.

    Returns:
        What it tells.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no network, or a certificate that cannot be read.

    Claim: none (a page).

    Example:
        >>> read_saved(Path("no/such/file"))
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no network at no/such/file
    """
    content, where = read_bytes(path, "network"), str(path)
    known: dict[str, str] = {}
    if content[8:9] == b"{":
        known = metadata_of(content, where)
    if "sipp" in known:
        method, layers = _ours(known["sipp"], where)
    else:
        method, layers = None, _foreign(content, where)
    beside = _beside(path, "certificate" in known)
    return Saved(
        name=path.name.removesuffix(".safetensors"),
        method=method,
        size=len(content),
        weights=sum(layer["weights"] for layer in layers),
        nonzero=sum(layer["nonzero"] for layer in layers),
        layers=layers,
        certificate=None if beside is None else beside.certificate,
        edited=beside is not None and bool(sealed(beside)),
    )
