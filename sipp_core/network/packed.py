"""Matrices that no module of their own holds: the projections that nn.MultiheadAttention packs."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

# Where the packed rows of each projection start, in widths of the attention.
PLACES = {"q_proj": 0, "k_proj": 1, "v_proj": 2}


class Projection(nn.Module):
    """One of the query, key and value projections of an nn.MultiheadAttention, as a dense layer.

    Its weight and its bias are views of the attention's own: what is written there is theirs.
    """

    def __init__(self, attention: nn.MultiheadAttention, which: str) -> None:
        super().__init__()
        self.which = which
        self._of = (attention,)  # no submodule: the attention is no part of its projection

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter that holds the weight."""
        attention = self._of[0]
        packed = attention.in_proj_weight
        return getattr(attention, f"{self.which}_weight") if packed is None else packed

    def _own(self, packed: Tensor) -> Tensor:
        """The rows of this projection in a tensor that holds all three."""
        width = self._of[0].embed_dim
        return packed[PLACES[self.which] * width :][:width]

    def part_of(self, whole: Tensor) -> Tensor:
        """This projection's part of what is as large as its parameter."""
        return whole if self._of[0].in_proj_weight is None else self._own(whole)

    @property
    def weight(self) -> Tensor:
        """(embed_dim, fan_in) view."""
        return self.part_of(self.parameter)

    @property
    def bias(self) -> Tensor | None:
        """(embed_dim,) view, or None."""
        bias = self._of[0].in_proj_bias
        return None if bias is None else self._own(bias)

    def get_parameter(self, target: str) -> nn.Parameter:
        """The view of that name: writing to it writes to the attention."""
        return getattr(self, target)


def projections(name: str, module: nn.Module) -> Iterator[tuple[str, Projection]]:
    """The projections of a module by their names, if it packs some."""
    if isinstance(module, nn.MultiheadAttention):
        for which in PLACES:
            yield f"{name}.{which}" if name else which, Projection(module, which)


def layer_of(model: nn.Module, name: str) -> nn.Module:
    """The module of that name, or the projection.

    Example:
        >>> tuple(layer_of(nn.MultiheadAttention(4, 2), "k_proj").weight.shape)
        (4, 4)
    """
    parent, _, last = name.rpartition(".")
    if last in PLACES:
        above = model.get_submodule(parent)
        if isinstance(above, nn.MultiheadAttention):
            return Projection(above, last)
    return model.get_submodule(name)


def is_transposed(module: nn.Module) -> bool:
    """Whether a module is a dense layer whose weight is (in, out): transformers' Conv1D."""
    kind = type(module)
    return (kind.__module__, kind.__name__) == ("transformers.pytorch_utils", "Conv1D")


def is_dense(module: nn.Module) -> bool:
    """Whether a layer multiplies rows of its input, of any leading shape, by one matrix.

    Example:
        >>> is_dense(nn.Linear(1, 1)), is_dense(nn.Conv1d(1, 1, 1))
        (True, False)
    """
    return isinstance(module, nn.Linear | Projection) or is_transposed(module)


def parameter_of(module: nn.Module) -> nn.Parameter:
    """The parameter that holds a layer's weight, of which `weight_of` may be a view."""
    return module.parameter if isinstance(module, Projection) else module.get_parameter("weight")


def part_of(module: nn.Module, whole: Tensor) -> Tensor:
    """A layer's own part, (out, in, ...), of a tensor that is like its parameter: a gradient."""
    if isinstance(module, Projection):
        return module.part_of(whole)
    return whole.T if is_transposed(module) else whole
