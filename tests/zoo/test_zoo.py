"""Architectures as they come: pruned, certified, saved, loaded, compressed, made smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sipp_core import certify, compress, decompress, load, prune, prune_filters
from sipp_core.methods import Method, SippDet, SippNetwork, SippPoisson
from tests.zoo.conftest import missing
from tests.zoo.networks import ZOO, Subject

pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's packages


@pytest.fixture(params=ZOO)
def subject(request: pytest.FixtureRequest) -> Subject:
    result = ZOO[request.param]
    # timm stands on torchvision.
    if (reason := missing(result.library, "torchvision")) is not None:
        pytest.skip(reason)
    return result


def built(subject: Subject) -> nn.Module:
    torch.manual_seed(0)
    return subject.make().eval()


def test_thirty_architectures_are_tried() -> None:
    assert len(ZOO) >= 30


def test_an_architecture_goes_all_the_way(subject: Subject, tmp_path: Path) -> None:
    model, output = built(subject), subject.arguments
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calibration, held_out = subject.inputs(4), subject.inputs(30)
    large = sum(p.numel() for p in model.parameters()) > 10**5
    network = SippNetwork(rounds=2) if large else SippNetwork()
    # A tail of each neuron's own is minutes for some ten thousand neurons.
    bound = {"bound": "bernstein"} if large else {}
    requests: list[tuple[Method, dict[str, Any]]] = [
        (SippDet(), {"keep": 0.5}), (SippPoisson(), {"eps": 0.5, "delta": 0.1, **bound}),
        (network, {"keep": 0.5}),
    ]  # fmt: skip
    for method, request in requests:
        result = prune(model, calibration, method=method, **request, **output)
        assert result.nnz_after < result.nnz_before
        assert all(layer.measured is not None for layer in result.layers)
        result.save(tmp_path / method.name)
        again = load(tmp_path / method.name, built(subject)).model.state_dict()
        for name, value in result.model.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(again[name], value), name
        answers = {k: v for k, v in output.items() if k == "output"}
        certificate = certify(
            model, result.model, held_out, delta=0.3, allow_repeats=True, **answers
        )
        assert certificate.n == 30 and certificate.eps >= 0
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_an_architecture_is_compressed(
    subject: Subject, record_property: Callable[[str, object], None]
) -> None:
    model = built(subject)
    result = prune(model, subject.inputs(4), method="sipp-det", keep=0.1, **subject.arguments)
    sizes = []
    for each in (result.model, model):
        content = compress(each).content
        sizes.append(len(content))
        again = decompress(content, built(subject)).state_dict()
        for name, value in each.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(again[name], value), name
    assert sizes[0] < sizes[1]
    record_property("bytes", f"{sizes[1]} {sizes[0]}")


def test_whole_filters_go_or_the_reason_is_said(
    subject: Subject, record_property: Callable[[str, object], None]
) -> None:
    model = built(subject)
    layers = {k: v for k, v in subject.arguments.items() if k == "layers"}
    if subject.filters is not None:
        with pytest.raises(ValueError, match=subject.filters):
            prune_filters(model, subject.inputs(4), keep=0.8, **layers)
        return
    result = prune_filters(model, subject.inputs(4), keep=0.8, **layers)
    channels = result.channels
    assert channels is not None
    assert channels.parameters_after < channels.parameters_before
    record_property("parameters", f"{channels.parameters_before} {channels.parameters_after}")
    record_property(
        "multiply-adds", f"{channels.multiply_adds_before} {channels.multiply_adds_after}"
    )
    assert certify(model, result.model, subject.inputs(20), delta=0.3, allow_repeats=True).n == 20
