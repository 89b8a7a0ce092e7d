"""ES: sensitivities against loops written out, and the edges of float; laws: proofs_check."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import sipp_theory
from sipp_core import empirical_sensitivity
from sipp_core.sensitivity import kernel, operands

TOLERANCE = 1e-12


def brute_force(weight: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """THEORY section 1 in loops: shares per sign, each signed row counted as two."""
    out, fan_in = weight.shape
    result = np.zeros((out, fan_in))
    rows = [part for a in activations for part in (np.maximum(a, 0), np.maximum(-a, 0))]
    for i in range(out):
        for sign in (1, -1):
            members = [j for j in range(fan_in) if sign * weight[i, j] > 0]
            for row in rows:
                parts = [abs(weight[i, j]) * row[j] for j in members]
                z = math.fsum(parts)
                for j, part in zip(members, parts, strict=True):
                    result[i, j] = max(result[i, j], part / z if z > 0 else 0.0)
    return result


def layer(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random layer of one kind, with its activations."""
    rng = np.random.default_rng(seed)
    out, fan_in, n = (int(v) for v in rng.integers(1, 12, 3))
    weight, rows = rng.normal(size=(out, fan_in)), np.abs(rng.normal(size=(n, fan_in)))
    if kind == "signed":
        rows = rng.normal(size=(n, fan_in))
    elif kind == "zeros":
        weight[rng.random(weight.shape) < 0.4] = 0
        rows[rng.random(rows.shape) < 0.6] = 0
    elif kind == "dead":
        rows[:, rng.random(fan_in) < 0.5] = 0
        weight[0] = 0
    elif kind == "duplicates":
        rows = np.concatenate([rows, rows[:1], rows])
    elif kind == "wide":
        weight *= 10.0 ** rng.uniform(-30, 30, weight.shape)
        rows *= 10.0 ** rng.uniform(-30, 30, rows.shape)
    elif kind == "one sign":
        weight = -np.abs(weight)
    return weight, rows


KINDS = ("plain", "signed", "zeros", "dead", "duplicates", "wide", "one sign")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_float64_equals_two_independent_computations(kind: str, seed: int) -> None:
    weight, rows = layer(kind, seed)
    result = empirical_sensitivity(torch.from_numpy(weight), torch.from_numpy(rows))
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result.numpy(), brute_force(weight, rows), rtol=TOLERANCE, atol=0)
    reference = sipp_theory.sensitivity(weight, rows)
    np.testing.assert_allclose(result.numpy(), reference, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_within_its_rounding(kind: str, seed: int) -> None:
    weight, rows = layer(kind, seed)
    w = torch.from_numpy(weight.clip(-3e30, 3e30)).float()
    a = torch.from_numpy(rows.clip(-3e30, 3e30)).float()
    result = empirical_sensitivity(w, a)
    assert result.dtype == torch.float32
    expected = brute_force(w.double().numpy(), a.double().numpy())
    # fan_in additions, a division and two products, each off by half a unit of 2^-23.
    np.testing.assert_allclose(
        result.numpy(), expected, rtol=(weight.shape[1] + 4) * 2.0**-23, atol=1e-37
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(7, 300, generator=generator).to(dtype)
    a = torch.rand(50, 300, generator=generator).to(dtype)
    result = empirical_sensitivity(w, a)
    assert result.dtype == torch.float32
    assert torch.equal(result, empirical_sensitivity(w.float(), a.float()))
    # Rounded to half precision the sums would be far off: 8 or 11 bits against 24.
    expected = brute_force(w.double().numpy()[:1], a.double().numpy())
    np.testing.assert_allclose(result.numpy()[:1], expected, rtol=1e-5)


def test_mixed_precision_works_in_the_wider_one() -> None:
    w, a = torch.rand(2, 5), torch.rand(3, 5, dtype=torch.float64)
    result = empirical_sensitivity(w, a)
    assert result.dtype == torch.float32
    assert torch.equal(result, empirical_sensitivity(w.double(), a).float())


@pytest.mark.parametrize("power", [-1060, -900, -300, 300, 900, 1015])
def test_the_far_ends_of_float64(power: int) -> None:
    weight = torch.tensor([[1.0, 3.0, 0.0], [-2.0, 1.0, 1.0]], dtype=torch.float64)
    rows = torch.tensor([[1.0, 1.0, 4.0], [0.5, 2.0, 0.0]], dtype=torch.float64)
    expected = empirical_sensitivity(weight, rows)
    factor = math.ldexp(1.0, power)
    assert torch.equal(empirical_sensitivity(weight * factor, rows), expected)
    assert torch.equal(empirical_sensitivity(weight, rows * factor), expected)


def test_float32_that_overflows_stays_finite() -> None:
    """A huge activation on a weight of zero must not turn the mean into NaN."""
    weight = torch.tensor([[1e-9, 0.0]])
    acc = kernel.new_accumulator(weight, support=False, mean=True)
    kernel.update(acc, weight, torch.tensor([[1e-9, 1e9]]), None)
    for field in (acc.maximum, acc.total):
        assert field is not None and field.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("small", [0.0, 2.0**-31, -(2.0**-31), 2.0**-29])
@pytest.mark.parametrize("piece", [1, 5, 24, 1000])
def test_the_range_is_looked_at_in_pieces(
    small: float, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operands, "PIECE", piece)
    for at in itertools.product((0, 1), (0, 2), (0, 3)):
        values = torch.ones(2, 3, 4)
        values[at] = small
        assert operands.extreme(values, 1.0) == (0 < abs(small) < operands.SAFE_LOW)
        assert operands.extreme(values.movedim(0, 2), 2e9)
    assert not operands.extreme(torch.ones(0, 3), 0.0)


@pytest.mark.parametrize("chunk", [1, 7, 64, 10**6])
def test_the_kernels_chunks_change_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, rows = (torch.from_numpy(x) for x in layer("signed", 3))
    expected = empirical_sensitivity(weight, rows)
    monkeypatch.setattr(kernel, "CHUNK", chunk)
    assert torch.equal(empirical_sensitivity(weight, rows), expected)


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "activations", "error", "message"),
    [
        ([[1.0]], torch.ones(1, 1), TypeError, "weight must be a torch tensor; found list"),
        (torch.ones(1, 1), [[1.0]], TypeError, "activations must be a torch tensor; found list"),
        (torch.ones(2), torch.ones(1, 2), ValueError, r"weight must have 2 dim.*shape \(2,\)"),
        (torch.ones(1, 2), torch.ones(2), ValueError, r"activations must have 2 dim.*\(2,\)"),
        (torch.ones(1, 2), torch.ones(1, 3), ValueError, r"activations must have 2 col.*\(1, 3\)"),
        (torch.ones(1, 2), torch.ones(0, 2), ValueError, "activations is empty"),
        (torch.ones(1, 2).int(), torch.ones(1, 2), TypeError, "weight must be floating.*int32"),
        (torch.ones(1, 2), torch.ones(1, 2).long(), TypeError, "activations must be fl.*int64"),
        (torch.ones(1, 2), torch.ones(1, 2).bool(), TypeError, "activations must be floating"),
    ],
)
def test_bad_arguments_are_named(
    weight: Tensor, activations: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        empirical_sensitivity(weight, activations)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_named_with_its_index(bad: float) -> None:
    spoilt = torch.ones(3, 4)
    spoilt[2, 1] = bad
    with pytest.raises(ValueError, match=r"weight is not finite: .* at index \(2, 1\)"):
        empirical_sensitivity(spoilt, torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"activations is not finite: .* at index \(2, 1\)"):
        empirical_sensitivity(torch.ones(1, 4), spoilt)


def test_gradients_do_not_flow_through() -> None:
    weight = torch.ones(1, 2, requires_grad=True)
    assert not empirical_sensitivity(weight, torch.ones(1, 2)).requires_grad


@pytest.mark.parametrize("rows", [3, 12, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_by_sign_that_are_made_of_some_neurons_at_a_time_change_no_bit(
    rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    weight, activations = torch.randn(600, 70, dtype=dtype), torch.rand(rows, 70, dtype=dtype)
    whole = kernel.denominators(operands.matrix(weight, room=2 * weight.numel()), activations)
    assert torch.equal(kernel.denominators(operands.matrix(weight), activations), whole)
    monkeypatch.setattr(kernel, "PIECE", 70 * 150)
    monkeypatch.setattr(kernel, "LEAST", 150)
    assert torch.equal(kernel.denominators(operands.matrix(weight), activations), whole)
