"""Exported networks compute what the pruned ones do, and their sizes are what the files have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn

import sipp_core
from sipp_core.pruning import exporting
from sipp_core.runtime import Batch
from sipp_core.zoo import models


@pytest.fixture
def pruned() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 10))
    return sipp_core.prune(
        net, torch.rand(32, 64), method="magnitude", keep=0.1, masks=True
    ).model.eval()


def test_dense(pruned: nn.Module, tmp_path: Path) -> None:
    file = sipp_core.export(pruned, tmp_path / "net.safetensors", "dense")
    state = load_file(file.path)
    assert torch.equal(state["0.weight"], pruned[0].weight)  # type: ignore[index]
    assert file.bytes == file.dense == file.path.stat().st_size
    assert "no smaller" in file.notes[0]


def test_the_dense_size_is_told_without_writing_it() -> None:
    net = nn.Sequential(nn.Linear(3, 2).bfloat16(), nn.BatchNorm1d(2), nn.Conv2d(1, 2, 3).half())
    kinds = (torch.bool, torch.uint8, torch.int16, torch.float64, torch.int32)
    for place, kind in enumerate(kinds):
        net.register_buffer(f"é{len(kinds) - place}", torch.zeros(1003 + place).to(kind))
    assert exporting._dense_bytes(net) == len(save(dict(net.state_dict())))


def test_torch_sparse(pruned: nn.Module, tmp_path: Path) -> None:
    file = sipp_core.export(pruned, tmp_path / "net.pt", "torch-sparse")
    state = torch.load(file.path)
    assert state["0.weight"].layout == torch.sparse_csr
    x = torch.rand(5, 64)
    hidden = torch.relu((state["0.weight"] @ x.T).T + state["0.bias"])
    answer = (state["2.weight"] @ hidden.T).T + state["2.bias"]
    torch.testing.assert_close(answer, pruned(x))
    assert file.bytes == file.path.stat().st_size < file.dense / 2


def test_what_would_be_larger_or_has_no_kernel_stays_dense(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(8, 8))
    for module in (net[0], net[1]):
        weight = module.get_parameter("weight").detach()
        weight.view(-1)[:5] = 0
    file = sipp_core.export(net, tmp_path / "net.pt", "torch-sparse")
    assert all(value.layout == torch.strided for value in torch.load(file.path).values())
    notes = " ".join(file.notes)
    assert "larger: 1.weight" in notes and "no convolution by sparse ones: 0.weight" in notes
    assert "no smaller than the dense file" in notes


def test_onnx(pruned: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    file = sipp_core.export(pruned, tmp_path / "net.onnx", "onnx", example=torch.rand(3, 64))
    x = torch.rand(7, 64)
    (answer,) = runtime.InferenceSession(file.path.read_bytes()).run(None, {"inputs": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), pruned(x).detach(), rtol=1e-4, atol=1e-5)
    assert file.bytes == file.path.stat().st_size


def test_a_residual_network_of_many_kernels(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net, x = models.pretrained("resnet-20").eval(), torch.rand(3, 3, 32, 32)
    file = sipp_core.export(net, tmp_path / "net.onnx", "onnx", example=x)  # warnings are errors
    (answer,) = runtime.InferenceSession(file.path.read_bytes()).run(None, {"inputs": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), net(x).detach(), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        for value in net.parameters():
            value.mul_(torch.rand(value.shape) < 0.3)
    sparse = sipp_core.export(net, tmp_path / "net.pt", "torch-sparse")
    assert sparse.notes[0].endswith(
        "conv1.weight, block1_1.conv1.weight, block1_1.conv2.weight and 16 more"
    )


def test_refusals(pruned: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form must be one of dense, torch-sparse, onnx"):
        sipp_core.export(pruned, tmp_path / "net", "coreml")
    with pytest.raises(ValueError, match="needs example="):
        sipp_core.export(pruned, tmp_path / "net", "onnx")
    with pytest.raises(ValueError, match="one input"):
        sipp_core.export(pruned, tmp_path / "net", "onnx", example=Batch(torch.rand(2, 64)))
    assert list(tmp_path.iterdir()) == []
