"""Monte Carlo on real neurons, layers and networks: draws without any bound's help, counted."""
