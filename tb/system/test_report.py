# SPDX-License-Identifier: Apache-2.0
"""Reports of the RTL: recorded states add up to the counters, the page shows what the run says."""

import json
from pathlib import Path

import numpy as np
import pytest

from hw.arch.traffic import LANE_KINDS
from hw.arch.units import State
from hw.config import PRESETS
from sim.trace.reader import read_processes
from sw.cli import gemm_task
from sw.cli.app import main
from sw.cli.gemm_task import OnElement, OnGrid
from sw.report.page import report_page
from sw.report.record import PAGE_COUNTERS, RunRecord
from sw.runtime.device import DeviceName
from sw.runtime.gemm import prepare_gemm
from sw.runtime.grid_gemm import prepare_grid_gemm
from sw.runtime.simulated import simulated_chip, simulated_grid
from sw.runtime.tracing import GridTrace
from tb.common.seeds import bench_seed, numpy_rng
from tb.unit.sw.report_page import number, read_page

CONFIG = PRESETS["tiny"]


def operands(m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Two INT8 matrices."""
    rng = numpy_rng(f"report {m} {n} {k}")
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in ((m, k), (k, n)))
    return a, b


@pytest.mark.parametrize("place", ["sram", "dram"])
def test_page_of_one_element(place: str, tmp_path: Path) -> None:
    """With a trace beside it; would break if a number on the page were not the run's."""
    chip, _ = simulated_chip(CONFIG, test=True, seed=bench_seed())
    a, b = operands(24, 40, 48)
    trace = tmp_path / "run.pftrace"
    job = prepare_gemm(CONFIG, a, b, where=place)
    task = OnElement(CONFIG, DeviceName.RTL, job, None, trace, report=True)
    run, record = task.run(chip, 20_000, lambda _: None)
    chip.port.close()
    assert record is not None and record.differences() == []
    assert np.array_equal(run.c, a.astype(np.int32) @ b.astype(np.int32))
    assert trace.stat().st_size > 0
    page, perf = read_page(report_page(record)), run.perf
    assert number(page.cell("summary", "cycles")) == perf["cycles"]
    assert number(page.cell("summary", "ideal cycles")) == 24 * 40 * 48 / 64
    assert number(page.cell("summary", "of peak")) == pytest.approx(
        100 * perf["utilisation"], abs=0.051
    )
    ways = {row[0]: number(row[2]) for row in page.tables["ways"][1:]}
    moved = perf["bytes"]
    assert ways == {
        "memory port, reads": moved["link_in"], "memory port, writes": moved["link_out"],
        "SRAM, reads": moved["sram_read"], "SRAM, writes": moved["sram_write"],
        "DRAM channel, reads": moved["dram_read"], "DRAM channel, writes": moved["dram_write"],
    }  # fmt: skip
    assert (ways["DRAM channel, reads"] > 0) == (place == "dram")
    busy = 100 * perf["counters"]["dpe.busy"] / perf["cycles"]
    assert number(page.cell("units", "DPE", 1)) == pytest.approx(busy, abs=0.051)


def check_traffic(record: RunRecord) -> None:
    """Every flit of a tile's taps is one of its lane, and every access of a memory came on a lane;
    nothing of the host, which waits; the memory's lines are those of the ports, and lists."""
    traffic = record.traffic
    assert traffic is not None
    for side, counts in traffic.sides.items():
        for kind in LANE_KINDS:
            for lane in range(2):
                along = [(lane, at) if side in "WE" else (at, lane) for at in range(2)]
                tapped = sum(traffic.count(place, f"{kind}.{side.lower()}") for place in along)
                assert counts[f"{kind}.{lane}"] == tapped, (side, kind, lane)
            assert counts[f"{kind}.2"] == 0, (side, kind)
    for way, answer in (("read", "line"), ("write", "ack")):
        assert traffic.total(way) == traffic.total(answer) == traffic.total(f"sram_{way}") > 0
        assert traffic.total(f"dram_{way}") == 0
    line = record.config.pe.link_bytes
    assert traffic.total("write") * line == record.port_bytes("write")
    lists = traffic.total("read") * line - record.port_bytes("read")
    assert 0 < lists < record.port_bytes("read")


def test_page_of_a_grid(tmp_path: Path) -> None:
    """Every state of every unit of every element; would break if elements were mixed up, or a
    counter were read of the wrong one."""
    grid, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    a, b = operands(40, 24, 96)
    trace = tmp_path / "run.pftrace"
    found = []
    for counters in (True, False):
        # A shared line would be one flit of its lane and one of each tap.
        job = prepare_grid_gemm(CONFIG, a, b, multicast=False)
        task = OnGrid(
            CONFIG,
            job,
            None,
            counters=counters,
            threads=1,
            trace=trace if counters else None,
            grid_trace=GridTrace(),
            report=True,
        )
        run, record = task.run(grid, 20_000, lambda _: None)
        assert record is not None and record.differences() == []
        assert np.array_equal(run.c, a.astype(np.int32) @ b.astype(np.int32))
        found.append(record)
    grid.port.close()
    whole, few = found
    processes = {process.name: process for process in read_processes(trace)}
    for (row, column), counted in whole.counters.items():
        busy = processes[f"element {row},{column}"].total("DPE", State.BUSY)
        assert busy == counted["dpe.busy"] > 0
    assert whole.traffic is not None and few.traffic is not None
    assert whole.traffic.sides == few.traffic.sides, "the same job carries the same"
    check_traffic(whole)
    assert len({tuple(values.items()) for values in whole.counters.values()}) > 1
    assert all(tuple(values) == PAGE_COUNTERS for values in few.counters.values())
    page = read_page(report_page(few))
    assert number(page.cell("summary", "cycles")) == few.cycles
    writes = [row[2] for row in page.tables["ways"] if row[0].endswith("writes")]
    assert number(writes[0]) >= 40 * 24 * 4


def test_the_command_line_sets_cache_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways go to the chip and into the figures, and the page has what the caches counted."""
    grid, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    monkeypatch.setattr(gemm_task, "open_grid", lambda *_arguments, **_options: grid)
    monkeypatch.chdir(tmp_path)
    a, b = operands(64, 64, 96)
    for name, array in (("a", a), ("b", b)):
        np.save(f"{name}.npy", array)
    call = ["gemm", "a.npy", "b.npy", "-o", "c.npy", "--config", "tiny", "--grid"]
    more = ["--place", "dram", "--cache-ways", "1", "--json", "p.json", "--report", "page"]
    assert main([*call, *more]) == 0
    assert np.array_equal(np.load("c.npy"), a.astype(np.int32) @ b.astype(np.int32))
    perf = json.loads(Path("p.json").read_text())
    assert perf["cache_ways"] == 1
    counts = perf["traffic"]["sides"]["W"]
    hits, misses, lines = (counts[f"cache_{name}.0"] for name in ("hit", "miss", "writeback"))
    assert hits + misses == counts["dram_read.0"] + counts["dram_write.0"]
    assert min(hits, misses, lines) > 0, "a slice's way of 8 KB holds a part of all"
    row = read_page(Path("page/index.html").read_text()).tables["caches"][1]
    assert [number(text) for text in (*row[2:5], row[6])] == [hits + misses, hits, misses, lines]
