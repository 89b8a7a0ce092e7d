"""SV-12: how far a kernel machine by Nystroem's features is from the kernel's own optimum."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import KERNEL_PARAMS, pairwise_kernels
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from sipp_core.svm.arguments import weights
from sipp_core.svm.bands import Bands, BlockView, View
from sipp_core.svm.blocks import Block, block_rows, check_weight, dense, stream_blocks
from sipp_core.svm.certify import band_size
from sipp_core.svm.chunks import pieces, refuse_strangers
from sipp_core.svm.estimator import CoresetSVC
from sipp_theory.numeric.checks import Float
from sipp_theory.svm import SvmCertificate
from sipp_theory.svm.kernel import kernel_dual_of_parts
from sipp_theory.svm.problem import hinge_sum, suboptimality

Progress = Callable[[int, int, str], None]
# Rows, indices of their classes, and weights; the same at each call.
Parts = Callable[[], Iterable[tuple[Any, np.ndarray, Float]]]
# Kernel values that are held at once: 32 MB.
ENTRIES = 2**22
TOLERANCE = 1e-9


def certify_kernel(
    pipeline: Pipeline,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    band: int | None = None,
    progress: Progress | None = None,
) -> tuple[SvmCertificate, ...]:
    """Certify a pipeline of `Nystroem` and `CoresetSVC` against the kernel's own optimum.

    With f = sum_j beta_j k(z_j, .) + b, the z_j Nystroem's components, F_K(f) = beta^T K_zz beta/2
    + C sum u_i max(0, 1 - y_i f(x_i)) is this machine's objective and no less than the least one
    F*_K over all functions of the kernel's space. One pass adds it up and keeps the `band` points
    nearest the hinge, with means of all others in Nystroem's features (SV-10); the multipliers of
    these few, a_i = a_G c_i/c_G, are multipliers of the points, whose dual value in the kernel
    itself, D_K(a) = sum a - (a y)^T K (a y)/2, is no more than F*_K. So F_K(f) <= (1 + eps) F*_K,
    of which `CoresetSVC.certified_eps_` says nothing: it speaks of the linear problem in the
    features. eps is what both the features and the training cost; nothing is said of data that are
    not given here. It is loose where Nystroem has few components, or the band is too small. Random
    Fourier features are in no way a part of the kernel's space, so that `RBFSampler` cannot be
    certified like this.

    Args:
        pipeline: fitted; its last two steps are Nystroem, with a kernel of scikit-learn by name
            that is positive semidefinite, and CoresetSVC.
        X: (n, d) points to certify on, as the pipeline takes them; or any iterable of (X, y) or
            (X, y, sample_weight) chunks, `read_chunks`' among them. What can be read once only, as
            a generator, is kept in temporary files, for D_K(a) is a sum over pairs of points.
        y: (n,) labels among the classes. None where X is chunks.
        sample_weight: (n,) u >= 0.
        band: points that stay by themselves, >= 0, as for `certify_svm`.
        progress: callback (done, total, what).

    Returns:
        One certificate for two classes, else one a class; `w`, `b` are in Nystroem's features,
        `groups` counts the k points with multipliers above 0. It takes k^2 kernel values, in blocks
        of 32 MB, and a pass over the data for every 32 MB of such points; beside that it holds the
        band, in Nystroem's features, and a chunk.

    Raises:
        ValueError: other steps, a kernel that is no name, labels that are none of the classes, one
            class, an empty stream, or chunks of another width than the pipeline's.

    Claim: SV-12. Source: [OWN].

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> y = (X**2).sum(axis=1) > 1.4
        >>> model = make_pipeline(Nystroem(gamma=0.5, n_components=50), CoresetSVC()).fit(X, y)
        >>> whole = certify_kernel(model, X, y)[0].eps
        >>> whole < 0.1, certify_kernel(model, [(X[:90], y[:90]), (X[90:], y[90:])])[0].eps == whole
        (True, True)
    """
    machine = _Machine.of(pipeline)
    with ExitStack() as stack:
        if y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight goes into each chunk: (X, y, weight)")
            parts, rows = machine.chunks(X, stack), None
        else:
            parts, rows = machine.array(X, y, sample_weight), len(y)
        size = band_size(band, rows, len(machine.beta[0]))
        return tuple(
            machine.certificate(parts, k, row, size, progress)
            for row, k in enumerate(machine.model._positives())
        )


@dataclass(frozen=True)
class _Machine:
    """A fitted pipeline: what comes before the features, their kernel and matrix, and the model."""

    before: Any
    metric: str
    own: dict[str, Any]
    centres: Float
    matrix: Float  # (m, m) features are k(x, centres) @ matrix
    model: CoresetSVC
    beta: Float  # (classes, m)

    @classmethod
    def of(cls, pipeline: Pipeline) -> _Machine:
        """Check and take apart a pipeline."""
        steps = [step for _, step in pipeline.steps]
        if len(steps) < 2 or not (
            isinstance(steps[-2], Nystroem) and isinstance(steps[-1], CoresetSVC)
        ):
            names = ", ".join(type(step).__name__ for step in steps)
            raise ValueError(f"the last two steps must be Nystroem and CoresetSVC; found {names}")
        features, model = steps[-2], steps[-1]
        check_is_fitted(model)
        if not isinstance(features.kernel, str) or features.kernel == "precomputed":
            raise ValueError(f"kernel must be a name of scikit-learn's; found {features.kernel!r}")
        known = {name: getattr(features, name) for name in ("gamma", "coef0", "degree")}
        takes = KERNEL_PARAMS[features.kernel]
        own = {k: v for k, v in known.items() if v is not None and k in takes}
        own |= features.kernel_params or {}
        matrix = np.asarray(features.normalization_.T, np.float64)
        centres = np.asarray(dense(features.components_), np.float64)
        before = pipeline[:-2] if len(steps) > 2 else None
        return cls(
            before, features.kernel, own, centres, matrix, model, model.coef_ @ matrix.T
        )  # fmt: skip

    def kernel(self, one: Float, other: Float) -> Float:
        """(n, m) kernel values of rows (n, d) and (m, d)."""
        return np.asarray(pairwise_kernels(one, other, metric=self.metric, **self.own), np.float64)

    # --- the data -----------------------------------------------------------------------------

    def part(self, X: Any, y: Any, weight: Float) -> tuple[Any, np.ndarray, Float]:
        """Rows as Nystroem takes them, indices of their classes, and weights with the classes'."""
        rows = X if self.before is None else self.before.transform(X)
        labels = np.asarray(y)
        refuse_strangers(labels, self.model.classes_)
        index = np.searchsorted(self.model.classes_, labels)
        return rows, index, weight * self.model.class_weight_[index]

    def array(self, X: Any, y: Any, sample_weight: Any) -> Parts:
        """Slices of an array, a frame or a list."""
        labels, u = np.asarray(y), weights(sample_weight, y)
        rows = np.shape(X)[0]
        if labels.shape != (rows,):
            raise ValueError(f"X has {rows} rows, y has shape {labels.shape}")
        size = block_rows(max(np.shape(X)[1], len(self.centres)))
        return lambda: (
            self.part(_safe_indexing(X, np.arange(rows)[some]), labels[some], u[some])
            for some in (slice(start, start + size) for start in range(0, rows, size))
        )

    def chunks(self, X: Any, stack: ExitStack) -> Parts:
        """Chunks as often as they are needed; those of an iterator from temporary files."""
        first = pieces(X)
        if first is not X:
            return lambda: map(self.piece, count(), pieces(X))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipp-svm-")))
        files = [folder / str(number) for number, _ in enumerate(self.saved(first, folder))]
        return lambda: map(joblib.load, files)

    def saved(self, chunks: Iterator[Any], folder: Path) -> Iterator[None]:
        """Write one chunk after the other to files 0, 1, ... of a folder."""
        for number, chunk in enumerate(chunks):
            joblib.dump(self.piece(number, chunk), folder / str(number))
            yield

    def piece(self, number: int, chunk: Any) -> tuple[Any, np.ndarray, Float]:
        """One chunk, checked."""
        if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3):
            raise ValueError(
                f"chunk {number} must be (X, y) or (X, y, sample_weight); found "
                f"{type(chunk).__name__}"
            )
        rows = np.shape(chunk[0])[0]
        if np.shape(chunk[1]) != (rows,):
            raise ValueError(f"chunk {number} has {rows} rows, and labels {np.shape(chunk[1])}")
        weight = check_weight(chunk[2] if len(chunk) == 3 else None, rows, 0)
        return self.part(chunk[0], chunk[1], weight)

    def blocks(self, parts: Parts, k: int) -> Iterator[tuple[Block, Float, Float]]:
        """Blocks of class k against the rest, with kernel values (n, m) and features (n, m)."""
        signed = ((rows, np.where(index == k, 1.0, -1.0), u) for rows, index, u in parts())
        wide = max(self.centres.shape)
        for block in stream_blocks(signed, (-1.0, 1.0), wide):
            if block.X.shape[1] != self.centres.shape[1]:
                raise ValueError(
                    f"X must have {self.centres.shape[1]} columns before Nystroem; found "
                    f"{block.X.shape[1]}"
                )
            rows = Block(dense(block.X), block.y, block.weight)
            values = self.kernel(rows.X, self.centres)
            yield rows, values, values @ self.matrix

    # --- the certificate ----------------------------------------------------------------------

    def certificate(
        self, parts: Parts, k: int, row: int, singles: int, progress: Progress | None
    ) -> SvmCertificate:
        """Of class k against the rest."""
        w, b, beta = self.model.coef_[row], float(self.model.intercept_[row]), self.beta[row]
        view = View(w, b, float(self.model.C), singles, np.ones(len(w) + 1))
        held = self.kernel(self.centres, self.centres)
        reach, hinge, bands = np.abs(held).max() * np.abs(beta).sum(), 0.0, None
        for block, values, features in self.blocks(parts, k):
            scores = values @ beta
            # The scores as one feature: the norm is the kernel's.
            hinge += hinge_sum(
                np.ones(1), b, scores[:, None], block.y, view.C * block.weight,
                reach + np.abs(scores),
            )[1]  # fmt: skip
            part = Bands.seen(view, BlockView.at(view, Block(features, block.y, block.weight)))
            if bands is None:
                bands = part
            else:
                bands.merge(part)
            if progress is not None:
                progress(bands.taken, 0, "rows")
        assert bands is not None
        norm = max(0.0, float(beta @ held @ beta)) + 1e-12 * float(
            np.abs(beta) @ np.abs(held) @ np.abs(beta)
        )
        primal = (norm / 2 + hinge * (1 + 2e-16 * (bands.blocks + 1))) * (1 + 1e-12)
        _, better, offset, alpha = bands.solved(TOLERANCE)

        def points() -> Iterator[tuple[Float, Float, Float]]:
            first = 0
            for block, _, features in self.blocks(parts, k):
                look = BlockView.at(view, Block(features, block.y, block.weight))
                yield block.X[look.index], look.y, bands.lifted(alpha, look, first)
                first += block.rows

        dual, count = kernel_dual_of_parts(points, self.kernel, ENTRIES, progress)
        eps = suboptimality(primal, dual)
        return SvmCertificate(primal, dual, eps, bands.points, count, better, offset)
