"""CONTRIBUTING's "Add a method" followed literally: one file, and nothing else is edited."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from typer.testing import CliRunner

import sipp_core
from reports import build
from reports.overview import settings
from reports.overview.figures import accuracy, output_error
from sipp_cli.main import app
from sipp_core import certify, load, prune, sparsest
from sipp_core.methods import find_method, registered, variant
from sipp_core.pruning import method as registry

FILE = '''"""Keep the weights of middling magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sipp_core.pruning.method import Facts, Promise, register
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.request import Request
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float


@register
@dataclass(frozen=True)
class Middling(KeepLargest):
    """Keep the weights whose magnitude is nearest to a quantile of its layer's."""

    quantile: float = 0.5

    name = "middling"
    facts = Facts("Middling", "peer", "Weights of middling magnitude stay.", "nobody's")
    takes = KeepLargest.takes - {"masks"}

    def scores(self, table: Table) -> Float:
        """Closeness to the quantile."""
        size = np.abs(table.weight)
        return np.where(size > 0, 1 / (1 + np.abs(size - np.quantile(size, self.quantile))), 0)

    def promise(self, request: Request) -> Promise:
        """SP-6, in words of its own."""
        return Promise(("ES-1", "SP-6", "SP-10"), "what a middling network ever sees")
'''


def example(repository: Path) -> str:
    """The class that CONTRIBUTING shows, below the imports of a method of its kind."""
    text = (repository / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a method")[2]
    shown = text[text.index("    @register") :].partition("\n1. ")[0]
    source = (repository / "sipp_core" / "methods" / "random_mask.py").read_text("utf-8")
    return source.partition("@register")[0] + textwrap.dedent(shown)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Path]:
    """A second folder of `sipp_core.methods`, with one file a method."""
    place, package = tmp_path_factory.mktemp("methods"), sipp_core.methods
    files = {"middling": FILE, "largest_input": example(repository)}
    package.__path__.append(str(place))
    known = set(registered())
    try:
        for name, text in files.items():
            (place / f"{name}.py").write_text(text, encoding="utf-8")
            importlib.invalidate_caches()
            importlib.import_module(f"sipp_core.methods.{name}")
        yield place
    finally:
        package.__path__.remove(str(place))
        for name in set(registered()) - known:
            del registry._REGISTRY[name]
        for name in files:
            sys.modules.pop(f"sipp_core.methods.{name}", None)
            vars(package).pop(name, None)


pytestmark = pytest.mark.usefixtures("folder")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def inputs(count: int, seed: int) -> Tensor:
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(seed))


def test_it_prunes_by_name_and_as_an_object(tmp_path: Path) -> None:
    model, x = network(), inputs(50, 0)
    result = prune(model, x, method="middling", keep=0.5)
    for name, mask in result.masks.items():
        size = model.get_parameter(f"{name}.weight").detach().abs().double().numpy()
        distance = np.abs(size - np.quantile(size, 0.5))
        assert distance[mask].max() <= distance[~mask].min()
    assert result.nnz_after == 36 and result.claims == ("ES-1", "SP-6", "SP-10")
    assert result.holds_for == "what a middling network ever sees"

    other = variant(find_method("middling"), {"quantile": "0.25"})
    lower = prune(model, x, method=other, keep=0.5, scope="global", bound="exact")
    assert lower.arguments["quantile"] == 0.25 and lower.method == "middling"
    assert any(not torch.equal(lower.masks[k], result.masks[k]) for k in result.masks)
    within = prune(model, x, method=other, eps=0.5)  # certain, so no delta
    assert all(layer.eps <= 0.5 for layer in within.layers) and within.nnz_after < 72
    with pytest.raises(ValueError, match="'middling' does not use masks=True; it takes bound, co"):
        prune(model, x, method="middling", keep=0.5, masks=True)

    for saved in (result, lower, within):
        again = load(saved.save(tmp_path / "net"), model)
        assert again.summary() == saved.summary()
        assert torch.equal(again.model(x), saved.model(x))


def test_it_is_certified_and_searched() -> None:
    model, x, held = network(), inputs(50, 0), inputs(100, 1)
    cert = certify(model, prune(model, x, method="middling", keep=0.9).model, held)
    assert 0 < cert.eps < np.inf
    search = sparsest(model, x, held, eps=5.0, delta=0.1, method="middling", keeps=(0.9, 0.5))
    assert search.result is not None and search.result.method == "middling"


def test_it_is_listed_where_methods_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "middling" in registered()
    with pytest.raises(ValueError, match=r"method must be one of .*\bmiddling\b.*; found 'magic'"):
        prune(network(), inputs(9, 0), method="magic", keep=0.5)
    (tmp_path / "middling_network.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    np.save(tmp_path / "x.npy", inputs(20, 0).numpy())
    words = ["prune", "--model", "middling_network:net", "--data", str(tmp_path / "x.npy"),
             "--keep", "0.5", "--json", "--method"]  # fmt: skip
    call = CliRunner().invoke
    assert "middling" in call(app, ["prune", "--help"]).stdout
    assert "middling" in call(app, [*words, "magic"]).stderr
    ended = call(app, [*words, "middling", "--set", "quantile=0.9"])
    assert ended.exit_code == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["method"], summary["arguments"]["quantile"]) == ("middling", 0.9)
    assert summary["holds_for"] == "what a middling network ever sees"


def legend_of(figure: Figure) -> list[str]:
    """What a figure calls its curves, in legends or beside them."""
    texts = [text for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        legend = axes.get_legend()
        texts += [] if legend is None else legend.get_texts()
    return [text.get_text() for text in texts]


def test_the_report_draws_it_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "middling" in settings.settings("digits", quick=True).methods
    # A few methods are enough to see one more.
    few = (*settings.PROMISED, "corenet", "magnitude", "middling")
    monkeypatch.setattr(settings, "compared", lambda: few)
    built = build("digits", tmp_path / "out", quick=True)
    results = json.loads(built.results.read_text("utf-8"))
    drawn = [row for row in results["grid"]["rows"] if row["method"] == "middling"]
    assert [row["keep"] for row in drawn] == results["grid"]["keeps"]
    assert "middling" in [row["method"] for row in results["sparsest"]["rows"]]
    page = built.index.read_text("utf-8")
    words = page.partition("<dt>Middling <code>middling</code></dt>")[2].partition("</dd>")[0]
    assert "Weights of middling magnitude stay." in words and "(ES-1, SP-6, SP-10)" in words
    assert '<th scope="row">Middling</th>' in page
    for figure in (accuracy, output_error):
        assert "Middling" in legend_of(figure(results, narrow=False))


def test_the_example_of_contributing_is_a_method(tmp_path: Path) -> None:
    model, x = network(), inputs(50, 0)
    result = prune(model, x, method="largest-input", keep=0.5, layers=["0"])
    columns = result.masks["0"].all(dim=0)
    assert columns.sum() == 3 and not result.masks["0"][:, ~columns].any()
    assert columns[x.amax(dim=0).argsort()[-3:]].all() and result.claims[-1] == "SP-6"
    assert load(result.save(tmp_path / "net"), model).summary() == result.summary()


def test_no_other_file_was_edited(repository: Path, folder: Path) -> None:
    assert {path.name for path in folder.glob("*.py")} == {"middling.py", "largest_input.py"}
    for package in ("sipp_theory", "sipp_core", "proofs_check", "reports", "sipp_cli"):
        for source in (repository / package).rglob("*.py"):
            text = source.read_text("utf-8").lower()
            assert "middling" not in text and "largest-input" not in text, source
