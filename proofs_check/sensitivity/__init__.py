"""Sensitivities (ES) and the assumptions: claims and evidence."""

__all__: list[str] = []
