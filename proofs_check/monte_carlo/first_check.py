"""The first check: what each bound asks of real neurons, beside what Monte Carlo needs.

For a few neurons of a trained network every claim SP-2 to SP-8 gives its size at the same
(eps, delta) of one sign of one neuron at one input, and is judged there. How the numbers of one
neuron are to be read is described in `neuron_check`; here the neurons are chosen and the findings
gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from proofs_check.ledger.refusals import require_chance, require_counts
from proofs_check.monte_carlo.neuron_check import CLAIMS, NeuronCheck, check_neuron
from sipp_core import calibrate
from sipp_core.pruning import Table, make_table
from sipp_core.runtime import digests, mapped, one_thread

Progress = Callable[[int, int, str], None]

LARGEST_ROWS = 1024


@dataclass(frozen=True, eq=False)
class FirstCheck:
    """Result of `first_check`.

    Attributes:
        rows: one entry a neuron and sign.
        eps: relative error allowed.
        delta: failure probability allowed.
        trials: pruned versions behind each verdict at the worst row.
        seed: seed of everything.
        eta: neurons of the network, in SP-2.
        eta_star: widest layer, the input width included, in SP-2.

    Claim: SP-2 to SP-8. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422, [OWN].
    """

    rows: tuple[NeuronCheck, ...]
    eps: float
    delta: float
    trials: int
    seed: int
    eta: int
    eta_star: int

    @property
    def refuted(self) -> tuple[str, ...]:
        """Claims refuted on the calibration rows, in the order of CLAIMS."""
        claims = {
            c.claim
            for row in self.rows
            for c in row.coverages
            if c.where == "calibration" and c.verdict == "refuted"
        }
        return tuple(claim for claim in CLAIMS if claim in claims)

    def summary(self) -> dict[str, object]:
        """All numbers, and per claim the range of tightness and the verdicts, ready for JSON."""
        names = ("eps", "delta", "trials", "seed", "eta", "eta_star")
        return {name: getattr(self, name) for name in names} | {
            "refuted": list(self.refuted),
            "claims": {claim: self._of(claim) for claim in CLAIMS},
            "rows": [row.summary() for row in self.rows],
        }

    def _of(self, claim: str) -> dict[str, object]:
        ratios = np.array([row.tightness[claim] for row in self.rows])
        counts: dict[str, dict[str, int]] = {}
        worst_fresh = 0.0
        for coverage in (c for row in self.rows for c in row.coverages if c.claim == claim):
            if coverage.where == "fresh" and coverage.points != "random":
                worst_fresh = max(worst_fresh, coverage.rate)
                continue
            place = counts.setdefault(coverage.where, {})
            place[coverage.verdict] = place.get(coverage.verdict, 0) + 1
        return {
            "tightness": {
                "least": float(ratios.min()),
                "median": float(np.median(ratios)),
                "largest": float(ratios.max()),
            },
            "verdicts": counts,
            # At single fresh inputs nothing is promised: a rate, no verdict.
            "worst_fresh_rate": worst_fresh,
        }


def first_check(
    model: nn.Module,
    calibration: Tensor,
    fresh: Tensor,
    *,
    eps: float,
    delta: float,
    neurons_per_layer: int = 2,
    trials: int = 20_000,
    seed: int = 0,
    rows: int = LARGEST_ROWS,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> FirstCheck:
    """Ask SP-2 to SP-8 for their sizes at real neurons; find what is needed; judge each promise.

    Chosen in each layer, among the signs of neurons with at least two live weights: the one of
    largest S_sum, and others down to the median, evenly spaced in rank. Per claim the verdicts are

    - where "calibration", points "worst" and "each": the claim itself (see `neuron_coverage`; for
      SP-6, which draws nothing, "each" alone, as a deterministic claim);
    - where "fresh-covered", points "random": the claim over draws and those fresh inputs that it
      speaks of (SP-2, SP-3, SP-4, SP-6, SP-8; left out where there is no such input);
    - where "fresh", points "random": over draws and all fresh inputs; and "worst": the fresh row of
      largest mean square error. Both for information: nothing is promised there.

    Args:
        model: trained network with Linear or Conv layers; not changed.
        calibration: (n, ...) inputs that the sensitivities are taken over.
        fresh: (k, ...) other inputs of the same kind.
        eps: relative error of one sign of one neuron, in (0, 1).
        delta: failure probability at one row, in (0, 1); of the network in SP-2's size.
        neurons_per_layer: pairs (neuron, sign) a layer, >= 1.
        trials: pruned versions per verdict, >= 1; at all rows at once as many as the power needs.
        seed: seed of every draw, >= 0.
        rows: largest number of activation rows kept per layer, >= 1; a uniform sample beyond.
        jobs: processes, >= 1, or -1 for every core; None for what joblib's context says, else 1.
            They change no number.
        progress: callback (pairs done, pairs, "first check").

    Returns:
        Sizes, needed sizes, ratios and verdicts.

    Raises:
        TypeError: inputs that are no tensors.
        ValueError: an argument is out of range, or the fresh inputs are calibration inputs.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x, SP-6, SP-8. Source: see `sipp_theory`.

    Example:
        >>> import torch; from torch import nn; at = torch.Generator().manual_seed(0)
        >>> net = nn.Linear(6, 2, bias=False); _ = net.weight.data.normal_(generator=at)
        >>> x = torch.rand(40, 6, generator=at)
        >>> check = first_check(net, x[:30], x[30:], eps=0.3, delta=0.1, trials=2000)
        >>> check.refuted
        ()
    """
    _check(calibration, fresh, eps, delta, neurons_per_layer, trials, rows)
    stats = calibrate(model, calibration, points=rows, seed=seed)
    news = calibrate(model, fresh, points=rows, seed=seed)
    shapes = [tuple(layer.sensitivity.shape) for layer in stats.layers]
    eta, eta_star = sum(out for out, _ in shapes), max(fan_in for _, fan_in in shapes)
    work: list[tuple[Table, Table, int, int, float, float, int, int]] = []
    for index, (old, new) in enumerate(zip(stats.layers, news.layers, strict=True)):
        tables = [
            make_table(
                layer, delta=delta, coverage_factor=1.0, bound="exact", eta=eta, eta_star=eta_star
            )
            for layer in (old, new)
        ]
        for sign, neuron in _chosen(tables[0], neurons_per_layer):
            stream = seed + 7919 * (index + 1) + 2 * neuron + sign
            work.append((tables[0], tables[1], sign, neuron, eps, delta, trials, stream))
    if not work:
        raise ValueError("no neuron has a sign with two live weights: nothing can be checked")
    checks: list[NeuronCheck] = []
    for check in mapped(_check_neuron, work, jobs):
        checks.append(check)
        if progress is not None:
            progress(len(checks), len(work), "first check")
    return FirstCheck(tuple(checks), eps, delta, trials, seed, eta, eta_star)


def _check_neuron(*given: Any) -> NeuronCheck:
    with one_thread():
        return check_neuron(*given)


def _chosen(table: Table, count: int) -> list[tuple[int, int]]:
    """Pairs of largest S_sum down to the median, evenly spaced in rank; ties to the first."""
    # Rows may be a sample, so a live pair need not have a live row among them.
    pairs = [
        (int(sign), int(neuron))
        for sign, neuron in np.argwhere(table.support >= 2)
        if len(table.shares(sign, neuron, table.sign(sign)[neuron]))
    ]
    pairs.sort(key=lambda pair: -table.total[pair])
    if not pairs:
        return []
    ranks = np.rint(np.linspace(0, len(pairs) // 2, count)).astype(int) if count > 1 else [0]
    return [pairs[rank] for rank in dict.fromkeys(int(r) for r in ranks)]


def _check(
    calibration: Tensor, fresh: Tensor, eps: float, delta: float, neurons: int, trials: int,
    rows: int,
) -> None:  # fmt: skip
    require_chance("eps", eps)
    require_chance("delta", delta)
    require_counts(neurons_per_layer=neurons, trials=trials, rows=rows)
    for name, value in (("calibration", calibration), ("fresh", fresh)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor; found {type(value).__name__}")
        if value.ndim < 2 or len(value) == 0:
            raise ValueError(f"{name} must be (n, ...) with n >= 1; found {tuple(value.shape)}")
    if set(digests(fresh)) <= set(digests(calibration)):
        raise ValueError("fresh inputs are calibration inputs: give others of the same kind")
