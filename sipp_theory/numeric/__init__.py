"""Argument checks and tails that all families share."""

__all__: list[str] = []
