# SPDX-License-Identifier: Apache-2.0
"""A small memory-side cache among a slice, a DRAM and masters that do anything they may, and one
bit of one line of DRAM that is watched."""

from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring

from hw.arch.cache import CacheOp
from hw.lib.sram import DualPortSram
from hw.mem.cache.memory_cache import MemoryCache
from hw.mem.cache.shape import CacheShape
from hw.mem.cache.sweep import CacheSweep
from tb.formal.common import Proof
from tb.formal.follow import assume_source

__all__ = ["SHAPE", "CacheWorld", "OpenWays"]

SHAPE = CacheShape(n_lines=8, slice_lines=4, n_ways=2, link_bytes=2, tag_width=1)
"""Two sets of two ways in front of eight lines of two bytes."""
SLOTS = PLACES = 2
_WATCHED = 0
"""The tag of accesses to the watched line; others have others."""


class OpenWays(wiring.Component):
    """In place of `CacheSweep`: there are so many ways from the beginning, and no commands."""

    def __init__(self, n_ways: int, shape: CacheShape, n_places: int) -> None:
        self.n_ways = n_ways
        super().__init__(CacheSweep(shape=shape, n_places=n_places).signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += [self.ways.eq(self.n_ways), self.is_on.eq(1)]
        return m


class FullTags(wiring.Component):
    """In place of the memory of tags: all ways hold dirty, whole lines from the beginning, the
    first lines of DRAM."""

    def __init__(self, *, width: int, depth: int, lane_width: int) -> None:
        self.width, self.depth, self.lane_width = width, depth, lane_width
        sram = DualPortSram(width=width, depth=depth, lane_width=lane_width)
        super().__init__(sram.signature)

    def elaborate(self, platform: Any) -> Module:
        m, n_ways = Module(), self.width // self.lane_width
        entries = [
            SHAPE.entry.const(
                {"valid": (1 << SHAPE.link_bytes) - 1, "tag": way, "present": 1, "dirty": 1}
            )
            for way in range(n_ways)
        ]
        word = sum(
            Const.cast(entry).value << way * self.lane_width for way, entry in enumerate(entries)
        )
        m.submodules.kept = kept = memory.Memory(
            shape=self.width, depth=self.depth, init=[word] * self.depth
        )
        write, read = kept.write_port(granularity=self.lane_width), kept.read_port()
        m.d.comb += [
            read.en.eq(self.r_en),
            read.addr.eq(self.r_addr),
            self.r_data.eq(read.data),
            write.en.eq(self.w_mask),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
        ]
        return m


class CacheWorld:
    """The cache and all around it; the lowest bit of an unknown line is watched.

    A master has one read and one write of the watched line at a time, and one of each to other
    lines. Software gives any command (but DROP) and chooses any number of ways. The slice
    does accesses in the order in which it takes them and answers as late as it likes; DRAM does
    them at any moment between request and answer, in any order.
    """

    def __init__(self, proof: Proof, *, has_software: bool, begins_cached: bool = False) -> None:
        self.proof, self.m = proof, proof.m
        self.begins_cached, self.has_software = begins_cached, has_software
        driven = [
            f"{port}.{part}"
            for port, parts in (
                ("sram_read", ("request.ready", "response.valid", "response.payload")),
                ("sram_write", ("response.valid", "response.payload")),
                ("dram_read", ("response.valid", "response.payload")),
                ("dram_write", ("response.valid", "response.payload")),
            )
            for part in parts
        ]
        self.dut = proof.add(MemoryCache(shape=SHAPE, slots=SLOTS, places=PLACES), driven=driven)
        self.line = (
            proof.constant(SHAPE.line_bits, "line")
            if has_software
            else Const(0 if begins_cached else 4, SHAPE.line_bits)
        )
        if has_software:
            self._software()
        self.reads = self._master(self.dut.read, "read")
        self.writes = self._master(self.dut.write, "write")
        self._slice()
        self.memory = Signal(name="dram_bit")
        self._dram_reads()
        self._dram_writes()
        self._watch()

    def is_watched(self, request: Any) -> Value:
        """A request is for the watched line of DRAM."""
        return request.payload.address[SHAPE.line_log2 :][: SHAPE.line_bits] == self.line

    def _software(self) -> None:
        control, proof = self.dut.control, self.proof
        proof.assume(control.ways <= SHAPE.n_ways)
        busy = proof.past(control.busy, "was_busy")
        proof.assume(~busy | (control.ways == proof.past(control.ways, "ways")))
        proof.assume(control.op != CacheOp.DROP)

    def _master(self, port: Any, name: str) -> Signal:
        """Reads or writes with tags of their own; returns which of them are under way."""
        proof, request, answer = self.proof, port.request, port.response
        assume_source(proof, name, request)
        address = request.payload.address
        proof.assume(address < SHAPE.n_lines * SHAPE.link_bytes)
        proof.assume(address[: SHAPE.line_log2] == 0)
        proof.assume(self.is_watched(request) == (request.payload.tag == _WATCHED))
        under_way = Signal(1 << SHAPE.tag_width, name=f"{name}s_under_way")
        begins = Mux(request.valid & request.ready, 1 << request.payload.tag, 0)
        ends = Mux(answer.valid & answer.ready, 1 << answer.payload.tag, 0)
        self.m.d.sync += under_way.eq((under_way | begins) & ~ends)
        proof.assume(~request.valid | ~under_way.bit_select(request.payload.tag, 1))
        proof.check(
            ~answer.valid | under_way.bit_select(answer.payload.tag, 1),
            f"{name}: only what was asked is answered, once",
        )
        proof.check(~answer.valid | ~answer.payload.error, f"{name}: no error")
        return under_way

    def _slice(self) -> None:
        """One answer is held; of its contents the watched bit of all ways is kept."""
        m, dut, free = self.m, self.dut, self.proof.free
        asked, told = dut.sram_read.request, dut.sram_read.response
        held, tag, bit = Signal(), Signal.like(told.payload.tag), Signal()
        shown, shows = Signal(), free(1, "slice_shows")
        kept = Array(Signal(init=1, name=f"kept{way}") for way in range(SHAPE.n_ways))

        def way_and_set(address: Value) -> tuple[Value, Value]:
            number = address[SHAPE.line_log2 :]
            return number[SHAPE.set_bits :][: SHAPE.way_bits], number[: SHAPE.set_bits]

        way, of_set = way_and_set(asked.payload.address)
        m.d.comb += [
            told.valid.eq(held & (shown | shows)),
            told.payload.tag.eq(tag),
            told.payload.data.eq(bit),
            asked.ready.eq((~held | (told.valid & told.ready)) & free(1, "slice_takes")),
        ]
        m.d.sync += shown.eq(told.valid & ~told.ready)
        with m.If(asked.valid & asked.ready):
            m.d.sync += [
                held.eq(1),
                tag.eq(asked.payload.tag),
                bit.eq(kept[way] & (of_set == SHAPE.set_of(self.line))),
            ]
        with m.Elif(told.valid & told.ready):
            m.d.sync += held.eq(0)
        store = dut.sram_write.request
        way, of_set = way_and_set(store.payload.address)
        with m.If(
            store.valid
            & store.ready
            & store.payload.strobe[0]
            & (of_set == SHAPE.set_of(self.line))
        ):
            m.d.sync += kept[way].eq(store.payload.data[0])
        m.d.comb += dut.sram_write.response.valid.eq(self.proof.past(store.valid & store.ready))

    def _answers(self, port: Any, name: str) -> tuple[Signal, Signal, Value]:
        """Tags that were asked, one that DRAM has done in this cycle, and which one it is."""
        proof, m, n_tags = self.proof, self.m, 1 << self.dut.dram_tag_width
        asked, told = port.request, port.response
        waiting = Signal(n_tags, name=f"{name}_waiting")
        done, tag = Signal(name=f"{name}_done"), proof.free(self.dut.dram_tag_width, f"{name}_tag")
        answer, answer_tag = Signal(), Signal(self.dut.dram_tag_width)
        m.d.comb += [
            done.eq(
                proof.free(1, f"{name}_acts")
                & waiting.bit_select(tag, 1)
                & (~answer | (told.ready & told.valid))
            ),
            told.valid.eq(answer),
            told.payload.tag.eq(answer_tag),
        ]
        begins = Mux(asked.valid & asked.ready, 1 << asked.payload.tag, 0)
        m.d.sync += waiting.eq((waiting | begins) & ~Mux(done, 1 << tag, 0))
        with m.If(done):
            m.d.sync += [answer.eq(1), answer_tag.eq(tag)]
        with m.Elif(told.ready):
            m.d.sync += answer.eq(0)
        proof.check(
            ~asked.valid | ~waiting.bit_select(asked.payload.tag, 1), f"{name}: tags differ"
        )
        return waiting, done, tag

    def _dram_reads(self) -> None:
        m, port = self.m, self.dut.dram_read
        waiting, done, tag = self._answers(port, "dram_read")
        watched, bit = Signal.like(waiting, name="dram_reads_watched"), Signal()
        with m.If(port.request.valid & port.request.ready):
            m.d.sync += watched.bit_select(port.request.payload.tag, 1).eq(
                self.is_watched(port.request)
            )
        # An early look and a late answer: DRAM may read long before it answers.
        early, looked = Signal.like(waiting, name="early"), Signal.like(waiting, name="looked")
        looks = self.proof.free(self.dut.dram_tag_width, "dram_looks")
        with m.If(waiting.bit_select(looks, 1) & ~looked.bit_select(looks, 1)):
            m.d.sync += [
                early.bit_select(looks, 1).eq(self.memory),
                looked.bit_select(looks, 1).eq(1),
            ]
        with m.If(done):
            was = Mux(looked.bit_select(tag, 1), early.bit_select(tag, 1), self.memory)
            m.d.sync += [
                bit.eq(was & watched.bit_select(tag, 1)),
                looked.bit_select(tag, 1).eq(0),
            ]
        m.d.comb += port.response.payload.data.eq(bit)

    def _dram_writes(self) -> None:
        m, port = self.m, self.dut.dram_write
        waiting, done, tag = self._answers(port, "dram_write")
        bits, hits = Signal.like(waiting, name="bits"), Signal.like(waiting, name="hits")
        request = port.request
        with m.If(request.valid & request.ready):
            m.d.sync += [
                bits.bit_select(request.payload.tag, 1).eq(request.payload.data[0]),
                hits.bit_select(request.payload.tag, 1).eq(
                    self.is_watched(request) & request.payload.strobe[0]
                ),
            ]
        with m.If(done & hits.bit_select(tag, 1)):
            m.d.sync += self.memory.eq(bits.bit_select(tag, 1))

    def _watch(self) -> None:
        """What a read of the watched bit may show: what was written last before it was asked, or
        any write that was under way meanwhile."""
        m, read, write = self.m, self.dut.read, self.dut.write
        self.old, new, pending = Signal(init=self.begins_cached, name="old"), Signal(), Signal()
        allowed, asked = Signal(2), Signal()
        writes = write.request.valid & write.request.ready & self.is_watched(write.request)
        writes &= write.request.payload.strobe[0]
        written = write.request.payload.data[0]
        acked = write.response.valid & write.response.ready
        acked &= write.response.payload.tag == _WATCHED
        now = (1 << self.old) | Mux(pending, 1 << new, 0)
        adds = Mux(writes, 1 << written, 0)
        with m.If(acked & pending):
            m.d.sync += [self.old.eq(new), pending.eq(0)]
        with m.If(writes):
            m.d.sync += [new.eq(written), pending.eq(1)]
        reads = read.request.valid & read.request.ready & self.is_watched(read.request)
        answer = read.response
        self.answered = answer.valid & answer.ready & (answer.payload.tag == _WATCHED)
        self.shown = answer.payload.data[0]
        with m.If(reads):
            m.d.sync += [asked.eq(1), allowed.eq(now | adds)]
        with m.Else():
            m.d.sync += allowed.eq(allowed | adds)
        is_right = allowed.bit_select(self.shown, 1)
        self.proof.check(~self.answered | is_right, "a read shows what was written last")
        if not self.has_software:  # accesses that pass by are offered before they are taken
            back = self.dut.dram_write.request
            leaves = back.valid & self.is_watched(back) & back.payload.strobe[0]
            is_right = now.bit_select(back.payload.data[0], 1)
            self.proof.check(~leaves | is_right, "what was written last leaves")
