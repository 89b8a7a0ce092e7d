"""Certificates (CT): claims and evidence."""

__all__: list[str] = []
