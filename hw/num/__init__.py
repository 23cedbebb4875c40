# SPDX-License-Identifier: Apache-2.0
"""Number datapaths shared by the units: decoding, conversion, rounding, FP32 arithmetic."""

from hw.num.fp32_add import Fp32Adder
from hw.num.fp32_mul import Fp32Multiplier
from hw.num.from_fp32 import FromFp32
from hw.num.rounding import CANONICAL_NAN, Fp32Rounder
from hw.num.rounding_hash import RoundingHash
from hw.num.to_fp32 import ToFp32

__all__ = [
    "CANONICAL_NAN",
    "Fp32Adder",
    "Fp32Multiplier",
    "Fp32Rounder",
    "FromFp32",
    "RoundingHash",
    "ToFp32",
]
