# SPDX-License-Identifier: Apache-2.0
"""A small quantised network for tests, and what integers make of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sw.runtime.network import Layer, Network

__all__ = ["by_integers", "small_network"]


def small_network(seed: int = 1) -> Network:
    """Three layers: scale for the whole layer, scales by column, float32 at the end."""
    rng = np.random.default_rng(seed)

    def weights(k: int, n: int) -> NDArray[np.int8]:
        return rng.integers(-128, 128, (k, n)).astype(np.int8)

    layers = (
        Layer(
            name="first", weights=weights(20, 33), relu=True, out=Format.UINT8, out_scale=0.5,
            bias=rng.integers(-9999, 9999, 33).astype(np.int32), scale=2.0**-10,
        ),
        Layer(
            name="second", weights=weights(33, 9), out=Format.INT8, out_scale=2.0,
            scale=(rng.random(9) * 2.0**-8).astype(np.float32),
        ),
        Layer(
            name="third", weights=weights(9, 5), out=Format.FP32, scale=0.01,
            bias=rng.integers(-99, 99, 5).astype(np.int32),
        ),
    )  # fmt: skip
    examples = rng.integers(0, 256, (6, 20)).astype(np.uint8)
    return Network(layers=layers, in_scale=0.25, name="small", examples=examples)


def by_integers(network: Network, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Every layer's result by NumPy, from the definition of the epilogue."""
    results, values = [], inputs.astype(np.int64)
    for layer in network.layers:
        total = values @ layer.weights.astype(np.int64)
        total = total + (0 if layer.bias is None else layer.bias)
        total = np.maximum(total, 0) if layer.relu else total
        real = total.astype(np.float32) * np.asarray(layer.scale, np.float32)
        if layer.out is Format.FP32:
            results.append(real)
        else:
            info = np.iinfo(np.uint8 if layer.out is Format.UINT8 else np.int8)
            results.append(np.clip(np.rint(real), info.min, info.max).astype(info.dtype))
        values = results[-1].astype(np.int64)
    return results
