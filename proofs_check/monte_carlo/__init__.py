"""Monte Carlo: how often a drawn neuron, layer or network fails."""

__all__: list[str] = []
