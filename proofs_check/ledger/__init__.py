"""The engine: claims, checks, mutations, trials, verdicts."""

__all__: list[str] = []
