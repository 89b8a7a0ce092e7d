"""Whole matrices (MS): claims and evidence."""

__all__: list[str] = []
