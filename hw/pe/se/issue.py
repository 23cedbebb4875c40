# SPDX-License-Identifier: Apache-2.0
"""Sends beats into the pipelines: joins the operands, and knows where in its row each beat is."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, BMode, Opcode
from hw.arch.traps import Trap
from hw.iface.command_view import view
from hw.pe.se.beat_reader import beat_layout
from hw.pe.se.beat_walk import BeatWalk
from hw.pe.se.drain_program import DrainProgram
from hw.pe.se.front import N_PARTIALS, SUM_DISTANCE, beat_info
from hw.pe.se.held_row import HeldRow
from hw.pe.se.settings import settings_layout
from hw.pe.se.sizes import Sizes
from hw.pe.se.unpacker import Unpacker

__all__ = ["Issue", "fault_layout"]


def fault_layout() -> data.StructLayout:
    """A fault of an operand, as a trap reports it."""
    return data.StructLayout({"valid": 1, "cause": 8, "info": 32})


class Issue(wiring.Component):
    """Walks the rows of a command, and sends a beat when its operands and its way are there.

    Operation: `start` begins. A beat goes to the FP32 lanes when `room` allows it, or to the
    integer drain path when `drain_ready` does. A row of the reduction engine is taken with its last
    beat. LS_RANGE names the circular buffer, LS_PARITY the byte address of the word.

    Timing: a beat per cycle; accumulation of so few beats that one would meet itself in the adder
    takes `SUM_DISTANCE` cycles for each beat.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    command, program : In(512); settings : In(settings_layout); drain_program : In(DrainProgram).
    start : In(1); stop : In(1), send nothing more, and drop rows of the reduction engine.
    a, b : In(stream of beat_layout), from local memory.
    rows_in : In(stream of ArrayLayout(32, columns)).
    room : In(1), there is room for a beat, and for its row.
    drain_ready : In(1).
    valid, info, a_values, b_values, c_values : Out, to the FP32 lanes.
    row_first : Out(1), the beat is the first of its row.
    drain_valid, drain_values, drain_biases, drain_scales : Out, to the integer drain path.
    Without FP32 lanes what belongs to them and to operand a stands still.
    running : Out(1), beats are left.
    n_elements : Out(range), elements that are sent in this cycle.
    fault : Out(fault_layout()).
    waits_rows, waits_room : Out(1), why nothing is sent.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        values = data.ArrayLayout(32, sizes.lanes)
        drain_bits = 32 * sizes.config.drain_lanes
        beats = stream.Signature(beat_layout(sizes))
        super().__init__(
            {
                "command": In(LONG_BITS),
                "program": In(LONG_BITS),
                "settings": In(settings_layout(sizes)),
                "drain_program": In(DrainProgram),
                "start": In(1),
                "stop": In(1),
                "a": In(beats),
                "b": In(beats),
                "rows_in": In(stream.Signature(data.ArrayLayout(32, sizes.columns))),
                "room": In(1),
                "drain_ready": In(1),
                "valid": Out(1),
                "info": Out(beat_info(sizes)),
                "row_first": Out(1),
                "a_values": Out(values),
                "b_values": Out(values),
                "c_values": Out(values),
                "drain_valid": Out(1),
                "drain_values": Out(drain_bits),
                "drain_biases": Out(drain_bits),
                "drain_scales": Out(drain_bits),
                "running": Out(1),
                "n_elements": Out(range(sizes.held_lanes + 1)),
                "fault": Out(fault_layout()),
                "waits_rows": Out(1),
                "waits_room": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.walk = walk = BeatWalk()
        m.submodules.held = held = HeldRow(sizes=self.sizes)
        goes = Signal()  # a beat is sent
        beat = Signal(16)  # of the row
        self._elaborate_walk(m, walk, goes, beat)
        unpackers = self._elaborate_unpackers(m, walk, held)
        self._elaborate_goes(m, walk, held, goes)
        if self.sizes.with_fp:
            self._elaborate_info(m, walk, goes, beat)
            self._elaborate_values(m, held, unpackers, beat)
        self._elaborate_drain(m, held, beat)
        return m

    def _elaborate_walk(self, m: Module, walk: BeatWalk, goes: Signal, beat: Signal) -> None:
        """Where the next beat is in its row."""
        m.d.comb += [
            walk.command.eq(self.command),
            walk.n_beats.eq(self.settings.n_beats),
            walk.start.eq(self.start),
            walk.stop.eq(self.stop),
            walk.places.ready.eq(goes),
        ]
        with m.If(goes):
            m.d.sync += beat.eq(Mux(walk.last[0], 0, beat + 1))
            with m.If(walk.places.payload.end):
                m.d.sync += self.running.eq(0)
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), beat.eq(0)]
        with m.If(self.stop):
            m.d.sync += self.running.eq(0)

    def _elaborate_info(self, m: Module, walk: BeatWalk, goes: Signal, beat: Signal) -> None:
        """What goes along with the next beat: its place in its reduction and accumulation."""
        settings, info = self.settings, self.info
        n_left = Signal(16)
        first_iteration = Signal()
        next_sum = Signal.like(info.sum)
        m.d.comb += [
            info.sum.eq(next_sum),
            info.partial.eq(beat),
            info.opens.eq(beat[(N_PARTIALS - 1).bit_length() :] == 0),
            info.closes.eq(n_left <= N_PARTIALS),
            info.row_last.eq(walk.last[0]),
            info.adds_old.eq(settings.accumulates & ~first_iteration),
            info.ends.eq(~settings.accumulates | walk.last[2]),
            self.row_first.eq(beat == 0),
        ]
        with m.If(goes):
            m.d.sync += [n_left.eq(n_left - 1), next_sum.eq(next_sum + 1)]
            with m.If(walk.last[0]):
                m.d.sync += n_left.eq(settings.n_beats)
            with m.If(walk.last[:2].all()):
                m.d.sync += [next_sum.eq(0), first_iteration.eq(walk.last[2])]
        with m.If(self.start):
            m.d.sync += [
                n_left.eq(settings.n_beats),
                next_sum.eq(0),
                first_iteration.eq(1),
            ]

    def _elaborate_unpackers(self, m: Module, walk: BeatWalk, held: HeldRow) -> dict[str, Unpacker]:
        """Take the elements out of both operands' words, and look for faults."""
        command = view(self.command, Opcode.SIMD)
        settings = self.settings
        keep = Const(-1, self.sizes.lanes)
        if self.sizes.with_fp:  # else rows are those of the reduction engine, always whole
            keep = Mux(walk.last[0], settings.tail_keep, keep)
        from_memory = walk.places.valid & ~settings.from_re
        uses_b = walk.places.valid & (settings.b_mode != BMode.NONE)
        operands = [("b", self.b, settings.b_size, uses_b)]
        if self.sizes.with_fp:
            operands.insert(0, ("a", self.a, settings.a_size, from_memory))
        unpackers = {}
        for name, port, size, used in operands:
            m.submodules[f"unpack_{name}"] = unpacker = Unpacker(sizes=self.sizes)
            m.d.comb += [
                unpacker.beat.eq(port.payload),
                unpacker.size.eq(size),
                unpacker.keep.eq(keep),
            ]
            self._elaborate_fault(m, port, unpacker, used)
            unpackers[name] = unpacker
        is_held = settings.b_mode == BMode.HELD
        first = Signal(16)  # element of the row with which a held beat begins
        m.d.comb += [
            unpackers["b"].single.eq(settings.b_mode == BMode.ROW),
            unpackers["b"].pair.eq(settings.b_pair),
            first.eq(held.index * self.sizes.lanes),
            held.clear.eq(self.start),
            held.pair.eq(settings.b_pair),
            held.i.valid.eq(self.b.valid & is_held & walk.places.valid & ~self.fault.valid),
            held.i.payload.eq(unpackers["b"].values),
        ]
        if self.sizes.with_fp:
            kept = Cat(command.count0 > first + lane for lane in range(self.sizes.lanes))
            with m.If(is_held):
                m.d.comb += [unpackers["b"].size.eq(2), unpackers["b"].keep.eq(kept)]
        return unpackers

    def _elaborate_fault(self, m: Module, port: Any, unpacker: Unpacker, used: Value) -> None:
        """Report a beat that must not be used."""
        note = port.payload.note
        zeros = Const(0, (self.sizes.word_bytes - 1).bit_length())
        parity = Cat(zeros, note.addresses[0])
        if self.sizes.read_words == 2:
            parity = Cat(zeros, Mux(unpacker.wrong_second, note.addresses[1], note.addresses[0]))
        with m.If(port.valid & used & (note.outside | unpacker.wrong)):
            m.d.comb += [
                self.fault.valid.eq(1),
                self.fault.cause.eq(Mux(note.outside, Trap.LS_RANGE, Trap.LS_PARITY)),
                self.fault.info.eq(Mux(note.outside, note.cb, parity)),
            ]

    def _elaborate_goes(
        self,
        m: Module,
        walk: BeatWalk,
        held: HeldRow,
        goes: Signal,
    ) -> None:
        """Send a beat when everything is there."""
        settings, sizes = self.settings, self.sizes
        a_there, b_there, way_there, may_go = Signal(), Signal(), Signal(), Signal()
        distance = Signal(range(SUM_DISTANCE))
        with m.If(goes):
            m.d.sync += distance.eq(SUM_DISTANCE - 1)
        with m.Elif(distance != 0):
            m.d.sync += distance.eq(distance - 1)
        # A wrong beat of a HELD row is not taken, so without FP32 lanes none can be sent.
        is_right = ~self.fault.valid if sizes.with_fp else Const(1, 1)
        m.d.comb += [
            a_there.eq(Mux(settings.from_re, self.rows_in.valid, self.a.valid)),
            way_there.eq(Mux(settings.drains, self.drain_ready, self.room)),
            may_go.eq(
                walk.places.valid
                & b_there
                & way_there
                & ~(settings.spaced & (distance != 0))
                & is_right
                & ~self.stop
            ),
            goes.eq(may_go & a_there),
            self.a.ready.eq(goes & ~settings.from_re),
            # Not a word about the row itself: whoever offers it makes much of this.
            self.rows_in.ready.eq((may_go & settings.from_re & walk.last[0]) | self.stop),
            self.valid.eq(goes & ~settings.drains),
            self.drain_valid.eq(goes & settings.drains),
            self.waits_rows.eq(walk.places.valid & settings.from_re & ~self.rows_in.valid),
            self.waits_room.eq(walk.places.valid & a_there & b_there & ~way_there),
        ]
        self._elaborate_b(m, walk, held, goes, b_there)
        n_drained = Mux(settings.integers, sizes.integer_lanes, sizes.config.drain_lanes)
        n_sent = Mux(walk.last[0], settings.n_tail, sizes.lanes)
        with m.If(goes):
            m.d.comb += self.n_elements.eq(Mux(settings.drains, n_drained, n_sent))

    def _elaborate_b(
        self, m: Module, walk: BeatWalk, held: HeldRow, goes: Signal, b_there: Signal
    ) -> None:
        """When b is there, and when it is done with."""
        with m.Switch(self.settings.b_mode):
            with m.Case(BMode.NONE):
                m.d.comb += b_there.eq(1)
            with m.Case(BMode.ELEMENT):
                m.d.comb += [b_there.eq(self.b.valid), self.b.ready.eq(goes)]
            with m.Case(BMode.ROW):
                m.d.comb += [
                    b_there.eq(self.b.valid),
                    self.b.ready.eq(goes & walk.last[0]),
                ]
            with m.Case(BMode.HELD):
                m.d.comb += [
                    b_there.eq(held.full),
                    held.drop.eq(goes & walk.last[:2].all()),
                    self.b.ready.eq(held.i.valid & held.i.ready),
                ]

    def _elaborate_values(
        self, m: Module, held: HeldRow, unpackers: dict[str, Unpacker], beat: Signal
    ) -> None:
        """Operands of the FP32 lanes."""
        settings, sizes = self.settings, self.sizes
        program = view(self.program, Opcode.SE_PROGRAM)
        lanes = sizes.lanes
        row = self.rows_in.payload.as_value()
        m.d.comb += self.a_values.eq(unpackers["a"].values)
        with m.If(settings.from_re):
            m.d.comb += self.a_values.eq(_part(row, beat, 32 * lanes))
        group_bits = (sizes.held_lanes // lanes).bit_length() - 1
        m.d.comb += held.group.eq(beat >> group_bits)
        single = unpackers["b"]
        for name, values, immediate, second in (
            ("b", self.b_values, program.imm_b, single.first),
            ("c", self.c_values, program.imm_c, single.second),
        ):
            shown = getattr(held, name).as_value()
            part = _part(shown, beat, 32 * lanes)
            is_given = settings.b_pair if name == "c" else Const(1, 1)
            m.d.comb += values.as_value().eq(immediate.replicate(lanes))
            with m.If((settings.b_mode == BMode.ROW) & is_given):
                m.d.comb += values.as_value().eq(second.replicate(lanes))
            with m.If((settings.b_mode == BMode.HELD) & is_given):
                m.d.comb += values.as_value().eq(part)
        with m.If(settings.b_mode == BMode.ELEMENT):
            m.d.comb += self.b_values.eq(single.values)

    def _elaborate_drain(self, m: Module, held: HeldRow, beat: Signal) -> None:
        """Operands of the integer drain path."""
        settings, program, sizes = self.settings, self.drain_program, self.sizes
        lanes, integer_lanes = sizes.config.drain_lanes, sizes.integer_lanes
        row = self.rows_in.payload.as_value()
        biases, scales = (_part(getattr(held, name).as_value(), beat, 32 * lanes) for name in "bc")
        values = _part(row, beat, 32 * lanes)
        group = beat >> (sizes.held_lanes // lanes).bit_length() - 1
        if integer_lanes < lanes:
            part = _part(row, beat, 32 * integer_lanes)
            integer_biases = _part(held.b.as_value(), beat, 32 * integer_lanes)
            shift = (sizes.held_lanes // integer_lanes).bit_length() - 1
            values = Mux(settings.integers, part, values)
            biases = Mux(settings.integers, integer_biases, biases)
            group = Mux(settings.integers, beat >> shift, group)
        m.d.comb += [
            self.drain_values.eq(values),
            self.drain_biases.eq(Mux(settings.adds_bias, biases, 0)),
            self.drain_scales.eq(Mux(program.scales_c, scales, program.scale.replicate(lanes))),
        ]
        with m.If(settings.drains):
            m.d.comb += held.group.eq(group)


def _part(value: Value, index: Value, width: int) -> Value:
    """Part number `index` of a value's parts of `width` bits, by halving: cheap, and simulators
    shift wide values slowly. Upper bits of the index, of groups beyond the value, do not count."""
    n_parts = len(value) // width
    if n_parts == 1:
        return value
    half = n_parts // 2
    upper, lower = (_part(x, index, width) for x in (value[half * width :], value[: half * width]))
    return Mux(index[half.bit_length() - 1], upper, lower)
