# SPDX-License-Identifier: Apache-2.0
"""The memory layout unit: rearranges tensors in local memory, or feeds the dot-product engine."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from hw.arch.commands import Opcode
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.iface.command_view import view
from hw.iface.pe import CbPort, CbRole, Completion, LsReadPort, LsWritePort, UnitControl
from hw.lib.address_generator import StepReporter
from hw.lib.clock_gate import Gated
from hw.lib.elastic import SkidBuffer
from hw.pe.command_keeper import CommandKeeper
from hw.pe.mlu.assembler import WordAssembler
from hw.pe.mlu.beats import BeatMaker
from hw.pe.mlu.fetcher import WordFetcher
from hw.pe.mlu.geometry import MluGeometry
from hw.pe.mlu.nibbles import rotate_nibbles
from hw.pe.mlu.runs import LayoutRuns
from hw.pe.mlu.transposer import Transposer
from hw.pe.mlu.word_sender import WordSender

__all__ = ["MemoryLayoutUnit"]

_PROGRESS = (
    ("moves", State.BUSY),
    ("lacks_ls", State.WAIT_LS),
    ("lacks_dpe", State.WAIT_NEIGHBOUR),
    ("lacks_room", State.WAIT_CB_ROOM),
    ("lacks_data", State.WAIT_CB_DATA),
)


def _ports(geometry: MluGeometry) -> dict[str, Any]:
    """Ports of the unit."""
    sizes = {"address_width": geometry.address_width, "word_bytes": geometry.word_bytes}
    operand = stream.Signature(8 * geometry.word_bytes)
    return {
        "control": Out(UnitControl()),
        "cb_in": Out(CbPort()),
        "cb_out": Out(CbPort()),
        "ls_in": Out(LsReadPort(**sizes)),
        "ls_out": Out(LsWritePort(**sizes)),
        "to_dpe_a": Out(operand),
        "to_dpe_b": Out(operand),
        "event_words": Out(1),
    }


class MemoryLayoutUnit(wiring.Component):
    """Runs LAYOUT: copies, transposes, expands to diagonals and fills, word by word.

    Operation
        1. The runs of a command (`LayoutRuns`) go to a reader (`WordFetcher`) and, as beats
           (`BeatMaker`), to the datapath (`WordAssembler`); blocks pass the `Transposer` between.
        2. A source step is released when its last word was read, a destination step committed when
           its last word was written. A command is complete when its last word was written, or
           taken by the dot-product engine.
        3. The next command's words are read while one is still written.
        4. Traps: LS_RANGE (info: circular buffer) for a run outside of its buffer or of local
           memory, LS_PARITY (info: byte address of the word) for a byte in use with wrong parity,
           ILLEGAL_FIELD (info: bit of the field).
        5. The unit's clock stops while it has no command, the transposer's while it has no block.

    Timing
        One word in and one word out per cycle. A run of COPY takes its destination words, plus 1
        if the first of them needs two source words; a block of TRANSPOSE max(rows, columns) once
        the one before is under way; a source word of DIAGONAL its destination words.
        First word 13 cycles after the command was taken if steps and reads are granted at once, 1
        more if it needs two source words; in TRANSPOSE 14 + rows. Commands follow without a gap
        when each has 6 words or more.

    Parameters
    ----------
    word_bytes : bytes of a word of local memory.
    address_width : bits of a word address.

    Members
    -------
    control : Out(UnitControl()), commands.
    cb_in, cb_out : Out(CbPort()), circular buffers of source and destination.
    ls_in : Out(LsReadPort(...)), words of the source.
    ls_out : Out(LsWritePort(...)), words of the destination.
    to_dpe_a, to_dpe_b : Out(stream.Signature(8 * word_bytes)), words for the dot-product engine.
    event_words : Out(1), a word was written or sent.

    Raises: ValueError for sizes that cannot be built.
    """

    def __init__(self, *, word_bytes: int, address_width: int) -> None:
        self.geometry = MluGeometry(word_bytes=word_bytes, address_width=address_width)
        super().__init__(_ports(self.geometry))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core = _Core(self.geometry)
        m.submodules.core = Gated(core, enable=self.control.command.valid | core.awake, rests=True)
        for name in self.signature.members:
            if name != "event_words":
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(core, name))
        m.d.comb += self.event_words.eq(core.event_words)
        return m


class _Core(wiring.Component):
    """All of the unit; `awake` while it has anything to do."""

    def __init__(self, geometry: MluGeometry) -> None:
        self.geometry = geometry
        super().__init__({**_ports(geometry), "awake": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.control = control = CommandKeeper(progress=_PROGRESS, draining=State.WAIT_LS)
        m.submodules.runs = runs = LayoutRuns(geometry=self.geometry)
        m.submodules.fetcher = fetcher = WordFetcher(geometry=self.geometry)
        m.submodules.sender = sender = WordSender(geometry=self.geometry)
        m.submodules.read_steps = read_steps = StepReporter(role=CbRole.CONSUMER)
        m.submodules.written_steps = written_steps = StepReporter(role=CbRole.PRODUCER)
        for outer, inner in (
            (self.control.completion, control.completion),
            (self.ls_in, fetcher.ls),
            (self.ls_out, sender.ls),
            (self.to_dpe_a, sender.to_dpe_a),
            (self.to_dpe_b, sender.to_dpe_b),
            (self.cb_in.acquire, runs.source_acquire),
            (self.cb_in.grant, runs.source_grant),
            (self.cb_in.done, read_steps.done),
            (self.cb_out.acquire, runs.target_acquire),
            (self.cb_out.grant, runs.target_grant),
            (self.cb_out.done, written_steps.done),
        ):
            wiring.connect(m, wiring.flipped(outer), inner)
        wiring.connect(m, runs.fetches, fetcher.fetches)
        wiring.connect(m, fetcher.step, read_steps.step)
        wiring.connect(m, sender.step, written_steps.step)
        self._elaborate_datapath(m, runs, fetcher, sender)
        self._elaborate_command(m, control, runs)
        self._elaborate_state(m, control, runs, fetcher, sender, (read_steps, written_steps))
        return m

    def _elaborate_datapath(
        self, m: Module, runs: LayoutRuns, fetcher: WordFetcher, sender: WordSender
    ) -> None:
        """Words, rotated, to the transposer or past it; a bad word stays where it is."""
        transposer = Transposer(geometry=self.geometry)
        m.submodules.beats = beats = BeatMaker(geometry=self.geometry)
        m.submodules.beat = beat = SkidBuffer(shape=self.geometry.beat_layout)
        m.submodules.assembler = assembler = WordAssembler(geometry=self.geometry)
        wiring.connect(m, runs.jobs, beats.jobs)
        wiring.connect(m, beats.beats, beat.i)
        wiring.connect(m, beat.o, assembler.beats)
        wiring.connect(m, transposer.columns, assembler.columns)
        wiring.connect(m, assembler.out, sender.words)
        words, to_block = fetcher.words, fetcher.words.payload.note.to_block
        good = words.valid & ~words.payload.bad
        turn = Signal(self.geometry.nibble_log2)
        m.d.comb += turn.eq(
            Mux(words.payload.note.transpose, transposer.turn, Cat(Const(0, 1), assembler.rotation))
        )
        turned = rotate_nibbles(m, words.payload.data, turn, name="turned")
        m.d.comb += [
            transposer.rows.valid.eq(good & to_block),
            transposer.rows.payload.eq(words.payload),
            transposer.rows.payload.data.eq(turned),
            assembler.words.valid.eq(good & ~to_block),
            assembler.words.payload.eq(turned),
            words.ready.eq(
                ~words.payload.bad & Mux(to_block, transposer.rows.ready, assembler.words.ready)
            ),
        ]
        m.submodules.transposer = Gated(
            transposer, enable=transposer.busy | (words.valid & to_block), rests=True
        )

    def _elaborate_command(self, m: Module, control: CommandKeeper, runs: LayoutRuns) -> None:
        """Commands in; a halted unit drops them."""
        command = view(self.control.command.payload, Opcode.LAYOUT)
        m.d.comb += [
            runs.command.valid.eq(self.control.command.valid),
            runs.command.payload.eq(self.control.command.payload),
            self.control.command.ready.eq(runs.command.ready | control.stop),
            control.started.eq(runs.started & ~runs.illegal),
            *(control.header[name].eq(command[name]) for name in Completion.as_shape().members),
            runs.may_start.eq(control.may_start),
            runs.stop.eq(control.stop),
            control.halt.eq(self.control.halt),
            control.opcode.eq(Opcode.LAYOUT),
            control.fault_opcode.eq(Opcode.LAYOUT),
            self.control.idle.eq(control.idle),
            self.control.trap.eq(control.trap),
            self.control.status.eq(control.status),
        ]
        tag = command.tag
        with m.If(runs.illegal):
            m.d.comb += [
                control.fault.valid.eq(1),
                control.fault.cause.eq(Trap.ILLEGAL_FIELD),
                control.fault.tag.eq(tag),
                control.fault.info.eq(runs.illegal_bit),
            ]
        with m.Elif(runs.outside):
            m.d.comb += [
                control.fault.valid.eq(1),
                control.fault.cause.eq(Trap.LS_RANGE),
                control.fault.tag.eq(runs.outside_tag),
                control.fault.info.eq(runs.outside_cb),
            ]

    def _elaborate_state(
        self,
        m: Module,
        control: CommandKeeper,
        runs: LayoutRuns,
        fetcher: WordFetcher,
        sender: WordSender,
        reporters: tuple[StepReporter, StepReporter],
    ) -> None:
        """Faults of words, what is in flight, what triage shows."""
        word = fetcher.words.payload
        with m.If(fetcher.words.valid & word.bad):  # the oldest command's: it goes before others
            m.d.comb += [
                control.fault.valid.eq(1),
                control.fault.cause.eq(Trap.LS_PARITY),
                control.fault.tag.eq(word.note.tag),
                control.fault.info.eq(Cat(Const(0, self.geometry.word_log2), word.address)),
            ]
        reports = reporters[0].pending | reporters[1].pending
        # The sender's is a register of its own, as it is far away.
        stopping = control.stop & ~sender.stop
        m.d.comb += [
            fetcher.stop.eq(control.stop),
            fetcher.step_room.eq(reporters[0].room),
            sender.step_room.eq(reporters[1].room),
            control.ends.eq(sender.ends),
            control.step_done.eq(reporters[0].step.valid | reporters[1].step.valid),
            control.transfers.eq(fetcher.moving | sender.moving | reports | stopping),
            control.progress.moves.eq(sender.sent),
            control.progress.lacks_ls.eq(fetcher.blocked | sender.blocked),
            control.progress.lacks_dpe.eq(sender.waits_for_dpe),
            control.progress.lacks_room.eq(runs.waits_for_room),
            control.progress.lacks_data.eq(runs.waits_for_data),
            control.tag.eq(runs.tag),
            control.cb.eq(Mux(runs.waits_for_room, runs.target_cb, runs.source_cb)),
            self.event_words.eq(sender.sent),
            # Reads are of a command that runs.
            self.awake.eq(control.running | reports | stopping),
        ]
        m.d.sync += sender.stop.eq(control.stop)
