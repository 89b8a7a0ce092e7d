"""Weakened copies of the claims' code, a module a family; the checks must refute every one."""

from functools import cache

from proofs_check.ledger.mutation import Mutation
from proofs_check.ledger.registry import modules


@cache
def all_mutations() -> dict[str, Mutation]:
    """Every mutation by name, "mutations.<family>.<name>"."""
    found: dict[str, Mutation] = {}
    for module in modules():
        for mutation in getattr(module, "MUTATIONS", ()):
            name = f"mutations.{module.__name__.split('.')[-2]}.{mutation.name}"
            if name in found:
                raise ValueError(f"mutation {name!r} is defined twice")
            found[name] = mutation
    return found


__all__ = ["all_mutations"]
