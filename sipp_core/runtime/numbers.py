"""Types of arrays, and streams of random numbers that are named by a seed and a purpose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Counter-based random stream for one purpose, independent of machine and of other streams.

    Args:
        seed: the user's seed, >= 0.
        stream: whole numbers that name the purpose (layer, candidate, ...).

    Returns:
        A numpy Generator on Philox.

    Raises:
        ValueError: a negative seed.

    Example:
        >>> bool(generator(0, 1).random() == generator(0, 1).random())
        True
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0; found {seed}")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=stream)))
