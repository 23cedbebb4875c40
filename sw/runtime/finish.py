# SPDX-License-Identifier: Apache-2.0
"""The epilogue of a GEMM with its values, as a caller gives it."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.formats import Format
from sw.kernels.gemm import Epilogue
from sw.runtime.operands import as_vector

__all__ = ["Finish", "Vectors"]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Values that the engine reads, each padded with zeros to whole tiles; None: not read."""

    bias: NDArray[Any] | None = None
    scales: NDArray[Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finish:
    """C = convert(f(fp32(relu(acc + bias)) * scale)); all parts may be missing."""

    out: Format | None = None
    bias: NDArray[Any] | None = None
    """N values: int32 for integer operands, float32 for floating ones."""
    relu: bool = False
    scale: float | NDArray[Any] | None = None
    """One factor, or one for each column."""
    activation: Function = Function.NONE

    def epilogue(self) -> Epilogue:
        """The steps, without values."""
        scalar = None if self.scale is None or np.ndim(self.scale) else float(self.scale)
        return Epilogue(
            out=self.out,
            bias=self.bias is not None,
            relu=self.relu,
            scale=scalar,
            column_scales=self.scale is not None and scalar is None,
            activation=self.activation,
        )

    def vectors(self, accumulator: Format, n: int, tile: int) -> Vectors:
        """The values for N columns in tiles of `tile`.

        Raises
        ------
        UserError
            If a vector has another length or type.
        """
        epilogue, bias, scales = self.epilogue(), None, None
        if self.bias is not None:
            bias = _padded(as_vector(self.bias, accumulator, n, "The bias"), tile)
        elif epilogue.column_scales:
            bias = _padded(np.zeros(n, np.int32), tile)  # as good as zeros of FP32
        if epilogue.column_scales:
            values = as_vector(np.asarray(self.scale), Format.FP32, n, "The vector of scales")
            scales = _padded(values, tile)
        return Vectors(bias, scales)


def _padded(vector: NDArray[Any], tile: int) -> NDArray[Any]:
    return np.pad(vector, (0, -vector.size % tile))
