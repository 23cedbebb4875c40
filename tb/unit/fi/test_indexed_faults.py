# SPDX-License-Identifier: Apache-2.0
"""Faults of gather, scatter and address ranges, halts and resets with sums under way; limits."""

from typing import Any

import cocotb

from hw.arch.commands import Opcode, ScatterMode
from hw.arch.csr import RANGE_BLOCK_BYTES
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import State
from sim.golden.address import Nest
from sim.golden.dma import Dma
from sim.golden.indexed import Indexed
from tb.common.cb_table import CbState
from tb.common.runner import run_bench
from tb.common.seeds import python_rng
from tb.common.stream import sometimes
from tb.unit.fi.setting import MEMORY_BASE, MEMORY_SIZE, Setting, fabric_interface
from tb.unit.fi.test_fabric_faults import quiet, return_to_reset

OPCODES = {"fi_in_row": Opcode.GATHER, "fi_out": Opcode.SCATTER}
CBS = {"fi_in_row": (1, 4), "fi_out": (2, 5)}
LIST_BASE = {"fi_in_row": 64, "fi_out": 72}  # in 64-byte units
LIMIT = 100
START, END = MEMORY_BASE + 2 * RANGE_BLOCK_BYTES, MEMORY_BASE + 5 * RANGE_BLOCK_BYTES
TABLES = {"fi_in_row": MEMORY_BASE, "fi_out": MEMORY_BASE + 0x8000}


def make(dut: Any, **options: Any) -> Setting:
    """A buffer for each engine, and one for its list."""
    buffers = {
        "fi_in_row": {1: CbState(base=0, depth=16)},
        "fi_out": {2: CbState(base=32, depth=16, reserve=16, commit=16)},
        "fi_in_index": {4: CbState(base=LIST_BASE["fi_in_row"], depth=4)},
        "fi_out_index": {5: CbState(base=LIST_BASE["fi_out"], depth=4)},
    }
    return Setting(dut, buffers=buffers, **options)


def rows(
    name: str, n_rows: int = 8, *, mode: ScatterMode = ScatterMode.STORE, **fields: Any
) -> Indexed:
    """Rows of 64 bytes of a table, each a step."""
    cb, index_cb = CBS[name]
    nest = Nest(
        counts=(64, n_rows, 1, 1, 1),
        strides=(8, 0, 0, 0, 0),
        cb=cb,
        step_level=1,
        adv_level=1,
        need=1,
        adv=1,
    )
    job = {"mem_addr": TABLES[name], "row_pitch": 64, "index_limit": LIMIT, "index_cb": index_cb}
    return Indexed(nest=nest, mode=mode, fmt=Format.INT32, **job | fields)


def offer(setting: Setting, name: str, job: Indexed, indices: list[int]) -> None:
    """Send a command that may trap: what the model would say of it does not count."""
    good = [index if index < job.index_limit else 0 for index in indices]
    setting.engines[name].send(job, 77, good)
    first = 64 * LIST_BASE[name]
    for number, index in enumerate(indices):
        at = first + 4 * number
        setting.local.data[at : at + 4] = index.to_bytes(4, "little")


async def trapped(setting: Setting, name: str, cause: Trap, info: int) -> None:
    """The engine shows this trap of its indexed command and turns idle."""
    await setting.bench.until(lambda: setting.trap(name)["valid"], 1500)
    trap = setting.trap(name)
    opcode = OPCODES[name]
    assert trap == {"valid": 1, "cause": cause, "opcode": opcode, "tag": 77, "info": info}, trap
    await quiet(setting, name)
    assert not setting.engines[name].completions.items
    assert setting.status(name)["state"] == State.HALTED


@cocotb.test()
async def an_index_out_of_range_traps_with_its_value(dut: Any) -> None:
    """Rows before it are moved, none behind it; also the largest value there is."""
    for name in OPCODES:
        for bad in (LIMIT, 0xFFFF_FFFF):
            setting = make(dut)
            await setting.bench.start()
            first = TABLES[name] - MEMORY_BASE + 64 * 20
            setting.memory.data[first:] = bytes(MEMORY_SIZE - first)
            offer(setting, name, rows(name), [3, 1, 5, bad, 20, 21, 22, 23])
            await trapped(setting, name, Trap.INDEX_RANGE, bad)
            assert not any(setting.memory.data[first:])
            assert MEMORY_BASE + first not in setting.memory.reads
            return_to_reset(setting)


@cocotb.test()
async def wrong_parity_of_an_index_in_use_traps(dut: Any) -> None:
    """Its word is named; words that are only read ahead harm nobody."""
    for name in OPCODES:
        setting = make(dut)
        await setting.bench.start()
        first = 64 * LIST_BASE[name]
        setting.local.wrong = {first + 4 * 8 + 1}
        setting.engines[name].send(rows(name), 5, list(range(8)))
        await setting.engines[name].done()
        return_to_reset(setting)
        setting = make(dut)
        await setting.bench.start(reset_cycles=4)
        setting.local.wrong = {first + 4 * 5 + 2}
        offer(setting, name, rows(name), list(range(8)))
        await trapped(setting, name, Trap.LS_PARITY, first + 4 * 4)
        return_to_reset(setting)


@cocotb.test()
async def a_list_outside_its_buffer_traps(dut: Any) -> None:
    """It names the list's buffer, and no row moves."""
    for name in OPCODES:
        setting = make(dut)
        await setting.bench.start()
        offer(setting, name, rows(name, index_offset=16 * 4), [0] * 8)
        await trapped(setting, name, Trap.LS_RANGE, CBS[name][1])
        assert not setting.memory.reads and not setting.memory.writes
        return_to_reset(setting)


@cocotb.test()
async def rows_that_cannot_be_read_are_not_added_to(dut: Any) -> None:
    """A refused or a poisoned line traps with its address, and is not written."""
    for mark, cause in (("bad", Trap.MEMORY_ERROR), ("poisoned", Trap.MEMORY_POISON)):
        for place in (0, 3, 7):
            setting = make(dut)
            await setting.bench.start()
            address = TABLES["fi_out"] + 64 * place + 16
            getattr(setting.memory, mark).add(address)
            setting.engines["fi_out"].send(
                rows("fi_out", mode=ScatterMode.ADD), 77, [0, 1, 2, 3, 4, 5, 6, 7]
            )
            await trapped(setting, "fi_out", cause, address & 0xFFFF_FFFF)
            assert address not in setting.memory.writes
            return_to_reset(setting)


@cocotb.test()
async def halt_drops_sums_and_turns_idle(dut: Any) -> None:
    """Halt at any moment of a scatter-add and a gather: nothing new leaves, idle comes."""
    for n_cycles in range(4, 60, 4):
        setting = make(dut, pauses=lambda: sometimes(0.3))
        await setting.bench.start()
        for name in OPCODES:
            job = rows(name, mode=ScatterMode.ADD)
            setting.engines[name].send(job, 1, [2, 2, 4, 5, 2, 7, 8, 9])
        await setting.bench.wait(n_cycles)
        for name in OPCODES:
            dut[f"{name}__halt"].value = 1
        await setting.bench.wait(1)
        await quiet(setting, *OPCODES)
        return_to_reset(setting)
        again = make(dut)  # a reset with whatever was left, then everything works
        for name in OPCODES:
            dut[f"{name}__halt"].value = 0
        await again.bench.start(reset_cycles=4)
        for name in OPCODES:
            job = rows(name, mode=ScatterMode.ADD)
            again.engines[name].send(job, 1, [12, 12, 14, 15, 12, 17, 18, 19])
        for name in OPCODES:
            await again.engines[name].done()
        assert again.memory.data == again.expected
        return_to_reset(again)


def plain(name: str, address: int) -> Dma:
    """64 bytes."""
    nest = Nest(
        counts=(64, 1, 1, 1, 1), strides=(8, 0, 0, 0, 0), cb=CBS[name][0], step_level=1,
        adv_level=1, need=1, adv=1,
    )  # fmt: skip
    return Dma(nest=nest, mem_addr=address)


async def refused(setting: Setting, name: str, address: int, bad: int) -> None:
    """A transfer of 64 bytes traps at line `bad`, and nothing outside of blocks 2 to 4 moves."""
    expected = bytes(setting.memory.data)
    setting.engines[name].send(plain(name, address), 77)
    await setting.bench.until(lambda: setting.trap(name)["valid"], 500)
    trap = setting.trap(name)
    wanted = (Trap.MEMORY_RANGE, bad & 0xFFFF_FFFF, 77)
    assert (trap["cause"], trap["info"], trap["tag"]) == wanted, hex(address)
    await quiet(setting, name)
    first, end = START - MEMORY_BASE, END - MEMORY_BASE
    assert all(START <= at < END for at in (*setting.memory.reads, *setting.memory.writes))
    assert setting.memory.data[:first] == expected[:first]
    assert setting.memory.data[end:] == expected[end:]


@cocotb.test()
async def no_line_leaves_the_ranges(dut: Any) -> None:
    """The first and the last byte of a range may be touched, the ones beside them not."""
    block = MEMORY_BASE // RANGE_BLOCK_BYTES
    every = {"may_read": 1, "may_write": 1}
    decoys = [{"first": block + 8, "last": block + 8} | every, {"first": 9, "last": 3} | every]
    beyond = MEMORY_BASE + 9 * RANGE_BLOCK_BYTES
    places = ((START, None), (END - 64, None), (START - 1, START - 16), (END - 63, END))
    for name in OPCODES:
        for right in (True, False):
            reads = right == (name != "fi_out")
            access = {"may_read": int(reads), "may_write": int(not reads)}
            for address, bad in (*places, (beyond, beyond), (0x56_0000, 0x56_0000)):
                setting = make(dut)
                setting.limit(*decoys, {"first": block + 2, "last": block + 4} | access)
                await setting.bench.start(reset_cycles=4)
                if not right:
                    bad = address & ~15
                if bad is None:
                    setting.engines[name].send(plain(name, address), 5)
                    await setting.engines[name].done()
                else:
                    await refused(setting, name, address, bad)
                return_to_reset(setting)


@cocotb.test()
async def adding_needs_leave_to_read_and_to_write(dut: Any) -> None:
    """One right alone is not enough; two ranges may give one each."""
    block = MEMORY_BASE // RANGE_BLOCK_BYTES
    span = {"first": block, "last": block + 255}
    read, write = span | {"may_read": 1, "may_write": 0}, span | {"may_read": 0, "may_write": 1}
    for ranges in ((read,), (write,), (read, write)):
        setting = make(dut)
        setting.limit(*ranges)
        await setting.bench.start(reset_cycles=4)
        job = rows("fi_out", mode=ScatterMode.ADD)
        setting.engines["fi_out"].send(job, 77, [1, 1, 2, 3, 1, 2, 3, 1])
        if len(ranges) == 1:
            await trapped(setting, "fi_out", Trap.MEMORY_RANGE, TABLES["fi_out"] + 64 & 0xFFFF_FFFF)
            assert not setting.memory.reads and not setting.memory.writes
        else:
            await setting.engines["fi_out"].done()
            assert setting.memory.data == setting.expected
        return_to_reset(setting)


@cocotb.test()
async def rates_are_kept_by_reads_and_writes(dut: Any) -> None:
    """In every stretch of cycles at most burst + cycles * rate / 256 bytes; and no less overall."""
    rng = python_rng("rates")
    link = 16
    for rate, burst in ((1024, 0), (700, 64), (256, 200), (4096, 16)):
        setting = make(dut, eager=True)
        setting.limit(read=(rate, burst), write=(rate, burst))
        await setting.bench.start(reset_cycles=4)
        streams = [setting.bench.monitor(f"memory_{kind}__request") for kind in ("read", "write")]
        for name in OPCODES:
            job = rows(name, n_rows=32, mode=ScatterMode.STORE, index_need=2, index_adv=2)
            setting.engines[name].send(job, 3, [rng.randrange(LIMIT) for _ in range(32)])
        for name in OPCODES:
            await setting.engines[name].done()
        for stream in streams:
            cycles = stream.cycles
            n_lines = len(cycles)
            assert n_lines == 128
            for first in range(n_lines):
                for last in range(first, n_lines):
                    sent, span = link * (last - first + 1), cycles[last] - cycles[first] + 1
                    assert sent <= max(burst, link) + span * rate / 256, (first, last)
            # Steps of one run, repeated rows and this memory need up to 4 cycles for a line.
            wanted = max(n_lines * link * 256 / rate, 4 * n_lines)
            assert cycles[-1] - cycles[0] <= wanted + 64
        return_to_reset(setting)


def test_indexed_faults() -> None:
    """Traps, halt, reset and limits on the tiny interface."""
    run_bench(fabric_interface("tiny"), name="fabric_interface_tiny", test_module=__name__)
