"""Argument checks, tails and compiled loops that all families share."""

__all__: list[str] = []
