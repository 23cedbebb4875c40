# SPDX-License-Identifier: Apache-2.0
"""Index lists of gather and scatter: from 32-bit values in local memory to rows' addresses."""

import itertools
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.traps import Trap
from hw.iface.pe import CbPort, CbRole, LsReadPort
from hw.lib.address_generator import CB_UNIT_BYTES, StepReporter
from hw.lib.arbiter import RoundRobin
from hw.lib.compare import not_below
from hw.lib.elastic import PipeStage, SkidBuffer, StreamFifo
from hw.lib.select import one_of
from hw.pe.fi.geometry import FiGeometry

__all__ = ["IndexReader", "IndexSlot", "list_layout", "row_layout"]

_INDEX_BYTES = 4
_WORDS_AHEAD = 4  # an answer is back in the queue 3 cycles after its request


def list_layout() -> data.StructLayout:
    """What a command says about its list and its table."""
    return data.StructLayout(
        {
            "cb": 6,
            "offset": 16,
            "need": 13,
            "advance": 13,
            "table": ADDRESS_BITS,
            "pitch": 32,
            "limit": 32,
        }
    )


def row_layout() -> data.StructLayout:
    """A row's address; with a cause (`hw.arch.traps.Trap`) the info of that trap in its place."""
    return data.StructLayout({"address": ADDRESS_BITS, "cause": 8})


@dataclass
class _Place:
    """Where the list lies and how far it is read; words are numbered in local memory."""

    base: Signal  # first word of the buffer
    limit: Signal  # word behind it
    asked: Signal  # word to read next
    taken: Signal  # word whose indices are taken
    lane: Signal  # next index in that word
    outside: Signal  # the list leaves its buffer, or local memory
    all_back: Signal  # no word is on its way or waits

    @classmethod
    def of(cls, geometry: FiGeometry) -> "_Place":
        """Signals for these sizes."""
        width = geometry.word_address_width + 1
        return cls(
            *(Signal(width, name=name) for name in ("base", "limit", "asked", "taken")),
            Signal(range(max(geometry.word_bytes // _INDEX_BYTES, 2)), name="lane"),
            Signal(name="outside"),
            Signal(name="all_back"),
        )


class IndexReader(wiring.Component):
    """Reads the index list of a command and gives the address of each row, in order.

    Operation
        1. `start` takes a list. Its buffer is acquired once, as a consumer, for `need` units from
           the buffer's pointer. Words are then read ahead, wrapping at the buffer's end.
        2. A row's address is table + index * pitch (modulo 2^40). An index that is not below
           `limit` gives INDEX_RANGE (info: the index), one with wrong parity LS_PARITY (info: byte
           address of its word), a list outside its buffer or local memory LS_RANGE (info: buffer).
        3. Nobody counts here: `end` says that the last row was taken. The buffer then moves on by
           `advance`, and words that were read too far are dropped.
        4. `stop` drops everything. An acquire that is offered stays offered.

    Timing
        First row 8 cycles and local memory's latency after `start` when the buffer and local memory
        answer at once; then a row per cycle as long as local memory grants a word for every
        word_bytes / 4 rows. `busy` ends at most 8 cycles after `end`, words granted at once.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    start : In(1), begin; only while not `busy`.
    list : In(list_layout()), with `start`.
    cb : Out(CbPort()), circular-buffer table.
    ls : Out(LsReadPort(...)), local-memory slot.
    rows : Out(stream.Signature(row_layout())), addresses in order.
    end : In(1), the row that is being taken is the last one.
    stop : In(1), drop everything.
    busy : Out(1), a list is under way.
    moving : Out(1), reads are under way or a report waits.
    """

    def __init__(self, *, geometry: FiGeometry) -> None:
        self.geometry = geometry
        slot = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        super().__init__(
            {
                "start": In(1),
                "list": In(list_layout()),
                "cb": Out(CbPort()),
                "ls": Out(slot),
                "rows": Out(stream.Signature(row_layout())),
                "end": In(1),
                "stop": In(1),
                "busy": Out(1),
                "moving": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reporter = reporter = StepReporter(role=CbRole.CONSUMER)
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))
        now = Signal(list_layout())
        dropping = Signal()  # the list has ended: throw away what was read ahead
        reading = Signal()
        asked = Signal()  # the grant comes in the next cycle
        place = _Place.of(self.geometry)
        words = self._elaborate_words(m, place, reading)
        with m.If(asked):
            self._elaborate_start(m, place, now)
        drained = self._elaborate_rows(m, place, now, words, dropping)

        with m.If(self.start):
            m.d.sync += [now.eq(self.list), self.busy.eq(1), self.cb.acquire.valid.eq(1)]
        with m.Elif(self.cb.acquire.ready):
            m.d.sync += self.cb.acquire.valid.eq(0)
        m.d.sync += asked.eq(self.cb.acquire.valid & self.cb.acquire.ready)
        with m.If(asked):
            m.d.sync += reading.eq(1)
        m.d.comb += [
            self.cb.acquire.payload.cb.eq(now.cb),
            self.cb.acquire.payload.role.eq(CbRole.CONSUMER),
            self.cb.acquire.payload.extent.eq(now.need),
            self.cb.acquire.payload.advance.eq(now.advance),
            reporter.step.valid.eq(self.end & ~self.stop),
            reporter.step.payload.cb.eq(now.cb),
            reporter.step.payload.advance.eq(now.advance),
            self.moving.eq(reporter.pending | ~drained),
        ]
        with m.If(self.end | self.stop):
            m.d.sync += [dropping.eq(1), reading.eq(0)]
        with m.Elif(dropping & drained & ~self.cb.acquire.valid & ~asked & reporter.step.ready):
            m.d.sync += [dropping.eq(0), self.busy.eq(0)]
        return m

    def _elaborate_words(self, m: Module, place: _Place, reading: Signal) -> stream.Interface:
        """Words of the list in order, read ahead."""
        m.submodules.words = queue = StreamFifo(
            shape=self.ls.response.payload.shape(), depth=_WORDS_AHEAD
        )
        reserved = Signal(range(_WORDS_AHEAD + 1))
        offered = Signal()  # a read was offered, and stays so when reading ends
        request = self.ls.request
        grants = request.valid & request.ready
        pops = queue.o.valid & queue.o.ready
        m.d.sync += offered.eq(request.valid & ~request.ready)
        m.d.comb += [
            request.valid.eq((reading & (reserved != _WORDS_AHEAD)) | offered),
            request.payload.eq(place.asked),
            queue.i.valid.eq(self.ls.response.valid),
            queue.i.payload.eq(self.ls.response.payload),
            place.all_back.eq((reserved == 0) & ~offered),
        ]
        with m.If(grants != pops):
            m.d.sync += reserved.eq(Mux(grants, reserved + 1, reserved - 1))
        for pointer, moves in ((place.asked, grants), (place.taken, pops)):
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer + 1 == place.limit, place.base, pointer + 1))
        return queue.o

    def _elaborate_start(self, m: Module, place: _Place, now: data.View) -> None:
        """Where the list begins, as the grant says."""
        geometry, grant = self.geometry, self.cb.grant.payload
        unit_log2 = (CB_UNIT_BYTES // _INDEX_BYTES).bit_length() - 1  # indices in a unit
        lane_log2 = geometry.word_log2 - 2  # indices in a word
        depth, end, first, begin = (
            Signal(19, name=name) for name in ("depth", "end", "first", "begin")
        )
        m.d.comb += [
            depth.eq(grant.depth << unit_log2),
            end.eq((grant.base + grant.depth) << unit_log2),
            first.eq((grant.pointer << unit_log2) + now.offset),
            begin.eq(
                (grant.base << unit_log2) + Mux(not_below(first, depth), first - depth, first)
            ),
        ]
        m.d.sync += [
            place.base.eq(grant.base << unit_log2 >> lane_log2),
            place.limit.eq(end >> lane_log2),
            place.asked.eq(begin >> lane_log2),
            place.taken.eq(begin >> lane_log2),
            place.lane.eq(begin[:lane_log2]),
            place.outside.eq(
                not_below(now.offset, depth) | (end > geometry.ls_bytes // _INDEX_BYTES)
            ),
        ]

    def _elaborate_rows(
        self,
        m: Module,
        place: _Place,
        now: data.View,
        words: stream.Interface,
        dropping: Signal,
    ) -> Value:
        """One index a cycle, checked and multiplied; returns whether nothing is left in here."""
        found_layout = data.StructLayout({"value": 32, "cause": 8})
        product_layout = data.StructLayout(
            {"parts": data.ArrayLayout(32, 4), "found": found_layout}
        )
        m.submodules.found = found = PipeStage(shape=found_layout)
        m.submodules.product = product = PipeStage(shape=product_layout)
        m.submodules.address = address = PipeStage(shape=row_layout())
        at_last = place.lane == self.geometry.word_bytes // _INDEX_BYTES - 1
        m.d.comb += [
            found.i.valid.eq(words.valid & ~dropping),
            words.ready.eq(dropping | (found.i.ready & at_last)),
        ]
        self._elaborate_check(m, place, now, words.payload, found.i.payload)
        with m.If(found.i.valid & found.i.ready):
            m.d.sync += place.lane.eq(Mux(at_last, 0, place.lane + 1))

        index, parts = found.o.payload.value, product.o.payload.parts
        halves = [(index[:16], index[16:]), (now.pitch[:16], now.pitch[16:])]
        row, origin = address.i.payload, product.o.payload.found
        crossed, straight, total = Signal(24), Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        stages = (found, product, address)
        m.d.comb += [
            *(
                product.i.payload.parts[2 * high + low].eq(halves[0][high] * halves[1][low])
                for high in range(2)
                for low in range(2)
            ),
            product.i.payload.found.eq(found.o.payload),
            crossed.eq(parts[1] + parts[2]),
            straight.eq(now.table + Cat(parts[0], parts[3][: ADDRESS_BITS - 32])),
            total.eq(Cat(straight[:16], (straight[16:] + crossed)[:24])),
            row.cause.eq(origin.cause),
            row.address.eq(Mux(origin.cause == 0, total, origin.value)),
            self.rows.valid.eq(address.o.valid & ~dropping),
            self.rows.payload.eq(address.o.payload),
            address.o.ready.eq(self.rows.ready | dropping),
        ]
        for before, after in itertools.pairwise(stages):
            m.d.comb += [
                after.i.valid.eq(before.o.valid & ~dropping),
                before.o.ready.eq(after.i.ready | dropping),
            ]
        return place.all_back & ~Cat(stage.o.valid for stage in stages).any()

    def _elaborate_check(
        self, m: Module, place: _Place, now: data.View, word: data.View, found: data.View
    ) -> None:
        """The index at hand, or what is wrong with it."""
        lanes = range(self.geometry.word_bytes // _INDEX_BYTES)
        index, wrong = Signal(32), Signal()
        m.d.comb += [
            index.eq(Array(word.data[32 * k : 32 * k + 32] for k in lanes)[place.lane]),
            wrong.eq(Array(word.error[4 * k : 4 * k + 4].any() for k in lanes)[place.lane]),
            found.value.eq(index),
        ]
        with m.If(place.outside):
            m.d.comb += [found.cause.eq(Trap.LS_RANGE), found.value.eq(now.cb)]
        with m.Elif(wrong):
            m.d.comb += [
                found.cause.eq(Trap.LS_PARITY),
                found.value.eq(place.taken << self.geometry.word_log2),
            ]
        with m.Elif(not_below(index, now.limit)):
            m.d.comb += found.cause.eq(Trap.INDEX_RANGE)


class IndexSlot(wiring.Component):
    """Lets several readers share one local-memory slot.

    Operation: requests take turns; each answer goes to the one who asked.

    Timing: a word per cycle in all; a request is offered to local memory the cycle after it was
    taken, from a register, and its answer is handed on in the cycle in which it comes.

    Parameters
    ----------
    geometry : sizes.
    n_readers : readers.

    Members
    -------
    readers : In(LsReadPort(...)).array(n_readers).
    ls : Out(LsReadPort(...)), the slot.
    """

    def __init__(self, *, geometry: FiGeometry, n_readers: int) -> None:
        self.n_readers = n_readers
        slot = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        super().__init__({"readers": In(slot).array(n_readers), "ls": Out(slot)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.turns = turns = RoundRobin(n_requests=self.n_readers)
        m.submodules.asking = asking = SkidBuffer(shape=self.ls.request.payload.shape())
        m.submodules.order = order = StreamFifo(
            shape=self.n_readers, depth=self.n_readers * _WORDS_AHEAD
        )
        wiring.connect(m, asking.o, wiring.flipped(self.ls.request))
        requests = [reader.request for reader in self.readers]
        m.d.comb += [
            turns.requests.eq(Cat(request.valid for request in requests)),
            asking.i.valid.eq(turns.requests.any()),
            asking.i.payload.eq(one_of([request.payload for request in requests], turns.grant)),
            turns.served.eq(Mux(asking.i.ready, turns.grant, 0)),
            # As many as all readers have room for.
            order.i.valid.eq(asking.i.valid & asking.i.ready),
            order.i.payload.eq(turns.grant),
            order.o.ready.eq(self.ls.response.valid),
        ]
        for index, reader in enumerate(self.readers):
            m.d.comb += [
                reader.request.ready.eq(turns.served[index]),
                reader.response.valid.eq(self.ls.response.valid & order.o.payload[index]),
                reader.response.payload.eq(self.ls.response.payload),
            ]
        return m
