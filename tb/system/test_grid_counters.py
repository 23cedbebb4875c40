# SPDX-License-Identifier: Apache-2.0
"""What the grid of `tiny` shows of itself: traces against counters, snapshots, the watchdog."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.arch.commands import Opcode
from hw.arch.csr import COUNTERS, HOST_PLACE
from hw.arch.traffic import ELEMENT_TRAFFIC, LANE_KINDS, REMOTE_LANES
from hw.arch.units import State, Unit
from hw.config import PRESETS
from sim.compiled import CompiledSimulator, StateError
from sim.compiled.dram import DramTiming
from sim.trace.grid_log import LANE_WINDOW
from sim.trace.reader import ElementTrace, read_processes
from sw.runtime.chip import JobHang
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from sw.runtime.simulated import simulated_grid
from sw.runtime.tracing import GridTrace, recorded
from sw.runtime.traffic import read_traffic
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import LISTS, commands, copy_list
from tb.system.test_grid_local import HIGH, LINE, WORD, move, window
from tb.system.test_grid_signals import signal

CONFIG = PRESETS["tiny"]
PLACES = [(row, column) for row in range(CONFIG.rows) for column in range(CONFIG.cols)]
STUCK = commands(
    (Opcode.CB, {"cb": 3, "base": 0, "depth": 4}),
    (Opcode.DMA_OUT, {"cb": 3, "count0": 8, "stride0": 8, "step_level": 1, "need": 1, "tag": 5}),
)


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def total(process: ElementTrace, counter: str) -> int:
    """Events of all windows of a lane's counter, which ends at 0."""
    samples = process.fills.get(counter, [])
    pairs = zip(samples, samples[1:], strict=False)
    found = sum(value * (after - time) // LANE_WINDOW for (time, value), (after, _) in pairs)
    assert not samples or samples[-1][1] == 0
    return found


def check_trace(grid: Grid, path: Path, shape: tuple[int, int, int]) -> dict[str, Any]:
    """A product cut in two along K, whose trace says what all counters say: states of every unit of
    every element, all that sides count, rows on links. Returns its figures."""
    rng, (m, n, k), config = numpy_rng("grid trace"), shape, grid.config
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in ((m, k), (k, n)))
    job = prepare_grid_gemm(config, a, b, k_parts=2 if config.rows % 2 == 0 else config.rows)
    with recorded(grid, path):
        run = run_grid_gemm(grid, job, counters=True)
        grid.port.run(3 * LANE_WINDOW)
    assert np.array_equal(run.c, a.astype(np.int32) @ b.astype(np.int32))
    found = {process.name: process for process in read_processes(path)}
    names = {counter.name for counter in COUNTERS}
    for place, counted in run.perf["elements"].items():
        for unit in Unit:
            for state in State:
                if (name := f"{unit.name}.{state.name}".lower()) in names:
                    shown = found[f"element {place}"].total(unit.name, state)
                    assert shown == counted[name], (place, name)
    traffic = run.perf["traffic"]
    check_sides(found, traffic["sides"])
    for place, counts in traffic["elements"].items():
        for way in ("south", "east"):
            assert total(found["reduction links"], f"{place} {way}") == counts[f"link.{way}"]
    return run.perf


def check_sides(found: dict[str, ElementTrace], sides: dict[str, dict[str, int]]) -> None:
    """What the tracks of sides say is what was counted, and what the host did beside the job."""
    more: Counter[str] = Counter()  # the host stores operands, and reads C
    for side, counts in sides.items():
        host = str(sum(name.startswith("read.") for name in counts) - 1)
        for name, count in counts.items():
            kind, _, number = name.partition(".")
            if kind in ("access", "report"):
                continue  # the host reads counters until the end
            if kind in LANE_KINDS and number == host:
                kind, number = f"{kind} host", ""
            shown = total(found[f"side {side}"], f"{kind} {number}".strip())
            more[name if kind in ("host_port", "dma") else kind] += shown - count
    n_read, n_stored = more["host_port.read"], more["host_port.write"]
    assert min(n_read, n_stored) > 0
    assert {name: n for name, n in more.items() if n} == {
        **dict.fromkeys(("host_port.read", "read host", "line host", "sram_read"), n_read),
        **dict.fromkeys(("host_port.write", "write host", "ack host", "sram_write"), n_stored),
    }


def test_a_trace_adds_up_to_the_counters(grid: Grid, tmp_path: Path) -> None:
    """Would break if an element, a lane or a memory were mistaken for another, or a window lost a
    cycle."""
    traffic = check_trace(grid, tmp_path / "run.pftrace", (40, 32, 96))["traffic"]
    assert traffic["sides"]["W"]["corner_read.0"] == traffic["sides"]["N"]["corner_line.0"] > 0
    rows = [counts["link.south"] for counts in traffic["elements"].values()]
    assert sorted(rows)[:2] == [0, 0] and min(sorted(rows)[2:]) >= 40


def test_what_waits_is_shown(grid: Grid, tmp_path: Path) -> None:
    """A slow memory of the host holds up its DMA engine, and many who ask one element each other;
    would break if what waits were shown as something else."""
    assert isinstance(grid.port, CompiledSimulator)
    path, n, source = tmp_path / "waits.pftrace", 64, (1, 0)
    grid.write_local(source, HIGH, bytes(n * LINE))
    grid.port.set_host_memory_timing(DramTiming(latency=40, bytes_per_1024_cycles=1024))
    move_in = commands(*move(window(source, HIGH), 0, n * LINE))
    with recorded(grid, path):
        grid.copy_out(0, 0, n * LINE)
        grid.run_job(LISTS, dict.fromkeys(PLACES, move_in))
        grid.port.run(3 * LANE_WINDOW)
    grid.port.set_host_memory_timing(DramTiming())
    at_w = next(process for process in read_processes(path) if process.name == "side W")
    waiting = {name for name in at_w.fills if name.endswith("waits")}
    assert total(at_w, "dma host_write") == n and "dma host_write waits" in waiting
    assert total(at_w, "visit 1") == n * len(PLACES) and "visit 1 waits" in waiting
    assert not waiting & {"visit 0 waits", "dma host_read waits", "host_port read waits"}


def test_a_window_of_one_element(grid: Grid, tmp_path: Path) -> None:
    """Would break if the file held what nobody asked for."""
    path, first = tmp_path / "part.pftrace", grid.port.cycles + 400
    chosen = GridTrace(elements=[(1, 0)], first=first, last=first + 200)
    with recorded(grid, path, grid_trace=chosen):
        grid.run_job(LISTS, dict.fromkeys(PLACES, copy_list(0, 0x5000, 8, n_times=200)))
    processes = read_processes(path)
    assert [p.name for p in processes if p.name.startswith("element")] == ["element 1,0"]
    begin, end = processes[0].span
    assert first <= begin < end <= first + 200
    times = [time for p in processes for fill in p.fills.values() for time, _ in fill]
    assert times and first <= min(times) and max(times) < first + 200


def test_one_snapshot_is_of_one_moment(grid: Grid) -> None:
    """Counters of all elements and sides stand still while the job goes on, as they were in cycles
    that differ by the column alone."""
    grid.start(LISTS, dict.fromkeys(PLACES, copy_list(0, 0x5000, 8, n_times=800)))
    grid.port.run(700)
    grid.set_register("GRID_SNAPSHOT", 1)
    seen = []
    for _ in range(2):
        elements = [grid.element(p).frozen_counters(["cycles", "ls.reads"]) for p in PLACES]
        seen.append((elements, read_traffic(grid, PLACES)))
        grid.port.run(500)
    assert seen[0] == seen[1]
    cycles = [counters["cycles"] or 0 for counters in seen[0][0]]
    assert min(cycles) > 600 and max(cycles) - min(cycles) <= CONFIG.cols
    assert grid.register("JOB0_PENDING") == len(PLACES), "the job was to outlast the reads"
    grid.set_register("GRID_SNAPSHOT", 1)
    later = read_traffic(grid, PLACES)
    assert all(
        later.count(place, f"read.{side}") >= seen[0][1].count(place, f"read.{side}") > 0
        for place in PLACES
        for side in "wens"
    )
    assert later != seen[0][1]
    while grid.register("JOB0_PENDING"):
        grid.port.run(500)


def counts_of(grid: Grid, group: str, lanes: Collection[str]) -> dict[str, int]:
    """What had passed on a group of the rows' lanes, all that is not zero."""
    traffic = read_traffic(grid, PLACES)
    ends = {
        f"W {name}": count
        for name, count in traffic.sides["W"].items()
        if name.partition(".")[0] in lanes
    }
    for place, counts in traffic.elements.items():
        ends |= {f"{place} {lane}": counts[f"{group}.{lane}"] for lane in lanes}
    return {name: count for name, count in ends.items() if count}


def counts_of_windows(grid: Grid) -> dict[str, int]:
    """What has passed on the lanes of accesses to local memories, all that is not zero."""
    grid.set_register("GRID_SNAPSHOT", 1)
    return counts_of(grid, "window", REMOTE_LANES)


def test_accesses_to_local_memories_are_counted(grid: Grid) -> None:
    """A flit for each line read, each word written and each word of an answer, at both elements and
    at their rows' lanes; the host's on lanes of its own. Would break if a row, the host or a kind
    were mistaken for another."""
    n, source, target, asker = 6, (1, 0), (1, 1), (0, 1)
    host, idle = CONFIG.rows, dict.fromkeys(PLACES, commands())
    grid.run_job(LISTS, idle)
    data = numpy_rng("windows").integers(0, 256, n * LINE, np.uint8).tobytes()
    grid.write_local(source, HIGH, data)
    grid.write_local(source, HIGH, data[:WORD])
    assert grid.read_local(source, HIGH, len(data)) == data
    asked, answered = 2 * n + 1 + n, 2 * n + 1 + 2 * n
    assert counts_of_windows(grid) == {
        f"W ask.{host}": asked, "W visit.1": asked, "W reply.1": answered,
        f"W told.{host}": answered, f"{source} visit": asked, f"{source} reply": answered,
    }  # fmt: skip
    lists = {asker: commands(*move(window(source, HIGH), window(target, HIGH), len(data)))}
    grid.run_job(LISTS, idle | lists)
    assert counts_of_windows(grid) == {
        "W ask.0": 3 * n, "W visit.1": 3 * n, "W reply.1": 4 * n, "W told.0": 4 * n,
        f"{asker} ask": 3 * n, f"{asker} told": 4 * n,
        f"{source} visit": n, f"{source} reply": 2 * n,
        f"{target} visit": 2 * n, f"{target} reply": 2 * n,
    }  # fmt: skip
    assert grid.read_local(target, HIGH, len(data)) == data


def test_signals_are_counted(grid: Grid) -> None:
    """Of each row at W, and at sender and receiver; those for the host apart."""
    sender, other, receiver = (0, 0), (1, 0), (1, 1)
    signals = {
        sender: [signal(sender, receiver, 3)] * 3 + [signal(sender, HOST_PLACE, 1)] * 2,
        other: [signal(other, receiver, 3)] * 4,
    }
    lists = {
        place: commands(*((Opcode.SIGNAL, fields) for fields in signals.get(place, ())))
        for place in (sender, other)
    }
    lists[receiver] = commands((Opcode.WAIT, {"counter": 3, "value": 7}))
    grid.run_job(LISTS, dict.fromkeys(PLACES, commands()) | lists)
    assert len(grid.messages()) == 2
    grid.set_register("GRID_SNAPSHOT", 1)
    assert counts_of(grid, "signal", ("sent", "received")) == {
        "W sent.0": 5, "W sent.1": 4, "W received.1": 7, f"W received.{CONFIG.rows}": 2,
        f"{sender} sent": 5, f"{other} sent": 4, f"{receiver} received": 7,
    }  # fmt: skip


def test_accesses_to_registers_are_counted(grid: Grid) -> None:
    """Each read is an access and a report, at W and at its element; a snapshot reaches all."""
    n, place, lanes = 9, (1, 0), ("access", "report")

    def count() -> dict[str, int]:
        grid.set_register("GRID_SNAPSHOT", 1)
        return counts_of(grid, "control", lanes)

    grid.run_job(LISTS, dict.fromkeys(PLACES, commands()))
    before = count()
    for _ in range(n):
        grid.element(place).register("JOB_STATUS")
    after, looked = count(), len(ELEMENT_TRAFFIC)
    row = CONFIG.cols * looked  # the test's own reads of the counters
    added = {name: after[name] - before.get(name, 0) for name in after}
    assert added == {
        "W access.0": row + 1, "W report.0": row,
        "W access.1": row + n + 1, "W report.1": row + n,
        **{f"{at} access": looked + 1 + n * (at == place) for at in PLACES},
        **{f"{at} report": looked + n * (at == place) for at in PLACES},
    }  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_the_watchdog_names_who_does_not_end(grid: Grid, place: tuple[int, int]) -> None:
    """By the interrupt, so many cycles behind the last progress, with unit, command and cause in
    the element's registers; and the chip is usable behind the abort."""
    limit = 500
    grid.prepare(LISTS, dict.fromkeys(PLACES, copy_list(0, 0x5000, 1)) | {place: STUCK})
    grid.set_register("GRID_WATCHDOG", limit)
    began = grid.port.cycles
    grid.selected.set_register("JOB_START", 1)
    assert grid.port.run(4 * limit), "no interrupt"
    assert limit < grid.port.cycles - began < 2 * limit
    assert grid.register("GRID_HANG") == place[0] | place[1] << 8 | 1 << 31
    element = grid.element(place)
    assert element.register("WAIT_UNIT") == Unit.FI_OUT | Opcode.DMA_OUT << 8 | 5 << 16
    assert element.register("WAIT_STATE") == State.WAIT_CB_DATA
    grid.set_register("GRID_WATCHDOG", 0)
    assert grid.register("GRID_HANG") == 0
    grid.selected.set_register("JOB_ABORT", 1)
    assert grid.port.run(2000)
    grid.run_job(LISTS, dict.fromkeys(PLACES, copy_list(0, 0x5000, 1)), stall_limit=limit)


@pytest.mark.parametrize("first", ["hung", "works"])
def test_one_sub_grid_hangs_while_another_one_works(grid: Grid, first: str) -> None:
    """The hang names element and job, whichever job is waited for first; the other one goes on, and
    its result is right. Would break if progress of any element counted for all jobs."""
    limit, n_bytes, hung, works = 500, 512, PLACES[:2], PLACES[2:]
    data = numpy_rng("two sub-grids").integers(0, 256, n_bytes, np.uint8).tobytes()
    grid.port.write(0, data)
    targets = {place: 0x5000 + 0x1000 * number for number, place in enumerate(works)}
    for target in targets.values():
        grid.port.write(target, bytes(n_bytes))
    lists = {place: copy_list(0, at, n_bytes // 64, n_times=600) for place, at in targets.items()}
    grid.start(LISTS, {hung[0]: copy_list(0, 0x7000, 1), hung[1]: STUCK}, job=2)
    grid.start(LISTS + 0x4000, lists, job=1)

    def check_hang() -> None:
        with pytest.raises(JobHang) as hang:
            grid.wait(2, hung, stall_limit=limit)
        who = f"Element {hung[1]} has not completed job 2: FI_OUT is in WAIT_CB_DATA"
        assert str(hang.value).startswith(f"No progress for {limit} cycles. {who}")
        assert f"element {works[0]}" not in str(hang.value)

    if first == "hung":
        check_hang()
        assert grid.register("JOB1_PENDING") == len(works), "the other job was to outlast the hang"
    began = grid.port.cycles
    grid.wait(1, works, stall_limit=limit)
    assert grid.port.cycles - began > 2 * limit
    assert all(grid.port.read(target, n_bytes) == data for target in targets.values())
    if first == "works":
        check_hang()
    grid.run_job(LISTS, dict.fromkeys(PLACES, copy_list(0, 0x5000, 1)), stall_limit=limit)


def test_slow_work_is_no_hang(grid: Grid) -> None:
    """A job many times as long as the limit ends as it should."""
    lists = dict.fromkeys(PLACES, copy_list(0, 0x5000, 8, n_times=100))
    result = grid.run_job(LISTS, lists, stall_limit=150)
    assert result.cycles is not None and result.cycles > 10 * 150


def test_a_build_that_cannot_save_says_so(grid: Grid, tmp_path: Path) -> None:
    """Saving takes a build of its own (`test_saved_state.py`)."""
    assert isinstance(grid.port, CompiledSimulator)
    with pytest.raises(StateError) as error:
        grid.port.save(tmp_path / "state")
    assert str(error.value) == "This simulator was not built to save its state."
