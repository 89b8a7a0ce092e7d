"""The documentation builds without a warning, and what is made for it is there."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proofs_check import LEDGER


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, with a verdict on one claim; mkdocs.yml makes each warning an error."""
    folder = tmp_path_factory.mktemp("site")
    step = {"kind": "oracles", "says": "50 digits | agree", "outcome": "passed"}
    verdict = {
        "id": "SP-3", "status": "proved", "tightness": {"least": 1.5, "largest": 3.0},
        "evidence": [step],
    }  # fmt: skip
    summary = folder / "ledger.json"
    summary.write_text(json.dumps({"profile": "quick", "seed": 7, "claims": [verdict]}), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder / "out")],
        cwd=repository,
        env={**os.environ, "SIPP_LEDGER": str(summary), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def test_every_claim_has_its_place(site: Path) -> None:
    pages = {path.stem: path.read_text("utf-8") for path in (site / "claims").glob("*.html")}
    missing = [
        claim.id
        for claim in LEDGER.values()
        if f'id="{claim.id.lower()}"' not in pages[claim.family]
        or f'href="{claim.family}.html#{claim.id.lower()}"' not in pages["index"]
    ]
    assert missing == []


def test_a_verdict_of_the_ledger_is_shown(site: Path) -> None:
    page = html.unescape((site / "claims" / "SP.html").read_text("utf-8"))
    assert "1.5 to 3 times what is needed" in page
    assert "<td>50 digits | agree</td>" in page
    assert "seed 7" in (site / "claims" / "index.html").read_text("utf-8")


def test_a_public_function_is_documented_with_its_example(site: Path) -> None:
    page = (site / "api" / "sipp_core.pruning.html").read_text("utf-8")
    assert 'id="sipp_core.pruning.prune.prune"' in page
    # A block of code, not the quotation that Markdown makes of >>>.
    assert "<blockquote>" not in page and "gp" in page


def test_a_tutorial_is_a_notebook_too(site: Path) -> None:
    notebook = json.loads((site / "tutorials" / "prune.ipynb").read_text("utf-8"))
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert "code" in kinds and "markdown" in kinds
    page = json.loads((site / "howto" / "torchvision.ipynb").read_text("utf-8"))
    assert any("".join(cell["source"]).startswith("%%writefile nets.py") for cell in page["cells"])
    assert 'href="prune.ipynb"' in (site / "tutorials" / "prune.html").read_text("utf-8")


def test_a_claim_is_linked_where_it_is_named(site: Path) -> None:
    page = (site / "guarantees.html").read_text("utf-8")
    assert '<a href="claims/CT.html#ct-5">CT-5</a>' in page
    assert 'href="howto/torchvision.html"' in (site / "index.html").read_text("utf-8")
