"""PF-1 and PF-2 at 50 digits."""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np
import torch

import sipp_theory
from proofs_check.draws.oracles import right_size
from proofs_check.instances.networks import TwoGroups
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.filters import graph, groups
from sipp_core.methods import prune_filters

TOTALS, DELTAS, TARGETS = (1.0, 1.2, 9.0, 237.5, 1e6), (1e-9, 0.05, 0.9), (1e-5, 0.1, 0.5, 0.999)
DRAWS = (1.0, 17.0, 1e5, 1e12)
WIDEST, EVENTS = 64, 4096.0


@oracle("PF-1")
def printed_at_50_digits(setting: Setting) -> Result:
    """The printed size and its inverse in eps against the closed forms, errors never below."""
    with mp.workdps(DIGITS):
        for total, delta in itertools.product(TOTALS, DELTAS):
            scale = mp.mpf(total) * mp.log(4 * mp.mpf(WIDEST) / mp.mpf(delta))
            at: dict[str, object] = {"S": total, "delta": delta}
            for eps in TARGETS:
                size = float(sipp_theory.channel_size(total, eps, delta, WIDEST))
                right_size(size, (6 + 2 * mp.mpf(eps)) * scale / mp.mpf(eps) ** 2, at)
            for m in DRAWS:
                computed = float(sipp_theory.channel_error(total, m, delta, WIDEST))
                close(computed, (scale + mp.sqrt(scale**2 + 6 * scale * m)) / m, at, "above")
    return Result(cases=len(TOTALS) * len(DELTAS) * (len(TARGETS) + len(DRAWS)))


@oracle("PF-2")
def sharper_at_50_digits(setting: Setting) -> Result:
    """PF-2's size and error against the closed forms, errors never below."""
    with mp.workdps(DIGITS):
        for total, delta in itertools.product(TOTALS, DELTAS):
            spread = mp.mpf(total) - 1
            log = mp.log(2 * mp.mpf(EVENTS) / mp.mpf(delta))
            b, v = max(spread, 1) * log / 3, 2 * spread * log
            at: dict[str, object] = {"S": total, "delta": delta}
            for eps in TARGETS:
                size = float(sipp_theory.channel_bernstein_size(total, eps, delta, EVENTS))
                right_size(size, (v + 2 * b * mp.mpf(eps)) / mp.mpf(eps) ** 2, at)
            for m in DRAWS:
                computed = float(sipp_theory.channel_bernstein_error(total, m, delta, EVENTS))
                close(computed, (b + mp.sqrt(b**2 + v * m)) / m, at, "above")
    return Result(cases=len(TOTALS) * len(DELTAS) * (len(TARGETS) + len(DRAWS)))


@oracle("PF-1")
def printed_pays_for_its_events(setting: Setting) -> Result:
    """The failures of all pre-activations, each as the proof has it, add up to delta at most."""
    group = graph.ChannelGroup(8, ("a",), {"a": np.arange(8)}, {"b": np.arange(8)}, ())
    shares, cases = {"b": np.full(8, 0.5)}, 0
    for events, widest, delta in itertools.product((8, 4096, 10**7), (1, 3, 64), (0.05, 0.5)):
        table = groups.GroupTable(group, shares, events, widest, delta, 1.0, "printed")
        for eps in TARGETS:
            # m draws fail at one pre-activation with 2 e^-L, L three times what is printed.
            log = mp.mpf(table.draw_size(eps)) * mp.mpf(eps) ** 2 / ((6 + 2 * mp.mpf(eps)) * 4)
            failing = 2 * events * mp.exp(-3 * log)
            if failing > delta * (1 + 1e-9):
                raise Refuted(
                    f"{events} events, eta* = {widest}, eps = {eps}: all hold but with "
                    f"{float(failing):.3g}, promised {delta}"
                )
            cases += 1
    return Result(cases=cases)


@oracle("PF-2")
def groups_of_one_layer_add_up(setting: Setting) -> Result:
    """The failures of all groups that feed a layer, by Bernstein, add up to its delta at most."""
    rows = torch.rand(12, 3, generator=torch.Generator().manual_seed(setting.seed)).double()
    delta, cases = 0.1, 0
    for eps in (0.5, 0.9):
        result = prune_filters(
            TwoGroups().double(), rows, method="filters-rand", eps=eps, delta=delta, seed=0
        )
        assert result.channels is not None
        failing = mp.mpf(0)
        for group in result.channels.groups:
            spread, wide = group.sensitivity_sum - 1, max(group.sensitivity_sum - 1, 1)
            log = group.draws * group.eps**2 / (2 * spread + 2 * wide * group.eps / 3)
            failing += 2 * group.events * mp.exp(-log)
            cases += 1
        if failing > delta * (1 + 1e-6):
            raise Refuted(
                f"eps = {eps}: some group fails with {float(failing):.3g}, promised {delta}"
            )
    return Result(cases=cases)
