# SPDX-License-Identifier: Apache-2.0
"""From a command to runs: one run of contiguous bytes for each iteration of its loops."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.commands import LEVELS, LONG_BITS, Opcode, ScatterMode
from hw.arch.csr import N_GROUPS
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.iface.command_view import view
from hw.iface.pe import CbAcquire, CbGrant, CbRole, Completion
from hw.lib.address_generator import AddressGenerator
from hw.lib.compare import not_below
from hw.lib.elastic import StreamFifo
from hw.lib.loop_nest import LoopOffset
from hw.pe.fi.geometry import FiGeometry, LineKind
from hw.pe.fi.indices import IndexReader

__all__ = ["RunSource"]

_STRIDE_WIDTH = 20  # of the operand of DMA commands
_CB_UNIT_LOG2 = 6
_RUNS_AHEAD = 2  # keep the rate, and cut the way back from lines to loops


class _Fields:
    """A command's fields, wherever they stand: of `opcode`, or of `indexed_opcode`."""

    def __init__(self, command: Value, opcode: Opcode, indexed_opcode: Opcode | None) -> None:
        self.plain = view(command, opcode)
        self.indexed = view(command, indexed_opcode or opcode)
        self.is_indexed = Value.cast(command[:8] == indexed_opcode if indexed_opcode else 0)

    def __getitem__(self, name: str) -> Value:
        """The field; 0 where the command has none of that name."""
        places = [fields.shape().fields.get(name) for fields in (self.plain, self.indexed)]
        if places[0] == places[1]:
            return self.plain[name]
        plain, indexed = (
            Const(0) if place is None else fields[name]
            for place, fields in zip(places, (self.plain, self.indexed), strict=True)
        )
        return Mux(self.is_indexed, indexed, plain)


class RunSource(wiring.Component):
    """Takes commands one after another and sends their runs in order, a granted step at a time.

    Operation
        1. A command is taken when the runs of the one before have left and `may_start` was high.
        2. Level 0 is the run itself; levels 1 and up give one run each iteration. A step consists
           of whole runs: step and advance levels of 0 count as 1.
        3. In the tail runs have `tail_count` bytes, or with `tail_inner` there are fewer of them.
        4. With an index list each run takes the next index; see `IndexReader`.
        5. A run that must not be moved is sent with the cause of the trap, its info as address:
           LS_RANGE (info: circular buffer) outside of local memory, what is wrong with an index,
           and MULTICAST_GROUP (info: group) for a command that is shared by a group of others.

    Timing
        A command that can start is taken the cycle after it came. First run 6 cycles after that
        when the step is granted at once, 10 with an index list, then one per cycle as long as steps
        have 3 runs or more; see `AddressGenerator`.

    Parameters
    ----------
    geometry : sizes.
    opcode : DMA_IN or DMA_OUT.
    indexed_opcode : GATHER or SCATTER, if the source takes it too.
    with_add : whether SCATTER may add.

    Members
    -------
    command : In(stream.Signature(LONG_BITS)), commands.
    acquire : Out(stream.Signature(CbAcquire)), to the CB table.
    grant : In(stream.Signature(CbGrant, always_ready=True)), from the CB table.
    runs : Out(stream.Signature(geometry.run_layout)), runs in order.
    may_start : In(1), a command may be taken in the next cycle.
    stop : In(1), acquire nothing more and forget the command.
    started : Out(1), a command is being taken.
    header : Out(Completion), signal fields of the command being taken.
    tag : Out(16), of the command taken last.
    cb : Out(6), of the command taken last.
    busy : Out(1), runs of a command are still to come.
    waiting : Out(1), no run is there because a step is not granted.
    indexed : Out(1), the command taken last has an index list.
    index_waiting : Out(1), no run is there because its index is not.
    index_moving : Out(1), reads of indices are under way.
    index_cb : Out(CbPort()), the lists' buffers; with `indexed_opcode` only.
    index_ls : Out(LsReadPort(...)), the lists' words; with `indexed_opcode` only.
    member_of : In(N_GROUPS), groups that the element belongs to; with `geometry.sharing` only.
    """

    def __init__(
        self,
        *,
        geometry: FiGeometry,
        opcode: Opcode,
        indexed_opcode: Opcode | None = None,
        with_add: bool = False,
    ) -> None:
        self.geometry = geometry
        self.opcode = opcode
        self.indexed_opcode = indexed_opcode
        self.with_add = with_add
        self.role = CbRole.PRODUCER if opcode == Opcode.DMA_IN else CbRole.CONSUMER
        self.indices = None if indexed_opcode is None else IndexReader(geometry=geometry)
        index_ports = {}
        if self.indices is not None:
            members = self.indices.signature.members
            index_ports = {"index_cb": members["cb"], "index_ls": members["ls"]}
        shared_ports = {"member_of": In(N_GROUPS)} if geometry.sharing else {}
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
                "indexed": Out(1),
                "index_waiting": Out(1),
                "index_moving": Out(1),
                **index_ports,
                **shared_ports,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(
            address_width=self.geometry.byte_address_width,
            unit_bytes=1,
            role=self.role,
            stride_width=_STRIDE_WIDTH,
            first_level=1,
        )
        m.submodules.memory = memory = LoopOffset(offset_width=ADDRESS_BITS)
        wiring.connect(m, wiring.flipped(self.acquire), generator.acquire)
        wiring.connect(m, generator.grant, wiring.flipped(self.grant))
        command = _Fields(self.command.payload, self.opcode, self.indexed_opcode)
        # A register, for which the command stays for a cycle: it goes to hundreds of others.
        starts, free = Signal(), Signal()
        m.d.comb += free.eq(~generator.busy & self.may_start & ~self.stop)
        m.d.sync += starts.eq(self.command.valid & free & self._list_free(command) & ~starts)
        m.d.comb += [
            self.started.eq(starts & self.command.valid & ~self.stop),
            self.command.ready.eq(starts),
            generator.nest.valid.eq(self.started),
            generator.stop.eq(self.stop),
            self.busy.eq(generator.busy | self.runs.valid),
            self.waiting.eq(generator.waiting),
            *(self.header[name].eq(command[name]) for name in Completion.as_shape().members),
        ]
        with m.If(self.started):
            m.d.sync += [
                self.tag.eq(command["tag"]),
                self.cb.eq(command["cb"]),
                self.indexed.eq(command.is_indexed),
            ]
        self._elaborate_nest(m, command, generator)
        self._elaborate_memory(m, command, generator, memory)
        rows = self._elaborate_indices(m, command)
        out, beyond = self._elaborate_runs(m, command, generator)
        self._elaborate_sharing(m, command, out.i.payload)
        self._elaborate_addresses(m, generator, memory, rows, out, beyond)
        return m

    def _list_free(self, command: _Fields) -> Value:
        """Whether the index list of the command, if it has one, can be read."""
        return Const(1, 1) if self.indices is None else ~(command.is_indexed & self.indices.busy)

    def _elaborate_indices(self, m: Module, command: _Fields) -> stream.Interface | None:
        """Rows of commands with a list."""
        indices = self.indices
        if indices is None:
            return None
        m.submodules.indices = indices
        wiring.connect(m, indices.cb, wiring.flipped(self.index_cb))
        wiring.connect(m, indices.ls, wiring.flipped(self.index_ls))
        for field, name in (
            ("cb", "index_cb"),
            ("offset", "index_offset"),
            ("need", "index_need"),
            ("advance", "index_adv"),
            ("table", "mem_addr"),
            ("pitch", "row_pitch"),
            ("limit", "index_limit"),
        ):
            m.d.comb += indices.list[field].eq(command.indexed[name])
        m.d.comb += [
            indices.start.eq(self.started & command.is_indexed),
            indices.stop.eq(self.stop),
            self.index_moving.eq(indices.moving),
        ]
        return indices.rows

    def _elaborate_nest(self, m: Module, command: _Fields, generator: AddressGenerator) -> None:
        """Level 0 is left to the splitter, so the generator does not see it.

        From registers: the command has been there for a cycle when it starts.
        """
        fixed = {"tail_inner": 1}  # from reset on: otherwise a register would have to hold it
        nest = Signal(generator.nest.payload.shape(), init=fixed)
        m.d.comb += generator.nest.payload.eq(nest)
        m.d.sync += [
            nest.offset.eq(command["offset"]),
            nest.cb.eq(command["cb"]),
            nest.step_level.eq(_at_least_1(command["step_level"])),
            nest.adv_level.eq(_at_least_1(command["adv_level"])),
            nest.need.eq(command["need"]),
            nest.adv.eq(command["adv"]),
            nest.tail_level.eq(command["tail_level"]),
            nest.tail_count.eq(Mux(command["tail_inner"], command["tail_count"], 0)),
            nest.tail_adv.eq(Mux(command["tail_count"] != 0, command["tail_adv"], 0)),
        ]
        for level in range(1, LEVELS):
            m.d.sync += [
                nest.counts[level].eq(command[f"count{level}"]),
                nest.strides[level].eq(command[f"stride{level}"]),
            ]

    def _elaborate_memory(
        self, m: Module, command: _Fields, generator: AddressGenerator, memory: LoopOffset
    ) -> None:
        """The memory side follows the generator's levels; it starts a cycle later than these."""
        element = generator.addresses
        begins, origin = Signal(), Signal(ADDRESS_BITS)
        m.d.sync += begins.eq(self.started)
        with m.If(self.started):
            m.d.sync += origin.eq(command["mem_addr"])
        m.d.comb += [
            memory.start.eq(begins),
            memory.origin.eq(origin),
            memory.step.eq(element.valid & element.ready),
            memory.goes_on.eq(Cat(0, ~element.payload.last[1:])),
        ]
        for level in range(1, LEVELS):
            stride = Signal(signed(32), name=f"mem_stride{level}")
            m.d.comb += memory.strides[level].eq(stride)
            with m.If(self.started):
                m.d.sync += stride.eq(command.plain[f"mem_stride{level}"])

    def _elaborate_runs(
        self, m: Module, command: _Fields, generator: AddressGenerator
    ) -> tuple[StreamFifo, Value]:
        """One run for each address of the generator, queued; here its local side.

        Returns the queue, and whether the buffer ends behind local memory.
        """
        geometry = self.geometry
        m.submodules.out = out = StreamFifo(shape=geometry.run_layout, depth=_RUNS_AHEAD)
        wiring.connect(m, wiring.flipped(self.runs), out.o)
        element, run = generator.addresses.payload, out.i.payload

        length, zero_fill = Signal(16), Signal()
        tail_level, tail_length = Signal(3), Signal(16)  # runs of the tail; length 0: as the others
        levels_last = Cat(Const(0, 1), element.last[1:], Const(0, 8 - LEVELS))
        in_tail = levels_last.bit_select(tail_level, 1) & (tail_length != 0)
        stride = Signal(signed(_STRIDE_WIDTH - geometry.word_log2))  # in words
        kind = Signal(LineKind)
        with m.If(self.started):
            m.d.sync += [
                length.eq(command["count0"]),
                tail_level.eq(command["tail_level"]),
                tail_length.eq(Mux(command["tail_inner"], 0, command["tail_count"])),
                stride.eq(command["stride0"] >> geometry.word_log2),
                kind.eq(self._kind(command)),
            ]
            if self.opcode == Opcode.DMA_IN:
                m.d.sync += zero_fill.eq(command["zero_fill"])

        unit_log2 = _CB_UNIT_LOG2 - geometry.word_log2
        depth = element.depth << unit_log2
        end = Signal(14)  # of the buffer
        one_on = Signal.like(run.one_on)  # 0 <= one_on < depth
        two_on = Signal(len(one_on) + 1)
        m.d.comb += [
            end.eq(element.base + element.depth),
            one_on.eq(Mux(stride < 0, stride + depth, stride)),
            two_on.eq(one_on << 1),
            run.length.eq(Mux(in_tail, tail_length, length)),
            Cat(run.lane, run.word).eq(element.address),
            run.limit.eq(end << unit_log2),
            run.depth.eq(depth),
            run.one_on.eq(one_on),
            run.two_on.eq(Mux(not_below(two_on, depth), two_on - depth, two_on)),
            run.zero_fill.eq(zero_fill),
            run.cb.eq(self.cb),
            run.advance.eq(element.advance),
            run.step_end.eq(element.step_end),
            run.command_end.eq(element.last.all()),
            run.tag.eq(self.tag),
            run.kind.eq(kind),
        ]
        units_log2 = geometry.byte_address_width - _CB_UNIT_LOG2
        return out, end[units_log2 + 1 :].any() | (end[units_log2] & end[:units_log2].any())

    def _elaborate_sharing(self, m: Module, command: _Fields, run: data.View) -> None:
        """With whom the command's lines are shared; rows of a list never are."""
        if self.geometry.sharing is None:
            return
        for name in ("multicast", "group"):
            kept = Signal.like(Value.cast(run[name]), name=name)
            m.d.comb += Value.cast(run[name]).eq(kept)
            with m.If(self.started):
                m.d.sync += kept.eq(Mux(command.is_indexed, 0, command.plain[name]))

    def _kind(self, command: _Fields) -> Value:
        """What the command does with its lines."""
        kind: Value = Value.cast(LineKind.INDEXED)
        if self.with_add:
            fields = command.indexed
            adds = Mux(fields.format == Format.FP32, LineKind.ADD_FP, LineKind.ADD_INT)
            kind = Mux(fields.mode == ScatterMode.ADD, adds, kind)
        return Mux(command.is_indexed, kind, LineKind.PLAIN)

    def _elaborate_addresses(
        self,
        m: Module,
        generator: AddressGenerator,
        memory: LoopOffset,
        rows: stream.Interface | None,
        out: StreamFifo,
        beyond: Value,
    ) -> None:
        """Join a run's local side with its address in memory, and say what is wrong with it."""
        element, run = generator.addresses, out.i.payload
        place = element.payload
        address, cause = Signal(ADDRESS_BITS), Signal(8)
        m.d.comb += [
            out.i.valid.eq(element.valid & ~self.stop),
            element.ready.eq(out.i.ready),
            address.eq(memory.offset),
            run.address.eq(address),
            run.cause.eq(cause),
            run.wrong.eq(cause != Trap.NONE),
        ]
        if rows is not None and self.indices is not None:
            lacking = self.indexed & ~rows.valid
            with m.If(lacking):
                m.d.comb += [out.i.valid.eq(0), element.ready.eq(0)]
            with m.If(self.indexed):
                m.d.comb += [address.eq(rows.payload.address), cause.eq(rows.payload.cause)]
            m.d.comb += [
                rows.ready.eq(self.indexed & element.valid & out.i.ready & ~self.stop),
                self.indices.end.eq(rows.valid & rows.ready & place.last.all()),
                self.index_waiting.eq(element.valid & lacking),
            ]
        if self.geometry.sharing:
            with m.If(run.multicast & ~self.member_of.bit_select(run.group, 1)):
                m.d.comb += [cause.eq(Trap.MULTICAST_GROUP), address.eq(run.group)]
        with m.If(place.outside | beyond):
            m.d.comb += [cause.eq(Trap.LS_RANGE), address.eq(self.cb)]


def _at_least_1(level: Value) -> Value:
    return Mux(level == 0, 1, level)
