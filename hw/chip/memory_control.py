# SPDX-License-Identifier: Apache-2.0
"""Registers of the shared SRAM: error counts, fault injection, clearing; and the way there."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from hw.chip.registers import RegisterFile
from hw.mem.sram_slice import EccFault

__all__ = ["connect_memories", "elaborate_memory_control", "memory_control_members"]


def memory_control_members(count_width: int) -> dict[str, Any]:
    """Ports of a control block that has these registers.

    Members
    -------
    inject : Out(stream.Signature(EccFault)). clear : Out(1), clearing : In(1).
    corrected, uncorrected : In(count_width), ECC events of this cycle.
    """
    return {
        "inject": Out(stream.Signature(EccFault)),
        "clear": Out(1),
        "clearing": In(1),
        "corrected": In(count_width),
        "uncorrected": In(count_width),
    }


def connect_memories(m: Module, block: Any, parts: Sequence[Any]) -> None:
    """Connect memories, or groups of them, with a block that has those ports, or with their group.

    A fault is offered to all parts at once and is taken when all are ready; each knows whether it
    is meant.
    """
    m.d.comb += [
        block.inject.ready.eq(Cat(part.inject.ready for part in parts).all()),
        block.clearing.eq(Cat(part.clearing for part in parts).any()),
        block.corrected.eq(sum(part.corrected for part in parts)),
        block.uncorrected.eq(sum(part.uncorrected for part in parts)),
    ]
    for part in parts:
        m.d.comb += [
            part.inject.valid.eq(block.inject.valid),
            part.inject.payload.eq(block.inject.payload),
            part.clear.eq(block.clear),
        ]


def elaborate_memory_control(m: Module, block: Any, registers: RegisterFile) -> None:
    """Connect the registers of a control block with such ports."""
    corrected, uncorrected = Signal(32), Signal(32)
    fault = block.inject.payload
    m.d.sync += [
        corrected.eq(corrected + block.corrected),
        uncorrected.eq(uncorrected + block.uncorrected),
    ]
    m.d.comb += [
        registers.ecc_corrected_read.eq(corrected),
        registers.ecc_uncorrected_read.eq(uncorrected),
        fault.address.eq(Cat(registers.ecc_inject_lo, registers.ecc_inject_hi)),
        block.clear.eq(registers.sram_clear_write & registers.written[0]),
        registers.sram_clear_read.eq(block.clearing),
    ]
    with m.If(registers.ecc_inject_write):
        m.d.sync += [
            block.inject.valid.eq(1),
            fault.bit0.eq(registers.written[0:7]),
            fault.bit1.eq(registers.written[8:15]),
            fault.n.eq(registers.written[16:18]),
        ]
    with m.Elif(block.inject.ready):
        m.d.sync += block.inject.valid.eq(0)
