# SPDX-License-Identifier: Apache-2.0
"""A nest walked in two parts: its steps, one ahead, and the addresses inside the present one."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.lib.loop_nest import lowest, selected

__all__ = ["StepNest", "levels_from", "nest_layout"]


def nest_layout(stride_width: int) -> data.StructLayout:
    """What starts an address generator: loop counts and one operand, as commands name them."""
    return data.StructLayout(
        {
            "counts": data.ArrayLayout(unsigned(16), LEVELS),
            "strides": data.ArrayLayout(signed(stride_width), LEVELS),
            "offset": unsigned(stride_width),
            "cb": unsigned(6),
            "step_level": unsigned(3),
            "adv_level": unsigned(3),
            "need": unsigned(16),
            "adv": unsigned(16),
            "tail_level": unsigned(3),  # in this level's last iteration
            "tail_inner": unsigned(1),  # this level (below it)
            "tail_count": unsigned(16),  # has so many iterations; 0: no difference
            "tail_adv": unsigned(16),  # and steps need and advance so much; 0: no difference
        }
    )


def levels_from(level: Value) -> Value:
    """A bit for each level that is not below `level`."""
    return Cat(level <= at for at in range(LEVELS))


class _Tail:
    """A nest's tail: as the nest that starts says, and as kept of the present one."""

    def __init__(self) -> None:
        self.new_inner, self.inner = Signal(name="new_inner"), Signal(name="inner")
        self.new_at = Signal(LEVELS, name="new_at")  # one-hot, or no tail
        self.at = Signal(LEVELS, name="at")
        self.new_single = Signal(name="new_single")  # it has one iteration
        self.single = Signal(name="single")
        self.count = Signal(16, name="tail_count")


class StepNest(wiring.Component):
    """Walks a loop nest whose outer levels run a step ahead of the inner ones.

    Operation
        1. `start` takes a nest. Its levels from `step_level` up are walked ahead: each of their
           iterations is a step. The first one is ahead, and none is present.
        2. `next_step` makes the step ahead the present one: the levels below begin anew at its
           offset, and the levels walked ahead go on to the step after it.
        3. `next_inside` goes on inside the present step: the lowest inner level that is not at its
           last iteration moves on by its stride, those below begin anew.
        4. While `tail_level` (above `tail_inner`) is at its last iteration, level `tail_inner`
           (0 or 1) counts to `tail_count` instead of its count, if `tail_count` is not 0.
        5. For the step ahead all inner levels count as being at their last iteration.

    Timing
        An iteration per cycle. A step stays ahead for two cycles at least: no `next_step` in the
        cycle after `start`, or after another one. Both walks share one adder, since the present
        step does not move on in the cycle in which it ends. Whether a level is at its last
        iteration is a register.

    Parameters
    ----------
    stride_width : bits of strides; offsets have one more.
    first_level : levels below this one have one iteration, whatever the nest says.

    Members
    -------
    nest : In(nest_layout(stride_width)), with `start`: counts, strides, step level, tail, and the
        first offset.
    start : In(1), begin; wins over the others.
    next_step : In(1), go to the next step; only at the present one's end, or when none is present.
    next_inside : In(1), go to the next iteration inside the step.
    inside : In(1), a step is present.
    step_offset : Out(signed(stride_width + 1)), of the step ahead.
    step_last : Out(LEVELS), levels at their last iteration, for the step ahead.
    step_end : Out(1), no step comes after the step ahead.
    offset : Out(signed(stride_width + 1)), of the present iteration.
    last : Out(LEVELS), levels at their last iteration.
    end : Out(1), the present iteration is the last one of its step.
    """

    def __init__(self, *, stride_width: int, first_level: int = 0) -> None:
        self.first_level = first_level
        self.offset_shape = signed(stride_width + 1)
        super().__init__(
            {
                "nest": In(nest_layout(stride_width)),
                "start": In(1),
                "next_step": In(1),
                "next_inside": In(1),
                "inside": In(1),
                "step_offset": Out(self.offset_shape),
                "step_last": Out(LEVELS),
                "step_end": Out(1),
                "offset": Out(self.offset_shape),
                "last": Out(LEVELS),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ahead = Signal(LEVELS)  # levels that are walked ahead
        last = Signal(LEVELS)  # levels at their last iteration, whoever walks them
        present = Signal(LEVELS)  # the same as it was for the present step
        moves_inside, moves_ahead = Signal(LEVELS), Signal(LEVELS)  # one-hot, or none
        # What an iteration changes, whether or not it takes place in this cycle.
        inside, walks = Signal(), Signal()
        moves, fresh, begins = Signal(LEVELS), Signal(LEVELS), Signal(LEVELS)
        with m.If(self.start):
            m.d.sync += ahead.eq(levels_from(self.nest.step_level))
        with m.If(self.next_step):
            m.d.sync += present.eq(last)
        m.d.sync += moves_ahead.eq(lowest(ahead & ~last))
        m.d.comb += [
            self.last.eq((last & ~ahead) | (present & ahead)),
            self.end.eq((last | ahead).all()),
            self.step_last.eq(last | ~ahead),
            self.step_end.eq(self.step_last.all()),
            inside.eq(self.inside & ~self.end),
            walks.eq(self.next_step | (self.next_inside & inside)),
            moves_inside.eq(lowest(~ahead & ~last)),
            moves.eq(Mux(inside, moves_inside, moves_ahead)),
            fresh.eq(Mux(inside, 0, ~ahead)),
            *(begins[at].eq(fresh[at] | moves[at + 1 :].any()) for at in range(LEVELS)),
        ]
        kept = Mux(inside, present, last)
        self._elaborate_last(m, ahead, last, kept, begins, moves, walks)
        self._elaborate_offsets(m, moves, fresh, begins, walks)
        return m

    def _elaborate_counts(
        self, m: Module, begins: Value, moves: Value, walks: Value
    ) -> tuple[Value, Value, list[Signal]]:
        """Where each level is. Returns: levels whose first iteration is the last one, those whose
        next one is, and the numbers of the next ones."""
        nest = self.nest
        new, hits = Signal(LEVELS), Signal(LEVELS)
        following = [Signal(16, name=f"following{level}") for level in range(LEVELS)]
        for level in range(LEVELS):
            if level < self.first_level:
                m.d.comb += [new[level].eq(1), hits[level].eq(1)]
                continue
            count = Signal(16, name=f"count{level}")
            m.d.comb += [
                hits[level].eq(following[level] == count),
                new[level].eq(nest.counts[level] == 1),
            ]
            with m.If(self.start):
                m.d.sync += count.eq(nest.counts[level])
            with m.If(self.start | (walks & begins[level])):
                m.d.sync += following[level].eq(2)
            with m.Elif(walks & moves[level]):
                m.d.sync += following[level].eq(following[level] + 1)
        return new, hits, following

    def _elaborate_last(
        self,
        m: Module,
        ahead: Value,
        last: Signal,
        kept: Value,
        begins: Value,
        moves: Value,
        walks: Value,
    ) -> None:
        """Registers that say which levels are at their last iteration."""
        new, hits, following = self._elaborate_counts(m, begins, moves, walks)
        tail = self._elaborate_tail(m)
        firsts = Signal(LEVELS)
        # Without regard to the tail, which shortens no level that a tail depends on.
        plain = (begins & firsts) | (moves & hits) | (~begins & ~moves & last)
        # A level inside the present step sees those walked ahead as they are for that step.
        seen = Mux(Mux(tail.inner, ahead[1], ahead[0]), plain, (plain & ~ahead) | (kept & ahead))
        hit_tail = Mux(tail.inner, following[1], following[0]) == tail.count
        short, next_short, new_short = Signal(), Signal(), Signal()
        m.d.comb += [next_short.eq((seen & tail.at).any()), new_short.eq((new & tail.new_at).any())]
        with m.If(self.start):
            m.d.sync += [firsts.eq(new), short.eq(new_short)]
        with m.Elif(walks & Mux(tail.inner, begins[1], begins[0])):
            m.d.sync += short.eq(next_short)
        for level in range(LEVELS):
            first, hit, begun = firsts[level], hits[level], new[level]
            if self.first_level <= level < 2:
                mine = tail.inner == level
                first = Mux(mine & next_short, tail.single, first)
                hit = Mux(mine & short, hit_tail, hit)
                begun = Mux((tail.new_inner == level) & new_short, tail.new_single, begun)
            with m.If(self.start):
                m.d.sync += last[level].eq(begun)
            with m.Elif(walks & (begins[level] | moves[level])):
                m.d.sync += last[level].eq(Mux(begins[level], first, hit))

    def _elaborate_tail(self, m: Module) -> _Tail:
        """Keep what the nest says about its tail."""
        nest = self.nest
        tail = _Tail()
        exists = nest.tail_count != 0
        if self.first_level:
            exists &= nest.tail_inner
        at = [nest.tail_level == level for level in range(LEVELS)]
        levels = Cat(0, at[1] & ~tail.new_inner, *at[2:])
        m.d.comb += [
            tail.new_inner.eq(nest.tail_inner | self.first_level),
            tail.new_at.eq(Mux(exists, levels, 0)),
            tail.new_single.eq(nest.tail_count == 1),
        ]
        with m.If(self.start):
            m.d.sync += [
                tail.inner.eq(tail.new_inner),
                tail.at.eq(tail.new_at),
                tail.single.eq(tail.new_single),
                tail.count.eq(nest.tail_count),
            ]
        return tail

    def _elaborate_offsets(
        self, m: Module, moves: Value, fresh: Value, begins: Value, walks: Value
    ) -> None:
        """Every level remembers the offset at which its iteration began."""
        strides, offsets = [], []
        for level in range(LEVELS):
            offset, stride = (
                Signal(self.offset_shape, name=f"{name}{level}") for name in ("offset", "stride")
            )
            offsets.append(offset)
            strides.append(stride)
            if level >= self.first_level:
                with m.If(self.start):
                    m.d.sync += stride.eq(self.nest.strides[level])
        moved = Signal(self.offset_shape)
        started = Signal()  # in the cycle before: all levels begin at the first offset
        m.d.sync += started.eq(self.start)
        m.d.comb += moved.eq(selected(moves, offsets) + selected(moves, strides))
        for level in range(self.first_level, LEVELS):
            with m.If(started | (walks & (begins[level] | moves[level]))):
                m.d.sync += offsets[level].eq(Mux(started | fresh[level], self.step_offset, moved))
        with m.If(self.start | self.next_step):
            m.d.sync += self.step_offset.eq(Mux(self.start, self.nest.offset, moved))
        with m.If(walks):
            m.d.sync += self.offset.eq(Mux(self.next_step, self.step_offset, moved))
