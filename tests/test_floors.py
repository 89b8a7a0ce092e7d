"""The floors of the house: who may import whom, found by reading the source, not by running it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BELOW = {
    "sipp_theory": set(),
    "sipp_core": {"sipp_theory"},
    "proofs_check": {"sipp_theory", "sipp_core"},
    "reports": {"sipp_theory", "sipp_core", "proofs_check"},
    "sipp_cli": {"sipp_theory", "sipp_core", "proofs_check", "reports"},
}
# Folders of sipp_core: a folder imports only from lower floors, two of one floor not each other.
FLOORS = {
    "runtime": 1,
    "network": 2,
    "svm": 2,
    "sensitivity": 3,
    "nettrim": 4,
    "filters": 4,
    "neurons": 5,
    "pruning": 5,
    "methods": 6,
    "sharded": 6,
    "zoo": 6,
    "certificates": 7,
    "compression": 8,
}
TORCH_FREE = {"sipp_theory", "sipp_core/svm"}


def imports(source: str, package: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, names) of every import, at the top or anywhere inside; no names for a plain one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module if node.level == 0 else package
            yield module or package, tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            for argument in node.args:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value), ()


def imported(source: str, package: str) -> set[str]:
    """Top-level names that a module imports."""
    return {module.split(".")[0] for module, _ in imports(source, package)}


def modules(repository: Path, package: str) -> list[Path]:
    return sorted((repository / package).rglob("*.py"))


def sources(repository: Path, package: str) -> Iterator[tuple[str, str]]:
    """(dotted name, source) of every module of a package."""
    for path in modules(repository, package):
        parts = path.relative_to(repository).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, path.read_text("utf-8")


def public_names(repository: Path, package: str) -> set[str]:
    """Names in the __all__ of a package or sub-package."""
    tree = ast.parse(Path(repository, *package.split("."), "__init__.py").read_text("utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            value = getattr(node, "value", None)
            return set(ast.literal_eval(value)) if value is not None else set()
    raise AssertionError(f"{package} has no __all__")


def sub_packages(repository: Path, package: str) -> list[str]:
    folders = (path.parent for path in (repository / package).rglob("__init__.py"))
    return sorted(".".join(folder.relative_to(repository).parts) for folder in folders)


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_only_from_the_floors_below(repository: Path, package: str) -> None:
    files = modules(repository, package)
    assert files, f"{package} has no modules"
    above = set(BELOW) - BELOW[package] - {package}
    for path in files:
        wrong = imported(path.read_text("utf-8"), package) & above
        assert not wrong, f"{path.relative_to(repository)} imports {sorted(wrong)}"


def test_a_folder_of_the_core_imports_only_from_the_floors_below(repository: Path) -> None:
    folders = {p.name for p in (repository / "sipp_core").iterdir() if (p / "__init__.py").exists()}
    assert folders == set(FLOORS)
    wrong = []
    for name, source in sources(repository, "sipp_core"):
        home = name.split(".")[1] if "." in name else None
        if home is None:
            continue
        for module, names in imports(source, name):
            parts = module.split(".")
            if parts[0] != "sipp_core":
                continue
            used = parts[1:2] or list(names)
            wrong += [
                f"{name} imports {folder}"
                for folder in used
                if folder != home and FLOORS.get(folder, 99) >= FLOORS[home]
            ]
    assert wrong == []


@pytest.mark.parametrize("package", ["proofs_check", "reports", "sipp_cli"])
def test_packages_above_import_public_names_only(repository: Path, package: str) -> None:
    wrong = []
    public: dict[str, set[str]] = {}
    for name, source in sources(repository, package):
        for module, names in imports(source, package):
            top = module.split(".")[0]
            if top not in BELOW or top == package:
                continue
            if not Path(repository, *module.split("."), "__init__.py").is_file():
                wrong.append(f"{name} imports the module {module}")
                continue
            public.setdefault(module, public_names(repository, module))
            wrong += [f"{name} imports {module}.{n}" for n in names if n not in public[module]]
    assert wrong == []


def test_no_import_goes_in_a_circle(repository: Path) -> None:
    """Imports under TYPE_CHECKING and inside functions count; `__init__` files only re-export."""
    graph: dict[str, set[str]] = {}
    for package in BELOW:
        for name, source in sources(repository, package):
            graph[name] = set()
            for module, names in imports(source, name):
                for target in (*(f"{module}.{n}" for n in names), module):
                    if Path(repository, *target.split(".")).with_suffix(".py").is_file():
                        graph[name].add(target)
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for target in sorted(graph.get(name, ())):
            walk(target, (*path, name))
        done.add(name)

    for name in sorted(graph):
        walk(name, ())


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


@pytest.mark.parametrize(
    "module", ["sipp_theory", "sipp_core", "sipp_core.runtime", "sipp_core.svm", "sipp_cli.main"]
)
def test_torch_stays_unloaded(repository: Path, module: str) -> None:
    code = f"import sys, {module}; print(sorted(m for m in sys.modules if m == 'torch'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", BELOW)
def test_every_package_lists_its_public_names_and_is_typed(repository: Path, package: str) -> None:
    for folder in sub_packages(repository, package):
        public_names(repository, folder)
    assert (repository / package / "py.typed").is_file(), "no py.typed"
