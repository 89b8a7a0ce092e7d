"""Pages of the documentation that are made, not written: the claims, the API, the notebooks.

mkdocs calls the functions named `on_...`. `make docs` runs the ledger first and names its summary
in SIPP_LEDGER; without it the claims stand with their proofs and no verdict.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from proofs_check import LEDGER
from proofs_check.ledger.claim import Claim, Step, public_name
from reports.claims.terms import FAMILIES
from reports.site.mathml import prose

Json = dict[str, Any]
RUN = ("tutorials/", "howto/")
MADE = {"Claims": "claims/", "API": "api/"}
CLAIM = re.compile(r"\b[A-Z]{2}-\d+[a-z]?\b")
APART = re.compile(r"(```.*?```|`[^`\n]*`|\[[^\]]*\]\([^)]*\)|^#[^\n]*$)", re.DOTALL | re.MULTILINE)
PACKAGES = ("sipp_theory", "sipp_core", "proofs_check", "reports")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made from the ledger, from the packages and from pages whose code runs."""
    result = dict([*pages_of_claims(), *pages_of_packages()])
    for file in [file for file in files if file.src_uri.startswith(RUN)]:
        notebook = jupytext.reads(file.content_string, fmt="md")
        for cell in notebook.cells:  # a block with a title is a file
            if title := cell.metadata.pop("title", None):
                cell.source = f"%%writefile {title}\n{cell.source}"
        name = str(Path(file.src_uri).with_suffix(".ipynb"))
        files.append(File.generated(config, name, content=jupytext.writes(notebook, fmt="ipynb")))
    for name, content in result.items():
        files.append(File.generated(config, name, content=content))
    for section in (part for part in config.nav or [] if isinstance(part, dict)):
        for title, pages in section.items():
            if isinstance(pages, list) and (folder := MADE.get(title)):
                pages += [name for name in result if name.startswith(folder) and name not in pages]
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """A page whose code runs ends with its own notebook; other pages link claims to theirs."""
    if not page.file.src_uri.startswith(RUN):
        result = page.file.src_uri.startswith(tuple(MADE.values()))
        return markdown if result else with_links(markdown)
    name = Path(page.file.src_uri).with_suffix(".ipynb").name
    return f"{markdown}\n\n[This page as a notebook]({name})\n"


def with_links(markdown: str) -> str:
    """Link every id of a claim, outside code, links and headings, to its place in the ledger.

    >>> with_links("By SP-3, not `SP-3`.")
    'By [SP-3](claims/SP.md#sp-3), not `SP-3`.'
    """

    def linked(match: re.Match[str]) -> str:
        link = _linked(match[0])
        return link.replace("](", "](claims/")

    parts = APART.split(markdown)
    parts[::2] = [CLAIM.sub(linked, part) for part in parts[::2]]
    return "".join(parts)


def pages_of_claims() -> Iterator[tuple[str, str]]:
    """A page for each family of claims, and a table of all."""
    path = os.environ.get("SIPP_LEDGER")
    summary = json.loads(Path(path).read_text("utf-8")) if path else {"claims": []}
    verdicts = {claim["id"]: claim for claim in summary["claims"]}
    families: dict[str, list[Claim]] = {}
    for claim in LEDGER.values():
        families.setdefault(claim.family, []).append(claim)
    rows: list[str] = []
    for family, claims in families.items():
        parts = [_page_part(claim, verdicts.get(claim.id)) for claim in claims]
        yield f"claims/{family}.md", "\n".join([f"# {FAMILIES.get(family, family)}\n", *parts])
        rows += [
            f"| {_linked(claim.id)} | {claim.name} | "
            f"{verdicts[claim.id]['status'] if claim.id in verdicts else ''} | "
            f"{claim.source.replace('|', '&#124;')} |"
            for claim in claims
        ]
    how = "`make docs` runs `sipp check` and adds status and tightness."
    if path:
        how = f"As `sipp check` judged them, profile {summary['profile']}, seed {summary['seed']}."
    head = ["| claim | name | status | source |", "|---|---|---|---|"]
    yield "claims/index.md", "\n".join(["# Claims\n", how + "\n", *head, *rows, ""])


def _linked(claim: str) -> str:
    """A link to a claim from another page of claims; plain where the ledger has none."""
    entry = LEDGER.get(claim)
    return f"[{claim}]({entry.family}.md#{claim.lower()})" if entry else claim


def _page_part(claim: Claim, verdict: Json | None) -> str:
    """One claim: statement, source, verdict, what it rests on, code, proof and evidence."""
    lines = [f"## {claim.id}: {claim.name} {{ #{claim.id.lower()} }}", claim.plain]
    lines += [f"<p>{prose(claim.statement)}</p>", f"Source: {claim.source}."]
    if verdict:
        tight = verdict["tightness"]
        slack = (
            f", {tight['least']:.3g} to {tight['largest']:.3g} times what is needed"
            if tight
            else ""
        )
        lines.append(f"**{verdict['status'].capitalize()}**{slack}.")
    if rests := [*claim.assumptions, *claim.depends]:
        lines.append(f"Rests on {', '.join(map(_linked, rests))}.")
    if claim.use_instead:
        lines.append(f"Sharper for the same question: {_linked(claim.use_instead)}.")
    if claim.computes:
        names = ", ".join(f"`{public_name(function)}`" for function in claim.computes)
        lines.append(f"Computed by {names}.")
    if claim.steps:
        steps = (f"<li>{prose(step.says)} <em>{_means(step)}</em></li>" for step in claim.steps)
        lines += [f"<ol>{''.join(steps)}</ol>"]
    if verdict:
        rows = [f"| {one['kind']} | {one['says'].replace('|', '&#124;')} | {one['outcome']} |"
                for one in verdict["evidence"]]  # fmt: skip
        lines.append("\n".join(["| evidence | what it says | outcome |", "|---|---|---|", *rows]))
    return "\n\n".join(lines) + "\n"


def _means(step: Step) -> str:
    """How a step of a proof is known."""
    return "By machine." if step.proved_by else step.why_not


def pages_of_packages() -> Iterator[tuple[str, str]]:
    """A page a package with the public names that no earlier page has."""
    shown: set[int] = set()
    rows: list[str] = []
    for package in _packages():
        own: list[str] = []
        for name in package.__all__:
            value = getattr(package, name)
            if (inspect.isclass(value) or inspect.isroutine(value)) and id(value) not in shown:
                own.append(f"::: {value.__module__}.{value.__qualname__}")
                shown.add(id(value))
        if own:
            what = (package.__doc__ or "").splitlines()[0]
            yield (
                f"api/{package.__name__}.md",
                "\n\n".join([f"# {package.__name__}", what, *own, ""]),
            )
            rows.append(f"| [{package.__name__}]({package.__name__}.md) | {what} |")
    head = ["# API", "", "| package | what |", "|---|---|"]
    yield "api/index.md", "\n".join([*head, *rows, ""])


def _packages() -> Iterator[ModuleType]:
    """Packages with public names, the inner ones before those that re-export them."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        inner = pkgutil.walk_packages(package.__path__, f"{name}.")
        modules = [importlib.import_module(one.name) for one in inner if one.ispkg]
        yield from (one for one in [*modules, package] if getattr(one, "__all__", ()))
