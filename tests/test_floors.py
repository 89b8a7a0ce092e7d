"""The floors of the house: who may import whom, found by reading the source, not by running it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

BELOW = {
    "sipp_theory": set(),
    "sipp_core": {"sipp_theory"},
    "proofs_check": {"sipp_theory", "sipp_core"},
    "reports": {"sipp_theory", "sipp_core", "proofs_check"},
    "sipp_cli": {"sipp_theory", "sipp_core", "proofs_check", "reports"},
}
TORCH_FREE = {"sipp_theory"}


def imported(source: str, package: str) -> set[str]:
    """Top-level names that a module imports, at the top or anywhere inside it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module if node.level == 0 else package
            names.add((module or package).split(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            names.update(
                str(argument.value).split(".")[0]
                for argument in node.args
                if isinstance(argument, ast.Constant)
            )
    return names


def modules(repository: Path, package: str) -> list[Path]:
    return sorted((repository / package).rglob("*.py"))


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_only_from_the_floors_below(repository: Path, package: str) -> None:
    files = modules(repository, package)
    assert files, f"{package} has no modules"
    above = set(BELOW) - BELOW[package] - {package}
    for path in files:
        wrong = imported(path.read_text("utf-8"), package) & above
        assert not wrong, f"{path.relative_to(repository)} imports {sorted(wrong)}"


@pytest.mark.parametrize("package", sorted(TORCH_FREE))
def test_a_package_of_numbers_does_without_torch(repository: Path, package: str) -> None:
    for path in modules(repository, package):
        assert "torch" not in imported(path.read_text("utf-8"), package), path


def test_the_check_itself_sees_every_way_of_importing() -> None:
    source = """
import reports.build as b
def f():
    from sipp_cli import main
    from . import sibling
    importlib.import_module("torch.nn")
"""
    assert imported(source, "sipp_core") == {"reports", "sipp_cli", "sipp_core", "torch"}


@pytest.mark.parametrize("module", ["sipp_theory", "sipp_cli.main"])
def test_torch_stays_unloaded(repository: Path, module: str) -> None:
    code = f"import sys, {module}; print(sorted(m for m in sys.modules if m == 'torch'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", BELOW)
def test_every_package_lists_its_public_names_and_is_typed(repository: Path, package: str) -> None:
    folder = repository / package
    tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    assert any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets), "no __all__"
    assert (folder / "py.typed").is_file(), "no py.typed"
