"""What the header of a saved network must be, checked as data before any of it is used."""

from __future__ import annotations

import json
from typing import Any

# Up to release 0.1 everything was dense; such files are read as before.
OLD_FORMAT, FORMAT = "sipp-theory pruned network 1", "sipp-theory pruned network 2"
PLAN_FIELDS = ("scores", "positive", "nonzero", "probability", "draws", "eps", "dead", "whole",
               "scale")  # fmt: skip
REPORT_ARRAYS = ("eps_neuron", "budgets", "draws", "sensitivity_sum")
# Not in every file.
OPTIONAL_ARRAYS = ("measured_neuron",)
SCALARS = ("method", "seed", "keep", "scope", "eps", "delta", "bound", "coverage_factor", "inputs",
           "distinct", "vacuous", "holds_for", "versions", "original")  # fmt: skip


def read_report(text: str, where: str) -> dict[str, Any]:
    """The report in the header of a saved network, once it is known to be one.

    Args:
        text: the `report` of the header, JSON.
        where: the file, for messages.

    Returns:
        The report's fields.

    Raises:
        ValueError: no report; the message names the first fault.

    Claim: none (a file format).

    Example:
        >>> read_report("{}", "net.safetensors")
        Traceback (most recent call last):
        ...
        ValueError: net.safetensors is damaged: method: Field required; save the network again
    """
    # Only here: what reads no file needs no pydantic.
    from pydantic import ValidationError

    from sipp_core.pruning.header_schema import Report

    try:
        report = json.loads(text)
        Report.model_validate(report)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "report"
        raise ValueError(
            f"{where} is damaged: {place}: {fault['msg']}; save the network again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is damaged: its report is no JSON; save it again") from error
    return report
