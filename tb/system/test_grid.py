# SPDX-License-Identifier: Apache-2.0
"""The whole grid of `tiny` in the compiled simulator: products, sub-grids, queues, errors."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hw.arch.commands import Opcode
from hw.arch.csr import N_JOBS
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.config import PRESETS
from sw.cli.app import main
from sw.errors import UserError
from sw.runtime.chip import JobError, JobHang
from sw.runtime.finish import Finish
from sw.runtime.functional import FunctionalChip
from sw.runtime.gemm import prepare_gemm, run_gemm
from sw.runtime.grid import Grid, Place
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from sw.runtime.grid_split import split
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import LISTS, check_product, commands, copies, copy_list
from tb.system.test_gemm import TYPES, bits

CONFIG = PRESETS["tiny"]
PLACES: list[Place] = [(row, column) for row in range(CONFIG.rows) for column in range(CONFIG.cols)]


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


@pytest.mark.parametrize("where", ["sram", "dram"])
@pytest.mark.parametrize("dtype", list(TYPES.values()), ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 16, 16), (9, 70, 40), (64, 48, 100)], ids=str)
def test_product_is_exact(
    grid: Grid, shape: tuple[int, int, int], dtype: np.dtype, where: str
) -> None:
    """Would break if a lane, a switch or a slice lost, mixed or misplaced one line."""
    check_product(grid, shape, dtype, where)


@pytest.mark.parametrize("shape", [(20, 40, 24), (9, 70, 40)], ids=str)
def test_bias_and_scales_go_to_their_columns(grid: Grid, shape: tuple[int, int, int]) -> None:
    """Would break if an element took bias or scale of another one's columns."""
    m, n, k = shape
    rng = numpy_rng(f"finish{shape}")
    a, b = (bits(rng, size, next(iter(TYPES))) for size in ((m, k), (k, n)))
    finish = Finish(
        out=Format.INT8,
        bias=rng.integers(-5000, 5000, n).astype(np.int32),
        scale=rng.uniform(0.0005, 0.002, n).astype(np.float32),
    )
    run = run_grid_gemm(grid, prepare_grid_gemm(CONFIG, a, b, finish=finish))
    alone = FunctionalChip(CONFIG)
    golden = run_gemm(alone, prepare_gemm(CONFIG, a, b, finish=finish))
    assert np.array_equal(run.c, golden.c)
    assert len(np.unique(run.c)) > 20


def test_four_elements_are_nearly_four_times_as_fast(grid: Grid) -> None:
    """Would break if elements waited for one another: each computes a quarter of C."""
    perf = check_product(grid, (64, 64, 512), np.dtype(np.int8), "sram", counters=True)
    rows = [counters["dpe.rows"] for counters in perf["elements"].values()]
    assert rows == [32 * 4 * 64] * 4
    assert perf["utilisation"] > 0.7
    assert abs(perf["harness_cycles"] - perf["cycles"]) < 30


def test_every_word_of_memory_is_its_own(grid: Grid) -> None:
    """Would break if two addresses shared a place in some slice, or one had none."""
    size = CONFIG.sram.size_bytes
    data = numpy_rng("words").integers(0, 256, size).astype(np.uint8).tobytes()
    grid.port.write(0, data)
    assert grid.port.read(0, size) == data


def test_sub_grids_run_different_jobs_at_once(grid: Grid) -> None:
    """Would break if a job's completion, list or interrupt were another's."""
    data = numpy_rng("jobs").integers(0, 256, 4 * 512).astype(np.uint8).tobytes()
    grid.port.write(0, data)
    for job, (row, column) in enumerate(PLACES):
        base = LISTS + 0x1000 * job
        made = copy_list(512 * job, 0x4000 + 512 * job, 8, n_times=400)
        # The list of element (0, 0) would be at `base`; all strides are those of one element.
        grid.start(base, {(row, column): made}, job=job)
    assert [grid.register(f"JOB{job}_PENDING") for job in range(N_JOBS)] == [1] * N_JOBS
    for _ in range(500):
        grid.port.run(100)
        if grid.register("GRID_DONE") == (1 << N_JOBS) - 1:
            break
    assert grid.register("GRID_DONE") == (1 << N_JOBS) - 1
    assert all(grid.register(f"JOB{job}_PENDING") == 0 for job in range(N_JOBS))
    assert grid.port.read(0x4000, len(data)) == data


def test_two_jobs_wait_in_an_element(grid: Grid) -> None:
    """Would break if the second job were lost, or a third one were taken."""
    data = numpy_rng("queue").integers(0, 256, 512).astype(np.uint8).tobytes()
    grid.port.write(0, data)
    long = copy_list(0, 0x5000, 8, n_times=400)
    grid.start(LISTS, dict.fromkeys(PLACES, long), job=0)
    grid.start(LISTS + 0x2000, dict.fromkeys(PLACES, copy_list(0, 0x6000, 8)), job=1)
    with pytest.raises(UserError, match="Job 2 cannot start"):
        grid.start(LISTS + 0x4000, dict.fromkeys(PLACES, copy_list(0, 0x7000, 8)), job=2)
    assert grid.register("JOB0_PENDING") == grid.register("JOB1_PENDING") == len(PLACES)
    assert grid.register("JOB2_PENDING") == 0, "both places of the queue were taken"
    while grid.register("JOB0_PENDING") or grid.register("JOB1_PENDING"):
        grid.port.run(50)
    assert grid.port.read(0x5000, 512) == grid.port.read(0x6000, 512) == data


def test_an_error_names_its_element(grid: Grid) -> None:
    """Would break if errors of two elements were mixed, or the chip stayed stuck."""
    bad = commands(
        (Opcode.CB, {"cb": 3, "base": 0, "depth": 4}),
        (Opcode.DMA_IN, {"cb": 3, "count0": 8, "stride0": 8, "step_level": 1, "need": 1,
                         "mem_addr": 0x5000_0000, "tag": 9}),
    )  # fmt: skip
    for wrong in PLACES:
        lists = dict.fromkeys(PLACES, copy_list(0, 0x5000, 1)) | {wrong: bad}
        with pytest.raises(JobError, match=r"0x50000000") as error:
            grid.run_job(LISTS, lists)
        assert str(error.value).startswith(f"Element {wrong}: ")
        assert error.value.cause == Trap.MEMORY_ERROR
    check_product(grid, (9, 9, 9), np.dtype(np.int8))


def test_a_failed_job_takes_along_what_waits(grid: Grid) -> None:
    """Would break if the next job ran on operands that were never made."""
    wrong = {"cb": 5, "count0": 8, "stride0": 8, "step_level": 1, "need": 1}
    bad = commands(*copies(0, 0x5000, 8, n_times=400), (Opcode.DMA_IN, wrong))
    grid.port.write(0, numpy_rng("left").integers(0, 256, 512).astype(np.uint8).tobytes())
    grid.port.write(0x6000, bytes(512))
    grid.start(LISTS, {(1, 1): bad}, job=0)
    grid.start(LISTS + 0x2000, {(1, 1): copy_list(0, 0x6000, 8)}, job=1)
    while grid.register("JOB0_PENDING") or grid.register("JOB1_PENDING"):
        grid.port.run(50)
    error = grid.register("GRID_ERROR")
    assert (error & 0xFFFF, error >> 31) == (1 | 1 << 8, 1)
    assert grid.register("GRID_FAILED") & 3 == 3
    assert grid.element((1, 1)).register("ERROR_JOB") == 0
    assert grid.port.read(0x6000, 512) == bytes(512)


def test_a_hang_names_its_element(grid: Grid) -> None:
    """Would break if triage spoke of an element that had long finished."""
    stuck = commands(
        (Opcode.CB, {"cb": 3, "base": 0, "depth": 4}),
        (Opcode.DMA_OUT, {"cb": 3, "count0": 8, "stride0": 8, "step_level": 1, "need": 1}),
    )
    lists = dict.fromkeys(PLACES, copy_list(0, 0x5000, 1)) | {(0, 1): stuck}
    with pytest.raises(JobHang) as hang:
        grid.run_job(LISTS, lists, stall_limit=1000)
    text = str(hang.value)
    first = "Element (0, 1) has not completed job 0: FI_OUT is in WAIT_CB_DATA, dma_out (tag 1)."
    assert text.startswith(f"No progress for 1000 cycles. {first}")
    assert "element (0, 1):" in text and "element (1, 1):" not in text
    assert "FI_OUT     waits for data in CB 3" in text
    check_product(grid, (16, 16, 16), np.dtype(np.int8))


def test_abort_with_traffic_in_flight(grid: Grid) -> None:
    """Would break if an answer for an aborted job reached the next one."""
    rng = numpy_rng("abort")
    a, b = (bits(rng, shape, next(iter(TYPES))) for shape in ((60, 200), (200, 60)))
    job = prepare_grid_gemm(CONFIG, a, b, multicast=False)
    for cycles in (0, 37, 150, 400):
        grid.start(job.spot.commands, job.lists)
        grid.port.run(cycles)
        grid.selected.set_register("JOB_ABORT", 1)
        assert grid.port.run(2000), "the abort did not end"
        assert grid.register("GRID_ERROR") >> 16 & 0xFF == Trap.ABORTED
        check_product(grid, (24, 24, 64), np.dtype(np.int8))


def test_an_abort_between_two_jobs_is_not_lost(grid: Grid) -> None:
    """Would break if the second job ran on after an abort in the cycles of the hand-over."""
    first, second = copy_list(0, 0x5000, 8, n_times=20), copy_list(0, 0x6000, 8, n_times=400)
    length = grid.run_job(LISTS, {(0, 0): first}).cycles
    assert length is not None
    seen = set()
    for before in range(-4, 40):
        grid.prepare(LISTS, {(0, 0): first})
        ends = grid.port.cycles + length
        grid.selected.set_register("JOB_START", 1)
        grid.start(LISTS + 0x2000, {(0, 0): second}, job=1)
        assert grid.port.cycles < ends - 40, "the first job is too short for this test"
        grid.port.run(ends - before - grid.port.cycles)
        grid.selected.set_register("JOB_ABORT", 1)
        for _ in range(20):
            grid.port.run(20)
        assert grid.register("JOB1_PENDING") == 0, "the abort was lost"
        seen.add(grid.register("GRID_FAILED") & 3)
    assert seen == {2, 3}, "the hand-over was not met"


def test_an_abort_that_comes_late_leaves_the_next_job_alone(grid: Grid) -> None:
    """Would break if the abort of a job that just ends hit the one behind, which is another's."""
    data = numpy_rng("late").integers(0, 256, 512).astype(np.uint8).tobytes()
    grid.port.write(0, data)
    first, second = copy_list(0, 0x5000, 8, n_times=20), copy_list(0, 0x6000, 8)
    length = grid.run_job(LISTS, {(0, 0): first}).cycles
    assert length is not None
    seen = set()
    for before in range(-8, 24):
        grid.port.write(0x6000, bytes(512))
        grid.prepare(LISTS, {(0, 0): first})
        ends = grid.port.cycles + length
        grid.selected.set_register("JOB_START", 1)
        grid.start(LISTS + 0x2000, {(0, 0): second}, job=1)
        assert grid.port.cycles < ends - 24, "the first job is too short for this test"
        grid.port.run(ends - before - grid.port.cycles)
        grid.abort([(0, 0)], 0)
        while grid.register("JOB0_PENDING") or grid.register("JOB1_PENDING"):
            grid.port.run(20)
        failed = grid.register("GRID_FAILED") & 3
        assert grid.port.read(0x6000, 512) == (bytes(512) if failed else data)
        seen.add(failed)
    assert seen == {0, 3}, "the end of the first job was not met"


def test_a_job_that_waits_is_aborted_by_its_number(grid: Grid) -> None:
    """Would break if the job before it were aborted, or it ran all the same."""
    grid.port.write(0x6000, bytes(512))
    long, short = copy_list(0, 0x5000, 8, n_times=100), copy_list(0, 0x6000, 8, n_times=400)
    grid.start(LISTS, dict.fromkeys(PLACES, long), job=2)
    grid.start(LISTS + 0x2000, dict.fromkeys(PLACES, short), job=1)
    grid.abort(PLACES, 1)
    grid.abort(PLACES, 3)  # nobody's
    grid.wait(2, PLACES)
    with pytest.raises(JobError, match="aborted"):
        grid.wait(1, PLACES)
    assert grid.register("GRID_FAILED") & 0b110 == 1 << 1
    with pytest.raises(UserError, match=r"A job's number is 0 to 3, not 4\."):
        grid.abort(PLACES, 4)


def test_a_hang_of_the_job_before_is_ended_with_it(grid: Grid) -> None:
    """Would break if a job that waits behind a stuck one were aborted without effect."""
    stuck = commands(
        (Opcode.CB, {"cb": 3, "base": 0, "depth": 4}),
        (Opcode.DMA_OUT, {"cb": 3, "count0": 8, "stride0": 8, "step_level": 1, "need": 1}),
    )
    grid.start(LISTS, {(0, 0): stuck}, job=0)
    grid.start(LISTS + 0x2000, {(0, 0): copy_list(0, 0x6000, 8)}, job=1)
    with pytest.raises(JobHang):
        grid.wait(1, [(0, 0)], stall_limit=1000)
    assert grid.element((0, 0)).register("JOB_QUEUE") == 0
    check_product(grid, (9, 9, 9), np.dtype(np.int8))


def test_a_job_starts_only_on_the_selected(grid: Grid) -> None:
    """Would break if an untracked start on one element's page took a place of its queue."""
    grid.prepare(LISTS, {(0, 0): copy_list(0, 0x5000, 8, n_times=400)})
    grid.element((0, 0)).set_register("JOB_START", 1)
    assert grid.element((0, 0)).register("JOB_QUEUE") == 0


@pytest.mark.parametrize("job", [N_JOBS, N_JOBS + 3, 1 << 8, 1 << 23])
def test_a_job_that_is_not_there_is_refused(grid: Grid, job: int) -> None:
    """Would break if the number were taken modulo 4: some other job would start."""
    lists = {(0, 0): copy_list(0, 0x5000, 1)}
    with pytest.raises(UserError) as error:
        grid.start(LISTS, lists, job=job)
    assert str(error.value) == f"A job's number is 0 to 3, not {job}."
    grid.prepare(LISTS, lists)
    done = grid.register("GRID_DONE")
    grid.selected.set_register("JOB_START", 1 | job << 8)
    assert grid.register("GRID_REFUSED") == 1
    assert grid.element((0, 0)).register("JOB_QUEUE") == 0
    assert grid.register("GRID_DONE") == done
    grid.run_job(LISTS, lists)
    assert grid.register("GRID_REFUSED") == 0


def test_waiting_costs_one_register_of_the_chip(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would break if the host asked every element whenever it looks; and if a job that is slow,
    but moves, counted as a hang."""
    read, asked, polls = grid.port.read_register, [], []
    monkeypatch.setattr(grid.port, "read_register", lambda at: asked.append(at) or read(at))
    long = copy_list(0, 0x5000, 8, n_times=300)
    result = grid.run_job(
        LISTS, dict.fromkeys(PLACES, long), stall_limit=200, progress=polls.append
    )
    assert result.cycles is not None and result.cycles > 20 * 200
    assert len(polls) > 20
    assert len(asked) <= len(polls) + 6
    asked.clear()
    perf = check_product(grid, (9, 9, 9), np.dtype(np.int8))
    assert "elements" not in perf and len(asked) < 10


def test_an_empty_job_is_quick(grid: Grid) -> None:
    """The largest member shall need at most 200 cycles; this one has fewer hops."""
    result = grid.run_job(LISTS, dict.fromkeys(PLACES, commands()))
    assert result.cycles is not None and result.cycles < 100


def test_lists_must_fill_a_sub_grid(grid: Grid) -> None:
    """Rows and columns select elements; an L has no such selection."""
    with pytest.raises(UserError, match="some rows and columns share"):
        grid.start(LISTS, dict.fromkeys(PLACES[:3], commands()))


@pytest.mark.parametrize(("size", "n_parts"), [(1, 2), (8, 2), (9, 2), (100, 3), (64, 8), (65, 8)])
def test_split_covers_everything_once(size: int, n_parts: int) -> None:
    """Would break if a row were computed twice or never, or a run began within a tile."""
    runs = split(size, 8, n_parts)
    assert [place for first, length in runs for place in range(first, first + length)] == list(
        range(size)
    )
    assert len(runs) <= n_parts and all(first % 8 == 0 and length > 0 for first, length in runs)


def test_the_command_line_says_what_a_grid_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    """Would break if an option were silently ignored."""
    rng = numpy_rng("cli")
    a, b = (bits(rng, (9, 9), next(iter(TYPES))) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("a", a), ("b", b)):
            np.save(Path(folder, f"{name}.npy"), array)
        files = [str(Path(folder, name)) for name in ("a.npy", "b.npy")]
        call = ["gemm", *files, "-o", str(Path(folder, "c.npy")), "--grid"]
        for more, sentence in (
            (["--config", "fpga"], "fpga has one element"),
            (["--config", "tiny", "--device", "functional"], "--grid needs --device rtl"),
            (["--config", "tiny", "--preload"], "--preload is for one element"),
        ):
            assert main([*call, *more]) != 0
            assert sentence in " ".join(capsys.readouterr().err.split())
        assert not Path(folder, "c.npy").exists()
