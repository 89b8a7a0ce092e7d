"""The networks that the experiments are about, trained once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as to_bytes
from torch import nn

from reports.validation.sources import source_digest
from reports.validation.spirals import two_spirals
from sipp_core.compression import architecture
from sipp_core.runtime import alone, write_atomically
from sipp_core.zoo import Dataset, Recipe, datasets, models, training

Progress = Callable[[int, int, str], None]
SPIRAL_POINTS = 150
FAMILIES: dict[str, Callable[[list[int], int], nn.Module]] = {
    "fc": models.dense, "vgg": models.vgg,
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A network on a data set, and how it is trained.

    Attributes:
        net: a name of `sipp_core.models`, "fc" or "vgg" with widths joined by "-" as
            "fc-784-300-10", or another architecture as `sipp_core.compress` names it.
        data: a name of `sipp_core.datasets`, or "spirals" (see `reports.validation.spirals`).
        recipe: how it is trained.
        shipped: whether it has the weights that come with the package, the same for every seed.
    """

    net: str
    data: str
    recipe: Recipe
    shipped: bool = False

    def build(self, seed: int) -> nn.Module:
        """The untrained network of a seed."""
        if (family := self._family) is not None:
            return family([int(width) for width in self.net.split("-")[1:]], seed)
        return architecture.named(self.net).build(seed)

    @property
    def _family(self) -> Callable[[list[int], int], nn.Module] | None:
        """What builds it, where its name is widths."""
        name, _, widths = self.net.partition("-")
        return FAMILIES.get(name) if widths.replace("-", "").isdigit() else None

    @property
    def flat(self) -> bool:
        """Whether it takes flat inputs."""
        if self._family is not None:
            return self._family is models.dense
        return len(architecture.named(self.net).input_shape) == 1


class AnySubject(Protocol):
    """What an experiment is about; its names stand in the keys of cells."""

    @property
    def net(self) -> str:
        """Name of the network, or of what takes its place."""
        ...

    @property
    def data(self) -> str:
        """Name of the data."""
        ...


class AnyPlan(Protocol):
    """A plan of any experiment: a dataclass with a schedule and a subject."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def schedule(self) -> str:
        """Name of the schedule."""
        ...

    @property
    def subject(self) -> AnySubject:
        """What it is about."""
        ...

    @property
    def embedded(self) -> bool:
        """Whether its data need no file."""
        ...

    def fetch(self, store: ModelStore) -> None:
        """Raise FileNotFoundError where its data are not at hand."""


@dataclass(frozen=True)
class Planned:
    """A plan of an experiment on trained networks.

    Attributes:
        schedule: its name.
        subject: the network, its data and how it is trained.
    """

    schedule: str
    subject: Subject

    @property
    def embedded(self) -> bool:
        """Whether its data need no file."""
        return self.subject.data in ("digits", "spirals")

    def fetch(self, store: ModelStore) -> None:
        """Raise FileNotFoundError where its data are not at hand."""
        store.data(self.subject)


class Calibrated(Planned):
    """A plan whose networks are pruned on so many `inputs`; a field of the plan itself."""

    inputs: int


@dataclass(frozen=True)
class ModelStore:
    """Trains networks, and keeps their weights and the data set read last.

    Attributes:
        data_dir: folder of the data files, or None.
        folder: where trained weights and unfinished trainings are kept, or None to keep nothing.
        device: where torch computes.
        threads: CPU threads of training.
        progress: callback, or None.
        loaded: the data set that was read last.
    """

    data_dir: str | PathLike[str] | None = None
    folder: Path | None = None
    device: str = "cpu"
    threads: int = 1
    progress: Progress | None = None
    loaded: dict[tuple[str, bool], Dataset] = field(default_factory=dict, repr=False)

    def data(self, subject: Subject) -> Dataset:
        """The data set of a subject, shaped as it takes them; the last one is at hand."""
        key = (subject.data, subject.flat)
        if key not in self.loaded:
            self.loaded.clear()
            self.loaded[key] = (
                two_spirals(SPIRAL_POINTS, seed=0)
                if subject.data == "spirals"
                else datasets.load(subject.data, data_dir=self.data_dir, flat=subject.flat)
            )
        return self.loaded[key]

    def trained(self, subject: Subject, seed: int, dataset: Dataset | None = None) -> nn.Module:
        """The trained network of a seed: shipped, read where it was kept, or trained and kept."""
        if subject.shipped:
            return models.pretrained(subject.net).to(self.device)
        model = subject.build(seed).to(self.device)
        if self.folder is None:
            self._train(model, subject, seed, dataset, None)
            return model
        name = f"{subject.net}-{subject.data}-{seed}-{_digest(subject.recipe)}"
        kept = self.folder / f"{name}.safetensors"
        with alone(kept):  # many processes may need it, and one trains it
            if kept.is_file():
                return read_weights(model, kept)
            begun = self.folder / f"{name}.unfinished"
            self._train(model, subject, seed, dataset, begun)
            write_weights(model, kept)
            begun.unlink(missing_ok=True)
        return model

    def _train(
        self, model: nn.Module, subject: Subject, seed: int, dataset: Dataset | None,
        begun: Path | None,
    ) -> None:  # fmt: skip
        training.train(
            model, dataset or self.data(subject), subject.recipe, seed=seed,
            threads=self.threads, checkpoint=begun, progress=self.progress,
        )  # fmt: skip


def _digest(recipe: Recipe) -> str:
    text = json.dumps(asdict(recipe), sort_keys=True)
    return hashlib.sha256(f"{torch.__version__} {source_digest()} {text}".encode()).hexdigest()[:10]


def write_weights(model: nn.Module, path: Path) -> None:
    """Write a network's weights."""
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_atomically(path, to_bytes(state))


def read_weights(model: nn.Module, path: Path) -> nn.Module:
    """Read weights that `write_weights` wrote."""
    try:
        model.load_state_dict(read_tensors(path.read_bytes()))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it to train anew") from error
    return model.eval()
