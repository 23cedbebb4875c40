# SPDX-License-Identifier: Apache-2.0
"""Number formats of the processing element, one definition for RTL, models and software."""

import enum

__all__ = ["Format"]


class Format(enum.IntEnum):
    """Element format; the value is the 3-bit code in commands."""

    INT8 = 0
    UINT8 = 1
    FP16 = 2
    BF16 = 3
    INT32 = 4
    FP32 = 5

    @property
    def n_bytes(self) -> int:
        """Bytes of one element."""
        return {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4}[self.value]

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point."""
        return self in (Format.FP16, Format.BF16, Format.FP32)

    @property
    def accumulator(self) -> "Format":
        """Format in which products of this format are accumulated."""
        return Format.FP32 if self.is_float else Format.INT32
