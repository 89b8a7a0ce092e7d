"""Many processes: what calibration needs of torch.distributed, and clear words when one is lost.

Everything that crosses is a maximum, a sum that rounds nothing, or bytes handed round in the order
of the ranks, so the result does not depend on how many processes there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Refusals keep their type on the ranks that only hear of them.
KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ValueError, TypeError, OSError)
}


class ProcessLost(ConnectionError):
    """Another process of the group has ended or does not answer; nothing was written."""


@contextmanager
def _answered(rank: int) -> Iterator[None]:
    """Say plainly what it means that a collective call failed."""
    try:
        yield
    except (RuntimeError, ConnectionError) as error:
        reason = " ".join(str(error).split())
        raise ProcessLost(
            f"rank {rank}: another process of the group has ended, does not answer, or has not "
            f"made this call (every rank must); nothing has been written. Start all of them again "
            f"({reason[:200]})"
        ) from error


@dataclass(frozen=True)
class Processes:
    """The processes that share one calibration.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        device: where the group's backend takes tensors from.
    """

    rank: int
    size: int
    device: torch.device

    def mine(self, batch: int) -> bool:
        """Whether this process computes the batch of that index."""
        return batch % self.size == self.rank

    def _reduced(self, tensor: Tensor, how: Any) -> Tensor:
        carried = tensor.detach().to(self.device, copy=True).contiguous()
        with _answered(self.rank):
            dist.all_reduce(carried, how)
        return carried.to(tensor.device)

    def maximum(self, tensor: Tensor) -> Tensor:
        """Largest value over the processes, element by element."""
        return self._reduced(tensor, dist.ReduceOp.MAX)

    def minimum(self, tensor: Tensor) -> Tensor:
        """Least value over the processes, element by element."""
        return self._reduced(tensor, dist.ReduceOp.MIN)

    def total(self, tensor: Tensor) -> Tensor:
        """Sum over the processes; for numbers that add up without rounding."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def count(self, number: int) -> int:
        """Sum of whole numbers over the processes."""
        return int(self.total(torch.tensor([number]))[0])

    def from_first(self, tensor: Tensor) -> Tensor:
        """What rank 0 holds."""
        carried = tensor.detach().to(self.device, copy=True).contiguous()
        with _answered(self.rank):
            dist.broadcast(carried, 0)
        return carried.to(tensor.device)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Tensors of all ranks, in their order; they may differ in the first dimension."""
        carried = tensor.detach().to(self.device).contiguous()
        length = torch.tensor([len(carried)], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.size)]
        with _answered(self.rank):
            dist.all_gather(lengths, length)
            longest = max(int(n) for n in lengths)
            padded = carried.new_zeros((longest, *carried.shape[1:]))
            padded[: len(carried)] = carried
            parts = [torch.empty_like(padded) for _ in range(self.size)]
            dist.all_gather(parts, padded)
        return [p[: int(n)].to(tensor.device) for p, n in zip(parts, lengths, strict=True)]

    def gather_json(self, message: Any) -> list[Any]:
        """Messages of all ranks, sent as JSON, in their order."""
        payload = torch.frombuffer(bytearray(json.dumps(message).encode()), dtype=torch.uint8)
        return [json.loads(bytes(part.tolist())) for part in self.gather(payload)]

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Refuse, on every rank, if a fact differs from rank 0's."""
        answers = self.gather_json({name: str(fact) for name, fact in facts.items()})
        for name, expected in answers[0].items():
            for rank, other in enumerate(answers):
                if other.get(name) != expected:
                    raise _on_every_rank(
                        ValueError(
                            f"rank {rank} has another {name} than rank 0 ({other.get(name)} and "
                            f"{expected}); every rank must make the same call, with the same model "
                            "and the whole of the inputs in the same order"
                        )
                    )

    def settle(self, failure: Exception | None, place: int = 0) -> None:
        """Go on if no rank failed; else raise the earliest failure in the stream on every rank.

        It names its rank unless all ranks failed alike; one that is no ValueError, TypeError or
        OSError is a RuntimeError elsewhere.
        """
        if not int(self.maximum(torch.tensor([failure is not None]).long())[0]):
            return
        mine = None if failure is None else [place, _kind(failure), str(failure)]
        answers = self.gather_json(mine)
        if failure is not None and all(other == mine for other in answers):
            raise _on_every_rank(failure)
        first = min((r for r in range(self.size) if answers[r]), key=lambda r: (answers[r][0], r))
        _, kind, message = answers[first]
        if first == self.rank and kind not in KINDS and failure is not None:
            raise _on_every_rank(failure)
        text = message if kind in KINDS else f"{kind}: {message}"
        error = KINDS.get(kind, RuntimeError)(f"rank {first}: {text}")
        raise _on_every_rank(error) from failure

    def only_first(self, step: Callable[[], object]) -> None:
        """Let rank 0 do something; where it fails, every rank raises."""
        failure = None
        if self.rank == 0:
            try:
                step()
            except Exception as error:
                failure = error
        self.settle(failure)


def _kind(error: Exception) -> str:
    """Name of the type under which other ranks raise an error."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return next((name for name in names if name in KINDS), names[0])


def _on_every_rank(error: Exception) -> Exception:
    """Mark an error that every rank raises, so that one of them may print it alone."""
    error.on_every_rank = True  # type: ignore[attr-defined]
    return error


def processes() -> Processes | None:
    """Return the processes of the default group of torch.distributed, None if there is no group.

    Returns:
        The group; one of a single process counts.

    Example:
        >>> processes() is None
        True
    """
    if not (dist.is_available() and dist.is_initialized()):
        return None
    device = torch.device("cpu")
    if dist.get_backend() == "nccl":  # it carries nothing else
        device = torch.device("cuda", torch.cuda.current_device())
    return Processes(dist.get_rank(), dist.get_world_size(), device)


# Under this name it can be had from the package, where `processes` is this module once it is
# imported.
process_group = processes
