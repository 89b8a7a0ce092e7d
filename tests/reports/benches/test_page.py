"""The benchmarks page, made of a small hand-made run."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports import build, write_bench
from reports.benches import page as bench_page
from reports.benches import run
from reports.benches.findings import BenchRun, Check, Curve, Measured, Series, Skipped
from reports.benches.words import FAMILIES, amount, growth, headline, margin, power
from reports.site.page import Prepared

Json = dict[str, Any]


def made(**more: Any) -> Json:
    case = "LeNet-300-100, 256 <dense> inputs"
    ways = [
        Measured("kernel", case, "sipp's kernel", 0.004, 0.0039, 0.0043, "s", 2, 9, first=0.02),
        Measured("kernel", case, "torch in chunks", 0.064, 0.06, 0.07, "s", 2, 9, first=0.08),
        Measured("kernel", case, "times faster than torch in chunks", 16.0, 15.0, 17.5, "times", 2,
                 9, target=10.0),
        Measured("kernel", case, "sipp's kernel", 11e9, 10e9, 12e9, "pairs/s", 2, 9, target=15e9),
        Measured("allocation", "AL-1", "difference of the objectives", 0.0, 0.0, 0.0, "relative",
                 target=1e-6, sense="at most"),
    ]  # fmt: skip
    lines = (Series("dense", (4.0, 8.0), (1.0, 2.1), 1.07),)
    blank = BenchRun(
        "quick", 0, "2026-01-02T03:04:05+00:00", {"processor": "abacus", "cores": "2"},
        {"kernel": 1.5}, tuple(ways),
        (Curve("scaling", "time-kernel-out", "neurons (out)", "s", lines, "one thread"),
         Curve("scaling", "memory-out", "neurons (out)", "MiB",
               (Series("calibrate", (4.0, 8.0), (0.0, 2.0), None),), "")),
        (Check("kernel", "bits are equal", True, "every one"),),
        (Skipped("gpu", "the kernel on a GPU", "no CUDA device is at hand"),),
    ).summary()  # fmt: skip
    return blank | more


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return bench_page.PAGE.prepare(made())


def test_the_page_shows_every_number_with_machine_date_and_target(
    prepared: Prepared, text_of: Callable[[str], str]
) -> None:
    text = text_of(prepared.html)
    for words in (
        "abacus", "2026-01-02", "4.00 ms", "3.90 ms to 4.30 ms, 9 rounds", "16.0×",
        "11.0 billion pairs/s", "at least 15.0 billion pairs/s", "✗ missed", "at least 10.0×",
        "✓ met", "20.0 ms", "✓ holds", "bits are equal", "no CUDA device is at hand",
        "2 of 3 targets are met", "All 1 checks of correctness hold", "A quick run",
        "power 1.07", "256 <dense> inputs",
    ):  # fmt: skip
        assert words in text, words


def test_the_page_fetches_nothing_and_is_structured(prepared: Prepared) -> None:
    body = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", prepared.html)
    assert "http" not in body and "<script" not in body and "url(" not in body
    assert "<dense>" not in body
    targets = set(re.findall(r'\bid="([^"]+)"', body))
    for link in re.findall(r'href="([^"]+)"', body):
        assert link == "index.html" or (link[0] == "#" and link[1:] in targets), link
    assert body.count("<h1") == body.count("<main") == 1
    assert body.count("<table") == body.count("<caption")
    assert body.count("<img") == len(prepared.drawn) == 4


def test_figures_have_both_forms_and_say_what_they_show(prepared: Prepared) -> None:
    assert [f.name for f in prepared.drawn] == [
        "bench-targets", "bench-ways", "bench-time", "bench-memory",
    ]  # fmt: skip
    for figure in prepared.drawn:
        assert figure.svg != figure.narrow and figure.png[:4] == b"\x89PNG"
    assert "missed" in prepared.drawn[0].alt and "torch in chunks 64.0 ms" in prepared.drawn[1].alt


def test_a_run_of_nothing_has_a_page() -> None:
    nothing = made(measured=[], curves=[], checks=[], skipped=[])
    done = bench_page.PAGE.prepare(nothing)
    assert not done.drawn and "No figure of this run has a target" in done.html


def test_a_violated_check_is_said_first() -> None:
    broken = made(
        checks=[{"family": "kernel", "what": "bits", "holds": False, "found": "3 differ"}]
    )
    done = bench_page.PAGE.prepare(broken)
    assert done.briefing["violated"] and "✗ violated" in done.html
    assert headline(broken)[-1] == "Violated: bits: 3 differ."


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match="no output of `sipp bench --json`"):
        bench_page.PAGE.prepare({"measured": []})


def test_every_family_has_a_title() -> None:
    assert set(run.FAMILIES) - set(FAMILIES) == {"scaling"}  # told by its curves


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (12.0, "s", "12.0 s"), (0.25, "s", "250 ms"), (3e-5, "s", "30.0 µs"),
        (2.5e6, "pairs/s", "2.50 million pairs/s"), (3.0, "MiB", "3.00 MiB"),
        ("infinite", "s", "∞"), (1.2e-9, "relative", "1.2 × 10⁻⁹"), (None, "s", "unknown"),
    ],
)  # fmt: skip
def test_amounts(value: Any, unit: str, words: str) -> None:
    assert amount(value, unit) == words


def test_margins_point_to_the_better_side() -> None:
    fast, slow, _ = (one for one in made()["measured"] if one["target"])
    assert margin(fast) == (1.6, 1.5, 1.75) and margin(slow) == pytest.approx((11 / 15, 2 / 3, 0.8))
    lower = {"target": 2.0, "value": 1.0, "low": 0.5, "high": 4.0, "sense": "at most"}
    assert margin(lower) == (2.0, 0.5, 4.0)
    assert margin(lower | {"target": None}) is None


@pytest.mark.parametrize(
    ("exponent", "words"),
    [(-0.5, "falls"), (0.0, "hardly grows"), (0.5, "more slowly"), (1.0, "in proportion"),
     (2.0, "faster"), (None, "no growth")],
)  # fmt: skip
def test_growth_is_said_plainly(exponent: float | None, words: str) -> None:
    assert words in power(exponent, "batch")
    line = {"label": "dense", "exponent": exponent}
    assert words in growth({"unit": "s", "axis": "batch", "note": "", "series": [line]})


def test_the_files_and_the_links_of_a_report(tmp_path: Path) -> None:
    page = write_bench(made(), tmp_path)
    assert page.name == "bench.html"
    content = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert content["measured"][2]["value"] == 16.0
    assert {p.name for p in tmp_path.glob("*.svg")} == {
        "bench-targets.svg", "bench-ways.svg", "bench-time.svg", "bench-memory.svg",
    }  # fmt: skip


@pytest.mark.usefixtures("computed")
def test_a_report_with_benchmarks_links_to_their_page(tmp_path: Path) -> None:
    done = build("digits", tmp_path, quick=True, bench=made())
    html = done.index.read_text("utf-8")
    assert 'href="bench.html"' in html and "abacus" in html and (tmp_path / "bench.html").is_file()
    assert json.loads(done.results.read_text("utf-8"))["bench"]["violated"] is False


def test_benchmarks_that_are_none_leave_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form"):
        build("digits", tmp_path / "out", quick=True, bench={})
    assert not (tmp_path / "out").exists()


def test_the_documentation_names_every_family_and_every_field_of_the_json(
    repository: Path,
) -> None:
    content = (repository / "docs" / "benchmarks.md").read_text("utf-8")
    for family in run.FAMILIES:
        assert f"\n| {family} |" in content
    for kind in (BenchRun, Measured, Curve, Series, Check, Skipped):
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in content, (kind, field.name)
