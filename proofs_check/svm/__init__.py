"""Support vector machines (SV): claims and evidence."""

__all__: list[str] = []
