"""Prose with LaTeX between dollars, as HTML with inline MathML: readable with no network at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from xml.etree import ElementTree as Xml

from latex2mathml.converter import convert
from markupsafe import Markup, escape

_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
# How many parts each element has; the converter lets a part be missing.
_PARTS = {
    "mfrac": 2, "msub": 2, "msup": 2, "mover": 2, "munder": 2, "mroot": 2, "msubsup": 3,
    "munderover": 3,
}  # fmt: skip
_RELATIONS = frozenset("=≤≥<>≈∈→⇒≪≫∼")
_OPEN, _CLOSE = frozenset("([{⌈⌊"), frozenset(")]}⌉⌋")
_ACCENTS = {"^": "ˆ", "~": "˜"}
_SIGNS = frozenset("±∓·∣∥′")
_FUNCTIONS = frozenset({"ln", "log", "exp", "Pr", "Var", "kl"})
# A browser breaks no line inside a formula, and a phone shows some forty characters.
_LONG = 16


def prose(text: str) -> Markup:
    """Escape the words and make MathML of each formula."""
    pieces = text.split("$")
    if len(pieces) % 2 == 0:
        raise ValueError(f"dollars come in pairs; found {len(pieces) - 1} in {text!r}")
    return Markup("").join(
        Markup(formula(piece)) if index % 2 else escape(piece) for index, piece in enumerate(pieces)
    )


@cache
def formula(latex: str) -> str:
    """MathML of one formula: several `math` elements where a long one may be broken."""
    try:
        root = Xml.fromstring(convert(latex).replace(_NAMESPACE, ""))
    # The converter has a dozen exceptions of its own, which share no base.
    except Exception as error:
        why = str(error) or type(error).__name__
        raise ValueError(f"the formula {latex!r} cannot be read: {why}") from error
    _refuse_leftovers(root, latex)
    row = _row(root)
    for element in list(root.iter()):
        _tidy(element)
    pieces = list(_pieces(list(row))) if _length(row) > _LONG else [list(row)]
    return "<wbr>".join(_math(piece) for piece in pieces)


def _refuse_leftovers(root: Xml.Element, latex: str) -> None:
    """The converter shows what it does not know as it stands; a reader should not see that."""
    if not _length(root):
        raise ValueError(f"the formula {latex!r} cannot be read: it is empty")
    for element in root.iter():
        text = element.text or ""
        if "\\" in text or (element.tag == "mi" and text in ("{", "}", "_", "^")):
            raise ValueError(f"the formula {latex!r} cannot be read: {text!r} is not known")
        parts = _PARTS.get(element.tag)
        if parts is not None and len(element) != parts:
            raise ValueError(
                f"the formula {latex!r} cannot be read: {element.tag} has {len(element)} parts, "
                f"not {parts}"
            )


def _row(root: Xml.Element) -> Xml.Element:
    return root[0] if len(root) == 1 and root[0].tag == "mrow" else root


def _length(element: Xml.Element) -> int:
    """Characters that are shown."""
    return sum(len(part.text or "") for part in element.iter())


def _tidy(row: Xml.Element) -> None:
    """Mend what the converter does not do: upright words, function names, accents, signs."""
    merged: list[Xml.Element] = []
    for child in row:
        before = merged[-1] if merged else None
        if _upright(child) and before is not None and _upright(before):
            before.text = (before.text or "") + (child.text or "")
            continue
        merged.append(child)
    row[:] = merged
    for child in list(row):
        if _upright(child) and len(child.text or "") > 1:
            del child.attrib["mathvariant"]
        if child.text in _SIGNS:
            child.tag = "mo"
        elif child.text == "∞":
            child.tag = "mi"
        elif child.tag == "mo" and child.text == "Pr":
            child.tag, child.attrib = "mi", {}
        elif child.text in ("|", "‖"):
            child.attrib |= {"lspace": "0", "rspace": "0"}
    if row.tag == "mover" and (row[1].text or "") in _ACCENTS:
        row[1].text = _ACCENTS[row[1].text or ""]
    _space_functions(row)


def _upright(element: Xml.Element) -> bool:
    return element.tag == "mi" and element.get("mathvariant") == "normal"


def _space_functions(row: Xml.Element) -> None:
    """Thin spaces in "2 ln n"; "ln(n)" does without the second."""
    if row.tag not in ("mrow", "math"):
        return
    spaced: list[Xml.Element] = []
    before = after = False
    for child in row:
        function = _word(child) in _FUNCTIONS
        if (function and before) or (after and not _opens(child)):
            spaced.append(Xml.Element("mspace", {"width": "0.17em"}))
        spaced.append(child)
        before, after = child.tag not in ("mo", "mspace"), function
    row[:] = spaced


def _word(element: Xml.Element) -> str:
    """The word of a function, whether it has an index or not."""
    while len(element) and element.tag in ("msub", "msup", "mrow"):
        element = element[0]
    return element.text or ""


def _opens(element: Xml.Element) -> bool:
    """Whether it is a sign, or a pair of brackets with what is between."""
    return element.tag in ("mo", "mspace") or (len(element) > 0 and element[0].tag == "mo")


def _pieces(children: list[Xml.Element]) -> Iterator[list[Xml.Element]]:
    """Cut before each relation, and after each comma, that stands in no bracket."""
    piece: list[Xml.Element] = []
    depth = 0
    for child in children:
        text = child.text or ""
        if not depth and piece and child.tag == "mo" and text in _RELATIONS:
            yield piece
            # A sign at the start would else be taken for one that precedes a single number.
            child.set("form", "infix")
            piece = []
        piece.append(child)
        depth += (text in _OPEN) - (text in _CLOSE)
        if not depth and text == ",":
            yield piece
            piece = []
    if piece:
        yield piece


def _math(children: list[Xml.Element]) -> str:
    root = Xml.Element("math")
    row = Xml.SubElement(root, "mrow")
    row[:] = children
    return Xml.tostring(root, encoding="unicode", short_empty_elements=False)
