# SPDX-License-Identifier: Apache-2.0
"""The whole chip: local memory from outside, index lists, address ranges, rate limits."""

from typing import Any

import cocotb
import numpy as np

from hw.arch.address_map import DRAM, PE_WINDOWS, SRAM
from hw.arch.commands import Opcode, ScatterMode
from hw.arch.csr import RANGE_BLOCK_BYTES, JobState
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.chip.top import OneElementChip
from hw.config import get_config
from sim.golden.indexed import add_row
from sw.kernels.command_list import CommandList
from tb.common.runner import run_bench
from tb.common.seeds import numpy_rng, python_rng
from tb.system.chip_bench import ChipBench, check_bytes
from tb.system.programs import Copy, copy_list, end_list

CONFIG = get_config("tiny")
WORD, LS_BYTES = CONFIG.pe.ls.word_bytes, CONFIG.pe.ls.size_bytes
LIST = SRAM.base + 0x100
LS = PE_WINDOWS.base


async def _chip(dut: Any) -> ChipBench:
    chip = ChipBench(dut, CONFIG)
    await chip.start()
    await chip.write(LS, bytes(LS_BYTES))  # gives every byte a parity
    return chip


async def _copy(chip: ChipBench, source: int, target: int, n_bytes: int) -> None:
    copy = Copy(source=source, target=target, run_bytes=n_bytes)
    await chip.run_job(copy_list([copy], WORD, status=1), LIST, expect=1)


@cocotb.test()
async def the_host_reads_and_writes_local_memory(dut: Any) -> None:
    """What the host writes a job finds, and the other way round; at any alignment."""
    chip = await _chip(dut)
    rng = python_rng("local memory")
    image = bytearray(LS_BYTES)
    for _ in range(12):
        n_bytes = rng.choice((1, 3, 16, 100, 600))
        at = rng.randrange(LS_BYTES - n_bytes)
        image[at : at + n_bytes] = data = rng.randbytes(n_bytes)
        await chip.write(LS + at, data)
    check_bytes(await chip.read(LS, LS_BYTES), bytes(image))
    for _ in range(5):
        n_bytes = rng.randint(1, 200)
        at = rng.randrange(LS_BYTES - n_bytes)
        check_bytes(await chip.read(LS + at, n_bytes), bytes(image[at : at + n_bytes]))
    commands = CommandList()
    # A step without extent waits for nothing: the data is simply there.
    commands.add(Opcode.CB, cb=1, base=0, depth=LS_BYTES // 64)
    commands.add(Opcode.DMA_OUT, cb=1, mem_addr=SRAM.base + 0x4000, count0=LS_BYTES, stride0=WORD)
    commands.add(Opcode.END, status=2)
    await chip.run_job(bytes(commands), LIST, expect=2)
    check_bytes(await chip.read(SRAM.base + 0x4000, LS_BYTES), bytes(image))
    await _copy(chip, SRAM.base + 0x4321, SRAM.base + 0x3000, 500)
    check_bytes(await chip.read(LS, 500), bytes(image[0x321 : 0x321 + 500]))


@cocotb.test()
async def behind_local_memory_is_nothing(dut: Any) -> None:
    """The host gets an error, an element a trap."""
    chip = await _chip(dut)
    for address in (LS + LS_BYTES, LS + (1 << 24), LS + (1 << 35)):
        assert int((await chip.host.read(address, 16)).resp) == 3
        assert int((await chip.host.write(address, bytes(16))).resp) == 3
    await _copy(chip, LS + LS_BYTES - 64, SRAM.base + 0x3000, 64)


@cocotb.test()
async def an_element_reaches_its_own_local_memory_from_outside(dut: Any) -> None:
    """Its requests come back to it through the crossbar; nobody waits for the other for ever."""
    chip = await _chip(dut)
    data = python_rng("self").randbytes(0x1000)
    await chip.write(LS + 0x2000, data)
    await _copy(chip, LS + 0x2003, LS + 0x3005, 700)
    check_bytes(await chip.read(LS + 0x3005, 700), data[3:703])


@cocotb.test()
async def accesses_from_outside_survive_jobs_aborts_and_traps(dut: Any) -> None:
    """Not one answer is lost when the element is reset; the host would wait for ever."""
    chip = await _chip(dut)
    rng = python_rng("hammer")
    data = rng.randbytes(0x800)
    await chip.write(LS + 0x2000, data)
    running = True

    async def hammer() -> None:
        while running:
            at = rng.randrange(0x700)
            check_bytes(await chip.read(LS + 0x2000 + at, 256), data[at : at + 256])
            await chip.write(LS + 0x2000 + at, data[at : at + 100])

    task = cocotb.start_soon(hammer())
    for kind in range(12):
        copy = Copy(source=SRAM.base, target=SRAM.base + 0x3000, run_bytes=256)
        if kind % 3 == 0:
            await chip.run_job(copy_list([copy], WORD, status=kind), LIST, expect=kind)
            continue
        bad = kind % 3 == 1
        commands = b"\x3f" + bytes(15) + end_list(0) if bad else copy_list([copy], WORD)
        await chip.start_job(commands, LIST)
        if not bad:
            await chip.set_register("JOB_ABORT", 1)
        await chip.finish()
    running = False
    await task
    check_bytes(await chip.read(LS + 0x2000, 0x800), data)


def _indexed(opcode: Opcode, indices: int, n_rows: int, **fields: int) -> bytes:
    """A job that fetches a list, moves rows, and moves them on in order."""
    commands = CommandList()
    units = -(-4 * n_rows // 64)
    row = {"cb": 2, "count0": fields.pop("row_bytes"), "count1": n_rows, "stride0": WORD}
    row_units = -(-row["count0"] // 64)
    row |= {"step_level": 1, "adv_level": 1, "need": row_units, "adv": row_units}
    plain = fields.pop("plain")
    commands.add(Opcode.CB, cb=1, base=0, depth=units)
    commands.add(Opcode.CB, cb=2, base=units, depth=8 * row_units)
    commands.add(
        Opcode.DMA_IN, cb=1, mem_addr=indices, count0=4 * n_rows, stride0=WORD, column=1,
        step_level=1, adv_level=1, need=units, adv=units,
    )  # fmt: skip
    lists = {"index_cb": 1, "index_need": units, "index_adv": units}
    other = Opcode.DMA_OUT if opcode is Opcode.GATHER else Opcode.DMA_IN
    commands.add(opcode, **row, **lists, **fields)
    commands.add(other, mem_addr=plain, mem_stride1=row["count0"], **row)
    commands.add(Opcode.END, status=7)
    return bytes(commands)


@cocotb.test()
async def rows_are_gathered_and_added_in_the_order_of_a_list(dut: Any) -> None:
    """Gather from DRAM into SRAM; scatter-add with repeated rows, FP32 and INT32, in DRAM."""
    chip = await _chip(dut)
    rng = numpy_rng("table")
    n_rows, n_table, row_bytes = 40, 29, 76
    table = rng.standard_normal((n_table, row_bytes // 4)).astype(np.float32)
    indices = rng.integers(0, n_table, n_rows).astype(np.uint32)
    indices[5:11] = 3
    where, lists, plain = DRAM.base + 0x1004, SRAM.base + 0x1000, SRAM.base + 0x2001
    await chip.write(lists, indices.tobytes())
    fields = {
        "mem_addr": where, "row_pitch": row_bytes, "index_limit": n_table, "row_bytes": row_bytes,
        "plain": plain,
    }  # fmt: skip
    await chip.write(where, table.tobytes())
    job = _indexed(Opcode.GATHER, lists, n_rows, **fields)
    await chip.run_job(job, LIST, expect=7)
    check_bytes(await chip.read(plain, n_rows * row_bytes), table[indices].tobytes())

    for fmt in (Format.FP32, Format.INT32):
        rows = rng.standard_normal((n_rows, row_bytes // 4)).astype(np.float32)
        await chip.write(where, table.tobytes())
        await chip.write(plain, rows.tobytes())
        add = {"mode": int(ScatterMode.ADD), "format": int(fmt)}
        job = _indexed(Opcode.SCATTER, lists, n_rows, **fields, **add)
        await chip.run_job(job, LIST, expect=7)
        expected = [line.tobytes() for line in table]
        for index, row in zip(indices, rows, strict=True):
            expected[index] = add_row(expected[index], row.tobytes(), fmt)
        check_bytes(await chip.read(where, table.nbytes), b"".join(expected))

    indices[17] = n_table
    await chip.write(lists, indices.tobytes())
    for opcode, unit in ((Opcode.GATHER, Unit.FI_IN_ROW), (Opcode.SCATTER, Unit.FI_OUT)):
        await chip.start_job(_indexed(opcode, lists, n_rows, **fields), LIST)
        assert await chip.finish() == JobState.ERROR
        assert await chip.register("ERROR_CAUSE") == Trap.INDEX_RANGE
        assert await chip.register("ERROR_UNIT") & 0xFFFF == unit | opcode << 8
        assert await chip.register("ERROR_INFO") == n_table


async def _set_ranges(chip: ChipBench, *ranges: tuple[int, int, int]) -> None:
    """First byte, size, access of each range; the others allow nothing."""
    for index in range(4):
        first, size, access = ranges[index] if index < len(ranges) else (0, RANGE_BLOCK_BYTES, 0)
        await chip.set_register(f"RANGE{index}_FIRST", first // RANGE_BLOCK_BYTES)
        await chip.set_register(f"RANGE{index}_LAST", (first + size) // RANGE_BLOCK_BYTES - 1)
        await chip.set_register(f"RANGE{index}_ACCESS", access)


@cocotb.test()
async def a_job_cannot_leave_its_address_ranges(dut: Any) -> None:
    """It traps, nothing outside is written, and the chip goes on."""
    chip = await _chip(dut)
    data = python_rng("ranges").randbytes(0x400)
    source, target, guard = SRAM.base + 0x2000, DRAM.base + 0x3000, b"\xa5" * 0x400
    await chip.write(source, data)
    await chip.write(target, guard)
    await _set_ranges(chip, (source, 0x200, 1), (target, 0x100, 2))
    await _copy(chip, source, target, 0x100)
    check_bytes(await chip.read(target, 0x400), data[:0x100] + guard[0x100:])
    for start, end, unit, at in (
        (source + 0x180, target, Unit.FI_IN_ROW, source + 0x200),
        (target, target, Unit.FI_IN_ROW, target),
        (source, target + 0x50, Unit.FI_OUT, target + 0x100),
        (source, source, Unit.FI_OUT, source),
        (source - 8, target, Unit.FI_IN_ROW, source - 16),
    ):
        await chip.write(target, guard)
        copy = Copy(source=start, target=end, run_bytes=0x100)
        await chip.start_job(copy_list([copy], WORD), LIST)
        assert await chip.finish() == JobState.ERROR
        assert await chip.register("ERROR_CAUSE") == Trap.MEMORY_RANGE, await chip.error()
        assert await chip.register("ERROR_UNIT") & 0xFF == unit
        assert await chip.register("ERROR_INFO") == at & 0xFFFFFFFF
        found = await chip.read(target, 0x400)
        check_bytes(found[0x100:], guard[0x100:])
        check_bytes(await chip.read(source, 0x400), data)
    await _set_ranges(chip, (0, 1 << 40, 3))
    await _copy(chip, source, target, 0x400)
    check_bytes(await chip.read(target, 0x400), data)


@cocotb.test()
async def rates_hold_reads_and_writes_down(dut: Any) -> None:
    """A copy under a limit takes as long as its bytes need, and moves them all the same."""
    chip = await _chip(dut)
    data = python_rng("rates").randbytes(0x400)
    await chip.write(SRAM.base + 0x2000, data)
    for name in ("FI_READ_SHAPE", "FI_WRITE_SHAPE"):
        await chip.set_register(name, 256 | 16 << 16)  # a byte per cycle
        await _copy(chip, SRAM.base + 0x2000, SRAM.base + 0x3000, 0x400)
        cycles = await chip.register("JOB_CYCLES_LO")
        assert 0x400 - 16 <= cycles <= 0x400 + 200, cycles
        await chip.set_register(name, 0)
        check_bytes(await chip.read(SRAM.base + 0x3000, 0x400), data)
    await _copy(chip, SRAM.base + 0x2000, SRAM.base + 0x3000, 0x400)
    assert await chip.register("JOB_CYCLES_LO") < 0x200


def test_element_access() -> None:
    """The chip of `test_one_element`, with what concerns the fabric interface."""
    run_bench(OneElementChip(CONFIG), name="one_element_tiny", test_module=__name__)
