"""Bounds on the true error of a pruned network, from the bits of a file that decodes to it."""
