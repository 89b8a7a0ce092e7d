"""Validation: cells that survive a break, honest verdicts, and lines from made-up numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from reports.validation import (
    cells,
    checked_in,
    corenet_plans,
    nettrim_lines,
    nettrim_plans,
    networks_plans,
    run,
    sipp_methods,
    sipp_plans,
    sources,
    subjects,
    svm,
    work,
)
from reports.validation.cells import Cells
from reports.validation.sources import MODULES, code_of, source_digest
from reports.validation.spirals import two_spirals
from reports.validation.subjects import ModelStore, Subject, read_weights, write_weights
from reports.validation.verdicts import (
    Line,
    Validation,
    at_least,
    compare,
    interval,
    points_apart,
    read,
    same,
)
from reports.validation.work import Meter, perform
from sipp_core.runtime.inputs import shuffled
from sipp_core.zoo import models
from sipp_core.zoo.recipes import Recipe

Json = dict[str, Any]
CORENET, SIPP, NETWORKS, NETTRIM, NEURONS, SVM = run.PAPERS.values()
KEY = {"net": "a", "part": "p", "seed": 0}


def counting(made: list[int], value: float = 1.5) -> Callable[[], Json]:
    def make() -> Json:
        made.append(1)
        return {"accuracy": value}

    return make


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    calls: list[int] = []
    path = tmp_path / "deep" / "cells.jsonl"
    first = Cells(path, "sipp validate sipp")
    assert first.get(KEY, counting(calls)) == {"accuracy": 1.5} and calls == [1]
    again = Cells(path)
    assert again.get(dict(reversed(KEY.items())), counting(calls, 9.0)) == {"accuracy": 1.5}
    assert calls == [1]
    notes = again.origin([KEY])
    assert notes["cells"] == 1 and notes["command"] == ["sipp validate sipp"]
    assert len(notes["date"]) == len(notes["machine"]) == 1
    assert any(word.startswith("torch ") for word in notes["versions"])
    assert notes["source"] == [source_digest()]


def test_a_line_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    calls: list[int] = []
    path = tmp_path / "cells.jsonl"
    cells = Cells(path)
    cells.get(KEY, counting(calls))
    cells.get(KEY | {"seed": 1}, counting(calls))
    path.write_bytes(path.read_bytes()[:-7])
    again = Cells(path)
    assert len(again.cells) == 1
    again.get(KEY | {"seed": 1}, counting(calls))
    assert len(calls) == 3 and len(Cells(path).cells) == 2


@pytest.mark.parametrize(
    "content",
    ["", "no json\n", "[]\n", '{"format": "other"}\n', "3\n",
     '{"format": "sipp-theory validation cells 1"}\n{"key": {"a": 1}}\n',
     '{"format": "sipp-theory validation cells 1"}\n{"key": {"a"\n'],
)  # fmt: skip
def test_damaged_cells_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"cells\.jsonl holds no cells .* move it away"):
        Cells(path)


def test_a_number_that_is_not_finite_is_refused_with_its_cell(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.jsonl")
    with pytest.raises(ValueError, match=r"accuracy is nan in cell .*\"part\": \"p\""):
        cells.get(KEY, counting([], math.nan))
    assert not (tmp_path / "cells.jsonl").exists()


def test_the_time_left_is_that_of_cells_of_the_same_kind() -> None:
    cells = Cells(None)
    keys = [{"net": n, "part": "p", "seed": s} for n in ("a", "b") for s in range(3)]
    assert cells.remaining(keys) is None
    for key, seconds in ((keys[0], 10.0), (keys[3], 2.0)):
        cells.get(key, counting([]))
        name = json.dumps(key, sort_keys=True)
        cells.cells[name]["made"]["seconds"] = seconds
    assert cells.remaining(keys) == pytest.approx(2 * 10 + 2 * 2)
    assert cells.remaining([*keys, {"net": "c", "part": "p", "seed": 0}]) == pytest.approx(24 + 6)


def test_work_is_told_with_what_goes_on_inside() -> None:
    seen: list[tuple[int, int, str]] = []
    meter = Meter(lambda *at: seen.append(at))

    def make() -> Json:
        meter.inside(3, 10, "training")
        return {"accuracy": 1.0}

    rows = perform([(KEY, make), (KEY | {"seed": 1}, make)], Cells(None), meter)
    assert rows == [KEY | {"accuracy": 1.0}, KEY | {"seed": 1, "accuracy": 1.0}]
    assert seen[0] == (0, 2, "a p, seed 0") and seen[1][2] == "a p, seed 0; training 3 of 10"
    assert seen[2][:2] == (1, 2) and seen[-1] == (2, 2, "done")


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_interval_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(3, 2, count)
    mean, low, high = interval(values.tolist())
    expected = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert (mean, low, high) == pytest.approx((values.mean(), *expected), rel=1e-12)


def test_intervals_need_values_and_pairs() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        interval([])
    with pytest.raises(ValueError, match="found 2 and 1 values"):
        compare([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least one value"):
        at_least([], 0.5)
    with pytest.raises(ValueError, match="agrees must be one of yes, .*; found 'maybe'"):
        Line("a", "b", "c", "maybe")


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([1.0, 1.1, 1.05], "yes"), ([3.0, 3.1, 3.05], "no"), ([1.0, 3.0, 2.1], "in part"),
     ([1.0], "in part")],
)  # fmt: skip
def test_smaller_has_three_outcomes(ours: list[float], verdict: str) -> None:
    assert compare(ours, [2.0] * len(ours))[0] == verdict


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([0.5, 0.501, 0.499], "yes"), ([0.6, 0.601, 0.599], "no"), ([0.4, 0.6, 0.5], "in part"),
     ([0.5005], "yes"), ([0.6], "no")],
)  # fmt: skip
def test_on_a_par_has_three_outcomes(ours: list[float], verdict: str) -> None:
    assert same(ours, [0.5] * len(ours), 0.005) == verdict


def test_a_validation_survives_json() -> None:
    line = Line("a", "b", "c", "no", guarantee=True, low=1.0, high=2.0)
    result = Validation(
        "sipp", "T", "quick", "s", (line, Line("d", "e", "f", "no")), (), {"cells": 1}
    )
    assert read(json.loads(json.dumps(result.summary()))) == result
    assert result.violated == (line,)
    good = result.summary()
    bad: Any
    for bad in (
        [], {}, good | {"format": "x"}, good | {"more": 1}, good | {"lines": [{"x": 1}]},
        {name: value for name, value in good.items() if name != "title"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="output of `sipp validate --json`"):
            read(bad)


def test_results_of_a_folder_are_read_in_order(tmp_path: Path) -> None:
    for paper, schedule in (("sipp", "quick"), ("sipp", "reduced"), ("corenet", "quick")):
        result = Validation(paper, "T", schedule, "s", (), (), {})
        (tmp_path / f"{paper}-{schedule}.json").write_text(json.dumps(result.summary()))
    (tmp_path / "README").write_text("no result")
    order = [(v.paper, v.schedule) for v in checked_in.load(tmp_path)]
    assert order == [("corenet", "quick"), ("sipp", "reduced"), ("sipp", "quick")]
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json: "):
        checked_in.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        checked_in.load(tmp_path / "none")


def test_results_that_come_with_the_package_are_small_and_say_where_from() -> None:
    folder = Path(checked_in.__file__).parent / "results"
    files = sorted(folder.glob("*.json"))
    assert len(checked_in.load()) == len(files)
    for path in files:
        result = read(json.loads(path.read_text()))
        assert path.stat().st_size < 200_000, path
        assert path.stem == f"{result.paper}-{result.schedule}"
        assert result.made["command"][0].startswith(f"sipp validate {result.paper}"), path
        assert result.made["machine"] and result.made["date"] and not result.violated


def test_inputs_are_drawn_from_the_whole_file() -> None:
    rows, targets = torch.arange(1000.0), torch.arange(1000)
    some, chosen = shuffled(rows, 100, 3, targets)
    assert torch.equal(some, chosen.float()) and len(set(chosen.tolist())) == 100
    assert chosen.min() < 100 and chosen.max() >= 900
    assert not torch.equal(shuffled(rows, 100, 4)[0], some)
    assert torch.equal(shuffled(rows, 9999, 3)[0].sort().values, rows)


def test_spirals_are_two_arms_and_no_line_divides_them() -> None:
    data = two_spirals(400, seed=0)
    rows, arms = data.train_inputs, data.train_targets
    assert rows.min() >= 0 and rows.max() <= 1
    centred = rows * 2.2 - 1.1
    radius, angle = centred.norm(dim=1), torch.atan2(centred[:, 1], centred[:, 0])
    turned = angle - 3 * math.pi * radius - math.pi * arms
    off = torch.atan2(turned.sin(), turned.cos()).abs() * radius
    # Arms are a third of a turn's radius apart; a point is off by its noise, not by an arm.
    assert off.median() < 0.05 and off.quantile(0.99) < 0.25
    line = torch.linalg.lstsq(torch.cat([centred, torch.ones(800, 1)], 1), 2.0 * arms[:, None] - 1)
    guess = torch.cat([centred, torch.ones(800, 1)], 1) @ line.solution > 0
    assert (guess[:, 0] == arms.bool()).float().mean() < 0.7


def test_kept_networks_come_back_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    net = models.dense([4, 3, 2], seed=1)
    write_weights(net, path)
    same_net = read_weights(models.dense([4, 3, 2], seed=2), path)
    assert all(map(torch.equal, net.state_dict().values(), same_net.state_dict().values()))
    for content in (b"nothing", path.read_bytes()[:-3]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.safetensors is damaged .*delete it"):
            read_weights(models.dense([4, 3, 2]), path)


def test_a_network_is_trained_once(tmp_path: Path) -> None:
    seen: list[str] = []
    store = ModelStore(folder=tmp_path, progress=lambda done, total, what: seen.append(what))
    subject = Subject("fc-64-8-10", "digits", Recipe(1, 64, 5e-3))
    first, output = store.trained(subject, 0), len(seen)
    second = store.trained(subject, 0)
    assert output and len(seen) == output and not second.training
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    other = store.trained(replace(subject, recipe=Recipe(2, 64, 5e-3)), 0)
    assert len(seen) > output and other is not first
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_every_plan_can_be_listed_and_keys_are_distinct() -> None:
    for paper in run.PAPERS.values():
        assert set(paper.plans) == set(run.SCHEDULES)
        for schedule, plans in paper.plans.items():
            assert all(plan.schedule == schedule for plan in plans) and paper.describe(plans)
            for plan in plans:
                if paper is not SVM:
                    plan.subject.build(0)
            keys = [json.dumps(key, sort_keys=True) for plan in plans
                    for key, _ in paper.tasks(plan, ModelStore(), 0)]  # fmt: skip
            assert keys and len(set(keys)) == len(keys)


def test_other_settings_are_other_cells() -> None:
    plan = sipp_plans.PLANS["tiny"][0]
    keys = [next(SIPP.tasks(p, ModelStore(), 0))[0]["settings"]
            for p in (plan, replace(plan, seeds=5), replace(plan, inputs=61))]  # fmt: skip
    assert keys[0] == keys[1] != keys[2]


def test_other_code_is_other_cells_and_other_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = sipp_plans.PLANS["tiny"][0]
    subject = Subject("fc-64-8-10", "digits", Recipe(1, 64, 5e-3))
    keys = []
    for digest in ("0" * 12, "1" * 12):
        for module in (work, subjects, cells):
            monkeypatch.setattr(module, "source_digest", lambda digest=digest: digest)
        keys.append(next(SIPP.tasks(plan, ModelStore(), 0))[0]["settings"])
        ModelStore(folder=tmp_path).trained(subject, 0)
        kept = Cells(tmp_path / "cells.jsonl")
        kept.get(KEY | {"settings": keys[-1]}, counting([]))
    assert keys[0] != keys[1] and len(list(tmp_path.glob("*.safetensors"))) == 2
    assert {cell["made"]["source"] for cell in kept.cells.values()} == {"0" * 12, "1" * 12}


def test_the_digest_is_of_all_that_cells_run(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(sources.__file__).parent
    assert all((here / f"{name}.py").is_file() for name in MODULES)
    # Whatever a cell's code imports of this package is in it, or tells and plans only.
    telling = {"cells", "sources", "tables", "verdicts", "work"}
    for name in MODULES:
        imported = re.findall(
            r"^from reports\.validation\.(\w+) import", (here / f"{name}.py").read_text(), re.M
        )
        for other in imported:
            assert other in {*MODULES, *telling} or other.endswith(("_plans", "_lines")), other
    seen: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: seen.append(path) or read_bytes(path))
    sources.source_digest.cache_clear()
    first = sources.source_digest()
    assert {path.name for path in seen} >= {"sipp_network.py", "retraining.py", "sipp_methods.py"}
    for more, equal in ((b"X = 1\n", False), (b"\n# Nothing more.\n", True)):
        monkeypatch.setattr(
            Path,
            "read_bytes",
            lambda path, m=more: read_bytes(path) + m * (path.name == "paper.py"),
        )
        sources.source_digest.cache_clear()
        assert (sources.source_digest() == first) is equal
    sources.source_digest.cache_clear()


@pytest.mark.parametrize("name", ["svm.py", "child.py", "children.py"])
def test_a_race_is_run_anew_where_the_code_that_races_changed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> tuple[list[Json], list[Json]]:
        result = [key for key, _ in SVM.tasks(SVM.plans["quick"][0], ModelStore(), 0)]
        races = [key for key in result if key["part"] == "race"]
        return races, [key for key in result if key not in races]

    races, others = keys()
    assert {key["solver"] for key in races} == {*svm.SOLVERS, "libsvm"}
    read_bytes = Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda path: (
            read_bytes(path) + b"X = 1\n" * (path.name == name and path.parent.name == "benches")
        ),
    )
    again, same_ones = keys()
    assert same_ones == others and not any(key in races for key in again)


def test_the_digest_of_the_code_leaves_out_what_changes_no_number() -> None:
    code = "def f(x):\n    text = '''a\n# b\n'''\n    return x\n"
    message = code.replace("def f(x):\n", '# Why.\n\ndef f(x):\n    """Say\n    it."""\n')
    assert code_of(message) == code_of(code)
    for old, new in (("# b", "# c"), ("return x", "return 2 * x"), ("'''a\n", "'''a\n\n")):
        assert code_of(code.replace(old, new)) != code_of(code)


def test_shipped_weights_are_not_trained() -> None:
    store = ModelStore(progress=lambda *call: pytest.fail("trained"))
    model = store.trained(Subject("lenet-5", "mnist", Recipe(1, 64, 5e-3), shipped=True), 3)
    theirs = models.pretrained("lenet-5")
    assert all(map(torch.equal, model.state_dict().values(), theirs.state_dict().values()))


def test_fewer_seeds_are_the_first_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = replace(sipp_plans.PLANS["tiny"][0].only(["magnitude-effective"]), steps=(0.5,))
    keys = [[key for key, _ in SIPP.tasks(replace(tiny, seeds=count), ModelStore(), 0)]
            for count in (1, 2)]  # fmt: skip
    assert keys[0] == keys[1][: len(keys[0])] and len(keys[1]) == 2 * len(keys[0])
    monkeypatch.setitem(sipp_plans.PLANS, "tiny", (tiny,))
    result = run.validate("sipp", schedule="tiny", seeds=1)
    assert ", 1 seed (" in result.says
    both = (tiny, replace(tiny, subject=replace(tiny.subject, net="fc-64-9-10")))
    monkeypatch.setitem(sipp_plans.PLANS, "tiny", (*both, *both))
    names = "fc-64-9-10,fc-64-24-10"
    assert len(run._chosen(SIPP.plans["tiny"], names, None, None)) == 4
    assert len(run._chosen(SIPP.plans["tiny"], "fc-64-9-10", None, None)) == 2
    # Those that are left keep their order; a network without any of them is left out.
    other = replace(tiny, methods=("snip", "random"), trained=("random",), tickets=("snip",))
    monkeypatch.setitem(sipp_plans.PLANS, "tiny", (other, tiny))
    few = run._chosen(SIPP.plans["tiny"], None, "random,snip", None)
    assert [plan.methods for plan in few] == [("snip", "random")]
    (one,) = run._chosen(SIPP.plans["tiny"], None, "random", None)
    assert (one.methods, one.trained, one.tickets) == (("random",), ("random",), ())
    # One seed has no spread: nothing is said of an interval.
    assert all(line.low is None and line.seeds in (0, 1, None) for line in result.lines)


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"paper": "x"}, "paper must be one of"), ({"schedule": "x"}, "schedule must be one of"),
     ({"only": "x"}, "only must be of fc-64-24-10; found 'x'"),
     ({"seed": -1}, "seed"), ({"seeds": 0}, "seeds must"), ({"threads": 0}, "threads")],
)  # fmt: skip
def test_bad_arguments_are_refused(asked: Json, words: str) -> None:
    settled: Json = {"paper": "sipp", "schedule": "tiny"} | asked
    with pytest.raises(ValueError, match=words):
        run.validate(**settled)


def test_data_that_are_missing_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIPP_DATA_DIR", raising=False)
    tiny = sipp_plans.PLANS["tiny"][0]
    lost = replace(tiny, subject=replace(tiny.subject, net="lenet-300-100", data="mnist"))
    monkeypatch.setitem(sipp_plans.PLANS, "reduced", (lost,))
    with pytest.raises(FileNotFoundError):
        run.validate("sipp", schedule="reduced", data_dir=tmp_path)
    monkeypatch.setitem(sipp_plans.PLANS, "quick", (tiny.only(["sipp-det"]), lost))
    result = run.validate("sipp", schedule="quick")
    missing = [line for line in result.lines if line.what == "networks on mnist"]
    assert missing[0].agrees == "not run" and "--data-dir" in missing[0].why


def corenet_rows(better: float) -> list[Json]:
    return [
        {"net": plan.subject.net, "data": "mnist", "method": method, "keep": ratio, "seed": seed,
         "kept": ratio, "drop": 0.1 * base + 0.001 * seed,
         "error": base * (1 + 0.01 * seed) / ratio}
        for plan in corenet_plans.PLANS["reduced"]
        for method in corenet_plans.METHODS
        for ratio in plan.keeps
        for seed in range(1 if method == "svd" else 3)
        for base in [better if method == "corenet" else 1.0]
    ]  # fmt: skip


@pytest.mark.parametrize(("better", "agrees"), [(0.5, "yes"), (2.0, "no"), (1.0, "in part")])
def test_corenets_lines_follow_the_errors(better: float, agrees: str) -> None:
    rows, plans = corenet_rows(better), corenet_plans.PLANS["reduced"]
    lines = {line.what: line for line in CORENET.lines(plans, rows)}
    one = lines["mean output error of corenet divided by that of entry-l1"]
    assert one.agrees == agrees and one.ours.startswith(f"{better:.3g} times")
    assert one.low is not None and one.high is not None and one.seeds == 3
    assert one.low <= better * 1.0000001 and better <= one.high * 1.0000001
    # svd has no dice: its one run stands beside every seed, whose errors differ by a percent each.
    svd = lines["mean output error of corenet divided by that of svd"]
    assert svd.seeds == 3 and svd.agrees == {"in part": "in part"}.get(agrees, agrees)
    lost = lines["mean accuracy lost by corenet minus that by entry-l1"]
    assert lost.agrees == agrees and lost.ours.startswith(points_apart(0.1 * (better - 1)))
    panels = CORENET.curves(plans, rows)
    assert len(panels) == 3 * len(plans)
    assert [len(s["kept"]) for s in panels[0]["series"]] == [10] * 8
    assert panels[0]["series"][0]["y"][0] == pytest.approx(better * 1.01 / 0.02, rel=1e-4)


CASCADES = replace(sipp_plans.PLANS["reduced"][0], tickets=("sipp-det", "sipp-network-choice"))


def sipp_rows(cascade: Callable[[str, float], float], ticket: float) -> list[Json]:
    rows: list[Json] = []
    for key, _ in SIPP.tasks(CASCADES, ModelStore(), 0):
        kept, wobble = key.get("keep", 1.0), 0.0005 * key["seed"]
        value = {"kept": kept, "accuracy": 0.98, "random": 0.98 - ticket - wobble}
        if key["part"] == "cascade":
            value["accuracy"] = cascade(key["method"], kept)
        rows.append(key | value)
    return rows


def test_sipps_lines_follow_the_cells() -> None:
    plans = [CASCADES]
    # Ours holds to 3% of the weights, sipp-det to 5%, magnitude to 10%, the others lose at once.
    last = {"sipp-network-choice": 0.03, "sipp-det": 0.05, "magnitude-effective": 0.1}
    rows = sipp_rows(lambda m, k: 0.98 if k >= last.get(m, 1.0) else 0.9749, ticket=0.02)
    lines = {line.what: line for line in SIPP.lines(plans, rows)}
    where = "lenet-300-100 on mnist"
    head = "prune potential at 0.5% loss, iterative: "
    goal = lines[f"{head}sipp-network-choice, {where}"]
    assert goal.ours == "97.0% removed" and goal.agrees == "yes" and goal.seeds == 2
    theirs = lines[f"{head}sipp-det, {where}"]
    assert theirs.ours == "95.0% removed" and theirs.agrees == "no claim"
    assert lines[f"{head}sipp-hybrid, {where}"].ours == "0.0% removed"
    # Of five steps sipp-det has one more than magnitude.
    par = "accuracy of {} minus magnitude-effective, after iterative training, " + where
    assert lines[par.format("sipp-det")].ours.startswith("+0.10 points, mean over 5 ratios")
    assert lines[par.format("sipp-det")].agrees == "yes"
    assert lines[par.format("sipp-network-choice")].agrees == "no claim"
    assert par.format("sipp-rand") not in lines  # it is in no cascade of this plan
    ticket = lines[f"lottery ticket of sipp-det found at training, 10% of the weights, {where}"]
    assert ticket.agrees == "yes" and ticket.ours.startswith("+2.02 points")
    ours = ticket.what.replace("sipp-det", "sipp-network-choice")
    assert lines[ours].agrees == "no claim"  # the paper speaks of its own methods
    assert {line.agrees for line in lines.values() if "ResNet-101" in line.what} == {"not run"}
    panels = SIPP.curves(plans, rows)
    assert [p["title"] for p in panels] == ["pruned once", "pruned and trained in steps"]
    assert [line["name"] for line in panels[1]["series"]] == [
        "sipp-network-choice", "sipp-det", "sipp-hybrid", "magnitude-effective",
    ]  # fmt: skip
    bare = [row for row in rows if row["part"] != "ticket"]
    untold = SIPP.lines([replace(CASCADES, tickets=())], bare)
    (left_out,) = [line for line in untold if line.what == f"lottery tickets, {where}"]
    assert left_out.agrees == "not run" and "two whole trainings" in left_out.why
    worse = sipp_rows(lambda m, k: 0.98 - 0.02 * m.startswith("sipp"), ticket=-0.02)
    lines = {line.what: line for line in SIPP.lines(plans, worse)}
    assert lines[ticket.what].agrees == "no" and lines[par.format("sipp-det")].agrees == "no"
    assert lines[f"{head}magnitude-effective, {where}"].ours == "at least 98.0% removed"


PRUNED = networks_plans.PLANS["reduced"][0]


def networks_rows(
    accuracy: Callable[[str, float, int], float], kept: Callable[[str], float]
) -> list[Json]:
    return [
        key | {"kept": kept(key["method"]), "tested": 3, "violations": 7}
        if key["part"] == "certified"
        else key | {"kept": key.get("keep", 1.0), "cpu": 12.3,
                    "accuracy": accuracy(key.get("method", ""), key.get("keep", 1), key["seed"])}
        for key, _ in NETWORKS.tasks(PRUNED, ModelStore(), 0)
    ]  # fmt: skip


def test_networks_lines_follow_the_cells() -> None:
    where = "lenet-300-100 on mnist"
    rows = networks_rows(
        lambda method, keep, seed: (0.96 if method == "sipp-network" else 0.9) + 0.001 * seed,
        lambda method: 0.12 if method == "sipp-network" else 0.6,
    )
    plan = replace(PRUNED, above=("wanda",))
    lines = {line.what: line for line in NETWORKS.lines([plan], rows)}
    ten, five = (lines[f"accuracy without training, {k} of the weights, {where}"]
                 for k in ("10%", "5%"))  # fmt: skip
    assert ten.agrees == "no" and five.agrees == "yes"  # 97 and 95.5% are aimed at
    assert ten.ours.startswith("sipp-network 96.10% (unpruned 90.10%); ")
    assert "magnitude-rounds 90.1%" in ten.ours and ten.seeds == 3
    above = "accuracy of sipp-network minus wanda, without training, 5% of the weights, " + where
    assert lines[above].agrees == "yes" and lines[above].ours == "+6.00 points"
    head = "accuracy of sipp-network minus magnitude-effective, 1 epoch of training after, "
    again = head + "{} of the weights, " + where
    assert lines[again.format("50%")].agrees == "yes"
    ours = lines[f"fewest weights certified, sipp-network, 256 calibration inputs, {where}"]
    theirs = lines[ours.what.replace("sipp-network", "wanda")]
    assert ours.agrees == "yes" and ours.ours == "12%, 12%, 12% by seed"
    assert theirs.agrees == "no claim" and theirs.ours == "60%, 60%, 60% by seed"
    worse = networks_rows(
        lambda method, keep, seed: 0.9 if method == "sipp-network" else 0.96, lambda method: 1.0
    )
    lines = {line.what: line for line in NETWORKS.lines([plan], worse)}
    assert lines[above].agrees == lines[ours.what].agrees == "no"
    assert lines[again.format("2%")].agrees == "no"
    assert lines[again.format("2%")].why == "below in the mean"
    # Of a run that was stopped it is said what is not there.
    some = [row for row in rows if row["part"] in ("unpruned", "prune")]
    left = {line.what for line in NETWORKS.lines([plan], some) if line.agrees == "not run"}
    assert left == {f"{what}, {where}" for what in (
        "accuracy after a short training", "fewest weights certified", "sipp-network by setting"
    )}  # fmt: skip
    some = [row for row in rows if row.get("inputs") != 152]
    left = {line.what for line in NETWORKS.lines([plan], some) if line.agrees == "not run"}
    assert left == {f"fewest weights certified, 152 calibration inputs, {where}"}


def test_what_sees_no_input_runs_once_where_weights_are_shipped() -> None:
    plan = replace(networks_plans.PLANS["reduced"][2], above=("magnitude",))
    assert plan.subject.shipped
    keys = [key for key, _ in NETWORKS.tasks(plan, ModelStore(), 0)]
    seeds = {name: {key["seed"] for key in keys if key.get("method") == name
                    and key["part"] == "prune"} for name in plan.methods}  # fmt: skip
    assert seeds["magnitude"] == {0} and seeds["sipp-network"] == {0, 1, 2}
    rows = [key | {"kept": 0.2, "cpu": 1.0,
                   "accuracy": 0.8 + 0.01 * key["seed"] * (key.get("method") != "magnitude")}
            for key in keys]  # fmt: skip
    lines = [line for line in NETWORKS.lines([plan], rows) if " minus magnitude," in line.what]
    assert len(lines) == 4 and all(line.ours == "+1.00 points" for line in lines)


def test_what_every_plan_compares_was_run_and_has_a_name() -> None:
    named = {name for pairs in sipp_plans.PAIRS.values() for pair in pairs for name in pair}
    assert named <= set(sipp_plans.METHODS) <= set(sipp_methods.VARIANTS)
    for plans in sipp_plans.PLANS.values():
        for plan in plans:
            assert set(plan.tickets) <= set(plan.trained) <= set(plan.methods)
            assert set(plan.retrained) <= set(plan.keeps)


# Radii up to 0.45, with which a curve of these cells ends at 96.25%.
TRIMS = tuple(
    replace(plan, radii=plan.radii[:6]) if plan.again else plan
    for plan in nettrim_plans.PLANS["reduced"]
)


def trim_rows(lost: float, promised: float) -> list[Json]:
    rows: list[Json] = []
    for plan in TRIMS:
        for key, _ in NETTRIM.tasks(plan, ModelStore(), 0):
            ratio = key.get("keep", 1.0)
            kept = 0.6 - 1.25 * ratio if key["part"] == "trim" else ratio
            rows.append(
                key
                | {"kept": kept, "accuracy": 0.9, "trained": 0.987 - lost, "promised": promised,
                   "discrepancy": 0.05, "nonzero": [360, 3000, 131]}
            )  # fmt: skip
    return rows


def test_nettrims_lines_follow_the_cells() -> None:
    lines = NETTRIM.lines(TRIMS, trim_rows(0.003, 0.5))
    net = "fc-784-300-1000-100-10 on mnist"
    curve = {line.what.split()[2]: line for line in lines if line.what.endswith(f"removed, {net}")}
    assert len(curve) == 11
    assert curve["44.00%"].agrees == "yes" and curve["91.00%"].agrees == "yes"
    assert curve["97.00%"].agrees == "not run"
    spirals = [line.agrees for line in lines if "spirals" in line.what]
    assert spirals == ["yes", "no", "yes"]
    bound = next(line for line in lines if line.guarantee)
    assert bound.agrees == "yes" and bound.ours.startswith("0.1 to 0.1")
    worse = NETTRIM.lines(TRIMS, trim_rows(0.02, 0.04))
    assert next(line for line in worse if line.guarantee).agrees == "no"
    assert "no" in {line.agrees for line in worse if line.what.endswith(f"removed, {net}")}


def test_a_curve_is_read_between_its_points_and_not_beyond() -> None:
    rows = [{"seed": 0, "method": "m", "kept": 0.5, "trained": 0.9},
            {"seed": 0, "method": "m", "kept": 0.3, "trained": 0.8}]  # fmt: skip
    assert nettrim_lines._at(rows, 0, "m", 0.6, "trained") == pytest.approx(0.85)
    assert nettrim_lines._at(rows, 0, "m", 0.71, "trained") is None
    assert nettrim_lines._at(rows, 1, "m", 0.6, "trained") is None


@pytest.mark.parametrize(("better", "agrees"), [(0.5, "yes"), (2.0, "no"), (1.0, "in part")])
def test_lines_of_svm_coresets_follow_the_cells(better: float, agrees: str) -> None:
    (plan,) = SVM.plans["tiny"]
    base = {"net": "svm-gaussian", "data": "gaussian", "scale": 100.0, "seed": 0}
    rows = [
        base | {"part": "method", "method": name, "size": 100, "below": True, "seed": seed,
                "off": off * noise, "certified": off * noise * 1.02}
        for name in svm.METHODS
        for seed, noise in enumerate((1.0, 1.1 if name == "uniform" else 1.0, 0.95))
        for off in [0.1 * (better if name == "sensitivity" else 1.0)]
    ]  # fmt: skip
    plan = replace(plan, timed=(500,))
    for solver, cpu in (("coreset", 1.0), ("newton", 3.0), ("linear svc", 60.0)):
        rows.append(base | {
            "part": "race", "points": 500, "solver": solver, "cpu": cpu, "mib": 7.0, "eps": 1e-6,
            "capped": False, "ended": True,
        })  # fmt: skip
    stuck = {"solver": "libsvm", "cpu": 120.0, "capped": True, "ended": False}
    rows.append(base | {"part": "race", "points": 500, **stuck})
    for count, cpu in ((100, 2.0), (200, 8.0)):
        row = {"solver": "libsvm", "points": count, "cpu": cpu, "ended": True}
        rows.append(base | {"part": "race", **row})
    first, *_, timed, alone, certified = [
        x for x in SVM.lines([plan], rows) if x.agrees != "not run"
    ]
    assert first.agrees == agrees
    assert "newton 3 times its time, 7 MiB" in timed.ours
    assert "linear svc 60 times its time" in timed.ours
    assert "libsvm not done after 1.2e+02 times its time" in timed.ours
    assert "2 s of 100 points, 8 s of 200 points" in alone.ours
    assert "power 2, not run: 50 s of 500" in alone.ours
    assert certified.agrees == "yes" and "0 of 18 below; 0% within 1%" in certified.ours
    wrong = [row | {"certified": 0.0} if row["part"] == "method" else row for row in rows]
    (broken,) = [x for x in SVM.lines([plan], wrong) if x.guarantee]
    assert broken.agrees == "no" and "18 of 18 below" in broken.ours
