# SPDX-License-Identifier: Apache-2.0
"""One slice of the shared SRAM, as scratchpad."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.clock_gate import Gated
from hw.lib.ecc import CHECK_BITS
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.mem.combining_line import CombiningLine
from hw.mem.ecc_array import WORD_BYTES, EccArray, LineCorrector
from hw.mem.fault_injector import EccFault, FaultInjector
from hw.mem.slice_policy import SlicePolicy

__all__ = ["EccFault", "SramSlice"]


class SramSlice(wiring.Component):
    """Lines of `link_bytes` bytes behind one read and one write port, one access per cycle.

    Operation:

    1. A read, and a write whose strobes cover each 8-byte word wholly or not at all, take the array
       for one cycle. Both wanting it take turns.
    2. A write that covers some word in part goes into the *combining line*; so does every later
       write to the line that is held there. It leaves (a read-modify-write, two cycles) when
       another line needs the place, when its line is read, or `combine_timeout` cycles after its
       last write. A write is acknowledged when it is in the array or in the combining line, so
       acknowledged writes are seen by every later read.
    3. A word with one wrong bit is corrected where it is read, and in place by a partial write. A
       word with two is *poisoned*: reads answer `poison`, a partial write leaves it poisoned, a
       write of all eight bytes heals it.
    4. `inject` inverts stored bits at once, behind the codec. `clear` writes zero to every line, so
       that no word holds the random contents of power-on; accesses wait meanwhile.

    Without `ecc` every write takes one cycle and 2 and 3 do not exist; faults are taken and
    ignored.

    Timing: one line per cycle when all accesses are reads or whole words; a partial write to a new
    line costs two cycles of the array, and the next one comes 6 cycles later. The answer to a read
    is there `latency` cycles after the request was taken, 4 or without `ecc` 3; the acknowledgement
    of a write after 1. `clear` takes `lines` + 2 cycles. No combinational path from the `ready` of
    an answer. A merge waits behind the answers that are not taken yet, so these must not wait for
    any write.

    Parameters
    ----------
    size_bytes : size, a power of two.
    link_bytes : bytes of a line, a power of two, at least 8.
    read_tag_width, write_tag_width : bits of the tags.
    ecc : SECDED (72,64) on every 8-byte word.
    combine_timeout : cycles for which the combining line waits for more writes.
    clear_parts : equal parts of which `clear` may leave out the upper ones, a power of two.

    Members
    -------
    read, write : In, the memory ports; addresses wrap at `size_bytes`.
    inject : In(stream.Signature(EccFault)), a fault.
    clear : In(1), pulse. clearing : Out(1), from then until all is zero.
    kept_parts : In, upper parts that `clear` leaves as they are, not all of them; only with more
        than one part.
    corrected, uncorrected : Out, words found so by the access of the cycle before.
    read_line, write_line : Out(1), a read, a write was taken in the cycle before.
    busy : Out(1), something is held or under way, so the clock is needed without a request too.

    Raises: ValueError for sizes that are no powers of two or too small.
    """

    def __init__(
        self,
        *,
        size_bytes: int,
        link_bytes: int,
        read_tag_width: int,
        write_tag_width: int,
        ecc: bool = True,
        combine_timeout: int = 16,
        clear_parts: int = 1,
    ) -> None:
        for name, value, least in (
            ("link_bytes", link_bytes, WORD_BYTES),
            ("size_bytes", size_bytes, 2 * link_bytes),
        ):
            if value < least or value & (value - 1):
                raise ValueError(
                    f"SramSlice {name} must be a power of two, at least {least}, not {value!r}."
                )
        if combine_timeout < 1:
            raise ValueError(
                f"SramSlice combine_timeout must be at least 1 cycle, not {combine_timeout!r}."
            )
        self.size_bytes = size_bytes
        self.link_bytes = link_bytes
        self.ecc = ecc
        self.combine_timeout = combine_timeout
        if clear_parts < 1 or clear_parts & (clear_parts - 1):
            raise ValueError(f"SramSlice clear_parts must be a power of two, not {clear_parts!r}.")
        self.lines = size_bytes // link_bytes
        self.clear_parts = clear_parts
        self._array = EccArray(lines=self.lines, line_bytes=link_bytes, ecc=ecc)
        self.latency = self._array.latency + 1
        """Cycles from a taken read to its answer."""
        self.n_words = link_bytes // WORD_BYTES
        super().__init__(
            {
                "read": In(MemoryReadPort(link_bytes=link_bytes, tag_width=read_tag_width)),
                "write": In(MemoryWritePort(link_bytes=link_bytes, tag_width=write_tag_width)),
                "inject": In(stream.Signature(EccFault)),
                "clear": In(1),
                "clearing": Out(1),
                **({"kept_parts": In(range(clear_parts + 1))} if clear_parts > 1 else {}),
                "corrected": Out(range(self.n_words + 1)),
                "uncorrected": Out(range(self.n_words + 1)),
                "read_line": Out(1),
                "write_line": Out(1),
                "busy": Out(1),
            }
        )

    def gated(self) -> Gated:
        """The slice as a submodule whose clock stands still while nobody needs it."""
        asked = (self.read.request, self.write.request, self.inject)
        wanted = Cat(self.busy, self.clear, *(port.valid for port in asked))
        return Gated(self, enable=wanted.any())

    def _line(self, address: Value) -> Value:
        """Line number of a byte address."""
        low = self.link_bytes.bit_length() - 1
        return address[low : low + (self.lines - 1).bit_length()]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.policy = policy = SlicePolicy()
        m.submodules.array = array = self._array
        m.submodules.combining = combining = CombiningLine(
            n_lines=self.lines, line_bytes=self.link_bytes, timeout=self.combine_timeout
        )
        corrector = LineCorrector(line_bytes=self.link_bytes)
        faults = FaultInjector(n_words=self.n_words)
        reading = self._elaborate_answers(m, policy, array, corrector, faults)
        self._elaborate_requests(m, policy, combining)
        self._elaborate_array(m, policy, array, combining)
        if self.ecc:
            m.submodules.corrector = corrector
            m.submodules.faults = faults
            self._elaborate_stored(m, policy, array, combining, corrector)
            self._elaborate_faults(m, policy, array, faults)
            self._elaborate_counts(m, policy, combining, corrector)
        else:
            # No plain constant, of which Yosys makes a case that Verilator complains about.
            ignored = self.inject.valid & 0
            m.d.comb += [self.inject.ready.eq(1), policy.inject_valid.eq(ignored)]
        m.d.sync += [
            self.read_line.eq(policy.read_go),
            self.write_line.eq(self.write.request.ready),
        ]
        m.d.comb += self.busy.eq(
            combining.held
            | policy.clearing
            | policy.fetching
            | self.inject.valid
            | reading
            | array.busy
            | self.write.response.valid
            | self.read_line
            | self.write_line
            | self.corrected.any()
            | self.uncorrected.any()
        )
        return m

    def _elaborate_answers(
        self,
        m: Module,
        policy: SlicePolicy,
        array: EccArray,
        corrector: LineCorrector,
        faults: FaultInjector,
    ) -> Value:
        """Every line that is read goes through a queue, so the array never waits for its answers.

        Returns whether there is any on its way.
        """
        item = data.StructLayout(
            {
                "stored": 8 * self.link_bytes,
                "tag": len(self.read.request.payload.tag),
                **({"syndrome": CHECK_BITS * self.n_words} if self.ecc else {}),
            }
        )
        n_places = self.latency + 1  # a place is free in the cycle after its line has left
        m.submodules.answers = answers = StreamFifo(shape=item, depth=n_places)
        n_open = Signal(range(n_places + 1))  # lines asked for that did not leave the queue
        read, leave = Signal(), Signal()
        note = data.StructLayout({"valid": 1, "tag": item["tag"].shape, "fetched": 1})
        coming = [Signal(note, name=f"coming{stage}") for stage in range(array.latency)]
        column = faults.column.replicate(self.n_words)
        head, response = answers.o.payload, self.read.response
        filled = self._elaborate_fetched(m, answers, coming[-1].valid & coming[-1].fetched, leave)
        m.d.comb += [
            read.eq(policy.read_go | policy.fetch | policy.inject_read),
            leave.eq(answers.o.valid & answers.o.ready),
            policy.read_room.eq(n_open != n_places),
            policy.filled.eq(filled),
            answers.i.valid.eq(coming[-1].valid),
            answers.i.payload.tag.eq(coming[-1].tag),
            answers.i.payload.stored.eq(array.r_data),
            answers.o.ready.eq(response.ready | filled),
            response.valid.eq(answers.o.valid & ~filled),
            response.payload.tag.eq(head.tag),
        ]
        if self.ecc:
            m.d.comb += [
                # The bit to invert takes the place of a bit found wrong: the corrector inverts it.
                answers.i.payload.syndrome.eq(
                    Mux(policy.injecting & coming[-1].fetched, column, array.r_syndrome)
                ),
                corrector.stored.eq(head.stored),
                corrector.syndrome.eq(head.syndrome),
                response.payload.data.eq(corrector.data),
                response.payload.poison.eq(corrector.lost.any()),
            ]
        else:
            m.d.comb += response.payload.data.eq(head.stored)
        m.d.sync += [
            n_open.eq(n_open + read - leave),
            coming[0].valid.eq(read),
            coming[0].tag.eq(self.read.request.payload.tag),
            coming[0].fetched.eq(~policy.read_go & self.ecc),
            *(later.eq(sooner) for sooner, later in pairwise(coming)),
        ]
        return n_open.any()

    def _elaborate_fetched(
        self, m: Module, answers: StreamFifo, enters: Value, leave: Value
    ) -> Signal:
        """Whether the queue's head is the line that was fetched for a merge, from a register.

        There is one such line at a time; counted are the lines before it.
        """
        waiting, filled = Signal(), Signal()
        ahead, left = Signal.like(answers.level), Signal.like(answers.level)
        m.d.comb += left.eq(Mux(enters, answers.level, ahead) - leave)
        m.d.sync += [
            ahead.eq(left),
            waiting.eq((waiting | enters) & ~filled),
            filled.eq((waiting | enters) & ~filled & (left == 0)),
        ]
        return filled

    def _elaborate_requests(self, m: Module, policy: SlicePolicy, combining: CombiningLine) -> None:
        """What the policy needs to know of the requests, and the acknowledgements."""
        m.submodules.acks = acks = SkidBuffer(shape=self.write.response.payload.shape())
        wiring.connect(m, acks.o, wiring.flipped(self.write.response))
        read, write = self.read.request, self.write.request
        take = policy.take if self.ecc else Const(0)  # without check bits nothing is partial
        whole = [(bits == 0) | bits.all() for bits in self._words(write.payload.strobe)]
        m.d.comb += [
            policy.read_valid.eq(read.valid),
            policy.read_hit.eq(
                combining.held & (self._line(read.payload.address) == combining.held_line)
            ),
            policy.write_valid.eq(write.valid),
            policy.write_hit.eq(combining.held & (combining.line == combining.held_line)),
            policy.write_whole.eq(Cat(whole).all() if self.ecc else 1),
            policy.write_room.eq(acks.i.ready),
            policy.held.eq(combining.held),
            policy.expired.eq(combining.expired),
            policy.clear.eq(self.clear),
            self.clearing.eq(policy.clearing),
            read.ready.eq(policy.read_go),
            write.ready.eq(policy.write_go | take),
            acks.i.valid.eq(write.ready),
            acks.i.payload.tag.eq(write.payload.tag),
            combining.line.eq(self._line(write.payload.address)),
            combining.w_data.eq(write.payload.data),
            combining.w_strobe.eq(write.payload.strobe),
            combining.take.eq(take),
            combining.release.eq(policy.merge | policy.clear_go),
        ]

    def _elaborate_array(
        self,
        m: Module,
        policy: SlicePolicy,
        array: EccArray,
        combining: CombiningLine,
    ) -> None:
        """Address, data and strobes of the chosen access."""
        write = self.write.request.payload
        clear_line = Signal(range(self.lines))
        with m.If(policy.clear_go):
            m.d.sync += clear_line.eq(clear_line + 1)
        ends: Value = clear_line == self.lines - 1
        if self.clear_parts > 1:
            part = self.lines // self.clear_parts
            # Not "equal", as parts may be taken away meanwhile.
            ends = clear_line >= (self.clear_parts - self.kept_parts) * part - 1
            with m.If(policy.clear_go & policy.clear_last):
                m.d.sync += clear_line.eq(0)
        m.d.comb += [
            policy.clear_last.eq(ends),
            array.write.eq(policy.write_go | policy.storing | policy.clear_go),
            array.en.eq(array.write | policy.read_go | policy.fetch | policy.inject_read),
            array.strobe.eq(write.strobe),
            array.w_data.eq(Mux(policy.storing, combining.data, write.data)),
            array.address.eq(combining.line),
        ]
        with m.If(policy.read_go):
            m.d.comb += array.address.eq(self._line(self.read.request.payload.address))
        with m.Elif(policy.fetch | policy.merge):
            m.d.comb += array.address.eq(combining.held_line)
        with m.Elif(policy.inject_read | policy.inject_write):
            m.d.comb += array.address.eq(self._line(self.inject.payload.address))
        with m.Elif(policy.clear_go):
            m.d.comb += array.address.eq(clear_line)
        with m.If(policy.zeroing):
            m.d.comb += [array.w_data.eq(0), array.strobe.eq(-1)]

    def _elaborate_stored(
        self,
        m: Module,
        policy: SlicePolicy,
        array: EccArray,
        combining: CombiningLine,
        corrector: LineCorrector,
    ) -> None:
        """Words of which a part is held are written; they stay lost unless all of them is held."""
        lost = Signal(self.n_words)
        m.d.comb += [combining.fill.eq(policy.filled), combining.fill_data.eq(corrector.data)]
        with m.If(policy.filled):
            m.d.sync += lost.eq(corrector.lost)
        with m.If(policy.merge):
            for index, strobe in enumerate(self._words(combining.strobe)):
                poison = lost[index] & ~strobe.all()
                m.d.comb += [
                    array.strobe.word_select(index, WORD_BYTES).eq(
                        strobe.any().replicate(WORD_BYTES)
                    ),
                    array.invert.word_select(index, CHECK_BITS).eq(poison.replicate(CHECK_BITS)),
                ]

    def _elaborate_faults(
        self,
        m: Module,
        policy: SlicePolicy,
        array: EccArray,
        faults: FaultInjector,
    ) -> None:
        """A line is read, the corrector inverts one bit of it, and the word is written again.

        What did not fit before does not fit after: the syndrome of the stored word, and the bit's.
        """
        wiring.connect(m, wiring.flipped(self.inject), faults.fault)
        m.d.comb += [policy.inject_valid.eq(faults.wanted), faults.written.eq(policy.inject_write)]
        invert = Signal.like(array.r_syndrome)
        with m.If(policy.filled):
            m.d.sync += invert.eq(array.r_syndrome ^ faults.column.replicate(self.n_words))
        with m.If(policy.inject_write):
            strobe = Cat(word.replicate(WORD_BYTES) for word in faults.word)
            m.d.comb += [array.strobe.eq(strobe), array.invert.eq(invert)]

    def _elaborate_counts(
        self, m: Module, policy: SlicePolicy, combining: CombiningLine, corrector: LineCorrector
    ) -> None:
        """Errors met by reads, and by merges in the words of which they keep something."""
        looked = Signal(self.n_words)
        with m.If(self.read.response.valid & self.read.response.ready):
            m.d.comb += looked.eq(-1)
        with m.Elif(policy.filled & ~policy.injecting):
            m.d.comb += looked.eq(
                Cat(strobe.any() & ~strobe.all() for strobe in self._words(combining.strobe))
            )
        corrected, lost = Signal(self.n_words), Signal(self.n_words)
        m.d.sync += [corrected.eq(corrector.corrected & looked), lost.eq(corrector.lost & looked)]
        m.d.comb += [self.corrected.eq(sum(corrected)), self.uncorrected.eq(sum(lost))]

    def _words(self, strobe: Value) -> list[Value]:
        """The strobe bits of each 8-byte word."""
        return [strobe.word_select(index, WORD_BYTES) for index in range(self.n_words)]
