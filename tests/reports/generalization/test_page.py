"""The generalization page and the files behind it, made of one tiny result."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import beta

from reports import build, verify, write_generalization
from reports.generalization import checked_in, page, plans, words
from reports.generalization.checked_in import load, read
from reports.generalization.figures import rows_of
from reports.generalization.run import Generalization, budget, generalize
from reports.site.page import Prepared
from reports.validation.subjects import Subject
from sipp_core import Compressed, compress, decompress
from sipp_core.compression.rate_control import Coded, Schedule, Setting
from sipp_core.zoo.recipes import Recipe

Json = dict[str, Any]
NET = "dense:64,10"


@pytest.fixture(scope="module")
def tiny() -> Generalization:
    """Two candidates on digits, a few epochs each."""
    plan = replace(
        plans.PLANS[NET, "digits"],
        subject=Subject(NET, "digits", Recipe(8, 64, 1e-2)), methods=("magnitude",),
        keeps=(0.5, 0.3), levels=(3,),
        schedule=Schedule(again=Recipe(1, 64, 1e-2), levels=Recipe(8, 64, 1e-2)),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plans.PLANS, (NET, "digits"), plan)
        return generalize(command="sipp generalize <x>")


def again(result: Generalization, **more: Any) -> Generalization:
    return Generalization(result.file, result.facts | more)


def saved(result: Generalization, folder: Path, name: str = "dense-64-10-digits") -> Path:
    folder.mkdir(exist_ok=True)
    text = json.dumps(result.summary()).replace("Infinity", '"inf"')
    (folder / f"{name}.json").write_text(text)
    result.file.save(folder / f"{name}.sipp")
    return folder


@pytest.fixture(scope="module")
def results(tiny: Generalization) -> list[Generalization]:
    """It, and one that says nothing, is of images and on MNIST."""
    facts = json.loads(json.dumps(tiny.facts))
    facts["bounds"][0] |= {"value": 1.0, "vacuous": True}
    facts["bounds"] = [row for row in facts["bounds"] if row["claim"] != "GN-2"]
    facts |= {"net": "lenet-5", "data": "mnist", "theorem": {"refused": "conv2d is none"}}
    return [Generalization(tiny.file, facts), tiny]


@pytest.fixture(scope="module")
def prepared(results: list[Generalization]) -> Prepared:
    return page.PAGE.prepare(results)


def test_the_page_says_what_the_number_means(
    prepared: Prepared, tiny: Generalization, text_of: Callable[[str], str]
) -> None:
    text, facts = text_of(prepared.html), tiny.facts
    best = facts["candidates"][facts["best"]]
    assert not facts["bounds"][0]["vacuous"]
    for message in (
        *words.LIMITS, words.promise(facts), words.headline(facts), "Every bound, side by side",
        words.amount(facts["bounds"][0]["value"]), words.amount(facts["half"]["bound"]),
        "vacuous (", "Choices that cost nothing, and why", "Seed, recipe and number of epochs",
        "another network, trained on 718 inputs", "sipp generalize <x>", facts["file"]["sha256"],
        "sipp generalize --verify dense-64-10-digits.sipp --data digits --delta 0.05",
        f"{words.rate(best['test_errors'], 360)} of 360 test inputs", "fc1 weight positions",
        "46.0% (Zhou et al. 2019, LeNet-5)", "11.6% (Lotfi et al. 2022)", "They are theirs",
        "lenet-5 on mnist: no file had a bound that says anything", "The certified bound is "
        "vacuous: 1,437 training inputs are too few", "is not computed: Conv2d is none.",
    ):  # fmt: skip
        assert message in text, message
    assert prepared.briefing["headline"].startswith("lenet-5 on mnist: no file")


def test_the_page_holds_the_network_and_fetches_nothing(
    prepared: Prepared, tiny: Generalization
) -> None:
    body = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", prepared.html)
    assert "http" not in body and "<script" not in body and "url(" not in body
    assert "<x>" not in body
    assert len(re.findall(r'alt="[^"]{40,}"', body)) == len(prepared.drawn) == 1 + 5 + 6
    assert len({figure.name for figure in prepared.drawn}) == 12
    held = re.findall(r"data:application/octet-stream;base64,([A-Za-z0-9+/=]+)", body)
    assert base64.b64decode(held[1]) == tiny.file.content


def test_the_budget_picture_accounts_for_every_bit(tiny: Generalization) -> None:
    facts = json.loads(json.dumps(tiny.facts))
    drawn = sum(bits for row in rows_of(facts).values() for _, bits in row)
    assert drawn == pytest.approx(sum(c["bits"] for c in facts["budget"]), abs=1e-9)
    assert drawn - 8 * len(tiny.file.content) == pytest.approx(33.0)
    kinds = {words.kind(charge) for charge in facts["budget"]}
    assert kinds <= set(words.PARTS) and "positions" in kinds


def test_whole_neurons_that_went_first_are_told() -> None:
    one = {"method": "magnitude", "keep": 0.02, "levels": 4, "codebook": "table", "filters": 0.1}
    assert words.setting(one) == (
        "Magnitude, 2% of the weights, 4 levels (table), whole neurons first to 10%"
    )
    assert words.setting(one | {"method": "none"}).startswith("no single weights pruned, 4 levels")


@pytest.mark.parametrize("rounding", [-0.25, 0.0, 3.5])
def test_the_budget_is_what_the_bound_pays_whichever_way_the_stream_is_rounded(
    rounding: float,
) -> None:
    sections = (("", "header", 32.0), ("", "checksum", 32.0), ("fc", "weight positions", 16.0),
                ("fc", "bias form", 0.0), ("", "rounding", rounding))  # fmt: skip
    file = Compressed(bytes(10), sections)
    setting = Setting("none", 1.0, 3, "grid")
    result = budget(Coded(setting, file, 1.0, 0, 9, 0, 9, 34.0, 0.5), 4)
    assert result.total == 80 + rounding + 34
    assert all(charge.bits >= 0 for charge in result.charges)
    frame = {
        charge.what for charge in result.charges if words.kind({"what": charge.what}) == "frame"
    }
    assert any("rounding" in what for what in frame) == (rounding != 0)


def test_no_result_and_the_same_twice_are_refused(tiny: Generalization) -> None:
    with pytest.raises(ValueError, match="found none"):
        page.PAGE.prepare([])
    with pytest.raises(ValueError, match="dense-64-10-digits twice"):
        page.PAGE.prepare([tiny, tiny])


def test_files_are_written_whole_and_are_the_same_again(
    tiny: Generalization, tmp_path: Path
) -> None:
    index = write_generalization([tiny], tmp_path)
    assert index.name == "generalization.html"
    content = json.loads((tmp_path / "generalization.json").read_text())
    assert [one["net"] for one in content["results"]] == [NET]
    assert len(list(tmp_path.iterdir())) == 2 + 2 * 7
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_generalization([tiny], tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_an_infinite_bound_is_shown_as_one(
    tiny: Generalization, text_of: Callable[[str], str]
) -> None:
    theorem = tiny.facts["theorem"] | {"bound": float("inf"), "log2_penalty": float("inf")}
    theorem["log2_factors"] = [["mean Delta^2", float("inf")], ["sum of S", 3.0]]
    rows = [row | {"value": float("inf")} if row["claim"] == "GN-2" else row
            for row in tiny.facts["bounds"]]  # fmt: skip
    made = page.PAGE.prepare([again(tiny, theorem=theorem, bounds=rows)])
    assert "vacuous (∞)" in text_of(made.html)


def test_results_are_read_back(tiny: Generalization, tmp_path: Path) -> None:
    (result,) = load(saved(tiny, tmp_path / "a"))
    assert result.file == tiny.file and result.facts == json.loads(json.dumps(tiny.facts))
    assert result.bound == tiny.bound
    infinite = again(tiny, theorem=tiny.facts["theorem"] | {"bound": float("inf")})
    assert load(saved(infinite, tmp_path / "b"))[0].facts["theorem"]["bound"] == float("inf")
    assert [one.facts["format"] for one in load()] == ["sipp-theory generalization 1"] * len(load())


def test_files_that_come_with_the_package_are_still_read() -> None:
    for one in load():
        assert compress(decompress(one.file.content), architecture=one.facts["net"]).bits > 0


def test_a_prior_from_half_the_data_pays_for_the_rules_too(tiny: Generalization) -> None:
    half = tiny.facts["half"]
    assert half["bits"] >= 32 + math.log2(len(half["candidates"]))
    # A result of an earlier release, which paid log2 K only, is priced anew as it is read.
    row = {"column": "half", "value": 0.01, "claim": "GN-3", "name": "x", "vacuous": False}
    rows = [row if one["column"] == "half" else one for one in tiny.facts["bounds"]]
    unpaid = half | {"bits": 2.0, "bound": 0.01}
    result = read(tiny.facts | {"half": unpaid, "bounds": rows}, tiny.file.content)
    assert result.facts["half"] == half and result.facts["bounds"] == tiny.facts["bounds"]


def test_columns_that_come_with_the_package_are_what_their_errors_say() -> None:
    folder = Path(checked_in.__file__).parent / "results"
    for path in folder.glob("*.json"):
        facts = json.loads(path.read_text())
        half, rows = facts["half"], facts["half"]["candidates"]
        level = facts["delta"] / (2**32 * len(rows))
        # Clopper-Pearson, by scipy.
        exact = [beta.isf(level, row["errors"] + 1, half["n"] - row["errors"]) for row in rows]
        assert [row["bound"] for row in rows] == pytest.approx(exact, rel=1e-9), path.name
        shown = [row["value"] for row in facts["bounds"] if row["column"] == "half"]
        assert shown == [half["bound"]] == [min(row["bound"] for row in rows)]
        best = min(row["bound"] for row in facts["printed"])
        shown = [row["value"] for row in facts["bounds"] if row["claim"] == "GN-1"]
        assert shown == [best]
        for row in facts["printed"]:
            nats = row["parameters"] * math.log(row["levels"]) + math.log(row["choices"])
            nats -= math.log(row["delta"])
            total = row["margin_loss"] + row["exceptions"] + math.sqrt(nats / (2 * row["n"]))
            assert row["bound"] == pytest.approx(total, rel=1e-9) and row["choices"] > 2**32


def test_certificates_that_come_with_the_package_are_verified(
    mnist_dir: Path, tmp_path: Path
) -> None:
    for one in load():
        facts = one.facts
        path = one.file.save(tmp_path / f"{facts['data']}.sipp")
        result = verify(path, facts["data"], delta=facts["delta"], data_dir=mnist_dir,
                       candidates=len(facts["candidates"]))  # fmt: skip
        best = words.chosen(facts)
        assert (result["errors"], result["test_errors"]) == (best["errors"], best["test_errors"])
        assert result["bounds"][0]["value"] == pytest.approx(one.bound, rel=1e-9)


def test_what_does_not_belong_together_is_refused(tiny: Generalization, tmp_path: Path) -> None:
    facts, content = tiny.facts, tiny.file.content
    with pytest.raises(ValueError, match="put the files of one run side by side"):
        read(facts, content + b"x")
    with pytest.raises(ValueError, match="no output of `sipp generalize --out`"):
        read(facts | {"format": "x"}, content)
    with pytest.raises(ValueError, match="no whole output"):
        read({name: facts[name] for name in facts if name != "budget"}, content)
    with pytest.raises(ValueError, match="the file holds dense:64,10, the numbers are of x"):
        read(facts | {"net": "x"}, content)
    better = [facts["bounds"][0] | {"value": 0.01}, *facts["bounds"][1:]]
    with pytest.raises(ValueError, match=r"its certified bound is 0\.01, its errors and bits give"):
        read(facts | {"bounds": better}, content)
    unpaid = [charge for charge in facts["budget"] if "positions" not in charge["what"]]
    with pytest.raises(ValueError, match="its certified bound is"):
        read(facts | {"budget": unpaid}, content)
    folder = saved(tiny, tmp_path / "a")
    (folder / "dense-64-10-digits.json").write_text("{")
    with pytest.raises(ValueError, match=r"dense-64-10-digits\.json: "):
        load(folder)
    (folder / "dense-64-10-digits.json").unlink()
    with pytest.raises(ValueError, match=r"\.sipp lacks dense-64-10-digits\.json beside it"):
        load(folder)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


NOTHING = Compressed(b"", ())


def test_digits_come_last_and_the_least_bound_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {name: {"data": data, "bounds": [{"value": value}]} for name, data, value in
            (("a", "digits", 0.1), ("b", "mnist", 0.9), ("c", "mnist", 0.2))}  # fmt: skip
    for name, facts in result.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
        (tmp_path / f"{name}.sipp").write_bytes(b"")
    monkeypatch.setattr(checked_in, "read", lambda facts, _: Generalization(NOTHING, facts))
    assert [one.bound for one in load(tmp_path)] == [0.2, 0.9, 0.1]


@pytest.mark.usefixtures("computed")
def test_the_reports_pages_link_each_other(tiny: Generalization, tmp_path: Path) -> None:
    built = build("digits", tmp_path, quick=True, generalization=[tiny])
    index = built.index.read_text()
    assert 'href="generalization.html"' in index
    assert words.headline(tiny.facts).split(":")[0] in index
    assert 'href="index.html"' in (tmp_path / "generalization.html").read_text()
