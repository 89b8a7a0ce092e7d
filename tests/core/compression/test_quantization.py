"""Learning levels: what parameters become, what passes through the rounding, what is refused."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from sipp_core import compress
from sipp_core.compression.quantization import learning_levels, short
from sipp_core.zoo import datasets, models, training
from sipp_core.zoo.recipes import Recipe


def net(seed=0) -> Any:
    return models.dense((20, 15, 10), seed)


def shorter(step):
    """Whether a number has at most two bits behind its leading one."""
    share, _ = math.frexp(step)
    return share * 8 == int(share * 8)


@pytest.mark.parametrize("levels", [3, 5, 9])
def test_every_parameter_ends_on_multiples_of_a_short_step(levels):
    model = net()
    nn.init.normal_(model.fc1.bias)
    names = list(model.state_dict())
    with learning_levels(model, levels=levels, bias_levels=7):
        model(torch.randn(8, 20)).square().sum().backward()
    assert not parametrize.is_parametrized(model)
    assert list(model.state_dict()) == names
    for parameter in model.parameters():
        assert isinstance(parameter, nn.Parameter)
        assert parameter.requires_grad
        values = parameter.detach().unique()
        assert len(values) <= (levels if parameter.ndim > 1 else 7)
        if (values != 0).any():
            step = float(values[values != 0].abs().min())
            # A level may be missing: the step divides all of them, and the least is few steps.
            assert any(
                shorter(step / k)
                and torch.equal((values / (step / k)).round() * (step / k), values)
                for k in range(1, 8)
            )


def test_without_a_price_each_weight_goes_to_the_nearest_level():
    model = net()
    before = model.fc1.weight.detach().clone()
    with learning_levels(model, levels=7, rate=0.0):
        step = model.fc1.parametrizations.weight[0].step().item()
    grid = step * torch.arange(-3, 4)
    nearest = (before.unsqueeze(-1) - grid).abs().amin(-1)
    assert torch.allclose((before - model.fc1.weight).abs(), nearest, atol=1e-7)


def test_a_price_moves_weights_exactly_where_the_cost_says():
    torch.manual_seed(0)
    model = net()
    before = model.fc1.weight.detach().clone()
    with learning_levels(model, levels=5, rate=0.4):
        part = model.fc1.parametrizations.weight[0]
        model(torch.zeros(1, 20))
        step, bits = part.step().item(), part.bits.clone()
    scaled = (before / step).clamp(-2, 2)
    for w, got in zip(
        scaled.flatten().tolist(), (model.fc1.weight / step).flatten().tolist(), strict=True
    ):
        near = round(w)
        choices = [near, near - (near > 0) + (near < 0)]
        costs = [(w - k) ** 2 + 0.4 * float(bits[k + 2]) for k in choices]
        if abs(costs[0] - costs[1]) > 1e-4:
            assert round(got) == choices[costs.index(min(costs))]


def test_a_higher_price_makes_a_shorter_file():
    data = datasets.load("digits")
    lengths = []
    for rate in (0.0, 0.3):
        model: Any = models.dense((64, 10), 0)
        with learning_levels(model, levels=5, rate=rate):
            training.train(model, data, Recipe(8, 64, 5e-3))
        lengths.append(compress(model).bits)
    assert lengths[1] < lengths[0]


@pytest.mark.parametrize("codebook", ["grid", "table"])
def test_zeros_outside_the_mask_stay_and_nothing_else_is_held(codebook):
    data = datasets.load("digits")
    model: Any = models.dense((64, 20, 10), 1)
    mask = torch.rand(20, 64, generator=torch.Generator().manual_seed(0)) < 0.3
    with learning_levels(model, levels=7, codebook=codebook, masks={"fc1": mask}):
        result = training.train(model, data, Recipe(20, 64, 5e-3))
    assert not model.fc1.weight[~mask].any()
    assert model.fc1.weight[mask].count_nonzero() > 0.3 * mask.sum()
    assert result.test_accuracy > 0.8
    # What was evaluated inside the block is what stays.
    assert training.accuracy(model, data.test_inputs, data.test_targets) == result.test_accuracy


def test_a_table_has_zero_and_learns_its_other_levels():
    model = net()
    with learning_levels(model, levels=6, codebook="table", rate=0.0):
        part = model.fc1.parametrizations.weight[0]
        before = part.table.detach().clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(4, 20)).square().mean().backward()
            optimizer.step()
        assert not torch.equal(part.table, before)
    values = model.fc1.weight.detach().unique()
    assert len(values) <= 6
    assert torch.equal(values, short(values, 3))


def test_gradients_pass_within_the_range_and_reach_step_and_table():
    model: Any = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.3, -0.9, 5.0, 0.1]]))
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    with learning_levels(model, levels=3, rate=0.0):
        part = model.parametrizations.weight[0]
        with torch.no_grad():
            part.log_step.fill_(0.0)
        model(x).sum().backward()
        # 5 lies outside the levels -1, 0, 1: only the step feels it, by the level itself.
        assert model.parametrizations.weight.original.grad.tolist() == [1.0, 2.0, 0.0, 4.0]
        off = torch.tensor([0 - 0.3, -1 + 0.9, 1.0, 0 - 0.1])
        expected = (x[0] * off).sum() * math.log(2)
        assert torch.allclose(part.log_step.grad, expected)
    model: Any = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1.0, -2.0, -2.0]]))
    with learning_levels(model, levels=3, codebook="table", rate=0.0):
        part = model.parametrizations.weight[0]
        model(x).sum().backward()
        assert part.table.grad.tolist() == [7.0, 0.0, 3.0]


def test_same_seed_same_levels():
    data = datasets.load("digits")
    result = []
    for _ in range(2):
        model: Any = models.dense((64, 12, 10), 2)
        with learning_levels(model, levels=5, codebook="table"):
            training.train(model, data, Recipe(2, 64, 5e-3))
        result.append(compress(model).content)
    assert result[0] == result[1]


def test_modes_buffers_and_layers_without_weights_stay():
    model: Any = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 2))
    model.train()
    model[2].eval()
    before = model[1].running_mean.clone()
    with learning_levels(model, levels=3):
        pass
    assert [m.training for m in model] == [True, True, False, True]
    assert torch.equal(model[1].running_mean, before)


def test_a_mask_that_keeps_nothing_and_zero_weights_are_fine():
    for codebook in ("grid", "table"):
        model = net()
        with torch.no_grad():
            model.fc2.weight.zero_()
        with learning_levels(
            model, levels=5, codebook=codebook, masks={"fc1": torch.zeros(15, 20, dtype=torch.bool)}
        ):
            model(torch.ones(1, 20)).sum().backward()
        assert not model.fc1.weight.any()
        assert not model.fc2.weight.any()


def test_what_is_refused_leaves_the_model_as_it_was():
    def refuse(model, message, **given):
        state = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(ValueError, match=message), learning_levels(model, **given):
            pass
        assert not parametrize.is_parametrized(model)
        for k, v in model.state_dict().items():
            assert torch.equal(v.nan_to_num(), state[k].nan_to_num())

    refuse(net(), "levels of a grid must be odd.*found 4", levels=4)
    refuse(net(), "levels must", levels=2)
    refuse(net(), "bias_levels of a grid must be odd.*found 8", levels=3, bias_levels=8)
    refuse(net(), "codebook must be 'grid' or 'table'; found 'round'", levels=3, codebook="round")
    refuse(net(), "rate must be finite", levels=3, rate=float("nan"))
    refuse(net(), "rate must be finite and at least 0; found -1", levels=3, rate=-1)
    refuse(net(), r"mask of layer 'fc1' has shape \(2, 2\)", levels=3,
           masks={"fc1": torch.ones(2, 2, dtype=torch.bool)})  # fmt: skip
    refuse(net().half(), "'fc1.weight' is torch.float16", levels=3)
    broken = net()
    with torch.no_grad():
        broken.fc2.weight[1, 2] = torch.nan
    refuse(broken, "'fc2.weight' has a value that is not finite", levels=3)
    tied: Any = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    refuse(tied, "'1.weight' is shared with '0.weight'", levels=3)
    refuse(nn.ReLU(), "must have a parameter", levels=3)
