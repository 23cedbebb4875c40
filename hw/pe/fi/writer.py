# SPDX-License-Identifier: Apache-2.0
"""The way out: an engine that writes local memory into memory, or adds it to what is there."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.csr import N_RANGES
from hw.arch.traps import Trap
from hw.iface.limits import AddressRange, RateLimit
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.iface.pe import CbPort, CbRole, LsReadPort, UnitControl
from hw.lib.address_generator import StepReporter
from hw.lib.elastic import PipeStage
from hw.pe.fi.adder import LineAdder
from hw.pe.fi.assembler import LineAssembler, assembled_layout
from hw.pe.fi.control import EngineControl, fault_layout
from hw.pe.fi.fetcher import N_READ_SLOTS, LineFetcher
from hw.pe.fi.front import connect_runs, elaborate_faults, refusal
from hw.pe.fi.geometry import FiGeometry, LineKind
from hw.pe.fi.guard import RangeGuard
from hw.pe.fi.runs import RunSource
from hw.pe.fi.shaper import Shaper
from hw.pe.fi.splitter import LineSplitter
from hw.pe.fi.tag_pool import TagPool
from hw.pe.fi.tracker import LineTracker

__all__ = ["FabricWriter"]

_TRACKED_BITS = 16
"""Low bits of a line's number by which lines are told apart; lines that share them are rare."""


class FabricWriter(wiring.Component):
    """Writes runs of local memory into memory, many lines at a time.

    Operation
        1. Steps are read when their data is committed, and released when read.
        2. Lines are sent in order under tags; a command is complete when all are acknowledged.
        3. A line of SCATTER waits while the same line of memory is being written, or one that is a
           multiple of 2^16 lines away. So rows that meet are stored, or added, in the order of the
           list.
        4. Wrong parity of a byte in use traps LS_PARITY (info: byte address in local memory of the
           line's first word), a refused access MEMORY_ERROR, a line to add to that holds an
           uncorrectable error MEMORY_POISON, a line outside of `ranges` MEMORY_RANGE (info:
           address), a run that must not be moved as `RunSource` says.

    Timing
        Lines of a run, plus one cycle if its first line touches three local-memory words; a run
        whose word offset in local memory is 0 never does. At most writes_in_flight / (L + 5) lines
        per cycle, where L is the number of cycles from a request to its acknowledgement. Lines
        that are added: writes_in_flight / (R + L + 11), with R from a read to its answer; one after
        another to the same line every R + L + 10 cycles.

    Parameters
    ----------
    geometry : sizes.
    writes_in_flight : writes at a time.
    with_add : SCATTER may add; without, nothing is read here.

    Members
    -------
    control : Out(UnitControl()), commands.
    cb : Out(CbPort()), circular-buffer table.
    index_cb, index_ls : Out, of index lists.
    ranges : In(ArrayLayout(AddressRange, N_RANGES)), what may be touched. rate : In(RateLimit).
    memory : Out(MemoryWritePort(...)), the port.
    memory_read : Out(MemoryReadPort(...)), lines to add to, with `with_add`; the reader's guest.
    ls : Out(LsReadPort(...)).array(2), local-memory slots.
    write_line : Out(1), event: a line was sent.
    write_bytes : Out(range(link_bytes + 1)), event: so many useful bytes were sent.
    """

    def __init__(self, *, geometry: FiGeometry, writes_in_flight: int, with_add: bool) -> None:
        self.geometry = geometry
        self.n_tags = writes_in_flight
        self.with_add = with_add
        self.pool = TagPool(n_tags=writes_in_flight, n_queues=1, entry=1)
        self.source = RunSource(
            geometry=geometry,
            opcode=Opcode.DMA_OUT,
            indexed_opcode=Opcode.SCATTER,
            with_add=with_add,
        )
        port = {
            "link_bytes": geometry.link_bytes,
            "tag_width": (writes_in_flight - 1).bit_length(),
        }
        slot = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        super().__init__(
            {
                "control": Out(UnitControl()),
                "cb": Out(CbPort()),
                "index_cb": self.source.signature.members["index_cb"],
                "index_ls": self.source.signature.members["index_ls"],
                "ranges": In(data.ArrayLayout(AddressRange, N_RANGES)),
                "rate": In(RateLimit),
                "memory": Out(MemoryWritePort(**port)),
                **({"memory_read": Out(MemoryReadPort(**port))} if with_add else {}),
                "ls": Out(slot).array(N_READ_SLOTS),
                "write_line": Out(1),
                "write_bytes": Out(range(geometry.link_bytes + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        m.submodules.source = source = self.source
        m.submodules.splitter = splitter = LineSplitter(geometry=geometry)
        m.submodules.guard = guard = RangeGuard(geometry=geometry, writes=True)
        m.submodules.fetcher = fetcher = LineFetcher(geometry=geometry)
        m.submodules.assembler = assembler = LineAssembler(geometry=geometry)
        m.submodules.assembled = assembled = PipeStage(shape=assembled_layout(geometry))
        m.submodules.reporter = reporter = StepReporter(role=CbRole.CONSUMER)
        m.submodules.engine = engine = EngineControl(
            opcode=Opcode.DMA_OUT, indexed_opcode=Opcode.SCATTER
        )
        m.submodules.pool = pool = self.pool
        for inner, outer in (
            (source.command, self.control.command),
            (source.acquire, self.cb.acquire),
            (source.grant, self.cb.grant),
            (source.index_cb, self.index_cb),
            (source.index_ls, self.index_ls),
            (engine.completion, self.control.completion),
            *zip(fetcher.ls, self.ls, strict=True),
        ):
            wiring.connect(m, inner, wiring.flipped(outer))
        wiring.connect(m, splitter.lines, guard.i)
        wiring.connect(m, guard.o, fetcher.lines)
        wiring.connect(m, fetcher.beats, assembler.beats)
        wiring.connect(m, assembler.lines, assembled.i)
        for index in range(N_READ_SLOTS):
            wiring.connect(m, fetcher.words[index], assembler.words[index])

        stop, fetched = engine.stop, fetcher.lines.payload
        connect_runs(m, source, splitter)
        m.d.comb += [
            guard.ranges.eq(self.ranges),
            fetcher.stop.eq(stop),
            fetcher.hold.eq(~reporter.step.ready),
            reporter.step.payload.cb.eq(fetched.cb),
            reporter.step.payload.advance.eq(fetched.advance),
            reporter.step.valid.eq(fetcher.taken & fetched.step_end),
            # Told to the table when its words are granted.
            fetcher.mark.eq(fetched.step_end & (fetched.advance != 0)),
            self.cb.done.payload.eq(reporter.done.payload),
            self.cb.done.valid.eq(reporter.done.valid & fetcher.granted),
            reporter.done.ready.eq(self.cb.done.ready & fetcher.granted),
            fetcher.forget.eq(self.cb.done.valid & self.cb.done.ready),
            pool.retired[0].ready.eq(1),
        ]
        self._elaborate_engine(m, engine, source, fetcher, reporter)
        adder = self._elaborate_adder(m) if self.with_add else None
        self._elaborate_requests(m, engine, assembled, adder)
        failures = self._elaborate_answers(m, engine, assembled.o, adder)
        refused = Signal(fault_layout())
        m.d.comb += [
            refused[name].eq(value) for name, value in refusal(guard.o.payload, geometry).items()
        ]
        failures.append((guard.refused & ~stop, refused))
        elaborate_faults(m, engine, source, failures=failures)
        return m

    def _elaborate_engine(
        self,
        m: Module,
        engine: EngineControl,
        source: RunSource,
        fetcher: LineFetcher,
        reporter: StepReporter,
    ) -> None:
        """What the command processor is told."""
        pool = self.pool
        m.d.comb += [
            source.may_start.eq(engine.may_start),
            source.stop.eq(engine.stop),
            engine.halt.eq(self.control.halt),
            engine.started.eq(source.started),
            engine.header.eq(source.header),
            engine.ends.eq(pool.retired[0].valid & pool.retired[0].payload),
            engine.step_done.eq(reporter.step.valid),
            engine.transfers.eq(
                pool.in_flight.any()
                | fetcher.moving
                | (reporter.pending & fetcher.granted)
                | source.index_moving
            ),
            engine.runs_left.eq(source.busy),
            engine.cb.eq(source.cb),
            engine.tag.eq(source.tag),
            engine.indexed.eq(source.indexed),
            self.control.idle.eq(engine.idle),
            self.control.trap.eq(engine.trap),
            self.control.status.eq(engine.status),
            engine.progress.lacks_ls.eq(fetcher.blocked),
            engine.progress.lacks_index.eq(source.index_waiting),
            engine.progress.lacks_cb.eq(source.waiting),
        ]

    def _elaborate_adder(self, m: Module) -> LineAdder:
        m.submodules.adder = adder = LineAdder(geometry=self.geometry, n_tags=self.n_tags)
        wiring.connect(m, adder.memory, wiring.flipped(self.memory_read))
        return adder

    def _elaborate_requests(
        self, m: Module, engine: EngineControl, assembled: PipeStage, adder: LineAdder | None
    ) -> None:
        """Assembled lines take tags; they are written, or read first and written as sums."""
        geometry, pool, lines = self.geometry, self.pool, assembled.o
        m.submodules.request = stage = PipeStage(shape=self.memory.request.payload.shape())
        m.submodules.shaper = shaper = Shaper(line_bytes=geometry.link_bytes)
        m.submodules.tracker = tracker = LineTracker(n_tags=self.n_tags, line_width=_TRACKED_BITS)
        wiring.connect(m, stage.o, wiring.flipped(self.memory.request))
        item = lines.payload
        place, kind = item.line.place, item.line.kind
        may_go, room, line_goes = Signal(), Signal(), Signal()
        adds, add_goes, sum_waits, sum_goes = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            may_go.eq(
                lines.valid
                & ~item.bad
                & pool.available
                & ~engine.stop
                & ~(tracker.conflict & (kind != LineKind.PLAIN))
            ),
            room.eq(stage.i.ready & shaper.may_go & ~engine.stop),
            line_goes.eq(may_go & ~adds & room & ~sum_waits),
            pool.take.eq(line_goes | add_goes),
            lines.ready.eq(pool.take),
            pool.entry.eq(item.line.command_end),
            tracker.upcoming.eq(assembled.i.payload.line.place.line[:_TRACKED_BITS]),
            tracker.looks.eq(assembled.i.valid & assembled.i.ready),
            tracker.line.eq(place.line[:_TRACKED_BITS]),
            tracker.enter.eq(pool.take),
            tracker.tag.eq(pool.tag),
            tracker.leave.eq(pool.answered),
            tracker.left_tag.eq(pool.answered_tag),
            shaper.limit.eq(self.rate),
            shaper.went.eq(stage.i.valid & stage.i.ready),
            stage.i.valid.eq(line_goes | sum_goes),
            stage.i.payload.address.eq(Cat(Const(0, geometry.link_log2), place.line)),
            stage.i.payload.data.eq(item.data),
            stage.i.payload.strobe.eq(item.strobe),
            stage.i.payload.tag.eq(pool.tag),
            self.write_line.eq(shaper.went),
            self.write_bytes.eq(Mux(line_goes, place.end - place.first, 0)),
            engine.progress.moves.eq(pool.take | sum_goes),
            engine.progress.lacks_tag.eq(lines.valid & ~pool.available),
            engine.progress.lacks_memory.eq((stage.o.valid & ~stage.o.ready) | lines.valid),
        ]
        if adder is None:
            return
        sums = adder.sums
        m.d.comb += [
            adds.eq((kind == LineKind.ADD_INT) | (kind == LineKind.ADD_FP)),
            adder.lines.valid.eq(may_go & adds),
            adder.lines.payload.eq(item),
            adder.tag.eq(pool.tag),
            add_goes.eq(adder.lines.valid & adder.lines.ready),
            sum_waits.eq(sums.valid),
            sum_goes.eq(sums.valid & room),
        ]
        with m.If(sums.valid):
            m.d.comb += [stage.i.payload[name].eq(sums.payload[name]) for name in ("data", "tag")]
            m.d.comb += [
                stage.i.payload.address.eq(Cat(Const(0, geometry.link_log2), sums.payload.line)),
                stage.i.payload.strobe.eq(sums.payload.strobe),
            ]
        with m.If(sum_goes):
            m.d.comb += self.write_bytes.eq(sums.payload.n_bytes)

    def _elaborate_answers(
        self, m: Module, engine: EngineControl, lines: stream.Interface, adder: LineAdder | None
    ) -> list[tuple[Signal, data.View]]:
        """Acknowledgements, sums that are dropped, and what of it is a failure."""
        geometry, pool = self.geometry, self.pool
        noted = data.StructLayout({"line": geometry.line_address_width, "tag": 16, "indexed": 1})
        m.submodules.notes = notes = memory.Memory(shape=noted.size, depth=self.n_tags, init=[])
        write, read = notes.write_port(), notes.read_port(domain="comb")
        note = data.View(noted, read.data)
        item, response = lines.payload, self.memory.response
        answered, answer = Signal(), Signal(response.payload.shape())  # a cycle later
        m.d.sync += [answered.eq(response.valid), answer.eq(response.payload)]
        indexed = item.line.kind != LineKind.PLAIN
        refused, bad = Signal(fault_layout()), Signal(fault_layout())
        m.d.comb += [
            write.en.eq(pool.take),
            write.addr.eq(pool.tag),
            write.data.eq(Cat(item.line.place.line, item.line.tag, indexed)),
            read.addr.eq(answer.tag),
            response.ready.eq(1),
            pool.answered.eq(answered),
            pool.answered_tag.eq(answer.tag),
            refused.cause.eq(Trap.MEMORY_ERROR),
            refused.indexed.eq(note.indexed),
            refused.tag.eq(note.tag),
            refused.info.eq(note.line << geometry.link_log2),
            bad.cause.eq(Trap.LS_PARITY),
            bad.indexed.eq(indexed),
            bad.tag.eq(item.line.tag),
            bad.info.eq(item.line.place.words[0] << geometry.word_log2),
        ]
        failures = [
            (answered & answer.error, refused),
            (lines.valid & item.bad & ~engine.stop, bad),
        ]
        if adder is None:
            return failures
        sums = adder.sums
        m.d.comb += sums.ready.eq(Mux(engine.stop, ~answered, self.write_line))
        # A sum that may not be sent any more gives its tag back in a cycle without an answer.
        with m.If(~answered):
            m.d.comb += [
                pool.answered.eq(sums.valid & engine.stop),
                pool.answered_tag.eq(sums.payload.tag),
            ]
        return [failures[0], (adder.failed, adder.failure), *failures[1:]]
