"""Helpers of each kind of evidence."""

__all__: list[str] = []
