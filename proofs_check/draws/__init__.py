"""Draws with replacement (SP-1 to SP-5x): claims and evidence."""

__all__: list[str] = []
