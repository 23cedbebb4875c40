# SPDX-License-Identifier: Apache-2.0
"""Performance counters: 48 bits each, frozen all at once and then read at leisure."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import COUNTERS
from hw.arch.units import State, Unit

__all__ = [
    "COUNTED_UNITS",
    "COUNTER_BITS",
    "EVENTS",
    "EVENT_BITS",
    "STATE_COUNTERS",
    "CounterFile",
    "StateCounters",
    "event_name",
]

COUNTER_BITS = 48
EVENT_BITS = 8
"""Bits of what an event counter can add in one cycle."""
_N_STATES = 16

COUNTED_UNITS = tuple(
    unit
    for unit in Unit
    if any(counter.name == f"{unit.name.lower()}.busy" for counter in COUNTERS)
)
"""Units whose states are counted."""

STATE_COUNTERS = {
    f"{unit.name.lower()}.{state.name.lower()}": (unit, state)
    for unit in COUNTED_UNITS
    for state in State
    if state not in (State.IDLE, State.HALTED)
}
"""Counters of cycles that a unit spends in a state."""

EVENTS = tuple(counter.name for counter in COUNTERS[1:] if counter.name not in STATE_COUNTERS)
"""Counters that add an event input."""


def event_name(counter: str) -> str:
    """Port name of an event counter: `ls.reads` is counted by `event_ls_reads`."""
    return "event_" + counter.replace(".", "_")


class StateCounters(wiring.Component):
    """Counts for one unit the cycles in each state, in a memory, as only one counts at a time.

    Operation
        With `enable` the word of `state` grows by one. `snapshot` freezes what `value` shows, as it
        was before this cycle: nothing is copied then, but a word that grows for the first time
        afterwards leaves its old value in a second memory. `clear` sets all to zero and ends the
        snapshot; without one `value` is live.

    Timing
        `value` follows `index` in the same cycle.

    Members
    -------
    state : In(4), what the unit is doing (`hw.arch.units.State`).
    enable, clear, snapshot : In(1).
    index : In(4), state to show.
    value : Out(48), its cycles.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "state": In(4),
                "enable": In(1),
                "clear": In(1),
                "snapshot": In(1),
                "index": In(4),
                "value": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = {"shape": COUNTER_BITS, "depth": _N_STATES, "init": []}
        m.submodules.live = live = memory.Memory(**shape)
        m.submodules.frozen = frozen = memory.Memory(**shape)
        touched = Signal(_N_STATES)  # words that are not zero; the memory is not cleared
        saved = Signal(_N_STATES)  # words whose frozen value lies in the second memory
        counts, old = Signal(), Signal(COUNTER_BITS)
        now, grow, save = live.read_port(domain="comb"), live.write_port(), frozen.write_port()
        one = Signal(_N_STATES)
        m.d.comb += [
            counts.eq(self.enable & (self.state != State.IDLE) & (self.state != State.HALTED)),
            now.addr.eq(self.state),
            old.eq(Mux(touched.bit_select(self.state, 1), now.data, 0)),
            grow.addr.eq(self.state),
            grow.data.eq(old + 1),
            grow.en.eq(counts & ~self.clear),
            save.addr.eq(self.state),
            save.data.eq(old),
            save.en.eq(counts & (self.snapshot | ~saved.bit_select(self.state, 1))),
            one.eq(Mux(counts, 1 << self.state, 0)),
        ]
        with m.If(self.clear):
            m.d.sync += [touched.eq(0), saved.eq(0)]
        with m.Elif(counts | self.snapshot):
            m.d.sync += [touched.eq(touched | one), saved.eq(Mux(self.snapshot, one, saved | one))]
        self._elaborate_reading(m, live, frozen, touched, saved)
        return m

    def _elaborate_reading(
        self, m: Module, live: memory.Memory, frozen: memory.Memory, touched: Signal, saved: Signal
    ) -> None:
        live_read, frozen_read = live.read_port(domain="comb"), frozen.read_port(domain="comb")
        m.d.comb += [live_read.addr.eq(self.index), frozen_read.addr.eq(self.index)]
        with m.If(saved.bit_select(self.index, 1)):
            m.d.comb += self.value.eq(frozen_read.data)
        with m.Elif(touched.bit_select(self.index, 1)):
            m.d.comb += self.value.eq(live_read.data)


class CounterFile(wiring.Component):
    """All performance counters of an element, in the order of `hw.arch.csr.COUNTERS`.

    Operation
        While `enable` is high, `cycles` counts every cycle, `<unit>.<state>` the cycles in which a
        unit is in a state, and every other counter adds its event input. `snapshot` freezes the
        readable values of all of them as they were before that cycle. `clear` sets them to zero.

    Timing
        `data` follows `index` and `word` in the next cycle.

    Members
    -------
    states : In(4).array(7), state of each unit; IDLE if it is absent.
    event_<name> : In(8), what the event counter adds in this cycle, `.` replaced by `_`.
    enable, clear, snapshot : In(1).
    index : In(range(len(COUNTERS))), counter to read.
    word : In(1), 0: bits 31:0, 1: bits 47:32.
    data : Out(32), the word.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "states": In(4).array(len(Unit) - 1),
                **{event_name(name): In(EVENT_BITS) for name in EVENTS},
                "enable": In(1),
                "clear": In(1),
                "snapshot": In(1),
                "index": In(range(len(COUNTERS))),
                "word": In(1),
                "data": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        state_index, value = Signal(4), Signal(COUNTER_BITS)
        shown: dict[str, Value] = {}
        for unit in COUNTED_UNITS:
            m.submodules[unit.name.lower()] = counters = StateCounters()
            m.d.comb += [
                counters.state.eq(self.states[unit]),
                counters.enable.eq(self.enable),
                counters.clear.eq(self.clear),
                counters.snapshot.eq(self.snapshot),
                counters.index.eq(state_index),
            ]
            shown[unit.name] = counters.value
        is_frozen = Signal()
        with m.If(self.snapshot | self.clear):
            m.d.sync += is_frozen.eq(~self.clear)
        for name in (COUNTERS[0].name, *EVENTS):
            shown[name] = self._event_counter(m, name, is_frozen)
        with m.Switch(self.index):
            for index, counter in enumerate(COUNTERS):
                with m.Case(index):
                    if counter.name in STATE_COUNTERS:
                        unit, state = STATE_COUNTERS[counter.name]
                        m.d.comb += [state_index.eq(state), value.eq(shown[unit.name])]
                    else:
                        m.d.comb += value.eq(shown[counter.name])
        m.d.sync += self.data.eq(Mux(self.word, value[32:], value[:32]))
        return m

    def _event_counter(self, m: Module, name: str, is_frozen: Signal) -> Value:
        """The readable value of a counter that adds its event input."""
        add = getattr(self, event_name(name)) if name in EVENTS else 1
        name = name.replace(".", "_")
        live, frozen = Signal(COUNTER_BITS, name=name), Signal(COUNTER_BITS, name=f"{name}_frozen")
        with m.If(self.clear):
            m.d.sync += live.eq(0)
        with m.Elif(self.enable):
            m.d.sync += live.eq(live + add)
        with m.If(self.snapshot):
            m.d.sync += frozen.eq(live)
        return Mux(is_frozen, frozen, live)
