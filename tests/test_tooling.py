"""What is installed, what is pinned and what the hooks run are the same versions."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(repository: Path) -> dict[str, Version]:
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    result: dict[str, Version] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        name, separator, version = line.partition("==")
        assert separator, f"constraints.txt: {line!r} is not an exact version"
        result[canonicalize_name(name)] = Version(version)
    return result


def test_no_pin_asks_for_a_build_of_one_kind_of_machine(pins: dict[str, Version]) -> None:
    assert [f"{name}=={pin}" for name, pin in pins.items() if pin.local] == []


def test_every_direct_dependency_is_pinned(
    project: dict[str, Any], pins: dict[str, Version]
) -> None:
    listed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for requirement in map(Requirement, listed):
        if requirement.name == project["name"]:
            continue
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in constraints.txt"
        assert pins[name] in requirement.specifier, f"{requirement} excludes {pins[name]}"


def test_what_runs_is_what_is_pinned(pins: dict[str, Version]) -> None:
    different: list[str] = []
    for name, pin in pins.items():
        try:
            installed = Version(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed.public != pin.public:
            different.append(f"{name} {installed}, pinned {pin}")
    assert different == []


def test_the_hooks_run_the_pinned_tools(repository: Path, pins: dict[str, Version]) -> None:
    text = (repository / ".pre-commit-config.yaml").read_text("utf-8")
    # Local hooks from the virtual environment have no version of their own that could drift.
    assert set(re.findall(r"repo: *(\S+)", text)) == {"local"}
    entries = re.findall(r"entry: *(.+)", text)
    assert entries and all(entry.startswith(".venv/bin/python -m ") for entry in entries)
    for tool in ("ruff", "pyright"):
        assert any(f" -m {tool}" in entry for entry in entries)
        assert Version(importlib.metadata.version(tool)) == pins[tool]


def test_ci_is_make_test(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").splitlines()[-1] == "exec make test"


def test_the_version_is_in_the_changelog(repository: Path, project: dict[str, Any]) -> None:
    changes = (repository / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{project['version']}]" in changes


def test_the_diagram_is_the_one_that_make_docs_draws(repository: Path) -> None:
    drawing = [sys.executable, str(repository / "docs" / "diagram.py"), "--check"]
    assert subprocess.run(drawing, check=False).returncode == 0, "out of date: run make docs"
    # docs is a folder too, and make would do nothing if that counted as made.
    plan = subprocess.run(
        ["make", "-n", "docs"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"^\S+python docs/diagram\.py$", plan, re.MULTILINE), plan
