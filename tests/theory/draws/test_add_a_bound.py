"""Adding a bound is adding one file: everything that reads the table of bounds takes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sipp_theory
from sipp_theory.draws.bound import Bound, register_bound

HOEFFDING = '''
"""Hoeffding's inequality for draws in [0, M], M = C S_sum: 2 exp(-2 m eps^2/M^2) <= delta."""

import numpy as np

from sipp_theory.draws.bound import Bound, Inclusion, register_bound


class KeepAll(Inclusion):
    """Promises nothing unless every weight is certain."""

    def rate(self, s, eps, delta, *, shares=None, coverage_factor=1.0):
        return np.float64(1 / min(s))

    def error(self, s, rate, delta, *, shares=None, coverage_factor=1.0):
        return np.float64(0 if rate * min(s) >= 1 else np.inf)


@register_bound
class Hoeffding(Bound):
    name, claim, title, knows = "toy", "SP-99", "Hoeffding", "sum"
    takes_coverage = True
    inclusion = KeepAll()

    def size(self, neuron, eps, delta, limit=np.inf):
        (total,) = self.known(neuron)
        span = np.multiply(total, neuron.coverage_factor)
        return np.ceil(span**2 * np.log(2 / delta) / (2 * eps**2))

    def error(self, neuron, m, delta):
        (total,) = self.known(neuron)
        return np.multiply(total, neuron.coverage_factor) * np.sqrt(np.log(2 / delta) / (2 * m))
'''
USE = """
import json, sipp_theory as t
known = {"sensitivity_sum": 2.0, "delta": 0.05, "coverage_factor": 3.0}
size = float(t.sample_size("toy", eps=0.5, **known))
try:
    t.sample_size("toy", eps=0.5, delta=0.05)
except ValueError as error:
    refusal = str(error)
print(json.dumps({
    "kinds": list(t.KINDS), "inclusion": list(t.INCLUSION_BOUNDS), "refusal": refusal,
    "size": size, "errors": [float(t.error("toy", m=m, **known)) for m in (size, size - 1)],
    "rate": float(t.inclusion_rate([1.0, 0.25], 0.1, 0.05, bound="toy")),
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Callable[..., str]:
    """Python with a copy of sipp_theory to which one file was added."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(repository / "sipp_theory", folder / "sipp_theory")
    (folder / "sipp_theory" / "draws" / "toy.py").write_text(HOEFFDING)

    def call(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-W", "error", *words],
            cwd=folder,
            env={"PYTHONPATH": f"{folder}:{repository}", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return call


def test_the_library_takes_it(python: Callable[..., str]) -> None:
    answer = json.loads(python("-c", USE))
    # The bounds of `sipp_theory.inclusion` come after those of the folder `draws`.
    assert answer["kinds"] == [*sipp_theory.KINDS[:5], "toy", *sipp_theory.KINDS[5:]]
    inclusion = sipp_theory.INCLUSION_BOUNDS
    assert answer["inclusion"] == [*inclusion[:4], "toy", *inclusion[4:]]
    assert answer["size"] == 266  # 36 ln(40)/(2 * 0.25) = 265.6
    assert answer["errors"][0] <= 0.5 < answer["errors"][1]
    assert answer["refusal"] == "kind 'toy' needs sensitivity_sum"
    assert answer["rate"] == 4


def test_the_command_line_takes_it(python: Callable[..., str]) -> None:
    words = ("-m", "sipp_cli", "bounds", "--sensitivity-sum", "2", "--eps", "0.5")
    only = json.loads(python(*words, "--kind", "toy", "--coverage-factor", "3", "--json"))
    (neuron,) = only["neurons"]
    assert neuron["bounds"] == [{"kind": "toy", "claim": "SP-99", "size": 266.0}]
    (neuron,) = json.loads(python(*words, "--json"))["neurons"]
    assert [bound["kind"] for bound in neuron["bounds"]] == ["bernstein", "kl", "toy"]


def test_two_bounds_of_one_name_are_refused() -> None:
    other: type[Bound] = type("Other", (type(sipp_theory.BOUNDS["kl"]),), {})
    with pytest.raises(ValueError, match="a bound named 'kl' exists already: ChernoffHoeffding"):
        register_bound(other)
