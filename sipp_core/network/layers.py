"""Which layers can be pruned, and how each of them is a matrix acting on rows of activations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sipp_core.network.selection import Choice, LayerChoice, Place, places
from sipp_core.runtime.arguments import first_nonfinite, refuse_nonfinite

SUPPORTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# They multiply by weights too, but not as rows times a matrix that a hook can see.
UNSUPPORTED: dict[type[nn.Module], str] = {
    nn.MultiheadAttention: (
        "its projections are packed and multiplied where no hook sees them: write the attention "
        "with separate nn.Linear layers for query, key, value and output"
    ),
    nn.RNNBase: "its steps run in one fused call: write the recurrence with nn.Linear layers",
    nn.RNNCellBase: "its two matrices share one call: write the cell with nn.Linear layers",
    nn.Bilinear: "it multiplies by pairs of inputs: write it as an nn.Linear of their products",
    nn.EmbeddingBag: "it sums rows of its table by index: write it as an nn.Linear of counts",
    nn.modules.conv._ConvTransposeNd: (
        "a transposed convolution adds up patches: write it as an nn.Upsample and a convolution"
    ),
}
OWN_FORWARD = (
    "it has a forward of its own, so its weight need not be what multiplies its inputs (weight "
    "standardisation, LoRA, fake quantisation): fold what it does into the weight of a plain layer"
)
QUANTIZED = "its weights are packed integers: prune the network before it is quantised"
SCRIPTED = "it is compiled, and no hook sees its inputs: prune the module before torch.jit.script"
# What they own is no matrix that rows are multiplied by.
HARMLESS = (nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.PReLU)


UNINITIALISED = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)


@dataclass(frozen=True)
class PrunableLayer:
    """One layer seen as a matrix.

    Attributes:
        name: qualified name in the model, "" if the model itself is the layer.
        module: the user's own module; never written to.
        groups: blocks of the matrix that see different inputs (1 unless a grouped convolution).
    """

    name: str
    module: nn.Module
    groups: int

    @property
    def weight(self) -> Tensor:
        """The weight as an (out, fan_in) view, detached."""
        return weight_of(self.module).detach().flatten(1)

    def within(self, model: nn.Module) -> PrunableLayer:
        """The layer of the same name in a copy of the model."""
        return replace(self, module=model.get_submodule(self.name))


def weight_of(module: nn.Module) -> Tensor:
    """Return the layer's weight tensor, whatever parametrisation made it."""
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(
            f"{type(module).__name__}.weight is no tensor: found {type(weight).__name__}"
        )
    return weight


def own_forward(module: nn.Module) -> bool:
    """Whether a Linear or Conv layer computes something else than its base class does.

    Example:
        >>> own_forward(nn.Linear(1, 1))
        False
    """
    base = next(kind for kind in SUPPORTED if isinstance(module, kind))
    return any(
        name in vars(module) or getattr(type(module), name) is not getattr(base, name)
        for name in ("forward", "_conv_forward")
        if hasattr(base, name)
    )


def _hint(module: nn.Module) -> str | None:
    """Say why a layer that multiplies by weights is not supported, and what to do; or None."""
    for base, text in UNSUPPORTED.items():
        if isinstance(module, base):
            return text
    if isinstance(module, SUPPORTED):
        return OWN_FORWARD if own_forward(module) else None
    if isinstance(module, torch.jit.ScriptModule):
        own = [value for _, value in module.named_parameters(recurse=False)]
        return SCRIPTED if any(value.ndim > 1 for value in own) else None
    # By their names, as their package warns when it is imported.
    home, kind = type(module).__module__, type(module).__name__
    packed = home.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"))
    multiplies = any(word in kind for word in ("Linear", "Conv", "LSTM", "GRU", "Cell"))
    return QUANTIZED if packed and multiplies else None


def _refuse(place: Place, culprit: Place) -> None:
    """Refuse a layer that is not supported, or is part of one."""
    kind = type(culprit.module).__name__
    inside = "is" if place is culprit else f"is part of {culprit.name!r},"
    way_out = f"; or leave it out with layers=['!{culprit.name}'] to prune the others"
    raise ValueError(
        f"layer {place.name!r} {inside} a {kind}, which is not supported; {_hint(culprit.module)}"
        + (way_out if culprit.name else "")
    )


def _refuse_lazy(modules: list[Place]) -> None:
    """Refuse layers without weights as yet, chosen or not: a forward pass would give them some."""
    for place in modules:
        for own in (place.module._parameters, place.module._buffers):
            if any(isinstance(value, UNINITIALISED) for value in own.values()):
                raise ValueError(
                    f"layer {place.name!r} is lazy and not initialised; run one forward pass"
                )


def prunable_layers(model: nn.Module, layers: LayerChoice = None) -> tuple[PrunableLayer, ...]:
    """Find the layers to prune, in the order of `named_modules`, and validate all of them.

    Modules that multiply by no matrix (normalisations, pooling, dropout, nn.Embedding) are left
    alone. A weight that two layers share is refused: one mask could not honour both promises.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module; found {type(model).__name__}")
    choice = Choice(layers)
    modules = places(model)
    _refuse_lazy(modules)
    refused = {place.name: place for place in modules if _hint(place.module) is not None}
    known = [p for p in modules if isinstance(p.module, SUPPORTED) or p.name in refused]
    choice.refuse_slips(known)
    prunable: list[PrunableLayer] = []
    for place in known:
        if not choice(place):
            continue
        for name, _ in place.line:
            if name in refused:
                _refuse(place, refused[name])
        groups = int(getattr(place.module, "groups", 1))
        prunable.append(PrunableLayer(place.name, place.module, groups))
    if not prunable:
        chosen = "" if layers is None else f" that layers={layers!r} selects"
        raise ValueError(
            f"the model has no layer to prune: it needs a Linear or Conv layer{chosen}"
        )
    _check_shared(model, prunable)
    for layer in prunable:
        _check_plain(layer)
        _check_weight(layer)
    return tuple(prunable)


def other_matrices(model: nn.Module, layers: LayerChoice = None) -> tuple[str, ...]:
    """Name the matrices of modules of the user's own, which nobody can tell the use of.

    Position embeddings are the usual ones; a matrix that such a module multiplies by is left whole
    too, and that must not go unsaid.
    """
    choice, names = Choice(layers), []
    for place in places(model):
        own = place.module.named_parameters(recurse=False)
        wide = [name for name, value in own if sum(n > 1 for n in value.shape) > 1]
        known = isinstance(place.module, (*SUPPORTED, *UNSUPPORTED, *HARMLESS))
        if wide and not known and choice(place):
            names += [f"{place.name}.{name}" if place.name else name for name in wide]
    return tuple(names)


def _check_shared(model: nn.Module, layers: list[PrunableLayer]) -> None:
    """Refuse a chosen weight that stands elsewhere too, as one tensor or in the same memory."""
    chosen = {id(layer.module._parameters.get("weight")) for layer in layers}
    spans: dict[tuple[torch.device, int], list[tuple[int, int, str, Tensor]]] = {}
    for name, tensor in (
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ):
        if tensor.layout != torch.strided or tensor.numel() == 0 or tensor.is_meta:
            continue
        reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        first = tensor.data_ptr()
        last = first + reach * tensor.element_size()
        others = spans.setdefault((tensor.device, tensor.untyped_storage().data_ptr()), [])
        for start, end, other, known in others:
            if first <= end and start <= last and {id(tensor), id(known)} & chosen:
                raise ValueError(
                    f"weights are tied: {other!r} and {name!r} are one tensor; a pruned copy would "
                    "change both. Untie them, or leave them out with layers=[...]"
                )
        others.append((first, last, name, tensor))


def _check_plain(layer: PrunableLayer) -> None:
    """Refuse a weight that is computed anew in each forward pass: writing to it changes nothing."""
    if "weight" not in layer.module._parameters:
        raise ValueError(
            f"layer {layer.name!r} computes its weight from other tensors (weight_norm, a mask of "
            "torch.nn.utils.prune, ...); make it a plain parameter first, with "
            "torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.prune.remove"
        )


def _check_weight(layer: PrunableLayer) -> None:
    stored = weight_of(layer.module)
    if stored.layout != torch.strided:
        raise ValueError(
            f"layer {layer.name!r} has a weight of layout {stored.layout}; make it dense first, "
            "with to_dense()"
        )
    if stored.is_meta:
        raise ValueError(f"layer {layer.name!r} is on the meta device: its weight has no values")
    weight = layer.weight
    if not weight.is_floating_point():
        raise TypeError(f"layer {layer.name!r} has weights of dtype {weight.dtype}; floats needed")
    refuse_nonfinite(
        f"layer {layer.name!r} has a weight that", weight, "; repair or retrain it before pruning"
    )


def write_weight(name: str, place: Tensor, values: Tensor) -> Tensor:
    """Write new values into a layer's weight or bias; refuse what leaves the range of its dtype.

    Shapes: values as many as `place` has, in its order; returns what was written.
    """
    # A dropped weight is 0, not -0.0, which is another number to a file.
    value = values.to(place.device).reshape(place.shape).to(place.dtype) + 0.0
    if first_nonfinite(value) is not None:
        raise ValueError(
            f"layer {name!r}: a new weight leaves the range of {place.dtype}; prune the model in "
            "float32 or keep more weights"
        )
    with torch.no_grad():
        place.copy_(value)
    return value
