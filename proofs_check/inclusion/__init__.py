"""Inclusion by probability (SP-8): evidence."""

__all__: list[str] = []
