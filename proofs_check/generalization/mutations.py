"""Weakened copies of GN-1 to GN-4: terms dropped, codes that are none, unpaid choices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import sipp_theory
from proofs_check.generalization import books, coverage, laws, oracles
from proofs_check.ledger.mutation import Function, Mutation


def _file_unpaid(bound: Function) -> Function:
    return lambda form, **given: bound(form, **given | {"bits": 0 * np.asarray(given["bits"])})


def _delta_unpaid(bound: Function) -> Function:
    return lambda form, **given: bound(form, **given | {"delta": 1 - 1e-12})


def _credit(bound: Function) -> Function:
    """Two bits given back, as they are for a header that cancels somewhere."""
    return lambda form, **given: bound(
        form, **given | {"bits": np.maximum(np.asarray(given["bits"]) - 2, 0)}
    )


def _training_error(bound: Function) -> Function:
    return lambda form, **given: (
        np.asarray(given["errors"]) / np.asarray(given["n"]) + 0 * np.asarray(given["bits"])
    )


def _kl_and_hoeffding_swapped(bound: Function) -> Function:
    other = {"binomial": "binomial", "kl": "hoeffding", "hoeffding": "kl"}
    return lambda form, **given: bound(other[form], **given)


def _half_the_bits(bound: Function) -> Function:
    return lambda form, **given: bound(form, **given | {"bits": np.asarray(given["bits"]) / 2})


def _divergence_unpaid(bound: Function) -> Function:
    return lambda **given: bound(**given | {"divergence": 0 * np.asarray(given["divergence"])})


def _lambda_unpaid(bound: Function) -> Function:
    """The infimum over lambda without the logarithm that pays for it."""

    def wrong(*, error_rate: Any, n: Any, divergence: Any, delta: Any, alpha: Any = 1e-4) -> Any:
        rate, nats = np.broadcast_arrays(error_rate, np.asarray(divergence) - np.log(delta))
        scale = np.exp(np.linspace(0, np.log(64.0 * np.max(n)), 4001))
        inner = rate[..., None] + (1 + alpha) / scale * nats[..., None]
        share = scale / np.asarray(n)[..., None]
        return np.minimum((np.expm1(-share * inner) / np.expm1(-share)).min(axis=-1), 1.0)

    return wrong


def _parameters_unpaid(bound: Function) -> Function:
    return lambda **given: bound(**given | {"parameters": 0})


def _half_margin(loss: Function) -> Function:
    """The margin loss at gamma/2, as if only the right score could move."""
    return lambda margins, gamma: loss(margins, np.asarray(gamma) / 2)


def _strict(loss: Function) -> Function:
    """Ties do not count as errors."""
    return lambda margins, gamma: (np.asarray(margins) < np.asarray(gamma)[..., None]).mean(axis=-1)


def _without(*unpaid: str) -> Any:
    """CoreNet's bound with some of its nats left out."""

    def weaken(bound: Function) -> Function:
        def wrong(*given: Any, **named: Any) -> Any:
            result = bound(*given, **named)
            left = result.penalty**2 - sum(getattr(result, u) for u in unpaid) / (2 * result.n)
            penalty = float(np.sqrt(max(left, 0.0)))
            changed = result.bound - result.penalty + penalty
            return replace(result, bound=changed, penalty=penalty)

        return wrong

    return weaken


def _two_logs(bits: Function) -> Function:
    """2 log2(N) bits for a whole number, whose Kraft sum is pi^2/6."""
    return lambda value: 2 * np.log2(np.asarray(value, float) + 1)


MUTATIONS = (
    Mutation("GN-1", "parameters_unpaid",
             "The term q ln r dropped: the choice among the list's networks is free.",
             sipp_theory.compression_bound, _parameters_unpaid,
             (oracles.compression_at_50_digits, coverage.searched_lists)),
    Mutation("GN-1", "parameters_unpaid_in_trials", "The same, left to trials.",
             sipp_theory.compression_bound, _parameters_unpaid, (coverage.searched_lists,)),
    Mutation("GN-1", "half_of_half_a_margin",
             "The margin loss at gamma/2, as if the right score alone could move.",
             sipp_theory.margin_loss, _half_margin, (laws.half_a_margin_on_scores,)),
    Mutation("GN-1", "ties_are_right", "A margin of exactly gamma counts as enough.",
             sipp_theory.margin_loss, _strict, (laws.half_a_margin_on_scores,)),
    Mutation("GN-2", "values_unpaid",
             "The term q ln r dropped: which values the weights have is free.",
             sipp_theory.corenet_generalization, _without("value_nats"),
             (oracles.corenet_at_50_digits,)),
    Mutation(
        "GN-2", "places_unpaid",
        "The places of the nonzeros, which the data chose, left out as the paper leaves them out.",
        sipp_theory.corenet_generalization, _without("position_nats"),
        (oracles.corenet_at_50_digits,),
    ),
    Mutation("GN-2", "nothing_but_delta_paid",
             "Values, places and number of the weights all free; left to trials.",
             sipp_theory.corenet_generalization, _without("value_nats", "position_nats"),
             (coverage.searched_signs,)),
    Mutation("GN-3", "file_unpaid",
             "The term B ln 2 dropped: the network is taken for one that was fixed before.",
             sipp_theory.occam_bound, _file_unpaid,
             (coverage.searched_books, coverage.trained_trees)),
    Mutation("GN-3", "delta_unpaid", "The term ln(1/delta) dropped.", sipp_theory.occam_bound,
             _delta_unpaid, (coverage.searched_books,)),
    Mutation("GN-3", "choice_unpaid", "A choice among networks on the data at no price.",
             sipp_theory.choice_bits, lambda f: lambda options: 0 * f(options),
             (coverage.searched_books, laws.prices_are_codes)),
    Mutation("GN-3", "rules_unpaid",
             "One of the networks that a search lists paid, but not the rules that list them, "
             "which were settled on the same data: as a prior from half of the data once was.",
             sipp_theory.search_bits, lambda f: sipp_theory.choice_bits,
             (coverage.rules_settled_on_the_data, laws.prices_are_codes)),
    Mutation("GN-3", "lengths_that_are_no_code",
             "Whole numbers at 2 log2(N) bits: a Kraft sum of 1.645 for each of three numbers.",
             sipp_theory.count_bits, _two_logs, (coverage.numbered_networks,)),
    Mutation("GN-3", "lengths_that_are_no_code_by_words",
             "The same, held against words that are written out.", sipp_theory.count_bits,
             _two_logs, (books.words_of_counts, laws.prices_are_codes)),
    Mutation("GN-3", "two_bits_back",
             "A credit of two bits, which makes delta four times what was said.",
             sipp_theory.occam_bound, _credit, (coverage.searched_books, books.books_of_coins)),
    Mutation("GN-3", "bits_halved", "Half of the bits.", sipp_theory.occam_bound, _half_the_bits,
             (oracles.rates_at_50_digits,)),
    Mutation("GN-3", "training_error", "The training error in the place of its upper bound.",
             sipp_theory.occam_bound, _training_error,
             (coverage.trained_trees, oracles.failure_of_each_file)),
    Mutation("GN-3", "forms_swapped",
             "Hoeffding's form under the name of the kl form: valid, and not what is said.",
             sipp_theory.occam_bound, _kl_and_hoeffding_swapped,
             (laws.forms_are_ordered, oracles.rates_at_50_digits)),
    Mutation("GN-4", "divergence_unpaid",
             "The divergence dropped: any posterior at the price of the prior.",
             sipp_theory.catoni_bound, _divergence_unpaid,
             (coverage.trained_trees_by_catoni, oracles.catoni_at_50_digits)),
    Mutation("GN-4", "lambda_unpaid",
             "The infimum over lambda without its union, as public code has it.",
             sipp_theory.catoni_bound, _lambda_unpaid, (oracles.catoni_at_50_digits,)),
)  # fmt: skip
