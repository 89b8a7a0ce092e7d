"""Finished checks on disk, so that a stopped run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from proofs_check.ledger.evidence import Evidence, read_evidence
from proofs_check.ledger.registry import Setting
from sipp_core.runtime import write_atomically

PACKAGES = ("sipp_theory", "sipp_core", "proofs_check")
LIBRARIES = ("numpy", "scipy", "torch", "sympy", "mpmath", "hypothesis")


def versions() -> dict[str, str]:
    """Versions of everything that a result may depend on."""
    libraries = {name: metadata.version(name) for name in LIBRARIES}
    return libraries | {"python": platform.python_version(), "source": _source_digest()}


@cache
def _source_digest() -> str:
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Store:
    """A folder with one JSON file a finished check; entries of other code or seeds are not read.

    Without a folder nothing is kept. A file that cannot be read counts as not there: the check
    is run again. Skipped checks are not kept, so that they run once their data are there.
    """

    def __init__(self, folder: str | Path | None, setting: Setting) -> None:
        key = json.dumps([versions(), setting.profile, setting.seed, bool(setting.data_dir)])
        name = f"{setting.profile}-{setting.seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        self.folder = None if folder is None else Path(folder) / name

    def get(self, check: str) -> list[Evidence] | None:
        """Evidence of a check that was finished before, None if it was not."""
        if self.folder is None:
            return None
        try:
            held = json.loads((self.folder / f"{check}.json").read_text("utf-8"))
            if _seal(held["evidence"]) != held["sha256"]:
                return None
            return [read_evidence(_numbers(one)) for one in json.loads(held["evidence"])]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def put(self, check: str, evidence: Sequence[Evidence]) -> None:
        """Keep the evidence of a finished check."""
        if self.folder is None or any(one.outcome == "skipped" for one in evidence):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps([_plain(one.summary()) for one in evidence], allow_nan=False)
        sealed = json.dumps({"evidence": text, "sha256": _seal(text)})
        write_atomically(self.folder / f"{check}.json", sealed.encode())


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """JSON has no infinite numbers: they are written as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """Back from `_plain`, for the fields that hold numbers."""
    infinite = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
    numeric = ("delta", "low", "high", "p_value", "promised", "needed", "tightness")
    numbers = {n: infinite.get(v, v) if n in numeric else v for n, v in fields.items()}
    series = {n: [infinite.get(x, x) for x in xs] for n, xs in fields.get("series", {}).items()}
    return numbers | {"series": series}
