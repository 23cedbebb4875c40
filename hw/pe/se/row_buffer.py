# SPDX-License-Identifier: Apache-2.0
"""The row buffer: beats between the two halves of the element pipeline."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.sram import DualPortSram
from hw.pe.se.sizes import Sizes

__all__ = ["SECOND_BEATS", "RowBuffer"]

SECOND_BEATS = 64
"""Beats of second operands: more than are ever between the halves when no row waits."""


class RowBuffer(wiring.Component):
    """A queue of beats, and beside it one of the second operands of their multiplication.

    Operation: elements and second operands come on their own, in the same order, a second operand
    before its elements; `pop` takes one of each (of second operands only with `has_second`).
    Whoever writes has made sure that there is room.

    Timing: a beat in and a beat out per cycle; `level` counts a beat from the cycle after it
    came; what was popped is there in the next cycle, until the next `pop`.

    Parameters
    ----------
    sizes : see `Sizes`.
    depth : beats of elements.

    Members
    -------
    valid, values, times : In, elements; `times`: to be multiplied with their argument.
    second_valid, second_values : In.
    has_second : In(1), beats have second operands.
    level : Out(range(depth + 1)).
    pop : In(1).
    o, o_times, o_second : Out.

    Resources: 1R1W memories of depth x lanes x 33 and `SECOND_BEATS` x lanes x 32 bits.
    """

    def __init__(self, *, sizes: Sizes, depth: int) -> None:
        self.sizes = sizes
        self.depth = depth
        values = data.ArrayLayout(32, sizes.lanes)
        super().__init__(
            {
                "valid": In(1),
                "values": In(values),
                "times": In(sizes.lanes),
                "second_valid": In(1),
                "second_values": In(values),
                "has_second": In(1),
                "level": Out(range(depth + 1)),
                "pop": In(1),
                "o": Out(values),
                "o_times": Out(sizes.lanes),
                "o_second": Out(values),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lanes = self.sizes.lanes
        m.submodules.elements = elements = DualPortSram(width=33 * lanes, depth=self.depth)
        m.submodules.seconds = seconds = DualPortSram(width=32 * lanes, depth=SECOND_BEATS)
        pops_second = self.pop & self.has_second
        with m.If(self.valid != self.pop):
            m.d.sync += self.level.eq(Mux(self.valid, self.level + 1, self.level - 1))
        for memory, writes, reads, depth, name in (
            (elements, self.valid, self.pop, self.depth, "element"),
            (seconds, self.second_valid, pops_second, SECOND_BEATS, "second"),
        ):
            m.d.comb += [
                memory.w_mask.eq(writes),
                memory.w_addr.eq(_pointer(m, writes, depth, f"{name}_w")),
                memory.r_en.eq(reads),
                memory.r_addr.eq(_pointer(m, reads, depth, f"{name}_r")),
            ]
        m.d.comb += [
            # The flags above the values, so that values stay aligned.
            elements.w_data[: 32 * lanes].eq(self.values),
            elements.w_data[32 * lanes :].eq(self.times),
            self.o.eq(elements.r_data[: 32 * lanes]),
            self.o_times.eq(elements.r_data[32 * lanes :]),
            seconds.w_data.eq(self.second_values),
            self.o_second.eq(seconds.r_data),
        ]
        return m


def _pointer(m: Module, moves: Any, depth: int, name: str) -> Signal:
    """A place in a memory that goes on with `moves`, from the last to 0."""
    pointer = Signal(range(depth), name=name)
    with m.If(moves):
        m.d.sync += pointer.eq(Mux(pointer == depth - 1, 0, pointer + 1))
    return pointer
