"""Evidence for the family NC: coresets of neurons, and worst-case certificates."""

__all__: list[str] = []
