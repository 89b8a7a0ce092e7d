"""`sipp svm`: train, certify and thin out linear support vector machines; no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sipp_cli import edge, options, places, render

if TYPE_CHECKING:
    from sipp_core.svm import CoresetSVC

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, certify and thin out linear support vector machines.",
)

Data = Annotated[
    Path,
    typer.Argument(
        help="Points: .npz with X, y (and sample_weight); .npy with --labels; .csv or .parquet."
    ),
]
Label = Annotated[str | None, typer.Option(help="Column of the labels; else the last.")]
Labels = Annotated[Path | None, typer.Option(help=".npy file with the labels of a .npy file.")]
Weight = Annotated[str | None, typer.Option(help="Column of the weights, >= 0.")]
Penalty = Annotated[float, typer.Option("--C", help="Penalty, > 0, as in scikit-learn's SVC.")]
Eps = Annotated[
    float | None, typer.Option("--eps", help="Exit with 1 where the certified eps is above this.")
]
ClassWeight = Annotated[
    str | None, typer.Option(help='"balanced", so that every class weighs the same.')
]


def _facts(model: CoresetSVC, proofs: Any) -> dict[str, Any]:
    labels = model.classes_.tolist()
    positive = labels[1:] if len(labels) == 2 else labels
    return {
        "classes": labels,
        "columns": int(model.n_features_in_),
        "eps": max(one.eps for one in proofs),
        "certificates": [
            {
                "class": k, "primal": one.primal, "dual": one.dual, "eps": one.eps,
                "points": one.points, "groups": one.groups,
            }
            for k, one in zip(positive, proofs, strict=True)
        ],
    }  # fmt: skip


def _show(facts: dict[str, Any], title: str, json: bool) -> None:
    if json:
        render.show_json(facts)
        return
    render.show_table(
        title,
        ("<class", "objective", "no less than", "certified eps", "points", "groups"),
        (
            (str(one["class"]), *(render.number(one[name]) for name in
             ("primal", "dual", "eps", "points", "groups")))
            for one in facts["certificates"]
        ),
    )  # fmt: skip
    render.show("F(w, b) <= (1 + eps) F*, certain, of the hinge objective with this C (SV-10).")


def _judge(eps: float, limit: float | None) -> None:
    if not eps < float("inf") or (limit is not None and eps > limit):
        raise typer.Exit(edge.UNMET)


@app.command()
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Model file, .safetensors, with its certificates.")],
    C: Penalty = 1.0,
    target: Annotated[float, typer.Option(help="Relative suboptimality to certify.")] = 1e-3,
    band: Annotated[int, typer.Option(help="Single points of the first certificate.")] = 10_000,
    label: Label = None,
    labels: Labels = None,
    weight: Weight = None,
    class_weight: ClassWeight = None,
    jobs: options.Jobs = None,
    json: options.Json = False,
    seed: options.Seed = 0,
) -> None:
    """Train until the target is certified, on points that need not fit into memory.

    Exit code 1: the target was not reached; the model is written with what was certified.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    from sipp_core.svm import CoresetSVC, check_parameters, read_chunks, save_model, scan

    model = CoresetSVC(
        C, target=target, band=band, class_weight=class_weight, random_state=seed, n_jobs=jobs
    )
    check_parameters(model)
    if target > 1:
        raise ValueError(f"--target must be at most 1, twice the optimum; found {target:g}")
    places.check({"--out": out}, {"DATA": data, "--labels": labels})
    chunks = read_chunks(data, label=label, labels=labels, weight=weight)
    with render.progress() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the exit code says it
        model.fit_chunks(chunks, scan(chunks, jobs), progress)
    save_model(model, out)
    facts = _facts(model, model.certificates_) | {"C": C, "target": target, "file": out}
    _show(facts, f"trained on {data}, written to {out}", json)
    _judge(facts["eps"], target)


@app.command()
def certify(
    model: Annotated[Path, typer.Argument(help="Model file of `sipp svm fit`.")],
    data: Data,
    label: Label = None,
    labels: Labels = None,
    weight: Weight = None,
    eps: Eps = None,
    json: options.Json = False,
) -> None:
    """Certify a model on any points: how far it is from the best one for them, in one pass.

    Exit code 1: nothing is certified, or the certified eps is above --eps.
    """
    from sipp_core.svm import load_model, read_chunks

    if eps is not None and not eps >= 0:
        raise ValueError(f"--eps must be at least 0; found {eps:g}")
    with render.progress() as progress:
        trained = load_model(model)
        chunks = read_chunks(data, label=label, labels=labels, weight=weight)
        proofs = trained.certify_chunks(chunks, progress)
    facts = _facts(trained, proofs) | {"C": trained.C, "file": model, "data": data}
    _show(facts, f"{model} on {data}", json)
    _judge(facts["eps"], eps)


@app.command()
def coreset(
    data: Data,
    out: Annotated[Path, typer.Option(help="Archive, .npz, with X, y and sample_weight.")],
    size: Annotated[int, typer.Option(help="Draws.")] = 1000,
    method: Annotated[
        str, typer.Option(help="uniform, sensitivity, baykal, leverage or lewis.")
    ] = "sensitivity",
    C: Penalty = 1.0,
    class_weight: ClassWeight = None,
    label: Label = None,
    labels: Labels = None,
    weight: Weight = None,
    json: options.Json = False,
    seed: options.Seed = 0,
) -> None:
    """Draw a weighted sample of two classes, for any solver that takes weights."""
    import io

    import numpy as np

    from sipp_core.runtime import write_atomically
    from sipp_core.svm import SVMCoreset, check_parameters, read_chunks, scan

    sample = SVMCoreset(size, C, method=method, class_weight=class_weight, random_state=seed)
    check_parameters(sample)
    sample.refuse_without_points()
    places.check({"--out": out}, {"DATA": data, "--labels": labels})
    chunks = read_chunks(data, label=label, labels=labels, weight=weight)
    scan(chunks)
    parts = [chunks.read(number) for number in range(len(chunks))]
    X, y, u = (np.concatenate(part) for part in zip(*parts, strict=True))
    if size > len(y):
        raise ValueError(f"--size must be at most the points of {data}, {len(y):,}; found {size:,}")
    rows, kept, weights = sample.fit_resample(X, y, u)
    buffer = io.BytesIO()
    np.savez(buffer, X=rows, y=kept, sample_weight=weights, index=sample.sample_indices_)
    write_atomically(out, buffer.getvalue())
    facts = {
        "points": len(y), "kept": len(kept), "method": method, "size": size, "C": C,
        "total_sensitivity": sample.total_sensitivity_, "file": out,
    }  # fmt: skip
    if json:
        render.show_json(facts)
    else:
        render.show(
            f"{len(kept):,} of {len(y):,} points by {method} (total "
            f"{render.number(sample.total_sensitivity_)}), written to {out}"
        )
