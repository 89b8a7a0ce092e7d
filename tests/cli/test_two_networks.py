"""`sipp certify` for networks from other tools, `sipp verify` and `sipp diff`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sipp_core.zoo import datasets, models

Call = Callable[..., Any]
Refused = Callable[..., str]

FACTORIES = """
import warnings
import torch
from torch import nn
from torch.nn.utils import prune

def original():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 5))
    return net.eval()

def pruned():
    net = original()
    for layer in (net[1], net[3]):
        prune.l1_unstructured(layer, "weight", amount=0.3)
    return net

def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(original(), {nn.Linear}, dtype=torch.qint8)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's own module, inputs and labels in it."""
    name = f"factories_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(300, 1, 6, 6)).astype(np.float32))
    np.save(tmp_path / "y.npy", rng.integers(5, size=300))
    return tmp_path


def module(place: Path) -> str:
    return next(place.glob("factories_*.py")).stem


@pytest.mark.parametrize("made", ["pruned", "quantized"])
def test_networks_of_other_tools_are_certified_and_verified(
    sipp: Call, place: Path, made: str
) -> None:
    words = ("--original", f"{module(place)}:original", "--pruned", f"{module(place)}:{made}")
    ended = sipp("certify", *words, "--inputs", "x.npy", "--labels", "y.npy", "--groups", "class",
                 "--score", "relative-l2", "--score", "kl", "--corrupt", "gaussian:0.1",
                 "--out", "certificate.json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "in all 4 statements" in ended.out and "accuracy is at least" in ended.out
    assert "The whole curve" in ended.out and "perturbed by gaussian:0.1" in ended.out
    result = sipp("verify", "certificate.json", "--json")
    assert result.code == 0 and result.json["verified"] is True, result.out
    other = "quantized" if made == "pruned" else "pruned"
    result = sipp("verify", "certificate.json", "--pruned", f"{module(place)}:{other}", "--json")
    assert result.code == 1 and "another pruned" in result.json["differences"][0]


def test_torchscript_onnx_and_state_dicts_are_networks(sipp: Call, place: Path) -> None:
    sys.path.insert(0, str(place))
    factories = __import__(module(place))
    net, other = factories.original(), factories.original()
    with torch.no_grad():
        other[1].weight.mul_(1.1)
    save_file(net.state_dict(), place / "a.safetensors")
    save_file(other.state_dict(), place / "b.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(other, torch.ones(2, 1, 6, 6)), place / "b.pt")
    factory = f"{module(place)}:original"
    runs = [
        sipp("certify", "--original", first, "--pruned", second, "--model", factory, "--inputs",
             "x.npy", "--json")
        for first, second in (("a.safetensors", "b.safetensors"), (factory, "b.pt"))
    ]  # fmt: skip
    assert [ended.code for ended in runs] == [0, 0], runs[1].err
    first, second = (ended.json for ended in runs)
    assert first["eps"] == pytest.approx(second["eps"], rel=1e-4)
    assert first["fingerprints"]["inputs"] == second["fingerprints"]["inputs"]


def test_an_onnx_file_is_a_network(sipp: Call, place: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    net = __import__(module(place)).original()
    state = {f"p{i}": t.numpy() for i, t in enumerate(net.state_dict().values())}
    kept = [numpy_helper.from_array(v, k) for k, v in state.items()]
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "p0", "p1"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "p2", "p3"], ["y"], transB=1),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind, ["n", 1, 6, 6])],
        [helper.make_tensor_value_info("y", kind, ["n", 5])], kept,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, place / "net.onnx")
    words = ("--original", f"{module(place)}:original", "--pruned", "net.onnx")
    ended = sipp("certify", *words, "--inputs", "x.npy", "--out", "c.json", "--json")
    assert ended.code == 0 and ended.json["eps"] < 1e-5, ended.err
    assert len(ended.json["fingerprints"]["pruned"]) == 64
    assert sipp("verify", "c.json").code == 0
    (place / "bad.onnx").write_bytes(b"no network")
    ended = sipp("certify", *words[:3], "bad.onnx", "--inputs", "x.npy")
    assert ended.code == 2 and "is no ONNX network" in ended.err


# ---- verify ------------------------------------------------------------------------------------


@pytest.fixture
def certified(sipp: Call, weights: Path, pruned: Path, tmp_path: Path) -> Path:
    """A certificate of the pruned digits network, beside copies of all that it speaks of."""
    for source, name in ((weights, "w.safetensors"), (pruned, "p.safetensors")):
        (tmp_path / name).write_bytes(source.read_bytes())
    np.save(tmp_path / "x.npy", datasets.load("digits").test_inputs.numpy())
    ended = sipp("certify", tmp_path / "p.safetensors", "--model", "digits-mlp", "--weights",
                 tmp_path / "w.safetensors", "--inputs", tmp_path / "x.npy", "--out",
                 tmp_path / "certificate.json", "--embed")  # fmt: skip
    assert ended.code == 0, ended.err
    return tmp_path


def no(sipp: Call, *words: object) -> str:
    ended = sipp("verify", *words, "--json")
    assert ended.code == 1 and ended.json["verified"] is False, ended.out + ended.err
    return "; ".join(ended.json["differences"])


def test_yes_beside_the_network_in_its_header_and_in_another_number_of_threads(
    sipp: Call, certified: Path, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if before == 1 else 1)
        ended = sipp("verify", certified / "certificate.json")
        assert ended.code == 0 and ended.out.startswith("yes"), ended.out
        assert "Not proved by this" in ended.out
    finally:
        torch.set_num_threads(before)
    assert sipp("verify", certified / "p.safetensors").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("w.safetensors", "p.safetensors", "x.npy"):
        (certified / name).rename(elsewhere / name)
    new = {name: elsewhere / name for name in ("w.safetensors", "p.safetensors", "x.npy")}
    words = ("--pruned", new["p.safetensors"], "--weights", new["w.safetensors"])
    ended = sipp("verify", certified / "certificate.json", *words, "--inputs", new["x.npy"])
    assert ended.code == 0, ended.out + ended.err


def test_no_to_other_inputs_and_another_order(sipp: Call, certified: Path) -> None:
    x = np.load(certified / "x.npy")
    path, other = certified / "certificate.json", certified / "y.npy"
    changed = x.copy()
    changed[7, 20] += 1e-3
    for inputs in (changed, x[::-1].copy(), x[:-1], np.concatenate([x, x[:1]])):
        np.save(other, inputs)
        assert "other inputs" in no(sipp, path, "--inputs", other)


def test_no_to_one_weight_changed(sipp: Call, certified: Path) -> None:
    path = certified / "certificate.json"
    state = load_file(certified / "w.safetensors")
    name = next(iter(state))
    state[name].reshape(-1)[0] += 1e-3
    save_file(state, certified / "w2.safetensors")
    assert "another network" in no(sipp, path, "--weights", certified / "w2.safetensors")
    content = bytearray((certified / "p.safetensors").read_bytes())
    content[-1] ^= 1
    (certified / "p2.safetensors").write_bytes(content)
    assert "altered" in no(sipp, path, "--pruned", certified / "p2.safetensors")


def test_no_to_an_edited_number_and_another_version(sipp: Call, certified: Path) -> None:
    from sipp_core.certificates.saved import _seal

    path = certified / "certificate.json"
    written = json.loads(path.read_text())
    for place, value in (("eps", 1e-3), ("violations", 3), ("confidence", 0.999)):
        edited = json.loads(path.read_text())
        edited["certificate"][place] = value
        (certified / "e.json").write_text(json.dumps(edited))
        assert "has been edited" in no(sipp, certified / "e.json")
        # Whoever seals it again is found out by making it again.
        edited["sha256"] = _seal(edited)
        (certified / "e.json").write_text(json.dumps(edited))
        assert f"{place} is" in no(sipp, certified / "e.json")
    written["certificate"]["versions"]["sipp-theory"] = "0.1.0"
    written["sha256"] = _seal(written)
    (certified / "e.json").write_text(json.dumps(written))
    assert "made by sipp-theory 0.1.0" in no(sipp, certified / "e.json")
    written = json.loads(path.read_text())
    written["statement"] = ["It is perfect."]
    written["sha256"] = _seal(written)
    (certified / "e.json").write_text(json.dumps(written))
    assert "sentences on file are not" in no(sipp, certified / "e.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "its format is None"),
        ('{"format": "sipp-theory certificate 9"}', "its format is 'sipp-theory certificate 9'"),
        ("{[", "no JSON"),
        ('{"format": "sipp-theory certificate 1"}', "statement: Field required"),
        ("[" * 100000, "safetensors"),
    ],
)
def test_what_is_no_certificate_is_refused(
    refused: Refused, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "c.json").write_text(content)
    assert words in refused("verify", tmp_path / "c.json")


def test_a_network_without_a_certificate_says_so(refused: Refused, pruned: Path) -> None:
    assert "carries no certificate" in refused("verify", pruned)
    assert "there is no certificate at" in refused("verify", "none.json")


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--original", "a:b"), "with --original and --pruned"),
        ((), "give a file of sipp prune"),
        (("p.safetensors", "--pruned", "a:b"), "give a file of sipp prune"),
        (("--original", "a:b", "--pruned", "c:d", "--weights", "w"), "not with --original"),
        (("--original", "a:b", "--pruned", "c:d", "--embed"), "--embed writes into"),
        (("--original", "none.onnx", "--pruned", "c:d"), "there is no network none.onnx"),
    ],
)
def test_calls_that_make_no_sense_are_refused(
    refused: Refused, words: tuple[str, ...], culprit: str
) -> None:
    assert culprit in refused("certify", *words, "--inputs", "digits")


# ---- diff --------------------------------------------------------------------------------------


def test_two_results_side_by_side(sipp: Call, certified: Path) -> None:
    model = models.build("digits-mlp")
    model.load_state_dict(load_file(certified / "w.safetensors"))
    assert isinstance(model, nn.Module)
    words = ("prune", "--model", "digits-mlp", "--weights", certified / "w.safetensors")
    words += ("--data", "digits", "--keep", 0.2, "--calibration-size", 100)
    words += ("--out", certified / "q")
    assert sipp(*words).code == 0
    q = certified / "q.safetensors"
    (certified / "q").rename(q)
    ended = sipp("certify", q, "--model", "digits-mlp", "--weights", certified / "w.safetensors",
                 "--inputs", certified / "x.npy", "--out", certified / "d.json")  # fmt: skip
    assert ended.code in (0, 1)
    ended = sipp("diff", certified / "certificate.json", certified / "d.json")
    assert ended.code == 1 and "promises less" in ended.out
    back = sipp("diff", certified / "d.json", certified / "certificate.json", "--json")
    assert back.code == 0 and back.json["worse"] == [] and "eps" in back.json["differences"]
    ended = sipp("diff", certified / "p.safetensors", q, "--json")
    assert {"nnz_after", "keep", "bytes"} <= set(ended.json["differences"])
    assert any(name.startswith("layers.") for name in ended.json["differences"])
    same = sipp("diff", q, q)
    assert same.code == 0 and same.out == "no difference\n"


def test_what_differs_is_told_in_few_lines(sipp: Call, refused: Refused, place: Path) -> None:
    words = ("--original", f"{module(place)}:original", "--inputs", "x.npy")
    for name in ("pruned", "quantized"):
        ended = sipp("certify", *words, "--pruned", f"{module(place)}:{name}", "--score",
                     "relative-l2", "--score", "top-k:2", "--out", f"{name}.json")  # fmt: skip
        assert ended.code == 0, ended.err
        assert ended.out.count("change their class") == 1
        assert "The whole curve (relative-l2)" in ended.out and "(top-k:2): " in ended.out
        assert "The whole curve (top-k:2)" not in ended.out
    output = no(sipp, "pruned.json", "--pruned", f"{module(place)}:quantized")
    assert output.startswith("another pruned network") and "more of curve.eps differ" in output
    assert output.count("curve.eps.") <= 2
    result = sipp("diff", "quantized.json", "pruned.json", "--json").json
    first, second = result["differences"]["eps at 10%"]
    assert first < second and "eps at 10%" in result["worse"]
    # What is wrong with the call is no fault of the certificate.
    assert "--device 'gpu'" in refused("verify", "pruned.json", "--device", "gpu")
    edited = json.loads((place / "pruned.json").read_text())
    edited["certificate"]["curve"]["eps"][3] = 0.0
    (place / "edited.json").write_text(json.dumps(edited))
    assert "edited.json cannot be compared" in refused("diff", "pruned.json", "edited.json")


def test_a_foreign_network_is_compared_by_its_certificate(
    sipp: Call, refused: Refused, certified: Path
) -> None:
    w, f = certified / "w.safetensors", certified / "f.safetensors"
    f.write_bytes(w.read_bytes())
    words = ("--original", w, "--pruned", f, "--inputs", certified / "x.npy")
    assert "if it holds weights" in refused("certify", *words)
    assert sipp("certify", *words, "--model", "digits-mlp", "--embed").code == 0
    result = sipp("diff", f, certified / "p.safetensors", "--json")
    assert result.code == 1 and "certificate.eps" in result.json["worse"]


def test_numbers_are_no_certificate(refused: Refused, place: Path) -> None:
    assert "x.npy is neither a certificate (JSON)" in refused("verify", "x.npy")
    assert "x.npy is neither a certificate nor a network" in refused("diff", "x.npy", "x.npy")


def test_diff_refuses_what_it_cannot_read(refused: Refused, weights: Path, tmp_path: Path) -> None:
    assert "neither a certificate nor a network" in refused("diff", weights, weights)


RESIDUAL = """
import copy
import warnings
import torch
from torch import nn
from torch.nn.utils import prune

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))

def residual():
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    blocks = (Block(8), nn.MaxPool2d(2), Block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(stem, *blocks, nn.Linear(8, 5)).eval()

def _pruned(net):
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(
        [(m, "weight") for m in layers], pruning_method=prune.L1Unstructured, amount=0.2
    )
    return net

def _quantized(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        generator = torch.Generator().manual_seed(1)
        images = torch.randn(16, 3, 32, 32, generator=generator)
        ready = prepare_fx(copy.deepcopy(net), get_default_qconfig_mapping(), (images,))
        with torch.no_grad():
            ready(images)
        return convert_fx(ready)

def residual_pruned():
    return _pruned(residual())

def residual_quantized():
    return _quantized(residual())
"""


@pytest.mark.parametrize("made", ["pruned", "quantized"])
def test_residual_networks_that_torch_pruned_or_quantized(
    sipp: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    name = f"residual_{made}"
    (tmp_path / f"{name}.py").write_text(RESIDUAL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(40, 3, 32, 32)).astype(np.float32))
    ended = sipp("certify", "--original", f"{name}:residual", "--pruned",
                 f"{name}:residual_{made}", "--inputs", "x.npy", "--delta", "0.2",
                 "--out", "certificate.json", "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert 0 < ended.json["eps"] < float("inf") and ended.json["n"] == 40
    assert sipp("verify", "certificate.json").code == 0
