"""The first page: train, prune, bound, check and certify on one data set."""

__all__: list[str] = []
