"""The pruning methods, one file a method; importing this package registers them."""

__all__: list[str] = []
