# SPDX-License-Identifier: Apache-2.0
"""One slice of the shared SRAM, as scratchpad."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.elastic import SkidBuffer
from hw.mem.combining_line import CombiningLine
from hw.mem.ecc_array import WORD_BYTES, EccArray
from hw.mem.slice_policy import SlicePolicy

__all__ = ["EccFault", "SramSlice"]


class EccFault(data.Struct):
    """A fault: inverts `n` (0 to 2) of the 72 stored bits of the 8-byte word at `address`."""

    address: unsigned(40)
    bit0: unsigned(7)
    bit1: unsigned(7)
    n: unsigned(2)


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
    line costs two cycles of the array. The answer to a read is there 2 cycles after the request was
    taken, the acknowledgement of a write 1. `clear` takes `lines` + 2 cycles. No combinational path
    from the `ready` of an answer.

    Parameters
    ----------
    size_bytes : size, a power of two.
    link_bytes : bytes of a line, a power of two, at least 8.
    read_tag_width, write_tag_width : bits of the tags.
    ecc : SECDED (72,64) on every 8-byte word.
    combine_timeout : cycles for which the combining line waits for more writes.

    Members
    -------
    read, write : In, the memory ports; addresses wrap at `size_bytes`.
    inject : In(stream.Signature(EccFault)), a fault.
    clear : In(1), pulse. clearing : Out(1), from then until all is zero.
    corrected, uncorrected : Out, words found so by the access of the cycle before.
    read_line, write_line : Out(1), a read, a write was taken in the cycle before.
    busy : Out(1), something is held or under way, so the clock is needed without a request too.

    Raises: ValueError for sizes that are no powers of two or too small.
    """

    latency = 2
    """Cycles from a taken read to its answer."""

    def __init__(
        self,
        *,
        size_bytes: int,
        link_bytes: int,
        read_tag_width: int,
        write_tag_width: int,
        ecc: bool = True,
        combine_timeout: int = 16,
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
        self.lines = size_bytes // link_bytes
        self.n_words = link_bytes // WORD_BYTES
        super().__init__(
            {
                "read": In(MemoryReadPort(link_bytes=link_bytes, tag_width=read_tag_width)),
                "write": In(MemoryWritePort(link_bytes=link_bytes, tag_width=write_tag_width)),
                "inject": In(stream.Signature(EccFault)),
                "clear": In(1),
                "clearing": Out(1),
                "corrected": Out(range(self.n_words + 1)),
                "uncorrected": Out(range(self.n_words + 1)),
                "read_line": Out(1),
                "write_line": Out(1),
                "busy": Out(1),
            }
        )

    def _line(self, address: Value) -> Value:
        """Line number of a byte address."""
        low = self.link_bytes.bit_length() - 1
        return address[low : low + (self.lines - 1).bit_length()]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.policy = policy = SlicePolicy()
        m.submodules.array = array = EccArray(
            lines=self.lines, line_bytes=self.link_bytes, ecc=self.ecc
        )
        m.submodules.combining = combining = CombiningLine(
            n_lines=self.lines, line_bytes=self.link_bytes, timeout=self.combine_timeout
        )

        answering = self._elaborate_answers(m, policy, array)
        self._elaborate_requests(m, policy, combining)
        self._elaborate_array(m, policy, array, combining)
        self._elaborate_counts(m, policy, array, combining, answering)
        m.d.comb += self.busy.eq(
            combining.held
            | policy.clearing
            | self.inject.valid
            | answering
            | policy.merge
            | policy.inject_write
            | self.read.response.valid
            | self.write.response.valid
            | self.read_line
            | self.write_line
            | self.corrected.any()
            | self.uncorrected.any()
        )
        return m

    def _elaborate_answers(self, m: Module, policy: SlicePolicy, array: EccArray) -> Signal:
        """The memory's output register is the first stage of an answer, two more wait behind it."""
        m.submodules.answers = answers = SkidBuffer(shape=self.read.response.payload.shape())
        wiring.connect(m, answers.o, wiring.flipped(self.read.response))
        tag = Signal.like(self.read.request.payload.tag)
        valid = Signal()  # an answer stands in the memory's output register
        answer = answers.i.payload
        m.d.comb += [
            answers.i.valid.eq(valid),
            answer.data.eq(array.r_data),
            answer.tag.eq(tag),
            answer.poison.eq(array.r_poison.any()),
            policy.read_room.eq(~valid | answers.i.ready),
        ]
        with m.If(policy.read_go):
            m.d.sync += [valid.eq(1), tag.eq(self.read.request.payload.tag)]
        with m.Elif(answers.i.ready):
            m.d.sync += valid.eq(0)
        answering = Signal()
        m.d.comb += answering.eq(valid & answers.i.ready)
        return answering

    def _elaborate_requests(self, m: Module, policy: SlicePolicy, combining: CombiningLine) -> None:
        """What the policy needs to know of the requests, and the acknowledgements."""
        m.submodules.acks = acks = SkidBuffer(shape=self.write.response.payload.shape())
        wiring.connect(m, acks.o, wiring.flipped(self.write.response))
        read, write = self.read.request, self.write.request
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
            policy.inject_valid.eq(self.inject.valid & self.ecc),
            policy.clear.eq(self.clear),
            self.clearing.eq(policy.clearing),
            self.inject.ready.eq(policy.inject_write | (not self.ecc)),
            read.ready.eq(policy.read_go),
            write.ready.eq(policy.write_go | policy.take),
            acks.i.valid.eq(write.ready),
            acks.i.payload.tag.eq(write.payload.tag),
            combining.line.eq(self._line(write.payload.address)),
            combining.w_data.eq(write.payload.data),
            combining.w_strobe.eq(write.payload.strobe),
            combining.take.eq(policy.take),
            combining.release.eq(policy.merge | policy.clear_go),
        ]

    def _elaborate_array(
        self, m: Module, policy: SlicePolicy, array: EccArray, combining: CombiningLine
    ) -> None:
        """Address, data and strobes of the chosen access."""
        write, fault = self.write.request.payload, self.inject.payload
        clear_line = Signal(range(self.lines))
        with m.If(policy.clear_go):
            m.d.sync += clear_line.eq(clear_line + 1)
        m.d.comb += [
            policy.clear_last.eq(clear_line == self.lines - 1),
            array.en.eq(
                policy.read_go
                | policy.write_go
                | policy.fetch
                | policy.merge
                | policy.inject_read
                | policy.inject_write
                | policy.clear_go
            ),
            array.write.eq(policy.write_go | policy.merge | policy.clear_go),
            array.flip.eq(policy.inject_write),
            array.flip_mask.eq(
                (Mux(fault.n >= 1, 1, 0) << fault.bit0) ^ (Mux(fault.n >= 2, 1, 0) << fault.bit1)
            ),
            array.strobe.eq(write.strobe),
            array.w_data.eq(write.data),
            array.address.eq(combining.line),
        ]
        with m.If(policy.read_go):
            m.d.comb += array.address.eq(self._line(self.read.request.payload.address))
        with m.Elif(policy.fetch | policy.merge):
            m.d.comb += array.address.eq(combining.held_line)
        with m.Elif(policy.inject_read | policy.inject_write):
            m.d.comb += array.address.eq(self._line(fault.address))
        with m.Elif(policy.clear_go):
            m.d.comb += array.address.eq(clear_line)
        with m.If(policy.clear_go):
            m.d.comb += [array.w_data.eq(0), array.strobe.eq(-1)]
        with m.Elif(policy.inject_write):
            word = fault.address[3 : self.link_bytes.bit_length() - 1]
            m.d.comb += array.strobe.eq(((1 << WORD_BYTES) - 1) << (WORD_BYTES * word))
        with m.Elif(policy.merge):
            self._elaborate_merge(m, array, combining)

    def _elaborate_merge(self, m: Module, array: EccArray, combining: CombiningLine) -> None:
        """The held bytes, and around them those that the array holds."""
        for index, strobe in enumerate(self._words(combining.strobe)):
            m.d.comb += [
                array.strobe.word_select(index, WORD_BYTES).eq(strobe.any().replicate(WORD_BYTES)),
                array.poison[index].eq(array.r_poison[index] & ~strobe.all()),
            ]
        for index in range(self.link_bytes):
            m.d.comb += array.w_data.word_select(index, 8).eq(
                Mux(
                    combining.strobe[index],
                    combining.data.word_select(index, 8),
                    array.r_data.word_select(index, 8),
                )
            )

    def _elaborate_counts(
        self,
        m: Module,
        policy: SlicePolicy,
        array: EccArray,
        combining: CombiningLine,
        answering: Signal,
    ) -> None:
        """Errors met by reads, and by merges in the words of which they keep something."""
        looked = Signal(self.n_words)
        with m.If(answering):
            m.d.comb += looked.eq(-1)
        with m.Elif(policy.merge):
            m.d.comb += looked.eq(
                Cat(strobe.any() & ~strobe.all() for strobe in self._words(combining.strobe))
            )
        m.d.sync += [
            self.corrected.eq(sum(array.r_corrected & looked)),
            self.uncorrected.eq(sum(array.r_poison & looked)),
            self.read_line.eq(policy.read_go),
            self.write_line.eq(self.write.request.ready),
        ]

    def _words(self, strobe: Value) -> list[Value]:
        """The strobe bits of each 8-byte word."""
        return [strobe.word_select(index, WORD_BYTES) for index in range(self.n_words)]
