"""Filters and channels (PF): claims and evidence."""

__all__: list[str] = []
