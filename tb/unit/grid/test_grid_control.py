# SPDX-License-Identifier: Apache-2.0
"""The control block of a grid: pages, accesses to elements, starts, progress."""

import random
from typing import Any

import cocotb
import pytest
from amaranth.hdl import unsigned

from hw.arch.csr import ELEMENT_REGISTERS, GRID_REGISTERS, N_JOBS, PAGE_BITS, ControlPage
from hw.arch.dma import DMA_REFUSED, DmaCause, DmaState, DmaWay
from hw.arch.traffic import SIDE_PAGE_BITS, SIDE_TRAFFIC_MOST
from hw.chip.control import IDENTITY
from hw.grid.control import GRID_CONTROL_BITS, GridControl
from hw.grid.control_flits import Report, access_layout, report_layout
from hw.grid.signal_flits import message_layout
from hw.iface.control import control_write
from hw.mem.sram_slice import EccFault
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal, sometimes

ROWS, COLUMNS, POSITIONS, SIDES = 2, 3, 3, 3
CONFIG_ID = 0x89ABCDEF
START = ELEMENT_REGISTERS["JOB_START"].offset
SNAPSHOT = ELEMENT_REGISTERS["SNAPSHOT"].offset
OTHERS = ("SRAM_CLEAR", "GRID_LEFT_OUT")  # does not keep, is for members with a spare row
KEPT = [r for r in GRID_REGISTERS.values() if r.access == "rw" and r.name not in OTHERS]
PLACES = [(row, column) for row in range(ROWS) for column in range(COLUMNS)]


def page_of(place: tuple[int, int]) -> int:
    """Page of an element, there or not."""
    return ControlPage.ELEMENTS + 16 * place[0] + place[1]


def count_of(side: int, index: int) -> int:
    """What the test has a side show as a counter."""
    return 0x1000_0000 * (side + 1) + index


class Device:
    """The block with the host in front, and elements behind that the test plays."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("grid control")
        source, _ = BACK_PRESSURE[pauses]
        bench = self.bench
        access, report = access_layout(POSITIONS), report_layout(POSITIONS)
        self.writes = bench.source("port__write", control_write(GRID_CONTROL_BITS), source())
        self.reads = bench.source("port__read", unsigned(GRID_CONTROL_BITS), source())
        self.answers = bench.sink("port__answer", unsigned(32))
        # Lanes always have room for an access, so these never pause.
        self.down = [bench.sink(f"down__{row}", access) for row in range(ROWS)]
        self.up = [bench.source(f"up__{row}", report, source()) for row in range(ROWS)]
        self.messages = bench.source("messages", message_layout())
        self.faults = bench.sink("inject", EccFault, sometimes())
        for name in ("clearing", "corrected", "uncorrected"):
            dut[name].value = 0
        self.move({})
        self.values: dict[tuple[int, int], int] = {}
        self._seen = [0] * ROWS
        self._n_started = 0
        self.pulses = {"freeze": 0, "clear": 0}
        self._asked = [0] * SIDES
        self.told = {"start": 0, "abort": 0}  # to the DMA engine, in so many cycles
        dut["dma__busy"].value = dut["dma__cause"].value = 0
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Answer reads of elements, as these would; and look at what sides are told."""
        for name in self.pulses:
            pins = [int(self.dut[f"traffic__{side}__{name}"].value) for side in range(SIDES)]
            assert len(set(pins)) == 1
            self.pulses[name] += pins[0]
        for side, asked in enumerate(self._asked):
            self.dut[f"traffic__{side}__value"].value = count_of(side, asked)
            self._asked[side] = int(self.dut[f"traffic__{side}__index"].value)
        for name in self.told:
            self.told[name] += int(self.dut[f"dma__{name}"].value)
        if int(self.dut["dma__start"].value):
            self.dut["dma__busy"].value = 1
        for row, lane in enumerate(self.down):
            for flit in lane.items[self._seen[row] :]:
                if flit["is_read"]:
                    column = flit["mask"].bit_length() - 1
                    assert flit["mask"] == 1 << column
                    self.values[row, column] = value = self.rng.getrandbits(32)
                    self.report(row, column, Report.ANSWER, value)
            self._seen[row] = len(lane.items)

    def drive(self) -> None:
        """Nothing beside the streams."""

    def reset(self) -> None:
        """Starts are counted anew."""
        self._n_started = 0

    def move(self, columns: dict[int, int]) -> None:
        """Which columns move, a bit each, in these rows; none in others."""
        for row in range(ROWS):
            self.dut[f"moved__{row}"].value = columns.get(row, 0)

    def report(
        self, row: int, column: int, kind: Report, value: int = 0, job: int = 0, failed: int = 0
    ) -> None:
        """Have an element report something."""
        self.up[row].send(
            {"data": value, "position": column, "kind": kind, "job": job, "failed": failed}
        )

    async def write(self, page: int, offset: int, value: int) -> None:
        """Write a register, and let it arrive."""
        self.writes.send({"offset": page << PAGE_BITS | offset, "data": value})
        await self.writes.drained()
        await self.bench.wait(2)

    async def set(self, name: str, value: int) -> None:
        """Write a register of the chip."""
        await self.write(ControlPage.GRID, GRID_REGISTERS[name].offset, value)

    async def read(self, page: int, offset: int) -> int:
        """Read at an offset of a page."""
        self.reads.send(page << PAGE_BITS | offset)
        return (await self.answers.receive(1))[0]

    async def get(self, name: str) -> int:
        """Read a register of the chip."""
        return await self.read(ControlPage.GRID, GRID_REGISTERS[name].offset)

    async def sent(self) -> list[tuple[int, dict[str, int]]]:
        """Accesses that left since the last call, with their rows."""
        await self.bench.wait(3)
        found = [(row, flit) for row, lane in enumerate(self.down) for flit in lane.items]
        for row, lane in enumerate(self.down):
            lane.items.clear()
            self._seen[row] = 0
        return found

    async def start(self, job: int, rows: int, columns: int) -> bool:
        """Start a job; whether it was sent, to exactly the selected, with the start's number."""
        await self.set("GRID_ROWS", rows)
        await self.set("GRID_COLS", columns)
        await self.sent()
        await self.write(ControlPage.SELECTED, START, 1 | job << 8)
        found = await self.sent()
        if not found:
            return False
        assert [row for row, _ in found] == [row for row in range(ROWS) if rows >> row & 1]
        data = 1 | job << 8 | self._n_started % 256 << 16
        self._n_started += 1
        flit = {"data": data, "mask": columns & 7, "offset": START, "is_read": 0}
        assert all(access == flit for _, access in found)
        return True


@cocotb.test()
async def every_register_is_where_the_table_says(dut: Any) -> None:
    """Writable registers keep what was written; holes and pages that are nobody's read zero."""
    device = Device(dut)
    await device.bench.start()
    assert await device.get("ID") == IDENTITY
    assert await device.get("CONFIG") == CONFIG_ID
    assert await device.get("GRID_SHAPE") == ROWS | COLUMNS << 8
    for register in KEPT:
        assert await device.get(register.name) == register.reset, register.name
    for _ in range(2):
        values = {register.name: device.rng.getrandbits(32) for register in KEPT}
        for name, value in values.items():
            await device.set(name, value)
        for name, value in values.items():
            assert await device.get(name) == value, name
    await device.set("GRID_LEFT_OUT", 1)
    assert await device.get("GRID_LEFT_OUT") == 0
    known = {register.offset for register in GRID_REGISTERS.values()}
    for offset in device.rng.sample([at for at in range(0, 0x1000, 4) if at not in known], 40):
        assert await device.read(ControlPage.GRID, offset) == 0
    nobody = [(ROWS, 0), (0, COLUMNS), (15, 15), (ROWS - 1, 15)]
    for page in (ControlPage.SELECTED, 3, 0xFF, 0x1FF, *map(page_of, nobody)):
        assert await device.read(page, 0x010) == 0, hex(page)
        # The host's port would miss an answer in the same cycle, and wait for ever.
        assert device.answers.cycles[-1] == device.reads.cycles[-1] + 1
    assert await device.sent() == []


@cocotb.test()
async def accesses_reach_who_is_meant(dut: Any) -> None:
    """Random writes to pages of elements, there or not, and to the selected; reads in between."""
    device = Device(dut, bench_parameters()["back_pressure"])
    rng, offset = device.rng, ELEMENT_REGISTERS["DEBUG_SELECT"].offset
    await device.bench.start()
    for _ in range(60):
        rows, columns = rng.getrandbits(ROWS), rng.getrandbits(COLUMNS)
        await device.set("GRID_ROWS", rows)
        await device.set("GRID_COLS", columns)
        expected: list[list[tuple[int, int, int]]] = [[] for _ in range(ROWS)]
        for _ in range(8):
            data = rng.getrandbits(32)
            place = (rng.randrange(ROWS + 1), rng.randrange(COLUMNS + 1))
            selected = rng.random() < 0.5
            page = ControlPage.SELECTED if selected else page_of(place)
            device.writes.send({"offset": page << PAGE_BITS | offset, "data": data})
            for row in range(ROWS):
                if selected and rows >> row & 1:
                    expected[row].append((columns, offset, data))
                elif not selected and row == place[0]:
                    expected[row].append(((1 << place[1]) & 7, offset, data))
        place = rng.choice(PLACES)
        value = await device.read(page_of(place), offset)
        assert value == device.values[place]
        await device.writes.drained()
        found = [(row, flit) for row, flit in await device.sent() if not flit["is_read"]]
        for row, wanted in enumerate(expected):
            mine = [(f["mask"], f["offset"], f["data"]) for at, f in found if at == row]
            check_equal(mine, wanted, f"write of row {row}")


@cocotb.test()
async def a_write_leaves_a_cycle_later_one_per_cycle(dut: Any) -> None:
    """The documented latency and rate, to all rows."""
    device, n = Device(dut), 50
    await device.bench.start()
    offset = ControlPage.SELECTED << PAGE_BITS | ELEMENT_REGISTERS["JOB_LIST_LO"].offset
    device.writes.send_all({"offset": offset, "data": number} for number in range(n))
    for lane in device.down:
        await lane.receive(n)
        assert lane.cycles == [cycle + 1 for cycle in device.writes.cycles]
        assert lane.cycles[-1] - lane.cycles[0] == n - 1


@cocotb.test()
async def messages_raise_the_interrupt_if_asked(dut: Any) -> None:
    """Read, dropped one by one; high exactly while one waits and MAILBOX_IRQ is 1."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    await device.set("GRID_WAIT", 0)
    for wanted in (0, 1):
        await device.set("MAILBOX_IRQ", wanted)
        assert await device.get("MAILBOX") == 0
        device.messages.send_all({"counter": 3 + n, "column": 2, "row": n} for n in range(3))
        await device.messages.drained()
        for n in range(3):
            assert await device.get("MAILBOX") == 3 + n | 2 << 8 | n << 16 | 1 << 31
            assert int(dut["irq"].value) == wanted
            await device.set("MAILBOX_POP", 1)
        assert not int(dut["irq"].value)


@cocotb.test()
async def starts_are_sent_or_refused(dut: Any) -> None:
    """Random starts and ends of jobs against sets; some of jobs that are not there."""
    device = Device(dut, bench_parameters()["back_pressure"])
    rng = device.rng
    await device.bench.start()
    await device.set("GRID_WAIT", 0b0101)
    works: list[set[tuple[int, int]]] = [set() for _ in range(N_JOBS)]
    done, outcomes = 0, [0, 0]
    for _ in range(60):
        job, rows, columns = rng.choice((*range(N_JOBS), 4, 5, 1 << 23)), *masks(rng)
        places = {p for p in PLACES if rows >> p[0] & 1 and columns >> p[1] & 1}
        loads = [sum(place in work for work in works) for place in places]
        may = job < N_JOBS and bool(places) and max(loads) < 2 and not places & works[job]
        assert await device.start(job, rows, columns) == may
        assert await device.get("GRID_REFUSED") == (not may)
        outcomes[may] += 1
        if may:
            works[job] |= places
            done &= ~(1 << job)
        for number, work in enumerate(works):
            for place in rng.sample(sorted(work), rng.randint(0, len(work))):
                device.report(*place, Report.ENDED, job=number)
                work.remove(place)
                done |= (not work) << number
        for up in device.up:
            await up.drained()
        await device.bench.wait(2)
        assert await device.get("GRID_DONE") == done
        assert int(dut["irq"].value) == bool(done & 0b0101)
        for number, work in enumerate(works):
            assert await device.get(f"JOB{number}_PENDING") == len(work)
    assert min(outcomes) > 10


def masks(rng: random.Random) -> tuple[int, int]:
    """Rows and columns to select, now and then none."""
    return rng.getrandbits(ROWS), rng.getrandbits(COLUMNS)


@cocotb.test()
async def a_start_on_an_elements_page_is_dropped(dut: Any) -> None:
    """Nobody would follow it. Bit 0 alone makes a write a start."""
    device = Device(dut)
    await device.bench.start()
    await device.write(page_of((1, 1)), START, 1)
    assert await device.sent() == []
    await device.write(page_of((1, 1)), START, 2)
    assert [row for row, _ in await device.sent()] == [1]
    assert await device.get("GRID_REFUSED") == 0


@cocotb.test()
async def progress_changes_while_anything_moves(dut: Any) -> None:
    """Any element counts, several at once too; it rests while all rest."""
    device = Device(dut)
    await device.bench.start()
    values = [await device.get("GRID_PROGRESS")]
    for moved in ({0: 1}, {1: 4}, {0: 2, 1: 3}):
        device.move(moved)
        await device.bench.wait(1)
        device.move({})
        values.append(await device.get("GRID_PROGRESS"))
    assert values == [0, 1, 2, 3]
    assert await device.get("GRID_PROGRESS") == 3


@cocotb.test()
async def counters_of_sides_are_on_their_page(dut: Any) -> None:
    """Every side and number, at the documented time; a side that is not there reads zero."""
    device = Device(dut)
    await device.bench.start()
    places = [(device.rng.randrange(4), device.rng.randrange(SIDE_TRAFFIC_MOST)) for _ in range(40)]
    for side, index in [(0, 0), (SIDES - 1, SIDE_TRAFFIC_MOST - 1), *places]:
        found = await device.read(ControlPage.TRAFFIC, side << SIDE_PAGE_BITS | 4 * index)
        assert found == (count_of(side, index) if side < SIDES else 0)
        assert device.answers.cycles[-1] == device.reads.cycles[-1] + 3
    assert await device.sent() == []


@cocotb.test()
async def one_write_takes_all_snapshots(dut: Any) -> None:
    """To all elements whatever is selected, in one cycle, and to the sides; 2 sets these to zero;
    would break if an element were left out, or a mere write to the page took one."""
    device = Device(dut)
    await device.bench.start()
    await device.set("GRID_ROWS", 1)
    await device.set("GRID_COLS", 2)
    for value in (1, 2, 3, 0, 4):
        await device.sent()
        before = dict(device.pulses)
        await device.set("GRID_SNAPSHOT", value)
        flit = {"data": value, "mask": (1 << COLUMNS) - 1, "offset": SNAPSHOT, "is_read": 0}
        found = await device.sent()
        assert found == ([(row, flit) for row in range(ROWS)] if value & 1 else [])
        told = {name: device.pulses[name] - before[name] for name in before}
        assert told == {"freeze": value & 1, "clear": value >> 1 & 1}
    assert len({lane.cycles[-1] for lane in device.down}) == 1


@cocotb.test()
async def a_job_that_rests_raises_the_interrupt(dut: Any) -> None:
    """After so many cycles as the register says, with the name of an element that has not ended,
    until the job ends or a write; would break if the host waited for a job that never ends."""
    device, limit = Device(dut), 40
    await device.bench.start()
    await device.set("GRID_WATCHDOG", limit)
    await device.bench.wait(2 * limit)
    assert int(dut["irq"].value) == 0, "an idle grid does not hang"
    assert await device.start(1, 2, 6)
    device.move({1: 4})
    await device.bench.wait(2 * limit)
    device.move({})
    await device.bench.wait(limit + 4)  # and one more, until the pins show it
    assert int(dut["irq"].value) == 0
    await device.bench.wait(1)
    assert int(dut["irq"].value) == 1
    assert await device.get("GRID_HANG") == 1 | 1 << 8 | 1 << 24 | 1 << 31
    device.report(1, 1, Report.ENDED, job=1)
    await device.bench.wait(5)
    assert await device.get("GRID_HANG") == 1 | 2 << 8 | 1 << 24 | 1 << 31
    await device.set("GRID_WATCHDOG", limit)
    assert (await device.get("GRID_HANG"), int(dut["irq"].value)) == (0, 0)
    await device.bench.wait(limit)
    assert await device.get("GRID_HANG") == 1 | 2 << 8 | 1 << 24 | 1 << 31
    device.report(1, 2, Report.ENDED, job=1)
    await device.bench.wait(5)
    assert await device.get("GRID_HANG") == 0, "a job that has ended does not hang"


@cocotb.test()
async def only_who_waits_hears_of_a_hang(dut: Any) -> None:
    """Job 3 works on, job 2 hangs: who waits for 3 goes on waiting, who waits for 2 is told; would
    break if one job's progress, or its hang, were another's."""
    device, limit = Device(dut), 40
    await device.bench.start()
    await device.set("GRID_WATCHDOG", limit)
    await device.set("GRID_WAIT", 1 << 3)
    assert await device.start(3, 1, 1)
    assert await device.start(2, 2, 2)
    device.move({0: 1})
    await device.bench.wait(2 * limit)
    assert (await device.get("GRID_HANG"), int(dut["irq"].value)) == (0, 0)
    await device.set("GRID_WAIT", 1 << 2)
    assert int(dut["irq"].value) == 1
    assert await device.get("GRID_HANG") == 1 | 1 << 8 | 2 << 24 | 1 << 31


@cocotb.test()
async def a_transfer_is_started_once_and_can_be_aborted(dut: Any) -> None:
    """A start while one runs, or of no way, starts nothing and says so; an abort is passed on;
    would break if one were dropped without a sign, or the cause of one that drains did not show."""
    device = Device(dut)
    await device.bench.start()

    async def write(name: str, value: int) -> dict[str, int]:
        device.told = {"start": 0, "abort": 0}
        await device.set(name, value)
        await device.bench.wait(2)
        return device.told

    assert await write("DMA_START", 3) == {"start": 0, "abort": 0}
    assert await device.get("DMA_STATE") == DmaState.IDLE | DMA_REFUSED
    assert await write("DMA_START", DmaWay.TO_HOST) == {"start": 1, "abort": 0}
    assert await device.get("DMA_STATE") == DmaState.BUSY
    assert await write("DMA_START", DmaWay.TO_CHIP) == {"start": 0, "abort": 0}
    assert await device.get("DMA_STATE") == DmaState.BUSY | DMA_REFUSED
    assert int(dut["dma__to_host"].value) == 1
    assert await write("DMA_ABORT", 1) == {"start": 0, "abort": 1}
    assert await write("DMA_ABORT", 2) == {"start": 0, "abort": 0}
    dut["dma__cause"].value = DmaCause.ABORTED.value
    state = DMA_REFUSED | DmaCause.ABORTED << 8
    assert await device.get("DMA_STATE") == DmaState.BUSY | state
    dut["dma__busy"].value = 0
    assert await device.get("DMA_STATE") == DmaState.ERROR | state
    dut["dma__cause"].value = 0
    assert await write("DMA_START", DmaWay.TO_CHIP) == {"start": 1, "abort": 0}
    dut["dma__busy"].value = 0
    assert await device.get("DMA_STATE") == DmaState.DONE


@cocotb.test()
async def memory_registers_reach_the_memories(dut: Any) -> None:
    """Faults wait until they are taken; counts add up; clearing shows."""
    device = Device(dut)
    await device.bench.start()
    await device.set("ECC_INJECT_LO", 0x12345678)
    await device.set("ECC_INJECT_HI", 0x9A)
    await device.set("ECC_INJECT", 5 | 71 << 8 | 2 << 16)
    fault = (await device.faults.receive(1))[0]
    assert fault == {"address": 0x9A12345678, "bit0": 5, "bit1": 71, "n": 2}
    dut["corrected"].value, dut["uncorrected"].value = 3, 2
    await device.bench.wait(5)
    dut["corrected"].value = dut["uncorrected"].value = 0
    await device.bench.wait(1)
    assert (await device.get("ECC_CORRECTED"), await device.get("ECC_UNCORRECTED")) == (15, 10)
    dut["clearing"].value = 1
    assert await device.get("SRAM_CLEAR") == 1
    dut["clearing"].value = 0
    assert await device.get("SRAM_CLEAR") == 0


@cocotb.test()
async def reset_in_the_middle_of_a_read_leaves_the_block_usable(dut: Any) -> None:
    """A read under way is forgotten; jobs and selection are as after power-on."""
    device = Device(dut)
    await device.bench.start()
    assert await device.start(1, 3, 7)
    device.reads.send(page_of((0, 0)) << PAGE_BITS)
    await device.bench.wait(2)
    await device.bench.reset()
    for lane in device.down:
        lane.items.clear()
    device._seen = [0] * ROWS
    n_before = len(device.answers.items)
    assert await device.get("JOB1_PENDING") == 0
    assert await device.get("GRID_ROWS") == 0xFFFFFFFF
    assert len(device.answers.items) == n_before + 2
    place = (1, 2)
    value = await device.read(page_of(place), 0x024)
    assert value == device.values[place]


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_grid_control(back_pressure: str) -> None:
    """The block under one kind of pauses."""
    run_bench(
        GridControl(
            rows=ROWS,
            columns=COLUMNS,
            n_positions=POSITIONS,
            config_id=CONFIG_ID,
            count_width=4,
            n_sides=SIDES,
        ),
        name="grid_control",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None
        if back_pressure == "none"
        else "accesses_reach_who_is_meant,starts_are_sent_or_refused",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "GridControl rows must be 1 to 16, not 0."),
        ({"columns": 17}, "GridControl columns must be 1 to 16, not 17."),
        ({"n_positions": 2}, "GridControl n_positions must be at least 3, one per column, not 2."),
        ({"config_id": 1 << 32}, "GridControl config_id must be 0 to 4294967295, not 4294967296."),
        ({"count_width": 0}, "GridControl count_width must be 1 to 32, not 0."),
        ({"n_sides": 5}, "GridControl n_sides must be 1 to 4, not 5."),
    ],
)
def test_bad_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each with its own sentence."""
    good = {"rows": 2, "columns": 3, "n_positions": 3, "config_id": 1, "count_width": 4}
    good["n_sides"] = 4
    with pytest.raises(ValueError) as error:
        GridControl(**good | arguments)
    assert str(error.value) == message
