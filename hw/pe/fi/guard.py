# SPDX-License-Identifier: Apache-2.0
"""Address ranges: no line leaves for a place that the job may not touch."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import N_RANGES, RANGE_BLOCK_BYTES
from hw.iface.limits import AddressRange
from hw.lib.compare import not_below
from hw.lib.elastic import SkidBuffer
from hw.pe.fi.geometry import FiGeometry, LineKind

__all__ = ["RangeGuard"]

_BLOCK_LOG2 = RANGE_BLOCK_BYTES.bit_length() - 1


class RangeGuard(wiring.Component):
    """A skid buffer between two streams of lines that lets only allowed lines through.

    Operation: a line must lie in a range that may be read or written, whatever the line is for;
    lines whose values are added need both, be it from two ranges. A line that does not stays:
    `refused` is high, and nothing comes out until it is dropped.

    Timing: as `SkidBuffer`; `refused` one cycle after the line was taken.

    Parameters
    ----------
    geometry : sizes.
    writes : lines are written, else read.

    Members
    -------
    i : In(stream.Signature(geometry.line_layout)), lines.
    o : Out(stream.Signature(geometry.line_layout)), the same lines.
    ranges : In(ArrayLayout(AddressRange, N_RANGES)), what is allowed.
    refused : Out(1), the line at `o` is not allowed, and not valid there.
    drop : In(1), throw the line at `o` away, allowed or not.
    """

    def __init__(self, *, geometry: FiGeometry, writes: bool) -> None:
        self.geometry = geometry
        self.writes = writes
        super().__init__(
            {
                "i": In(stream.Signature(geometry.line_layout)),
                "o": Out(stream.Signature(geometry.line_layout)),
                "ranges": In(data.ArrayLayout(AddressRange, N_RANGES)),
                "refused": Out(1),
                "drop": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = data.StructLayout({"line": self.geometry.line_layout, "refused": 1})
        m.submodules.stage = stage = SkidBuffer(shape=shape)
        held = stage.o.payload
        m.d.comb += [
            stage.i.valid.eq(self.i.valid),
            stage.i.payload.line.eq(self.i.payload),
            stage.i.payload.refused.eq(~self._allowed(m)),
            self.i.ready.eq(stage.i.ready),
            self.o.payload.eq(held.line),
            self.o.valid.eq(stage.o.valid & ~held.refused & ~self.drop),
            stage.o.ready.eq((self.o.ready & ~held.refused) | self.drop),
            self.refused.eq(stage.o.valid & held.refused & ~self.drop),
        ]
        return m

    def _allowed(self, m: Module) -> Value:
        """Whether the line that comes in may be read or written."""
        line = self.i.payload
        block = Signal(32)
        inside = Signal(N_RANGES)
        m.d.comb += [
            block.eq(line.place.line >> (_BLOCK_LOG2 - self.geometry.link_log2)),
            inside.eq(
                Cat(
                    not_below(block, one.first) & not_below(one.last, block)
                    for one in self._entries()
                )
            ),
        ]
        may_read = (inside & Cat(one.may_read for one in self._entries())).any()
        if not self.writes:
            return may_read
        may_write = (inside & Cat(one.may_write for one in self._entries())).any()
        adds = (line.kind == LineKind.ADD_INT) | (line.kind == LineKind.ADD_FP)
        return may_write & (may_read | ~adds)

    def _entries(self) -> list[data.View]:
        return [self.ranges[index] for index in range(N_RANGES)]
