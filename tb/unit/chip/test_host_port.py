# SPDX-License-Identifier: Apache-2.0
"""The host's AXI4 port: data, order, responses, registers."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import unsigned
from cocotbext.axi import AxiBurstType, AxiResp

from hw.arch.address_map import CONTROL, DRAM, PE_WINDOWS
from hw.chip.host_port import HostPort
from hw.iface.control import ControlWrite
from tb.common.memory import MemoryModel, axi_master, axi_pauses
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal

SRAM_BYTES, DRAM_BYTES, LOCAL_BYTES = 1 << 13, 1 << 14, 1 << 12
SHARES = {"none": 0.0, "sink": 0.5}


class Registers:
    """Register file behind the control port; every read returns a function of its offset."""

    def __init__(self, bench: Bench) -> None:
        self._writes = bench.sink("control__write", ControlWrite)
        self._reads = bench.sink("control__read", unsigned(12))
        self._answers = bench.source("control__answer", unsigned(32))
        self._seen = 0
        bench.add(self)

    @property
    def writes(self) -> list[tuple[int, int]]:
        """Offset and data of every write."""
        return [(item["offset"], item["data"]) for item in self._writes.items]

    @staticmethod
    def value(offset: int) -> int:
        """What a register holds."""
        return offset * 0x01020304 & 0xFFFFFFFF

    def sample(self, cycle: int) -> None:
        """Answer a read in the next cycle."""
        for offset in self._reads.items[self._seen :]:
            self._answers.send(self.value(offset))
        self._seen = len(self._reads.items)

    def drive(self) -> None:
        """The streams drive themselves."""

    def reset(self) -> None:
        """Nothing to forget."""


class Device:
    """The port with a host, a memory of two regions and registers."""

    def __init__(self, dut: Any) -> None:
        parameters = bench_parameters()
        self.link_bytes = parameters["link_bytes"]
        self.bench = Bench(dut)
        self.host = axi_master(self.bench, "axi")
        pause = bench_parameters()["pauses"]
        _, sink = BACK_PRESSURE[pause]
        common = {"link_bytes": self.link_bytes, "pauses": sink()}
        # One flat model is enough: SRAM lies at 0, and DRAM is not asked for here.
        self.memory = MemoryModel(
            self.bench, "sram", tag_width=4, size=SRAM_BYTES, read="read", write="none", **common
        )
        self.sink = MemoryModel(
            self.bench, "sram", tag_width=1, size=SRAM_BYTES, read="none", write="write", **common
        )
        self.sink.data = self.memory.data
        self.registers = Registers(self.bench)
        share = SHARES[pause if pause in SHARES else "sink"]
        if share:
            for name in ("aw", "w"):
                channel = getattr(self.host.write_if, f"{name}_channel")
                channel.set_pause_generator(axi_pauses(name, share))
            self.host.write_if.b_channel.set_pause_generator(axi_pauses("b", share))
            self.host.read_if.ar_channel.set_pause_generator(axi_pauses("ar", share))
            self.host.read_if.r_channel.set_pause_generator(axi_pauses("r", share))

    async def start(self) -> None:
        """Reset."""
        await self.bench.start()


@cocotb.test()
async def data_arrives_at_any_address_length_and_beat_size(dut: Any) -> None:
    """A wrong strobe, address step or order would damage a byte."""
    device = Device(dut)
    await device.start()
    rng = python_rng("host data")
    expected = bytearray(device.memory.data)
    for _ in range(40):
        length = rng.choice((1, 3, 4, 8, 64, rng.randint(1, 700)))
        address = rng.randrange(SRAM_BYTES - length)
        size = rng.choice((None, 2, 0, 3)) if length < 100 else None
        if rng.random() < 0.5:
            payload = rng.randbytes(length)
            await device.host.write(address, payload, size=size)
            expected[address : address + length] = payload
            assert device.memory.data == expected
        else:
            got = await device.host.read(address, length, size=size)
            assert got.resp == AxiResp.OKAY
            assert got.data == expected[address : address + length]


@cocotb.test()
async def reads_of_many_ids_overlap_and_all_return(dut: Any) -> None:
    """A lost slot or ID would leave a read unanswered or answer it with foreign data."""
    device = Device(dut)
    await device.start()
    rng = python_rng("host ids")
    jobs = []
    for index in range(24):
        length = rng.randint(1, 300)
        address = rng.randrange(SRAM_BYTES - length)
        jobs.append((address, length, device.host.init_read(address, length, arid=index % 8)))
    for address, length, job in jobs:
        await job.wait()
        assert job.data.data == device.memory.data[address : address + length]


@cocotb.test()
async def registers_are_read_and_written_word_by_word(dut: Any) -> None:
    """A register access must reach the register once, with the right word."""
    device = Device(dut)
    await device.start()
    base = CONTROL.base
    await device.host.write(base + 0x10, bytes(range(8)), size=2)
    check_equal(device.registers.writes, [(0x10, 0x03020100), (0x14, 0x07060504)])
    got = await device.host.read(base + 0x400, 64, size=2)
    words = [int.from_bytes(got.data[i : i + 4], "little") for i in range(0, 64, 4)]
    check_equal(words, [Registers.value(0x400 + 4 * i) for i in range(16)])


@cocotb.test()
async def what_does_not_exist_answers_decerr(dut: Any) -> None:
    """The host must see a wrong address, and nothing may be written."""
    device = Device(dut)
    await device.start()
    before = bytes(device.memory.data)
    for address in (
        SRAM_BYTES,
        DRAM.base + DRAM_BYTES,
        PE_WINDOWS.base + LOCAL_BYTES,
        1 << 38,
        1 << 39,
        CONTROL.base + 0x1000,
    ):
        answer = await device.host.write(address, b"\x55" * 4, size=2)
        assert answer.resp == AxiResp.DECERR, f"{address:#x}"
        got = await device.host.read(address, 4, size=2)
        assert got.resp == AxiResp.DECERR, f"{address:#x}"
    assert device.memory.data == before
    assert not device.registers.writes


@cocotb.test()
async def what_the_chip_cannot_do_answers_slverr(dut: Any) -> None:
    """FIXED and WRAP bursts and wide or torn register accesses are refused, not done wrongly."""
    device = Device(dut)
    await device.start()
    before = bytes(device.memory.data)
    data = bytes(4 * device.link_bytes)
    for burst in (AxiBurstType.FIXED, AxiBurstType.WRAP):
        answer = await device.host.write(0, data, burst=burst)
        assert answer.resp == AxiResp.SLVERR
        got = await device.host.read(0, len(data), burst=burst)
        assert got.resp == AxiResp.SLVERR
    answer = await device.host.write(CONTROL.base + 0x10, b"\1\2\3\4", size=1)
    assert answer.resp == AxiResp.SLVERR
    answer = await device.host.write(CONTROL.base + 0x11, b"\1\2", size=2)
    assert answer.resp == AxiResp.SLVERR
    got = await device.host.read(CONTROL.base, 8, size=3)
    assert got.resp == AxiResp.SLVERR
    assert device.memory.data == before
    assert not device.registers.writes


@cocotb.test()
async def errors_of_the_memory_reach_the_host(dut: Any) -> None:
    """An error or a poisoned line answers SLVERR, anywhere in a burst; the next is clean."""
    device = Device(dut)
    await device.start()
    line = device.link_bytes
    device.memory.poisoned.add(2 * line)
    device.memory.bad.add(5 * line)
    device.sink.bad.add(3 * line)
    for first, n_lines, failed in ((0, 2, False), (0, 4, True), (3, 2, False), (4, 2, True)):
        got = await device.host.read(first * line, n_lines * line)
        assert (got.resp == AxiResp.SLVERR) == failed
    for first, failed in ((0, False), (2, True), (4, False)):
        answer = await device.host.write(first * line, bytes(2 * line))
        assert (answer.resp == AxiResp.SLVERR) == failed


@cocotb.test()
async def a_burst_moves_one_beat_per_cycle(dut: Any) -> None:
    """The documented rate: a burst of n beats takes n cycles and a constant."""
    device = Device(dut)
    await device.start()
    if bench_parameters()["pauses"] != "none":
        return
    line, n_beats = device.link_bytes, min(256, 4096 // device.link_bytes)
    start = device.bench.cycle
    await device.host.read(0, n_beats * line)
    assert device.bench.cycle - start <= n_beats + 24
    start = device.bench.cycle
    await device.host.write(0, bytes(n_beats * line))
    assert device.bench.cycle - start <= n_beats + 24


@cocotb.test()
async def reset_in_the_middle_leaves_the_port_usable(dut: Any) -> None:
    """Nothing of the time before the reset may come out after it."""
    device = Device(dut)
    await device.start()
    device.host.init_read(0, 900)
    device.host.init_write(1024, bytes(600))
    await device.bench.wait(20)
    await device.bench.reset()
    got = await device.host.read(64, 300)
    assert got.data == device.memory.data[64:364]


@pytest.mark.parametrize("pauses", sorted(BACK_PRESSURE))
@pytest.mark.parametrize("link_bytes", [16, 64])
def test_host_port(link_bytes: int, pauses: str) -> None:
    """The port serves the host under every back-pressure."""
    run_bench(
        HostPort(
            link_bytes=link_bytes,
            id_width=4,
            sram_bytes=SRAM_BYTES,
            dram_bytes=DRAM_BYTES,
            local_bytes=LOCAL_BYTES,
        ),
        name=f"host_port_{link_bytes}",
        test_module=__name__,
        parameters={"link_bytes": link_bytes, "pauses": pauses},
    )


def test_slots_must_be_a_power_of_two() -> None:
    """The ring of slots wraps with its counter."""
    with pytest.raises(ValueError, match="read_slots must be a power of two from 2, not 6"):
        HostPort(
            link_bytes=16,
            id_width=4,
            sram_bytes=4096,
            dram_bytes=4096,
            local_bytes=4096,
            read_slots=6,
        )


@pytest.mark.parametrize("name", ["sram_bytes", "dram_bytes", "local_bytes"])
def test_memories_end_with_a_page(name: str) -> None:
    """Where a burst goes is found once, from its first address."""
    sizes = dict.fromkeys(("sram_bytes", "dram_bytes", "local_bytes"), 4096) | {name: 2048}
    with pytest.raises(ValueError, match=f"{name} is 2048; it must be a multiple of 4096"):
        HostPort(link_bytes=16, id_width=4, **sizes)
