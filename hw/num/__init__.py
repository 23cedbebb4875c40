# SPDX-License-Identifier: Apache-2.0
"""Number datapaths shared by the units: decoding, normalising, rounding, FP32 addition."""

from hw.num.fp32_add import Fp32Adder
from hw.num.rounding import CANONICAL_NAN, Fp32Rounder

__all__ = ["CANONICAL_NAN", "Fp32Adder", "Fp32Rounder"]
