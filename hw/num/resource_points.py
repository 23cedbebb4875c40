# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: number datapaths."""

from hw.num.fp32_add import Fp32Adder
from hw.num.operand import OperandDecoder, Side
from hw.num.rounding import Fp32Rounder

__all__ = ["RESOURCE_POINTS"]

RESOURCE_POINTS = {
    "Fp32Adder, latency 3": lambda: Fp32Adder(latency=3),
    "Fp32Rounder, 34 bits": lambda: Fp32Rounder(
        magnitude_width=34, exponent_width=12, deep_underflow=True
    ),
    "OperandDecoder, held, 8 bytes": lambda: OperandDecoder(
        side=Side.HELD, k_bytes=8, with_fp=True
    ),
}
