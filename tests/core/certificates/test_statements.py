"""What a certificate says beside one eps: the curve, accuracy, groups, scores, noise, notes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates import TopK, certify, find_corruption, find_score
from sipp_core.certificates.held_out import order_p_value

X = torch.rand(600, 6, generator=torch.Generator().manual_seed(0))


def net(seed: int) -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return model


def near(model: nn.Module, scale: float, seed: int = 9) -> nn.Module:
    """The network with noise on its weights."""
    other, rng = net(0), torch.Generator().manual_seed(seed)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=rng))
    return other


MODEL = net(1)
OTHER = near(MODEL, 0.1)
LABELS = MODEL(X).argmax(1)


class Table(nn.Module):
    """Class scores by the first number of an input: 1 for its class, which `flip` may change."""

    def __init__(self, flip: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.flip = flip

    def forward(self, x: Tensor) -> Tensor:
        classes = x[:, 0].long()
        return nn.functional.one_hot(self.flip(x) if self.flip else classes, 4).float()


def table(classes: list[int], broken: list[bool]) -> Tensor:
    return torch.tensor([[c, float(b)] for c, b in zip(classes, broken, strict=True)])


def wrong(x: Tensor) -> Tensor:
    """The class, and the next one where the second number says so."""
    return (x[:, 0].long() + x[:, 1].long()) % 4


# ---- the curve ---------------------------------------------------------------------------------


def test_the_curve_is_the_band_over_the_sorted_errors() -> None:
    cert = certify(MODEL, OTHER, X[:400], confidence=0.95)
    band = sipp_theory.simultaneous_band(400, 0.95)
    one = certify(MODEL, OTHER, X[:400], delta=0.1, confidence=0.95)
    for delta in (0.03, 0.05, 0.1, 0.3):
        eps = cert.eps_at(delta)
        assert eps >= certify(MODEL, OTHER, X[:400], delta=delta, confidence=0.95).eps
        assert cert.delta_at(eps) <= delta < cert.delta_at(np.nextafter(eps, 0))
    assert cert.eps_at(0.1) >= one.eps and cert.eps_at(1e-6) == math.inf
    assert cert.delta_at(cert.observed_max) == band.share(400)
    assert cert.delta_at(-1.0) == 1 and cert.delta_at(math.inf) == band.share(400)
    assert (np.diff(cert.curve.eps) > 0).all() and (np.diff(cert.curve.delta) < 0).all()
    with pytest.raises(ValueError, match="delta must be strictly between 0 and 1; found 0"):
        cert.eps_at(0.0)
    with pytest.raises(ValueError, match="eps must be a number"):
        cert.delta_at(math.nan)


def test_equal_errors_and_infinite_ones() -> None:
    assert certify(MODEL, MODEL, X).curve.eps == (0.0,)
    zero = certify(lambda x: x[:, :2] * 0, lambda x: x[:, :2], X)
    assert zero.vacuous and zero.eps_at(0.9) == math.inf and zero.delta_at(1e9) == 1


def test_a_share_that_no_number_of_inputs_can_prove_is_vacuous() -> None:
    cert = certify(MODEL, OTHER, X, delta=1e-15)
    assert cert.vacuous and cert.needed_n == math.inf and cert.eps == math.inf
    assert "at least inf are needed" in cert.sentence()


# ---- accuracy and groups -----------------------------------------------------------------------


def test_accuracy_is_bounded_from_the_inputs_that_disagree() -> None:
    classes, broken = [0, 1, 2, 3] * 100, [i % 20 == 0 for i in range(400)]
    x = table(classes, broken)
    cert = certify(Table(), Table(wrong), x, labels=classes, confidence=0.95)
    accuracy = cert.accuracy
    assert accuracy is not None and (
        accuracy.before,
        accuracy.after,
        accuracy.broken,
        accuracy.mended,
    ) == (
        1,
        0.95,
        20,
        0,
    )
    assert accuracy.drop == sipp_theory.accuracy_drop(20, 0, 400, 0.95)
    assert accuracy.lower == sipp_theory.accuracy_bound(380, 400, 0.95)
    assert "CT-6" in cert.claims and any("accuracy is at least" in s for s in cert.sentences())
    pairs = [(x[:150], torch.tensor(classes[:150])), (x[150:], torch.tensor(classes[150:]))]
    assert (
        certify(Table(), Table(wrong), pairs, labels="targets", confidence=0.95).accuracy
        == accuracy
    )


def test_the_worst_group_is_named_and_the_small_one_too() -> None:
    classes = [0] * 300 + [1] * 300 + [2] * 300 + [3] * 5
    broken = [i % 10 == 0 for i in range(300)] + [False] * 605
    x = table(classes, broken)
    cert = certify(Table(), Table(wrong), x, labels=classes, groups="class", confidence=0.95)
    assert [group.n for group in cert.groups] == [300, 300, 300, 5]
    assert cert.small_groups == ("3",) and cert.worst_group is not None
    assert cert.worst_group.name == "0"
    each = sipp_theory.family_confidence(0.95, 4)
    assert cert.worst_group.accuracy is not None
    assert cert.worst_group.accuracy.drop == sipp_theory.accuracy_drop(30, 0, 300, each)
    assert cert.groups[1].disagreement == sipp_theory.violation_bound(0, 300, each)
    message = " ".join(cert.sentences())
    assert "for all 4 groups at once, the worst of the 3 that are decided is '0'" in message
    assert message.endswith("inputs needed were held out, is the group 3.")
    named = certify(Table(), Table(wrong), x, groups=np.array(["a", "b"] * 452 + ["c"]))
    assert [g.name for g in named.groups] == ["a", "b", "c"] and named.small_groups == ("c",)


def test_at_a_given_eps_a_group_of_any_size_is_decided() -> None:
    """Five inputs bound delta, if badly, so that the group is compared and is the worst."""
    groups = np.array(["large"] * 300 + ["small"] * 5)
    x = table([0] * 305, [False] * 305)
    cert = certify(Table(), Table(wrong), x, groups=groups, eps=0.1, confidence=0.95)
    each = sipp_theory.family_confidence(0.95, 2)
    assert cert.small_groups == () and [group.needed_n for group in cert.groups] == [1, 1]
    assert cert.worst_group is not None and cert.worst_group.name == "small"
    assert cert.worst_group.delta == sipp_theory.violation_bound(0, 5, each)
    assert "for all 2 groups at once, the worst is 'small'" in " ".join(cert.sentences())


# ---- scores ------------------------------------------------------------------------------------


def test_a_change_of_class_is_an_event() -> None:
    x = table([0, 1, 2, 3] * 50, [i % 40 == 0 for i in range(200)])
    cert = certify(Table(), Table(wrong), x, score="class-change", confidence=0.9)
    assert (cert.kind, cert.eps, cert.violations) == ("CT-1", 0.0, 5)
    assert cert.delta == cert.disagreement == sipp_theory.violation_bound(5, 200, 0.9)
    assert "suffer a change of the predicted class" in cert.sentence()
    assert cert.delta_at(0.0) > cert.delta


def test_scores_by_hand() -> None:
    before = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).double()
    after = torch.tensor([[1.0, 3.0, 2.0, 0.0]]).double()
    assert find_score("class-change")(before, after).tolist() == [1]
    assert [float(TopK(k)(before, after)) for k in (1, 2, 3)] == [1, 1, 0]
    p, q = (np.exp(t.numpy()) / np.exp(t.numpy()).sum() for t in (before, after))
    assert float(find_score("kl")(before, after)) == pytest.approx(stats.entropy(p[0], q[0]))
    pixels = torch.zeros(1, 2, 2, 2)
    pixels[0, 0] = 1.0
    moved = pixels.clone()
    moved[0, 1, 0, 0] = 2.0
    assert find_score("class-change@1")(pixels, moved).tolist() == [0.25]
    assert find_score("class-change@3")(pixels, pixels).tolist() == [0.0]


def test_positions_are_no_classes_of_the_input() -> None:
    """U-Net scores (n, 2, h, w): no pixel changes, and no class of the whole is spoken of."""
    maps = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    x = torch.rand(150, 1, 5, 5, generator=torch.Generator().manual_seed(3))
    cert = certify(maps, lambda x: maps(x) * 2 + 1, x)
    assert cert.disagreement is None and cert.observed_disagreement is None
    advice = 'score="class-change@1" computes the share of positions whose class changes'
    assert advice in cert.sentences()[-1] and "not (n, classes)" in cert.sentences()[-1]
    several = certify(maps, maps, x, corruptions=["gaussian:0.1"])
    assert len(several.family) == 1
    assert sum(advice in line for line in several.sentences()) == 1
    cert = certify(maps, lambda x: maps(x) * 2 + 1, x, score="class-change@1")
    assert cert.kind == "CT-2" and cert.eps == 0
    assert not any(advice in line for line in cert.sentences())
    classes = nn.Sequential(maps, nn.Flatten())
    assert not any(advice in line for line in certify(classes, classes, x).sentences())
    with pytest.raises(ValueError, match="say which dimension holds the classes"):
        certify(maps, maps, x, score="class-change")


def largest(before: Tensor, after: Tensor) -> Tensor:
    return (after - before).abs().amax(1)


def test_several_scores_and_laws_are_charged_together() -> None:
    cert = certify(
        MODEL, OTHER, X, labels=LABELS, score=["relative-l2", "kl", largest, "top-k:2"],
        corruptions=["gaussian:0.1", "dropout:0.2", "scale:0.5"], confidence=0.9, seed=3,
    )  # fmt: skip
    assert cert.statements == 16 and len(cert.family) == 15
    level = sipp_theory.family_confidence(0.9, 16)
    alone = certify(MODEL, OTHER, X, labels=LABELS, confidence=level)
    assert cert.eps == alone.eps and cert.curve == alone.curve and cert.accuracy == alone.accuracy
    assert [c.score for c in (cert, *cert.family[:3])] == [
        "relative-l2",
        "kl",
        "largest",
        "top-k:2",
    ]
    noisy = cert.family[3]
    assert (noisy.score, noisy.corruption) == ("relative-l2", "gaussian:0.1")
    assert noisy.eps != cert.eps and "perturbed by gaussian:0.1" in noisy.sentence()
    assert "CT-7" in cert.claims and "in all 16 statements" in cert.sentence()
    message = cert.sentences()
    assert len(message) == len(set(message))
    assert any("loss of the predicted class from the 2 highest" in line for line in message)
    assert json.loads(json.dumps(cert.summary()))["family"][3]["corruption"] == "gaussian:0.1"


def test_noise_depends_on_the_place_of_an_input_alone() -> None:
    law = find_corruption("gaussian:0.3")
    whole = law(X, 0, 5)
    parts = [law(X[first : first + 70], first, 5) for first in range(0, 600, 70)]
    assert torch.equal(whole, torch.cat(parts)) and whole.dtype == X.dtype
    assert not torch.equal(law(X, 0, 6), whole) and 0.29 < float((whole - X).std()) < 0.31
    kept = find_corruption("dropout:0.5")(X, 0, 0) != 0
    assert 0.47 < float(kept.double().mean()) < 0.53
    factor = find_corruption("scale:0.5")(X, 0, 0) / X
    assert torch.allclose(factor, factor[:, :1]) and 0.5 <= float(factor.min()) < 0.6


# ---- any two networks --------------------------------------------------------------------------


def test_functions_are_networks_and_leave_no_fingerprint() -> None:
    weight = np.random.default_rng(0).normal(size=(6, 3))
    first = certify(lambda x: x.numpy() @ weight, lambda x: x.double().numpy() @ weight * 1.1, X)
    assert first.eps == pytest.approx(0.1, rel=1e-5)
    assert first.fingerprints["original"] is None and first.fingerprints["inputs"] is not None


def test_torchscript_is_a_network() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.script(OTHER)
    cert, same = certify(MODEL, traced, X), certify(MODEL, OTHER, X)
    assert cert.eps == pytest.approx(same.eps, rel=1e-5)
    assert cert.fingerprints["pruned"] == same.fingerprints["pruned"]


def test_fingerprints_tell_one_weight_one_input_and_the_order() -> None:
    marks = certify(MODEL, OTHER, X, labels=LABELS).fingerprints
    assert certify(MODEL, OTHER, list(X.split(77)), labels=LABELS).fingerprints == marks
    changed = X.clone()
    changed[5, 3] += 1e-6
    for inputs in (changed, X.flip(0), X[:-1]):
        other = certify(MODEL, OTHER, inputs, labels=LABELS[: len(inputs)]).fingerprints
        assert other["inputs"] != marks["inputs"]
        assert other["original"] == marks["original"] != marks["pruned"]
    moved = near(OTHER, 0.0)
    with torch.no_grad():
        next(moved.parameters())[0, 0] += 1e-6
    assert certify(MODEL, moved, X).fingerprints["pruned"] != marks["pruned"]


# ---- held-out inputs ---------------------------------------------------------------------------


def test_inputs_given_twice_are_said() -> None:
    twice = certify(MODEL, OTHER, torch.cat([X[:45], X[:45]]))
    assert any("45 of the 90 held-out inputs equal one before them" in n for n in twice.notes)
    assert certify(MODEL, OTHER, X).notes == ()


def test_an_order_is_said() -> None:
    errors = certify(MODEL, OTHER, X).curve  # warm
    assert errors.n == 600
    by_class = torch.cat([X[c == LABELS] for c in range(4)])
    cert = certify(MODEL, OTHER, by_class, labels=MODEL(by_class).argmax(1))
    assert any("labels of the held-out inputs stand in an order" in note for note in cert.notes)


def test_the_permutation_test_is_level_and_sees_blocks_and_trends() -> None:
    rng = np.random.default_rng(1)
    p_values = np.array([order_p_value(rng.random(120), seed) for seed in range(300)])
    assert (p_values <= 0.1).sum() <= stats.binom.isf(1e-4, 300, 0.1)
    assert order_p_value(np.arange(100) + 30 * rng.random(100)) <= 0.002
    assert order_p_value(np.repeat([0.1, 0.9, 0.2, 0.8], 50) + 0.01 * rng.random(200)) <= 0.002
    assert order_p_value(np.sort(rng.random(5000))) <= 0.002
    assert order_p_value(np.ones(50)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0]}, "there are 1 labels for 600 inputs"),
        ({"labels": np.full(600, 9)}, "label 9 of input 0 is no class: the model has 4"),
        ({"labels": np.zeros(600)}, "labels must be one whole class number"),
        ({"labels": "classes"}, "labels must be class numbers, or 'targets'"),
        ({"labels": "targets"}, "has no targets"),
        ({"groups": "class"}, "'class' with labels given"),
        ({"groups": ["a"]}, "there are 1 groups for 600 inputs"),
        ({"groups": np.zeros(600)}, "groups must be one text or whole number"),
        ({"score": "accuracy"}, "score must be one of relative-l2, class-change, top-k, kl"),
        ({"score": "kl:3"}, "score must be one of"),
        ({"score": "top-k:4"}, "'top-k:4': there are only 4 classes"),
        ({"score": "class-change@3"}, "dimension 3 of outputs of shape .* holds no two classes"),
        ({"score": "kl@0"}, "dimension 0 of outputs"),
        ({"score": []}, "at least one"),
        ({"score": ["kl", "kl"]}, "different scores"),
        ({"score": ["kl", "relative-l2"], "eps": 0.1}, "in the unit of one score"),
        ({"score": lambda a, b: a}, "must return one number an input"),
        ({"score": lambda a, b: a[:, 0] * math.nan}, "is NaN at input 0"),
        ({"corruptions": ["fog:1"]}, "no corruption 'fog:1'; there are gaussian:AMOUNT"),
        ({"corruptions": ["gaussian"]}, "no corruption 'gaussian'; there"),
        ({"corruptions": ["dropout:1.5"]}, "no corruption 'dropout:1.5'"),
        ({"corruptions": ["scale:0.1", "scale:0.1"]}, "corruptions must differ"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        certify(MODEL, OTHER, X, **arguments)
