"""Weakened copies of the claims' code, a module a family; the checks must refute every one."""

import importlib
import pkgutil
from functools import cache

from proofs_check.mutation import Mutation


@cache
def all_mutations() -> dict[str, Mutation]:
    """Every mutation by name, "mutations.<family>.<name>".

    Returns:
        The mutations, in the order of families and source.

    Raises:
        ValueError: two of one name.

    Claim: none (plumbing).

    Example:
        >>> all_mutations()["mutations.sp_draws.bernstein_eighth"].claim
        'SP-3'
    """
    found: dict[str, Mutation] = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        for mutation in loaded.MUTATIONS:
            name = f"mutations.{module.name}.{mutation.name}"
            if name in found:
                raise ValueError(f"mutation {name!r} is defined twice")
            found[name] = mutation
    return found


__all__ = ["all_mutations"]
