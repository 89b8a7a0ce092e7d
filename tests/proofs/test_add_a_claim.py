"""CONTRIBUTING's "Add a claim", followed literally: a new folder, and nothing else is edited."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proofs_check import LEDGER

FAMILY = {
    "__init__": '"""A toy family: the mean of fair coins."""',
    "bound": '''
"""The bound itself; a real one lives in `sipp_theory`."""
import math

def coin_error(n: int, delta: float) -> float:
    """Hoeffding's error of the mean of n coins, two sides."""
    return math.sqrt(math.log(2 / delta) / (2 * n))
''',
    "claims": '''
"""Claims of the toy family."""
from proofs_check.coins import bound, symbolic
from proofs_check.ledger.claim import Claim, Step

CLAIMS = (
    Claim("TY-1", "Mean of coins", "The mean leaves 1/2 by more than e too rarely.", "It is near.",
          "Hoeffding 1963", computes=(bound.coin_error,), probabilistic=True,
          steps=(Step("The exponent at $e$ is $2 n e^2$.", symbolic.exponent),)),
)
''',
    "symbolic": '''
"""The algebra behind TY-1."""
import sympy as sp
from proofs_check.kinds.symbolic import equal
from proofs_check.ledger.registry import Setting, symbolic

@symbolic("TY-1")
def exponent(setting: Setting) -> None:
    """exp(-2 n e^2) = delta/2 at the error that TY-1 promises."""
    n, delta = sp.symbols("n delta", positive=True)
    equal(-2 * n * sp.log(2 / delta) / (2 * n), -sp.log(2 / delta), "exponent")
''',
    "laws": '''
"""Laws of TY-1."""
from hypothesis import given, strategies as st
from proofs_check.coins import bound
from proofs_check.kinds.laws import hold
from proofs_check.ledger.registry import Setting, law

@law("TY-1")
def falls(setting: Setting):
    """More coins never make the error larger."""
    @given(st.integers(1, 10**6), st.floats(0.01, 0.99))
    def law(n: int, delta: float) -> None:
        assert bound.coin_error(n + 1, delta) <= bound.coin_error(n, delta)
    return hold(setting, law)
''',
    "oracles": '''
"""TY-1 at 50 digits."""
import mpmath
from proofs_check.coins import bound
from proofs_check.kinds.oracles import close
from proofs_check.ledger.registry import Setting, oracle

@oracle("TY-1")
def at_50_digits(setting: Setting) -> None:
    """TY-1's error against its formula."""
    with mpmath.workdps(50):
        truth = mpmath.sqrt(mpmath.log(2 / mpmath.mpf(0.05)) / 20)
        close(bound.coin_error(10, 0.05), truth, {"n": 10, "delta": 0.05})
''',
    "coverage": '''
"""Trials of TY-1."""
from functools import partial
import numpy as np
from proofs_check.coins import bound
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage

def misses(limit: float, seed: int, block: int, size: int) -> int:
    means = np.random.default_rng([seed, block]).binomial(100, 0.5, size) / 100
    return int((np.abs(means - 0.5) > limit).sum())

@coverage("TY-1")
def hundred_coins(setting: Setting) -> Experiment:
    """Means of 100 coins that leave TY-1's error."""
    limit = bound.coin_error(100, 0.05)
    return Experiment("100 coins", 0.05, partial(misses, limit, setting.seed))
''',
    "mutations": '''
"""Weakened copies of TY-1."""
from proofs_check.coins import bound, coverage
from proofs_check.ledger.mutation import Mutation

MUTATIONS = (
    Mutation("TY-1", "halved", "Half of the error.", bound.coin_error,
             lambda error: lambda n, delta: error(n, delta) / 2, (coverage.hundred_coins,)),
)
''',
}


@pytest.fixture
def house(repository: Path, tmp_path: Path) -> Path:
    """A copy of the package with one more folder."""
    shutil.copytree(
        repository / "proofs_check",
        tmp_path / "proofs_check",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (tmp_path / "proofs_check" / "coins").mkdir()
    for name, text in FAMILY.items():
        (tmp_path / "proofs_check" / "coins" / f"{name}.py").write_text(text)
    return tmp_path


def python(repository: Path, house: Path, code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=house,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(house), str(repository)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_folder_is_in_the_ledger_and_is_run(repository: Path, house: Path) -> None:
    output = python(repository, house, """
import json, proofs_check
found = proofs_check.run(claims=["TY-1"], jobs=1)
print(json.dumps({"file": proofs_check.__file__, "ids": list(proofs_check.LEDGER),
                  "survived": found.survived, "claims": found.summary()["claims"]}))
""")  # fmt: skip
    assert Path(output["file"]).is_relative_to(house)
    ids = output["ids"]
    assert ids.index("GN-4") < ids.index("TY-1") < ids.index("A1")
    assert len(ids) == len(LEDGER) + 1 and set(ids) == {*LEDGER, "TY-1"}
    (entry,) = output["claims"]
    assert entry["status"] == "proved" and not output["survived"]
    assert entry["computes"] == ["proofs_check.coins.bound.coin_error"]
    assert [(e["check"], e["outcome"]) for e in entry["evidence"]] == [
        ("symbolic.coins.exponent", "proved"),
        ("laws.coins.falls", "passed"),
        ("oracles.coins.at_50_digits", "passed"),
        ("coverage.coins.hundred_coins", "consistent"),
        ("mutations.coins.halved", "killed"),
    ]


@pytest.mark.parametrize(
    ("module", "right", "slip"),
    [
        ("claims", "symbolic.exponent", "symbolic.exponents"),
        ("mutations", "coverage.hundred_coins", "coverage.hundred_coin"),
        ("mutations", "bound.coin_error", "bound.coins_error"),
    ],
)
def test_a_slip_is_an_error_at_import(
    repository: Path, house: Path, module: str, right: str, slip: str
) -> None:
    path = house / "proofs_check" / "coins" / f"{module}.py"
    path.write_text(path.read_text().replace(right, slip))
    output = python(repository, house, """
import json
try:
    from proofs_check.ledger.registry import modules
    print(json.dumps(str(modules())))
except AttributeError as error:
    print(json.dumps(str(error)))
""")  # fmt: skip
    assert slip.partition(".")[2] in output and "no attribute" in output
