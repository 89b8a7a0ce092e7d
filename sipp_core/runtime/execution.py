"""Run a user's model for a while and leave it exactly as it was."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sipp_core.runtime.arguments import whole
from sipp_core.runtime.batch import Given, misfit, run, shape_of
from sipp_core.runtime.isolation import isolation
from sipp_core.runtime.products import products
from sipp_theory.numeric.threads import one_blas_thread

Model = TypeVar("Model")
_PACKAGE = str(Path(__file__).resolve().parents[1])
# More threads than this crash torch.
MOST_THREADS = 1024

# Called with (done, total or 0 where unknown, what is being done).
Progress = Callable[[int, int, str], None]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a block with the model in eval mode and without gradients; restore its state after.

    Args:
        model: the module; each submodule's own training flag is put back as it was, and so are
            buffers that a forward pass writes to even in eval mode (counters, observers).

    Returns:
        A context manager.

    Example:
        >>> net = nn.Sequential(nn.Dropout())
        >>> with evaluating(net):
        ...     net.training
        False
        >>> net.training
        True
    """
    with isolation(), eagerly(model):
        yield from _evaluated(model)


@contextmanager
def eagerly(model: nn.Module) -> Iterator[None]:
    """Run a block in which compiled modules run as they were written, their hooks with them.

    A compiled graph knows nothing of hooks that came later: it would run past them.
    """
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is None:  # nothing has been compiled
        yield
    elif hasattr(dynamo, "set_stance"):
        with dynamo.set_stance("force_eager"):
            yield
    else:
        for name, module in model.named_modules():
            if getattr(module, "_compiled_call_impl", None) or hasattr(module, "_orig_mod"):
                raise ValueError(
                    f"module {name!r} is compiled, and this torch cannot run it otherwise; give "
                    "the module that torch.compile was given"
                )
        yield


def uncompiled(model: Model) -> Model:
    """The module that torch.compile was given, and any other module as it is."""
    return getattr(model, "_orig_mod", model)


def _evaluated(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    buffers = [
        (module._buffers, name, value, value.clone())
        for module in model.modules()
        for name, value in module._buffers.items()
        if value is not None
    ]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        for place, name, value, before in buffers:
            place[name] = value
            if not torch.equal(value, before):
                with torch.no_grad():
                    value.copy_(before)


@contextmanager
def watching(
    model: nn.Module, modules: Mapping[str, nn.Module], see: Callable[[str, Tensor], None],
    outputs: bool = False,
) -> Iterator[set[str]]:  # fmt: skip
    """Run a block as `evaluating` does, and call see(name, input) whenever a module is called.

    With outputs=True `see` is given what the module returns. The hooks are always removed. A
    product F.linear with a module's matrix counts as a call of it, wherever it is written; a call
    of its `forward`, which no hook sees, is refused. The block is given the names of the modules
    that are being called, whenever it looks.
    """
    called: dict[str, int] = dict.fromkeys(modules, 0)
    own, others = threading.get_ident(), set[str]()

    def foreign(name: str) -> bool:
        """Whether another thread makes this call, with inputs of its own."""
        if threading.get_ident() == own:
            return False
        others.add(name)
        return True

    def counted(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def count(*given: Any, **named: Any) -> Any:
            if foreign(name):
                return forward(*given, **named)
            called[name] -= 1
            if called[name] < 0:
                raise ValueError(
                    f"layer {name!r} is called by its forward(), where no hook sees its inputs; "
                    "call the module itself, or leave it out with layers=[...]"
                )
            return forward(*given, **named)

        return count

    def hook(name: str) -> Callable[..., None]:
        def before(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if foreign(name):
                return
            value = given[0] if given else named.get("input")
            if not isinstance(value, Tensor):
                raise TypeError(f"layer {name!r} was called without a tensor")
            called[name] += 1
            see(name, value)

        def after(_: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
            if not foreign(name):
                see(name, out)

        return after if outputs else before

    def heard(name: str, given: Tensor, rows: slice, out: Tensor) -> None:
        if not foreign(name):
            see(name, out[..., rows] if outputs else given)

    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for name, module in modules.items():
            if outputs:
                handle = module.register_forward_hook(hook(name))
            else:
                handle = module.register_forward_pre_hook(hook(name), with_kwargs=True)
            stack.callback(handle.remove)
        inside = stack.enter_context(products(modules, heard))
        for name, module in modules.items():
            if not outputs and "forward" not in vars(module):
                vars(module)["forward"] = counted(name, module.forward)
                stack.callback(vars(module).pop, "forward")
        yield inside
        if others:
            shown = ", ".join(map(repr, sorted(others)))
            raise ValueError(
                f"layer {shown} was called by another thread while the model was run here, and its "
                "inputs are not the ones that were given; use a copy of the model (copy.deepcopy) "
                "in the other thread, or a model without threads of its own"
            )


@contextmanager
def some_threads(count: int) -> Iterator[None]:
    """Run a block in a given number of CPU threads.

    Args:
        count: threads, >= 1.

    Returns:
        A context manager; the thread count is put back.

    Example:
        >>> with some_threads(2):
        ...     torch.get_num_threads()
        2
    """
    whole("threads", count, 1, MOST_THREADS + 1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block in one CPU thread: the same bits on every machine, whatever its cores.

    One of torch's and one of numpy's and scipy's linear algebra. Small layers gain nothing from
    more threads, and sums split among them round differently.

    Returns:
        A context manager; the thread count is put back.

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    with some_threads(1), one_blas_thread():
        yield


# Products, and elements (rows x (inputs + outputs)), below which one thread does: some 15 ms, in
# which a second one hardly comes to its turn, and torch's own spin after each operation.
FEW_PRODUCTS, FEW_ELEMENTS = 2**28, 2**20
_users_threads: ContextVar[int] = ContextVar("_users_threads")


@contextmanager
def threads_for(rows: int, weight: Tensor) -> Iterator[None]:
    """Run a block that multiplies so many rows by a weight in one thread if that is little work.

    Otherwise in the threads that the user has set, never in more. Which it is depends on shapes
    alone, so that the same work rounds alike beside any other.

    Example:
        >>> with some_threads(2), threads_for(10, torch.ones(3, 2)):
        ...     small = torch.get_num_threads()
        ...     with threads_for(2**20, torch.ones(3, 2)):
        ...         (small, torch.get_num_threads())
        (1, 2)
    """
    users, (out, fan_in) = _users_threads.get(torch.get_num_threads()), weight.shape
    few = rows * out * fan_in < FEW_PRODUCTS and rows * (out + fan_in) < FEW_ELEMENTS
    count = 1 if few and weight.device.type == "cpu" else users
    token = _users_threads.set(users)
    try:
        with some_threads(count) if count != torch.get_num_threads() else nullcontext():
            yield
    finally:
        _users_threads.reset(token)


def model_device(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer, the CPU if it has none.

    Args:
        model: the module.

    Returns:
        The device its inputs must be on.

    Example:
        >>> model_device(nn.Linear(1, 1))
        device(type='cpu')
    """
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def forward(model: nn.Module, batch: Given, name: str) -> Any:
    """Run a model on one batch; inputs that do not fit it are refused by name.

    Args:
        model: the module, in the mode that it is to run in.
        batch: (n, ...) tensor or a `Batch`, on the model's device.
        name: of the inputs, for the message.

    Returns:
        What the model's forward returns.

    Raises:
        ValueError: the model cannot be called with the batch, or fails on it.

    Example:
        >>> forward(nn.Flatten(), torch.ones(2, 3, 1), "inputs").shape
        torch.Size([2, 3])
    """
    try:
        return run(model, batch)
    except TypeError as error:
        if (reason := misfit(model, batch)) is None:
            raise
        raise ValueError(f"{name} does not fit the model: {reason}") from error
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:
        # Out of memory and its like are what they are, and a fault of ours is none of the model's.
        plain = type(error) is RuntimeError
        known = isinstance(error, NotImplementedError | RecursionError)
        if not plain and ((isinstance(error, RuntimeError) and not known) or _ours(error)):
            raise
        kind = "" if plain else f"{type(error).__name__}: "
        raise ValueError(
            f"the model cannot run on {name} of {shape_of(batch)}: {kind}{error}"
        ) from error


def _ours(error: Exception) -> bool:
    """Whether an error came up in the code of this package, below the user's model."""
    place, last = error.__traceback__, None
    while place is not None:
        place, last = place.tb_next, place
    return last is not None and last.tb_frame.f_code.co_filename.startswith(_PACKAGE)


REDUCED = ("tf32", "bf16")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Run a block outside autocast, and without TF32 or bfloat16 inside float32 products.

    A denominator z of 8 or 11 bits would move every share by up to 1 in 2^8 or 2^11, and a promise
    with it; the user's own forward pass may round as it likes. The settings of products are the
    whole process's, and put back after.
    """
    switches = _switches()
    before = [(each, each.fp32_precision) for each in switches if each.fp32_precision in REDUCED]
    legacy = None if switches else torch.get_float32_matmul_precision()
    try:
        for switch, _ in before:
            switch.fp32_precision = "ieee"
        if legacy is not None:
            torch.set_float32_matmul_precision("highest")
        if torch.amp.is_autocast_available(device.type):
            with torch.autocast(device.type, enabled=False):
                yield
        else:
            yield
    finally:
        for switch, precision in before:
            switch.fp32_precision = precision
        if legacy is not None:
            torch.set_float32_matmul_precision(legacy)


def _switches() -> list[Any]:
    """Torch's settings of float32 products, one a library; none before torch 2.9."""
    libraries = (torch.backends.cuda.matmul, torch.backends.mkldnn)
    settings = [libraries[0], getattr(libraries[1], "matmul", None)]
    return [switch for switch in settings if hasattr(switch, "fp32_precision")]
