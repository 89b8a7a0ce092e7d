"""What reaches each layer of a trained network, and the shares that its weights take of it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

import sipp_theory
from proofs_check.instances.trained import TrainedNetwork

Share = tuple[int, int, int]


def inputs_of_layers(network: TrainedNetwork, inputs: Tensor) -> list[np.ndarray]:
    """Activations that enter each layer, in float64 and by the definition of the network.

    Shapes: inputs (n, ...).
    """
    rows = [inputs.cpu().double().flatten(1).numpy()]
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        rows.append(np.maximum(rows[-1] @ weight.T + bias, 0.0))
    return rows


def shares_of(network: TrainedNetwork, rows: list[np.ndarray], pair: Share) -> np.ndarray:
    """Shares g_j(x) of one sign of one neuron at all inputs, rows of zeros where nothing flows.

    Shapes: pair (layer, sign, neuron); returns (n, k).

    Claim: ES-1. Source: [CN] arXiv 1804.05345.
    """
    layer, sign, neuron = pair
    weights = network.weights[layer][neuron]
    chosen = weights > 0 if sign == 0 else weights < 0
    return sipp_theory.shares(np.abs(weights[chosen]), rows[layer][:, chosen])
