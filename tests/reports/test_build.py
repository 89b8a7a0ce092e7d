"""A report, built once in its quick form, looked at from all sides."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from reports import BuildResult, build
from reports.overview import alt, experiment
from reports.overview.figures import FIGURES
from reports.overview.settings import compared
from reports.site import plain
from reports.site.figure import draw
from sipp_core.certificates.curve import Curve

Json = dict[str, Any]


@pytest.fixture
def results(quick_results: Json) -> Json:
    return quick_results


class Page(HTMLParser):
    """Tags with their attributes, and the text outside style and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(built: BuildResult) -> Page:
    return Page(built.index.read_text("utf-8"))


def test_every_file_is_there_and_nothing_else(built: BuildResult) -> None:
    pictures = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    result = {path.name for path in built.index.parent.iterdir()}
    assert result == pictures | {"index.html", "results.json"}


def test_the_quick_report_keeps_its_promises(built: BuildResult, results: Json) -> None:
    assert not built.violated
    assert built.vacuous == results["certified"]["certificate"]["vacuous"]
    assert {row["method"] for row in results["grid"]["rows"]} == set(compared())


def test_figures_have_alternative_texts_from_the_results(page: Page, results: Json) -> None:
    images = page.named("img")
    assert [image["alt"] for image in images] == [figure["alt"] for figure in results["figures"]]
    assert len(images) == len(FIGURES)
    for image in images:
        assert len(image["alt"] or "") > 80
        assert re.search(r"\d", image["alt"] or "")


def test_the_page_needs_neither_network_nor_scripts(page: Page) -> None:
    assert not page.named("script") and not page.named("link") and not page.named("iframe")
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "href", "poster", "data", "action"):
            value = attributes.get(name) or ""
            outside = re.search(r"https?://", value)
            assert not outside or (tag == "a" and value.startswith("https://arxiv.org/")), value
    assert all((s["srcset"] or "").startswith("data:image/svg") for s in page.named("source"))


def test_the_style_fetches_nothing(built: BuildResult) -> None:
    style = re.search(r"<style>(.*?)</style>", built.index.read_text("utf-8"), re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]


def test_the_page_is_structured(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1 and tags.count("main") == 1
    assert tags.count("table") == tags.count("caption") > 5
    targets = {attributes.get("id") for _, attributes in page.tags}
    for link in page.named("a"):
        href = link["href"] or ""
        assert not href.startswith("#") or href[1:] in targets
    viewports = [meta for meta in page.named("meta") if meta.get("name") == "viewport"]
    assert viewports and "width=device-width" in (viewports[0]["content"] or "")


def test_numbers_in_the_page_are_those_of_the_results(page: Page, results: Json) -> None:
    text = page.text()
    certificate = results["certified"]["certificate"]
    network = results["theory"]["network"]
    expected = [
        plain.count(results["network"]["weights"]),
        plain.percent(results["network"]["test_accuracy"], 2),
        plain.percent(results["certified"]["network"]["kept"]),
        f"eps = {plain.upward(certificate['eps'])}",
        plain.percent_upward(certificate["disagreement"]),
        plain.upward(network["nnz_bound"], 2),
        plain.significant(network["kappa"]),
        *(plain.percent(row["accuracy"]) for row in results["grid"]["rows"]),
        *(plain.percent(row["kept"]) for row in results["guarantees"]["rows"]),
        *(plain.significant(row["draws"], 2) for row in network["layers"]),
        *(
            plain.significant(claim["tightness"]["median"])
            for claim in results["check"]["claims"].values()
        ),
        *(sentence["text"] for sentence in results["findings"]),
    ]
    for number in expected:
        assert number in text, number


def test_the_certified_curves_are_those_of_the_certificates(results: Json) -> None:
    """The chosen network's, and of the networks that met the target the three sparsest."""
    met = sorted(row["kept"] for row in results["sparsest"]["rows"] if row["found"])
    rows = [row for row in results["sparsest"]["rows"] if "curve" in row]
    assert sorted(row["kept"] for row in rows) == met[:3] and len(met) > 3
    text = next(f["alt"] for f in results["figures"] if f["name"] == "certified-curve")
    certificate = results["certified"]["certificate"]
    for curve in (certificate["curve"], *(row["curve"] for row in rows)):
        read = Curve(tuple(curve["eps"]), tuple(curve["delta"]), curve["n"])
        for share in alt.SHARES:
            eps = read.eps_at(share)
            word = "nothing" if math.isinf(eps) else plain.upward(eps)
            assert f"{word} at {plain.percent(share, 0)}" in text
    drawn = alt.certified_curves(results)
    eps, delta = certificate["curve"]["eps"], certificate["curve"]["delta"]
    assert drawn[0][1] == sorted(zip(delta, eps, strict=True))
    assert len(drawn) == 4 and "chosen" in drawn[0][0]


def test_a_certificate_of_nothing_has_no_curve_to_draw(results: Json) -> None:
    none = {"eps": [], "delta": [], "n": 3}
    rows = [{k: v for k, v in r.items() if k != "curve"} for r in results["sparsest"]["rows"]]
    bare = results | {
        "certified": results["certified"]
        | {"certificate": results["certified"]["certificate"] | {"curve": none}},
        "sparsest": results["sparsest"] | {"rows": rows},
    }
    kinds = {"certified-curve": FIGURES["certified-curve"]}
    assert draw(kinds, bare) == () and len(draw(kinds, results)) == 1


def test_bounds_are_rounded_up_in_the_page(results: Json) -> None:
    eps = results["certified"]["certificate"]["eps"]
    assert float(plain.upward(eps)) >= eps


def test_a_trial_run_says_so(page: Page) -> None:
    assert "do not cite" in page.text()


def test_the_factors_of_the_network_theorem_multiply_to_its_draws(results: Json) -> None:
    for layer in results["theory"]["network"]["layers"]:
        product = 10 ** sum(layer["factors"].values())
        assert layer["draws"] == pytest.approx(product, rel=1e-6, abs=1)


def test_the_searches_share_the_confidence(results: Json) -> None:
    result = results["sparsest"]
    missed = len(result["rows"]) * (1 - result["confidence_each"])
    assert missed == pytest.approx(1 - result["confidence"])


def without_times(results: Json) -> Json:
    return {name: value for name, value in results.items() if name != "timings"}


def test_the_same_seed_gives_the_same_report(
    built: BuildResult, results: Json, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    again = build("digits", tmp_path, quick=True)
    assert without_times(json.loads(again.results.read_text("utf-8"))) == without_times(results)
    assert torch.get_num_threads() == threads
    for name in FIGURES:
        files = [r.index.parent / f"{name}.svg" for r in (built, again)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_ledger_brings_a_claims_page_and_the_pages_link_each_other(
    computed: Json, summary: Json, tmp_path: Path
) -> None:
    assert computed["claims"] is None
    built = build("digits", tmp_path, quick=True, ledger=summary)
    index = Page(built.index.read_text("utf-8"))
    links = [link["href"] for link in index.named("a")]
    assert links.count("claims.html") == 2 and "Of 6 claims, 1 was proved" in index.text()
    claims = Page((tmp_path / "claims.html").read_text("utf-8"))
    assert "index.html" in [link["href"] for link in claims.named("a")]
    assert json.loads(built.results.read_text("utf-8"))["claims"]["counts"]["proved"] == 1
    result = {path.name for path in tmp_path.iterdir()}
    assert {"claims.json", "claims-graph.svg", "claims-tightness.png"} < result


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what.startswith("prune by"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("digits", tmp_path / "new" / "out", quick=True, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_keeps_an_older_report(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("older")

    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("digits", tmp_path, quick=True, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "run", lambda *_, **__: pytest.fail("work was done"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write a report to .*file.*another folder"):
        build("digits", tmp_path / "file" / "out")
    with pytest.raises(OSError, match="cannot write a report to"):
        build("digits", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "imagenet"}, "dataset must be one of digits, mnist, .*found 'imagenet'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"seed": -1}, "seed must be in .*found -1"),
    ],
)
def test_bad_arguments_are_refused(arguments: Json, message: str, tmp_path: Path) -> None:
    given: Json = {"dataset": "digits", "out": tmp_path / "out"} | arguments
    with pytest.raises(ValueError, match=message):
        build(given.pop("dataset"), given.pop("out"), quick=True, **given)
    assert not (tmp_path / "out").exists()


def test_missing_data_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not here"):
        build("mnist", tmp_path / "out", data_dir=tmp_path, quick=True)
    assert not (tmp_path / "out").exists()


def test_promised_measured_and_held_out_errors_stand_side_by_side(
    results: Json, page: Page
) -> None:
    rows = {row["method"]: row for row in results["promises"]["beside"]}
    # What is certain before the draw bounds what is measured where it speaks, not elsewhere.
    for name in ("sipp-det", "magnitude", "wanda"):
        promised, measured = rows[name]["promised"], rows[name]["measured"]
        assert measured["largest"] <= promised["largest"] * (1 + 1e-6)
        assert measured["median"] <= promised["median"] * (1 + 1e-6)
    assert rows["sipp-network"]["promised"] is None
    network = rows["sipp-network"]
    assert network["measured"]["median"] < rows["magnitude"]["measured"]["median"]
    assert all(row["held_out"] != row["measured"] for row in rows.values())
    assert "Promised, measured, held out" in page.text()


def test_the_headline_is_the_fewest_certified_weights(results: Json, page: Page) -> None:
    result = [row for row in results["sparsest"]["rows"] if row["found"]]
    best = min(result, key=lambda row: row["kept"])
    assert f"{100 * best['kept']:.1f}% of the weights are the fewest that are" in page.text()
    assert results["findings"][0]["text"].startswith("An error of at most 0.25")
