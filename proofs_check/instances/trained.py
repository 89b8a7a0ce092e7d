"""The networks that checks look at: trained once, kept for the process and, on request, on disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from proofs_check.ledger.evidence import Unavailable
from proofs_check.ledger.registry import CheckOutput, Setting
from proofs_check.ledger.store import versions
from sipp_core import calibrate
from sipp_core.pruning import Table, make_table
from sipp_core.runtime import read_bytes, read_state, write_atomically
from sipp_core.sensitivity import LayerStatistics
from sipp_core.zoo import Dataset, Recipe, datasets, models, training

CALIBRATION = 256


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network and inputs in the roles that checks need.

    Attributes:
        name: of the data set, "digits" or "mnist".
        model: the trained network, on the device of the setting, in eval mode.
        train: (n, ...) inputs that it was trained on.
        fresh: (n, ...) inputs that had no say in anything.
        targets: (n,) classes of the fresh inputs.
    """

    name: str
    model: nn.Module
    train: Tensor
    fresh: Tensor
    targets: Tensor

    @property
    def weights(self) -> list[np.ndarray]:
        """Weight matrices, float64, (out, fan_in) each."""
        return [layer.weight.detach().cpu().double().numpy() for layer in self._layers]

    @property
    def biases(self) -> list[np.ndarray]:
        """Biases, float64, (out,) each."""
        return [layer.bias.detach().cpu().double().numpy() for layer in self._layers]

    @property
    def eta(self) -> int:
        """Number of neurons."""
        return sum(w.shape[0] for w in self.weights)

    @property
    def eta_star(self) -> int:
        """Widest layer, the input width included."""
        return max(w.shape[1] for w in self.weights)

    @property
    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self.model.modules() if isinstance(layer, nn.Linear)]


def names(setting: Setting) -> tuple[str, ...]:
    """Data sets whose networks this setting looks at."""
    return ("digits", "mnist") if setting.full and setting.data_dir else ("digits",)


def network(setting: Setting, name: str = "digits") -> TrainedNetwork:
    """The trained network of a data set."""
    return _network(name, setting.seed, setting.data_dir, setting.cache, setting.device)


@lru_cache(maxsize=4)
def _network(name: str, seed: int, data_dir: str, cache: str, device: str) -> TrainedNetwork:
    if datasets.SOURCES[name].folders and not data_dir:
        raise Unavailable(f"no folder with the {name} files was given: name one with --data-dir")
    try:
        data = datasets.load(name, data_dir or None, seed=seed)
    except OSError as error:
        raise Unavailable(f"no {name} data: {error}") from error
    net = datasets.SOURCES[name].network
    model = models.build(net, seed=seed)
    recipe = training.recipe(net, name)
    kept = Path(cache, f"{net}-{name}-{seed}-{_key(data, recipe)}.pt") if cache else None
    if kept is None or not _taken(kept, model):
        training.train(model, data, recipe, seed=seed)
        if kept is not None:
            _keep(kept, model)
    return TrainedNetwork(
        name, model.eval().to(device), data.train_inputs, data.test_inputs, data.test_targets
    )


def _key(data: Dataset, recipe: Recipe) -> str:
    """What a trained network depends on: the code, its libraries, the recipe and the data."""
    digest = hashlib.sha256(repr((sorted(versions().items()), recipe)).encode())
    for tensor in (data.train_inputs, data.train_targets):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _taken(path: Path, model: nn.Module) -> bool:
    """Give a network the weights that are kept in a file, if there are whole ones."""
    room = 2**20 + 2 * sum(value.nbytes for value in model.state_dict().values())
    try:
        model.load_state_dict(read_state(read_bytes(path), str(path), room))
    except (OSError, ValueError, RuntimeError):
        return False
    return True


@lru_cache(maxsize=8)
def _calibration(
    name: str, seed: int, data_dir: str, cache: str, device: str, points: int
) -> tuple[LayerStatistics, ...]:
    net = _network(name, seed, data_dir, cache, device)
    rows = np.random.default_rng([seed, 5]).permutation(len(net.train))[:points]
    return tuple(calibrate(net.model, net.train[rows], points=points, seed=seed).layers)


def forget_calibration() -> None:
    """Calibrate anew at the next call; the trained networks stay."""
    _calibration.cache_clear()


def tables(setting: Setting, name: str = "digits", points: int = CALIBRATION) -> list[Table]:
    """Calibration tables of each layer: sensitivities, S_sum, and shares at the inputs kept."""
    net = network(setting, name)
    layers = _calibration(
        name, setting.seed, setting.data_dir, setting.cache, setting.device, points
    )
    return [
        make_table(layer, delta=0.05, coverage_factor=1.0, bound="exact", eta=net.eta,
                   eta_star=net.eta_star)
        for layer in layers
    ]  # fmt: skip


def hardest_pairs(tables: list[Table], count: int) -> list[tuple[int, int, int]]:
    """Pairs (layer, sign, neuron) of the largest sensitivity sums, `count` of each layer."""
    chosen = []
    for layer, table in enumerate(tables):
        pairs = [(int(s), int(i)) for s, i in np.argwhere(table.support >= 2)]
        pairs.sort(key=lambda pair: -table.total[pair])
        chosen += [(layer, sign, neuron) for sign, neuron in pairs[:count]]
    return chosen


def pair_shares(table: Table, sign: int, neuron: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares at the live calibration rows and sensitivities of one sign of one neuron.

    Shapes: returns (g, s).

    Claim: ES-1. Source: [SP] arXiv 1910.05422.
    """
    g = table.shares(sign, neuron, table.sign(sign)[neuron])
    s = g.max(axis=0)
    return g[:, s > 0], s[s > 0]


def on_networks(
    kind: Callable[..., Callable[..., object]], name: str, claims: tuple[str, ...],
    body: Callable[[Setting, str], CheckOutput], digits: str, mnist: str,
) -> None:  # fmt: skip
    """Register <name>_digits and, in the full profile, <name>_mnist: one check of each network.

    `digits` and `mnist` are what the two say.
    """
    for network, profile, summary in (("digits", "quick", digits), ("mnist", "full", mnist)):

        def check(setting: Setting, network: str = network) -> CheckOutput:
            return body(setting, network)

        check.__name__, check.__doc__ = f"{name}_{network}", summary
        check.__module__ = body.__module__
        kind(*claims, profile=profile)(check)


def _keep(path: Path, model: nn.Module) -> None:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
