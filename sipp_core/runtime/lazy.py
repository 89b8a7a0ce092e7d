"""Public names that load their module when they are first used, so that torch waits until then."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A module's `__getattr__` that imports each name's home on first use.

    Args:
        package: dotted name of the package.
        homes: names with spaces between, by the module below the package that defines them; those
            of the home "" are modules of the package itself.

    Returns:
        A function of a name; it keeps what it finds as an attribute of the package.

    Raises:
        AttributeError: (the function) no such name.

    Example:
        >>> lazily("sipp_core.runtime", {"files": "write_atomically"})("write_atomically").__name__
        'write_atomically'
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def resolve(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        module = importlib.import_module(".".join(filter(None, (package, home or name))))
        value = getattr(module, name) if home else module
        setattr(sys.modules[package], name, value)
        return value

    return resolve
