"""Net-Trim's program of one layer: our solver against plain ADMM, as the authors' code runs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reports.benches.findings import Check, Findings
from reports.benches.method import race, threads, versus
from reports.benches.subjects import Setting, digits, lenet
from sipp_core.nettrim import Program, feasible, layer_program, objective, solve, violations
from sipp_core.zoo import datasets, models, training

FAMILY = "net-trim"
OURS, PLAIN = "sipp", "plain ADMM"
RADIUS, FASTER, NAMED_ROWS = 0.05, 10.0, 2000
# As in the authors' experiments: the penalty, most iterations, and a change of weights to stop at.
PENALTY, MOST, STILL = 100.0, 10_000, 5e-9
# By how much our objective may be above that of a point which is itself a little infeasible.
WORSE = 1e-5


def run(setting: Setting) -> Findings:
    """Trim one layer by both."""
    program, case = _layer(setting)
    weights: dict[str, Tensor] = {}
    ways = {
        OURS: lambda: weights.update({OURS: _joined(program)}),
        PLAIN: lambda: weights.update({PLAIN: plain(program)}),
    }
    with threads(1):
        times = race(ways, setting.size(1, 1, 2), warm_ups=0)
    named = len(program.inputs) == NAMED_ROWS
    least, theirs = (objective(program, weights[name]) for name in (OURS, PLAIN))
    inside, above = violations(program, weights[PLAIN])
    note = (
        f"which ends {inside / program.eps - 1:.0e} of the radius outside the ball and "
        f"{above / float(program.targets.norm()):.0e} of ||Y|| above its ceilings"
    )
    check = Check(
        FAMILY, f"{case}: feasible, and no worse than {PLAIN}",
        feasible(program, weights[OURS]) and least <= theirs * (1 + WORSE),
        f"objectives {least!r} and {theirs!r}",
    )  # fmt: skip
    target = FASTER if named else None
    measured = versus(FAMILY, case, times, OURS, target=target, note=note)
    return Findings(tuple(measured), checks=(check,))


def _layer(setting: Setting) -> tuple[Program, str]:
    """LeNet-300-100's second layer, trained where MNIST is; in a tiny setting one of digits."""
    inputs, which = digits(setting, setting.size(1, 500, NAMED_ROWS))
    model, data = lenet(setting), None
    if setting.scale == "tiny":
        model, data = models.dense((64, 20, 10), setting.seed), datasets.load("digits")
        inputs, which = data.train_inputs[:60], "digits"
    elif setting.data_dir:
        data = datasets.load("mnist", setting.data_dir)
    if data is not None:
        epochs = setting.size(4, 2, 8)
        training.train(model, data, training.Recipe(epochs, 128, 2e-3), seed=setting.seed)
    layer = model.get_submodule("fc2")
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        rows = torch.relu(model.get_submodule("fc1")(inputs))
        size = float(torch.relu(layer(rows)).norm())
    trained = "untrained" if data is None else "trained"
    return (
        layer_program(layer.weight, layer.bias, rows, eps=RADIUS * size),
        f"{layer.in_features} to {layer.out_features}, {trained}, {len(rows)} inputs, {which}",
    )


def _joined(program: Program) -> Tensor:
    solution = solve(program)
    return (
        solution.weight
        if solution.bias is None
        else torch.cat([solution.weight, solution.bias[:, None]], 1)
    )


def plain(program: Program) -> Tensor:
    """ADMM with one penalty throughout, on inputs scaled once, until the weights stand still.

    Shapes: returns (M, N) float64.
    """
    x, inside = program.inputs.T, program.inside
    gram = x @ x.T
    scale = 0.3 * float(gram.max()) ** 0.5
    x, eps = x / scale, program.eps / scale
    targets, ceilings = program.targets / scale, program.ceilings / scale
    factor = torch.linalg.cholesky(gram / scale**2 + torch.eye(len(x), dtype=x.dtype))
    sparse = dense = sparse_dual = torch.zeros_like(program.start)
    output_dual = torch.zeros_like(targets)
    for _ in range(MOST):
        outputs = _projected(dense @ x - output_dual, targets, ceilings, inside, eps)
        moved = dense - sparse_dual
        sparse = moved - moved.clamp(-1 / PENALTY, 1 / PENALTY)
        before = dense
        right = (outputs + output_dual) @ x.T + sparse + sparse_dual
        dense = torch.cholesky_solve(right.T, factor).T
        output_dual = output_dual + outputs - dense @ x
        sparse_dual = sparse_dual + sparse - dense
        if float((dense - before).norm()) < STILL * dense.numel():
            break
    return sparse


def _projected(
    values: Tensor, targets: Tensor, ceilings: Tensor, inside: Tensor, eps: float
) -> Tensor:
    """Nearest outputs inside the ball and below the ceilings."""
    off = torch.where(inside, values - targets, 0.0)
    off = off * (eps / max(float(off.norm()), eps))
    return torch.where(inside, targets + off, torch.minimum(values, ceilings))
