# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: number datapaths."""

from hw.arch.formats import Format
from hw.num.fp32_add import Fp32Adder
from hw.num.fp32_mul import Fp32Multiplier
from hw.num.from_fp32 import FromFp32
from hw.num.function_unit import FunctionUnit
from hw.num.operand import OperandDecoder, Side
from hw.num.rounding import Fp32Rounder
from hw.num.rounding_hash import RoundingHash
from hw.num.to_fp32 import ToFp32

__all__ = ["RESOURCE_POINTS"]

RESOURCE_POINTS = {
    "Fp32Adder, latency 3": lambda: Fp32Adder(latency=3),
    "Fp32Multiplier, latency 3": lambda: Fp32Multiplier(latency=3),
    "Fp32Rounder, 34 bits": lambda: Fp32Rounder(
        magnitude_width=34, exponent_width=12, deep_underflow=True
    ),
    "OperandDecoder, held, 8 bytes": lambda: OperandDecoder(
        side=Side.HELD, k_bytes=8, with_fp=True
    ),
    "FunctionUnit": lambda: FunctionUnit(),
    "ToFp32, all formats": lambda: ToFp32(),
    "ToFp32, INT32": lambda: ToFp32(formats=[Format.INT32]),
    "FromFp32, all formats": lambda: FromFp32(),
    "FromFp32, 8 bits, to nearest": lambda: FromFp32(
        formats=[Format.INT8, Format.UINT8], with_stochastic=False
    ),
    "RoundingHash, 1 lane": lambda: RoundingHash(lanes=1),
}
