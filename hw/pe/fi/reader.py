# SPDX-License-Identifier: Apache-2.0
"""The way in: two engines that read memory into local memory over one port."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.csr import N_RANGES
from hw.iface.limits import AddressRange, RateLimit
from hw.iface.memory import MemoryReadPort
from hw.iface.multicast import groups_layout
from hw.iface.pe import CbPort, CbRole, LsWritePort, UnitControl
from hw.lib.address_generator import StepReporter
from hw.lib.arbiter import RoundRobin
from hw.lib.elastic import PipeStage
from hw.pe.fi.control import EngineControl, fault_layout
from hw.pe.fi.front import connect_runs, elaborate_faults, refusal
from hw.pe.fi.geometry import FiGeometry, LineKind
from hw.pe.fi.guard import RangeGuard
from hw.pe.fi.lander import N_WRITE_SLOTS, Lander
from hw.pe.fi.room import SharedRoom
from hw.pe.fi.runs import RunSource
from hw.pe.fi.shaper import Shaper
from hw.pe.fi.splitter import LineSplitter
from hw.pe.fi.tag_pool import TagPool

__all__ = ["N_ENGINES", "FabricReader", "ReadEngine", "retire_layout"]

N_ENGINES = 2
"""Engines that read: one for the row, one for the column."""


def retire_layout() -> data.StructLayout:
    """What is left to do when a line has landed."""
    return data.StructLayout({"cb": 6, "advance": 16, "step_end": 1, "command_end": 1})


class ReadEngine(wiring.Component):
    """One landing port: turns commands into lines to read, and commits what landed.

    Operation
        1. Lines of a command leave in order, those of a step when its room is reserved.
        2. They come back in order on `landed`; a step's last one reports the step to the CB table,
           a command's last one completes it.
        3. A run that must not be moved traps as `RunSource` says; `failed` lines trap as told.

    Timing
        A line per cycle, see `RunSource` and `LineSplitter`.

    Parameters
    ----------
    geometry : sizes.
    gathers : whether it takes GATHER too.

    Members
    -------
    control : Out(UnitControl()), from and to the command processor.
    cb : Out(CbPort()), circular-buffer table.
    index_cb, index_ls : Out, of index lists; with `gathers` only.
    member_of : In(N_GROUPS), groups of its lane that the element belongs to; with
        `geometry.sharing` only.
    lines : Out(stream.Signature(geometry.line_layout)), lines to read; while `stop` to be dropped.
    landed : In(stream.Signature(retire_layout())), lines that landed, in order.
    stop : Out(1), its lines are not to be sent any more.
    failed : In(1), a line of this engine failed.
    failure : In(fault_layout()), how.
    transfers : In(1), lines are in flight.
    lacks_tag, lacks_memory : In(1), a line of this engine waits for a tag; for anything.
    ls_blocked : In(1), local memory keeps landing words waiting.
    """

    def __init__(self, *, geometry: FiGeometry, gathers: bool) -> None:
        self.geometry = geometry
        self.gathers = gathers
        self.source = RunSource(
            geometry=geometry,
            opcode=Opcode.DMA_IN,
            indexed_opcode=Opcode.GATHER if gathers else None,
        )
        names = ("index_cb", "index_ls") if gathers else ()
        names += ("member_of",) if geometry.sharing else ()
        super().__init__(
            {
                "control": Out(UnitControl()),
                "cb": Out(CbPort()),
                **{name: self.source.signature.members[name] for name in names},
                "lines": Out(stream.Signature(geometry.line_layout)),
                "landed": In(stream.Signature(retire_layout())),
                "stop": Out(1),
                "failed": In(1),
                "failure": In(fault_layout()),
                "transfers": In(1),
                "lacks_tag": In(1),
                "lacks_memory": In(1),
                "ls_blocked": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.source = source = self.source
        m.submodules.splitter = splitter = LineSplitter(geometry=self.geometry)
        m.submodules.reporter = reporter = StepReporter(role=CbRole.PRODUCER)
        m.submodules.engine = engine = EngineControl(
            opcode=Opcode.DMA_IN, indexed_opcode=Opcode.GATHER
        )
        if self.gathers:
            wiring.connect(m, source.index_cb, wiring.flipped(self.index_cb))
            wiring.connect(m, source.index_ls, wiring.flipped(self.index_ls))
        if self.geometry.sharing:
            m.d.comb += source.member_of.eq(self.member_of)
        wiring.connect(m, source.command, wiring.flipped(self.control.command))
        wiring.connect(m, source.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, source.grant, wiring.flipped(self.cb.grant))
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))
        wiring.connect(m, engine.completion, wiring.flipped(self.control.completion))

        landed, stop = self.landed.payload, engine.stop
        retires = self.landed.valid & self.landed.ready
        connect_runs(m, source, splitter)
        m.d.comb += [
            self.stop.eq(stop),
            self.lines.payload.eq(splitter.lines.payload),
            self.lines.payload.engine.eq(not self.gathers),
            self.lines.valid.eq(splitter.lines.valid),
            splitter.lines.ready.eq(self.lines.ready),
            reporter.step.payload.cb.eq(landed.cb),
            reporter.step.payload.advance.eq(landed.advance),
            reporter.step.valid.eq(self.landed.valid & landed.step_end & ~stop),
            self.landed.ready.eq(reporter.step.ready),
            source.may_start.eq(engine.may_start),
            source.stop.eq(stop),
            engine.halt.eq(self.control.halt),
            engine.started.eq(source.started),
            engine.header.eq(source.header),
            engine.ends.eq(retires & landed.command_end),
            engine.step_done.eq(retires & landed.step_end),
            engine.transfers.eq(self.transfers | reporter.pending | source.index_moving),
            engine.runs_left.eq(source.busy),
            engine.cb.eq(source.cb),
            engine.tag.eq(source.tag),
            engine.indexed.eq(source.indexed),
            self.control.idle.eq(engine.idle),
            self.control.trap.eq(engine.trap),
            self.control.status.eq(engine.status),
            engine.progress.moves.eq(self.lines.valid & self.lines.ready),
            engine.progress.lacks_tag.eq(self.lacks_tag),
            engine.progress.lacks_ls.eq(self.ls_blocked),
            engine.progress.lacks_index.eq(source.index_waiting),
            engine.progress.lacks_cb.eq(source.waiting),
            engine.progress.lacks_memory.eq(self.lines.valid | self.lacks_memory),
        ]
        elaborate_faults(
            m,
            engine,
            source,
            failures=[(self.failed, self.failure)],
        )
        return m


class FabricReader(wiring.Component):
    """Reads for two engines over one memory port, many at a time, answered in any order.

    Operation
        The engines' lines take turns, and pass the guard. Each takes a tag, under which its place
        is booked with the lander, and is sent. What landed goes back to its engine in that
        engine's order.

        With `geometry.sharing` a line may be shared by a group: then its tag is a place in its
        engine's own ring, which it gets before it takes its turn (`SharedRoom`). So lines that wait
        for other elements take no tag, and no turn, of lines that do not.

    Timing
        min(1, reads_in_flight / (L + 5)) lines per cycle, where L is the number of cycles from a
        request at the port to its answer, when local memory grants every word at once. Guests take
        turns with the engines. Shared: min(1, n_lines / (L + 6)) for each engine.

    Parameters
    ----------
    geometry : sizes.
    reads_in_flight : reads at a time.
    guest_tag_width : bits of a tag of the guest, who uses the port too.

    Members
    -------
    control_row, control_col : Out(UnitControl()), the engines' commands.
    cb_row, cb_col : Out(CbPort()), their circular-buffer ports.
    index_cb, index_ls : Out, of the row engine's index lists.
    ranges : In(ArrayLayout(AddressRange, N_RANGES)), what may be read. rate : In(RateLimit).
    groups : In(groups_layout(n_positions)), with whom reads are shared; with `geometry.sharing`.
    guest : In(MemoryReadPort(...)), somebody else's reads; `response.ready` is always high.
    memory : Out(MemoryReadPort(...)), the port.
    ls : Out(LsWritePort(...)).array(4), local-memory slots.
    read_line : Out(1), event: a line was asked for.
    read_bytes : Out(range(link_bytes + 1)), event: so many useful bytes landed.
    """

    def __init__(self, *, geometry: FiGeometry, reads_in_flight: int, guest_tag_width: int) -> None:
        self.geometry = geometry
        self.row = ReadEngine(geometry=geometry, gathers=True)
        sharing = geometry.sharing
        self.pool = TagPool(
            n_tags=reads_in_flight,
            n_queues=N_ENGINES,
            entry=retire_layout(),
            n_foreign=N_ENGINES * sharing.n_lines if sharing else 0,
        )
        # The guest's tags have one bit more, which is set.
        self.own_tag_width = max((self.pool.n_all - 1).bit_length(), guest_tag_width)
        n_positions = sharing.n_positions if sharing else 0
        port = MemoryReadPort(
            link_bytes=geometry.link_bytes,
            tag_width=self.own_tag_width + 1,
            n_positions=n_positions,
        )
        guest = MemoryReadPort(link_bytes=geometry.link_bytes, tag_width=guest_tag_width)
        slot = LsWritePort(
            address_width=geometry.word_address_width, word_bytes=geometry.word_bytes
        )
        super().__init__(
            {
                "control_row": Out(UnitControl()),
                "control_col": Out(UnitControl()),
                "cb_row": Out(CbPort()),
                "cb_col": Out(CbPort()),
                "index_cb": self.row.signature.members["index_cb"],
                "index_ls": self.row.signature.members["index_ls"],
                "ranges": In(data.ArrayLayout(AddressRange, N_RANGES)),
                "rate": In(RateLimit),
                **({"groups": In(groups_layout(n_positions))} if sharing else {}),
                "guest": In(guest),
                "memory": Out(port),
                "ls": Out(slot).array(N_WRITE_SLOTS),
                "read_line": Out(1),
                "read_bytes": Out(range(geometry.link_bytes + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.row = row = self.row
        m.submodules.col = col = ReadEngine(geometry=self.geometry, gathers=False)
        m.submodules.pool = pool = self.pool
        m.submodules.lander = lander = Lander(geometry=self.geometry, n_tags=pool.n_all)
        for engine, name in ((row, "row"), (col, "col")):
            wiring.connect(m, engine.control, wiring.flipped(getattr(self, f"control_{name}")))
            wiring.connect(m, engine.cb, wiring.flipped(getattr(self, f"cb_{name}")))
        wiring.connect(m, row.index_cb, wiring.flipped(self.index_cb))
        wiring.connect(m, row.index_ls, wiring.flipped(self.index_ls))
        for mine, outer in zip(lander.ls, self.ls, strict=True):
            wiring.connect(m, mine, wiring.flipped(outer))

        guard = self._elaborate_guard(m, (row, col), pool)
        request = self._elaborate_requests(m, guard.o, pool, lander)
        self._elaborate_answers(m, lander)
        m.d.comb += [
            self.read_line.eq(request.valid & request.ready),
            self.read_bytes.eq(lander.n_landed),
            pool.answered.eq(lander.answered),
            pool.answered_tag.eq(lander.answered_tag),
            pool.held.eq(lander.landing),
        ]
        failure = self._elaborate_failures(m, guard, lander)
        for index, engine in enumerate((row, col)):
            wiring.connect(m, pool.retired[index], engine.landed)
            refused = guard.refused & (guard.o.payload.engine == index)
            m.d.comb += [
                engine.transfers.eq(pool.in_flight[index]),
                engine.ls_blocked.eq(lander.blocked),
                # A refused line stays until its engine has stopped: it can wait for a failed one.
                engine.failed.eq(Mux(lander.fault, lander.origin.engine == index, refused)),
                engine.failure.eq(failure),
            ]
        return m

    def _elaborate_failures(self, m: Module, guard: RangeGuard, lander: Lander) -> data.View:
        """What is wrong with a line that was answered, or else with the one at the guard."""
        failure = Signal(fault_layout())
        origin = lander.origin
        answered = {
            "cause": lander.cause,
            "indexed": origin.indexed,
            "tag": origin.tag,
            "info": origin.place.line << self.geometry.link_log2,
        }
        for name, refused in refusal(guard.o.payload, self.geometry).items():
            m.d.comb += failure[name].eq(Mux(lander.fault, answered[name], refused))
        return failure

    def _elaborate_guard(
        self, m: Module, engines: tuple[ReadEngine, ...], pool: TagPool
    ) -> RangeGuard:
        """The engines' lines take turns; those of an engine that stops are dropped here."""
        m.submodules.turns = turns = RoundRobin(n_requests=len(engines))
        m.submodules.guard = guard = RangeGuard(geometry=self.geometry, writes=False)
        line = guard.o.payload
        m.d.comb += [
            guard.ranges.eq(self.ranges),
            turns.served.eq(Mux(guard.i.ready, turns.grant, 0)),
            guard.i.valid.eq(turns.requests.any()),
            guard.i.payload.eq(
                Mux(turns.grant[0], engines[0].lines.payload, engines[1].lines.payload)
            ),
            guard.drop.eq(Mux(line.engine, engines[1].stop, engines[0].stop)),
        ]
        rooms = self._elaborate_rooms(m, engines, turns, guard, pool)
        for index, (engine, room) in enumerate(zip(engines, rooms, strict=True)):
            waits = guard.o.valid & (line.engine == index)
            lacks_tag = waits & ~self._has_tag(line, pool)
            m.d.comb += [
                turns.requests[index].eq(engine.lines.valid & room),
                engine.lines.ready.eq(turns.served[index]),
                engine.lacks_tag.eq(lacks_tag | (engine.lines.valid & ~room)),
                engine.lacks_memory.eq(waits),
            ]
        return guard

    def _elaborate_rooms(
        self,
        m: Module,
        engines: tuple[ReadEngine, ...],
        turns: RoundRobin,
        guard: RangeGuard,
        pool: TagPool,
    ) -> list[Value]:
        """Whether each engine's next line has room, as far as it shares it with others."""
        sharing = self.geometry.sharing
        if sharing is None:
            return [Const(1, 1)] * len(engines)
        rooms = [SharedRoom(n_places=sharing.n_lines) for _ in engines]
        lanes = (
            (self.groups.row, self.groups.row_here),
            (self.groups.column, self.groups.column_here),
        )
        for index, (engine, room, (masks, here)) in enumerate(
            zip(engines, rooms, lanes, strict=True)
        ):
            m.submodules[f"room{index}"] = room
            line = engine.lines.payload
            m.d.comb += [
                engine.member_of.eq(Cat((mask & here).any() for mask in masks)),
                room.multicast.eq(line.multicast),
                room.group.eq(line.group),
                room.went.eq(turns.served[index]),
                room.freed.eq(pool.returned[index]),
            ]
        m.d.comb += guard.i.payload.room.eq(Mux(turns.grant[0], rooms[0].place, rooms[1].place))
        return [room.may_go for room in rooms]

    def _has_tag(self, line: data.View, pool: TagPool) -> Value:
        """Whether a line can get a tag; a shared one has its room."""
        return pool.available | line.multicast if self.geometry.sharing else pool.available

    def _elaborate_tag(self, m: Module, line: data.View, pool: TagPool) -> Value:
        """The line's tag: one of the pool's, or what its place in the engine's ring gives."""
        if self.geometry.sharing is None:
            return pool.tag
        m.d.comb += [
            pool.brings.eq(line.multicast),
            pool.brought.eq(pool.n_tags + Cat(line.room, line.engine)),
        ]
        return Mux(line.multicast, pool.brought, pool.tag)

    def _elaborate_group(self, m: Module, request: data.View, line: data.View) -> None:
        """With whom a request is shared."""
        if self.geometry.sharing is None:
            return
        rows, columns = Array(self.groups.row), Array(self.groups.column)
        m.d.comb += [
            request.multicast.eq(line.multicast),
            request.column.eq(line.engine),
            request.group.eq(line.group),
            request.mask.eq(Mux(line.engine, columns[line.group], rows[line.group])),
        ]

    def _elaborate_requests(
        self, m: Module, lines: stream.Interface, pool: TagPool, lander: Lander
    ) -> stream.Interface:
        """One line a cycle: take a tag, book the place, send the request."""
        geometry, guest, line = self.geometry, self.guest.request, lines.payload
        m.submodules.guests = turns = RoundRobin(n_requests=2)
        m.submodules.shaper = shaper = Shaper(line_bytes=geometry.link_bytes)
        m.submodules.request = stage = PipeStage(shape=self.memory.request.payload.shape())
        wiring.connect(m, stage.o, wiring.flipped(self.memory.request))
        own, goes, guest_goes = Signal(), Signal(), Signal()
        tag = self._elaborate_tag(m, line, pool)
        m.d.comb += [
            turns.requests.eq(Cat(lines.valid & self._has_tag(line, pool), guest.valid)),
            goes.eq(turns.requests.any() & shaper.may_go & stage.i.ready),
            guest_goes.eq(goes & turns.grant[1]),
            own.eq(goes & turns.grant[0]),
            turns.served.eq(Mux(goes, turns.grant, 0)),
            lines.ready.eq(own),
            guest.ready.eq(guest_goes),
            shaper.limit.eq(self.rate),
            shaper.went.eq(goes),
            pool.take.eq(own),
            pool.queue.eq(line.engine),
            *(pool.entry[name].eq(line[name]) for name in retire_layout().members),
            lander.book.eq(own),
            lander.book_tag.eq(tag),
            lander.place.place.eq(line.place),
            lander.place.engine.eq(line.engine),
            lander.place.indexed.eq(line.kind != LineKind.PLAIN),
            lander.place.tag.eq(line.tag),
            stage.i.valid.eq(goes),
            stage.i.payload.address.eq(Cat(Const(0, geometry.link_log2), line.place.line)),
            stage.i.payload.tag.eq(tag),
        ]
        self._elaborate_group(m, stage.i.payload, line)
        with m.If(turns.grant[1]):
            if geometry.sharing:
                m.d.comb += stage.i.payload.multicast.eq(0)
            m.d.comb += [
                stage.i.payload.address.eq(guest.payload.address),
                stage.i.payload.tag.eq(guest.payload.tag | 1 << self.own_tag_width),
            ]
        return stage.o

    def _elaborate_answers(self, m: Module, lander: Lander) -> None:
        """Each answer to the lander or to the guest, by its tag."""
        answer, guest = self.memory.response, self.guest.response
        for_guest = answer.payload.tag[self.own_tag_width]
        m.d.comb += [
            lander.response.valid.eq(answer.valid & ~for_guest),
            guest.valid.eq(answer.valid & for_guest),
            answer.ready.eq(for_guest | lander.response.ready),
        ]
        for port in (lander.response, guest):
            for name in ("data", "tag", "error", "poison"):
                m.d.comb += port.payload[name].eq(answer.payload[name])
