"""The claims page, made of a small hand-made summary."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from proofs_check import LEDGER
from reports import write_claims
from reports.claims import figures, page
from reports.claims.figures_of_tails import tails_of
from reports.claims.graph import dependencies
from reports.claims.graph_layout import order, place
from reports.claims.page import PAGE, refer
from reports.claims.terms import STATUSES
from reports.overview import experiment
from reports.site import plain
from reports.site.figure import draw
from reports.site.mathml import formula, prose
from reports.site.page import Prepared

Json = dict[str, Any]


def article(html: str, name: str) -> str:
    match = re.search(rf'<article id="{re.escape(name)}".*?</article>', html, re.DOTALL)
    assert match, name
    return match[0]


@pytest.fixture
def prepared(summary: Json) -> Prepared:
    return _prepared(json.dumps(summary))


@cache
def _prepared(text: str) -> Prepared:
    return PAGE.prepare(json.loads(text))


@pytest.fixture
def html(prepared: Prepared) -> str:
    return prepared.html


def test_every_claim_appears_with_its_status_and_evidence(
    summary: Json, html: str, text_of: Callable[[str], str]
) -> None:
    for claim in summary["claims"]:
        part = article(html, claim["id"])
        text = text_of(part)
        assert claim["name"] in text and claim["plain"] in text and claim["source"] in text
        assert claim["status"] in text and "<math>" in part
        for evidence in claim["evidence"]:
            assert evidence["check"] in text and evidence["says"] in text
            assert evidence["outcome"] in text
        for name in (*claim["assumptions"], *claim["depends"]):
            assert f'<a href="#{name}">{name}</a>' in part
        for name in (*claim["computes"], *claim["missing"]):
            assert name in text
        row = re.search(rf'<tr><th scope="row"><a href="#{claim["id"]}">.*?</tr>', html)
        assert row and claim["status"] in text_of(row[0])


def test_the_numbers_of_the_evidence_are_shown(html: str, text_of: Callable[[str], str]) -> None:
    text = text_of(article(html, "SP-2"))
    for number in ("5,432", "21", "0.05", "0.0023 to 0.0061", "0.77", "41,200", "400–412"):
        assert number in text, number
    assert "seen at eps = .1" in text


def test_steps_say_who_proved_them(html: str, text_of: Callable[[str], str]) -> None:
    text = text_of(article(html, "ES-1"))
    assert "By machine: symbolic.family.es-1" in text
    assert "Not by machine: a cited theorem" in text


def test_a_refutation_is_shown_verbatim_and_escaped(html: str) -> None:
    part = article(html, "SP-8")
    assert "<pre>size(S=1, eps=&lt;b&gt;2&lt;/b&gt;)\n# 3 &lt; 4</pre>" in part
    assert part.index("<pre>") < part.index("<details>")


def test_every_text_is_escaped(summary: Json) -> None:
    claim = summary["claims"][1]
    for field in ("name", "statement", "plain", "source"):
        claim[field] += " <img>"
    claim["evidence"][0]["says"] = claim["evidence"][0]["found"] = "<img> & $"
    page = PAGE.prepare(summary).html
    assert "&lt;img&gt;" in page and "<img>" not in page


def test_the_page_fetches_nothing(html: str) -> None:
    body = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", html)
    assert "http" not in body and "<script" not in body and "<link" not in body
    assert "url(" not in body and "@import" not in body
    targets = set(re.findall(r'\bid="([^"]+)"', html))
    for link in re.findall(r'href="([^"]+)"', html):
        assert link == "index.html" or (link[0] == "#" and link[1:] in targets), link


def test_the_page_is_structured(html: str) -> None:
    assert html.count("<h1") == html.count("<main") == 1
    assert html.count("<table") == html.count("<caption") > 5
    identifiers = re.findall(r'\bid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))


def test_the_same_summary_gives_the_same_bytes(summary: Json, tmp_path: Path) -> None:
    first, second = (write_claims(copy.deepcopy(summary), tmp_path / n).parent for n in "ab")
    names = sorted(path.name for path in first.iterdir())
    pictures = [f"{name}.{kind}" for name in figures.FIGURES for kind in ("png", "svg")]
    assert names == sorted([*pictures, "claims.html", "claims.json"])
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert json.loads((first / "claims.json").read_text("utf-8")) == plain.plain(summary)


def test_the_graph_draws_every_node_and_the_legend_every_status(summary: Json) -> None:
    for narrow in (False, True):
        figure = dependencies(summary, narrow)
        axes = figure.axes[0]
        drawn = {text.get_text() for text in axes.texts}
        assert {claim["id"] for claim in summary["claims"]} <= drawn
        legend = {text.get_text() for text in figure.legends[0].get_texts()}
        assert {claim["status"] for claim in summary["claims"]} <= legend


def test_alternative_texts_say_what_is_seen(prepared: Prepared) -> None:
    result = {figure.name: figure.alt for figure in prepared.drawn}
    assert "8 entries with 5 arrows" in result["claims-graph"]
    assert "Tightest: SP-5x (1.04)" in result["claims-tightness"]
    assert "t = 100 the share is 0.010" in result["claims-tails"]


def test_only_the_tails_of_assumptions_are_drawn(
    make_run: Callable[..., Json], make_entry: Callable[..., Json],
    make_evidence: Callable[..., Json],
) -> None:  # fmt: skip
    def one(name: str, **series: list[float]) -> Json:
        return make_entry(name, "checked", make_evidence(name, "laws", "passed", series=series))

    tail = {"t": [1.0, 2.0], "share_above_t": [0.5, 0.0]}
    summary = make_run(one("A2", **tail), one("NW-6", **tail), one("A1", other=[1.0]))
    assert [title for title, _ in tails_of(summary)] == ["A2, a2"]
    assert (
        draw(figures.FIGURES, make_run(one("A2", t=[1.0], tail=[0.0])))[-1].name == "claims-graph"
    )


def test_infinite_tightness_stands_at_the_edge(
    make_run: Callable[..., Json], make_entry: Callable[..., Json],
    make_counted: Callable[..., Json],
) -> None:  # fmt: skip
    claim = make_entry("SP-2", "checked", make_counted("SP-2", 200.0))
    claim["evidence"][0]["tightness"] = claim["tightness"]["largest"] = float("inf")
    assert "2.00–∞" in PAGE.prepare(make_run(claim)).html


def test_an_empty_run_makes_a_page(make_run: Callable[..., Json]) -> None:
    page = PAGE.prepare(make_run())
    assert page.drawn == () and "holds no claim" in page.briefing["headline"]
    assert "no bound was held against" in page.html


def test_nodes_stand_below_what_they_use() -> None:
    parents = {"c": ["a", "b"], "a": [], "b": ["a"], "d": [], "u": ["d", "c"], "n": []}
    families = {"c": "X", "a": "", "b": "X", "d": "X", "u": "Y", "n": "X"}
    nodes, bands = place(parents, families, {"X": 2, "Y": 1, "": 1})
    assert order(parents) == ["a", "b", "c", "d", "u", "n"]
    for name, used in parents.items():
        assert all(nodes[parent].layer < nodes[name].layer for parent in used)
    assert len({(node.x, node.layer) for node in nodes.values()}) == len(nodes)
    for band in bands:
        mine = [node for node in nodes.values() if node.family == band.family]
        assert all(band.left < node.x < band.right for node in mine)


def test_a_circle_is_refused(
    make_run: Callable[..., Json], make_entry: Callable[..., Json]
) -> None:
    claims = [make_entry("SP-1", "checked", depends=["SP-2"]),
              make_entry("SP-2", "checked", depends=["SP-1"])]  # fmt: skip
    with pytest.raises(ValueError, match="circle: SP-1 -> SP-2 -> SP-1"):
        PAGE.prepare(make_run(*claims))


@pytest.mark.parametrize(
    "latex",
    [r"\frac{1}", r"\foo", "x}", "x_{", r"\left( x", "", "a & b", r"\begin{aligned} x"],
)
def test_a_formula_that_cannot_be_read_is_refused(latex: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        formula(latex)


def test_dollars_come_in_pairs() -> None:
    with pytest.raises(ValueError, match=r"in pairs; found 1 in 'a \$ b'"):
        prose("a $ b")


def test_formulas_are_made_of_their_parts() -> None:
    assert formula(r"\mathrm{nnz}").count("nnz") == 1
    assert "<mi>Pr</mi>" in formula(r"\Pr(x)") and "<mo>±</mo>" in formula(r"1 \pm \epsilon")
    long = formula(r"m = \frac{8 S K \ln(8 \eta/\delta)}{\epsilon^2} \leq 3, \quad n = 2 m")
    assert long.count("<math>") == long.count("<wbr>") + 1 > 2
    assert str(prose("a < $b < c$")).startswith("a &lt; <math>")


def test_ids_become_links_only_where_there_is_an_entry() -> None:
    assert str(refer("SP-5x, SP-5 & SP-55.", {"SP-5", "SP-5x"})) == (
        '<a href="#SP-5x">SP-5x</a>, <a href="#SP-5">SP-5</a> &amp; SP-55.'
    )


@pytest.mark.parametrize("name", sorted(LEDGER))
def test_every_formula_of_the_ledger_can_be_read(name: str) -> None:
    claim = LEDGER[name]
    for text in (claim.statement, claim.plain, claim.source):
        assert prose(text)
    for step in claim.steps:
        assert prose(step.says) and prose(step.why_not) is not None


def test_every_status_is_explained() -> None:
    assert set(STATUSES) == set(page.style.STATUS)


def test_a_ledger_that_cannot_be_shown_is_refused_before_any_work(
    summary: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import reports

    monkeypatch.setattr(experiment, "run", lambda *_, **__: pytest.fail("work was done"))
    summary["claims"][0]["statement"] = r"$\foo$"
    with pytest.raises(ValueError, match="cannot be read"):
        reports.build("digits", tmp_path / "out", quick=True, ledger=summary)
    assert not (tmp_path / "out").exists()
