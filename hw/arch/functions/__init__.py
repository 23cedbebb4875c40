# SPDX-License-Identifier: Apache-2.0
"""Tables of the SIMD engine's functions: one definition for hardware and models."""

from hw.arch.functions.fit import COEFFICIENTS, Entry
from hw.arch.functions.tables import BASES, DEPTH, REGIONS, Region, table

__all__ = ["BASES", "COEFFICIENTS", "DEPTH", "REGIONS", "Entry", "Region", "table"]
