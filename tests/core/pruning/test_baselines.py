"""Score baselines against their definitions: enumeration, direct computation, differences."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from sipp_core import calibrate, prune
from sipp_core.pruning import baselines
from sipp_core.pruning.promise import Table, make_table

Float = np.ndarray


def seeded(model: nn.Module, seed: int = 0) -> nn.Module:
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return model


def dense() -> nn.Module:
    return seeded(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))).double()


def images() -> nn.Module:
    return seeded(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(),
            nn.Conv2d(4, 4, 2, groups=2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 9, 3),
        )
    ).double()  # fmt: skip


def inputs(kind: str, n: int = 11) -> Tensor:
    shape = (n, 6) if kind == "dense" else (n, 2, 4, 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()


BUILD = {"dense": dense, "images": images}
TARGETS = {
    "classes": torch.arange(11) % 3,
    "values": torch.linspace(-1, 1, 33).reshape(11, 3).double(),
}


# ---- random ------------------------------------------------------------------------------------


def tiny(weight: list[list[float]]) -> Table:
    module = nn.Linear(len(weight[0]), len(weight), bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
    layer = calibrate(module, torch.ones(1, len(weight[0])).double()).layers[0]
    return make_table(layer, delta=0.1, coverage_factor=1, bound="kl", eta=2, eta_star=3)


def test_a_random_mask_is_uniform_over_all_masks_of_nonzero_weights() -> None:
    table = tiny([[1.0, -2.0, 0.0], [3.0, 4.0, -5.0]])
    every = list(combinations([0, 1, 3, 4, 5], 2))
    seen: Counter[tuple[int, ...]] = Counter()
    for seed in range(2000):
        plan = baselines.random([dataclasses.replace(table, dice=(seed, 4))], 2)[0]
        assert set(np.unique(plan.probability)) == {0, 1} and (plan.scale == 1).all()
        seen[tuple(np.flatnonzero(plan.probability).tolist())] += 1
    assert set(seen) == set(every)
    assert stats.chisquare([seen[mask] for mask in every]).pvalue > 1e-4


def test_random_masks_of_layers_and_seeds_differ() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20))
    x = torch.rand(8, 20)
    first, second = (prune(model, x, method="random", keep=0.5, seed=s) for s in (0, 1))
    masks = [*first.masks.values(), *second.masks.values()]
    for a, b in combinations(masks, 2):
        assert 100 < int((a == b).sum()) < 300
    assert first.vacuous and all(report.eps == 1 for report in first.layers)
    assert "SP-6" in first.claims and "with probability" not in first.holds_for


# ---- Wanda -------------------------------------------------------------------------------------


def wanda_by_hand(kind: str, model: nn.Module, x: Tensor) -> dict[str, Float]:
    """|w_ij| ||a_j|| from every layer's unfolded input rows."""
    found: dict[str, Float] = {}
    model = copy.deepcopy(model).eval()
    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            norm = x.norm(dim=0)
            found[name] = (module.weight.abs() * norm).detach().numpy()
        if isinstance(module, nn.Conv2d):
            rows = functional.unfold(x, module.kernel_size, padding=module.padding)  # type: ignore[arg-type]
            per_group = rows.unflatten(1, (module.groups, -1)).square().sum(dim=(0, 3)).sqrt()
            group = torch.arange(module.out_channels) * module.groups // module.out_channels
            found[name] = (module.weight.flatten(1).abs() * per_group[group]).detach().numpy()
        x = module(x)
    return found


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", BUILD)
def test_wanda_keeps_the_largest_of_each_row(kind: str, scope: str) -> None:
    model, x = BUILD[kind](), inputs(kind)
    result = prune(model, x, method="wanda", keep=0.5, scope=scope, batch_size=4)
    scores = wanda_by_hand(kind, model, x)
    assert set(scores) == set(result.masks)
    for plan in result.plans:
        np.testing.assert_allclose(plan.scores, scores[plan.name], rtol=1e-12)
        kept = result.masks[plan.name].flatten(1).numpy()
        half = kept.shape[1] / 2
        for row, mask in zip(scores[plan.name], kept, strict=True):
            assert mask.sum() in (np.floor(half), np.ceil(half))
            assert row[mask].min() > row[~mask].max()


def test_norms_are_summed_at_any_size() -> None:
    """Squares far below and above those of usual activations keep their digits."""
    module = nn.Linear(4, 1).double()
    x = torch.tensor([[1e-30, 1e-12, 1.0, 1e20], [3e-30, 2e-12, 2.0, 2e20]]).double()
    energy = calibrate(module, x, statistics={"energy"}, batch_size=1).layers[0].energy
    assert energy is not None
    np.testing.assert_allclose(energy.numpy(), x.square().sum(0, keepdim=True).numpy(), rtol=1e-12)
    assert calibrate(module, x).layers[0].energy is None


# ---- SNIP --------------------------------------------------------------------------------------


def snip_by_differences(model: nn.Module, name: str, x: Tensor, targets: Tensor) -> Float:
    """|dL/dc| at c = 1 of a factor c on each weight, by central differences."""
    model = copy.deepcopy(model).eval()
    loss = functional.mse_loss if targets.is_floating_point() else functional.cross_entropy
    weight, h = model.get_parameter(f"{name}.weight"), 1e-5
    found = np.zeros(weight.numel())
    with torch.no_grad():
        flat = weight.view(-1)
        for index in range(weight.numel()):
            before, sides = flat[index].item(), []
            for factor in (1 + h, 1 - h):
                flat[index] = before * factor
                sides.append(float(loss(model(x), targets)))
            flat[index] = before
            found[index] = abs(sides[0] - sides[1]) / (2 * h)
    return found.reshape(len(weight), -1)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("kind", BUILD)
def test_snip_is_the_derivative_in_a_factor_on_each_weight(kind: str, targets: str) -> None:
    model, x, y = BUILD[kind](), inputs(kind), TARGETS[targets]
    found = calibrate(
        model, [(x[:5], y[:5]), (x[5:], y[5:])], statistics={"gradients"}, batch_size=3
    )
    for layer in found.layers:
        assert layer.saliency is not None
        expected = snip_by_differences(model, layer.name, x, y)
        np.testing.assert_allclose(layer.saliency.numpy(), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_snip_ranks_the_scope_and_normalises_over_it(scope: str) -> None:
    model, x, y = dense(), inputs("dense"), TARGETS["classes"]
    result = prune(model, [(x, y)], method="snip", keep=0.4, scope=scope)
    scores = [snip_by_differences(model, name, x, y).ravel() for name in ("0", "2")]
    kept = [result.masks[name].flatten().numpy() for name in ("0", "2")]
    groups = [([s], [k]) for s, k in zip(scores, kept, strict=True)]
    if scope == "global":
        groups = [(scores, kept)]
    for ranked, masks in groups:
        flat, mask = np.concatenate(ranked), np.concatenate(masks)
        assert mask.sum() == np.rint(0.4 * mask.size) and flat[mask].min() > flat[~mask].max()
    total = sum(float(plan.scores.sum()) for plan in result.plans)
    assert total == pytest.approx(1.0 if scope == "global" else 2.0)


def test_snip_leaves_gradients_flags_modes_and_buffers_alone() -> None:
    model, x, y = images(), inputs("images"), TARGETS["classes"]
    model.train()
    model.get_submodule("1").eval()
    model.get_parameter("3.weight").requires_grad_(False)
    functional.cross_entropy(model(x), y).backward()
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    result = prune(model, [(x, y)], method="snip", keep=0.5)
    assert result.layers[1].name == "3" and result.layers[1].nnz_after > 0
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name != "3.weight")
        before = grads[name]
        assert (parameter.grad is None) == (before is None)
        assert before is None or torch.equal(before, parameter.grad)  # type: ignore[arg-type]
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_loss_of_ones_own() -> None:
    model, x, y = dense(), inputs("dense"), TARGETS["values"]
    ready = calibrate(
        model, [(x, y)], statistics={"gradients"}, loss=lambda z, t: 3 * (z - t).pow(2).mean()
    )
    plain = calibrate(model, [(x, y)], statistics={"gradients"})
    for a, b in zip(ready.layers, plain.layers, strict=True):
        assert a.saliency is not None and b.saliency is not None
        torch.testing.assert_close(a.saliency, 3 * b.saliency, rtol=1e-12, atol=0)
    assert prune(model, ready, method="snip", keep=0.5).nnz_after > 0


class Pair(nn.Module):
    """Returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = dense()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(x), x


X, Y = inputs("dense"), TARGETS["classes"]


@pytest.mark.parametrize(
    ("given", "settings", "error", "message"),
    [
        (X, {}, ValueError, "batch 0 has no targets.*found Tensor"),
        ([(X, Y), X], {}, ValueError, "batch 1 has no targets.*found Tensor"),
        ([(X, 3)], {}, ValueError, "batch 0 has no targets.*found int"),
        ([(X, Y[:4])], {}, ValueError, "batch 0 has 11 inputs and 4 targets"),
        ([(X, Y + 1)], {}, ValueError, "classes from 0 to 2.*found 3"),
        ([(X, Y - 1)], {}, ValueError, "classes from 0 to 2.*found -1"),
        ([(X, X)], {}, ValueError, r"targets of shape \(11, 6\) do not fit .*\(11, 3\)"),
        ([(X, Y[:, None])], {}, ValueError, r"classes of shape \(11, 1\) do not fit .*\(11, 3\)"),
        ([(X, Y)], {"loss": lambda z, t: z}, ValueError, r"one number.*found \(11, 3\)"),
        ([(X, Y)], {"loss": lambda z, t: 1.0}, ValueError, "one number.*found float"),
        ([(X, Y)], {"loss": lambda z, t: z.sum() * torch.inf}, ValueError,
         r"layer '0': the loss has no finite gradient in weight \(0, 0\)"),
        (3, {}, TypeError, "calibration must be an iterable"),
    ],
)  # fmt: skip
def test_what_snip_cannot_use_is_refused_by_name(
    given: Any, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = dense()
    with pytest.raises(error, match=message):
        calibrate(model, given, statistics={"gradients"}, **settings)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_model_without_a_tensor_of_outputs_is_refused() -> None:
    with pytest.raises(TypeError, match="the model returns tuple.*give calibrate loss="):
        calibrate(Pair(), [(X, Y)], statistics={"gradients"})


# ---- guarantee mode ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["magnitude", "wanda", "snip"])
def test_the_fewest_weights_in_score_order_meet_eps(method: str) -> None:
    model, x, y = dense(), inputs("dense").abs(), TARGETS["classes"]
    result = prune(model, [(x, y)], method=method, eps=0.4, delta=0.1)
    assert all(report.eps <= 0.4 for report in result.layers) and result.nnz_after < 45
    s = [layer.sensitivity.numpy() for layer in calibrate(model, x).layers]
    for plan, sensitivity in zip(result.plans, s, strict=True):
        for sign, neuron in np.argwhere(~plan.dead):
            mine = plan.sign(sign)[neuron] & (sensitivity[neuron] > 0)
            kept = mine & (plan.probability[neuron] > 0)
            lost = float(sensitivity[neuron, mine & ~kept].sum())
            assert lost <= 0.4
            scores = plan.scores[neuron]
            assert scores[kept].min() >= scores[mine & ~kept].max(initial=0.0)
            next_out = np.flatnonzero(kept)[np.argmin(scores[kept])]
            assert lost + sensitivity[neuron, next_out] > 0.4 * (1 - 1e-8)
