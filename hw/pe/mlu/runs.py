# SPDX-License-Identifier: Apache-2.0
"""From LAYOUT commands to runs: where each begins on both sides, how many words it takes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import COMMANDS, LEVELS, LONG_BITS, LayoutOp, LayoutTarget, Opcode
from hw.iface.command_view import view
from hw.iface.pe import CbAcquire, CbGrant, CbRole
from hw.lib.address_generator import AddressGenerator
from hw.lib.elastic import PipeStage, StreamFifo
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["LayoutRuns"]

_STRIDE_WIDTH = 20  # of both operands
_CB_UNIT_LOG2 = 6
# Runs that the reading side may be ahead: more than the cycles from a request to its word, so that
# runs of a single word still come one a cycle.
_JOBS_AHEAD = 8
_SIDES = {"source": ("src_", CbRole.CONSUMER), "target": ("", CbRole.PRODUCER)}


class LayoutRuns(wiring.Component):
    """Takes LAYOUT commands one after another, and sends each run to its reader and its writer.

    Operation
        1. A command is taken when the runs of the one before have left and `may_start` was high.
        2. Levels 1 and up give one run each iteration; both sides walk the same levels, each with
           its own strides and steps. A side that the command does not use (the source of FILL, the
           destination of words for the dot-product engine) asks for no step.
        3. A run is sent when both sides have been granted its step.
        4. A command that says something impossible starts nothing: `illegal` is high.
        5. A run that begins outside of local memory or of its buffer stays: `outside` is high.

    Timing
        A command that can start is taken the cycle after it came. First run 6 cycles after that
        when steps are granted at once, then one per cycle as long as steps have 3 runs or more; see
        `AddressGenerator`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    command : In(stream.Signature(LONG_BITS)), commands.
    source_acquire, target_acquire : Out(stream.Signature(CbAcquire)), to the CB table.
    source_grant, target_grant : In(stream.Signature(CbGrant, always_ready=True)), from it.
    fetches : Out(stream.Signature(geometry.fetch_layout)), what to read.
    jobs : Out(stream.Signature(geometry.job_layout)), what to write.
    may_start : In(1), a command may be taken in the next cycle.
    stop : In(1), send nothing more and forget the command.
    started : Out(1), a command is being taken.
    illegal : Out(1), it is impossible.
    illegal_bit : Out(10), offset of the field that makes it so.
    outside : Out(1), the next run cannot be.
    outside_cb : Out(6), its circular buffer. outside_tag : Out(16), its command.
    tag : Out(16), of the command taken last.
    waits_for_data, waits_for_room : Out(1), a side has no run since a step is not granted.
    source_cb, target_cb : Out(6), circular buffers of the command taken last.
    """

    def __init__(self, *, geometry: MluGeometry) -> None:
        self.geometry = geometry
        grant = stream.Signature(CbGrant, always_ready=True)
        super().__init__(
            {
                "command": In(stream.Signature(LONG_BITS)),
                "source_acquire": Out(stream.Signature(CbAcquire)),
                "source_grant": In(grant),
                "target_acquire": Out(stream.Signature(CbAcquire)),
                "target_grant": In(grant),
                "fetches": Out(stream.Signature(geometry.fetch_layout)),
                "jobs": Out(stream.Signature(geometry.job_layout)),
                "may_start": In(1),
                "stop": In(1),
                "started": Out(1),
                "illegal": Out(1),
                "illegal_bit": Out(10),
                "outside": Out(1),
                "outside_cb": Out(6),
                "outside_tag": Out(16),
                "tag": Out(16),
                "waits_for_data": Out(1),
                "waits_for_room": Out(1),
                "source_cb": Out(6),
                "target_cb": Out(6),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        command = view(self.command.payload, Opcode.LAYOUT)
        uses = {name: Signal(name=f"{name}_counts") for name in _SIDES}
        m.d.sync += [
            uses["source"].eq(command.operation != LayoutOp.FILL),
            uses["target"].eq(command.target == LayoutTarget.LS),
        ]
        used = {name: Signal(name=f"uses_{name}") for name in _SIDES}
        walks = {name: self._elaborate_side(m, command, name, uses[name]) for name in _SIDES}
        self._elaborate_start(m, command, walks)
        with m.If(self.started):
            m.d.sync += [used[name].eq(uses[name]) for name in _SIDES]
        self._elaborate_runs(m, command, walks, used)
        return m

    def _elaborate_side(
        self, m: Module, command: data.View, name: str, uses: Value
    ) -> AddressGenerator:
        """One operand's walk over the runs: level 0 is the run, so it counts 1 there."""
        prefix, role = _SIDES[name]
        generator = AddressGenerator(
            address_width=self.geometry.address_width + self.geometry.word_log2,
            unit_bytes=1,
            role=role,
            stride_width=_STRIDE_WIDTH,
            announced=True,
        )
        m.submodules[name] = generator
        acquire, grant = getattr(self, f"{name}_acquire"), getattr(self, f"{name}_grant")
        wiring.connect(m, wiring.flipped(acquire), generator.acquire)
        wiring.connect(m, generator.grant, wiring.flipped(grant))
        nest = generator.nest.payload
        m.d.comb += [
            generator.nest.valid.eq(self.started & uses & ~self.illegal),
            generator.stop.eq(self.stop),
            nest.counts[0].eq(1),
            nest.strides[0].eq(0),
            *(nest[field].eq(command[f"{prefix}{field}"]) for field in ("offset", "need", "adv")),
            nest.cb.eq(command[f"{prefix}cb"]),
            nest.step_level.eq(_at_least_1(command[f"{prefix}step_level"])),
            nest.adv_level.eq(_at_least_1(command[f"{prefix}adv_level"])),
            nest.tail_level.eq(command.tail_level),
            nest.tail_inner.eq(1),
            nest.tail_count.eq(Mux(command.tail_inner, command.tail_count, 0)),
            nest.tail_adv.eq(0),
        ]
        for level in range(1, LEVELS):
            m.d.comb += [
                nest.counts[level].eq(command[f"count{level}"]),
                nest.strides[level].eq(command[f"{prefix}stride{level}"]),
            ]
        with m.If(self.started):
            m.d.sync += getattr(self, f"{name}_cb").eq(command[f"{prefix}cb"])
        return generator

    def _elaborate_start(
        self, m: Module, command: data.View, walks: dict[str, AddressGenerator]
    ) -> None:
        """Take a command; say which field of it, if any, is impossible.

        It is offered for a cycle before it is taken, and then stays, so that both whether it starts
        and what it says come from registers: they go to thousands of others.
        """
        elements, starts = Signal(8), Signal()
        by_element = (command.operation == LayoutOp.TRANSPOSE) | (
            command.operation == LayoutOp.DIAGONAL
        )
        m.d.comb += [
            elements.eq(self.geometry.n_nibbles >> command.element),
            self.started.eq(starts & ~self.stop),
            self.command.ready.eq(starts),
            self.waits_for_data.eq(walks["source"].waiting),
            self.waits_for_room.eq(walks["target"].waiting),
        ]
        is_fill, sends = command.operation == LayoutOp.FILL, command.target != LayoutTarget.LS
        wrong = {
            "count0": by_element & (command.count0 > elements),
            "target": (command.target > LayoutTarget.DPE_B) | (is_fill & sends),
            "out_count": (command.operation == LayoutOp.TRANSPOSE) & (command.out_count > elements),
            "tail_count": by_element & ~command.tail_inner & (command.tail_count > elements),
        }
        found = Signal(len(wrong))
        free = ~walks["source"].busy & ~walks["target"].busy & self.may_start & ~self.stop
        m.d.sync += [
            starts.eq(self.command.valid & free & ~starts),
            found.eq(Cat(wrong.values())),
        ]
        m.d.comb += self.illegal.eq(self.started & found.any())
        for index, name in reversed(list(enumerate(wrong))):  # the first one counts
            with m.If(found[index]):
                m.d.comb += self.illegal_bit.eq(COMMANDS[Opcode.LAYOUT].field(name).offset)
        with m.If(self.started):
            m.d.sync += self.tag.eq(command.tag)

    def _elaborate_runs(
        self,
        m: Module,
        command: data.View,
        walks: dict[str, AddressGenerator],
        used: dict[str, Signal],
    ) -> None:
        """Pair the addresses of both sides, and register what follows from them."""
        half = self.geometry.half_layout
        # A queue, so that no path leads from local memory's grants to the address generators.
        m.submodules.fetch_stage = fetch_stage = StreamFifo(shape=half, depth=2)
        m.submodules.job_queue = job_queue = StreamFifo(
            shape=self.geometry.job_layout, depth=_JOBS_AHEAD
        )
        m.submodules.job_stage = job_stage = PipeStage(shape=half)
        for stage, following in ((fetch_stage.o, self.fetches), (job_stage.o, job_queue.i)):
            outside = stage.payload.outside
            m.d.comb += [
                following.valid.eq(stage.valid & ~outside),
                stage.ready.eq(following.ready & ~outside),
            ]
        self._elaborate_fetch(m, fetch_stage.o.payload, self.fetches.payload)
        self._elaborate_job(m, job_stage.o.payload, job_queue.i.payload)
        wiring.connect(m, wiring.flipped(self.jobs), job_queue.o)

        for stage in (job_stage.o, fetch_stage.o):  # the source's counts first
            with m.If(stage.valid & stage.payload.outside):
                m.d.comb += [
                    self.outside.eq(1),
                    self.outside_cb.eq(stage.payload.cb),
                    self.outside_tag.eq(stage.payload.tag),
                ]
        ready, goes = Signal(), Signal()
        addresses = {name: walks[name].addresses for name in _SIDES}
        fetch, job = fetch_stage.i, job_stage.i
        m.d.comb += [
            ready.eq(
                Cat(~used[name] | addresses[name].valid for name in _SIDES).all()
                & (used["source"] | used["target"])
                & Cat(addresses[name].valid for name in _SIDES).any()
            ),
            goes.eq(ready & job.ready & (fetch.ready | ~used["source"]) & ~self.stop),
            *(addresses[name].ready.eq(goes & used[name]) for name in _SIDES),
            fetch.valid.eq(goes & used["source"]),
            job.valid.eq(goes),
        ]
        for name, item in zip(_SIDES, (fetch, job), strict=True):
            prefix, address = _SIDES[name][0], addresses[name].payload
            beyond = self._elaborate_place(
                m, command[f"{prefix}stride0"], address, item.payload.place, name
            )
            m.d.comb += [
                item.payload.outside.eq(used[name] & (address.outside | beyond)),
                item.payload.cb.eq(address.cb),
                item.payload.advance.eq(address.advance),
                item.payload.step_end.eq(address.step_end & used[name]),
            ]
        last = Signal(LEVELS)
        m.d.comb += last.eq(
            Mux(used["source"], addresses["source"].payload.last, addresses["target"].payload.last)
        )
        lanes = {}
        for name in _SIDES:
            lanes[name] = Signal(self.geometry.word_log2, name=f"{name}_lane")
            m.d.comb += lanes[name].eq(Mux(used[name], addresses[name].payload.address, 0))
        self._elaborate_sizes(m, command, last, lanes, goes, (fetch.payload, job.payload))

    def _elaborate_place(
        self, m: Module, stride0: Value, address: data.View, place: data.View, name: str
    ) -> Value:
        """Words of the buffer, and the way to the run's next one. Returns: it ends outside."""
        geometry = self.geometry
        stride = Signal(signed(_STRIDE_WIDTH - geometry.word_log2), name=f"{name}_stride")
        with m.If(self.started):
            m.d.sync += stride.eq(stride0 >> geometry.word_log2)
        unit_log2 = _CB_UNIT_LOG2 - geometry.word_log2
        depth = address.depth << unit_log2
        limit = (address.base + address.depth) << unit_log2
        m.d.comb += [
            place.word.eq(address.address >> geometry.word_log2),
            place.depth.eq(depth),
            place.limit.eq(limit),
            place.one_on.eq(Mux(stride < 0, stride + depth, stride)),
        ]
        return limit > 1 << geometry.address_width

    def _elaborate_sizes(
        self,
        m: Module,
        command: data.View,
        last: Value,
        lanes: dict[str, Signal],
        goes: Signal,
        halves: tuple[data.View, data.View],
    ) -> None:
        """How large a run is."""
        size = Signal(self.geometry.size_layout)
        length, n_out = self._elaborate_counts(m, command, size.setting, last)
        skip = Signal(9)  # no more words are given than it can say
        with m.If(self.started | (goes & last[1])):
            m.d.sync += skip.eq(0)
        with m.Elif(goes & ~skip[-1]):
            m.d.sync += skip.eq(skip + self._elements(size.setting))
        m.d.comb += [size.length.eq(length), size.n_out.eq(n_out)]
        for name in _SIDES:
            m.d.comb += [
                size[f"{name}_lane"].eq(lanes[name]),
                size[f"{name}_end"].eq(lanes[name] + length),
            ]
        for half in halves:
            m.d.comb += [
                half.size.eq(size),
                half.skip.eq(skip),
                half.tag.eq(self.tag),
                half.command_end.eq(last.all()),
            ]

    def _elaborate_fetch(self, m: Module, half: data.View, fetch: data.View) -> None:
        """Words to read, and the bytes of them that are in use."""
        size, setting = half.size, half.size.setting
        is_copy = setting.operation == LayoutOp.COPY
        is_transpose = setting.operation == LayoutOp.TRANSPOSE
        n_used = Mux(is_transpose, size.n_out, size.length)  # elements of a word
        used_bytes = ((n_used << setting.element) + 1) >> 1
        m.d.comb += [
            fetch.n_words.eq(self._n_read(size)),
            fetch.begin.eq(Mux(is_copy, size.source_lane, 0)),
            fetch.end.eq(Mux(is_copy, size.source_end, used_bytes) - 1),
            fetch.every.eq(is_transpose),
            fetch.note.transpose.eq(is_transpose),
            fetch.note.to_block.eq(is_transpose),
            fetch.note.element.eq(setting.element),
            fetch.note.n_columns.eq(size.n_out),
            fetch.note.tag.eq(half.tag),
            *(fetch[name].eq(half[name]) for name in ("place", "cb", "advance", "step_end")),
        ]

    def _elaborate_job(self, m: Module, half: data.View, job: data.View) -> None:
        """Beats, and how lanes move."""
        size, operation = half.size, half.size.setting.operation
        is_copy = operation == LayoutOp.COPY
        takes = is_copy | (operation == LayoutOp.DIAGONAL)
        by_byte = is_copy | (operation == LayoutOp.FILL)
        n_read = self._n_read(size)
        m.d.comb += [
            job.setting.eq(size.setting),
            job.length.eq(size.length),
            job.lane.eq(size.target_lane),
            job.end.eq(size.target_end - 1),
            job.rotation.eq(Mux(is_copy, size.target_lane - size.source_lane, 0)),
            job.n_taken.eq(Mux(takes, n_read, 0)),
            # The first destination word needs two source words.
            job.late.eq(
                is_copy
                & (size.source_lane > size.target_lane)
                & (size.source_end > self.geometry.word_bytes)
            ),
            job.n_beats.eq(Mux(by_byte, self._words(size.target_end), size.n_out) + job.late),
            *(job[name].eq(half[name]) for name in ("place", "skip", "cb", "advance")),
            *(job[name].eq(half[name]) for name in ("step_end", "command_end")),
        ]

    def _n_read(self, size: data.View) -> Value:
        """Words of the source."""
        operation = size.setting.operation
        others = Mux(operation == LayoutOp.TRANSPOSE, size.length, 1)
        return Mux(operation == LayoutOp.COPY, self._words(size.source_end), others)

    def _elaborate_counts(
        self, m: Module, command: data.View, setting: data.View, last: Value
    ) -> tuple[Signal, Signal]:
        """Length of this run (count0 or the tail's), and words of this block."""
        kept = data.StructLayout(
            {"count": 16, "level": 3, "tail": 16, "out_level": 3, "out_count": 8}
        )
        held = Signal(kept)
        with m.If(self.started):
            m.d.sync += [
                held.count.eq(command.count0),
                held.level.eq(command.tail_level),
                held.tail.eq(Mux(command.tail_inner, 0, command.tail_count)),
                held.out_level.eq(command.out_level),
                held.out_count.eq(command.out_count),
                *(setting[name].eq(command[name]) for name in ("operation", "element")),
                *(setting[name].eq(command[name]) for name in ("target", "value")),
            ]
        length, n_out = Signal(16), Signal(8)
        levels = Cat(Const(0, 1), last[1:], Const(0, 8 - LEVELS))
        in_tail = levels.bit_select(held.level, 1) & (held.tail != 0)
        always = Cat(levels[:-1], Const(1, 1))
        narrow = always.bit_select(held.out_level, 1) & (held.out_count != 0)
        m.d.comb += [
            length.eq(Mux(in_tail, held.tail, held.count)),
            n_out.eq(Mux(narrow, held.out_count, self._elements(setting))),
        ]
        return length, n_out

    def _words(self, n_bytes: Value) -> Value:
        """Words that bytes from the start of a word on take."""
        return (n_bytes + self.geometry.word_bytes - 1) >> self.geometry.word_log2

    def _elements(self, setting: data.View) -> Value:
        """Elements of a word."""
        return Const(self.geometry.n_nibbles, 8) >> setting.element


def _at_least_1(level: Value) -> Value:
    return Mux(level == 0, 1, level)
