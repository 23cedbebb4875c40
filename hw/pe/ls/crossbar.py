# SPDX-License-Identifier: Apache-2.0
"""Banks of local memory and the selections between them and the slots."""

from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config.element import LsConfig
from hw.lib.select import one_of
from hw.lib.sram import DualPortSram, Sram

__all__ = ["LsBank", "LsCrossbar", "array_signature", "bank_of", "byte_parity"]


def byte_parity(value: Value) -> Value:
    """One bit per byte of `value`: whether the number of ones is odd."""
    return Cat(value[start : start + 8].xor() for start in range(0, len(value), 8))


def bank_of(address: Value, n_banks: int) -> Value:
    """Bank of a word address: XOR of all its groups; the group on top may be narrower."""
    width = (n_banks - 1).bit_length()
    groups = [address[start : start + width] for start in range(0, len(address), width)]
    return reduce(xor, groups)


def array_signature(config: LsConfig, n_reads: int, n_writes: int) -> wiring.Signature:
    """Ports of a memory array whose slots never ask for the same bank in one cycle.

    Members
    -------
    r_bank, w_bank : In(banks).array(n), bank that the slot has in this cycle, or none.
    r_address, w_address : In(word address).array(n).
    r_data, r_error : Out(word, a bit per byte).array(n), two cycles after the read; held.
    w_data, w_mask : In(word, a bit per byte).array(n).
    inject : In(word_bytes), inverts these bytes' parity in what is written in this cycle.
    """
    address_width = (config.words - 1).bit_length()
    word, mask = 8 * config.word_bytes, config.word_bytes
    return wiring.Signature(
        {
            "r_bank": In(config.banks).array(n_reads),
            "r_address": In(address_width).array(n_reads),
            "r_data": Out(word).array(n_reads),
            "r_error": Out(mask).array(n_reads),
            "w_bank": In(config.banks).array(n_writes),
            "w_address": In(address_width).array(n_writes),
            "w_data": In(word).array(n_writes),
            "w_mask": In(mask).array(n_writes),
            "inject": In(mask),
        }
    )


class LsBank(wiring.Component):
    """A memory of words with a write mask and a parity bit per byte.

    Operation: `r_en` reads, a `w_mask` other than 0 writes: one of the two in a cycle, unless the
    bank has `two_port`, and then not the same word. The address that is not in use is 0. Parity
    bits are stored as given and returned as stored; they lie beside their byte, as in block RAM
    whose bytes have 9 bits.

    Timing: `r_data` and `r_parity` come in the cycle after the read.

    Parameters
    ----------
    config : sizes of the local memory.

    Members
    -------
    r_en, r_addr, w_addr, w_mask, w_data, r_data : as those of `DualPortSram`, a mask bit per byte.
    w_parity : In(word_bytes), parity bits to write.
    r_parity : Out(word_bytes), parity bits of the word read; 0 without parity.
    """

    def __init__(self, *, config: LsConfig) -> None:
        self.config = config
        self.depth = config.words // config.banks
        size = config.word_bytes
        super().__init__(
            {
                "r_en": In(1),
                "r_addr": In(range(self.depth)),
                "w_addr": In(range(self.depth)),
                "w_mask": In(size),
                "w_data": In(8 * size),
                "w_parity": In(size),
                "r_data": Out(8 * size),
                "r_parity": Out(size),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size, lane = self.config.word_bytes, 9 if self.config.parity else 8
        sizes = {"width": lane * size, "depth": self.depth, "lane_width": lane}
        if self.config.two_port:
            m.submodules.memory = memory = DualPortSram(**sizes, keeps_old=False)
            m.d.comb += [
                memory.r_en.eq(self.r_en),
                memory.r_addr.eq(self.r_addr),
                memory.w_addr.eq(self.w_addr),
            ]
        else:
            m.submodules.memory = memory = Sram(**sizes)
            m.d.comb += [
                memory.en.eq(self.r_en | self.w_mask.any()),
                memory.addr.eq(self.r_addr | self.w_addr),
            ]
        m.d.comb += memory.w_mask.eq(self.w_mask)
        for byte in range(size):
            at, bits = lane * byte, slice(8 * byte, 8 * byte + 8)
            m.d.comb += [
                memory.w_data[at : at + 8].eq(self.w_data[bits]),
                self.r_data[bits].eq(memory.r_data[at : at + 8]),
            ]
            if self.config.parity:
                m.d.comb += [
                    memory.w_data[at + 8].eq(self.w_parity[byte]),
                    self.r_parity[byte].eq(memory.r_data[at + 8]),
                ]
        return m


class LsCrossbar(wiring.Component):
    """A memory array made of banks.

    Operation: each bank takes address, data and mask of the slot that has it; each read slot takes
    the word of the bank it had. Parity is made at the slot and checked at the response.

    Timing: see `array_signature`.

    Parameters
    ----------
    config : sizes.
    n_reads, n_writes : slots.

    Members: see `array_signature`.
    """

    def __init__(self, *, config: LsConfig, n_reads: int, n_writes: int) -> None:
        self.config = config
        self.n_reads = n_reads
        self.n_writes = n_writes
        super().__init__(array_signature(config, n_reads, n_writes))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n_banks = self.config.banks
        parities = [Signal(self.config.word_bytes, name=f"parity{i}") for i in range(self.n_writes)]
        if self.config.parity:
            for parity, data in zip(parities, self.w_data, strict=True):
                m.d.comb += parity.eq(byte_parity(data) ^ self.inject)
        banks = []
        for number in range(n_banks):
            m.submodules[f"bank{number}"] = bank = LsBank(config=self.config)
            self._elaborate_access(m, number, bank, parities)
            banks.append(bank)
        for i in range(self.n_reads):
            self._elaborate_return(m, i, banks)
        return m

    def _elaborate_access(
        self, m: Module, number: int, bank: LsBank, parities: list[Signal]
    ) -> None:
        """Bring the access of the slot that has bank `number` to it."""
        row_from = (self.config.banks - 1).bit_length()
        reads = Signal(self.n_reads, name=f"reads{number}")
        writes = Signal(self.n_writes, name=f"writes{number}")
        m.d.comb += [
            reads.eq(Cat(banks[number] for banks in self.r_bank)),
            writes.eq(Cat(banks[number] for banks in self.w_bank)),
            bank.r_en.eq(reads.any()),
            bank.r_addr.eq(_gated([address[row_from:] for address in self.r_address], reads)),
            bank.w_addr.eq(_gated([address[row_from:] for address in self.w_address], writes)),
            bank.w_mask.eq(_gated(self.w_mask, writes)),
            bank.w_data.eq(one_of(self.w_data, writes)),
            bank.w_parity.eq(one_of(parities, writes)),
        ]

    def _elaborate_return(self, m: Module, i: int, banks: list[LsBank]) -> None:
        """Bring the word that read slot `i` got to its response register."""
        source = Signal(len(banks), name=f"source{i}")  # the bank that it had
        word = Signal(8 * self.config.word_bytes, name=f"word{i}")
        parity = Signal(self.config.word_bytes, name=f"word_parity{i}")
        m.d.sync += source.eq(self.r_bank[i])
        m.d.comb += [
            word.eq(one_of([bank.r_data for bank in banks], source)),
            parity.eq(one_of([bank.r_parity for bank in banks], source)),
        ]
        with m.If(source.any()):
            m.d.sync += self.r_data[i].eq(word)
            if self.config.parity:
                m.d.sync += self.r_error[i].eq(byte_parity(word) ^ parity)


def _gated(options: Sequence[Value], flags: Value) -> Value:
    """The option whose flag is set; 0 if none is, even of a single option."""
    return one_of([*options, Const(0, len(options[0]))], Cat(flags, Const(0, 1)))
