# SPDX-License-Identifier: Apache-2.0
"""What a network would give without any rounding: float64, with the weights as trained."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from sw.runtime.network import Layer, Network

__all__ = ["apply_activation", "float64_layers"]

Reals = NDArray[np.float64]


def apply_activation(values: Reals, relu: bool, function: Function) -> Reals:
    """ReLU, then a function, in float64."""
    values = np.maximum(values, 0) if relu else values
    match function:
        case Function.NONE:
            return values
        case Function.SIGMOID:
            return _sigmoid(values)
        case Function.TANH:
            return np.tanh(values)
        case Function.SILU:
            return values * _sigmoid(values)
        case Function.GELU:
            return values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))
        case _:
            raise ValueError(f"{function.name} is no activation.")


def _sigmoid(values: Reals) -> Reals:
    return 0.5 * (1 + np.tanh(values / 2))


def float64_layers(network: Network, inputs: NDArray) -> Iterator[Reals]:
    """The result of each layer in real units."""
    real = inputs.astype(np.float64) * (1.0 if network.in_format.is_float else network.in_scale)
    scale = 1.0 if network.in_format.is_float else network.in_scale
    for layer in network.layers:
        weights, bias = _real_parameters(layer, scale)
        real = apply_activation(real @ weights + bias, layer.relu, layer.activation)
        yield real
        scale = 1.0 if layer.out.is_float else layer.out_scale


def _real_parameters(layer: Layer, in_scale: float) -> tuple[Reals, Reals]:
    """Weights and bias as trained, or what the quantised ones stand for."""
    if layer.float_weights is not None:
        bias = 0.0 if layer.float_bias is None else layer.float_bias
        return layer.float_weights.astype(np.float64), np.asarray(bias, np.float64)
    # result * out_scale = (x @ weights + bias) * scale * out_scale, and x stands for x * in_scale.
    factor = np.asarray(1.0 if layer.scale is None else layer.scale, np.float64)
    factor = factor * (1.0 if layer.out.is_float else layer.out_scale)
    bias = 0.0 if layer.bias is None else layer.bias.astype(np.float64)
    return layer.weights.astype(np.float64) * factor / in_scale, np.asarray(bias * factor)
