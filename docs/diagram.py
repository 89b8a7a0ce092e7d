"""Draw the packages and folders from their imports; `make docs` runs it.

Writes what stands between the two marks of docs/architecture.md, a Mermaid graph and a table; with
--check it writes nothing and fails where they are out of date.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- begin: made by `make docs` -->", "<!-- end: made by `make docs` -->"
PACKAGES = ("sipp_theory", "sipp_core", "proofs_check", "reports", "sipp_cli")


def folder_of(module: str) -> str:
    """Node of the graph: a folder of sipp_core, or a whole package."""
    parts = module.split(".")
    folder = ROOT.joinpath(*parts[:2])
    inside = parts[0] == "sipp_core" and len(parts) > 1 and folder.is_dir()
    return ".".join(parts[:2]) if inside else parts[0]


def edges() -> dict[str, set[str]]:
    """For each node the nodes that its files import from."""
    graph: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            here = folder_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
            if path == ROOT / "sipp_core" / "__init__.py":
                continue  # it only re-exports
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    names = [f"{node.module}.{a.name}" for a in node.names]
                for name in names:
                    if name.split(".")[0] in PACKAGES:
                        graph[here].add(folder_of(name))
            graph[here].discard(here)
    return graph


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The edges that no longer path implies."""

    def reach(node: str) -> set[str]:
        return set().union(*({n} | reach(n) for n in graph.get(node, ())))

    return {
        node: {n for n in near if not any(n in reach(other) for other in near - {n})}
        for node, near in graph.items()
    }


def first_sentence(node: str) -> str:
    """First sentence of a package's docstring."""
    source = (ROOT / node.replace(".", "/") / "__init__.py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def height(node: str, graph: dict[str, set[str]]) -> int:
    """Longest way down."""
    return 1 + max((height(n, graph) for n in graph.get(node, ())), default=0)


def drawn() -> str:
    """The part of the page that is generated."""
    graph = edges()
    nodes = sorted(set(graph) | set().union(*graph.values()), key=lambda n: (height(n, graph), n))
    nodes = [node for node in nodes if node != "sipp_core"]
    lines = ["```mermaid", "graph BT"]
    lines += [f'  {node.replace(".", "_")}["{node}"]' for node in nodes]
    for node in nodes:
        below = sorted(reduced(graph).get(node, set()) - {"sipp_core"}, key=nodes.index)
        lines += [f"  {node.replace('.', '_')} --> {n.replace('.', '_')}" for n in below]
    lines += ["```", "", "| floor | folder | what it knows |", "|---|---|---|"]
    lines += [f"| {height(node, graph)} | `{node}` | {first_sentence(node)} |" for node in nodes]
    return "\n".join(lines)


def main() -> int:
    """Write the page, or check it."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    new = f"{before}{BEGIN}\n\n{drawn()}\n\n{END}{after}"
    if "--check" in sys.argv[1:]:
        return int(new != page)
    PAGE.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
