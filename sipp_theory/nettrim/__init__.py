"""nettrim."""
