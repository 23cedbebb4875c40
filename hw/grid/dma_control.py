# SPDX-License-Identifier: Apache-2.0
"""Registers of the host's DMA engine, and the way from them to the engine."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.dma import DmaState, DmaWay
from hw.chip.registers import RegisterFile

__all__ = ["elaborate_dma_control"]


def elaborate_dma_control(m: Module, control: Any, registers: RegisterFile) -> Value:
    """Connect the registers with a `DmaControlPort`; returns whether the interrupt is wanted."""
    starts, state, refused = Signal(), Signal(2), Signal()
    ways = [registers.written[:2] == way.value for way in DmaWay]
    host, chip = (
        Cat(getattr(registers, f"dma_{end}_lo"), getattr(registers, f"dma_{end}_hi"))[:ADDRESS_BITS]
        for end in ("host", "chip")
    )
    m.d.comb += [
        starts.eq(registers.dma_start_write & (ways[0] | ways[1]) & (state != DmaState.BUSY)),
        registers.dma_state_read.eq(Cat(state, Const(0, 6), control.cause, refused)),
    ]
    # The engine is told a cycle later, and is busy from the next one on.
    m.d.sync += [
        control.start.eq(starts),
        control.abort.eq(registers.dma_abort_write & registers.written[0]),
    ]
    with m.If(registers.dma_start_write):
        m.d.sync += refused.eq(~starts)
    with m.If(starts):
        m.d.sync += [
            state.eq(DmaState.BUSY),
            control.to_host.eq(ways[1]),
            control.source.eq(Mux(ways[1], chip, host)),
            control.target.eq(Mux(ways[1], host, chip)),
            control.n_bytes.eq(registers.dma_bytes),
        ]
    with m.Elif((state == DmaState.BUSY) & ~control.start & ~control.busy):
        m.d.sync += state.eq(Mux(control.cause == 0, DmaState.DONE, DmaState.ERROR))
    return registers.dma_irq[0] & ((state == DmaState.DONE) | (state == DmaState.ERROR))
