"""certify_region and certify_around: sound on every net tried, exact where nothing was changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import (
    Ball,
    Box,
    LocalCertificates,
    certify_around,
    certify_region,
    load,
    prune,
    prune_neurons,
)
from sipp_core.neurons import Difference, Domain, embedded, relaxation
from tests.core.methods.conftest import relu_network, rows

BOX = Box(torch.zeros(7), torch.ones(7))


def convolutional(act: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), act, nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3), act, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5, 3),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if buffer.ndim:
                buffer.copy_(torch.rand(buffer.shape) + 0.5 * ("var" in name))
    return net


class Residual(nn.Module):
    """A branch beside a shortcut, with functions in place of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.second(torch.tanh(self.first(x))) + x))


def spoiled(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        next(net.parameters())[0, 1] = np.nan
    return net


NETS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "convolution": (convolutional(nn.ReLU()), (2, 8, 8)),
    "smooth": (convolutional(nn.Sigmoid()), (2, 8, 8)),
    "residual": (Residual(), (4,)),
    **{
        type(act).__name__: (
            nn.Sequential(nn.Linear(4, 9), act, nn.Linear(9, 7), act, nn.Linear(7, 3)), (4,)
        )
        for act in (nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Tanh())
    },
}  # fmt: skip


@pytest.mark.parametrize("radius", [1e-3, 0.3])
@pytest.mark.parametrize("name", NETS)
def test_no_input_leaves_the_bounds(name: str, radius: float) -> None:
    """Values and differences at inputs and corners of five boxes stay within what is bounded."""
    net, shape = NETS[name]
    net = copy.deepcopy(net).double()
    other = copy.deepcopy(net)
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_((torch.rand(p.shape, generator=rng) < 0.8).double())
    centre = torch.randn(5, *shape, generator=rng, dtype=torch.float64)
    both = Difference(net, other, Domain.box(centre - radius, centre + radius))
    count = both.spans[both.output].low[0].numel()
    unit, none = torch.eye(count).double(), torch.zeros(count, count).double()
    noise = torch.rand(300, 5, *shape, generator=rng, dtype=torch.float64) * 2 - 1
    noise[:150] = noise[:150].sign()
    x = (centre + radius * noise).flatten(0, 1)
    with torch.no_grad():
        f, g = net(x).view(300, 5, -1), other(x).view(300, 5, -1)
    for value, difference, seen in ((unit, none, f), (none, unit, g - f), (unit, unit, g)):
        slack = 1e-9 * (1 + seen.abs().max())
        assert (seen.amax(0) <= both.bound(value, difference) + slack).all()
        assert (seen.amin(0) >= -both.bound(-value, -difference) - slack).all()


@pytest.mark.parametrize("name", ["convolution", "residual", "ReLU"])
def test_affine_forms_hold_every_input_and_are_nearer_than_intervals(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers of more values than are bounded by going back: none leaves what forms allow."""
    monkeypatch.setattr(relaxation, "REFINED", 0)
    net, shape = NETS[name]
    net = copy.deepcopy(net).double().eval()
    other = copy.deepcopy(net)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_((torch.rand(p.shape, generator=rng) < 0.8).double())
    centre = torch.randn(1, *shape, generator=rng, dtype=torch.float64)
    noise = torch.rand(2000, *shape, generator=rng, dtype=torch.float64) * 2 - 1
    noise[:1000] = noise[:1000].sign()
    for radius in (0.0, 1e-3, 0.3):
        domain = Domain.box(centre - radius, centre + radius)
        both = Difference(net, other, domain)
        loose = Difference(net, other, domain, refine=False).spans[both.output]
        span, x = both.spans[both.output], centre + radius * noise
        with torch.no_grad():
            f, g = net(x), other(x)
        for seen, low, high in ((f, span.low, span.high), (g, span.below, span.above),
                                (g - f, span.less, span.more)):  # fmt: skip
            assert ((low - 1e-12 <= seen) & (seen <= high + 1e-12)).all()
        assert (span.more - span.less <= (loose.more - loose.less) * (1 + 1e-9) + 1e-12).all()
        if name == "convolution" and radius == 1e-3:
            assert (span.more - span.less).max() < 0.3 * (loose.more - loose.less).max()


def test_a_difference_is_never_wider_than_what_both_networks_allow() -> None:
    """Where intervals explode, those of each network by itself hold the difference."""
    net = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(40, 40), nn.ReLU()))).double()
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(-1.0)
    ends = torch.ones(1, 40).double()
    both = Difference(net, other, Domain.box(-ends, ends), refine=False)
    for span in both.spans.values():
        width = torch.maximum(span.above - span.low, span.high - span.below)
        assert (span.gap <= width * (1 + 1e-12) + 1e-12).all()
        assert (span.less <= span.more).all()


@pytest.mark.parametrize("method", ["mussay", "norm", "omp"])
@pytest.mark.parametrize("region", [BOX, Ball(torch.full((7,), 0.5), 0.8)], ids=["box", "ball"])
def test_the_certificate_is_above_what_is_seen_and_the_attack_below(
    method: str, region: Box | Ball
) -> None:
    model = relu_network()
    result = prune_neurons(model, region, method=method, neurons=0.6, seed=2)
    found = certify_region(model, result, region, steps=40, attack_steps=20)
    x = region.sample(2000, 1)
    with torch.no_grad():
        gap = (result.model.double()(x) - model.double()(x)).abs().amax(0).numpy()
    assert (gap <= found.bound + 1e-9).all() and (found.attack <= found.bound + 1e-9).all()
    assert len(found.layers) == 2 and found.claims == ("NC-6", "NC-7", "NC-10")
    for layer in found.layers:
        assert (layer.certified <= layer.linear + 1e-12).all()
        assert (layer.linear <= layer.interval * (1 + 1e-9) + 1e-9).all()
        assert (layer.attack <= layer.certified + 1e-9).all()


def test_the_same_network_is_certified_as_the_same() -> None:
    model = relu_network()
    found = certify_region(model, copy.deepcopy(model), BOX)
    assert found.bound.max() < 1e-9 and not found.vacuous and found.layers == ()


def test_any_method_can_be_certified_and_a_loaded_result_too(tmp_path: object) -> None:
    model, x = relu_network(), rows()
    masked = prune(model, x, method="sipp-hybrid", keep=0.5)
    found = certify_region(model, masked.model, BOX, steps=10, attack_steps=10)
    assert (found.attack <= found.bound).all() and np.isinf(found.composed).all()
    result = prune_neurons(model, BOX, method="norm", neurons=4)
    again = load(result.save(f"{tmp_path}/net"), model)
    one, two = (certify_region(model, r, BOX, steps=10) for r in (result, again))
    assert (one.bound == two.bound).all()


def test_local_certificates_are_sound_against_the_attack() -> None:
    model, x = relu_network(), rows(50, seed=4)
    result = prune_neurons(model, BOX, method="omp", neurons=0.7, data=rows(200))
    shares = []
    for radius in (0.0, 0.02, 0.3):
        found = certify_region(model, result, x, radius=radius)
        assert isinstance(found, LocalCertificates)
        assert (found.attack <= found.bound + 1e-12).all()
        assert not (found.proved & found.broken).any()
        shares.append(found.share)
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.5
    same = certify_around(model, model, x, 0.01, within=BOX)
    assert same.bound.max() < 1e-9 and not same.broken.any()


def test_another_activation_or_setting_is_another_network() -> None:
    """Weights alike in number and shape: what the layers do with them is looked at too."""

    def net(*, act: nn.Module, stride: int = 1, eps: float = 1e-5) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 2, 3, stride=stride, padding=1), nn.BatchNorm2d(2, eps=eps), act,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2),
        ).eval()  # fmt: skip

    first, x = net(act=nn.ReLU()), torch.rand(1, 1, 6, 6)
    for second, words in (
        (net(act=nn.Tanh()), "a Tanh at '2' in place of a ReLU at '2'"),
        (net(act=nn.ReLU(), stride=2), "a Conv2d at '0' in place of a Conv2d at '0'"),
        (net(act=nn.ReLU(), eps=0.1), "a BatchNorm2d at '1' in place of"),
    ):
        with pytest.raises(ValueError, match=words):
            certify_around(first, second, x, 0.01)
    same = certify_around(first, net(act=nn.ReLU(inplace=True)), x, 0.01)
    assert same.bound.max() < 1e-9


def test_one_layer_alone_is_a_network() -> None:
    torch.manual_seed(0)
    dense = nn.Linear(3, 2)
    sparse = copy.deepcopy(dense)
    with torch.no_grad():
        sparse.weight[1, 2] = 0
    found = certify_region(dense, sparse, Box(torch.zeros(3), torch.ones(3)))
    assert found.bound[1] == pytest.approx(abs(dense.weight[1, 2].item()), rel=1e-6)
    assert found.bound[0] < 1e-9


def test_removed_neurons_are_put_back() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 4),
    ).eval()  # fmt: skip
    box = Box(torch.zeros(1, 12, 12), torch.ones(1, 12, 12))
    result = prune_neurons(model, box, method="norm", keep=0.5)
    assert result.model.get_parameter("3.weight").shape[0] < 8
    x = torch.rand(3, 1, 12, 12)
    whole = embedded(model, result.model, x)
    with torch.no_grad():
        assert torch.allclose(whole(x), result.model(x), atol=1e-5)
    found = certify_around(model, result, x[:1], 1e-3, attack_steps=5)
    assert (found.attack <= found.bound).all() and np.isfinite(found.bound).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"region": torch.ones(3, 7)}, "region must be a Box or a Ball, or inputs"),
        ({"region": BOX, "radius": 0.1}, "region must be a Box or a Ball, or inputs"),
        ({"region": torch.ones(3, 7), "radius": -1.0}, "radius must be finite"),
        ({"region": torch.ones(3, 7), "radius": 0.1, "outputs": [0]}, "outputs= is for a region"),
        ({"region": torch.ones(0, 7), "radius": 0.1}, "one input at least"),
        ({"pruned": "net"}, "pruned must be an nn.Module"),
        ({"pruned": nn.Sequential(nn.Conv1d(1, 1, 1))}, "a Conv1d at '0' in place of a Linear"),
        ({"model": nn.Sequential(*list(relu_network().children())[:4], nn.Linear(6, 2))}, "wider"),
        ({"pruned": spoiled(relu_network())}, r"'\w+.weight' is not finite: nan at index \(0, 1\)"),
        ({"region": Box(torch.zeros(6), torch.ones(6))}, "cannot run on the region's inputs"),
        ({"within": BOX}, "within= cuts the boxes of a radius"),
        ({"steps": -1}, "steps must be at least 0; found -1"),
        ({"attack_steps": "3"}, "attack_steps must be an integer"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"symbols": -1}, "symbols must be at least 0"),
        ({"symbols": 9}, "symbols=9 has no effect"),
        ({"outputs": [99]}, "outputs must be in"),
        ({"outputs": [-1]}, "outputs must be in"),
        ({"outputs": []}, "one pre-activation at least"),
        ({"outputs": 3}, "list of places"),
        ({"region": torch.ones(3, 7), "radius": 0.1, "steps": 3}, "steps= is for a region"),
        ({"region": torch.ones(3, 7), "radius": "a"}, "radius must be a number; found 'a'"),
        ({"region": torch.ones(3, 6), "radius": 0.1}, "cannot run on inputs of shape"),
        ({"region": torch.full((3, 7), np.nan), "radius": 0.1}, "inputs is not finite"),
        ({"region": torch.ones(3, 7), "radius": 0.1, "within": Ball(torch.ones(7), 1.0)},
         "within must be a Box; found Ball"),
        ({"region": torch.ones(3, 7), "radius": 0.1, "within": Box(torch.ones(6), torch.ones(6))},
         r"within has inputs of shape \(6,\)"),
        ({"region": torch.full((3, 7), 4.0), "radius": 0.1, "within": BOX}, "3 of the inputs lie"),
    ],
)  # fmt: skip
def test_refusals(change: dict[str, object], words: str) -> None:
    model = relu_network()
    call: dict[str, object] = {"model": model, "pruned": model, "region": BOX} | change
    with pytest.raises((TypeError, ValueError), match=words):
        certify_region(**call)  # type: ignore[call-overload]
