"""Whether a network and a data set go together."""

from __future__ import annotations

from sipp_core.compression import Architecture
from sipp_core.zoo import Dataset


def refuse_unfitting(net: Architecture | str, dataset: Dataset) -> None:
    """Refuse a network that does not take the inputs of a data set or tell its classes apart."""
    family, _, sizes = str(net).partition(":")
    named = Architecture(family, tuple(map(int, sizes.split(","))) if sizes else ())
    shape = tuple(dataset.train_inputs.shape[1:])
    if named.input_shape != shape:
        raise ValueError(
            f"the network {named} takes inputs of shape {named.input_shape}, "
            f"{dataset.name} has {shape}; name the data that it was made for"
        )
    classes = named.sizes[-1] if named.name == "dense" else dataset.num_classes
    if classes != dataset.num_classes:
        raise ValueError(
            f"the network {named} tells {classes} classes apart, {dataset.name} has "
            f"{dataset.num_classes}; name the data that it was made for"
        )
