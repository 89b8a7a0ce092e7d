"""Errors through a network (NW): claims and evidence."""

__all__: list[str] = []
