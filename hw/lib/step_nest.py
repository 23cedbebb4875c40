# SPDX-License-Identifier: Apache-2.0
"""A nest walked in two parts: its steps, one ahead, and the addresses inside the present one."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
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
        self.new_single, self.single = Signal(name="new_single"), Signal(name="single")  # count 1
        self.new_double, self.double = Signal(name="new_double"), Signal(name="double")  # count 2
        self.count: Value = Const(0, 16)


class _Move:
    """What an iteration would change: one inside the present step, or one of the steps ahead."""

    def __init__(self, name: str) -> None:
        self.moves = Signal(LEVELS, name=f"{name}_moves")  # goes on; one-hot, or none
        self.begins = Signal(LEVELS, name=f"{name}_begins")  # begins anew
        self.seen = Signal(LEVELS, name=f"{name}_seen")  # at their last one, as a tail sees them
        self.short = Signal(name=f"{name}_short")  # the tail's inner level begins short
        self.last = Signal(LEVELS, name=f"{name}_last")  # at their last iteration afterwards

    def plain(self, firsts: Value, hits: Value, last: Value) -> Value:
        """`last` afterwards without regard to the tail."""
        begins, moves = self.begins, self.moves
        return (begins & firsts) | (moves & hits) | (~begins & ~moves & last)


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
        iteration is a register, and so is whether it is at its last but one.

    Parameters
    ----------
    stride_width : bits of strides; offsets have one more.
    first_level : levels below this one have one iteration, whatever the nest says.
    held : `nest` stays as it is while it is walked, so that most of it need not be kept here.
    announced : `nest` is in the cycle before `start` as it is with it, so that what is derived from
        it comes from registers.
    staged : registers before the sums, and before the flags of a nest that starts, for a faster
        clock: offsets come a cycle later than flags, the flags of the first step a cycle later too.
        No `next_step` in the 3 cycles after `start`, and the 2 after another one.

    Members
    -------
    nest : In(nest_layout(stride_width)), with `start`: counts, strides, step level, tail, and the
        first offset.
    idle : In(1), high with `start`, and low while a nest is walked or asks: the nest may be kept.
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

    def __init__(
        self,
        *,
        stride_width: int,
        first_level: int = 0,
        held: bool = False,
        announced: bool = False,
        staged: bool = False,
    ) -> None:
        self.first_level = first_level
        self.held = held
        self.announced = announced
        self.staged = staged
        self._started = Signal()  # in the cycle before
        self._new_ahead = Signal(LEVELS)  # levels that are walked ahead in a nest that starts
        self.offset_shape = signed(stride_width + 1)
        super().__init__(
            {
                "nest": In(nest_layout(stride_width)),
                "idle": In(1),
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
        done = Signal(LEVELS)  # the same, or walked ahead; a register, as much hangs on it
        present = Signal(LEVELS)  # `last` as it was for the present step
        # Both kinds of iteration are worked out side by side; which of them may take place in this
        # cycle comes late.
        inner, outer = _Move("inner"), _Move("outer")
        inside, walks = Signal(), Signal()
        self._derive(m, (self._new_ahead, levels_from(self.nest.step_level)))
        m.d.sync += self._started.eq(self.start)
        with m.If(self.start):
            m.d.sync += ahead.eq(self._new_ahead)
        with m.If(self.next_step):
            m.d.sync += present.eq(last)
        going = ahead & ~last
        begins = (~going[: at + 1].any() & going[at + 1 :].any() for at in range(LEVELS))
        m.d.sync += [outer.moves.eq(lowest(going)), outer.begins.eq(~ahead | Cat(begins))]
        m.d.comb += [
            self.last.eq((last & ~ahead) | (present & ahead)),
            self.step_last.eq(last | ~ahead),
            self.step_end.eq(self.step_last.all()),
            inside.eq(self.inside & ~self.end),
            walks.eq(self.next_step | (self.next_inside & ~self.end)),
            # Inside at least one level is not done, so that these need not ask for one.
            inner.moves.eq(lowest(~done)),
            inner.begins.eq(Cat(done[: at + 1].all() for at in range(LEVELS))),
        ]
        self._elaborate_last(m, ahead, last, present, done, (inner, outer), inside, walks)
        self._elaborate_offsets(m, ahead, (inner, outer), inside, walks)
        return m

    def _kept(self, m: Module, value: Value, *, name: str) -> Value:
        """Part of the nest as it was with `start`."""
        if self.held:
            return value
        kept = Signal.like(value, name=name)
        with m.If(self.idle):  # known earlier than `start`
            m.d.sync += kept.eq(value)
        return kept

    def _derive(self, m: Module, *pairs: tuple[Signal, Value]) -> None:
        """What follows from a nest that starts: registers, if it is announced."""
        domain = m.d.sync if self.announced else m.d.comb
        domain += [signal.eq(value) for signal, value in pairs]

    def _elaborate_counts(
        self, m: Module, tail: _Tail, begins: Value, moves: Value, walks: Value
    ) -> tuple[Value, Value, Value]:
        """Where each level is. Returns: levels whose first iteration is the last one; registers:
        levels whose next one is; the same for the tail's inner level with the tail's count."""
        nest = self.nest
        new: list[Value] = []
        hits, hit_tail = Signal(LEVELS), Signal()
        following = [Signal(16, name=f"following{level}") for level in range(LEVELS)]
        for level in range(LEVELS):
            if level < self.first_level:
                new.append(Const(1))
                m.d.comb += hits[level].eq(1)
                continue
            count = self._kept(m, nest.counts[level], name=f"count{level}")
            double, new_double = Signal(name=f"double{level}"), Signal(name=f"new_double{level}")
            new_single = Signal(name=f"new_single{level}")
            number = nest.counts[level]
            self._derive(m, (new_single, number == 1), (new_double, number == 2))
            new.append(new_single)
            with m.If(self.start):
                m.d.sync += [
                    double.eq(new_double),
                    hits[level].eq(new_double),
                    following[level].eq(3),
                ]
            with m.Elif(walks & begins[level]):
                m.d.sync += [hits[level].eq(double), following[level].eq(3)]
            with m.Elif(walks & moves[level]):
                # The number behind the next one, so that nothing waits for this comparison.
                m.d.sync += [
                    hits[level].eq(following[level] == count),
                    following[level].eq(following[level] + 1),
                ]
        with m.If(self.start):
            m.d.sync += hit_tail.eq(tail.new_double)
        with m.Elif(walks & Mux(tail.inner, begins[1], begins[0])):
            m.d.sync += hit_tail.eq(tail.double)
        with m.Elif(walks & Mux(tail.inner, moves[1], moves[0])):
            m.d.sync += hit_tail.eq(Mux(tail.inner, following[1], following[0]) == tail.count)
        return Cat(new), hits, hit_tail

    def _elaborate_last(
        self,
        m: Module,
        ahead: Value,
        last: Signal,
        present: Value,
        done: Signal,
        kinds: tuple[_Move, _Move],
        inside: Value,
        walks: Value,
    ) -> None:
        """Registers that say which levels are at their last iteration."""
        inner, outer = kinds
        tail = self._elaborate_tail(m)
        begins = Mux(inside, inner.begins, outer.begins)
        moves = Mux(inside, inner.moves, outer.moves)
        new, hits, hit_tail = self._elaborate_counts(m, tail, begins, moves, walks)
        firsts, short, new_short = Signal(LEVELS), Signal(), Signal()
        plain = outer.plain(firsts, hits, last)
        m.d.comb += [
            new_short.eq((firsts & tail.at if self.staged else new & tail.new_at).any()),
            # A level inside the present step sees those walked ahead as they are for that step.
            inner.seen.eq((inner.plain(firsts, hits, last) & ~ahead) | (present & ahead)),
            outer.seen.eq(
                Mux(Mux(tail.inner, ahead[1], ahead[0]), plain, (plain & ~ahead) | (last & ahead))
            ),
        ]
        begins_nest = self._started if self.staged else self.start
        with m.If(self.start):
            m.d.sync += firsts.eq(new)
        with m.If(begins_nest):
            m.d.sync += short.eq(new_short)
        with m.Elif(walks & Mux(tail.inner, begins[1], begins[0])):
            m.d.sync += short.eq(Mux(inside, inner.short, outer.short))
        begun = self._begun(tail, firsts if self.staged else new, new_short, kept=self.staged)
        hit = [
            Mux(tail.inner == level, Mux(short, hit_tail, hits[level]), hits[level])
            if self.first_level <= level < 2
            else hits[level]
            for level in range(LEVELS)
        ]
        for kind in kinds:
            m.d.comb += [
                kind.short.eq((kind.seen & tail.at).any()),
                kind.last.eq(
                    (kind.begins & self._begun(tail, firsts, kind.short, kept=True))
                    | (kind.moves & Cat(hit))
                    | (~kind.begins & ~kind.moves & last)
                ),
            ]
        new_done = begun | (ahead if self.staged else self._new_ahead)
        with m.If(begins_nest):
            m.d.sync += [last.eq(begun), done.eq(new_done), self.end.eq(new_done.all())]
        with m.Elif(walks):
            m.d.sync += [
                last.eq(Mux(inside, inner.last, outer.last)),
                done.eq(Mux(inside, inner.last, outer.last) | ahead),
                self.end.eq(Mux(inside, (inner.last | ahead).all(), (outer.last | ahead).all())),
            ]

    def _begun(self, tail: _Tail, firsts: Value, short: Value, *, kept: bool = False) -> Value:
        """Levels whose first iteration is the last one: `firsts`, but for the tail's inner level
        where that is short. The tail of the present nest if `kept`, else that of the new one."""
        inner, single = (tail.inner, tail.single) if kept else (tail.new_inner, tail.new_single)
        return Cat(
            Mux((inner == level) & short, single, firsts[level])
            if self.first_level <= level < 2
            else firsts[level]
            for level in range(LEVELS)
        )

    def _elaborate_tail(self, m: Module) -> _Tail:
        """Keep what the nest says about its tail."""
        nest = self.nest
        tail = _Tail()
        tail.count = self._kept(m, nest.tail_count, name="tail_count")
        exists = nest.tail_count != 0
        if self.first_level:
            exists &= nest.tail_inner
        new_inner = nest.tail_inner | self.first_level
        at = [nest.tail_level == level for level in range(LEVELS)]
        levels = Cat(0, at[1] & ~new_inner, *at[2:])
        self._derive(
            m,
            (tail.new_inner, new_inner),
            (tail.new_at, Mux(exists, levels, 0)),
            (tail.new_single, nest.tail_count == 1),
            (tail.new_double, nest.tail_count == 2),
        )
        with m.If(self.start):
            m.d.sync += [
                tail.inner.eq(tail.new_inner),
                tail.at.eq(tail.new_at),
                tail.single.eq(tail.new_single),
                tail.double.eq(tail.new_double),
            ]
        return tail

    def _elaborate_offsets(
        self,
        m: Module,
        ahead: Value,
        kinds: tuple[_Move, _Move],
        inside: Value,
        walks: Value,
    ) -> None:
        """Every level remembers the offset at which its iteration began."""
        inner, outer = kinds
        strides, offsets = [], []
        for level in range(LEVELS):
            offsets.append(Signal(self.offset_shape, name=f"offset{level}"))
            if level < self.first_level:
                strides.append(Const(0))
            else:
                strides.append(self._kept(m, self.nest.strides[level], name=f"stride{level}"))
        moved = Signal(self.offset_shape)
        moves = Mux(inside, inner.moves, outer.moves)
        change = Mux(inside, *((kind.moves | kind.begins) for kind in kinds))
        next_step = self.next_step
        if self.staged:
            moves, change, inside, walks, next_step = self._registered(
                m, moves, change, inside, walks, next_step
            )
        moving = Signal(LEVELS)
        m.d.comb += [
            moving.eq(moves),
            moved.eq(selected(moving, offsets) + selected(moving, strides)),
        ]
        started = self._started  # all levels begin at the first offset
        for level in range(self.first_level, LEVELS):
            fresh = ~inside & ~ahead[level]
            with m.If(started | (walks & change[level])):
                m.d.sync += offsets[level].eq(Mux(started | fresh, self.step_offset, moved))
        with m.If(self.start | next_step):
            m.d.sync += self.step_offset.eq(Mux(self.start, self.nest.offset, moved))
        with m.If(walks):
            m.d.sync += self.offset.eq(Mux(inside, moved, self.step_offset))

    def _registered(self, m: Module, *values: Value) -> list[Value]:
        """The values, a cycle later."""
        later = []
        for value in values:
            register = Signal(len(value))
            m.d.sync += register.eq(value)
            later.append(register)
        return later
