# SPDX-License-Identifier: Apache-2.0
"""The control of memory-side caches."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CacheControlPort"]


class CacheControlPort(wiring.Signature):
    """What software wants of caches, seen from the control block.

    Operation: `ways` is how many ways of each slice are cache. `start` is a pulse: do `op`
    (`hw.arch.cache.CacheOp`) to lines `first` to `last`. `busy` is high from then until that, or a
    change of `ways`, is done. `lost` and `failed` are pulses: a line could not be written back, as
    a word of it is lost; DRAM refused one.

    Parameters
    ----------
    n_ways : ways that a slice consists of.
    line_bits : bits of a line's number.
    """

    def __init__(self, *, n_ways: int, line_bits: int) -> None:
        self.n_ways, self.line_bits = n_ways, line_bits
        super().__init__(
            {
                "ways": Out(range(n_ways + 1)),
                "start": Out(1),
                "op": Out(3),
                "first": Out(line_bits),
                "last": Out(line_bits),
                "busy": In(1),
                "lost": In(1),
                "failed": In(1),
            }
        )
