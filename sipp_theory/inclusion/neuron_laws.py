"""The laws behind SP-11: what a rate c means for each neuron of a layer, and its errors at rows.

z^ - z is a sum of independent terms of either sign, relative to z~ = |w|.|a|: coins that keep
weights or draws of each sign. A law answers for many pairs (neuron, row) at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sipp_theory.draws.exact import draws_tail
from sipp_theory.inclusion.poisson_tail import coins_tail
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import UNIT, Float
from sipp_theory.numeric.threads import in_threads

Index = NDArray[np.intp]
# Numbers that one step may hold at once.
BLOCK = 2**21


def loops_of(name: str) -> ModuleType:
    """Compiled loops, loaded when they are first used: a compiler takes its time."""
    return import_module(f"sipp_theory.inclusion.{name}")


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """A layer that is thinned out, with what a rate c means for each of its neurons.

    Shapes: weight (out, k), rows (n, k), scores (out, k), size (out, n) with z~ of each row, delta
    (out,) of each neuron.
    """

    weight: Float
    rows: Float
    scores: Float
    size: Float
    delta: Float
    exact: bool
    threads: int = 1

    @property
    def _slack(self) -> float:
        """Bound on 1 plus the relative rounding of a sum of products over the fan-in."""
        return 1 + 8 * (self.weight.shape[1] + 4) * UNIT

    @property
    def log(self) -> Float:
        """ln(2/delta), (out,): two tails, and no union over signs."""
        return np.asarray(nm.log_over(2.0, self.delta))

    def shares(self, neurons: Index, rows: Index) -> Float:
        """Signed shares w a/z~ of pairs (neuron, row), (b, k); 0 where z~ is."""
        part, size = self.weight[neurons] * self.rows[rows], self.size[neurons, rows][:, None]
        return np.divide(part, size, out=np.zeros_like(part), where=size > 0)

    def _given(self) -> tuple[Float, ...]:
        given = self.weight, self.scores, self.rows, self.size, self.log
        return tuple(np.ascontiguousarray(array, np.float64) for array in given)

    @abstractmethod
    def certain(self) -> Float:
        """Rate from which a neuron keeps every weight that it can, (out,)."""

    @abstractmethod
    def spread(self, rate: Float, neurons: Index) -> tuple[Float, Float]:
        """Variance of z^/z~ at each row, and a bound on one centred term, (b, n) each."""

    @abstractmethod
    def chernoff(self, rate: Float, neurons: Index, rows: Index, floors: Float) -> Float:
        """Error of pairs by the Chernoff bound, (b,), no better than their floors ask for."""

    @abstractmethod
    def tail(self, rate: float, neuron: int, row: int) -> float:
        """Error of one pair by the exact tail."""

    def least_rates(self, eps: float, tolerance: float) -> Float | None:
        """Least rates of all neurons, (out,), to a relative tolerance; None: search for them."""
        return None

    def means(self, rate: Float, neurons: Index) -> Float:
        """All that an error knows of the rates of some neurons, (1 or 2, b)."""
        return rate[None]

    def still_open(self, rate: Float, neurons: Index, floors: Float) -> NDArray[np.bool_]:
        """Rows whose errors no cheap bound shows to be at most each neuron's floor, (b, n)."""
        return np.ones((neurons.size, len(self.rows)), dtype=np.bool_)

    def screen(self, rate: Float, neurons: Index) -> Float:
        """Error of the neurons at every row by Bernstein, never below the others, (b, n)."""
        variance, largest = self.spread(rate, neurons)
        log = self.log[neurons][:, None]
        linear = largest * log / 3
        error = nm.up((linear + np.sqrt(linear**2 + 2 * variance * log)) * (1 + 1e-12))
        return np.where((self.size[neurons] > 0) & (variance > 0), error, 0.0)

    def errors(self, rate: Float, neurons: Index, rows: Index, floors: Float) -> Float:
        """Error of pairs, no better than their floors, (b,), ask for."""
        step = max(1, BLOCK // self.weight.shape[1])
        parts = [slice(start, start + step) for start in range(0, neurons.size, step)]
        errors = [self.chernoff(rate[p], neurons[p], rows[p], floors[p]) for p in parts]
        error = np.concatenate(errors) if errors else np.zeros(0)
        if self.exact:
            for pair in np.flatnonzero(error > floors):
                one = self.tail(float(rate[pair]), int(neurons[pair]), int(rows[pair]))
                error[pair] = min(error[pair], one)
        return error

    def worst(self, rate: Float, neurons: Index, floor: float = 0.0) -> tuple[Float, Index]:
        """Largest error of each neuron over the rows, and where, -1 where none passes the floor.

        Shapes: rate and neurons (b,); returns (b,) twice.
        """
        step = max(1, BLOCK // max(1, self.rows.shape[0]))
        if neurons.size > step:
            parts = [slice(s, s + step) for s in range(0, neurons.size, step)]
            parts_worst = [self.worst(rate[p], neurons[p], floor) for p in parts]
            return np.concatenate([f[0] for f in parts_worst]), np.concatenate(
                [f[1] for f in parts_worst]
            )
        screen = self.screen(rate, neurons)
        most, where = np.full(neurons.size, floor), np.full(neurons.size, -1)
        order = np.argsort(-screen, axis=1, kind="stable")
        start, width = 0, 1
        while start < screen.shape[1]:
            rows = order[:, start : start + width]
            pair = np.argwhere(np.take_along_axis(screen, rows, 1) > most[:, None])
            if pair.size == 0:
                break
            at = rows[pair[:, 0], pair[:, 1]]
            error = self.errors(rate[pair[:, 0]], neurons[pair[:, 0]], at, most[pair[:, 0]])
            for (place, _), row, value in zip(pair, at, error, strict=True):
                if value > most[place]:
                    most[place], where[place] = value, row
            start, width = start + width, min(2 * width + 2, 64)
            if start == 1:  # the likeliest row is known: of the others many need no look
                np.put_along_axis(screen, rows, -1.0, axis=1)
                screen = np.where(self.still_open(rate, neurons, most), screen, -1.0)
                order, start = np.argsort(-screen, axis=1, kind="stable"), 0
                width = 4
        return most, where


class Coins(Layer):
    """Independent inclusion with p_j = min(1, c s_j)."""

    def chances(self, rate: Float, neurons: Index) -> Float:
        """(b, k) probabilities; 1 where a weight cannot matter."""
        s = self.scores[neurons]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(s > 0, np.minimum(1.0, rate[:, None] * s), 1.0)

    def certain(self) -> Float:
        """1/s_j of the least score, rounded up."""
        least = np.where(self.scores > 0, self.scores, np.inf).min(axis=1, initial=np.inf)
        return np.where(np.isfinite(least), nm.up(nm.up(1 / least)), 0.0)

    def spread(self, rate: Float, neurons: Index) -> tuple[Float, Float]:
        """Of the coins that are not certain."""
        p, weight = self.chances(rate, neurons), self.weight[neurons]
        size = np.where(self.size[neurons] > 0, self.size[neurons], 1.0)
        with np.errstate(divide="ignore"):
            odds = np.where(p > 0, (1 - p) / p, 0.0)
        variance = (weight**2 * odds) @ (self.rows**2).T / size**2 * self._slack
        jump = np.abs(weight) * np.where(p < 1, np.maximum(odds, 1.0), 0.0)
        return variance, _largest(jump, np.abs(self.rows)) / size

    def chernoff(self, rate: Float, neurons: Index, rows: Index, floors: Float) -> Float:
        """Both tails at ln(2/delta), whatever the floors."""
        error = np.empty(neurons.size)
        loops_of("coin_loops").pair_errors(*self._given(), rate, neurons, rows, error)
        return error

    def worst(self, rate: Float, neurons: Index, floor: float = 0.0) -> tuple[Float, Index]:
        """Largest error of each neuron over the rows, and where, as of every law."""
        if self.exact:
            return super().worst(rate, neurons, floor)
        error, where = np.empty(neurons.size), np.empty(neurons.size, np.intp)
        loops, layer = loops_of("coin_loops"), self._given()

        def part(first: int, last: int) -> None:
            loops.worst_errors(*layer, rate, floor, neurons, first, last, error, where)

        in_threads(part, neurons.size, self.threads)
        return error, where

    def least_rates(self, eps: float, tolerance: float) -> Float | None:
        """By the Chernoff bound."""
        if self.exact:
            return None
        rate, certain = np.empty(len(self.weight)), self.certain()
        loops, layer = loops_of("coin_loops"), self._given()

        def part(first: int, last: int) -> None:
            loops.least_rates(*layer, eps, certain, tolerance, first, last, rate)

        in_threads(part, rate.size, self.threads)
        return rate

    def tail(self, rate: float, neuron: int, row: int) -> float:
        """By convolution of two-point laws."""
        one = np.array([neuron])
        h, p = self.shares(one, np.array([row])), self.chances(np.array([rate]), one)
        moving = (p < 1) & (h != 0)
        v = np.divide(h, p, out=np.zeros_like(h), where=moving)
        return coins_tail(v[0], np.where(moving, p, 0.5)[0], float(self.delta[neuron]))


class Draws(Layer):
    """ceil(c S_s) draws with replacement from each sign, in proportion to scores.

    A sign that asks for as many draws as it has weights is kept whole, and is exact.
    """

    def draws(self, rate: Float, neurons: Index) -> Float:
        """(2, b) draws, +inf for a whole sign, 0 for one without weights."""
        sums, counts = self._totals
        with np.errstate(over="ignore", invalid="ignore"):
            m = np.ceil(rate * sums[:, neurons])
        return np.where(m >= counts[:, neurons], np.inf, np.maximum(m, 0.0))

    def means(self, rate: Float, neurons: Index) -> Float:
        """Its draws: many rates ask for the same."""
        return self.draws(rate, neurons)

    @cached_property
    def _totals(self) -> tuple[Float, NDArray[np.intp]]:
        """Sums of the scores of each sign, and how many are above 0, (2, out) each."""
        out = len(self.weight)
        sums, counts = np.zeros((2, out)), np.zeros((2, out), np.intp)
        step = max(1, BLOCK // max(1, self.weight.shape[1]))
        for some in (np.arange(first, min(first + step, out)) for first in range(0, out, step)):
            for sign in (0, 1):
                part = self._part(some, sign)
                sums[sign, some], counts[sign, some] = part.sum(axis=1), (part > 0).sum(axis=1)
        return sums, counts

    def _part(self, neurons: Index, sign: int) -> Float:
        weight = self.weight[neurons]
        return np.where(weight > 0 if sign == 0 else weight < 0, self.scores[neurons], 0.0)

    def chances(self, neurons: Index, sign: int) -> Float:
        """Chance that a draw of a sign takes each weight, (b, k)."""
        part = self._part(neurons, sign)
        total = part.sum(axis=1, keepdims=True)
        return np.divide(part, total, out=np.zeros_like(part), where=total > 0)

    def certain(self) -> Float:
        """Where each sign asks for as many draws as it has weights."""
        total, count = self._totals
        shares = np.divide(count, total, out=np.zeros(total.shape), where=total > 0)
        return nm.up(nm.up(shares.max(axis=0)))

    def spread(self, rate: Float, neurons: Index) -> tuple[Float, Float]:
        """Of the signs that are drawn from."""
        m = self.draws(rate, neurons)
        size = np.where(self.size[neurons] > 0, self.size[neurons], 1.0)
        variance, largest = np.zeros(size.shape), np.zeros(size.shape)
        for sign in (0, 1):
            q = self.chances(neurons, sign)
            drawn = (q > 0) & np.isfinite(m[sign])[:, None]
            w = np.where(drawn, self.weight[neurons], 0.0)
            per = np.divide(1.0, q, out=np.zeros_like(q), where=drawn)
            times = np.where(np.isfinite(m[sign]), np.maximum(m[sign], 1.0), 1.0)[:, None]
            mean = w @ self.rows.T / size
            square = (w**2 * per) @ (self.rows**2).T / size**2
            # What the difference loses to rounding is added again.
            variance += (np.maximum(square - mean**2, 0.0) + square * (self._slack - 1)) / times
            jump = _largest(np.abs(w) * per, np.abs(self.rows)) / size + np.abs(mean)
            largest = np.maximum(largest, jump / times)
        return variance, largest

    def _laws(self, m: Float, neurons: Index, rows: Index) -> list[tuple[Float, Float, Float]]:
        """For each sign that is drawn: (b, k) centred values, chances, and (b,) draws."""
        h, laws = self.shares(neurons, rows), []
        for sign in (0, 1):
            q = self.chances(neurons, sign)
            q = np.where(np.isfinite(m[sign])[:, None], q, 0.0)
            times = np.where(np.isfinite(m[sign]), np.maximum(m[sign], 1.0), 1.0)
            value = np.divide(h, q, out=np.zeros_like(h), where=q > 0)
            mean = (value * q).sum(axis=1, keepdims=True)
            laws.append((np.where(q > 0, value - mean, 0.0) / times[:, None], q, times))
        return laws

    def chernoff(self, rate: Float, neurons: Index, rows: Index, floors: Float) -> Float:
        """Both tails at ln(2/delta)."""
        return self.at(self.draws(rate, neurons), neurons, rows, floors)

    def at(self, m: Float, neurons: Index, rows: Index, floors: Float) -> Float:
        """Error of pairs for given numbers of draws, (b,)."""
        error = np.empty(neurons.size)
        loops, layer, m = loops_of("draw_loops"), self._given(), np.ascontiguousarray(m)

        def part(first: int, last: int) -> None:
            loops.pair_errors(*layer, m, neurons, rows, floors, first, last, error)

        in_threads(part, neurons.size, self.threads)
        return error

    def still_open(self, rate: Float, neurons: Index, floors: Float) -> NDArray[np.bool_]:
        """By four moments, in place of every look at Chernoff's bound."""
        open_ = np.ones((neurons.size, len(self.rows)), dtype=np.bool_)
        loops, layer = loops_of("draw_loops"), self._given()
        draws = np.ascontiguousarray(self.draws(rate, neurons))

        def part(first: int, last: int) -> None:
            loops.open_rows(*layer, draws, neurons, floors, first, last, open_)

        in_threads(part, neurons.size, self.threads)
        return open_

    def tail(self, rate: float, neuron: int, row: int) -> float:
        """By convolution of the laws of a draw."""
        m = self.draws(np.array([rate]), np.array([neuron]))
        laws = self._laws(m, np.array([neuron]), np.array([row]))
        parts = [(v[0][q[0] > 0], q[0][q[0] > 0], float(t[0])) for v, q, t in laws if q.any()]
        return draws_tail(parts, float(self.delta[neuron]))


@dataclass(frozen=True, eq=False)
class GivenDraws(Draws):
    """Draws as they stand, (2, out); the rate has no say."""

    given: Float = field(kw_only=True)

    def draws(self, rate: Float, neurons: Index) -> Float:
        """(2, b) of the given numbers."""
        return self.given[:, neurons]


def _largest(jump: Float, magnitude: Float) -> Float:
    """Largest jump_j magnitude_j, (b, n). Shapes: jump (b, k), magnitude (n, k)."""
    largest = [(jump * row).max(axis=1, initial=0.0) for row in magnitude]
    return np.stack(largest, axis=1) if largest else np.zeros((len(jump), 0))
