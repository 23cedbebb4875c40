# SPDX-License-Identifier: Apache-2.0
"""A whole grid in cocotb: a host, DRAM channels and a host's memory that do what AXI4 allows.

The runtime (`sw.runtime.grid.Grid`) drives it through `BenchPort`, whose calls block: a test calls
what uses it with `GridBench.call`, and everything else goes on meanwhile.
"""

import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import cocotb
from cocotb.task import bridge, resume
from cocotb.triggers import First, RisingEdge, Timer
from cocotbext.axi import AxiResp

from hw.arch.address_map import CONTROL
from hw.arch.csr import GRID_REGISTERS
from hw.config import ChipConfig
from hw.generate import TOP_MODULE
from hw.grid.chip import GridChip
from sim.build_cache import BuildCache
from sim.compiled import AccessError
from sim.compiled.build import chip_verilog
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulators_folder
from tb.common.late_memory import LateMemory, axi_stalls
from tb.common.memory import axi_master
from tb.common.runner import CLOCK_PERIOD_NS, run_bench
from tb.common.stream import Bench

__all__ = ["BenchPort", "GridBench", "bench_port", "run_grid_bench"]

_HOST_MEMORY_BYTES = 1 << 40
_LOG_LEVEL = 30  # warnings
_PATIENCE = 20_000
"""Cycles after which an access of the host is taken not to end."""

P = ParamSpec("P")
R = TypeVar("R")


class GridBench:
    """A chip with everything around it.

    Parameters
    ----------
    dut : the chip.
    config : what it was built from.
    share : share of the cycles in which each AXI channel pauses, for itself.
    latency : cycles that a memory usually takes at most.
    """

    def __init__(
        self, dut: Any, config: ChipConfig, *, share: float = 0.3, latency: int = 80
    ) -> None:
        assert config.dram.channels == 1, "lines of DRAM lie in one channel"
        self.dut, self.config = dut, config
        self.bench = Bench(dut)
        self.host = axi_master(self.bench, "host")
        self.dram = LateMemory(self.bench, "dram0", size=config.dram.size_bytes, latency=latency)
        self.host_memory = LateMemory(
            self.bench, "host_memory", size=_HOST_MEMORY_BYTES, latency=latency
        )
        for part in (self.host.write_if, self.host.read_if):
            part.log.setLevel(_LOG_LEVEL)
        self.port = BenchPort(self)
        self.stall(share)

    def stall(self, share: float) -> None:
        """Pause every channel in this share of the cycles."""
        for memory in (self.dram, self.host_memory):
            memory.stall(share)
        writes, reads = self.host.write_if, self.host.read_if
        for name in ("aw", "w", "b", "ar", "r"):
            channel = getattr(reads if name in ("ar", "r") else writes, f"{name}_channel")
            channel.set_pause_generator(axi_stalls(f"host {name}", share) if share else None)

    async def start(self) -> Grid:
        """Reset, and clear the SRAM as a host does after power-on; the chip as the runtime sees
        it."""
        await self.bench.start()
        grid = await self.call(Grid, self.port, self.config)
        await self.call(grid.clear_sram)
        return grid

    async def call(self, function: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Run what uses the runtime."""
        return await bridge(function)(*args, **options)

    async def write(self, address: int, data: bytes, *, size: int | None = None) -> AxiResp:
        """Write as the host; what it was answered."""
        return (await self._ends(self.host.write(address, data, size=size))).resp

    async def read(
        self, address: int, n_bytes: int, *, size: int | None = None
    ) -> tuple[AxiResp, bytes]:
        """Read as the host."""
        answer = await self._ends(self.host.read(address, n_bytes, size=size))
        return answer.resp, bytes(answer.data)

    async def register(self, name: str) -> int:
        """Read one of the chip's registers."""
        response, data = await self.read(_address(name), 4, size=2)
        assert response == AxiResp.OKAY
        return int.from_bytes(data, "little")

    async def set_register(self, name: str, value: int) -> None:
        """Write one of the chip's registers."""
        data = value.to_bytes(4, "little")
        assert await self.write(_address(name), data, size=2) == AxiResp.OKAY

    async def _ends(self, access: Any) -> Any:
        """The result of an access, unless the chip does not answer."""
        task = cocotb.start_soon(access)
        await First(task.complete, Timer(_PATIENCE * CLOCK_PERIOD_NS, "ns"))
        assert task.done(), "the chip does not answer the host"
        return task.result()

    async def run(self, n_cycles: int) -> bool:
        """Let time pass until the interrupt is high, at most so long; whether it is."""
        irq = self.dut["irq"]
        if not int(irq.value):
            await First(RisingEdge(irq), Timer(n_cycles * CLOCK_PERIOD_NS, "ns"))
        await self.bench.wait(1)
        return bool(int(irq.value))


class BenchPort:
    """A chip in cocotb as `sw.runtime.port.HostPort`, with back doors as the compiled simulator
    has them; for functions that run in `GridBench.call`."""

    def __init__(self, chip: GridBench) -> None:
        self._chip = chip
        self._write, self._read = resume(chip.write), resume(chip.read)
        self._run = resume(chip.run)

    @property
    def cycles(self) -> int:
        """Clock cycles since power-on."""
        return self._chip.bench.cycle

    def write(self, address: int, data: bytes) -> None:
        """Host write through the AXI4 port."""
        _check(self._write(address, data), "write", address)

    def read(self, address: int, n_bytes: int) -> bytes:
        """Host read through the AXI4 port."""
        response, data = self._read(address, n_bytes)
        _check(response, "read", address)
        return data

    def write_register(self, address: int, value: int) -> None:
        """32-bit host write."""
        _check(self._write(address, value.to_bytes(4, "little"), size=2), "write", address)

    def read_register(self, address: int) -> int:
        """32-bit host read."""
        response, data = self._read(address, 4, size=2)
        _check(response, "read", address)
        return int.from_bytes(data, "little")

    def run(self, n_cycles: int) -> bool:
        """Let time pass until the interrupt is high, at most `n_cycles`; whether it is."""
        return self._run(n_cycles)

    def close(self) -> None:
        """The simulation ends by itself."""

    def write_dram(self, offset: int, data: bytes) -> None:
        """Fill DRAM by the back door."""
        self._chip.dram.write(offset, data)

    def read_dram(self, offset: int, n_bytes: int) -> bytes:
        """Read DRAM by the back door."""
        return bytes(self._chip.dram.read(offset, n_bytes))

    def write_host_memory(self, address: int, data: bytes) -> None:
        """Fill the host's memory, which the DMA engine reads."""
        self._chip.host_memory.write(address, data)

    def read_host_memory(self, address: int, n_bytes: int) -> bytes:
        """Read the host's memory, which the DMA engine writes."""
        return bytes(self._chip.host_memory.read(address, n_bytes))


def bench_port(grid: Grid) -> BenchPort:
    """What is behind the grid, whose memories can be looked at past the chip."""
    assert isinstance(grid.port, BenchPort)
    return grid.port


def run_grid_bench(config: ChipConfig, test_module: str) -> None:
    """Run the cocotb tests of a module on a member; one build serves all."""
    name = f"grid_{config.name}"
    text, _seconds = chip_verilog(config, BuildCache(simulators_folder()), grid=True)
    run_bench(
        GridChip(config),
        name=name,
        test_module=test_module,
        verilog=re.sub(rf"\b{TOP_MODULE}\b", name, text),
        tile="tile",
    )


def _address(name: str) -> int:
    """Of a register of the chip."""
    return CONTROL.base + GRID_REGISTERS[name].offset


def _check(response: AxiResp, what: str, address: int) -> None:
    if response != AxiResp.OKAY:
        name = AxiResp(response).name
        raise AccessError(f"The chip answered {name} to a host {what} at 0x{address:010x}.")
