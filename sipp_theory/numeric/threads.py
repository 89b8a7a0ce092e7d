"""Threads of numpy's and scipy's linear algebra, which may be two libraries, and our own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# Multiply-adds of one product of matrices below which a second thread gains nothing; on a machine
# that does other work besides, waiting for one costs a hundred times the product.
FEW_PRODUCTS = 2**26


@cache
def _libraries() -> ThreadpoolController:
    """What this process computes with; looking for it takes longer than a small product does."""
    from threadpoolctl import ThreadpoolController

    importlib.import_module("scipy.linalg")  # loads a library of its own
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Run a block with one thread of linear algebra: the same bits whatever the number of cores.

    The number is the process's, so that it is the first of several Python threads that sets it.
    """
    return _libraries().limit(limits=1, user_api="blas")


def blas_threads_for(products: int) -> AbstractContextManager[Any]:
    """One thread for products of so few multiply-adds, else those that the user has set.

    It depends on shapes alone, so that the same work rounds alike beside any other.
    """
    return one_blas_thread() if products < FEW_PRODUCTS else nullcontext()


def in_threads(part: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call part(first, last) on blocks of so many things, each of which is worked on by itself."""
    if threads <= 1 or count < 2:
        return part(0, count)
    cuts = np.linspace(0, count, min(count, 8 * threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, cuts[:-1], cuts[1:]))
