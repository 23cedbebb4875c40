# SPDX-License-Identifier: Apache-2.0
"""A whole chip with a host and a DRAM in cocotb: memory, registers, jobs."""

from collections.abc import AsyncIterator
from typing import Any

from cocotb.triggers import RisingEdge

from hw.arch.address_map import CONTROL, DRAM
from hw.arch.commands import QUAD_BYTES
from hw.arch.csr import REGISTERS, DebugSpace, JobState, counter_offset
from hw.arch.units import State, Unit
from hw.config import ChipConfig
from tb.common.memory import axi_master, axi_pauses, axi_ram
from tb.common.stream import Bench

__all__ = ["ChipBench", "check_bytes"]

_STALL_LIMIT = 4_000


def check_bytes(found: bytes, expected: bytes) -> None:
    """Compare memory; the message names the first bytes that differ."""
    assert len(found) == len(expected)
    wrong = [i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    shown = ", ".join(f"{i}: {found[i]:#04x} not {expected[i]:#04x}" for i in wrong[:6])
    assert not wrong, f"{len(wrong)} of {len(found)} bytes differ, at {shown} ... {wrong[-1]}"


class ChipBench:
    """Drives one chip as a host does; memories start with random contents, SRAM is cleared.

    Parameters
    ----------
    config : what the chip was built from.
    share : share of cycles in which every AXI channel pauses.
    """

    def __init__(self, dut: Any, config: ChipConfig, *, share: float = 0.0) -> None:
        self.dut, self.config = dut, config
        self.bench = Bench(dut)
        self.host = axi_master(self.bench, "host")
        self.dram = axi_ram(self.bench, "dram", size=config.dram.size_bytes)
        if share:
            self._pause(share)

    def _pause(self, share: float) -> None:
        channels = {
            "aw": self.host.write_if.aw_channel,
            "w": self.host.write_if.w_channel,
            "b": self.host.write_if.b_channel,
            "ar": self.host.read_if.ar_channel,
            "r": self.host.read_if.r_channel,
            "dram aw": self.dram.write_if.aw_channel,
            "dram w": self.dram.write_if.w_channel,
            "dram b": self.dram.write_if.b_channel,
            "dram ar": self.dram.read_if.ar_channel,
            "dram r": self.dram.read_if.r_channel,
        }
        for name, channel in channels.items():
            channel.set_pause_generator(axi_pauses(name, share))

    async def start(self) -> None:
        """Reset, and clear the SRAM as a host does after power-on."""
        await self.bench.start()
        await self.set_register("SRAM_CLEAR", 1)
        while await self.register("SRAM_CLEAR"):
            await self.bench.wait(64)

    @property
    def irq(self) -> bool:
        """Level of the interrupt."""
        return bool(int(self.dut["irq"].value))

    async def write(self, address: int, data: bytes) -> None:
        """Write through the host port."""
        answer = await self.host.write(address, data)
        assert int(answer.resp) == 0, f"write to {address:#x} answered {answer.resp}"

    async def read(self, address: int, n_bytes: int) -> bytes:
        """Read through the host port."""
        answer = await self.host.read(address, n_bytes)
        assert int(answer.resp) == 0, f"read of {address:#x} answered {answer.resp}"
        return bytes(answer.data)

    def write_dram(self, address: int, data: bytes) -> None:
        """Fill DRAM by the back door."""
        self.dram.write(address - DRAM.base, data)

    def read_dram(self, address: int, n_bytes: int) -> bytes:
        """Read DRAM by the back door."""
        return bytes(self.dram.read(address - DRAM.base, n_bytes))

    async def register(self, name: str) -> int:
        """Read a control register."""
        return await self.word(REGISTERS[name].offset)

    async def word(self, offset: int) -> int:
        """Read 32 bits of the control region."""
        answer = await self.host.read(CONTROL.base + offset, 4, size=2)
        assert int(answer.resp) == 0
        return int.from_bytes(answer.data, "little")

    async def set_register(self, name: str, value: int) -> None:
        """Write a control register."""
        address = CONTROL.base + REGISTERS[name].offset
        answer = await self.host.write(address, value.to_bytes(4, "little"), size=2)
        assert int(answer.resp) == 0

    async def counter(self, name: str) -> int:
        """A performance counter in the snapshot."""
        offset = counter_offset(name)
        return await self.word(offset) | await self.word(offset + 4) << 32

    async def start_job(self, commands: bytes, address: int, *, store: bool = True) -> None:
        """Store a command list and start it."""
        if store:
            await self.write(address, commands)
        await self.set_register("JOB_LIST_LO", address & 0xFFFFFFFF)
        await self.set_register("JOB_LIST_HI", address >> 32)
        await self.set_register("JOB_LIST_QUADS", len(commands) // QUAD_BYTES)
        await self.set_register("JOB_START", 1)

    async def finish(self) -> JobState:
        """Wait for the interrupt; a job that makes no progress fails the test with what waits."""
        last, quiet = await self.register("PROGRESS"), 0
        edge = RisingEdge(self.dut["clk"])
        while not self.irq:
            for _ in range(500):
                await edge
                if self.irq:
                    break
            now = await self.register("PROGRESS")
            quiet = 0 if now != last else quiet + 500
            last = now
            if quiet > _STALL_LIMIT and not self.irq:
                raise AssertionError("No progress: " + "; ".join([t async for t in self.waits()]))
        return JobState(await self.register("JOB_STATE"))

    async def run_job(self, commands: bytes, address: int, *, expect: int | None = None) -> None:
        """Run a job that must end well, with the status `expect` if given."""
        await self.start_job(commands, address)
        state = await self.finish()
        assert state == JobState.DONE, await self.error()
        if expect is not None:
            assert await self.register("JOB_STATUS") == expect

    async def error(self) -> str:
        """The error registers, for messages."""
        parts = [
            f"{name} {await self.register(name):#x}"
            for name in REGISTERS
            if name.startswith("ERROR_")
        ]
        return ", ".join(parts)

    async def debug(self, space: DebugSpace, index: int, word: int) -> int:
        """One word of the debug port."""
        await self.set_register("DEBUG_SELECT", space << 24 | index << 8 | word)
        return await self.register("DEBUG_DATA")

    async def waits(self) -> AsyncIterator[str]:
        """What every unit is doing, one line each."""
        for unit in Unit:
            if unit in (Unit.MLU, Unit.SE, Unit.CP):
                continue
            word = await self.debug(DebugSpace.UNIT, unit, 0)
            steps = await self.debug(DebugSpace.UNIT, unit, 2)
            yield (
                f"{unit.name} {State(word & 0xFF).name} cb {word >> 8 & 0xFF}"
                f" bank {word >> 16 & 0xFF} queue {word >> 24} steps {steps}"
            )
