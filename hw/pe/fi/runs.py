# SPDX-License-Identifier: Apache-2.0
"""From a DMA command to runs, and from runs to lines; the same for both directions."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.commands import LEVELS, LONG_BITS, Opcode
from hw.iface.command_view import view
from hw.iface.pe import CbAcquire, CbGrant, CbRole, Completion
from hw.lib.address_generator import AddressGenerator
from hw.lib.elastic import PipeStage
from hw.lib.loop_nest import LoopOffset
from hw.pe.fi.geometry import FiGeometry

__all__ = ["LineSplitter", "RunSource"]

_STRIDE_WIDTH = 20  # of the operand of DMA commands
_CB_UNIT_LOG2 = 6


class RunSource(wiring.Component):
    """Takes DMA commands one after another and sends their runs in order, a granted step at a time.

    Operation
        1. A command is taken when the runs of the one before have left and `may_start` is high.
        2. Level 0 is the run itself; levels 1 and up give one run each iteration. A step consists
           of whole runs: step and advance levels of 0 count as 1.
        3. In the tail runs have `tail_count` bytes, or with `tail_inner` there are fewer of them.
        4. A run outside of local memory is sent with `outside` set.

    Timing
        First run 6 cycles after the command is taken when the step is granted at once, then one per
        cycle as long as steps have 3 runs or more; see `AddressGenerator`.

    Parameters
    ----------
    geometry : sizes.
    opcode : DMA_IN or DMA_OUT.

    Members
    -------
    command : In(stream.Signature(LONG_BITS)), commands.
    acquire : Out(stream.Signature(CbAcquire)), to the CB table.
    grant : In(stream.Signature(CbGrant, always_ready=True)), from the CB table.
    runs : Out(stream.Signature(geometry.run_layout)), runs in order.
    may_start : In(1), a command may be taken.
    stop : In(1), acquire nothing more and forget the command.
    started : Out(1), a command is being taken.
    header : Out(Completion), signal fields of the command being taken.
    tag : Out(16), of the command taken last.
    cb : Out(6), of the command taken last.
    busy : Out(1), runs of a command are still to come.
    waiting : Out(1), no run is there because a step is not granted.
    """

    def __init__(self, *, geometry: FiGeometry, opcode: Opcode) -> None:
        self.geometry = geometry
        self.opcode = opcode
        self.role = CbRole.PRODUCER if opcode == Opcode.DMA_IN else CbRole.CONSUMER
        super().__init__(
            {
                "command": In(stream.Signature(LONG_BITS)),
                "acquire": Out(stream.Signature(CbAcquire)),
                "grant": In(stream.Signature(CbGrant, always_ready=True)),
                "runs": Out(stream.Signature(geometry.run_layout)),
                "may_start": In(1),
                "stop": In(1),
                "started": Out(1),
                "header": Out(Completion),
                "tag": Out(16),
                "cb": Out(6),
                "busy": Out(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(
            address_width=self.geometry.byte_address_width,
            unit_bytes=1,
            role=self.role,
            stride_width=_STRIDE_WIDTH,
        )
        m.submodules.memory = memory = LoopOffset(offset_width=ADDRESS_BITS)
        wiring.connect(m, wiring.flipped(self.acquire), generator.acquire)
        wiring.connect(m, generator.grant, wiring.flipped(self.grant))
        command = view(self.command.payload, self.opcode)
        m.d.comb += [
            self.started.eq(self.command.valid & self.command.ready),
            self.command.ready.eq(~generator.busy & self.may_start & ~self.stop),
            generator.nest.valid.eq(self.started),
            generator.stop.eq(self.stop),
            self.busy.eq(generator.busy | self.runs.valid),
            self.waiting.eq(generator.waiting),
            *(
                self.header[name].eq(getattr(command, name))
                for name in Completion.as_shape().members
            ),
        ]
        self._elaborate_nest(m, command, generator)
        self._elaborate_memory(m, command, generator, memory)
        self._elaborate_runs(m, command, generator, memory)
        return m

    def _elaborate_nest(self, m: Module, command: data.View, generator: AddressGenerator) -> None:
        """Level 0 is left to the splitter, so the generator sees a count of 1 there."""
        nest = generator.nest.payload
        m.d.comb += [
            nest.counts[0].eq(1),
            nest.strides[0].eq(0),
            nest.offset.eq(command.offset),
            nest.cb.eq(command.cb),
            nest.step_level.eq(_at_least_1(command.step_level)),
            nest.adv_level.eq(_at_least_1(command.adv_level)),
            nest.need.eq(command.need),
            nest.adv.eq(command.adv),
            nest.tail_level.eq(command.tail_level),
            nest.tail_inner.eq(1),
            nest.tail_count.eq(Mux(command.tail_inner, command.tail_count, 0)),
            nest.tail_adv.eq(Mux(command.tail_count != 0, command.tail_adv, 0)),
        ]
        for level in range(1, LEVELS):
            m.d.comb += [
                nest.counts[level].eq(getattr(command, f"count{level}")),
                nest.strides[level].eq(getattr(command, f"stride{level}")),
            ]
        with m.If(self.started):
            m.d.sync += [self.tag.eq(command.tag), self.cb.eq(command.cb)]

    def _elaborate_memory(
        self, m: Module, command: data.View, generator: AddressGenerator, memory: LoopOffset
    ) -> None:
        """The memory side follows the generator's levels."""
        element = generator.addresses
        m.d.comb += [
            memory.start.eq(self.started),
            memory.origin.eq(command.mem_addr),
            memory.step.eq(element.valid & element.ready),
            memory.goes_on.eq(~element.payload.last),
        ]
        for level in range(1, LEVELS):
            stride = Signal(signed(32), name=f"mem_stride{level}")
            m.d.comb += memory.strides[level].eq(stride)
            with m.If(self.started):
                m.d.sync += stride.eq(getattr(command, f"mem_stride{level}"))

    def _elaborate_runs(
        self, m: Module, command: data.View, generator: AddressGenerator, memory: LoopOffset
    ) -> None:
        """One run for each address of the generator, registered."""
        geometry = self.geometry
        m.submodules.out = out = PipeStage(shape=geometry.run_layout)
        wiring.connect(m, wiring.flipped(self.runs), out.o)
        element, run = generator.addresses, out.i.payload

        length, zero_fill = Signal(16), Signal()
        tail_level, tail_length = Signal(3), Signal(16)  # runs of the tail; length 0: as the others
        levels_last = Cat(Const(0, 1), element.payload.last[1:], Const(0, 8 - LEVELS))
        in_tail = levels_last.bit_select(tail_level, 1) & (tail_length != 0)
        stride = Signal(signed(_STRIDE_WIDTH - geometry.word_log2))  # in words
        with m.If(self.started):
            m.d.sync += [
                length.eq(command.count0),
                tail_level.eq(command.tail_level),
                tail_length.eq(Mux(command.tail_inner, 0, command.tail_count)),
                stride.eq(command.stride0 >> geometry.word_log2),
            ]
            if self.opcode == Opcode.DMA_IN:
                m.d.sync += zero_fill.eq(command.zero_fill)

        unit_log2 = _CB_UNIT_LOG2 - geometry.word_log2
        depth = element.payload.depth << unit_log2
        limit = (element.payload.base + element.payload.depth) << unit_log2
        one_on = Signal.like(run.one_on)  # 0 <= one_on < depth
        two_on = Signal(len(one_on) + 1)
        m.d.comb += [
            one_on.eq(Mux(stride < 0, stride + depth, stride)),
            two_on.eq(one_on << 1),
            out.i.valid.eq(element.valid & ~self.stop),
            element.ready.eq(out.i.ready),
            run.address.eq(memory.offset),
            run.length.eq(Mux(in_tail, tail_length, length)),
            Cat(run.lane, run.word).eq(element.payload.address),
            run.limit.eq(limit),
            run.depth.eq(depth),
            run.one_on.eq(one_on),
            run.two_on.eq(Mux(two_on >= depth, two_on - depth, two_on)),
            run.zero_fill.eq(zero_fill),
            run.outside.eq(element.payload.outside | (limit > 1 << geometry.word_address_width)),
            run.cb.eq(element.payload.cb),
            run.advance.eq(element.payload.advance),
            run.step_end.eq(element.payload.step_end),
            run.command_end.eq(element.payload.last.all()),
            run.tag.eq(self.tag),
        ]


class LineSplitter(wiring.Component):
    """Cuts runs into lines of the memory fabric, with the local-memory words of each line.

    Operation
        A run of n bytes from address a gives ceil((a mod link_bytes + n) / link_bytes) lines, in
        order. `step_end` and `command_end` are set on a run's last line only.

    Timing
        A line per cycle, from run to run too; the first one the cycle after its run was taken.
        Combinational path from `lines.ready` to `runs.ready`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    runs : In(stream.Signature(geometry.run_layout)), runs inside local memory.
    lines : Out(stream.Signature(geometry.line_layout)), their lines.
    """

    def __init__(self, *, geometry: FiGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "runs": In(stream.Signature(geometry.run_layout)),
                "lines": Out(stream.Signature(geometry.line_layout)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        new, line, place = self.runs.payload, self.lines.payload, self.lines.payload.place
        run = Signal(geometry.run_layout)  # under way; `address`, `length`, `word` are what is left
        run_first = Signal()
        run_end = Signal()
        rotation = Signal(geometry.word_log2)
        room = Signal(geometry.link_log2 + 1)  # bytes from the first one in use to the line's end

        m.d.comb += [
            room.eq(geometry.link_bytes - place.first),
            run_end.eq(run.length <= room),
            self.runs.ready.eq(~self.lines.valid | (self.lines.ready & run_end)),
            Cat(place.first, place.line).eq(run.address),
            place.end.eq(Mux(run_end, place.first + run.length, geometry.link_bytes)),
            place.rotation.eq(rotation),
            place.run_first.eq(run_first),
            place.zero_fill.eq(run.zero_fill & run_end),
            line.cb.eq(run.cb),
            line.advance.eq(run.advance),
            line.step_end.eq(run.step_end & run_end),
            line.command_end.eq(run.command_end & run_end),
            line.tag.eq(run.tag),
        ]
        self._elaborate_words(m, run, rotation)

        with m.If(self.runs.ready):
            m.d.sync += self.lines.valid.eq(self.runs.valid)
            with m.If(self.runs.valid):
                m.d.sync += [
                    run.eq(new),
                    run_first.eq(1),
                    rotation.eq(new.lane - new.address[: geometry.word_log2]),
                ]
        with m.Elif(self.lines.ready):
            m.d.sync += [
                run.address.eq((place.line + 1) << geometry.link_log2),
                run.length.eq(run.length - room),
                # The next window begins where this one ends.
                run.word.eq(
                    Mux(
                        place.skip[1],
                        place.words[0],
                        Mux(place.skip[0], place.words[1], place.words[2]),
                    )
                ),
                run_first.eq(0),
            ]
        return m

    def _elaborate_words(self, m: Module, run: data.View, rotation: Signal) -> None:
        """Where the line's bytes lie: up to three words of the run, and the window on them."""
        place, word_log2 = self.lines.payload.place, self.geometry.word_log2
        begin = Signal(self.geometry.link_log2 + 1)
        end = Signal(self.geometry.link_log2 + 1)
        m.d.comb += [
            begin.eq(rotation + place.first),
            end.eq(rotation + place.end - 1),
            place.skip.eq(begin >> word_log2),
            place.n_words.eq((end >> word_log2) - place.skip + 1),
            place.words[0].eq(run.word),
            place.words[1].eq(_wrap(m, run.word + run.one_on, run, "one")),
            place.words[2].eq(_wrap(m, run.word + run.two_on, run, "two")),
        ]


def _wrap(m: Module, word: Value, run: data.View, name: str) -> Value:
    """`word`, or one depth less if that is behind the buffer."""
    straight = Signal(unsigned(len(run.limit) + 1), name=f"{name}_straight")
    m.d.comb += straight.eq(word)
    return Mux(straight >= run.limit, straight - run.depth, straight)


def _at_least_1(level: Value) -> Value:
    return Mux(level == 0, 1, level)
