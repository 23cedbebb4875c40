# SPDX-License-Identifier: Apache-2.0
"""The one-element chip end to end: jobs, data, errors, aborts, ordering, latency."""

from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from hw.arch.address_map import DRAM, PE_WINDOWS, SRAM
from hw.arch.commands import Opcode
from hw.arch.csr import JobState
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.chip.top import OneElementChip
from hw.config import get_config
from sim.golden.dot import gemm_golden
from sw.kernels.command_list import CommandList
from sw.runtime.gemm import prepare_gemm
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, numpy_rng, python_rng
from tb.system.chip_bench import ChipBench, check_bytes
from tb.system.programs import Copy, copy_list, end_list

CONFIG = get_config("tiny")
WORD = CONFIG.pe.ls.word_bytes
LIST = SRAM.base + 0x100
EMPTY_JOB_CYCLES = 60


async def _chip(dut: Any) -> ChipBench:
    chip = ChipBench(dut, CONFIG, share=bench_parameters()["share"])
    await chip.start()
    return chip


def _matrix(rng: np.random.Generator, shape: tuple[int, int], fmt: Format) -> NDArray:
    if fmt is Format.FP16:
        return rng.standard_normal(shape).astype(np.float16)
    low, high = (-128, 128) if fmt is Format.INT8 else (0, 256)
    return rng.integers(low, high, shape).astype(np.int8 if fmt is Format.INT8 else np.uint8)


async def _multiply(chip: ChipBench, a: NDArray, b: NDArray, fmt: Format, where: str) -> None:
    """Run a product and compare every bit."""
    job = prepare_gemm(CONFIG, a, b, where=where)
    await chip.write(job.spot.a, a.tobytes())
    await chip.write(job.spot.b, b.tobytes())
    size = 4 * a.shape[0] * b.shape[1]
    guard = b"\xc3" * 16
    await chip.write(job.spot.c, bytes(size) + guard)
    await chip.run_job(bytes(job.plan.commands), job.spot.commands)
    data = await chip.read(job.spot.c, size + 16)
    assert data[size:] == guard, "written behind the end of C"
    expected = gemm_golden(a, b, fmt_a=fmt, fmt_b=fmt, chunk=CONFIG.pe.dpe.chunk)
    found = np.frombuffer(data[:size], expected.dtype).reshape(expected.shape)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


async def _check_alive(chip: ChipBench) -> None:
    """A product after whatever happened must be right."""
    rng = numpy_rng("alive")
    a, b = _matrix(rng, (9, 11), Format.INT8), _matrix(rng, (11, 10), Format.INT8)
    await _multiply(chip, a, b, Format.INT8, "sram")


@cocotb.test()
async def an_empty_job_ends_soon_with_its_status(dut: Any) -> None:
    """Job start, list fetch, completion; then the same again without storing anything."""
    chip = await _chip(dut)
    assert await chip.register("JOB_STATE") == JobState.IDLE
    assert await chip.register("CONFIG") == int(CONFIG.digest(), 16)
    for status in (0xDEADBEEF, 5):
        await chip.run_job(end_list(status), LIST, expect=status)
        assert await chip.register("JOB_CYCLES_LO") <= EMPTY_JOB_CYCLES
    await chip.start_job(end_list(5), LIST, store=False)
    assert await chip.finish() == JobState.DONE


@cocotb.test()
async def data_is_copied_between_all_memories(dut: Any) -> None:
    """SRAM and DRAM in all directions, any alignment, bytes around the target untouched."""
    chip = await _chip(dut)
    rng = python_rng("copies")
    places = {"sram": SRAM.base + 0x4000, "dram": DRAM.base + 0x2000}
    for source_name in places:
        for target_name in places:
            source, target = places[source_name] + 0x400, places[target_name] + 0x2000
            source, target = source + rng.randrange(64), target + rng.randrange(64)
            run, n_runs = rng.choice((1, 7, 64, 200, 333)), rng.randint(1, 9)
            pitch, target_pitch = run + rng.randrange(50), run + rng.randrange(50)
            data = rng.randbytes(n_runs * pitch)
            before = rng.randbytes(n_runs * target_pitch + 64)
            await chip.write(source, data)
            await chip.write(target, before)
            commands = copy_list(
                [
                    Copy(
                        source=source,
                        target=target,
                        run_bytes=run,
                        n_runs=n_runs,
                        source_pitch=pitch,
                        target_pitch=target_pitch,
                    )
                ],
                WORD,
                status=3,
            )
            await chip.run_job(commands, LIST, expect=3)
            expected = bytearray(before)
            for i in range(n_runs):
                part = data[i * pitch : i * pitch + run]
                expected[i * target_pitch : i * target_pitch + run] = part
            check_bytes(await chip.read(target, len(before)), bytes(expected))


@cocotb.test()
async def the_list_may_lie_in_dram_and_start_at_any_quad(dut: Any) -> None:
    """The work-queue engine reads lines; commands lie across them."""
    chip = await _chip(dut)
    for address in (DRAM.base + 0x30, SRAM.base + 0xF0, DRAM.base + 0x1000):
        data = python_rng(f"list {address}").randbytes(500)
        await chip.write(SRAM.base + 0x2000, data)
        copy = Copy(source=SRAM.base + 0x2000, target=SRAM.base + 0x3003, run_bytes=500)
        await chip.run_job(copy_list([copy], WORD, status=9), address, expect=9)
        check_bytes(await chip.read(SRAM.base + 0x3003, 500), data)


@cocotb.test()
async def products_of_all_sizes_are_exact(dut: Any) -> None:
    """INT8, UINT8 and FP16, sizes around the tile's edges, operands in SRAM and DRAM."""
    chip = await _chip(dut)
    rng = numpy_rng("products")
    sizes = [(8, 8, 8), (1, 1, 1), (16, 16, 24), (9, 17, 33), (7, 40, 5), (33, 12, 65)]
    for index, (m, n, k) in enumerate(sizes):
        for fmt in (Format.INT8, Format.FP16) if index % 2 else (Format.UINT8,):
            a, b = _matrix(rng, (m, k), fmt), _matrix(rng, (k, n), fmt)
            await _multiply(chip, a, b, fmt, "dram" if index % 3 == 2 else "sram")


@cocotb.test()
async def counters_agree_with_the_job(dut: Any) -> None:
    """What the counters say about a copy is what the copy did."""
    chip = await _chip(dut)
    n_bytes = 1024
    copy = Copy(
        source=SRAM.base + 0x2000,
        target=DRAM.base + 0x400,
        run_bytes=256,
        n_runs=4,
        source_pitch=256,
        target_pitch=256,
    )
    await chip.run_job(copy_list([copy], WORD), LIST)
    await chip.set_register("SNAPSHOT", 1)
    assert await chip.counter("fi.read_bytes") == n_bytes
    assert await chip.counter("fi.write_bytes") == n_bytes
    assert await chip.counter("dram.write_bytes") == n_bytes
    assert await chip.counter("dram.read_bytes") == 0
    assert await chip.counter("ls.writes") == n_bytes // WORD
    assert await chip.counter("ls.reads") == n_bytes // WORD
    assert await chip.counter("cp.commands") == 2
    lines = n_bytes // CONFIG.pe.link_bytes
    assert await chip.counter("fi.read_lines") == lines
    assert await chip.counter("sram.read_lines") >= lines
    cycles = await chip.counter("cycles")
    assert 0 <= await chip.register("JOB_CYCLES_LO") - cycles <= 4


async def _must_trap(chip: ChipBench, commands: bytes, cause: Trap, unit: Unit) -> int:
    """Run a job that must trap; returns ERROR_INFO."""
    await chip.start_job(commands, LIST)
    assert await chip.finish() == JobState.ERROR
    assert Trap(await chip.register("ERROR_CAUSE")) == cause, await chip.error()
    assert await chip.register("ERROR_UNIT") & 0xFF == unit
    return await chip.register("ERROR_INFO")


@cocotb.test()
async def errors_end_the_job_with_cause_and_the_chip_goes_on(dut: Any) -> None:
    """One trap of each kind that the chip's parts can cause, each followed by a right product."""
    chip = await _chip(dut)
    await _must_trap(chip, b"\x3f" + bytes(15) + end_list(0), Trap.ILLEGAL_OPCODE, Unit.CP)
    await _check_alive(chip)
    nop = CommandList()
    nop.add(Opcode.NOP)
    await _must_trap(chip, bytes(nop), Trap.LIST_OVERRUN, Unit.CP)
    common = {"target": SRAM.base + 0x3000, "run_bytes": 64}
    for source in (
        SRAM.base + CONFIG.sram.size_bytes,
        PE_WINDOWS.base + CONFIG.pe.ls.size_bytes,
        DRAM.base + CONFIG.dram.size_bytes,
        1 << 39,
    ):
        copy = Copy(source=source, **common)
        await _must_trap(chip, copy_list([copy], WORD), Trap.MEMORY_ERROR, Unit.FI_IN_ROW)
    behind = PE_WINDOWS.base + CONFIG.pe.ls.size_bytes
    copy = Copy(source=SRAM.base, target=behind, run_bytes=64)
    await _must_trap(chip, copy_list([copy], WORD), Trap.MEMORY_ERROR, Unit.FI_OUT)
    await _check_alive(chip)


@cocotb.test()
async def a_double_bit_error_traps_and_a_single_one_is_corrected(dut: Any) -> None:
    """Faults injected through the registers; nothing wrong is stored anywhere."""
    chip = await _chip(dut)
    source, target = SRAM.base + 0x2000, SRAM.base + 0x3000
    data = python_rng("ecc").randbytes(256)
    await chip.write(source, data)
    job = copy_list([Copy(source=source, target=target, run_bytes=256)], WORD)
    corrected = await chip.register("ECC_CORRECTED")
    await chip.set_register("ECC_INJECT_LO", source + 64)
    await chip.set_register("ECC_INJECT", 13 | 1 << 16)
    await chip.run_job(job, LIST)
    check_bytes(await chip.read(target, 256), data)
    assert await chip.register("ECC_CORRECTED") > corrected
    assert await chip.register("ECC_UNCORRECTED") == 0
    await chip.set_register("ECC_INJECT", 70 | 1 << 16)
    await chip.write(target, bytes(256))
    await _must_trap(chip, job, Trap.MEMORY_POISON, Unit.FI_IN_ROW)
    assert await chip.register("ECC_UNCORRECTED") > 0
    answer = await chip.host.read(source + 64, 8)
    assert int(answer.resp) == 2
    await chip.write(source + 64, data[64:72])
    await chip.run_job(job, LIST)
    check_bytes(await chip.read(target, 256), data)


@cocotb.test()
async def an_abort_at_any_moment_leaves_a_working_chip(dut: Any) -> None:
    """A product is aborted again and again, then one must be right."""
    chip = await _chip(dut)
    rng = numpy_rng("aborts")
    a, b = _matrix(rng, (24, 40), Format.INT8), _matrix(rng, (40, 24), Format.INT8)
    for where in ("sram", "dram"):
        job = prepare_gemm(CONFIG, a, b, where=where)
        await chip.write(job.spot.a, a.tobytes())
        await chip.write(job.spot.b, b.tobytes())
        for _ in range(6):
            await chip.start_job(bytes(job.plan.commands), job.spot.commands)
            await chip.bench.wait(int(rng.integers(0, 500)))
            await chip.set_register("JOB_ABORT", 1)
            state = await chip.finish()
            assert state in (JobState.ERROR, JobState.DONE)
            if state == JobState.ERROR:
                assert await chip.register("ERROR_CAUSE") == Trap.ABORTED
    await _multiply(chip, a, b, Format.INT8, "dram")
    await _check_alive(chip)


@cocotb.test()
async def a_hanging_job_is_seen_aborted_and_survived(dut: Any) -> None:
    """A consumer without a producer waits for ever: no progress, and an abort ends it."""
    chip = await _chip(dut)
    commands = CommandList()
    commands.add(Opcode.CB, cb=3, base=0, depth=8)
    commands.add(
        Opcode.DMA_OUT,
        mem_addr=SRAM.base + 0x2000,
        cb=3,
        count0=64,
        stride0=WORD,
        step_level=1,
        adv_level=1,
        need=1,
        adv=1,
        tag=77,
    )
    commands.add(Opcode.END)
    await chip.start_job(bytes(commands), LIST)
    await chip.bench.wait(300)
    before = await chip.register("PROGRESS")
    await chip.bench.wait(300)
    assert await chip.register("PROGRESS") == before
    waits = [text async for text in chip.waits()]
    assert any(text.startswith("FI_OUT WAIT_CB_DATA cb 3") for text in waits), waits
    await chip.set_register("JOB_ABORT", 1)
    assert await chip.finish() == JobState.ERROR
    assert await chip.register("ERROR_CAUSE") == Trap.ABORTED
    await _check_alive(chip)


@cocotb.test()
async def the_host_reads_and_writes_while_a_job_runs(dut: Any) -> None:
    """Host traffic beside a job damages neither; a host that does not listen blocks nobody."""
    chip = await _chip(dut)
    rng = python_rng("beside")
    source, target, own = SRAM.base + 0x2000, SRAM.base + 0x4000, SRAM.base + 0x8000
    data = rng.randbytes(4096)
    await chip.write(source, data)
    copy = Copy(
        source=source, target=target, run_bytes=256, n_runs=16, source_pitch=256, target_pitch=256
    )
    await chip.start_job(copy_list([copy], WORD), LIST)
    mine = rng.randbytes(1024)
    for start in range(0, 1024, 100):
        await chip.write(own + start, mine[start : start + 100])
    check_bytes(await chip.read(own, 1024), mine)
    assert await chip.finish() == JobState.DONE
    check_bytes(await chip.read(target, 4096), data)
    await chip.write(target, bytes(4096))
    await chip.start_job(copy_list([copy], WORD), LIST)
    chip.host.read_if.r_channel.pause = True
    reads = [chip.host.init_read(own, 1024) for _ in range(4)]
    await chip.bench.until(lambda: chip.irq, limit=6000)
    chip.host.read_if.r_channel.pause = False
    for read in reads:
        await read.wait()
        assert read.data.data == mine
    check_bytes(await chip.read(target, 4096), data)


@cocotb.test()
async def reset_in_the_middle_of_a_job_leaves_a_working_chip(dut: Any) -> None:
    """Power-on reset at any time."""
    chip = await _chip(dut)
    copy = Copy(
        source=SRAM.base,
        target=DRAM.base,
        run_bytes=256,
        n_runs=16,
        source_pitch=256,
        target_pitch=256,
    )
    await chip.start_job(copy_list([copy], WORD), SRAM.base + 0x3000)
    await chip.bench.wait(100)
    await chip.bench.reset()
    assert await chip.register("JOB_STATE") == JobState.IDLE
    await chip.set_register("SRAM_CLEAR", 1)
    while await chip.register("SRAM_CLEAR"):
        await chip.bench.wait(64)
    await _check_alive(chip)


@pytest.mark.parametrize("share", [0.0, 0.4], ids=["at_full_speed", "with_axi_pauses"])
def test_one_element_chip(share: float) -> None:
    """The whole chip, with prompt and with hesitating surroundings."""
    run_bench(
        OneElementChip(CONFIG),
        name="one_element_tiny",
        test_module=__name__,
        parameters={"share": share},
    )
