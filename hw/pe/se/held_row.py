# SPDX-License-Identifier: Apache-2.0
"""The held row: b and c of every column, kept for many rows."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.se.sizes import Sizes

__all__ = ["HeldRow"]

_ROWS = 2  # one in use, one that loads


class HeldRow(wiring.Component):
    """Keeps the present row of b and c while the next one loads.

    Operation: beats of b fill the next row, with `pair` then beats of c. When it is full it waits
    until `drop` ends the present one.

    Timing: a beat per cycle. A row that waits follows the dropped one without a gap.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    clear : In(1), forget all rows.
    pair : In(1), rows have a c.
    i : In(stream of ArrayLayout(32, lanes)), beats.
    index : Out(range), number of the beat that comes next, among those of b or of c.
    full : Out(1), the present row is there.
    drop : In(1), the present row is done with.
    group : In(range), which `held_lanes` columns to show.
    b, c : Out(ArrayLayout(32, held_lanes)), those of the present row.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        self.n_beats = sizes.columns // sizes.lanes
        self.n_groups = sizes.columns // sizes.held_lanes
        values = data.ArrayLayout(32, sizes.held_lanes)
        super().__init__(
            {
                "clear": In(1),
                "pair": In(1),
                "i": In(stream.Signature(data.ArrayLayout(32, sizes.lanes))),
                "index": Out(range(self.n_beats)),
                "full": Out(1),
                "drop": In(1),
                "group": In(range(max(self.n_groups, 2))),
                "b": Out(values),
                "c": Out(values),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        in_c = Signal()
        loads, uses = Signal(), Signal()  # which of the two rows
        n_full = Signal(range(_ROWS + 1))
        taken = Signal()
        fills = Signal()
        m.d.comb += [
            self.full.eq(n_full != 0),
            self.i.ready.eq(n_full != _ROWS),
            taken.eq(self.i.valid & self.i.ready),
            fills.eq(taken & (self.index == self.n_beats - 1) & (in_c | ~self.pair)),
        ]
        with m.If(taken):
            m.d.sync += self.index.eq(self.index + 1)  # their number is a power of two
            with m.If(self.index == self.n_beats - 1):
                m.d.sync += in_c.eq(~in_c & self.pair)
        with m.If(fills):
            m.d.sync += loads.eq(~loads)
        with m.If(self.drop):
            m.d.sync += uses.eq(~uses)
        with m.If(fills != self.drop):
            m.d.sync += n_full.eq(Mux(fills, n_full + 1, n_full - 1))
        with m.If(self.clear):
            m.d.sync += [x.eq(0) for x in (in_c, loads, uses, n_full, self.index)]
        self._elaborate_memory(m, "b", self.b, taken & ~in_c, loads, uses)
        self._elaborate_memory(m, "c", self.c, taken & in_c, loads, uses)
        return m

    def _elaborate_memory(
        self, m: Module, name: str, shown: data.View, write: Any, loads: Signal, uses: Signal
    ) -> None:
        """The memory of b or of c: a group in each word, both rows."""
        beats_per_group = self.n_beats // self.n_groups
        m.submodules[name] = mem = memory.Memory(
            shape=32 * self.sizes.held_lanes, depth=_ROWS * self.n_groups, init=[]
        )
        w_port = mem.write_port(granularity=32 * self.sizes.lanes)
        r_port = mem.read_port(domain="comb")
        bits = (beats_per_group - 1).bit_length()
        group_bits = (self.n_groups - 1).bit_length()
        m.d.comb += [
            w_port.addr.eq(Cat(self.index[bits:], loads)),
            w_port.data.eq(self.i.payload.as_value().replicate(beats_per_group)),
            r_port.addr.eq(Cat(self.group[:group_bits], uses)),
            shown.as_value().eq(r_port.data),
        ]
        for beat in range(beats_per_group):
            m.d.comb += w_port.en[beat].eq(write & (self.index[:bits] == beat))
