"""Recipes of the reference networks by name: the papers' own and short ones."""

from __future__ import annotations

from sipp_core.zoo.networks import NETWORKS
from sipp_core.zoo.schedules import Recipe, learning_rate

__all__ = ["SCHEDULES", "Recipe", "learnable", "learning_rate", "recipe"]

SCHEDULES = ("short", "paper")
"""Kinds of recipe that `recipe` knows."""


def recipe(model_name: str, dataset_name: str, schedule: str = "short") -> Recipe:
    """Training recipe of a built-in model on a built-in data set.

    The papers' schedules are those of the pruning experiments, [SP] and its successors: MNIST with
    SGD 0.01, momentum 0.9, decay 1e-4, batches of 64, 50 epochs, the rate divided by 10 after 30
    and 45; CIFAR-10 with rate 0.1, batches of 128, decay 1e-4, 182 epochs, divided after 91 and
    136, Nesterov's momentum 0.9, random crops of 4 pixels and mirroring. The short ones are for two
    cores: minutes, half an hour for ResNet-20, where a cycle of few epochs replaces the 182.

    Args:
        model_name: a name from `sipp_core.models.NAMES`.
        dataset_name: a name from `sipp_core.datasets.NAMES`.
        schedule: "short", or "paper" for the published one.

    Returns:
        The recipe.

    Raises:
        ValueError: there is none, because the model does not fit the data set, or an unknown
            schedule.

    Source: [SP] arXiv 1910.05422 (schedules); He et al. 2016, arXiv
        1512.03385 (crops and mirroring).

    Example:
        >>> recipe("lenet-300-100", "mnist").batch_size
        128
        >>> recipe("resnet-20", "cifar10", "paper").milestones
        (91, 136)
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; found {schedule!r}")
    known = {
        (name, data): recipes[schedule]
        for name in sorted(NETWORKS)
        for data, recipes in NETWORKS[name].recipes.items()
        if schedule in recipes
    }
    if (model_name, dataset_name) not in known:
        there = ", ".join(f"{model} on {data}" for model, data in known)
        raise ValueError(
            f"no {'recipe' if schedule == 'short' else 'recipe of a paper'} for {model_name!r} on "
            f"{dataset_name!r}; there are: {there}"
        )
    return known[model_name, dataset_name]


def learnable(model_name: str) -> tuple[str, ...]:
    """Data sets that there is a short recipe for.

    Args:
        model_name: a name from `sipp_core.models.NAMES`.

    Returns:
        Their names; none for a model without one.

    Raises:
        TypeError: a name that cannot be looked up.

    Example:
        >>> learnable("lenet-5"), learnable("vit-tiny")
        (('mnist', 'fashion-mnist'), ())
    """
    return tuple(NETWORKS[model_name].recipes) if model_name in NETWORKS else ()
