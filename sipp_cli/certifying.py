"""Certificates from named files: what `sipp certify` makes and `sipp verify` makes again."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sipp_cli import inputs, networks, ranks

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from sipp_core import Certificate
    from sipp_core.runtime import Batch
    from sipp_core.zoo import Dataset


@dataclass(frozen=True)
class Call:
    """Everything that a certificate is made of, as names of files and numbers.

    Attributes:
        data: held-out inputs: a file or a data set.
        pruned: the other network: a file, or a factory.
        original: the original: a file, a factory or a built-in name; None with `model`.
        model: architecture of networks that are given by their weights alone.
        weights: file of the original's weights.
        train: data set that a built-in original is trained on.
        options: the arguments of `certify`.
        labels: a file, or "targets".
        groups: a file, or "class".
        data_dir: folder of data sets.
        images: whether inputs of a data set are given as images.
        seed: of the training, if any, and of perturbations; None takes the pruned file's.
        device: where torch computes.
    """

    data: str
    pruned: str
    original: str | None = None
    model: str | None = None
    weights: str | None = None
    train: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    groups: str | None = None
    data_dir: str | None = None
    images: bool = False
    seed: int | None = None
    device: str = "cpu"

    def record(self) -> dict[str, Any]:
        """The call, ready for the certificate file."""
        return {"command": "sipp certify", **asdict(self)}


def read_call(record: Mapping[str, Any], **changes: Any) -> Call:
    """The call of a certificate file, with what is given now in its place."""
    known = {name: value for name, value in record.items() if name in Call.__dataclass_fields__}
    if not isinstance(known.get("data"), str) or not isinstance(known.get("pruned"), str):
        raise ValueError("the certificate names no call of sipp certify, by which to make it again")
    return replace(Call(**known), **{k: v for k, v in changes.items() if v is not None})


def _onnx(path: Path) -> nn.Module:
    from torch import nn

    from sipp_core.certificates import OnnxNetwork

    network = OnnxNetwork(path)
    assert isinstance(network, nn.Module)
    return network


def opened(spec: str, model: str | None, seed: int, where: torch.device, images: bool) -> nn.Module:
    """The network that a word names: a factory, TorchScript, ONNX, or weights of a model."""
    import torch

    import sipp_core
    from sipp_core.runtime import is_torch_file, read_bytes

    path = Path(spec)
    if not path.is_file():
        if path.suffix in (".onnx", ".pt", ".pth", ".safetensors"):
            raise FileNotFoundError(f"there is no network {path}")
        network = networks.build(spec, seed, where, images)
        if network.built_in:
            networks.give_weights(network, None, None, None, None, seed)
        return network.model
    if path.suffix == ".onnx":
        return _onnx(path)
    content = read_bytes(path, "network")
    if is_torch_file(content) and b"constants.pkl" in content:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location=where)
    if model is None:
        raise ValueError(
            f"{path} is no TorchScript and no ONNX file; if it holds weights, name their model "
            "with --model"
        )
    network = networks.build(model, seed, where, images)
    if networks.is_pruned(content, path):
        return sipp_core.load(path, network.model).model
    networks.load_weights(network, path, content)
    return network.model


@dataclass(frozen=True)
class NetworkPair:
    """Two networks, and the data set that the inputs are of, if it has a name."""

    original: nn.Module
    pruned: nn.Module
    data: Dataset | None


def _two(call: Call, where: torch.device) -> NetworkPair:
    """Any two networks, each named by itself."""
    assert call.original is not None
    seed = call.seed or 0
    pair = [
        opened(spec, call.model, seed, where, call.images) for spec in (call.original, call.pruned)
    ]
    flat = not call.images
    data = inputs.dataset(call.data, _path(call.data_dir), flat) if _named(call) else None
    return NetworkPair(pair[0], pair[1], data)


def _ours(call: Call, where: torch.device) -> NetworkPair:
    """A file of `sipp prune`, and the network that it was pruned from."""
    import sipp_core
    from sipp_core.runtime import fingerprint

    path = Path(call.pruned)
    if not path.is_file():
        raise FileNotFoundError(f"there is no pruned network {path}")
    if call.model is None:
        network = networks.fitting(path, where)
    else:
        network = networks.build(call.model, call.seed or 0, where, call.images)
    result = sipp_core.load(path, network.model)
    if call.seed is None and network.built_in:
        network = networks.build(network.name, result.seed, where)
    data = inputs.dataset(call.data, _path(call.data_dir), network.flat) if _named(call) else None
    start = result.seed if call.seed is None else call.seed
    held = inputs.read(Path(call.data), network.model) if data is None else data.test_inputs
    inputs.fitted(held, network.model, call.data)  # before any training
    networks.give_weights(
        network, _path(call.weights), data, call.train, _path(call.data_dir), start
    )
    if fingerprint(network.model) != result.original:
        raise ValueError(
            f"{path} was pruned from another network than {network.name!r} as it is here; give the "
            "weights it was pruned from with --weights (prune --save-weights writes them)"
        )
    return NetworkPair(network.model, result.model, data)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _named(call: Call) -> bool:
    return inputs.is_dataset(call.data)


def labels_from(
    name: str | None, word: str, held: Tensor | Batch, data: Dataset | None, option: str
) -> Any:
    """Labels or groups: of the data set, of the inputs' own file, or of a file of their own."""
    if name is None:
        return None
    if name == "class" == word:
        return "class"
    if name != word or word == "class":
        return inputs.array(Path(name))
    targets = data.test_targets if data is not None else getattr(held, "targets", None)
    if targets is None:
        raise ValueError(f"{option} targets: the inputs come without targets; name a file")
    return targets


def both_of(call: Call) -> tuple[NetworkPair, Tensor | Batch]:
    """The two networks that a call names, and its inputs."""
    where = networks.device(ranks.device(call.device))
    _named(call)  # refuses a word that is neither a file nor a data set
    pair = (_ours if call.original is None else _two)(call, where)
    held: Tensor | Batch
    if pair.data is None:
        held = inputs.read(Path(call.data), pair.original)
    else:
        held = pair.data.test_inputs
    return pair, inputs.fitted(held, pair.original, call.data)


def certificate_of(call: Call) -> Certificate:
    """Make the certificate that a call asks for; nothing is written.

    The processes of one launch share the inputs, and each gets the certificate of one.
    """
    import sipp_core

    pair, held = both_of(call)
    named = functools.partial(labels_from, held=held, data=pair.data)
    labels = named(call.labels, "targets", option="--labels")
    groups = named(call.groups, "class", option="--groups")
    ranks.join()
    return sipp_core.certify(
        pair.original, pair.pruned, held, labels=labels, groups=groups, seed=call.seed or 0,
        **call.options,
    )  # fmt: skip
