# SPDX-License-Identifier: Apache-2.0
"""GEMM end to end in the compiled simulator of `tiny`: results, counters, hangs, traps, aborts."""

import json
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hw.arch.commands import Opcode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.config import PRESETS
from sim.golden.dot import gemm_golden
from sw.cli.app import main
from sw.kernels.command_list import CommandList
from sw.runtime.chip import Chip, JobError, JobHang
from sw.runtime.gemm import prepare_gemm, run_gemm
from sw.runtime.simulated import simulated_chip
from tb.common.seeds import bench_seed, numpy_rng

CONFIG = PRESETS["tiny"]
TYPES = {
    Format.INT8: np.dtype(np.int8),
    Format.UINT8: np.dtype(np.uint8),
    Format.FP16: np.dtype(np.float16),
    Format.BF16: np.dtype(ml_dtypes.bfloat16),
}
LIST = 0x20000


@pytest.fixture
def chip() -> Iterator[Chip]:
    """A fresh chip in the build with assertions; what nothing initialises comes from the seed."""
    device, _ = simulated_chip(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def bits(rng: np.random.Generator, shape: tuple[int, int], fmt: Format) -> np.ndarray:
    """Random bit patterns: for floats that means subnormals, infinities and NaNs too."""
    raw = rng.integers(0, 256, (shape[0], shape[1] * fmt.n_bytes)).astype(np.uint8)
    return raw.view(TYPES[fmt])


def check(chip: Chip, a: np.ndarray, b: np.ndarray, fa: Format, fb: Format, where: str) -> dict:
    """Run a @ b and compare with the golden model, bit for bit; return the figures."""
    run = run_gemm(chip, prepare_gemm(CONFIG, a, b, where=where))
    golden = gemm_golden(a, b, fmt_a=fa, fmt_b=fb, chunk=CONFIG.pe.dpe.chunk)
    assert np.array_equal(run.c.view(np.uint32), golden.view(np.uint32))
    return run.perf


@pytest.mark.parametrize("where", ["sram", "dram"])
@pytest.mark.parametrize("fmt", list(TYPES), ids=lambda fmt: fmt.name.lower())
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (8, 8, 8), (9, 7, 17), (16, 16, 16), (31, 33, 17), (40, 24, 64), (3, 70, 129)],
    ids=lambda shape: "m{}_n{}_k{}".format(*shape),
)
def test_product_is_exact(chip: Chip, shape: tuple[int, int, int], fmt: Format, where: str) -> None:
    """Would break if RTL, planner or host model disagreed with the golden model in one bit."""
    m, n, k = shape
    rng = numpy_rng(f"{shape}{fmt}{where}")
    a, b = bits(rng, (m, k), fmt), bits(rng, (k, n), fmt)
    check(chip, a, b, fmt, fmt, where)


@pytest.mark.parametrize("formats", [(Format.INT8, Format.UINT8), (Format.UINT8, Format.INT8)])
def test_signs_mix(chip: Chip, formats: tuple[Format, Format]) -> None:
    """Would break if one operand's signedness leaked into the other's."""
    rng = numpy_rng("mix")
    check(chip, bits(rng, (20, 30), formats[0]), bits(rng, (30, 20), formats[1]), *formats, "sram")


def test_jobs_follow_one_another(chip: Chip) -> None:
    """Would break if a job left buffers, banks or counters behind."""
    rng = numpy_rng("jobs")
    for n in (5, 33, 16):
        perf = check(
            chip, bits(rng, (n, 40), Format.INT8), bits(rng, (40, n), Format.INT8),
            Format.INT8, Format.INT8, "auto",
        )  # fmt: skip
        # Counted by the hardware, for this job alone.
        column_tiles = -(-n // CONFIG.pe.dpe.columns)
        assert perf["counters"]["dpe.rows"] == n * column_tiles * 40 // CONFIG.pe.dpe.k_bytes
        assert perf["bytes"]["stored"] == 4 * n * n


def test_figures_agree_with_each_other(chip: Chip) -> None:
    """Would break if a counter missed or doubled: bytes, rows and cycles follow from the shape."""
    rng = numpy_rng("figures")
    m = n = 32
    k = 64
    perf = check(
        chip, bits(rng, (m, k), Format.INT8), bits(rng, (k, n), Format.INT8),
        Format.INT8, Format.INT8, "sram",
    )  # fmt: skip
    counters = perf["counters"]
    assert counters["dpe.rows"] * CONFIG.pe.dpe.macs_per_cycle() == m * n * k
    assert perf["bytes"]["stored"] == 4 * m * n
    # The harness starts counting when the start register's write was answered.
    assert abs(perf["harness_cycles"] - perf["cycles"]) < 20
    assert counters["cycles"] == pytest.approx(perf["cycles"], abs=8)
    assert 0.5 < perf["utilisation"] < perf["dpe_utilisation"] <= 1


def _hang() -> bytes:
    commands = CommandList()
    commands.add(Opcode.CB, cb=3, base=0, depth=4)
    commands.add(Opcode.DMA_OUT, cb=3, count0=8, stride0=8, step_level=1, need=1, tag=77)
    commands.add(Opcode.END)
    return bytes(commands)


def test_a_hang_reads_like_an_error_message(chip: Chip) -> None:
    """Would break if triage did not name unit, command and buffer, or the chip stayed stuck."""
    with pytest.raises(JobHang) as hang:
        chip.run_job(LIST, _hang(), stall_limit=1000)
    text = str(hang.value)
    assert "FI_OUT     waits for data in CB 3" in text
    assert "dma_out (tag 77)" in text
    assert "CB 3" in text and "<- FI_OUT" in text
    rng = numpy_rng("after")
    check(
        chip, bits(rng, (9, 9), Format.INT8), bits(rng, (9, 9), Format.INT8),
        Format.INT8, Format.INT8, "sram",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "cause", "words"),
    [
        ({"cb": 5, "need": 1}, Trap.CB_UNINITIALISED, r"never set up.*CB 5"),
        ({"cb": 3, "need": 5}, Trap.CB_TOO_SMALL, r"more of the circular buffer.*CB 3"),
        ({"cb": 3, "need": 1, "mem_addr": 0x5000_0000}, Trap.MEMORY_ERROR, "0x50000000"),
        ({"cb": 3, "need": 1, "count1": 0}, Trap.ILLEGAL_FIELD, "field count1"),
        ({"cb": 60, "need": 1}, Trap.ILLEGAL_FIELD, "field cb"),
    ],
)
def test_traps_say_why(chip: Chip, fields: dict[str, int], cause: Trap, words: str) -> None:
    """Would break if a wrong command were executed, or its error did not name it."""
    commands = CommandList()
    commands.add(Opcode.CB, cb=3, base=0, depth=4)
    commands.add(Opcode.DMA_IN, **{"count0": 8, "stride0": 8, "step_level": 1, "tag": 9, **fields})
    commands.add(Opcode.END)
    with pytest.raises(JobError, match=words) as error:
        chip.run_job(LIST, bytes(commands))
    assert error.value.cause == cause
    assert "tag 9" in str(error.value)


def test_abort_in_the_middle_then_a_right_product(chip: Chip) -> None:
    """Would break if an abort left traffic, buffers or banks behind."""
    rng = numpy_rng("abort")
    a, b = bits(rng, (60, 200), Format.INT8), bits(rng, (200, 60), Format.INT8)
    job = prepare_gemm(CONFIG, a, b)
    for cycles in (0, 37, 150, 400, 900):
        commands = bytes(job.plan.commands)
        chip.port.write(job.spot.commands, commands)
        chip.start(job.spot.commands, len(commands) // 16)
        chip.port.run(cycles)
        chip.abort()
        assert chip.port.run(2000), "the abort did not end"
        assert chip.register("ERROR_CAUSE") == Trap.ABORTED
        check(chip, a, b, Format.INT8, Format.INT8, "auto")


def test_command_line_multiplies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would break if `mtia gemm` did not write C and the figures that are promised."""
    monkeypatch.chdir(tmp_path)
    rng = numpy_rng("cli")
    a, b = bits(rng, (11, 40), Format.INT8), bits(rng, (40, 13), Format.INT8)
    np.save("a.npy", a)
    np.save("b.npy", b)
    arguments = ["gemm", "a.npy", "b.npy", "-o", "c.npy", "--config", "tiny", "--json", "perf.json"]
    assert main(arguments) == 0
    assert np.array_equal(np.load("c.npy"), a.astype(np.int32) @ b.astype(np.int32))
    perf = json.loads(Path("perf.json").read_text())
    for key in ("cycles", "harness_cycles", "macs", "utilisation", "bytes", "commands",
                "simulated_khz", "build_seconds"):  # fmt: skip
        assert key in perf
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "b.npy", "c.npy", "perf.json"]
