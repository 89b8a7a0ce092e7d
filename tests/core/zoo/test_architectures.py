"""Convolutional, residual and attention networks go through the same calls as the dense ones."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_core
from sipp_core import calibrate, certify, prune
from sipp_core.zoo import architectures, models
from sipp_core.zoo.models import initialise


def small(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network of the family, small enough for a test, with BatchNorm statistics of its own."""
    if name == "resnet":
        model, shape = architectures.resnet(8), (3, 8, 8)
    elif name == "vit":
        model, shape = architectures.VisionTransformer(16, 2, 4, patch=4, size=8), (3, 8, 8)
    else:
        model, shape = (
            nn.Sequential(*list(architectures.vgg(32, 64, 128).children())[:7]),
            (3, 8, 8),
        )
        model.append(nn.Flatten())
    initialise(model, 0)
    model.train()
    with torch.no_grad():
        for k in range(3):
            model(inputs(20, shape, seed=50 + k))
    return model, shape


def inputs(count: int, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("mode", ["budget", "guarantee"])
@pytest.mark.parametrize("name", ["vgg", "resnet", "vit"])
def test_a_network_is_pruned_and_certified_and_left_as_it_was(name: str, mode: str) -> None:
    model, shape = small(name)
    model.get_submodule("0" if name == "vgg" else "blocks.0" if name == "vit" else "bn1").eval()
    (model(inputs(4, shape, seed=9)) ** 2).sum().backward()
    before = copy.deepcopy(model)
    flags = [m.training for m in model.modules()]
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    x = inputs(12, shape, seed=1)
    if mode == "budget":
        result = prune(model, x, method="sipp-hybrid", keep=0.5)
        assert 0.45 < result.kept < 0.55
    else:
        result = prune(model, x, method="sipp-det", eps=0.3, delta=0.05)
        assert all(layer.eps <= 0.3 for layer in result.layers)
        assert result.nnz_after < result.nnz_before
    matrices = [k for k, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [layer.name for layer in result.layers] == matrices
    # Everything that is no matrix of a layer is kept bit for bit, BatchNorm statistics included.
    after = result.model.state_dict()
    for key, value in before.state_dict().items():
        if key.removesuffix(".weight") not in matrices:
            assert torch.equal(after[key], value), key

    certificate = certify(model, result.model, inputs(120, shape, seed=2), delta=0.1)
    assert certificate.kind == "CT-2" and 0 < certificate.eps < float("inf")
    assert same(model, before) and [m.training for m in model.modules()] == flags
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    kept = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(kept, gradients, strict=True))


@pytest.mark.parametrize("name", ["vgg", "resnet", "vit"])
def test_each_layer_is_measured_on_what_it_receives(name: str) -> None:
    model, shape = small(name)
    x = inputs(5, shape, seed=3)
    stats = calibrate(model, x)
    model.eval()
    received: dict[nn.Module, Tensor] = {}
    for layer in stats.layers:
        layer.layer.module.register_forward_pre_hook(
            lambda module, given: received.update({module: given[0].detach()})
        )
    with torch.no_grad():
        model(x)
    for layer in stats.layers:
        module = layer.layer.module
        given = received[module]
        if isinstance(module, nn.Conv2d):
            given = nn.functional.unfold(
                given, module.kernel_size, padding=module.kernel_size[0] // 2 * (name != "vit"),
                stride=module.stride,
            ).transpose(1, 2)  # fmt: skip
        rows = given.reshape(-1, layer.layer.weight.shape[1])
        expected = sipp_core.empirical_sensitivity(layer.layer.weight, rows)
        torch.testing.assert_close(layer.sensitivity, expected, rtol=1e-5, atol=1e-7)


def test_resnet_20_is_measured_whole() -> None:
    model = models.build("resnet-20")
    stats = calibrate(model, inputs(1, models.input_shape("resnet-20"), seed=0))
    assert len(stats.layers) == 20
    assert [layer.rows for layer in stats.layers if "conv2" in layer.name][-1] == 64
    assert calibrate(model, inputs(1, (3, 32, 32), seed=0), layers="block3_*").layers[0].rows == 64


def test_oriented_edges_are_directional_derivatives_of_a_smoothed_image() -> None:
    cell, count, images = 3, 5, inputs(4, (1, 12, 12), seed=1).double()
    result = architectures.OrientedEdges(cell, count)(images).numpy()
    padded = np.pad(images[:, 0].numpy(), ((0, 0), (1, 1), (1, 1)))
    smooth = np.zeros((4, 14, 14))
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for i, j in itertools.product(range(12), repeat=2):
        smooth[:, i + 1, j + 1] = (padded[:, i : i + 3, j : j + 3] * taps).sum((1, 2))
    down = smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1]
    across = smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]
    for k in range(count):
        angle = 2 * np.pi * k / count
        strength = np.sqrt(np.maximum(across * np.cos(angle) + down * np.sin(angle), 2.0**-20))
        means = strength.reshape(4, 4, cell, 4, cell).mean((2, 4))
        np.testing.assert_allclose(result[:, k], means, rtol=1e-12)


def test_oriented_edges_hold_nothing_that_could_be_learnt() -> None:
    edges = architectures.OrientedEdges(4, 8)
    assert not edges.state_dict() and not list(edges.parameters())
    image = torch.zeros(1, 1, 28, 28, requires_grad=True)
    edges(image).sum().backward()
    assert image.grad is not None and image.grad.isfinite().all()
    assert repr(edges) == "OrientedEdges(cell=4, orientations=8)"


def test_cells_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cells of 5 pixels do not fill images of side 28"):
        models.oriented((28, 5, 8, 10))
    with pytest.raises(ValueError, match="too small for 2 convolutions: 2 rows are left"):
        models.oriented((28, 4, 8, 10, 10))
    with pytest.raises(ValueError, match=r"a width at least; found \[28, 4, 8\]"):
        models.oriented((28, 4, 8))
