"""Saved networks: an exact round trip, and every damaged file refused in words."""

from __future__ import annotations

import copy
import dataclasses
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sipp_core import PruneResult, certify, load, prune
from sipp_core.pruning.plan import draw
from sipp_core.runtime import files
from sipp_core.runtime.files import write_atomically
from sipp_core.runtime.numbers import generator
from tests.core.conftest import PLANNED, for_method


def dense(hidden: int = 9) -> nn.Module:
    net = nn.Sequential(nn.Linear(12, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 4))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return net.eval()


def inputs(n: int = 40, seed: int = 1) -> Tensor:
    return torch.rand(n, 12, generator=torch.Generator().manual_seed(seed))


def result(method: str = "sipp-hybrid", **settings: Any) -> PruneResult:
    settings = {"keep": 0.3} | settings
    x = inputs()
    return prune(dense(), for_method(method, x), method=method, seed=3, **settings)


def assert_same(first: PruneResult, second: PruneResult) -> None:
    for field in dataclasses.fields(PruneResult):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "model":
            a, b = a.state_dict(), b.state_dict()
            assert a.keys() == b.keys()
            assert all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)
        elif field.name == "masks":
            assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        elif field.name == "plans" and not b:
            continue  # only where they were saved
        elif field.name in ("layers", "plans"):
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                for inner in dataclasses.fields(x):
                    if inner.name == "measured_neuron":
                        continue  # not in the file
                    u, v = getattr(x, inner.name), getattr(y, inner.name)
                    np.testing.assert_array_equal(u, v, err_msg=inner.name)
                    assert type(u) is type(v) and getattr(u, "dtype", 0) == getattr(v, "dtype", 0)
        else:
            assert a == b and type(a) is type(b), field.name


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("method", PLANNED)
def test_the_round_trip_is_exact(method: str, masks: bool, tmp_path: Path) -> None:
    for settings in ({"keep": 0.3}, {"keep": None, "eps": 0.5, "delta": 0.1}):
        if method == "random" and "eps" in settings:
            continue
        saved = result(method, masks=masks, **settings)
        path = saved.save(tmp_path / "net.safetensors", plans=True)
        assert path == tmp_path / "net.safetensors"
        model = dense()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        loaded = load(str(path), model)
        assert_same(saved, loaded)
        assert len(loaded.plans) == len(saved.plans)
        short = load(saved.save(tmp_path / "short"), model)
        assert_same(saved, short)
        assert short.plans == () and (tmp_path / "short").stat().st_size < path.stat().st_size
        assert torch.equal(saved.model(inputs()), loaded.model(inputs()))
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert loaded.model is not model and type(loaded.model) is type(model)


def test_a_masked_network_has_its_weights_before_any_forward_pass(tmp_path: Path) -> None:
    saved = result(masks=True)
    loaded = load(saved.save(tmp_path / "net"), dense())
    for name in saved.masks:
        first, second = (m.get_submodule(name).weight for m in (saved.model, loaded.model))
        assert isinstance(first, Tensor) and isinstance(second, Tensor)
        assert torch.equal(first, second)
    assert type(copy.deepcopy(saved.model)) is type(copy.deepcopy(loaded.model))
    # A loaded network can be the architecture of the next.
    assert_same(saved, load(tmp_path / "net", loaded.model))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_and_a_model_that_is_a_layer(dtype: torch.dtype, tmp_path: Path) -> None:
    model = nn.Linear(12, 5).to(dtype)
    saved = prune(model, inputs().to(dtype), method="sipp-rand", keep=0.5)
    assert_same(saved, load(saved.save(tmp_path / "net"), nn.Linear(12, 5).to(dtype)))


def test_draws_can_be_repeated_from_the_file(tmp_path: Path) -> None:
    for method in ("sipp-poisson", "sipp-rand", "sipp-recentred"):
        saved = result(method)
        loaded = load(saved.save(tmp_path / "net", plans=True), dense())
        for index, plan in enumerate(loaded.plans):
            weight = dense().get_parameter(f"{plan.name}.weight").detach().double()
            again = (
                weight * torch.from_numpy(draw(plan, generator(loaded.seed, index, 0)))
            ).float()
            assert torch.equal(again, saved.model.get_parameter(f"{plan.name}.weight"))


def test_the_calibration_inputs_are_remembered(tmp_path: Path) -> None:
    loaded = load(result().save(tmp_path / "net"), dense())
    with pytest.raises(ValueError, match="1 of 200 held-out inputs were calibration inputs"):
        certify(dense(), loaded.model, torch.cat([inputs(199, seed=9), inputs()[7:8]]))
    assert certify(dense(), loaded.model, inputs(200, seed=9)).seed == 3


# ---- damage ------------------------------------------------------------------------------------

REFUSED = "truncated or no safetensors file|not written by sipp|has been altered"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return result().save(tmp_path_factory.mktemp("saved") / "net").read_bytes()


def header_size(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def test_a_truncated_file_is_refused_at_any_length(content: bytes, tmp_path: Path) -> None:
    header, size = header_size(content), len(content)
    lengths = {0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, size - 1, size - 8}
    lengths |= set(range(0, size, size // 40))
    for length in sorted(lengths):
        path = tmp_path / "net"
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=REFUSED):
            load(path, dense())


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_one_changed_byte_is_refused_wherever_it_is(
    content: bytes, flip: int, tmp_path: Path
) -> None:
    header, size = header_size(content), len(content)
    rng = np.random.default_rng(flip)
    places = [*range(8), *rng.integers(8, header, 150), *rng.integers(header, size, 100), size - 1]
    path = tmp_path / "net"
    for place in map(int, places):
        path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        with pytest.raises(ValueError, match=REFUSED):
            load(path, dense())


def test_trailing_bytes_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(content + b"x")
    with pytest.raises(ValueError, match=REFUSED):
        load(tmp_path / "net", dense())


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    save_file({"0.weight": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="was not written by sipp: format is None"):
        load(path, dense())
    torch.save(dense().state_dict(), path)
    with pytest.raises(ValueError, match="truncated or no safetensors file"):
        load(path, dense())
    path.write_text("{}")
    with pytest.raises(ValueError, match="truncated or no safetensors file"):
        load(path, dense())
    with pytest.raises(FileNotFoundError, match="there is no saved network at .*absent"):
        load(tmp_path / "absent", dense())
    with pytest.raises(OSError, match="is no regular file"):
        load(tmp_path, dense())


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        dense(10),
        nn.Linear(12, 9),
        nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4)),
        nn.Sequential(*dense().children(), nn.Linear(4, 4)),
        dense().double(),
    ],
    ids=["wider", "one layer", "no norm", "deeper", "float64"],
)
def test_another_architecture_is_refused(model: nn.Module, masks: bool, tmp_path: Path) -> None:
    path = result(masks=masks).save(tmp_path / "net")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit the model"):
        load(path, model)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# ---- writing -----------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="cannot write .*file/net.*choose another folder"):
        result().save(tmp_path / "file" / "net")
    assert (tmp_path / "file").read_text() == "here"
    with pytest.raises(OSError):
        result().save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="cannot write .*choose another folder"):
            result().save(tmp_path / "net")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    step: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = result().save(tmp_path / "net")
    old = path.read_bytes()

    def stop(*args: object) -> None:
        raise error("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, step, stop)
        with pytest.raises(error, match="in the middle"):
            result("sipp-rand").save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert result("sipp-rand").save(path).read_bytes() != old


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_file_has_the_permissions_of_any_new_file(mask: int, tmp_path: Path) -> None:
    previous = os.umask(mask)
    try:
        path = write_atomically(tmp_path / "deep" / "er" / "net", b"content")
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(previous)
    assert path.read_bytes() == b"content"


def test_the_same_result_is_the_same_file(tmp_path: Path) -> None:
    first, second = (result().save(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
