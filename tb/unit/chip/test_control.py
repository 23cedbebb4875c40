# SPDX-License-Identifier: Apache-2.0
"""The control block: every register, and every way through the life of a job."""

from typing import Any

import cocotb
from amaranth.hdl import unsigned
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer
from cocotb.utils import get_sim_time

from hw.arch.csr import COUNTER_BASE, COUNTERS, RANGE_REGISTERS, REGISTERS, JobState
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.chip.control import ControlBlock
from hw.iface.control import ControlWrite
from hw.iface.limits import FabricLimits
from hw.mem.sram_slice import EccFault
from hw.pe.cp.traps import ElementTrap
from hw.pe.wqe import ListStart
from tb.common.payload import pack, unpack
from tb.common.runner import CLOCK_PERIOD_NS, run_bench
from tb.common.seeds import python_rng
from tb.common.stream import Bench, check_equal, sometimes

CONFIG_ID = 0x89ABCDEF


class Device:
    """The control block with a host in front, and an element behind that the test plays."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.bench = Bench(dut)
        self.writes = self.bench.source("port__write", ControlWrite)
        self.reads = self.bench.source("port__read", unsigned(12))
        self.answers = self.bench.sink("port__answer", unsigned(32))
        self.jobs = self.bench.sink("job", ListStart, sometimes())
        self.faults = self.bench.sink("inject", EccFault, sometimes())
        self.resets: list[int] = []
        self.powered = -2  # last cycle of the chip's own reset
        self.snapshots = 0
        for name in ("job_done", "job_status", "trap", "quiet", "progress", "debug_data"):
            dut[name].value = 0
        for name in ("counter_data", "clearing", "corrected", "uncorrected"):
            dut[name].value = 0
        dut["settled"].value = dut["remote_idle"].value = 1
        self.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Note snapshots, and resets but for that of power-on, which lasts a cycle longer."""
        if int(self.dut["rst"].value):
            self.powered = cycle
        if int(self.dut["element_reset"].value):
            if cycle > self.powered + 1:
                self.resets.append(cycle)
        else:
            assert cycle != self.powered + 1, "the element starts before it was reset"
        self.snapshots += int(self.dut["snapshot"].value)

    def drive(self) -> None:
        """Show a counter's number as its value, a cycle late as the counter file does."""
        index = int(self.dut["counter_index"].value)
        self.dut["counter_data"].value = index << 8 | int(self.dut["counter_word"].value)

    def reset(self) -> None:
        """Nothing to forget."""

    async def read(self, name: str) -> int:
        """Read a register."""
        return await self.read_at(REGISTERS[name].offset)

    async def read_at(self, offset: int) -> int:
        """Read at an offset."""
        self.reads.send(offset)
        return (await self.answers.receive(1))[0]

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        self.writes.send({"offset": REGISTERS[name].offset, "data": value})
        await self.writes.drained()
        await self.bench.wait(2)

    async def start_job(self, address: int = 0x1234567890, quads: int = 7) -> None:
        """Start a job, and check that it arrives."""
        await self.write("JOB_LIST_LO", address & 0xFFFFFFFF)
        await self.write("JOB_LIST_HI", address >> 32)
        await self.write("JOB_LIST_QUADS", quads)
        n_resets = len(self.resets)
        await self.write("JOB_START", 1)
        check_equal(await self.jobs.receive(1), [{"address": address, "quads": quads}])
        assert len(self.resets) == n_resets + 1
        assert self.resets[-1] < self.jobs.cycles[-1]

    async def pulse(self, name: str) -> None:
        """Raise an input for a cycle."""
        self.dut[name].value = 1
        await self.bench.wait(1)
        self.dut[name].value = 0
        await self.bench.wait(1)


@cocotb.test()
async def every_register_is_where_the_table_says(dut: Any) -> None:
    """Writable registers keep what was written, the others ignore it; holes read zero."""
    device = Device(dut)
    await device.bench.start()
    rng = python_rng("registers")
    assert await device.read("ID") == 0x4D544941
    assert await device.read("CONFIG") == CONFIG_ID
    kept = [r for r in REGISTERS.values() if r.access == "rw" and r.name != "SRAM_CLEAR"]
    values = {register.name: rng.getrandbits(32) for register in kept}
    for _ in range(4):
        values = {name: value ^ 0xFFFFFFFF for name, value in values.items()}
        values |= dict.fromkeys(rng.sample(list(values), 8), rng.getrandbits(32))
        for name, value in values.items():
            await device.write(name, value)
        for name, value in values.items():
            assert await device.read(name) == value, name
    for register in REGISTERS.values():
        if register.access == "ro":
            await device.write(register.name, 0xFFFFFFFF)
    assert await device.read("ID") == 0x4D544941
    assert await device.read("JOB_STATE") == JobState.IDLE
    dut["progress"].value, dut["debug_data"].value = 0x11223344, 0x55667788
    assert await device.read("PROGRESS") == 0x11223344
    assert await device.read("DEBUG_DATA") == 0x55667788
    assert int(dut["debug_select"].value) == values["DEBUG_SELECT"]


@cocotb.test()
async def holes_and_write_only_registers_read_zero(dut: Any) -> None:
    """A comparison of addresses that forgets a bit would show a register twice, or write it."""
    device = Device(dut)
    await device.bench.start()
    kept = [r for r in REGISTERS.values() if r.access == "rw" and r.name != "SRAM_CLEAR"]
    for register in kept:
        await device.write(register.name, 0xFFFFFFFF)
    offsets = {register.offset for register in REGISTERS.values()}
    empty = [offset for offset in range(0, 0x1000, 4) if offset not in offsets]
    device.writes.send_all({"offset": offset, "data": 1} for offset in empty)
    await device.writes.drained()
    await device.bench.wait(4)
    assert [await device.read(register.name) for register in kept] == [0xFFFFFFFF] * len(kept)
    assert not (device.snapshots or device.resets or device.jobs.items or device.faults.valid)
    assert await device.read("JOB_STATE") == JobState.IDLE
    readable = {register.offset for register in REGISTERS.values() if register.access != "wo"}
    readable |= {COUNTER_BASE + 4 * word for word in range(2 * len(COUNTERS))}
    holes = [offset for offset in range(0, 0x1000, 4) if offset not in readable]
    device.reads.send_all(holes)
    assert await device.answers.receive(len(holes)) == [0] * len(holes)


@cocotb.test()
async def counters_are_read_through_the_window(dut: Any) -> None:
    """Two words for each counter; a snapshot is asked for by a write of 1 alone."""
    device = Device(dut)
    await device.bench.start()
    for index in range(len(COUNTERS)):
        for word in range(2):
            found = await device.read_at(COUNTER_BASE + 8 * index + 4 * word)
            assert found == index << 8 | word
    assert await device.read_at(COUNTER_BASE + 8 * len(COUNTERS)) == 0
    await device.write("SNAPSHOT", 0)
    assert device.snapshots == 0
    await device.write("SNAPSHOT", 1)
    assert device.snapshots == 1


@cocotb.test()
async def a_job_runs_to_done_and_its_cycles_are_counted(dut: Any) -> None:
    """State, status, interrupt and cycle count of a job that ends well; then a second one."""
    device = Device(dut)
    await device.bench.start()
    for status in (77, 0xFFFFFFFF):
        await device.start_job(quads=status & 0xFF)
        assert await device.read("JOB_STATE") == JobState.RUNNING
        assert not int(dut["irq"].value)
        started = device.resets[-1]
        await device.bench.wait(50)
        dut["job_status"].value = status
        ended = device.bench.cycle
        await device.pulse("job_done")
        assert int(dut["irq"].value)
        dut["job_status"].value = 0
        assert await device.read("JOB_STATE") == JobState.DONE
        assert await device.read("JOB_STATUS") == status
        cycles = await device.read("JOB_CYCLES_LO")
        # The reset is two cycles after the start was taken.
        assert cycles == ended - started + 2
        assert await device.read("JOB_CYCLES_HI") == 0


@cocotb.test()
async def a_long_job_is_counted(dut: Any) -> None:
    """Carries of the cycle count up to bit 20; no agent looks on, so that they come quickly."""
    Device(dut)
    for name in ("port__write__valid", "port__read__valid"):
        dut[name].value = 0
    dut["job__ready"].value = 1
    Clock(dut["clk"], CLOCK_PERIOD_NS, unit="ns").start()
    dut["rst"].value = 1
    await RisingEdge(dut["clk"])
    await RisingEdge(dut["clk"])
    dut["rst"].value = 0

    async def pulse(name: str) -> float:
        dut[name].value = 1
        await RisingEdge(dut["clk"])
        dut[name].value = 0
        return get_sim_time("ns")

    async def read(name: str) -> int:
        dut["port__read__payload"].value = REGISTERS[name].offset
        await pulse("port__read__valid")
        await RisingEdge(dut["port__answer__valid"])
        value = int(dut["port__answer__payload"].value)
        await FallingEdge(dut["port__answer__valid"])
        return value

    start = {"offset": REGISTERS["JOB_START"].offset, "data": 1}
    dut["port__write__payload"].value = pack(ControlWrite, start)
    await pulse("port__write__valid")
    await RisingEdge(dut["element_reset"])
    begin = get_sim_time("ns")
    await Timer(CLOCK_PERIOD_NS * ((1 << 20) + 99), "ns")
    end = await pulse("job_done")
    await RisingEdge(dut["clk"])
    cycles = await read("JOB_CYCLES_LO") | await read("JOB_CYCLES_HI") << 32
    assert cycles == (end - begin) // CLOCK_PERIOD_NS + 1


@cocotb.test()
async def a_trap_drains_resets_and_reports(dut: Any) -> None:
    """The first error is kept, the element is reset once when quiet, the next job starts clean."""
    device = Device(dut)
    await device.bench.start()
    await device.start_job()
    error = {
        "valid": 1,
        "cause": Trap.CB_SHARED,
        "unit": Unit.DPE,
        "opcode": 0x42,
        "tag": 0xBEEF,
        "info": 0xCAFEF00D,
    }
    dut["trap"].value = pack(ElementTrap, error)
    await device.bench.wait(4)
    assert await device.read("JOB_STATE") == JobState.ABORTING
    assert int(dut["halt_request"].value) and not int(dut["irq"].value)
    assert len(device.resets) == 1
    await device.write("JOB_START", 1)  # ignored
    dut["quiet"].value = 1
    await device.bench.until(lambda: len(device.resets) == 2)
    dut["quiet"].value = 0
    dut["trap"].value = 0
    await device.bench.wait(3)
    assert int(dut["irq"].value) and not int(dut["halt_request"].value)
    assert await device.read("JOB_STATE") == JobState.ERROR
    assert await device.read("ERROR_CAUSE") == Trap.CB_SHARED
    assert await device.read("ERROR_UNIT") == Unit.DPE | 0x42 << 8 | 0xBEEF << 16
    assert await device.read("ERROR_INFO") == 0xCAFEF00D
    await device.start_job()
    assert await device.read("ERROR_CAUSE") == 0
    await device.pulse("job_done")
    assert await device.read("JOB_STATE") == JobState.DONE
    assert len(device.jobs.items) == 2 and len(device.resets) == 3


@cocotb.test()
async def an_abort_halts_at_any_moment(dut: Any) -> None:
    """Without a job it does nothing; also between start and the first command it works."""
    device = Device(dut)
    await device.bench.start()
    await device.write("JOB_ABORT", 1)
    assert await device.read("JOB_STATE") == JobState.IDLE
    assert not int(dut["halt_request"].value)
    for wait in range(8):
        device.writes.send({"offset": REGISTERS["JOB_START"].offset, "data": 1})
        await device.bench.wait(wait + 1)
        await device.write("JOB_ABORT", 1)
        await device.bench.until(lambda: int(dut["halt_request"].value))
        dut["trap"].value = pack(
            ElementTrap,
            {"valid": 1, "cause": Trap.ABORTED, "unit": Unit.CP, "opcode": 0, "tag": 0, "info": 0},
        )
        dut["quiet"].value = 1
        await device.bench.until(lambda: int(dut["irq"].value))
        dut["quiet"].value = dut["trap"].value = 0
        assert await device.read("JOB_STATE") == JobState.ERROR
        assert await device.read("ERROR_CAUSE") == Trap.ABORTED


@cocotb.test()
async def a_start_waits_for_what_is_still_on_its_way(dut: Any) -> None:
    """A line that arrives after the reset would be taken for one of the new job."""
    device = Device(dut)
    await device.bench.start()
    dut["settled"].value = 0
    await device.write("JOB_START", 1)
    await device.bench.wait(30)
    assert not device.resets and not device.jobs.items
    assert await device.read("JOB_STATE") == JobState.RUNNING
    dut["settled"].value = 1
    await device.jobs.receive(1)
    assert len(device.resets) == 1


@cocotb.test()
async def a_reset_waits_for_accesses_from_outside(dut: Any) -> None:
    """An access to local memory that a reset swallowed would never be answered."""
    device = Device(dut)
    await device.bench.start()
    assert not int(dut["remote_hold"].value)
    dut["remote_idle"].value = 0
    await device.write("JOB_START", 1)
    await device.bench.wait(20)
    assert int(dut["remote_hold"].value) and not device.resets
    dut["remote_idle"].value = 1
    await device.jobs.receive(1)
    await device.bench.wait(1)
    assert len(device.resets) == 1 and not int(dut["remote_hold"].value)
    dut["remote_idle"].value = 0
    await device.write("JOB_ABORT", 1)
    await device.bench.wait(10)
    assert not int(dut["remote_hold"].value)  # its own requests may need somebody else's memory
    dut["quiet"].value = 1
    await device.bench.wait(10)
    assert int(dut["remote_hold"].value) and len(device.resets) == 1
    dut["remote_idle"].value = 1
    await device.bench.until(lambda: int(dut["irq"].value))
    assert len(device.resets) == 2 and not int(dut["remote_hold"].value)


@cocotb.test()
async def limits_follow_their_registers(dut: Any) -> None:
    """After reset everything is allowed; then each field is where its register says."""
    device = Device(dut)
    await device.bench.start()
    limits = unpack(FabricLimits, int(dut["limits"].value))
    every = {"first": 0, "last": 0xFFFFFFFF, "may_read": 1, "may_write": 1}
    nothing = dict.fromkeys(every, 0)
    free = {"rate": 0, "burst": 0}
    assert limits == {"ranges": [every, *[nothing] * 3], "read": free, "write": free}
    for index, registers in enumerate(RANGE_REGISTERS):
        for register, value in zip(registers, (index + 5, index + 9, index), strict=True):
            await device.write(register.name, value)
    await device.write("FI_READ_SHAPE", 0x00120034)
    await device.write("FI_WRITE_SHAPE", 0x00560078)
    limits = unpack(FabricLimits, int(dut["limits"].value))
    for index, found in enumerate(limits["ranges"]):
        may = {"may_read": index & 1, "may_write": index >> 1}
        assert found == {"first": index + 5, "last": index + 9} | may
    assert limits["read"] == {"rate": 0x34, "burst": 0x12}
    assert limits["write"] == {"rate": 0x78, "burst": 0x56}


@cocotb.test()
async def faults_and_clearing_reach_the_sram_and_errors_come_back(dut: Any) -> None:
    """The registers of the shared SRAM."""
    device = Device(dut)
    await device.bench.start()
    await device.write("ECC_INJECT_LO", 0x12345678)
    await device.write("ECC_INJECT_HI", 0x9)
    await device.write("ECC_INJECT", 71 | 5 << 8 | 2 << 16)
    expected = {"address": 0x912345678, "bit0": 71, "bit1": 5, "n": 2}
    check_equal(await device.faults.receive(1), [expected])
    dut["corrected"].value, dut["uncorrected"].value = 3, 1
    await device.bench.wait(5)
    dut["corrected"].value = dut["uncorrected"].value = 0
    await device.bench.wait(2)
    assert await device.read("ECC_CORRECTED") == 15
    assert await device.read("ECC_UNCORRECTED") == 5
    cleared: list[int] = []
    for value, pulses in ((0, 0), (1, 1)):
        device.writes.send({"offset": REGISTERS["SRAM_CLEAR"].offset, "data": value})
        for _ in range(6):
            await device.bench.wait(1)
            cleared += [1] * int(dut["clear"].value)
        assert len(cleared) == pulses
    dut["clearing"].value = 1
    assert await device.read("SRAM_CLEAR") == 1
    dut["clearing"].value = 0
    assert await device.read("SRAM_CLEAR") == 0


def test_control_block() -> None:
    """The control block follows the table of registers."""
    run_bench(
        ControlBlock(config_id=CONFIG_ID, count_width=4),
        name="control_block",
        test_module=__name__,
    )
