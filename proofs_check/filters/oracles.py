"""PF-1 and PF-2 at 50 digits."""

from __future__ import annotations

import itertools

import mpmath as mp

import sipp_theory
from proofs_check.draws.oracles import right_size
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Found
from proofs_check.ledger.registry import Setting, oracle

TOTALS, DELTAS, TARGETS = (1.0, 1.2, 9.0, 237.5, 1e6), (1e-9, 0.05, 0.9), (1e-5, 0.1, 0.5, 0.999)
DRAWS = (1.0, 17.0, 1e5, 1e12)
WIDEST, EVENTS = 64, 4096.0


@oracle("PF-1")
def printed_at_50_digits(setting: Setting) -> Found:
    """The printed size and its inverse in eps against the closed forms, errors never below."""
    with mp.workdps(DIGITS):
        for total, delta in itertools.product(TOTALS, DELTAS):
            scale = mp.mpf(total) * mp.log(4 * mp.mpf(WIDEST) / mp.mpf(delta))
            at: dict[str, object] = {"S": total, "delta": delta}
            for eps in TARGETS:
                size = float(sipp_theory.channel_size(total, eps, delta, WIDEST))
                right_size(size, (6 + 2 * mp.mpf(eps)) * scale / mp.mpf(eps) ** 2, at)
            for m in DRAWS:
                found = float(sipp_theory.channel_error(total, m, delta, WIDEST))
                close(found, (scale + mp.sqrt(scale**2 + 6 * scale * m)) / m, at, "above")
    return Found(cases=len(TOTALS) * len(DELTAS) * (len(TARGETS) + len(DRAWS)))


@oracle("PF-2")
def sharper_at_50_digits(setting: Setting) -> Found:
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
                found = float(sipp_theory.channel_bernstein_error(total, m, delta, EVENTS))
                close(found, (b + mp.sqrt(b**2 + v * m)) / m, at, "above")
    return Found(cases=len(TOTALS) * len(DELTAS) * (len(TARGETS) + len(DRAWS)))
