# SPDX-License-Identifier: Apache-2.0
"""Lines that are added to memory: read, add, hand on to be written."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traps import Trap
from hw.iface.memory import MemoryReadPort
from hw.lib.clock_gate import Gated
from hw.lib.elastic import PipeStage, StreamFifo
from hw.num.fp32_add import Fp32Adder
from hw.pe.fi.assembler import assembled_layout
from hw.pe.fi.control import fault_layout
from hw.pe.fi.geometry import FiGeometry, LineKind

__all__ = ["AddLanes", "LineAdder", "sum_layout"]

_LATENCY = 3


def sum_layout(geometry: FiGeometry, n_tags: int) -> data.StructLayout:
    """A line to write."""
    return data.StructLayout(
        {
            "data": 8 * geometry.link_bytes,
            "strobe": geometry.link_bytes,
            "n_bytes": range(geometry.link_bytes + 1),
            "line": geometry.line_address_width,
            "tag": range(n_tags),
        }
    )


class AddLanes(wiring.Component):
    """Adds two lines as FP32 or INT32 values, lane by lane.

    Timing: `latency` cycles, a line per cycle.

    Numerics: FP32 as `Fp32Adder`; INT32 wraps.

    Parameters
    ----------
    n_lanes : values of a line.

    Members
    -------
    a, b : In(32 * n_lanes), what to add. is_float : In(1), FP32.
    o : Out(32 * n_lanes), the sums.
    """

    latency = _LATENCY

    def __init__(self, *, n_lanes: int) -> None:
        self.n_lanes = n_lanes
        width = 32 * n_lanes
        super().__init__({"a": In(width), "b": In(width), "is_float": In(1), "o": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        is_float = self.is_float
        for cycle in range(self.latency):
            before, is_float = is_float, Signal(name=f"is_float{cycle}")
            m.d.sync += is_float.eq(before)
        sums = []
        for lane in range(self.n_lanes):
            at = slice(32 * lane, 32 * lane + 32)
            m.submodules[f"adder{lane}"] = adder = Fp32Adder(latency=self.latency)
            m.d.comb += [adder.a.eq(self.a[at]), adder.b.eq(self.b[at])]
            integer = (self.a[at] + self.b[at])[:32]
            for cycle in range(self.latency):
                before, integer = integer, Signal(32, name=f"integer{lane}_{cycle}")
                m.d.sync += integer.eq(before)
            total = Signal(32, name=f"sum{lane}")
            m.d.comb += total.eq(Mux(is_float, adder.o, integer))
            sums.append(total)
        m.d.comb += self.o.eq(Cat(sums))
        return m


class LineAdder(wiring.Component):
    """Reads the line of memory that belongs to each line, adds, and offers the sum.

    Operation
        1. A line is kept under its tag, and the line of memory is asked for. Whoever sends lines
           sees to it that no two under way are the same line of memory.
        2. The answer is added to what was kept. Sums come in the order of the answers; only the
           bytes of the line's strobe count.
        3. An answer with `error` fails with MEMORY_ERROR, one with `poison` with MEMORY_POISON
           (info: address). Its sum comes all the same, so that the tag comes back: after a failure
           nobody writes any more.

    Timing
        A line per cycle. A read is offered 1 cycle after its line was taken, a sum 5 cycles after
        its answer. Answers are always taken: there is room for all tags.

    Parameters
    ----------
    geometry : sizes.
    n_tags : tags, and lines under way at most.

    Members
    -------
    lines : In(stream.Signature(assembled_layout(geometry))), lines to add.
    tag : In(range(n_tags)), tag of the line at `lines`.
    memory : Out(MemoryReadPort(...)), lines of memory.
    sums : Out(stream.Signature(sum_layout(geometry, n_tags))), lines to write.
    failed : Out(1), a line could not be read. failure : Out(fault_layout()), why.
    """

    def __init__(self, *, geometry: FiGeometry, n_tags: int) -> None:
        self.geometry = geometry
        self.n_tags = n_tags
        port = MemoryReadPort(link_bytes=geometry.link_bytes, tag_width=(n_tags - 1).bit_length())
        super().__init__(
            {
                "lines": In(stream.Signature(assembled_layout(geometry))),
                "tag": In(range(n_tags)),
                "memory": Out(port),
                "sums": Out(stream.Signature(sum_layout(geometry, n_tags))),
                "failed": Out(1),
                "failure": Out(fault_layout()),
            }
        )

    @property
    def _kept_layout(self) -> data.StructLayout:
        return data.StructLayout(
            {
                "data": 8 * self.geometry.link_bytes,
                "strobe": self.geometry.link_bytes,
                "n_bytes": range(self.geometry.link_bytes + 1),
                "line": self.geometry.line_address_width,
                "is_float": 1,
                "command": 16,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        m.submodules.request = request = PipeStage(shape=self.memory.request.payload.shape())
        wiring.connect(m, request.o, wiring.flipped(self.memory.request))
        m.submodules.kept = kept = memory.Memory(
            shape=self._kept_layout.size, depth=self.n_tags, init=[]
        )
        write, read = kept.write_port(), kept.read_port(domain="comb")
        new, line = data.View(self._kept_layout, write.data), self.lines.payload
        found, answer = data.View(self._kept_layout, read.data), self.memory.response
        place = line.line.place
        m.d.comb += [
            request.i.valid.eq(self.lines.valid),
            self.lines.ready.eq(request.i.ready),
            request.i.payload.address.eq(Cat(Const(0, geometry.link_log2), place.line)),
            request.i.payload.tag.eq(self.tag),
            write.en.eq(self.lines.valid & self.lines.ready),
            write.addr.eq(self.tag),
            new.data.eq(line.data),
            new.strobe.eq(line.strobe),
            new.n_bytes.eq(place.end - place.first),
            new.line.eq(place.line),
            new.is_float.eq(line.line.kind == LineKind.ADD_FP),
            new.command.eq(line.line.tag),
            read.addr.eq(answer.payload.tag),
            answer.ready.eq(1),
            self.failed.eq(answer.valid & (answer.payload.error | answer.payload.poison)),
            self.failure.cause.eq(Mux(answer.payload.error, Trap.MEMORY_ERROR, Trap.MEMORY_POISON)),
            self.failure.indexed.eq(1),
            self.failure.tag.eq(found.command),
            self.failure.info.eq(found.line << geometry.link_log2),
        ]
        self._elaborate_sums(m, found)
        return m

    def _elaborate_sums(self, m: Module, found: data.View) -> None:
        """Add what arrives to what was kept; there is room for every tag behind the adders."""
        geometry, answer = self.geometry, self.memory.response
        m.submodules.sums = fifo = StreamFifo(
            shape=sum_layout(geometry, self.n_tags), depth=self.n_tags
        )
        wiring.connect(m, fifo.o, wiring.flipped(self.sums))
        lanes = AddLanes(n_lanes=geometry.link_bytes // 4)
        a, b, is_float = Signal.like(lanes.a), Signal.like(lanes.b), Signal()
        with m.If(answer.valid):
            m.d.sync += [
                a.eq(answer.payload.data),
                b.eq(found.data),
                is_float.eq(found.is_float),
            ]
        names = ("strobe", "n_bytes", "line")
        origin = {name: found[name] for name in names} | {"tag": answer.payload.tag}
        valid, valids = answer.valid, []
        for cycle in range(lanes.latency + 1):
            before, valid = valid, Signal(name=f"valid{cycle}")
            m.d.sync += valid.eq(before)
            valids.append(valid)
            for name, value in list(origin.items()):
                origin[name] = Signal.like(value, name=f"{name}{cycle}")
                with m.If(before):
                    m.d.sync += origin[name].eq(value)
        m.submodules.lanes = Gated(lanes, enable=Cat(valids[:-1]).any())
        m.d.comb += [
            lanes.a.eq(a),
            lanes.b.eq(b),
            lanes.is_float.eq(is_float),
            fifo.i.valid.eq(valid),
            fifo.i.payload.data.eq(lanes.o),
            *(fifo.i.payload[name].eq(value) for name, value in origin.items()),
        ]
