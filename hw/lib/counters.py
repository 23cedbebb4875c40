# SPDX-License-Identifier: Apache-2.0
"""Event counters that are frozen together and read one by one."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["COUNTER_WIDTH", "EventCounters"]

COUNTER_WIDTH = 48
"""Bits of a counter: four days at 800 MHz."""


class EventCounters(wiring.Component):
    """Counts named events and shows them as a snapshot of one moment.

    Operation: each cycle adds `amounts[i]` to counter i. `freeze` copies all counters at once into
    the snapshot, from which `value` shows the one chosen by `select`; counting goes on. A cycle
    that freezes is not in the snapshot yet. `clear` sets the counters, not the snapshot, to zero
    and wins over counting; freezing and clearing in one cycle reads and restarts without a gap.

    Timing: the snapshot is there in the cycle after `freeze`. `value` follows `select` in the same
    cycle (combinational path).

    Numerics: counters wrap modulo 2^width, or stay at 2^width - 1 with `saturate`.

    Parameters
    ----------
    names : dotted name of each event, each once; at least one.
    width : bits of a counter.
    amount_width : bits of what one cycle may add, at most `width`.
    saturate : stay at the greatest value instead of wrapping.

    Members
    -------
    amounts : In(ArrayLayout(amount_width, len(names))), what to add in this cycle.
    freeze : In(1), take a snapshot.
    clear : In(1), set all counters to zero.
    select : In(range(max(len(names), 2))), counter to show.
    value : Out(width), the chosen counter in the snapshot; undefined beyond the last one.

    Raises: ValueError when a parameter is out of range or a name comes twice.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        width: int = COUNTER_WIDTH,
        amount_width: int = 1,
        saturate: bool = False,
    ) -> None:
        if not names:
            raise ValueError("EventCounters needs at least one event name.")
        for name in names:
            if list(names).count(name) > 1:
                raise ValueError(f"EventCounters name {name!r} is given twice.")
        if width < 1:
            raise ValueError(f"EventCounters width must be at least 1, not {width!r}.")
        if not 1 <= amount_width <= width:
            raise ValueError(
                f"EventCounters amount_width must be 1 to {width}, not {amount_width!r}."
            )
        self.names = tuple(names)
        self.width = width
        self.amount_width = amount_width
        self.saturate = saturate
        super().__init__(
            {
                "amounts": In(data.ArrayLayout(amount_width, len(names))),
                "freeze": In(1),
                "clear": In(1),
                "select": In(range(max(len(names), 2))),
                "value": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        snapshot = Array(
            Signal(self.width, name=f"snapshot_{self._word(name)}") for name in self.names
        )
        for index, name in enumerate(self.names):
            counter = Signal(self.width, name=f"count_{self._word(name)}")
            with m.If(self.freeze):
                m.d.sync += snapshot[index].eq(counter)
            amount = self.amounts[index]
            total = counter + amount
            if self.saturate:
                total = Mux(total[self.width], (1 << self.width) - 1, total)
            with m.If(self.clear):
                m.d.sync += counter.eq(0)
            # Written only when there is something to add: an idle counter does not toggle.
            with m.Elif(amount != 0):
                m.d.sync += counter.eq(total)
        m.d.comb += self.value.eq(snapshot[self.select])
        return m

    @staticmethod
    def _word(name: str) -> str:
        return name.replace(".", "_").replace(" ", "_")
