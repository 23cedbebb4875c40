# SPDX-License-Identifier: Apache-2.0
"""What becomes of an accumulator on its way out: bias, ReLU, scale, activation, format.

For integer operands C = convert(f(fp32(relu(acc + bias)) * scale)) with the addition in INT32,
wrapping; for floating ones every step is FP32, rounded to nearest even. The SIMD engine does it
row by row while the next block is computed.
"""

import dataclasses
import math

import numpy as np

from hw.arch.commands import BMode, Factor, Function, Pre
from hw.arch.formats import Format
from hw.config import PeConfig

__all__ = ["Epilogue", "fp32_bits"]

PROGRAM = 0
"""Program slot that a GEMM uses."""
_NARROW = (Format.INT8, Format.UINT8)


def fp32_bits(value: float) -> int:
    """Bits of `value` rounded to FP32."""
    with np.errstate(over="ignore"):
        return int(np.float32(value).view(np.uint32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epilogue:
    """Steps between accumulator and memory; with all defaults none.

    `check` raises ValueError with one sentence for what cannot be or what a member lacks.
    """

    out: Format | None = None
    """Format of the result; None: the accumulator's."""
    bias: bool = False
    """Add a vector of N values of the accumulator's format."""
    relu: bool = False
    """Replace negative values by 0, after the bias."""
    scale: float | None = None
    """Factor, rounded to FP32."""
    column_scales: bool = False
    """A vector of N FP32 factors instead."""
    activation: Function = Function.NONE
    """Table function, after the factor."""

    def out_format(self, accumulator: Format) -> Format:
        """Format of the result for accumulators of this format."""
        return accumulator if self.out is None else self.out

    def uses_engine(self, accumulator: Format) -> bool:
        """Whether the SIMD engine is needed; else accumulators go to memory as they are."""
        return self.out_format(accumulator) != accumulator or any(
            (self.bias, self.relu, self.scale is not None, self.column_scales, self.activation)
        )

    @property
    def n_vectors(self) -> int:
        """Vectors of N values that the engine reads: none, the bias, or bias and factors."""
        return 2 if self.column_scales else int(self.bias)

    def program(self, accumulator: Format) -> dict[str, int]:
        """Fields of the SE_PROGRAM."""
        fields: dict[str, int] = {
            "program": PROGRAM,
            "a_format": accumulator,
            "out_format": self.out_format(accumulator),
            "relu": self.relu,
            "function": self.activation,
        }
        if self.n_vectors:
            fields |= {"b_mode": BMode.HELD, "b_format": accumulator}
        if self.bias:
            fields |= {"pre": Pre.ADD}
        if self.column_scales:
            fields |= {"b_pair": 1, "factor": Factor.C}
        elif self.scale is not None:
            fields |= {"factor": Factor.IMMEDIATE, "imm_factor": fp32_bits(self.scale)}
        return fields

    def check(self, accumulator: Format, pe: PeConfig) -> None:
        """Raise ValueError, one sentence, unless the element can do it."""
        self._check_scale()
        out = self.out_format(accumulator)
        if out is Format.INT32:
            self._check_int32(accumulator)
        if self.activation and out in _NARROW:
            raise ValueError(
                f"An activation function needs a result of fp32, fp16 or bf16, not"
                f" {out.name.lower()}; --relu goes with every format."
            )
        if self.activation and self.relu:
            raise ValueError("ReLU and another activation function exclude each other.")
        self._check_member(accumulator, pe)

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        if self.column_scales:
            raise ValueError("There is one scale or one scale for each column, not both.")
        with np.errstate(over="ignore"):
            rounded = float(np.float32(self.scale))
        if not math.isfinite(rounded):
            raise ValueError(f"The scale is {self.scale}; it must be a finite FP32 number.")

    def _check_int32(self, accumulator: Format) -> None:
        if accumulator.is_float:
            raise ValueError(
                "Floating-point operands do not give int32; they give fp32, fp16, bf16, int8 or"
                " uint8."
            )
        if self.scale is not None or self.column_scales or self.activation:
            raise ValueError(
                "An int32 result is the sum itself, so it is not scaled and has no activation"
                " function; ask for int8, uint8, fp32, fp16 or bf16."
            )

    def _check_member(self, accumulator: Format, pe: PeConfig) -> None:
        """What a member was built without."""
        lanes = self.out_format(accumulator) not in (*_NARROW, Format.INT32)
        if self.uses_engine(accumulator) and (lanes or accumulator.is_float) and not pe.se.with_fp:
            raise ValueError(
                "This member's SIMD engine has no FP32 lanes; the result must be int32, int8 or"
                " uint8."
            )
        if self.activation and not pe.se.with_functions:
            raise ValueError("This member's SIMD engine has no table functions.")
