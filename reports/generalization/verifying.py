"""A certificate checked by anybody: the file decoded, its errors counted, nothing trained."""

from __future__ import annotations

import hashlib
import time
from os import PathLike
from typing import Any

import sipp_theory
from reports.generalization.fitting import refuse_unfitting
from reports.generalization.run import of_file
from sipp_core.certificates import count_errors
from sipp_core.compression import charged, decompress, named_in
from sipp_core.runtime import digests, read_bytes, some_threads
from sipp_core.zoo import Dataset, datasets

Json = dict[str, Any]
FORMAT = "sipp-theory generalization check 1"


# SHA-256 of the training inputs and targets of the published files, as they are counted.
KNOWN = {
    "digits": "fac3efd73fed11513f4fbfcb22a78d997d366328ecad3816b08fd71ce8d70aaf",
    "mnist": "4e58fb0c0b85b6ad09782d2d836314b8ea3baff605a87f81b9eafca02c083e5e",
}


def verify(
    source: str | PathLike[str],
    data: str = "digits",
    *,
    delta: float = 0.05,
    candidates: int = 1,
    data_dir: str | PathLike[str] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Json:
    """Bound the true error of the network in a file, from the file and the training inputs alone.

    Who made the file, how, and how many others were tried has no say: GN-3 holds for every file of
    the code at once. A search over N candidates need not be paid; `sipp generalize` pays it all the
    same, and `candidates` gives that number again.

    Args:
        source: a file that `sipp_core.compress` wrote and that names its architecture.
        data: a name of `sipp_core.datasets`; all its training inputs are counted.
        delta: failure probability of each bound over the training inputs, in (0, 1).
        candidates: files among which a search took this one, >= 1; see `charged`.
        data_dir: folder of the data files.
        device: where torch computes.
        threads: CPU threads.

    Returns:
        Errors counted, bits, bounds (the certified one first) and seconds, as JSON holds them.

    Raises:
        FileNotFoundError: no such file, or the data files are not there.
        ValueError: a file that is damaged, or names no architecture or one that does not take the
            data, or an argument out of range.

    Claim: GN-3, GN-4. Source: Langford 2005, Zhou et al. 2019.

    Example:
        >>> verify("nothing.sipp")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no compressed network at nothing.sipp
    """
    started = time.perf_counter()
    sipp_theory.occam_bound("binomial", errors=0, n=1, bits=0, delta=delta)
    if candidates < 1:
        raise ValueError(f"candidates must be at least 1; found {candidates}")
    price = charged(candidates)
    content = read_bytes(source, "compressed network")
    named = named_in(content, where=str(source))
    if named is None:
        raise ValueError(
            f"{source} names no architecture, so nobody can read it alone; compress the network "
            "again with architecture="
        )
    dataset = datasets.load(data, data_dir=data_dir, flat=len(named.input_shape) == 1)
    refuse_unfitting(named, dataset)
    data_sha256, distinct = _described(dataset)
    network = decompress(content).to(device)
    with some_threads(threads):
        errors = count_errors(network, dataset.train_inputs, dataset.train_targets)
        tests = count_errors(network, dataset.test_inputs, dataset.test_targets)
    n, bits = len(dataset.train_inputs), 8 * len(content)
    return {
        "format": FORMAT, "net": str(named), "data": data, "delta": delta, "n": n,
        "test_n": len(dataset.test_inputs), "errors": errors, "test_errors": tests, "bits": bits,
        "choice_bits": price, "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "data_sha256": data_sha256,
        "data_known": KNOWN.get(data) == data_sha256, "distinct": distinct,
        "bounds": of_file(errors, n, bits + price, delta),
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def _described(dataset: Dataset) -> tuple[str, int]:
    """SHA-256 of the training inputs and targets as they are counted, and distinct inputs."""
    digest = hashlib.sha256()
    for tensor in (dataset.train_inputs, dataset.train_targets):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest(), len(set(digests(dataset.train_inputs)))
