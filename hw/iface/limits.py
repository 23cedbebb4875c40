# SPDX-License-Identifier: Apache-2.0
"""What a job may do on the memory fabric: address ranges and rates, set by the host."""

from amaranth.hdl import unsigned
from amaranth.lib import data

from hw.arch.csr import N_RANGES

__all__ = ["AddressRange", "FabricLimits", "RateLimit"]


class AddressRange(data.Struct):
    """Blocks of `hw.arch.csr.RANGE_BLOCK_BYTES` bytes, from `first` to `last`, both included."""

    first: unsigned(32)
    last: unsigned(32)
    may_read: unsigned(1)
    may_write: unsigned(1)


class RateLimit(data.Struct):
    """A leaky bucket: `rate` bytes in 256 cycles, `burst` bytes at once; a rate of 0: no limit."""

    rate: unsigned(16)
    burst: unsigned(16)


class FabricLimits(data.Struct):
    """Everything that the control block tells the fabric interface; steady while a job runs."""

    ranges: data.ArrayLayout(AddressRange, N_RANGES)  # type: ignore[valid-type]
    read: RateLimit
    write: RateLimit
