# SPDX-License-Identifier: Apache-2.0
"""Parity of rows that were read, checked over two cycles."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ParityCheck"]

_PART_BITS, _LATE_PART_BITS = 11, 16


class ParityCheck(wiring.Component):
    """Says of a row that was read whether a value of it has wrong parity.

    Timing: `fault` and `fault_place` in the cycle after `check`; a row per cycle. In the first
    cycle parts of 11 bits (16 where the parity comes late) are summed, so that two lookup tables
    stand behind a memory.

    Parameters
    ----------
    columns : values of a row.
    place_width : bits of `place`.
    late : whether `parity` comes in the cycle after `row`.

    Members
    -------
    row : In(32 * columns), parity : In(columns), what was read.
    check : In(1), it counts.
    place : In(place_width), where it was.
    fault : Out(1), fault_place : Out(place_width), a value had wrong parity.
    """

    def __init__(self, *, columns: int, place_width: int, late: bool) -> None:
        self.columns = columns
        self.late = late
        super().__init__(
            {
                "row": In(32 * columns),
                "parity": In(columns),
                "check": In(1),
                "place": In(place_width),
                "fault": Out(1),
                "fault_place": Out(place_width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wrong = []
        for column in range(self.columns):
            parity = self.parity[column]
            bits = self.row[32 * column : 32 * column + 32]
            if not self.late:
                bits = Cat(bits, parity)
            size = _LATE_PART_BITS if self.late else _PART_BITS
            starts = range(0, len(bits), size)
            parts = Signal(len(starts), name=f"parts{column}", reset_less=True)
            m.d.sync += parts.eq(Cat(bits[start : start + size].xor() for start in starts))
            wrong.append(parts.xor() ^ (parity if self.late else 0))
        checked = Signal()
        m.d.sync += [checked.eq(self.check), self.fault_place.eq(self.place)]
        m.d.comb += self.fault.eq(checked & Cat(wrong).any())
        return m
