"""The sentences about the ledger, for each thing that a run can come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reports.claims.terms import STATUSES, times
from reports.claims.words import briefing

Json = dict[str, Any]
Make = Callable[..., Json]


def test_the_whole_is_told(summary: Json) -> None:
    brief = briefing(summary)
    text = " ".join(brief["sentences"])
    assert (brief["claims"], brief["assumptions"]) == (6, 2)
    assert brief["counts"] == dict.fromkeys(STATUSES, 1)
    assert "1 was proved by machine" in brief["headline"]
    assert "Of the 4 claims from the literature" in text
    assert "1 rests on an assumption that fails here (NW-5)" in text
    assert "1 was not checked (NW-7); none was refuted." in text
    assert "Of the 2 claims derived in this project" in text and "1 was refuted (SP-8)." in text
    assert "SP-2 (name of SP-2) at 400 to 412 times what is needed" in text
    assert "The tightest of all is SP-5x (name of SP-5x) at 1.04; for 1 it never exceeds 2." in text
    assert "A2 (name of A2) fails on a real network (trained on the digits)" in text
    assert "so that NW-5 says nothing about it" in text
    assert "instead of NW-5 and SP-2 use SP-5x (name of SP-5x), at 1.04 times" in text
    notes = " ".join(brief["notes"])
    assert "1 weakened copies of the bounds were put in their place, and 1 were caught." in notes
    assert "checks of NW-7 were skipped" in notes and "quick profile" in notes


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_alone(status: str, make_run: Make, make_entry: Make) -> None:
    one = briefing(make_run(make_entry("SP-2", status)))
    two = briefing(make_run(make_entry("SP-2", status), make_entry("SP-3", status)))
    assert one["counts"] == {status: 1} and two["counts"] == {status: 2}
    assert one["sentences"][0].startswith("The claim from the literature, SP-2, ")
    assert two["sentences"][0].startswith("Of the 2 claims from the literature, 2 ")
    assert ("none was refuted" in two["sentences"][0]) == (status != "refuted")
    assert len(one["sentences"]) == 1


def test_no_assumption_failed(make_run: Make, make_entry: Make) -> None:
    brief = briefing(make_run(make_entry("A1", "consistent"), make_entry("A2", "consistent")))
    assert brief["sentences"] == ["No assumption was refuted; A1 and A2 were looked at."]


def test_an_assumption_that_nothing_in_the_run_uses(make_run: Make, make_entry: Make) -> None:
    brief = briefing(make_run(make_entry("A2", "refuted")))
    assert brief["sentences"] == ["The assumption A2 (name of A2) fails on a real network."]


def test_mnist_is_named_where_it_was_looked_at(
    make_run: Make, make_entry: Make, make_evidence: Make
) -> None:
    seen = make_evidence("A2", "assumptions", "refuted", found="mnist and digits: index 1.1")
    text = briefing(make_run(make_entry("A2", "refuted", seen), profile="full"))
    assert "trained on the digits and MNIST" in text["sentences"][0] and text["notes"] == []


def test_a_replacement_must_itself_stand(
    make_run: Make, make_entry: Make, make_counted: Make
) -> None:
    def chain(end: str) -> Json:
        return make_run(
            make_entry("SP-2", "checked", make_counted("SP-2", 300.0), use_instead="SP-3"),
            make_entry("SP-3", "checked", make_counted("SP-3", 200.0), use_instead="SP-4"),
            make_entry("SP-4", end),
        )

    assert (
        "instead of SP-2 and SP-3 use SP-4 (name of SP-4)"
        in briefing(chain("proved"))["sentences"][-1]
    )
    assert briefing(chain("refuted"))["sentences"][-1] == (
        "For the same question there is better: instead of SP-2 use SP-3 (name of SP-3), at 2.00 "
        "times what is needed."
    )


def test_replacements_in_a_circle_end(make_run: Make, make_entry: Make) -> None:
    pair = [
        make_entry(a, "refuted", use_instead=b) for a, b in (("SP-2", "SP-3"), ("SP-3", "SP-2"))
    ]
    assert len(briefing(make_run(*pair))["sentences"]) == 1


def test_a_mutation_that_survived_is_named(
    make_run: Make, make_entry: Make, make_evidence: Make
) -> None:
    missed = make_evidence("SP-2", "mutations", "survived")
    brief = briefing(make_run(make_entry("SP-2", "checked", missed), survived=["constant_halved"]))
    assert "0 were caught, but not constant_halved." in brief["notes"][0]


def test_an_empty_run_says_nothing(make_run: Make) -> None:
    assert briefing(make_run(profile="full"))["sentences"] == []


def test_ranges_are_short() -> None:
    assert times({"least": 1.0, "largest": "infinite"}, " to ") == "1.00 to ∞"
