# SPDX-License-Identifier: Apache-2.0
"""One bank of local memory: data and parity, one access per cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.sram import Sram

__all__ = ["LsBank", "byte_parity"]


def byte_parity(value: Value) -> Value:
    """One bit per byte of `value`: whether the number of ones is odd."""
    return Cat(value[start : start + 8].xor() for start in range(0, len(value), 8))


class LsBank(wiring.Component):
    """A single-port memory of words with a write mask and a parity bit per byte.

    Operation: as `Sram`; parity bits are stored as given and returned as stored.

    Timing: `r_data` and `r_parity` come in the cycle after the read.

    Parameters
    ----------
    depth : words of the bank.
    word_bytes : bytes of a word.
    parity : whether parity bits are stored; else `r_parity` is zero.

    Members
    -------
    en, addr, w_mask, w_data, r_data : as those of `Sram`, a mask bit per byte.
    w_parity : In(word_bytes), parity bits to write.
    r_parity : Out(word_bytes), parity bits of the word read.
    """

    def __init__(self, *, depth: int, word_bytes: int, parity: bool = True) -> None:
        self.depth = depth
        self.word_bytes = word_bytes
        self.parity = parity
        super().__init__({
            "en": In(1),
            "addr": In(range(depth)),
            "w_mask": In(word_bytes),
            "w_data": In(8 * word_bytes),
            "w_parity": In(word_bytes),
            "r_data": Out(8 * word_bytes),
            "r_parity": Out(word_bytes),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.data = data = Sram(width=8 * self.word_bytes, depth=self.depth, lane_width=8)
        memories = [(data, self.w_data, self.r_data)]
        if self.parity:
            m.submodules.check = check = Sram(
                width=self.word_bytes, depth=self.depth, lane_width=1
            )
            memories.append((check, self.w_parity, self.r_parity))
        for memory, w_data, r_data in memories:
            m.d.comb += [
                memory.en.eq(self.en),
                memory.addr.eq(self.addr),
                memory.w_mask.eq(self.w_mask),
                memory.w_data.eq(w_data),
                r_data.eq(memory.r_data),
            ]
        return m
