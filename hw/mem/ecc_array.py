# SPDX-License-Identifier: Apache-2.0
"""The memory array of an SRAM slice, and its error correction in two steps."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.ecc import (
    CHECK_BITS,
    CODE_BITS,
    DATA_BITS,
    SecdedCorrector,
    SecdedEncoder,
    secded_syndrome,
)
from hw.lib.emit_once import EmitOnce
from hw.lib.sram import Sram

__all__ = ["WORD_BYTES", "EccArray", "LineCorrector"]

WORD_BYTES = DATA_BITS // 8
"""Bytes that share check bits."""


def _check_line(component: str, line_bytes: int) -> None:
    if line_bytes < WORD_BYTES or line_bytes % WORD_BYTES:
        raise ValueError(f"{component} line_bytes must be a multiple of 8, not {line_bytes!r}.")


class EccArray(wiring.Component):
    """Lines of `line_bytes` bytes; one line is read or written per cycle.

    Operation: in a cycle with `en`, `write` low reads `address`; `write` high writes the words
    whose `strobe` is set. With `ecc` a word is written as a whole (all eight strobe bits alike),
    with the check bits of `invert` inverted. What is read comes as it is stored, beside each word's
    syndrome, and goes through a `LineCorrector`. Without `ecc` strobes work by byte, `invert` has
    no meaning, and syndromes are zero.

    Timing: an access takes place in the cycle after it was given; `busy` is high then. `r_data` and
    `r_syndrome` belong to the latest read, from `latency` cycles after it was given until `latency`
    cycles after the next one. A large memory is many slow block RAMs far from one another: hence
    the registers before it and, where there is a syndrome to calculate, behind it.

    Parameters
    ----------
    lines : lines of the array, at least 2.
    line_bytes : bytes of a line, a multiple of 8.
    ecc : keep check bits, SECDED (72,64).

    Members
    -------
    en, write : In(1), what to do in this cycle.
    address : In(range(lines)).
    w_data, strobe, invert : In, data, a bit per byte, the check bits of each word to invert.
    r_data, r_syndrome : Out, data of the latest read as it is stored, 8 bits per word.
    busy : Out(1).

    Raises: ValueError when a line is not a multiple of 8 bytes.
    """

    def __init__(self, *, lines: int, line_bytes: int, ecc: bool = True) -> None:
        _check_line("EccArray", line_bytes)
        self.lines = lines
        self.line_bytes = line_bytes
        self.n_words = line_bytes // WORD_BYTES
        self.ecc = ecc
        self.latency = 3 if ecc else 2
        super().__init__(
            {
                "en": In(1),
                "write": In(1),
                "address": In(range(lines)),
                "w_data": In(8 * line_bytes),
                "strobe": In(line_bytes),
                "invert": In(CHECK_BITS * self.n_words),
                "r_data": Out(8 * line_bytes),
                "r_syndrome": Out(CHECK_BITS * self.n_words),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width, lane = (
            (CODE_BITS * self.n_words, CODE_BITS) if self.ecc else (8 * self.line_bytes, 8)
        )
        m.submodules.memory = memory = Sram(width=width, depth=self.lines, lane_width=lane)
        lanes = Cat(self.strobe[::WORD_BYTES]) if self.ecc else self.strobe
        w_data, invert = Signal.like(self.w_data), Signal.like(self.invert)
        m.d.comb += memory.en.eq(self.busy)
        m.d.sync += [
            # To the memory an empty mask means a read, which would change its output register.
            self.busy.eq(self.en & (~self.write | lanes.any())),
            memory.addr.eq(self.address),
            memory.w_mask.eq(Mux(self.write, lanes, 0)),
            # In every cycle: an enable for so many flip-flops would come late and far.
            w_data.eq(self.w_data),
            invert.eq(self.invert),
        ]
        if self.ecc:
            self._elaborate_words(m, memory, w_data, invert)
        else:
            m.d.comb += [memory.w_data.eq(w_data), self.r_data.eq(memory.r_data)]
        return m

    def _elaborate_words(self, m: Module, memory: Sram, w_data: Signal, invert: Signal) -> None:
        """An encoder and a syndrome for each word."""
        read = Signal.like(memory.r_data)
        m.d.sync += read.eq(memory.r_data)
        for index in range(self.n_words):
            stored = read.word_select(index, CODE_BITS)
            m.submodules[f"encoder{index}"] = encoder = EmitOnce(
                SecdedEncoder, key="secded_encoder"
            )
            m.d.comb += [
                encoder.data.eq(w_data.word_select(index, DATA_BITS)),
                encoder.invert.eq(invert.word_select(index, CHECK_BITS)),
                memory.w_data.word_select(index, CODE_BITS).eq(encoder.code),
                self.r_data.word_select(index, DATA_BITS).eq(stored[:DATA_BITS]),
                self.r_syndrome.word_select(index, CHECK_BITS).eq(secded_syndrome(stored)),
            ]


class LineCorrector(wiring.Component):
    """Corrects the words of a line that was read from an `EccArray`.

    Operation: a `SecdedCorrector` for each word.

    Timing: combinational.

    Parameters
    ----------
    line_bytes : bytes of a line, a multiple of 8.

    Members
    -------
    stored, syndrome : In, as an `EccArray` gives them.
    data : Out, corrected.
    corrected, lost : Out, a bit per word: one bit was corrected; the word is lost.

    Raises: ValueError when a line is not a multiple of 8 bytes.
    """

    def __init__(self, *, line_bytes: int) -> None:
        _check_line("LineCorrector", line_bytes)
        self.n_words = line_bytes // WORD_BYTES
        super().__init__(
            {
                "stored": In(8 * line_bytes),
                "syndrome": In(CHECK_BITS * self.n_words),
                "data": Out(8 * line_bytes),
                "corrected": Out(self.n_words),
                "lost": Out(self.n_words),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for index in range(self.n_words):
            m.submodules[f"word{index}"] = word = EmitOnce(SecdedCorrector, key="secded_corrector")
            m.d.comb += [
                word.stored.eq(self.stored.word_select(index, DATA_BITS)),
                word.syndrome.eq(self.syndrome.word_select(index, CHECK_BITS)),
                self.data.word_select(index, DATA_BITS).eq(word.data),
                self.corrected[index].eq(word.corrected),
                self.lost[index].eq(word.uncorrectable),
            ]
        return m
