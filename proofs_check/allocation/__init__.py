"""Optimal allocation of a budget (AL): claims and evidence."""

__all__: list[str] = []
