# SPDX-License-Identifier: Apache-2.0
"""The chip behind its scan chain: a host that has four pins reaches SRAM, DRAM and registers."""

from typing import Any

import cocotb
import pytest
from amaranth.sim import Simulator

from hw.arch.address_map import CONTROL, DRAM, SRAM
from hw.chip.scan_harness import ScanHarness
from hw.chip.scan_shell import ScanShell
from hw.chip.top import HOST_ID_WIDTH
from hw.config import get_config
from hw.iface.axi import Axi4Port, AxiBurst, AxiResponse
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import python_rng
from tb.common.stream import Bench

CHIP_ID = 0x4D544941
PINS = ("scan_in", "scan_enable", "scan_apply")


def fpga_harness() -> ScanHarness:
    """The harness of that chip's shell, which knows where each signal is in the chains."""
    return ScanShell(get_config("fpga")).harness


class Controller:
    """What a board's controller does with the pins."""

    def __init__(self, dut: Any, harness: ScanHarness) -> None:
        self.dut, self.harness = dut, harness
        self.bench = Bench(dut)
        for name in PINS:
            dut[name].value = 0

    async def shift(self, bits: int) -> int:
        """Shift the driven signals in, the captured ones out."""
        n_out, n_in = self.harness.captured.size, self.harness.driven.size
        n_shifts = max(n_in, n_out)
        bits <<= n_shifts - n_in
        found = 0
        self.dut["scan_enable"].value = 1
        for index in range(n_shifts + 2):
            self.dut["scan_in"].value = bits >> index & 1
            self.dut["scan_enable"].value = int(index < n_shifts)
            await self.bench.wait(1)
            if 1 <= index <= n_out:
                found |= int(self.dut["scan_out"].value) << (index - 1)
        return found

    async def step(self, **values: int) -> dict[str, int]:
        """Drive these signals, the others zero, for a cycle; what was seen in it."""
        driven = dict.fromkeys((name for name, _ in self.harness.driven), 0) | values
        await self.shift(pack(self.harness.driven, driven))
        self.dut["scan_apply"].value = 1
        await self.bench.wait(1)
        self.dut["scan_apply"].value = 0
        await self.bench.wait(3)
        return unpack(self.harness.captured, await self.shift(0))

    async def offer(self, channel: str, **fields: int) -> None:
        """Send one item on a channel."""
        names = {f"{channel}{name}": value for name, value in fields.items()}
        await self.step(**{f"{channel}valid": 1}, **names)

    async def take(self, channel: str, n_tries: int = 4) -> dict[str, int]:
        """Receive one item from a channel."""
        for _ in range(n_tries):
            seen = await self.step(**{f"{channel}ready": 1})
            if seen[f"{channel}valid"]:
                names = {name: name.removeprefix(channel) for name in seen if channel in name}
                return {short: seen[name] for name, short in names.items()}
        raise AssertionError(f"Nothing came from {channel}.")

    async def write(self, address: int, value: int, strobe: int, size: int) -> None:
        """Write a beat as host."""
        burst = {"addr": address, "len": 0, "size": size, "burst": AxiBurst.INCR.value}
        await self.offer("host__aw", id=5, **burst)
        await self.offer("host__w", data=value, strb=strobe, last=1)
        response = await self.take("host__b")
        assert (response["id"], response["resp"]) == (5, AxiResponse.OKAY.value)

    async def ask(self, address: int, size: int = 4) -> None:
        """Ask for a beat as host."""
        burst = {"addr": address, "len": 0, "size": size, "burst": AxiBurst.INCR.value}
        await self.offer("host__ar", id=9, **burst)

    async def answer(self) -> int:
        """The beat that was asked for."""
        response = await self.take("host__r")
        assert (response["id"], response["resp"]) == (9, AxiResponse.OKAY.value)
        return response["data"]


@cocotb.test()
async def four_pins_reach_every_memory(dut: Any) -> None:
    """A signal at a wrong place of a chain, or a transfer too many, would show here."""
    controller = Controller(dut, fpga_harness())
    rng = python_rng("scan shell")
    await controller.bench.start()
    await controller.ask(CONTROL.base, size=2)
    assert await controller.answer() & 0xFFFFFFFF == CHIP_ID
    lines = {SRAM.base + 16 * rng.randrange(1 << 13): rng.getrandbits(128) for _ in range(2)}
    for address, value in lines.items():
        await controller.write(address, value, 0xFFFF, 4)
    for address, value in lines.items():
        await controller.ask(address)
        assert await controller.answer() == value
    beats = [rng.getrandbits(16) for _ in range(8)]
    await controller.ask(DRAM.base + 0x1230)
    request = await controller.take("memory__ar")
    assert (request["addr"], request["len"]) == (0x1230, 7)
    for index, beat in enumerate(beats):
        await controller.offer("memory__r", id=request["id"], data=beat, last=int(index == 7))
    assert await controller.answer() == sum(beat << 16 * i for i, beat in enumerate(beats))


@pytest.mark.slow
def test_chip_behind_its_scan_chain() -> None:
    """The whole chip, as it is placed and routed."""
    run_bench(ScanShell(get_config("fpga")), name="scan_shell_fpga", test_module=__name__)


def simulate(harness: ScanHarness, run: Any) -> None:
    """Run a test of a harness alone."""
    simulator = Simulator(harness)
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()


def small_harness() -> ScanHarness:
    """Narrow ports."""
    port = Axi4Port(address_width=8, data_width=8, id_width=HOST_ID_WIDTH)
    return ScanHarness(host=port, memory=port)


async def apply(context: Any, harness: ScanHarness, **values: int) -> None:
    """Shift in and apply; returns in the cycle in which the values stand at the ports."""
    bits = pack(harness.driven, dict.fromkeys((n for n, _ in harness.driven), 0) | values)
    context.set(harness.scan_enable, 1)
    for index in range(harness.driven.size):
        context.set(harness.scan_in, bits >> index & 1)
        await context.tick()
    context.set(harness.scan_enable, 0)
    context.set(harness.scan_apply, 1)
    await context.tick()
    context.set(harness.scan_apply, 0)
    await context.tick()


async def captured(context: Any, harness: ScanHarness) -> dict[str, int]:
    """Shift out what was captured in this cycle."""
    found = 0
    context.set(harness.scan_enable, 1)
    await context.tick()
    for index in range(harness.captured.size):
        found |= context.get(harness.scan_out) << index
        await context.tick()
    context.set(harness.scan_enable, 0)
    return unpack(harness.captured, found)


def test_an_offer_stays_until_it_is_taken() -> None:
    """With its payload, whatever is shifted and applied meanwhile; then it ends."""
    harness = small_harness()
    host: Any = harness.host

    async def run(context: Any) -> None:
        await apply(context, harness, host__awvalid=1, host__awaddr=0x5A, host__wdata=0x77)
        assert (context.get(host.awvalid), context.get(host.awaddr)) == (1, 0x5A)
        assert (context.get(host.wvalid), context.get(host.wdata)) == (0, 0)
        await apply(context, harness, host__awvalid=1, host__awaddr=0xFF)
        assert (context.get(host.awvalid), context.get(host.awaddr)) == (1, 0x5A)
        context.set(host.awready, 1)
        await context.tick()
        assert not context.get(host.awvalid)
        await apply(context, harness, host__awvalid=1, host__awaddr=0xA5)
        assert (context.get(host.awvalid), context.get(host.awaddr)) == (1, 0xA5)
        await context.tick()
        assert not context.get(host.awvalid)

    simulate(harness, run)


def test_an_item_is_taken_once_and_seen() -> None:
    """`ready` lasts for one cycle, and what stands at the ports in it is what comes out."""
    harness = small_harness()
    memory: Any = harness.memory

    async def run(context: Any) -> None:
        context.set(memory.arvalid, 1)
        context.set(memory.araddr, 0x12)
        await apply(context, harness, memory__arready=1)
        assert context.get(memory.arready)
        context.set(harness.irq, 1)
        await context.tick()
        assert not context.get(memory.arready)
        context.set(memory.araddr, 0x34)
        context.set(harness.irq, 0)
        seen = await captured(context, harness)
        assert (seen["memory__arvalid"], seen["memory__araddr"], seen["irq"]) == (1, 0x12, 1)
        assert seen["host__rvalid"] == 0

    simulate(harness, run)
