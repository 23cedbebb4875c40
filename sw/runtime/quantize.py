# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation: float layers and some inputs in, an INT8 network out.

Weights become int8 with one scale a layer, hidden activations uint8 (behind ReLU) or int8, by the
range that the calibration inputs show. The last layer gives float32, already in real units.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.formats import Format
from sw.runtime.network import Layer, Network
from sw.runtime.reference import apply_activation

__all__ = ["FloatLayer", "quantize_network"]

_WEIGHT_LIMIT = 127
_RANGE_SHARE = 0.9995
"""Share of the calibration values that the range of a hidden activation covers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FloatLayer:
    """A trained dense layer."""

    name: str
    weights: NDArray[Any]
    bias: NDArray[Any]
    relu: bool = False
    activation: Function = Function.NONE


def quantize_network(
    name: str,
    layers: Sequence[FloatLayer],
    calibration: NDArray[Any],
    in_scale: float,
    examples: NDArray[Any] | None = None,
) -> Network:
    """Quantise `layers`; `calibration` holds inputs (uint8), each unit of which is `in_scale`."""
    real = calibration.astype(np.float64) * in_scale
    scale, done = in_scale, []
    for number, layer in enumerate(layers):
        total = real @ layer.weights.astype(np.float64) + layer.bias
        real = apply_activation(total, layer.relu, layer.activation)
        is_last = number == len(layers) - 1
        done.append(_quantise(layer, scale, None if is_last else real))
        scale = done[-1].out_scale
    return Network(
        layers=tuple(done), in_format=Format.UINT8, in_scale=in_scale, name=name, examples=examples
    ).check()


def _quantise(layer: FloatLayer, in_scale: float, result: NDArray[np.float64] | None) -> Layer:
    """One layer; without a `result` to measure it gives float32."""
    weight_scale = float(np.abs(layer.weights).max()) / _WEIGHT_LIMIT
    out, out_scale = Format.FP32, 1.0
    if result is not None:
        out = Format.INT8 if result.min() < 0 else Format.UINT8
        most = 127 if out is Format.INT8 else 255
        out_scale = float(np.quantile(np.abs(result), _RANGE_SHARE)) / most
    unit = in_scale * weight_scale
    # A function stands behind the scale, so it must see real units, and its result is a float.
    if layer.activation:
        out, out_scale = Format.FP32, 1.0
    return Layer(
        name=layer.name,
        weights=np.rint(layer.weights / weight_scale).astype(np.int8),
        bias=np.rint(layer.bias / unit).astype(np.int32),
        scale=unit / out_scale,
        relu=layer.relu,
        activation=layer.activation,
        out=out,
        out_scale=out_scale,
        float_weights=layer.weights.astype(np.float32),
        float_bias=layer.bias.astype(np.float32),
    )
