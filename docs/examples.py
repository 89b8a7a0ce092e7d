"""Griffe reads the section "Examples:" as code and "Example:" as text; ours are all code."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Read "Example:" as "Examples:", and "Raises: Nothing." as no section at all."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Reword the headings of one docstring."""
        if obj.docstring:
            text = re.sub(r"^Example:[ ]*$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"^Raises:\s+Nothing\.\n", "", text, flags=re.MULTILINE)
