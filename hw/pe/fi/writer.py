# SPDX-License-Identifier: Apache-2.0
"""The way out: an engine that writes local memory into memory."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.traps import Trap
from hw.iface.memory import MemoryWritePort
from hw.iface.pe import CbPort, CbRole, LsReadPort, UnitControl
from hw.lib.address_generator import StepReporter
from hw.lib.elastic import PipeStage
from hw.pe.fi.control import EngineControl
from hw.pe.fi.fetcher import N_READ_SLOTS, LineFetcher, beat_layout
from hw.pe.fi.geometry import FiGeometry
from hw.pe.fi.lanes import below, merge, rotate_up, spread
from hw.pe.fi.runs import LineSplitter, RunSource
from hw.pe.fi.tag_pool import TagPool

__all__ = ["FabricWriter", "LineAssembler", "assembled_layout"]


def assembled_layout(geometry: FiGeometry) -> data.StructLayout:
    """A line to write."""
    return data.StructLayout(
        {
            "line": geometry.line_layout,
            "data": 8 * geometry.link_bytes,
            "strobe": geometry.link_bytes,
            "bad": 1,  # a byte in use has wrong parity
        }
    )


class LineAssembler(wiring.Component):
    """Turns words into lines: rotates them to the line's lanes and joins neighbours.

    Operation
        Keeps the last word it took, since the next line of the run may begin in it.

    Timing
        A beat per cycle. Combinational paths from `beats` and `words` to `lines`, and from
        `lines.ready` to `beats.ready` and `words.ready`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    beats : In(stream.Signature(beat_layout(geometry))), what to do.
    words : In(stream.Signature(...)).array(2), words with error bits, first one in `words[0]`.
    lines : Out(stream.Signature(assembled_layout(geometry))), lines to write.
    """

    def __init__(self, *, geometry: FiGeometry) -> None:
        self.geometry = geometry
        word = data.StructLayout({"data": 8 * geometry.word_bytes, "error": geometry.word_bytes})
        super().__init__(
            {
                "beats": In(stream.Signature(beat_layout(geometry))),
                "words": In(stream.Signature(word)).array(N_READ_SLOTS),
                "lines": Out(stream.Signature(assembled_layout(geometry))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        beat, out = self.beats.payload, self.lines.payload
        place = beat.line.place
        complete = Signal()  # the beat has its words
        m.d.comb += [
            complete.eq(
                self.beats.valid
                & ((beat.n_new < 1) | self.words[0].valid)
                & ((beat.n_new < 2) | self.words[1].valid)
            ),
            self.lines.valid.eq(complete & beat.emit),
            self.beats.ready.eq(complete & (self.lines.ready | ~beat.emit)),
            self.words[0].ready.eq(self.beats.ready & (beat.n_new >= 1)),
            self.words[1].ready.eq(self.beats.ready & (beat.n_new >= 2)),
            out.line.eq(beat.line),
        ]
        new, new_errors = self._elaborate_rotation(m, place)
        kept, kept_errors = Signal.like(new[0]), Signal.like(new_errors[0])
        with m.If(self.beats.ready & (beat.n_new != 0)):
            m.d.sync += [
                kept.eq(Mux(beat.n_new == 2, new[1], new[0])),
                kept_errors.eq(Mux(beat.n_new == 2, new_errors[1], new_errors[0])),
            ]

        n_own = self.geometry.word_bytes - place.rotation  # lanes before the next piece begins
        own = Signal(self.geometry.word_bytes)
        errors = Signal(self.geometry.link_bytes)
        link_bytes = self.geometry.link_bytes
        m.d.comb += own.eq(below(n_own, self.geometry.word_bytes))
        pieces = _window(beat.skip, kept, new)
        faults = _window(beat.skip, kept_errors, new_errors)
        mask = spread(m, own, name="own")
        m.d.comb += [
            out.data.eq(
                Cat(
                    merge(m, mask, pieces[0], pieces[1], name="low"),
                    merge(m, mask, pieces[1], pieces[2], name="high"),
                )
            ),
            errors.eq(
                Cat((faults[0] & own) | (faults[1] & ~own), (faults[1] & own) | (faults[2] & ~own))
            ),
            out.strobe.eq(below(place.end, link_bytes) & ~below(place.first, link_bytes)),
            out.bad.eq((errors & out.strobe).any()),
        ]
        return m

    def _elaborate_rotation(self, m: Module, place: data.View) -> tuple[list, list]:
        """The new words, and their error bits, in the line's lanes."""
        words, errors = [], []
        back = Signal.like(place.rotation)
        m.d.comb += back.eq(-place.rotation)
        for index, word in enumerate(self.words):
            turned = Signal(8 * self.geometry.word_bytes, name=f"word{index}")
            marks = Signal(self.geometry.word_bytes, name=f"errors{index}")
            error = word.payload.error
            m.d.comb += [
                turned.eq(rotate_up(m, word.payload.data, back, name=f"turned{index}")),
                marks.eq(Cat(error, error) >> place.rotation),
            ]
            words.append(turned)
            errors.append(marks)
        return words, errors


class FabricWriter(wiring.Component):
    """Writes runs of local memory into memory, many lines at a time.

    Operation
        1. Steps are read when their data is committed, and released when read.
        2. Lines are sent in order under tags; a command is complete when all are acknowledged.
        3. Wrong parity of a byte in use traps LS_PARITY (info: byte address in local memory of the
           line's first word), a refused write MEMORY_ERROR (info: address), a run outside of local
           memory LS_RANGE (info: circular buffer).

    Timing
        Lines of a run, plus one cycle if its first line touches three local-memory words; a run
        whose word offset in local memory is 0 never does. At most writes_in_flight / (L + 4) lines
        per cycle, where L is the number of cycles from a request to its acknowledgement.

    Parameters
    ----------
    geometry : sizes.
    writes_in_flight : writes at a time.

    Members
    -------
    control : Out(UnitControl()), commands.
    cb : Out(CbPort()), circular-buffer table.
    memory : Out(MemoryWritePort(...)), the port.
    ls : Out(LsReadPort(...)).array(2), local-memory slots.
    write_line : Out(1), event: a line was sent.
    write_bytes : Out(range(link_bytes + 1)), event: so many useful bytes were sent.
    """

    def __init__(self, *, geometry: FiGeometry, writes_in_flight: int) -> None:
        self.geometry = geometry
        self.n_tags = writes_in_flight
        self.pool = TagPool(n_tags=writes_in_flight, n_queues=1, entry=1)
        port = MemoryWritePort(
            link_bytes=geometry.link_bytes, tag_width=(writes_in_flight - 1).bit_length()
        )
        slot = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        super().__init__(
            {
                "control": Out(UnitControl()),
                "cb": Out(CbPort()),
                "memory": Out(port),
                "ls": Out(slot).array(N_READ_SLOTS),
                "write_line": Out(1),
                "write_bytes": Out(range(geometry.link_bytes + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        m.submodules.source = source = RunSource(geometry=geometry, opcode=Opcode.DMA_OUT)
        m.submodules.splitter = splitter = LineSplitter(geometry=geometry)
        m.submodules.lines = lines = PipeStage(shape=geometry.line_layout)
        m.submodules.fetcher = fetcher = LineFetcher(geometry=geometry)
        m.submodules.assembler = assembler = LineAssembler(geometry=geometry)
        m.submodules.reporter = reporter = StepReporter(role=CbRole.CONSUMER)
        m.submodules.engine = engine = EngineControl(opcode=Opcode.DMA_OUT)
        m.submodules.pool = pool = self.pool
        wiring.connect(m, source.command, wiring.flipped(self.control.command))
        wiring.connect(m, source.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, source.grant, wiring.flipped(self.cb.grant))
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))
        wiring.connect(m, engine.completion, wiring.flipped(self.control.completion))
        wiring.connect(m, splitter.lines, lines.i)
        wiring.connect(m, lines.o, fetcher.lines)
        wiring.connect(m, fetcher.beats, assembler.beats)
        for index in range(N_READ_SLOTS):
            wiring.connect(m, fetcher.ls[index], wiring.flipped(self.ls[index]))
            wiring.connect(m, fetcher.words[index], assembler.words[index])

        run, stop, fetched = source.runs, engine.stop, fetcher.lines.payload
        outside = run.valid & run.payload.outside & ~stop
        m.d.comb += [
            # A run out of bounds stays where it is: the engine stops.
            splitter.runs.payload.eq(run.payload),
            splitter.runs.valid.eq(run.valid & ~run.payload.outside & ~stop),
            run.ready.eq(splitter.runs.ready & ~run.payload.outside & ~stop),
            fetcher.hold.eq(stop | ~reporter.step.ready),
            reporter.step.payload.cb.eq(fetched.cb),
            reporter.step.payload.advance.eq(fetched.advance),
            reporter.step.valid.eq(fetcher.fetched & fetched.step_end & ~stop),
            source.may_start.eq(engine.may_start),
            source.stop.eq(stop),
            engine.halt.eq(self.control.halt),
            engine.started.eq(source.started),
            engine.header.eq(source.header),
            pool.retired[0].ready.eq(1),
            engine.ends.eq(pool.retired[0].valid & pool.retired[0].payload),
            engine.step_done.eq(reporter.step.valid),
            engine.transfers.eq(pool.in_flight.any() | fetcher.moving | reporter.pending),
            engine.runs_left.eq(source.busy),
            engine.cb.eq(source.cb),
            engine.tag.eq(source.tag),
            self.control.idle.eq(engine.idle),
            self.control.trap.eq(engine.trap),
            self.control.status.eq(engine.status),
            engine.progress.lacks_ls.eq(fetcher.blocked),
            engine.progress.lacks_cb.eq(source.waiting),
        ]
        self._elaborate_requests(m, engine, pool, assembler)
        self._elaborate_faults(m, engine, pool, assembler, run.payload, outside)
        return m

    def _elaborate_requests(
        self, m: Module, engine: EngineControl, pool: TagPool, assembler: LineAssembler
    ) -> None:
        """Send assembled lines under tags."""
        m.submodules.request = stage = PipeStage(shape=self.memory.request.payload.shape())
        wiring.connect(m, stage.o, wiring.flipped(self.memory.request))
        lines, item = assembler.lines, assembler.lines.payload
        place = item.line.place
        goes = Signal()
        m.d.comb += [
            goes.eq(lines.valid & ~item.bad & pool.available & stage.i.ready & ~engine.stop),
            lines.ready.eq(goes),
            pool.take.eq(goes),
            pool.entry.eq(item.line.command_end),
            stage.i.valid.eq(goes),
            stage.i.payload.address.eq(Cat(Const(0, self.geometry.link_log2), place.line)),
            stage.i.payload.data.eq(item.data),
            stage.i.payload.strobe.eq(item.strobe),
            stage.i.payload.tag.eq(pool.tag),
            self.write_line.eq(goes),
            self.write_bytes.eq(Mux(goes, place.end - place.first, 0)),
            engine.progress.moves.eq(goes),
            engine.progress.lacks_tag.eq(lines.valid & ~pool.available),
            engine.progress.lacks_memory.eq(stage.o.valid & ~stage.o.ready),
        ]

    def _elaborate_faults(
        self,
        m: Module,
        engine: EngineControl,
        pool: TagPool,
        assembler: LineAssembler,
        run: data.View,
        outside: Value,
    ) -> None:
        """Acknowledgements, and everything that stops the engine."""
        geometry = self.geometry
        noted = data.StructLayout({"line": geometry.line_address_width, "tag": 16})
        m.submodules.notes = notes = memory.Memory(shape=noted.size, depth=self.n_tags, init=[])
        write, read = notes.write_port(), notes.read_port(domain="comb")
        note = data.View(noted, read.data)
        item, answer = assembler.lines.payload, self.memory.response
        m.d.comb += [
            write.en.eq(pool.take),
            write.addr.eq(pool.tag),
            write.data.eq(Cat(item.line.place.line, item.line.tag)),
            read.addr.eq(answer.payload.tag),
            answer.ready.eq(1),
            pool.answered.eq(answer.valid),
            pool.answered_tag.eq(answer.payload.tag),
        ]
        refused = answer.valid & answer.payload.error
        bad = assembler.lines.valid & item.bad & ~engine.stop
        m.d.comb += engine.fault_valid.eq(refused | bad | outside)
        with m.If(refused):
            m.d.comb += [
                engine.fault.cause.eq(Trap.MEMORY_ERROR),
                engine.fault.tag.eq(note.tag),
                engine.fault.info.eq(note.line << geometry.link_log2),
            ]
        with m.Elif(bad):
            m.d.comb += [
                engine.fault.cause.eq(Trap.LS_PARITY),
                engine.fault.tag.eq(item.line.tag),
                engine.fault.info.eq(item.line.place.words[0] << geometry.word_log2),
            ]
        with m.Else():
            m.d.comb += [
                engine.fault.cause.eq(Trap.LS_RANGE),
                engine.fault.tag.eq(run.tag),
                engine.fault.info.eq(run.cb),
            ]


def _window(skip: Value, kept: Value, new: list[Value]) -> list[Value]:
    """The three pieces of a line's window, when the first new word is piece `skip`."""
    return [
        Mux(skip == 0, new[0], kept),
        Mux(skip == 0, new[1], new[0]),
        Mux(skip == 2, new[0], new[1]),
    ]
