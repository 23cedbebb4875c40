# SPDX-License-Identifier: Apache-2.0
"""Elements of a beat out of the words in which it lies."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.formats import Format
from hw.pe.se.beat_reader import beat_layout
from hw.pe.se.sizes import Sizes

__all__ = ["Unpacker", "size_code"]


def size_code(m: Module, format_: Any, *, name: str) -> Signal:
    """log2 of the bytes of an element: 0, 1 or 2."""
    code = Signal(2, name=name)
    with m.Switch(format_):
        with m.Case(Format.INT8, Format.UINT8):
            m.d.comb += code.eq(0)
        with m.Case(Format.FP16, Format.BF16):
            m.d.comb += code.eq(1)
        with m.Default():
            m.d.comb += code.eq(2)
    return code


class Unpacker(wiring.Component):
    """Takes a beat's elements, or the two FP32 values of a row, out of two words.

    Without FP32 lanes beats are words of HELD values, as they are.

    Timing: combinational.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    beat : In(beat_layout).
    size : In(2), log2 of the bytes of an element.
    keep : In(lanes), elements that are used.
    values : Out(ArrayLayout(32, lanes)), elements, each in the low bits; what is above them has no
        meaning.
    wrong : Out(1), a used byte of an element has wrong parity.
    single : In(1), the beat is one FP32 value, or with `pair` two.
    pair : In(1).
    first, second : Out(32), these.
    wrong_second : Out(1), the wrong byte lies in the second word.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "beat": In(beat_layout(sizes)),
                "size": In(2),
                "keep": In(sizes.lanes),
                "values": Out(data.ArrayLayout(32, sizes.lanes)),
                "single": In(1),
                "pair": In(1),
                "first": Out(32),
                "second": Out(32),
                "wrong": Out(1),
                "wrong_second": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if not self.sizes.with_fp:
            used = Cat(bit.replicate(4) for bit in self.keep)
            m.d.comb += [
                self.values.as_value().eq(self.beat.words[0]),
                self.wrong.eq((self.beat.errors[0] & used).any()),
            ]
            return m
        used = self._elaborate_elements(m)
        with m.If(self.single):
            m.d.comb += used.eq(self._elaborate_single(m))
        errors = Cat(self.beat.errors[0], self.beat.errors[1])
        found = Signal(len(used))
        m.d.comb += [
            found.eq(used & errors),
            self.wrong.eq(found.any()),
            self.wrong_second.eq(~found[: self.sizes.word_bytes].any()),
        ]
        return m

    def _elaborate_elements(self, m: Module) -> Signal:
        """Elements of a beat; returns the bytes that are used."""
        sizes, lanes = self.sizes, self.sizes.lanes
        used = Signal(2 * sizes.word_bytes)
        bytes_used = Signal(4 * lanes)
        words = Cat(self.beat.words[0], self.beat.words[1])
        aligned = Signal(32 * lanes)
        # A beat begins at a multiple of its size: of `lanes` bytes at least.
        with m.Switch(self.beat.note.inside >> (lanes // sizes.unit_bytes).bit_length() - 1):
            for place in range(sizes.word_bytes // lanes):
                with m.Case(place):
                    m.d.comb += [
                        aligned.eq(words[8 * lanes * place :]),
                        used.eq(bytes_used << lanes * place),
                    ]
        with m.Switch(self.size):
            for code in range(3):
                width = 8 << code
                with m.Case(code):
                    m.d.comb += bytes_used.eq(Cat(bit.replicate(1 << code) for bit in self.keep))
                    m.d.comb += [
                        self.values[lane].eq(aligned[width * lane : width * (lane + 1)])
                        for lane in range(lanes)
                    ]
        return used

    def _elaborate_single(self, m: Module) -> Signal:
        """One or two FP32 values; returns the bytes that are used."""
        sizes = self.sizes
        words = Cat(self.beat.words[0], self.beat.words[1])
        used = Signal(2 * sizes.word_bytes, name="used_single")
        with m.Switch(self.beat.note.inside >> sizes.value_shift):
            for place in range(sizes.word_bytes // 4):
                with m.Case(place):
                    low = 32 * place
                    m.d.comb += [
                        self.first.eq(words[low : low + 32]),
                        self.second.eq(words[low + 32 : low + 64]),
                        used.eq(Cat(Const(0xF, 4), self.pair.replicate(4)) << 4 * place),
                    ]
        return used
