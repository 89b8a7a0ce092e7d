"""The report in the header of a saved network as pydantic checks it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Largest number of layers, notes or changes; a model has fewer modules.
MANY = 1 << 16


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class LayerEntry(_Strict):
    """One layer's report, but for its arrays."""

    name: str
    shape: list[int] = Field(min_length=2, max_length=2)
    nnz_before: int = Field(ge=0)
    nnz_after: int = Field(ge=0)
    eps: float
    whole: int = Field(ge=0)
    dead: int = Field(ge=0)
    removed: int = Field(ge=0)
    vacuous_neurons: int = Field(ge=0)
    measured: float | None = None
    # Not in files of every release.
    rows_per_input: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _shape_of_a_matrix(self) -> LayerEntry:
        if min(self.shape) < 1:
            raise ValueError(f"the shape of layer {self.name!r} is {self.shape}")
        return self


class ChangeEntry(_Strict):
    """A layer of another shape than in the model that was pruned."""

    name: str
    kind: Literal["low-rank", "narrow"]
    sizes: list[int] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _sizes_of_the_kind(self) -> ChangeEntry:
        if len(self.sizes) != {"low-rank": 1, "narrow": 2}[self.kind] or min(self.sizes) < 1:
            raise ValueError(f"layer {self.name!r} is {self.kind} with sizes {self.sizes}")
        return self


class FilterEntry(_Strict):
    """What became of one layer's channels, but for which."""

    zeroed: int = Field(ge=0)
    eps: float
    multiply_adds_before: int = Field(ge=0)
    multiply_adds_after: int = Field(ge=0)
    filters: int = Field(ge=0)
    inputs: int = Field(ge=0)


class GroupEntry(_Strict):
    """Channels that competed, but for their sensitivities."""

    producers: list[str]
    consumers: list[str]
    units: int = Field(ge=1)
    kept: int = Field(ge=0)
    dead: int = Field(ge=0)
    sensitivity_sum: float
    draws: int = Field(ge=0)
    events: int = Field(ge=0)
    eps: float
    frozen: list[str]
    error: float | None
    region_error: float | None


class ChannelsEntry(_Strict):
    """What became of the channels of a network."""

    groups: list[GroupEntry] = Field(max_length=MANY)
    whole: dict[str, str]
    multiply_adds_before: int = Field(ge=0)
    multiply_adds_after: int = Field(ge=0)
    layers: dict[str, FilterEntry]


class Report(_Strict):
    """The report of a saved network."""

    method: str
    seed: int = Field(ge=0)
    keep: float | None
    scope: str
    eps: float | None
    delta: float
    bound: str
    coverage_factor: float
    inputs: int = Field(ge=0)
    distinct: int = Field(ge=0)
    vacuous: bool
    holds_for: str
    versions: dict[str, str]
    original: str
    notes: list[str] = Field(max_length=MANY)
    claims: list[str] = Field(max_length=MANY)
    layers: list[LayerEntry] = Field(min_length=1, max_length=MANY)
    coupled: list[str]
    masked: list[str]
    # Not in files of every release.
    joint: list[str] = []
    structure: list[ChangeEntry] = Field(default=[], max_length=MANY)
    arguments: dict[str, Any] = {}
    implied: list[str] = []
    extra: dict[str, Any] = {}
    channels: ChannelsEntry | None = None

    @model_validator(mode="after")
    def _every_name_once(self) -> Report:
        for what in ("layers", "structure"):
            names = [entry.name for entry in getattr(self, what)]
            if len(set(names)) < len(names):
                raise ValueError(f"a name stands twice among its {what}")
        return self
