"""Net-Trim (NT): claims and evidence."""

__all__: list[str] = []
