"""Weights kept by rule, joined promises, best of several (SP-6 to SP-10): claims and evidence."""

__all__: list[str] = []
