"""Threads of numpy's and scipy's linear algebra, which may be two libraries."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

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
