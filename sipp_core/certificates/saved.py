"""The certificate file: what is certified, of which networks and data, by which call."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sipp_core.certificates.certificate import Certificate
from sipp_core.runtime.files import read_bytes, write_atomically

FORMAT = "sipp-theory certificate 1"
# Key of the header of a safetensors file that a certificate is embedded under.
EMBEDDED = "certificate"
MOST_BYTES = 2**28
# Outputs round differently in other numbers of threads and on other machines.
ROUNDING = 1e-4
WORDS = ("inf", "-inf", "nan")
OTHER = {
    "inputs": "other inputs", "labels": "other labels", "groups": "other groups",
    "calibration": "other calibration inputs", "original": "another original network",
    "pruned": "another pruned network",
}  # fmt: skip


class CertificateFile(BaseModel):
    """A certificate as it is written, and as it is read back.

    Attributes:
        format: names this schema and its version.
        statement: what is certified, in sentences.
        certificate: every field of the certificate; infinite numbers as "inf".
        call: the options that made it, by which it is made again.
        sha256: of all this but itself, so that an edited number is seen.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> CertificateFile.model_fields["format"].is_required()
        True
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: str
    statement: list[str] = Field(max_length=1 << 16)
    certificate: dict[str, Any]
    call: dict[str, Any]
    sha256: str


def _plain(value: Any) -> Any:
    """What JSON knows; infinite numbers as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in content.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def certificate_text(certificate: Certificate, call: Mapping[str, object] | None = None) -> str:
    """A certificate as the JSON text of its file, with its seal.

    Args:
        certificate: what `certify` returned.
        call: the options that made it, ready for JSON.

    Returns:
        JSON, of the fields of `CertificateFile`.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> import torch; from sipp_core import certify
        >>> net = torch.nn.Linear(2, 2)
        >>> json.loads(certificate_text(certify(net, net, torch.rand(100, 2))))["format"]
        'sipp-theory certificate 1'
    """
    content = _plain(
        {
            "format": FORMAT,
            "statement": certificate.sentences(),
            "certificate": certificate.summary(),
            "call": dict(call or {}),
        }
    )
    return json.dumps(content | {"sha256": _seal(content)}, indent=1, ensure_ascii=False) + "\n"


def save_certificate(
    certificate: Certificate, path: str | PathLike[str], call: Mapping[str, object] | None = None
) -> Path:
    """Write a certificate to a JSON file, atomically.

    Args:
        certificate: what `certify` returned.
        path: the file; its folder is made if needed.
        call: the options that made it, ready for JSON.

    Returns:
        The path.

    Raises:
        OSError: the place cannot be written to.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> import tempfile, torch; from sipp_core import certify
        >>> net = torch.nn.Linear(2, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_certificate(certify(net, net, torch.rand(100, 2)), Path(folder) / "c")
        ...     read_certificate(path).certificate["n"]
        100
    """
    return write_atomically(path, certificate_text(certificate, call).encode())


def read_certificate(path: str | PathLike[str]) -> CertificateFile:
    """Read a certificate from its file, or from the header of a safetensors file.

    Args:
        path: a file of `save_certificate`, or a network that carries a certificate.

    Returns:
        The file's content, of the right form; whether it is true `differences` tells.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no certificate, or one of another format.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> read_certificate("no/such/file")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no certificate at no/such/file
    """
    from sipp_core.runtime.tensor_files import metadata_of

    content = read_bytes(path, "certificate", most=None)
    text = content[: MOST_BYTES + 1]
    if not text.lstrip().startswith(b"{"):
        try:
            embedded = metadata_of(content, str(path)).get(EMBEDDED)
        except ValueError as error:
            raise ValueError(
                f"{path} is neither a certificate (JSON) nor a safetensors file with one in its "
                f"header: {error}"
            ) from error
        if embedded is None:
            raise ValueError(f"{path} carries no certificate; sipp certify --embed writes one")
        text = embedded.encode()
    if len(text) > MOST_BYTES:
        raise ValueError(f"{path} is no certificate: it has more than {MOST_BYTES} bytes")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no certificate: it is no JSON ({error})") from error
    kind = fields.get("format") if isinstance(fields, dict) else None
    if kind != FORMAT:
        raise ValueError(
            f"{path} is no certificate of this version: its format is {kind!r}, not {FORMAT!r}"
        )
    try:
        return CertificateFile.model_validate(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{path} is no certificate: {place}: {fault['msg']}") from error


def with_certificate(content: bytes, text: str) -> bytes:
    """The bytes of a safetensors file with a certificate in its header; tensors as they are.

    Args:
        content: a safetensors file.
        text: the certificate's JSON.

    Returns:
        The file with the certificate, in place of any that it had.

    Raises:
        ValueError: the content is no safetensors file.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> import torch; from safetensors.torch import save
        >>> b'"certificate"' in with_certificate(save({"a": torch.ones(1)}), "{}")
        True
    """
    from sipp_core.runtime.tensor_files import metadata_of

    known = metadata_of(content, "the network")
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header = {"__metadata__": {**known, EMBEDDED: text}} | {
        name: entry for name, entry in header.items() if name != "__metadata__"
    }
    new = json.dumps(header, separators=(",", ":")).encode()
    new += b" " * (-len(new) % 8)
    return len(new).to_bytes(8, "little") + new + content[8 + size :]


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    return float(value) if isinstance(value, int | float) or value in WORDS else None


def _leaves(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return {place: value}
    below = [_leaves(item, f"{place}.{name}".lstrip(".")) for name, item in items]
    return {name: leaf for leaves in below for name, leaf in leaves.items()}


def differences(recorded: CertificateFile, recomputed: Certificate) -> list[str]:
    """What a certificate made again says otherwise than the one on file.

    Numbers of outputs may differ by a relative 1e-4, since they round by threads and machines;
    counts, fingerprints and words may not.

    Args:
        recorded: the file.
        recomputed: the certificate that the same call gives now.

    Returns:
        One line a difference, the gravest first; none if the file is confirmed.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> import tempfile, torch; from sipp_core import certify
        >>> cert = certify(torch.nn.Identity(), torch.nn.Identity(), torch.rand(100, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     differences(read_certificate(save_certificate(cert, Path(folder) / "c")), cert)
        []
    """
    lines = sealed(recorded)
    old, new = recorded.certificate, _plain(recomputed.summary())
    versions = old.get("versions")
    own = versions.get("sipp-theory") if isinstance(versions, Mapping) else None
    if own != recomputed.versions["sipp-theory"]:
        lines.append(
            f"it was made by sipp-theory {own}, and this is {recomputed.versions['sipp-theory']}: "
            "bounds may have other values"
        )
    marks = old.get("fingerprints")
    marks = marks if isinstance(marks, Mapping) else {}
    for name, mark in new["fingerprints"].items():
        if name not in marks or marks[name] != mark:
            lines.append(
                f"{OTHER.get(name, f'another {name}')}: SHA-256 {str(mark)[:12]}..., on file "
                f"{str(marks.get(name))[:12]}..."
            )
    first, second = ({k: v for k, v in _leaves(c).items() if _counts(k)} for c in (old, new))
    lists: dict[str, list[tuple[int, str]]] = {}
    for place in sorted(set(first) | set(second)):
        here, there = first.get(place), second.get(place)
        if here != there and not _close(here, there):
            name, _, last = place.rpartition(".")
            number = int(last) if last.isdecimal() else 0
            key = name if last.isdecimal() else place
            sentence = f"{place} is {here} on file, and {there} now"
            lists.setdefault(key, []).append((number, sentence))
    for name, entries in lists.items():
        entries.sort()
        lines += [sentence for _, sentence in entries[:1]]
        if len(entries) > 1:
            lines[-1] += f"; {len(entries) - 1} more of {name} differ"
    if recorded.statement != recomputed.sentences() and not lines:
        # Digits that are shown may round otherwise; what they are of has been compared.
        shown = [_words(line) for line in recorded.statement]
        if shown != [_words(line) for line in recomputed.sentences()]:
            lines.append("the sentences on file are not what the numbers say")
    return lines


def sealed(recorded: CertificateFile) -> list[str]:
    """Say if a file has been edited since it was written; nothing where it has not.

    Args:
        recorded: the file.

    Returns:
        One line, or none.

    Claim: none (a file format, described in docs/certificate.md).

    Example:
        >>> sealed(CertificateFile(format=FORMAT, statement=[], certificate={}, call={}, sha256=""))
        ['it has been edited: its own SHA-256 does not match its content']
    """
    if _seal(recorded.model_dump()) == recorded.sha256:
        return []
    return ["it has been edited: its own SHA-256 does not match its content"]


def _counts(place: str) -> bool:
    return not {"versions", "fingerprints", "notes"} & set(place.split(".")[:3])


def _close(one: Any, other: Any) -> bool:
    first, second = _number(one), _number(other)
    if first is None or second is None or isinstance(one, int) != isinstance(other, int):
        return False
    if isinstance(one, int):
        return one == other
    return math.isclose(first, second, rel_tol=ROUNDING, abs_tol=1e-7)


def _words(line: str) -> str:
    return "".join(c for c in line if not c.isdigit() and c not in ".,-+e")
