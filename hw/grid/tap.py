# SPDX-License-Identifier: Apache-2.0
"""Where one who asks for memory meets the lanes of the sides."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import DRAM, SRAM
from hw.chip.crossbar import exists, in_window
from hw.grid.geometry import GridGeometry
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.arbiter import RoundRobinArbiter
from hw.lib.elastic import PipeStage, SkidBuffer
from hw.lib.select import number_of
from hw.net.collector import line_hash
from hw.net.flits import Answer
from hw.net.fold import slice_number, slice_place
from hw.net.sides import Side, entry_side, is_of_rows

__all__ = ["Tap"]


class Tap(wiring.Component):
    """Sends accesses of one kind to the side of the memory that they mean, and sorts the answers.

    Operation: masters take turns. The address says which side is meant, or that it is an element's
    local memory; one that no memory holds is answered with an error here. Answers take turns too;
    each goes to the master that its tag names. A master has reserved room for what it asks, so
    answers always leave, and nothing here makes a request wait for an answer. (Who takes accesses
    to local memory may: its answers wait for no tap.)

    With `shares` the first master may share reads with others of its row or column. Such a read
    goes to a side of lanes that all of them have: of the row W or E, of the column N or S,
    whichever has a corner with the memory's side, if it is not itself that side. The lowest member
    sends it, and each, this one too, a note in the same cycle. Where there is no memory each member
    is refused by its own tap, without a note; local memory is not read together.

    Timing: a request is at its lane 1 cycle after it was taken, and so is a note, an answer at its
    master in the cycle in which the lane offers it; one of each per cycle. Combinational paths from
    a master's `response.ready` to its lane's, and from a lane's `ready` to its note.

    Parameters
    ----------
    geometry : the grid.
    port : `MemoryReadPort` or `MemoryWritePort`.
    tag_widths : bits of each master's tags.
    shares : whether `master0` is of elements that share reads.

    Members
    -------
    row, column : In(n_positions), one-hot, the position on lanes along a row, along a column.
    master0, ... : In(port), one for each entry of `tag_widths`.
    request : Out(stream.Signature(request flit)).array(sides).
    noted : Out(sides), note : Out(LaneShapes.note).array(sides), to the sides; with `shares`.
    answer : In(stream.Signature(answer flit)).array(sides).
    has_windows : In(1), whether elements' local memories are there.
    window_request : Out(stream.Signature(request flit)), accesses to them.
    window_answer : In(stream.Signature(answer flit)).

    Raises: ValueError when there is no master, when a tag and its master's number do not fit into a
    flit, and for a port of another kind.
    """

    latency = 1
    """Cycles that the way there adds."""

    def __init__(
        self,
        *,
        geometry: GridGeometry,
        port: type[MemoryReadPort] | type[MemoryWritePort],
        tag_widths: tuple[int, ...],
        shares: bool = False,
    ) -> None:
        self.geometry = geometry
        shapes, n_sides = geometry.shapes, len(geometry.sides)
        if port not in (MemoryReadPort, MemoryWritePort):
            raise ValueError(f"Tap port must be a memory port, not {port.__name__}.")
        if not tag_widths:
            raise ValueError("Tap needs at least one master, tag_widths is empty.")
        reads = port is MemoryReadPort
        self.request_shape = shapes.read if reads else shapes.write
        self.answer_shape = shapes.line if reads else shapes.ack
        self.shares = shares
        # Of a shared read, whether it is of the column.
        asked = {"column": 1} if shares else {}
        self._asked_shape = data.StructLayout({**self.request_shape.members, **asked})
        self.tag_bits = max(tag_widths)
        self.n_masters = len(tag_widths)
        width = self.tag_bits + (self.n_masters - 1).bit_length()
        room = self.request_shape["tag"].width
        if width > room:
            raise ValueError(f"Tap tags take {width} bits with their master, a flit has {room}.")
        ports = [port(link_bytes=geometry.link_bytes, tag_width=width) for width in tag_widths]
        notes: dict[str, Any] = {}
        if shares:
            ports[0] = MemoryReadPort(
                link_bytes=geometry.link_bytes,
                tag_width=tag_widths[0],
                n_positions=geometry.n_positions,
            )
            notes = {"noted": Out(n_sides), "note": Out(shapes.note).array(n_sides)}
        super().__init__(
            {
                "row": In(geometry.n_positions),
                "column": In(geometry.n_positions),
                **{f"master{index}": In(port) for index, port in enumerate(ports)},
                **notes,
                "request": Out(stream.Signature(self.request_shape)).array(n_sides),
                "answer": In(stream.Signature(self.answer_shape)).array(n_sides),
                "has_windows": In(1, init=1),
                "window_request": Out(stream.Signature(self.request_shape)),
                "window_answer": In(stream.Signature(self.answer_shape)),
            }
        )

    @property
    def masters(self) -> list[Any]:
        """The masters' ports."""
        return [getattr(self, f"master{index}") for index in range(self.n_masters)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.turns = turns = RoundRobinArbiter(
            shape=self._asked_shape, n_inputs=self.n_masters
        )
        m.submodules.stage = stage = SkidBuffer(shape=self._asked_shape)
        m.submodules.refusal = refusal = PipeStage(shape=self.answer_shape)
        wiring.connect(m, turns.o, stage.i)
        for index, (master, port) in enumerate(zip(self.masters, turns.i, strict=True)):
            asked = master.request
            m.d.comb += [port.valid.eq(asked.valid), asked.ready.eq(port.ready)]
            for field, _ in asked.payload.shape():
                value = asked.payload[field]
                if field == "tag":
                    value = Value.cast(value) | index << self.tag_bits
                m.d.comb += Value.cast(port.payload[field]).eq(value)
        self._elaborate_request(m, stage.o, refusal.i)
        self._elaborate_answers(m, refusal.o)
        return m

    def _elaborate_request(self, m: Module, request: Any, refusal: Any) -> None:
        """To the side that is meant, or to nobody."""
        config, asked = self.geometry.config, request.payload
        held = {
            "sram": exists(asked.address, SRAM, config.sram.size_bytes),
            "dram": exists(asked.address, DRAM, config.dram.size_bytes),
        }
        places = {
            name: slice_place(slice_number(asked.address, interleave), interleave)[0]
            for name, interleave in (("sram", self.geometry.sram), ("dram", self.geometry.dram))
        }
        somewhere, in_local, meant = Signal(), Signal(), Signal(2)
        target, sends = Signal(2), Signal()  # side, and whether a flit goes there
        m.d.comb += [
            somewhere.eq(held["sram"] | held["dram"]),
            meant.eq(Mux(held["sram"], places["sram"], places["dram"])),
            target.eq(meant),
            sends.eq(1),
            in_local.eq(self._is_local(asked)),
            refusal.valid.eq(request.valid & ~somewhere & ~in_local),
            refusal.payload.tag.eq(asked.tag),
            refusal.payload.answer.eq(Answer.ERROR),
            request.ready.eq(refusal.ready),
        ]
        if self.shares:
            self._elaborate_shared(m, request, meant, target, sends)
        window = self.window_request
        m.d.comb += [window.valid.eq(request.valid & in_local), *self._copied(window, asked)]
        with m.If(in_local):
            m.d.comb += request.ready.eq(window.ready)
        for side, lane in zip(self.geometry.sides, self.request, strict=True):
            mine = somewhere & (target == side)
            m.d.comb += [
                lane.valid.eq(request.valid & mine & sends),
                *self._copied(lane, asked),
                lane.payload.mask.eq(self._mask(asked, side)),
            ]
            with m.If(mine):
                m.d.comb += request.ready.eq(lane.ready | ~sends)
            if self.shares:
                number = self.geometry.sides.index(side)
                goes = request.valid & request.ready & asked.multicast
                m.d.comb += self.noted[number].eq(goes & mine)

    def _is_local(self, asked: data.View) -> Value:
        """Whether some element's local memory is meant."""
        geometry = self.geometry
        there = in_window(
            asked.address,
            rows=geometry.used_rows,
            columns=geometry.columns,
            size_bytes=geometry.config.pe.ls.size_bytes,
        )
        return there & self.has_windows & (~asked.multicast if self.shares else 1)

    def _copied(self, lane: Any, asked: data.View) -> list[Any]:
        """Statements: a flit has what was asked for, but for its mask."""
        fields = [field for field in self.request_shape.members if field != "mask"]
        return [Value.cast(lane.payload[field]).eq(asked[field]) for field in fields]

    def _mask(self, asked: data.View, side: Side) -> Value:
        """Whom the answer is for."""
        own = self.row if is_of_rows(side) else self.column
        return Mux(asked.multicast, asked.mask, own) if self.shares else own

    def _elaborate_shared(
        self, m: Module, request: Any, meant: Value, target: Signal, sends: Signal
    ) -> None:
        """Where a shared read goes, and the notes of it."""
        asked = request.payload
        here, leader = Signal.like(self.row), Signal.like(self.row)
        m.d.comb += [
            here.eq(Mux(asked.column, self.column, self.row)),
            leader.eq(asked.mask & (~asked.mask + 1)),  # the lowest member
        ]
        with m.If(asked.multicast):
            m.d.comb += [
                target.eq(entry_side(meant, asked.column)),
                sends.eq((leader & here).any()),
            ]
        for note in self.note:
            m.d.comb += [
                note.hash.eq(line_hash(asked.address)),
                note.tag.eq(asked.tag),
                note.leader.eq(number_of(leader)),
            ]

    def _elaborate_answers(self, m: Module, refusal: Any) -> None:
        """Answers take turns; each finds its master."""
        sources = [*self.answer, self.window_answer, refusal]
        m.submodules.answers = turns = RoundRobinArbiter(
            shape=self.answer_shape, n_inputs=len(sources)
        )
        for port, source in zip(turns.i, sources, strict=True):
            m.d.comb += [
                port.valid.eq(source.valid),
                port.payload.eq(source.payload),
                source.ready.eq(port.ready),
            ]
        answer = turns.o
        number = answer.payload.tag[self.tag_bits :]
        for index, master in enumerate(self.masters):
            told = master.response
            mine = number == index if self.n_masters > 1 else 1
            m.d.comb += told.valid.eq(answer.valid & mine)
            m.d.comb += self._fields(told.payload, answer.payload)
            with m.If(mine):
                m.d.comb += answer.ready.eq(told.ready)

    def _fields(self, told: data.View, flit: data.View) -> list[Any]:
        """What a master is told of an answer."""
        fields = {"tag": flit.tag}
        if "data" in self.answer_shape.members:
            differs = flit.answer == Answer.MISMATCH  # a master hears of both
            fields |= {"data": flit.data, "poison": (flit.answer == Answer.POISON) | differs}
            fields["error"] = (flit.answer == Answer.ERROR) | differs
        else:
            fields["error"] = flit.answer != Answer.OK
        return [Value.cast(told[name]).eq(value) for name, value in fields.items()]
