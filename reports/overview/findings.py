"""The main results, in a few sentences that are computed from the results."""

from __future__ import annotations

from typing import Any

from reports.overview.alt import at_middle, labels
from reports.site.plain import count, percent, percent_upward, share, significant, upward

Json = dict[str, Any]


def findings(results: Json) -> list[Json]:
    """Sentences for the head of the page, each with the kind of statement that it is."""
    return [
        *(_finding("certificate", text) for text in _sparsest(results)),
        _finding("measured", _accuracy(results)), _finding("certificate", _certificate(results)),
        _finding("measured", _tightness(results)), *_network(results),
        _finding("measured", _kept_promises(results)),
    ]  # fmt: skip


def _finding(kind: str, text: str) -> Json:
    return {"kind": kind, "text": text}


def _accuracy(results: Json) -> str:
    keep, rows = at_middle(results)
    best, worst = (pick(rows, key=lambda row: row["accuracy"]) for pick in (max, min))
    names = labels(results)
    return (
        f"Asked to keep {percent(keep, 0)} of the weights, {names[best['method']]} stays most "
        f"accurate ({percent(best['accuracy'])}; unpruned "
        f"{percent(results['network']['figure_accuracy'])}), {names[worst['method']]} least "
        f"({percent(worst['accuracy'])})."
    )


def _certificate(results: Json) -> str:
    network, proved = results["certified"]["network"], results["certified"]["certificate"]
    if proved["vacuous"]:
        return (
            f"Nothing can be certified: {count(proved['n'])} held-out inputs are too few, at least "
            f"{count(proved['needed_n'])} are needed."
        )
    text = (
        f"With {percent(network['kept'])} of the weights ({labels(results)[network['method']]}), "
        f"at most {share(proved['delta'])} of new inputs move by more than "
        f"{upward(proved['eps'])} of the output's size"
    )
    if proved["disagreement"] is not None:
        text += f"; at most {percent_upward(proved['disagreement'])} change class"
    return f"{text}, each at {share(proved['confidence'])} confidence."


def _sparsest(results: Json) -> list[str]:
    certified = [row for row in results["sparsest"]["rows"] if row["found"]]
    if not certified:
        return []
    best = min(certified, key=lambda row: row["kept"])
    return [
        f"An error of at most {results['sparsest']['eps']:g} for all but "
        f"{share(results['sparsest']['delta'])} of new inputs was proved with the fewest weights "
        f"for {labels(results)[best['method']]}: {percent(best['kept'])}, at "
        f"{share(results['sparsest']['confidence'])} confidence."
    ]


def _tightness(results: Json) -> str:
    claims = results["check"]["claims"]
    loose, exact = (claims[c]["tightness"]["median"] for c in ("SP-2", "SP-5x"))
    return (
        f"CoreNet's bound for one neuron asks for {significant(loose)} times the draws that are "
        f"needed (median), the exact tail for {significant(exact)} times."
    )


def _network(results: Json) -> list[Json]:
    bound, tried = results["theory"]["network"], results["simulated"]
    text = f"CoreNet's theorem for the whole network bounds its {count(bound['weights'])} weights "
    text += f"by {upward(bound['nnz_bound'], 2)}"
    sentences = [
        _finding("promise", text + (": it says nothing here." if bound["vacuous"] else "."))
    ]
    drawn = next(row for row in tried["rows"] if row["unit"] == "draws")
    proved = [row for row in tried["rows"] if not row["vacuous"]]
    if not proved:
        return sentences
    best = min(proved, key=lambda row: row["kept"])
    needs = "" if drawn["vacuous"] else f"{upward(drawn['budget'], 2)} of its own draws or "
    text = (
        f"What that sentence truly needs, by simulation with no assumption: {needs}"
        f"{count(best['kept'])} weights kept by {best['label']} (each output "
        f"within {100 * tried['eps']:g}%, but for {share(tried['delta'])} of draws and new inputs, "
        f"at {share(tried['confidence'])} confidence)."
    )
    return [*sentences, _finding("certificate", text)]


def _kept_promises(results: Json) -> str:
    broken = results["check"]["refuted"]
    if broken:
        return f"Monte Carlo refutes {', '.join(broken)} on the calibration inputs."
    if results["promises"]["violated"]:
        return "A worst-case promise was exceeded on the calibration inputs."
    return "No promise was broken on the calibration inputs, where promises hold."
