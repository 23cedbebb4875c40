# SPDX-License-Identifier: Apache-2.0
"""Faults for an SRAM slice: stored bits to invert, one after the other."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.ecc import CHECK_BITS, DATA_BITS, secded_column

__all__ = ["EccFault", "FaultInjector"]


class EccFault(data.Struct):
    """A fault: inverts `n` (0 to 2) of the 72 stored bits of the 8-byte word at `address`."""

    address: unsigned(40)
    bit0: unsigned(7)
    bit1: unsigned(7)
    n: unsigned(2)


class FaultInjector(wiring.Component):
    """Splits a fault into single wrong bits, each named by its column of the parity matrix.

    Operation: `column` is the syndrome that the bit alone would give, so a corrector that gets it
    in place of the word's own inverts that bit. A fault of no bit is taken at once.

    Timing: combinational from `fault`, but for `column`, which is right from the next cycle on; the
    next bit comes in the cycle after `written`, its column a cycle later.

    Parameters
    ----------
    n_words : words of a line, a power of two.

    Members
    -------
    fault : In(stream.Signature(EccFault)), taken with its last bit.
    wanted : Out(1), there is a bit to invert. word : Out(n_words), the word that has it, one-hot.
    column : Out(8), the bit; zero if there is none of its number.
    written : In(1), pulse: the bit is inverted.
    """

    def __init__(self, *, n_words: int) -> None:
        self.n_words = n_words
        super().__init__(
            {
                "fault": In(stream.Signature(EccFault)),
                "wanted": Out(1),
                "word": Out(n_words),
                "column": Out(CHECK_BITS),
                "written": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        fault = self.fault.payload
        second, last = Signal(), Signal()
        low = (DATA_BITS // 8).bit_length() - 1
        number = fault.address[low : low + self.n_words.bit_length() - 1]
        m.d.comb += [
            last.eq(second | (fault.n < 2)),
            self.wanted.eq(self.fault.valid & (fault.n != 0)),
            self.word.eq(1 << number),
            self.fault.ready.eq((fault.n == 0) | (self.written & last)),
        ]
        m.d.sync += self.column.eq(secded_column(m, Mux(second, fault.bit1, fault.bit0)))
        with m.If(self.written):
            m.d.sync += second.eq(~last)
        return m
