"""Which layers can be pruned, and how each of them is a matrix acting on rows of activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sipp_core.network.packed import Projection, is_transposed, layer_of, parameter_of
from sipp_core.network.selection import Choice, LayerChoice, Place, leaving_out, places
from sipp_core.runtime.arguments import first_nonfinite, refuse_no_module, refuse_nonfinite

SUPPORTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, Projection)
# They multiply by weights too, but not as rows times a matrix that a hook can see.
UNSUPPORTED: dict[type[nn.Module], str] = {
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
HARMLESS = (nn.MultiheadAttention, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.PReLU)


# Narrower floats have no arithmetic of their own.
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
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
        return replace(self, module=layer_of(model, self.name))


def weight_of(module: nn.Module) -> Tensor:
    """Return the layer's weight tensor (out, in, ...), whatever parametrisation made it.

    A view of the layer's parameter where that is packed or transposed.
    """
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(
            f"{type(module).__name__}.weight is no tensor: found {type(weight).__name__}"
        )
    return weight.T if is_transposed(module) else weight


def is_layer(module: nn.Module) -> bool:
    """Whether a module is of a kind that can be pruned."""
    return isinstance(module, SUPPORTED) or is_transposed(module)


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
    if isinstance(module, nn.MultiheadAttention):
        own = "forward" in vars(module) or type(module).forward is not nn.MultiheadAttention.forward
        return OWN_FORWARD if own else None
    if is_transposed(module):
        return OWN_FORWARD if "forward" in vars(module) else None
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


def _refuse(culprits: Mapping[Place, list[Place]], known: Iterable[str]) -> None:
    """Refuse the layers that are not supported, or are part of one, all of them at once."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for culprit in culprits:
        key = type(culprit.module).__name__, _hint(culprit.module) or ""
        kinds.setdefault(key, []).append(repr(culprit.name))
    reasons = [
        f"layer {names[0]} is a {kind}, which is not supported; {hint}"
        if len(names) == 1
        else f"layers {', '.join(names)} are of type {kind}, which is not supported; {hint}"
        for (kind, hint), names in kinds.items()
    ]
    reasons += [
        f"layer {layer.name!r} is part of {culprit.name!r}"
        for culprit, layers in culprits.items()
        for layer in layers
        if layer is not culprit
    ]
    names = [culprit.name for culprit in culprits]
    way_out = f"; or prune the others with {leaving_out(names, known)}" if all(names) else ""
    raise ValueError("; ".join(reasons) + way_out)


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
    refuse_no_module(model)
    choice = Choice(layers)
    modules = places(model)
    _refuse_lazy(modules)
    refused = {place.name: place for place in modules if _hint(place.module) is not None}
    known = [p for p in modules if is_layer(p.module) or p.name in refused]
    choice.refuse_slips(known)
    prunable: list[PrunableLayer] = []
    culprits: dict[Place, list[Place]] = {}
    for place in known:
        if not choice(place):
            continue
        inside = [refused[name] for name, _ in place.line if name in refused]
        if inside:
            culprits.setdefault(inside[0], []).append(place)
            continue
        groups = int(getattr(place.module, "groups", 1))
        prunable.append(PrunableLayer(place.name, place.module, groups))
    names = [place.name for place in known]
    if culprits:
        _refuse(culprits, names)
    # A layer of no outputs or inputs has nothing that could go.
    prunable = [layer for layer in prunable if (own := _stored(layer)) is None or own.numel() > 0]
    if not prunable:
        chosen = "" if layers is None else f" that layers={layers!r} selects"
        raise ValueError(
            f"the model has no layer to prune: it needs a Linear or Conv layer with weights{chosen}"
        )
    _check_shared(model, prunable, names)
    _check_plain(prunable, names)
    for layer in prunable:
        _check_weight(layer)
    return tuple(prunable)


def other_matrices(model: nn.Module, layers: LayerChoice = None) -> tuple[str, ...]:
    """Name the matrices of the user's own modules, whose use is unknown.

    Position embeddings are the usual ones; a matrix that such a module multiplies by is left whole
    too, and that must not go unsaid.
    """
    choice, names = Choice(layers), []
    for place in places(model):
        own = place.module.named_parameters(recurse=False)
        wide = [name for name, value in own if sum(n > 1 for n in value.shape) > 1]
        known = is_layer(place.module) or isinstance(place.module, (*UNSUPPORTED, *HARMLESS))
        if wide and not known and choice(place):
            names += [f"{place.name}.{name}" if place.name else name for name in wide]
    return tuple(names)


def _stored(layer: PrunableLayer) -> Tensor | None:
    """The parameter that a layer's weight is kept in, None if it is computed from others."""
    module = layer.module
    return (
        parameter_of(module) if isinstance(module, Projection) else module._parameters.get("weight")
    )


def _check_shared(model: nn.Module, layers: list[PrunableLayer], known: Iterable[str]) -> None:
    """Refuse chosen weights that stand elsewhere too, as one tensor or in the same memory."""
    chosen: dict[int, list[str]] = {}
    for layer in layers:
        chosen.setdefault(id(_stored(layer)), []).append(layer.name)
    spans: dict[tuple[torch.device, int], list[tuple[int, int, str, Tensor]]] = {}
    ties: dict[str, list[str]] = {}  # by chosen layer, the names of what it shares
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
        for start, end, other, value in others:
            if first <= end and start <= last:
                for mine, theirs in ((value, name), (tensor, other)):
                    for layer in chosen.get(id(mine), []):
                        if theirs not in (f"{layer}.weight", layer):
                            ties.setdefault(layer, []).append(theirs)
        others.append((first, last, name, tensor))
    if not ties:
        return
    shown = "; ".join(
        f"layer {layer!r} shares its weight with {', '.join(map(repr, dict.fromkeys(theirs)))}"
        for layer, theirs in ties.items()
    )
    raise ValueError(
        f"weights are tied: {shown}. A pruned copy would change both: untie them, or leave the "
        f"layers out with {leaving_out(ties, known)}"
    )


def _check_plain(layers: list[PrunableLayer], known: Iterable[str]) -> None:
    """Refuse a weight that is recomputed in each forward pass: writing to it changes nothing."""
    culprits = [layer.name for layer in layers if _stored(layer) is None]
    if culprits:
        raise ValueError(
            f"layer {', '.join(map(repr, culprits))} computes its weight from other tensors "
            "(weight_norm, a mask of torch.nn.utils.prune, ...); make it a plain parameter first, "
            "with torch.nn.utils.parametrize.remove_parametrizations or "
            "torch.nn.utils.prune.remove, or prune the others with " + leaving_out(culprits, known)
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
    if weight.dtype not in DTYPES:
        raise TypeError(
            f"layer {layer.name!r} has weights of dtype {weight.dtype}; convert the model to one "
            f"of {', '.join(str(dtype).removeprefix('torch.') for dtype in DTYPES)} first"
        )
    bias = getattr(layer.module, "bias", None)
    for what, values in (("weight", weight), ("bias", bias)):
        if isinstance(values, Tensor):
            refuse_nonfinite(
                f"layer {layer.name!r} has a {what} that", values.detach(),
                "; repair or retrain it before pruning",
            )  # fmt: skip


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
