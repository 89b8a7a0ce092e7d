"""Generalization bounds (GN): claims and evidence."""

__all__: list[str] = []
