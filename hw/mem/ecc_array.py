# SPDX-License-Identifier: Apache-2.0
"""The memory array of an SRAM slice, with its error correction."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.ecc import CODE_BITS, DATA_BITS, SecdedDecoder, SecdedEncoder
from hw.lib.emit_once import EmitOnce
from hw.lib.sram import Sram

__all__ = ["WORD_BYTES", "EccArray"]

WORD_BYTES = DATA_BITS // 8
"""Bytes that share check bits."""


class EccArray(wiring.Component):
    """Lines of `line_bytes` bytes; one line is read or written per cycle.

    Operation: in a cycle with `en`, `write` low reads `address`; `write` high writes the words
    whose `strobe` is set. With `ecc` a word is written as a whole (all eight strobe bits alike)
    and, with its bit of `poison`, in a form that every later read finds uncorrectable. `flip` in
    place of `write` inverts the bits of `flip_mask` in the words of `strobe`; it must follow a
    read of the same line, whose stored form it changes. Without `ecc` strobes work by byte;
    `poison` and `flip` have no meaning.

    Timing: `r_data`, `r_corrected` and `r_poison` belong to the latest read, from the cycle after
    it until the cycle after the next one; the decoder is behind the memory's output register.

    Parameters
    ----------
    lines : lines of the array, at least 2.
    line_bytes : bytes of a line, a multiple of 8.
    ecc : keep check bits, SECDED (72,64).

    Members
    -------
    en, write, flip : In(1), what to do in this cycle.
    address : In(range(lines)).
    w_data, strobe, poison : In, data, a bit per byte, a bit per word.
    flip_mask : In(72), bits of a stored word to invert.
    r_data : Out, data of the latest read, corrected.
    r_corrected, r_poison : Out, a bit per word: one bit was corrected; the word is lost.

    Raises: ValueError when a line is not a multiple of 8 bytes.
    """

    def __init__(self, *, lines: int, line_bytes: int, ecc: bool = True) -> None:
        if line_bytes < WORD_BYTES or line_bytes % WORD_BYTES:
            raise ValueError(f"EccArray line_bytes must be a multiple of 8, not {line_bytes!r}.")
        self.lines = lines
        self.line_bytes = line_bytes
        self.n_words = line_bytes // WORD_BYTES
        self.ecc = ecc
        super().__init__(
            {
                "en": In(1),
                "write": In(1),
                "flip": In(1),
                "address": In(range(lines)),
                "w_data": In(8 * line_bytes),
                "strobe": In(line_bytes),
                "poison": In(self.n_words),
                "flip_mask": In(CODE_BITS),
                "r_data": Out(8 * line_bytes),
                "r_corrected": Out(self.n_words),
                "r_poison": Out(self.n_words),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width, lane = (
            (CODE_BITS * self.n_words, CODE_BITS) if self.ecc else (8 * self.line_bytes, 8)
        )
        m.submodules.memory = memory = Sram(width=width, depth=self.lines, lane_width=lane)
        m.d.comb += [
            # To the memory an empty mask means a read, which would change its output register.
            memory.en.eq(self.en & (~(self.write | self.flip) | memory.w_mask.any())),
            memory.addr.eq(self.address),
        ]
        if self.ecc:
            self._elaborate_words(m, memory)
        else:
            m.d.comb += [
                memory.w_mask.eq(Mux(self.write, self.strobe, 0)),
                memory.w_data.eq(self.w_data),
                self.r_data.eq(memory.r_data),
            ]
        return m

    def _elaborate_words(self, m: Module, memory: Sram) -> None:
        """One encoder and one decoder per word."""
        with m.If(self.write | self.flip):
            m.d.comb += memory.w_mask.eq(Cat(self.strobe[::WORD_BYTES]))
        for index in range(self.n_words):
            stored = memory.r_data.word_select(index, CODE_BITS)
            written = memory.w_data.word_select(index, CODE_BITS)
            encoder = EmitOnce(SecdedEncoder, key="secded_encoder")
            decoder = EmitOnce(SecdedDecoder, key="secded_decoder")
            m.submodules[f"encoder{index}"] = encoder
            m.submodules[f"decoder{index}"] = decoder
            m.d.comb += [
                encoder.data.eq(self.w_data.word_select(index, DATA_BITS)),
                encoder.poison.eq(self.poison[index]),
                decoder.code.eq(stored),
                self.r_data.word_select(index, DATA_BITS).eq(decoder.data),
                self.r_corrected[index].eq(decoder.corrected),
                self.r_poison[index].eq(decoder.uncorrectable),
                written.eq(Mux(self.flip, stored ^ self.flip_mask, encoder.code)),
            ]
