"""GN-4 at its edges, and beside GN-3's kl form, which it never beats."""

import numpy as np
import pytest

from sipp_theory import catoni_bound, occam_bound


def test_the_check_value_of_the_theory():
    found = catoni_bound(
        error_rate=0.35, n=1_281_167, divergence=350 * 1024 * 8 * np.log(2), delta=0.05
    )
    assert round(float(found), 4) == 0.9654


def test_the_union_over_lambda_costs_something():
    k, n = np.array([0, 20, 400]), 1000
    bits = np.array([[0.0], [50.0], [400.0]])
    kl = occam_bound("kl", errors=k, n=n, bits=bits, delta=0.05)
    given = {"error_rate": k / n, "n": n, "divergence": bits * np.log(2), "delta": 0.05}
    fine, coarse = catoni_bound(**given), catoni_bound(**given, alpha=1e-3)
    assert (fine > kl).all()
    # A coarser grid is a smaller union; 1e-4 is what the published values take.
    assert (coarse < fine).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_refusals(bad):
    given = {"error_rate": 0.1, "n": 10, "divergence": 1.0, "delta": 0.1}
    with pytest.raises(ValueError, match="alpha must be"):
        catoni_bound(**given, alpha=bad)
    with pytest.raises(ValueError, match=r"error_rate must lie in \[0, 1\]; found 1.1"):
        catoni_bound(**given | {"error_rate": 1.1})
