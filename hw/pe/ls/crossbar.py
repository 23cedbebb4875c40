# SPDX-License-Identifier: Apache-2.0
"""Banks of local memory and the selections between them and the slots."""

from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config.tree import LsConfig
from hw.lib.select import choose, number_of
from hw.lib.sram import Sram

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
    r_en, w_en : In(n), slots that have an access in this cycle.
    r_address, w_address : In(word address).array(n).
    r_data, r_error : Out(word, a bit per byte).array(n), two cycles after the read; held.
    w_data, w_mask : In(word, a bit per byte).array(n).
    inject : In(word_bytes), inverts these bytes' parity in what is written in this cycle.
    """
    address_width = (config.words - 1).bit_length()
    word, mask = 8 * config.word_bytes, config.word_bytes
    return wiring.Signature(
        {
            "r_en": In(n_reads),
            "r_address": In(address_width).array(n_reads),
            "r_data": Out(word).array(n_reads),
            "r_error": Out(mask).array(n_reads),
            "w_en": In(n_writes),
            "w_address": In(address_width).array(n_writes),
            "w_data": In(word).array(n_writes),
            "w_mask": In(mask).array(n_writes),
            "inject": In(mask),
        }
    )


class LsBank(wiring.Component):
    """A single-port memory of words with a write mask and a parity bit per byte.

    Operation: as `Sram`; parity bits are stored as given and returned as stored. Byte and parity
    lie together, as in block RAM whose bytes have 9 bits.

    Timing: `r_data` and `r_parity` come in the cycle after the read.

    Parameters
    ----------
    depth : words of the bank.
    word_bytes : bytes of a word.
    parity : whether parity bits are stored; else `r_parity` is 0.

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
        super().__init__(
            {
                "en": In(1),
                "addr": In(range(depth)),
                "w_mask": In(word_bytes),
                "w_data": In(8 * word_bytes),
                "w_parity": In(word_bytes),
                "r_data": Out(8 * word_bytes),
                "r_parity": Out(word_bytes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lane = 9 if self.parity else 8
        m.submodules.memory = memory = Sram(
            width=lane * self.word_bytes, depth=self.depth, lane_width=lane
        )
        m.d.comb += [
            memory.en.eq(self.en),
            memory.addr.eq(self.addr),
            memory.w_mask.eq(self.w_mask),
        ]
        for byte in range(self.word_bytes):
            at, bits = lane * byte, slice(8 * byte, 8 * byte + 8)
            m.d.comb += [
                memory.w_data[at : at + 8].eq(self.w_data[bits]),
                self.r_data[bits].eq(memory.r_data[at : at + 8]),
            ]
            if self.parity:
                m.d.comb += [
                    memory.w_data[at + 8].eq(self.w_parity[byte]),
                    self.r_parity[byte].eq(memory.r_data[at + 8]),
                ]
        return m


class LsCrossbar(wiring.Component):
    """A memory array made of single-port banks.

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
        targets = []  # for each slot, reads first: the bank it has
        for address in (*self.r_address, *self.w_address):
            target = Signal(range(n_banks), name=f"target{len(targets)}")
            m.d.comb += target.eq(bank_of(address, n_banks))
            targets.append(target)
        parities = [Signal(self.config.word_bytes, name=f"parity{i}") for i in range(self.n_writes)]
        if self.config.parity:
            for parity, data in zip(parities, self.w_data, strict=True):
                m.d.comb += parity.eq(byte_parity(data) ^ self.inject)
        banks = []
        for number in range(n_banks):
            bank = LsBank(
                depth=self.config.words // n_banks,
                word_bytes=self.config.word_bytes,
                parity=self.config.parity,
            )
            m.submodules[f"bank{number}"] = bank
            self._elaborate_access(m, number, bank, targets, parities)
            banks.append(bank)
        for i in range(self.n_reads):
            self._elaborate_return(m, i, targets[i], banks)
        return m

    def _elaborate_access(
        self, m: Module, number: int, bank: LsBank, targets: list[Signal], parities: list[Signal]
    ) -> None:
        """Bring the access of the slot that has bank `number` to it."""
        row_from = (self.config.banks - 1).bit_length()
        enables = Cat(self.r_en, self.w_en)
        hits = Signal(self.n_reads + self.n_writes, name=f"hits{number}")
        m.d.comb += [
            hits.eq(Cat(enables[i] & (target == number) for i, target in enumerate(targets))),
            bank.en.eq(hits.any()),
            bank.addr.eq(
                choose(
                    [address[row_from:] for address in (*self.r_address, *self.w_address)],
                    number_of(hits),
                )
            ),
        ]
        if self.n_writes:
            writes = hits[self.n_reads :]
            source = Signal(range(max(2, self.n_writes)), name=f"w_source{number}")
            m.d.comb += [
                source.eq(number_of(writes)),
                bank.w_mask.eq(
                    choose(self.w_mask, source) & writes.any().replicate(self.config.word_bytes)
                ),
                bank.w_data.eq(choose(self.w_data, source)),
                bank.w_parity.eq(choose(parities, source)),
            ]

    def _elaborate_return(self, m: Module, i: int, target: Signal, banks: list[LsBank]) -> None:
        """Bring the word that read slot `i` got to its response register."""
        reading = Signal(name=f"reading{i}")
        source = Signal.like(target, name=f"source{i}")
        word = Signal(8 * self.config.word_bytes, name=f"word{i}")
        parity = Signal(self.config.word_bytes, name=f"word_parity{i}")
        m.d.sync += reading.eq(self.r_en[i])
        with m.If(self.r_en[i]):
            m.d.sync += source.eq(target)
        m.d.comb += [
            word.eq(choose([bank.r_data for bank in banks], source)),
            parity.eq(choose([bank.r_parity for bank in banks], source)),
        ]
        with m.If(reading):
            m.d.sync += self.r_data[i].eq(word)
            if self.config.parity:
                m.d.sync += self.r_error[i].eq(byte_parity(word) ^ parity)
