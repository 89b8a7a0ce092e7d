"""Files of saved networks: old ones are read, new ones are short, forged ones are refused."""

from __future__ import annotations

import copy
import json
import math
import tracemalloc
import zlib
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from sipp_core import load, prune
from sipp_core.network.structure import narrow
from sipp_core.pruning.header import FORMAT, REPORT_ARRAYS
from sipp_core.pruning.together import TOGETHER, put_together, take_apart
from sipp_core.runtime.packing import narrow_array, pack, unpack, widen_array
from sipp_core.runtime.provenance import checksum
from sipp_core.runtime.tensor_files import metadata_of, read_safetensors
from sipp_core.zoo import models
from tests.core.runtime.test_tensor_files import Counting

OLD = Path(__file__).parent / "old_files"


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 3)
    )


@pytest.mark.parametrize(
    ("name", "total", "weights", "plans"),
    [
        ("hybrid", 12.084160242346115, 114, 3),
        ("masked", 19.888034677132964, 133, 3),
        ("low-rank", 21.142428079270758, 129, 0),
        ("filters", 13.762480408069678, 123, 0),
    ],
)
def test_files_of_0_1_are_read_as_before(
    name: str, total: float, weights: int, plans: int, tmp_path: Path
) -> None:
    model = load(OLD / f"{name}.safetensors", convolutional())
    with torch.no_grad():
        assert sum(float(p.double().abs().sum()) for p in model.model.parameters()) == total
    assert model.nnz_after == weights and len(model.digests) == 20 and len(model.plans) == plans
    again = load(model.save(tmp_path / "new", plans=True), convolutional())
    assert again.summary() == model.summary() and len(again.plans) == plans
    x = torch.rand(4, 1, 6, 6)
    assert torch.equal(again.model(x), model.model(x))


# ---- size --------------------------------------------------------------------------------------


def sparse_bytes(model: nn.Module) -> int:
    """Weights in the shorter of bitmask and CSR form, columns in 32 bits; others as they are."""
    total = 0
    for value in model.state_dict().values():
        kept = int((value != 0).sum())
        if value.ndim < 2:
            total += value.nbytes
            continue
        bits = -(-value.numel() // 8)
        csr = 4 * kept + 4 * (len(value) + 1)
        total += min(value.nbytes, min(bits, csr) + kept * value.element_size())
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("magnitude", {"keep": 0.1}),
        ("magnitude", {"keep": 0.02}),
        ("sipp-det", {"keep": 0.5}),
        ("sipp-rand", {"keep": 0.1}),
        ("sipp-poisson", {"keep": 0.05}),
    ],
)
def test_a_saved_network_is_little_longer_than_its_sparse_weights(
    method: str, settings: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200)).to(dtype)
    result = prune(net, torch.rand(32, 784).to(dtype), method=method, **settings)
    size = result.save(tmp_path / "net").stat().st_size
    assert size <= 1.3 * sparse_bytes(result.model) + 4096 * (settings["keep"] < 0.05)


@pytest.mark.parametrize(
    ("method", "keep"),
    [("magnitude", 0.1), ("magnitude", 0.3), ("magnitude", 0.5), ("sipp-det", 0.3)],
)
def test_a_saved_network_of_many_short_layers_is_little_longer_too(
    method: str, keep: float, tmp_path: Path
) -> None:
    net = models.pretrained("resnet-20")
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    result = prune(net, x, method=method, keep=keep)
    path = result.save(tmp_path / "net")
    # With a header entry for each tensor it was 1.31, 1.13 and 1.09 times them.
    assert path.stat().st_size <= (1.2 if keep < 0.3 else 1.1) * sparse_bytes(result.model)
    model = load(path, net)
    assert model.summary() == result.summary()
    assert model.model(x).equal(result.model(x))
    for ours, theirs in zip(model.layers, result.layers, strict=True):
        for name in REPORT_ARRAYS:
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_tensors_put_together_come_back_and_long_ones_stay() -> None:
    tensors = {f"{k}": torch.full((k,), k, dtype=torch.bfloat16) for k in range(1, 50)}
    tensors |= {"long": torch.rand(5000), "bits": torch.ones(3, dtype=torch.bool)}
    together = put_together(tensors)
    assert set(together) == {TOGETHER, "long"}
    again = take_apart(together, "it")
    assert set(again) == set(tensors)
    for name, value in tensors.items():
        assert again[name].dtype == value.dtype and torch.equal(again[name], value)
    assert put_together({"a": torch.ones(1)}).keys() == {"a"}
    many = {f"{k:05}": torch.rand(512, dtype=torch.float64) for k in range(600)}  # 2.4 MB
    rest = put_together(many)
    assert 1 < len(rest) < 600 and take_apart(rest, "it").keys() == many.keys()


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"no zlib", "has Error -3"),
        (zlib.compress(to_bytes({"a": torch.ones(2)}))[:-1], "is cut off"),
        (zlib.compress(to_bytes({"a": torch.ones(2)})) + b"x", "is cut off"),
        (zlib.compress(bytes(10**8)), "unpacks to more than 2,097,152 bytes"),
        (zlib.compress(b"x"), "no safetensors file"),
        (zlib.compress(to_bytes({"3.bias": torch.ones(2)})), "has '3.bias' twice"),
        (zlib.compress(to_bytes({TOGETHER: torch.ones(2)})), "has 'together' twice"),
    ],
)
def test_what_was_not_put_together_is_refused(packed: bytes, reason: str) -> None:
    tensors = {"3.bias": torch.ones(2), TOGETHER: torch.tensor(list(packed), dtype=torch.uint8)}
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"the file.*{reason}"):
        take_apart(tensors, "the file")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()
    with pytest.raises(ValueError, match=r"'together' is torch\.float32"):
        take_apart({TOGETHER: torch.ones(2)}, "the file")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int32])
def test_packing_is_exact_and_never_longer(share: float, dtype: torch.dtype) -> None:
    dice = torch.Generator().manual_seed(0)
    value = torch.randn(20, 30, generator=dice) * (torch.rand(20, 30, generator=dice) < share)
    value[3, 4] = -0.0
    tensor = value.to(dtype)
    parts = pack("a", tensor)
    again = unpack("a", parts, tensor)
    assert again is not None and again.dtype == dtype
    assert torch.equal(again.view(torch.uint8), tensor.contiguous().view(torch.uint8))
    assert sum(part.nbytes for part in parts.values()) <= tensor.nbytes


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 5)), np.full(4, np.inf), np.array([0.0, -0.0]), np.arange(6.0),
     np.array([0.5, 1]), np.array([np.nan, np.nan]), np.arange(70_000).reshape(2, -1),
     np.array([[-3, 2**40]])],
)  # fmt: skip
def test_narrow_arrays_come_back_bit_for_bit(array: np.ndarray) -> None:
    again = widen_array("a", torch.from_numpy(narrow_array(array)), array.shape, array.dtype)
    assert again.tobytes() == array.tobytes() and again.flags.writeable


@pytest.mark.parametrize("method", ["filters-det", "filters-rand", "neurons-omp", "neurons-mussay"])
def test_what_became_of_channels_comes_back(method: str, tmp_path: Path) -> None:
    result = prune(convolutional(), torch.rand(20, 1, 6, 6), method=method, keep=0.5)
    model = load(result.save(tmp_path / "net"), convolutional())
    ours, theirs = model.channels, result.channels
    assert ours is not None and theirs is not None and len(ours.shapes) > 1
    assert model.summary() == result.summary()
    pairs = [*zip(ours.groups, theirs.groups, strict=True)]
    pairs += [(a.channels, b.channels) for a, b in zip(model.layers, result.layers, strict=True)]
    for mine, other in pairs:
        assert mine is not None and other is not None
        for name, value in vars(other).items():
            assert type(getattr(mine, name)) is type(value)
            assert np.array_equal(getattr(mine, name), value)
    again = model.save(tmp_path / "again")
    assert again.read_bytes() == (tmp_path / "net").read_bytes()


# ---- forged files ------------------------------------------------------------------------------

Tensors = dict[str, Tensor]
Report = dict[str, Any]


def forged(
    tmp_path: Path, change: Callable[[Tensors, Report], object], source: str = "sipp-rand"
) -> Path:
    """A file whose checksum is right and whose contents are not."""
    x = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    path = prune(convolutional(), x, method=source, keep=0.4).save(tmp_path / "net")
    content = path.read_bytes()
    tensors = take_apart(read_safetensors(content, "it"), "it")
    report = json.loads(json.loads(metadata_of(content, "it")["sipp"])["report"])
    change(tensors, report)
    text = json.dumps(report, sort_keys=True)
    header = {"format": FORMAT, "report": text, "sha256": checksum(tensors, text)}
    path.write_bytes(to_bytes(tensors, metadata={"sipp": json.dumps(header)}))
    return path


def test_a_file_with_each_tensor_by_itself_is_read_too(tmp_path: Path) -> None:
    path = forged(tmp_path, lambda *_: None)
    assert TOGETHER not in read_safetensors(path.read_bytes(), "it")
    model = load(path, convolutional())
    again = model.save(tmp_path / "again")
    assert TOGETHER in read_safetensors(again.read_bytes(), "it")
    assert load(again, convolutional()).summary() == model.summary()


VALUES = (None, -1, 0, 10**400, 0.5, math.nan, "x", True, [], {}, [[]], ["x"], {"x": 1})


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("sipp-rand", [(), ("layers", 0)]),
        ("filters-det", [("channels",), ("channels", "groups", 0), ("channels", "layers", "3")]),
    ],
)
def test_an_odd_report_is_refused_or_says_the_same(
    source: str, parts: list[tuple[str | int, ...]], tmp_path: Path
) -> None:
    path = forged(tmp_path, lambda *_: None, source)
    content = path.read_bytes()
    tensors = read_safetensors(content, "it")
    report = json.loads(json.loads(metadata_of(content, "it")["sipp"])["report"])
    places: list[tuple[Any, ...]] = [
        (*above, key) for above in parts for key in reduce(getitem, above, report)
    ]
    for place in places:
        for value in (*VALUES, ...):
            other = copy.deepcopy(report)
            part = reduce(getitem, place[:-1], other)
            if value is ...:
                del part[place[-1]]
            else:
                part[place[-1]] = value
            text = json.dumps(other)
            header = {"format": FORMAT, "report": text, "sha256": checksum(tensors, text)}
            path.write_bytes(to_bytes(tensors, metadata={"sipp": json.dumps(header)}))
            try:
                model = load(path, convolutional())
            except ValueError as error:
                assert str(path) in str(error)
            else:
                json.dumps(model.summary())
                assert 0 <= model.kept <= 1


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("svd", lambda _, r: r["structure"][0].update(sizes=[10**8])),
        ("svd", lambda _, r: r["structure"].append(r["structure"][0])),
        ("filters-det", lambda _, r: r["structure"][0].update(sizes=[10**8, 1])),
        ("sipp-rand", lambda _, r: r["layers"][0].update(shape=[10**5, 10**5])),
        ("sipp-rand", lambda _, r: r["layers"][0].update(name="no")),
        ("sipp-rand", lambda _, r: r["layers"].append(r["layers"][0])),
        ("sipp-rand", lambda t, _: t.pop("calibration/digests")),
        ("sipp-rand", lambda t, _: t.update({"values/3.weight": torch.ones(10**6)})),
        ("sipp-rand", lambda t, _: t.update({"bits/3.weight": torch.ones(10**6).byte()})),
        ("sipp-rand", lambda t, _: t.update({"report/0/eps_neuron": torch.ones(5)})),
        ("sipp-rand", lambda t, _: t.update({"mask/0": torch.ones(2).byte()})),
        ("sipp-rand", lambda t, _: t.update({"dense/strange": torch.ones(2)})),
        ("sipp-rand", lambda _, r: r.update(masked=["0"])),
        ("sipp-rand", lambda _, r: r.update(implied=["no"])),
        ("filters-det", lambda _, r: r["channels"]["groups"][0].update(units=10**9)),
        ("filters-det", lambda _, r: r["channels"].update(groups=r["channels"]["groups"] * 10**3)),
        ("filters-det", lambda _, r: r["channels"]["groups"][0]["producers"].append("no")),
        ("filters-det", lambda _, r: r["channels"]["groups"][0]["producers"].append("1")),
        ("filters-det", lambda _, r: r["channels"]["groups"][0].pop("eps")),
        ("filters-det", lambda _, r: r["channels"]["layers"]["0"].update(filters=10**9)),
        ("filters-det", lambda _, r: r["channels"]["layers"].update({"4": {}})),
        ("filters-det", lambda t, _: t.pop("report/3/multiplier")),
        ("filters-det", lambda t, _: t.pop("group/0/sensitivity")),
        ("filters-det", lambda t, _: t["report/0/kept_filters"].add_(9)),
        ("filters-det", lambda t, _: t["report/3/kept_inputs"].zero_()),
    ],
)
def test_a_file_that_asks_for_more_than_the_model_has_is_refused_at_once(
    source: str, change: Callable[[Tensors, Report], object], tmp_path: Path
) -> None:
    path = forged(tmp_path, change, source)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"{path} (does not fit the model|is damaged)"):
        load(path, convolutional())
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


# ---- what else a module is made of -------------------------------------------------------------


def test_extra_state_is_kept_or_refused_before_anything_is_written(tmp_path: Path) -> None:
    net = nn.Sequential(Counting(6, 4), nn.ReLU(), nn.Linear(4, 2))
    counting = net[0]
    assert isinstance(counting, Counting)
    counting.calls = 7
    result = prune(net, torch.rand(20, 6), method="magnitude", keep=0.5)
    path = result.save(tmp_path / "net")
    counting.calls = 1
    model = load(path, net).model.get_submodule("0")
    assert isinstance(model, Counting) and model.calls == 7
    own = result.model.get_submodule("0")
    assert isinstance(own, Counting)
    own.calls = (1, 2)
    with pytest.raises(TypeError, match="'0._extra_state' of the model is a dict that a file"):
        result.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_low_rank_layers_leave_the_random_state_alone(tmp_path: Path) -> None:
    x = torch.rand(20, 1, 6, 6)
    before = torch.random.get_rng_state()
    result = prune(convolutional_of(before), x, method="svd", keep=0.4)
    load(result.save(tmp_path / "net"), convolutional_of(before))
    assert torch.equal(torch.random.get_rng_state(), before)


def convolutional_of(state: Tensor) -> nn.Module:
    net = convolutional()
    torch.random.set_rng_state(state)
    return net


def test_no_model_is_refused_by_name(tmp_path: Path) -> None:
    none: Any = None
    with pytest.raises(TypeError, match=r"model must be an nn\.Module; found NoneType"):
        load(tmp_path / "net", none)
    with pytest.raises(TypeError, match=r"model must be an nn\.Module; found NoneType"):
        narrow(none, {})
