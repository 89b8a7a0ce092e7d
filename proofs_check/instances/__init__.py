"""What checks look at: drawn layers, trained networks, their activations."""

__all__: list[str] = []
