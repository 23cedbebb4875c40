# SPDX-License-Identifier: Apache-2.0
"""Performance counters: 48 bits each, frozen all at once and then read at leisure.

What can happen in every cycle is counted in few bits, one small counter for each of
`hw.arch.csr.COUNTERS`. The 48 bits lie in a memory that one adder keeps up to date: it visits the
counters in turn, often enough that none runs round between two visits.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import COUNTERS
from hw.arch.units import State, Unit
from hw.lib.sram import DualPortSram
from hw.lib.step_counter import STEP_BITS, STEP_PERIOD, next_step, step_table
from hw.num.bits import pick

__all__ = [
    "COUNTED_UNITS",
    "COUNTER_BITS",
    "EVENTS",
    "EVENT_BITS",
    "READ_CYCLES",
    "STATE_COUNTERS",
    "CounterFile",
    "event_bits",
    "event_name",
]

COUNTER_BITS = 48
EVENT_BITS = 8
"""Bits of what the widest event counter can add in one cycle."""
READ_CYCLES = 15
"""Cycles after which the data of a read is there."""

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

_SINGLE_EVENTS = ("cp.commands", "cp.short_commands", "dpe.rows", "dpe.held_blocks")
"""Events of which there is at most one in a cycle; the first ones of `EVENTS`."""
assert EVENTS[: len(_SINGLE_EVENTS)] == _SINGLE_EVENTS


def event_bits(counter: str) -> int:
    """Bits of what an event counter can add in one cycle."""
    return 1 if counter in _SINGLE_EVENTS else EVENT_BITS


def event_name(counter: str) -> str:
    """Port name of an event counter: `ls.reads` is counted by `event_ls_reads`."""
    return "event_" + counter.replace(".", "_")


_READ_EVERY = 4  # one visit in so many goes to the counter that is read
_N_STEPS = 1 + len(STATE_COUNTERS) + len(_SINGLE_EVENTS)  # they come first, and add 1 at most
_ROUND = -(-len(COUNTERS) * _READ_EVERY // (_READ_EVERY - 1)) + _READ_EVERY
"""Cycles in which every counter is visited, at most, even if its visit in the first few is void."""
# A frozen sample is up to a round old when it is visited, hence two rounds between two samples.
_SUM_BITS = (2 * _ROUND * ((1 << EVENT_BITS) - 1)).bit_length()
assert 2 * _ROUND < STEP_PERIOD, "a small counter could run round between two visits"


_ROW = data.StructLayout({"word": COUNTER_BITS, "last": _SUM_BITS})
"""What is kept of a counter: its value, and the sample that it has met last."""

_STAGES = ("chosen", "read", "compared", "adds")
"""Names of a visit in stages 2 to 5."""


class _Visit(data.Struct):
    """What goes along with a counter from stage to stage."""

    valid: 1
    index: range(len(COUNTERS))
    is_read: 1
    is_sum: 1
    begins: 1  # nothing of it is in the memory yet
    freezes: 1  # its sample belongs to the snapshot


class CounterFile(wiring.Component):
    """All performance counters of an element, in the order of `hw.arch.csr.COUNTERS`.

    Operation
        1. While `enable` is high, `cycles` counts every cycle, `<unit>.<state>` the cycles in which
           a unit is in a state, and every other counter adds its event input. This is done in small
           counters, of one cycle's reach.
        2. A sample follows the small counters. Each cycle one counter is visited: what its sample
           is ahead of the sample of the visit before is added to its 48-bit word.
        3. `snapshot` holds the sample as it was before that cycle, until every counter has been
           visited; these visits write a second memory as well, which is what can be read from then
           on. Another snapshot meanwhile begins anew. `clear` sets all to zero and ends the
           snapshot; without one the readable values are live.

    Timing
        `data` follows `index`, `word` and `snapshot` after at most `READ_CYCLES` cycles.

    Numerics
        Modulo 2^48.

    Members
    -------
    states : In(4).array(7), state of each unit; IDLE if it is absent.
    event_<name> : In(8) or, where it is 1 at most, In(1), what the event counter adds in this
        cycle; `.` replaced by `_`.
    enable, clear, snapshot : In(1).
    index : In(range(len(COUNTERS))), counter to read.
    word : In(1), 0: bits 31:0, 1: bits 47:32.
    data : Out(32), the word.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "states": In(4).array(len(Unit) - 1),
                **{event_name(name): In(event_bits(name)) for name in EVENTS},
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
        holds = Signal()  # the sample stays as it is
        self._elaborate_inputs(m)
        steps, sums = self._elaborate_small(m, self._now["snapshot"] | ~holds)
        visit, is_frozen = Signal(_Visit), Signal()
        self._elaborate_turns(m, visit, holds, is_frozen)
        self._elaborate_words(m, visit, is_frozen, steps, sums)
        return m

    def _elaborate_inputs(self, m: Module) -> None:
        """What is counted comes from far away: all of it, and what rules it, a cycle late."""
        names = ("enable", "clear", "snapshot", *(event_name(name) for name in EVENTS))
        self._now = {name: Signal.like(getattr(self, name), name=f"{name}_now") for name in names}
        self._states = [Signal.like(state, name=f"state{i}") for i, state in enumerate(self.states)]
        m.d.sync += [
            *(now.eq(getattr(self, name)) for name, now in self._now.items()),
            *(mine.eq(theirs) for mine, theirs in zip(self._states, self.states, strict=True)),
        ]

    def _elaborate_small(self, m: Module, samples: Value) -> tuple[list[Value], list[Value]]:
        """The small counters' samples: steps of those that add 1, sums of the others."""
        enable = self._now["enable"]
        steps = [self._sampled(m, COUNTERS[0].name, STEP_BITS, enable, None, samples)]
        for name, (unit, state) in STATE_COUNTERS.items():
            counts = enable & (self._states[unit] == state)
            steps.append(self._sampled(m, name, STEP_BITS, counts, None, samples))
        sums = []
        for name in EVENTS:
            amount = self._now[event_name(name)]
            if name in _SINGLE_EVENTS:
                counts = enable & amount
                steps.append(self._sampled(m, name, STEP_BITS, counts, None, samples))
            else:
                sums.append(self._sampled(m, name, _SUM_BITS, enable, amount, samples))
        return steps, sums

    def _sampled(
        self, m: Module, name: str, width: int, counts: Value, amount: Value | None, samples: Value
    ) -> Signal:
        """A small counter that makes a step or adds an amount, and its sample."""
        name = name.replace(".", "_")
        small, sample = Signal(width, name=name), Signal(width, name=f"{name}_sample")
        with m.If(counts):
            m.d.sync += small.eq(next_step(small) if amount is None else small + amount)
        with m.If(samples):
            m.d.sync += sample.eq(small)
        with m.If(self._now["clear"]):
            m.d.sync += [small.eq(0), sample.eq(0)]
        return sample

    def _elaborate_turns(
        self, m: Module, visit: data.View, holds: Signal, is_frozen: Signal
    ) -> None:
        """Whom the adder visits, and how long a snapshot takes."""
        phase, turn = Signal(range(_READ_EVERY)), Signal(range(len(COUNTERS)))
        left = Signal(range(_ROUND + 1))  # cycles until the snapshot is in its memory
        begins = Signal(init=1)  # the memory is as it was before the reset
        lasts = Signal()  # the first round is over
        index = Signal.like(self.index)
        reads = phase == 0
        m.d.sync += [
            phase.eq(phase + 1),
            index.eq(self.index),
            visit.index.eq(Mux(reads, index, turn)),
            visit.is_read.eq(reads),
            visit.is_sum.eq(Mux(reads, index, turn) >= _N_STEPS),
        ]
        with m.If(~reads):
            m.d.sync += turn.eq(Mux(turn == len(COUNTERS) - 1, 0, turn + 1))
        with m.If(turn == len(COUNTERS) - 1):
            m.d.sync += lasts.eq(1)
        # A little longer than the first round, until its last word is written.
        with m.If(lasts & (turn == 2 * _READ_EVERY)):
            m.d.sync += begins.eq(0)
        with m.If(self._now["snapshot"]):
            m.d.sync += [left.eq(_ROUND), is_frozen.eq(1)]
        with m.Elif(holds):
            m.d.sync += left.eq(left - 1)
        with m.If(self._now["clear"]):
            m.d.sync += [turn.eq(0), lasts.eq(0), begins.eq(1), left.eq(0), is_frozen.eq(0)]
        m.d.comb += [holds.eq(left != 0), visit.begins.eq(begins), visit.freezes.eq(holds)]

    def _elaborate_words(
        self,
        m: Module,
        visit: data.View,
        is_frozen: Signal,
        steps: list[Value],
        sums: list[Value],
    ) -> None:
        """Five stages: choose a sample, read the word, keep it, compare samples, add and write."""
        m.submodules.live = self._live = DualPortSram(
            width=_ROW.size, depth=len(COUNTERS), keeps_old=False
        )
        m.submodules.frozen = self._frozen = DualPortSram(
            width=COUNTER_BITS, depth=len(COUNTERS), keeps_old=False
        )
        chosen, read, compared, adds = (Signal(_Visit, name=n) for n in _STAGES)
        m.d.sync += [
            chosen.eq(visit),
            read.eq(chosen),
            # A word cannot be read while it is written: that visit was all that was needed now.
            read.valid.eq(~(adds.valid & (adds.index == chosen.index))),
            compared.eq(read),
            adds.eq(compared),
        ]
        sample = self._elaborate_samples(m, visit, read, steps, sums)
        kept, shown = self._elaborate_reads(m, chosen, read)
        self._elaborate_sum(m, compared, adds, sample, kept, shown, is_frozen)

    def _elaborate_samples(
        self, m: Module, visit: data.View, read: data.View, steps: list[Value], sums: list[Value]
    ) -> Signal:
        """Stages 1 to 3: choose a sample; that of a counter of steps is looked up in a table."""
        m.submodules.table = table = memory.Memory(
            shape=STEP_BITS,
            depth=1 << STEP_BITS,
            init=step_table(),
            attrs={"rom_style": "block"},  # as logic nine lookup tables deep
        )
        place = table.read_port()
        step, chosen_sum = Signal(STEP_BITS), Signal(_SUM_BITS)
        total, sample = Signal(_SUM_BITS), Signal(_SUM_BITS)
        m.d.comb += place.addr.eq(step)
        m.d.sync += [
            step.eq(pick(steps, visit.index)),
            chosen_sum.eq(pick(sums, visit.index - _N_STEPS)),
            total.eq(chosen_sum),
            sample.eq(Mux(read.is_sum, total, place.data)),
        ]
        return sample

    def _elaborate_reads(
        self, m: Module, chosen: data.View, read: data.View
    ) -> tuple[data.View, Signal]:
        """Stages 2 and 3: read both memories; returns the live row and the frozen word."""
        kept, shown = Signal(_ROW), Signal(COUNTER_BITS)
        m.d.comb += [
            self._live.r_addr.eq(chosen.index),
            self._live.r_en.eq(1),
            self._frozen.r_addr.eq(chosen.index),
            self._frozen.r_en.eq(chosen.is_read),
        ]
        m.d.sync += [
            kept.eq(Mux(read.begins, 0, self._live.r_data)),
            shown.eq(self._frozen.r_data),
        ]
        return kept, shown

    def _elaborate_sum(
        self,
        m: Module,
        compared: data.View,
        adds: data.View,
        sample: Signal,
        kept: data.View,
        shown: Signal,
        is_frozen: Signal,
    ) -> None:
        """Stages 4 and 5: how far the sample is ahead, add that, write and show the word."""
        # Steps count modulo the ring's length, sums modulo a power of two.
        ahead, row_now, shown_now = Signal(_SUM_BITS), Signal(_ROW), Signal(COUNTER_BITS)
        n_steps = Signal(STEP_BITS + 1)
        m.d.comb += n_steps.eq(sample[:STEP_BITS] - kept.last[:STEP_BITS])
        around = n_steps[:STEP_BITS] - n_steps[STEP_BITS]
        m.d.sync += [
            ahead.eq(Mux(compared.is_sum, sample - kept.last, around)),
            row_now.word.eq(kept.word),
            row_now.last.eq(sample),
            shown_now.eq(shown),
        ]
        new, read_word = Signal(COUNTER_BITS), Signal()
        m.d.comb += [
            new.eq(row_now.word + ahead),
            self._live.w_addr.eq(adds.index),
            self._live.w_data.eq(Cat(new, row_now.last)),
            self._live.w_mask.eq(adds.valid),
            self._frozen.w_addr.eq(adds.index),
            self._frozen.w_data.eq(new),
            self._frozen.w_mask.eq(adds.valid & adds.freezes),
        ]
        value = Mux(is_frozen & ~adds.freezes, shown_now, new)
        m.d.sync += read_word.eq(self.word)
        with m.If(adds.valid & adds.is_read):
            m.d.sync += self.data.eq(Mux(read_word, value[32:], value[:32]))
