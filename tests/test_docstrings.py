"""Every public name says what it claims, where that is from, and what goes in and comes out."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

PACKAGES = ("sipp_theory", "sipp_core", "proofs_check", "reports", "sipp_cli")
# Names of sipp_theory that claim nothing.
PLUMBING = {"Neuron", "keep_most_sensitive", "register_bound"}
CLAIM = re.compile(r"^Claim: (?P<what>none \(plumbing.*\)|[A-Z]{2}-\d+[gxr]?\b.*)", re.MULTILINE)


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions and classes listed in __all__, those of listed modules of ours included."""
    # A package without the list is for test_floors to report.
    for name in getattr(module, "__all__", ()):
        result = getattr(module, name)
        if isinstance(result, ModuleType):
            assert result.__name__.startswith(PACKAGES), (
                f"{module.__name__} lists {result.__name__}"
            )
            yield from public(result)
        elif inspect.isroutine(result) or inspect.isclass(result):
            yield f"{module.__name__}.{name}", result


def packages() -> Iterator[str]:
    """The packages and their sub-packages."""
    for package in PACKAGES:
        yield package
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        ):
            if module.ispkg:
                yield module.name


def everything() -> list[Any]:
    """One case per object: a name that two packages list is still one docstring."""
    seen: dict[int, Any] = {}
    for package in packages():
        for name, result in public(importlib.import_module(package)):
            seen.setdefault(id(result), pytest.param(result, id=name))
    return list(seen.values())


def section(doc: str, heading: str) -> str | None:
    """Indented text under 'Heading:', or None where there is no such heading."""
    match = re.search(rf"^{heading}:[ ]*\n((?:[ ]+.*\n?|[ ]*\n)+)", doc + "\n", re.MULTILINE)
    return match.group(1) if match else None


def documented(text: str) -> list[str]:
    """Names that the entries of an Args or Attributes section explain, in order."""
    names: list[str] = []
    indent = re.match(r"[ ]*", text)
    margin = len(indent.group()) if indent else 0
    for line in text.splitlines():
        entry = re.match(rf"[ ]{{{margin}}}([*\w]+(?:, [*\w]+)*)(?: \([^)]*\))?:", line)
        if entry:
            names += [name.lstrip("*") for name in entry.group(1).split(", ")]
    return names


def complaints(thing: Callable[..., object] | type) -> list[str]:
    """What the docstring of one public object lacks; empty if nothing."""
    doc = inspect.getdoc(thing) if not inspect.isclass(thing) else thing.__doc__
    doc = inspect.cleandoc(doc or "")
    if not doc:
        return ["no docstring"]
    wrong: list[str] = []
    claim = CLAIM.search(doc)
    theorem = thing.__module__.startswith("sipp_theory.") and thing.__name__ not in PLUMBING
    if claim is None and theorem:
        wrong.append("no line 'Claim: XX-1. Source: ...'")
    if claim is not None and not claim["what"].startswith("none") and "Source: " not in doc:
        wrong.append("a claim without its source")
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing):
            fields = [
                f.name for f in dataclasses.fields(thing) if f.init and not f.name.startswith("_")
            ]
            output = documented(section(doc, "Attributes") or "")
            wrong += [
                f"field {name} is not under Attributes" for name in fields if name not in output
            ]
        # A record of results is shown at work by the function that returns it.
        return wrong
    shown = not thing.__module__.startswith(("proofs_check.", "reports.", "sipp_cli."))
    if shown and ">>> " not in (section(doc, "Example") or section(doc, "Examples") or ""):
        wrong.append("no Example with >>>")
    signature = inspect.signature(thing)
    output = documented(section(doc, "Args") or "")
    wrong += [f"Args lacks {name}" for name in signature.parameters if name not in output]
    wrong += [
        f"Args names {name}, not a parameter" for name in output if name not in signature.parameters
    ]
    if signature.return_annotation not in (None, "None") and section(doc, "Returns") is None:
        wrong.append("no Returns")
    raises = re.search(r"^ +raise\b", inspect.getsource(thing), re.MULTILINE)
    if raises and section(doc, "Raises") is None:
        wrong.append("no Raises")
    return wrong


@pytest.mark.parametrize("thing", everything())
def test_a_public_name_is_documented(thing: Callable[..., object] | type) -> None:
    assert complaints(thing) == []


def test_the_check_itself_finds_what_is_missing() -> None:
    def poor(weight: float, eps: float) -> float:
        """Do something.

        Args:
            weight: a number.
            delta: no parameter.

        Claim: SP-3.
        """
        if eps < 0:
            raise ValueError(eps)
        return weight + eps

    assert complaints(poor) == [
        "a claim without its source",
        "no Example with >>>",
        "Args lacks eps",
        "Args names delta, not a parameter",
        "no Returns",
        "no Raises",
    ]
    assert complaints(lambda: None) == ["no docstring"]
