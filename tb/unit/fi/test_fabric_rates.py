# SPDX-License-Identifier: Apache-2.0
"""How fast the fabric interface is, against the formulas in its documentation."""

from typing import Any

import cocotb
import pytest

from sim.golden.address import Nest
from sim.golden.dma import Dma
from tb.common.cb_table import CbState
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters
from tb.unit.fi.setting import MEMORY_BASE, SIZES, Setting, fabric_interface

N_RUNS = 24


def n_lines(address: int, length: int, link: int) -> int:
    """Lines of a run."""
    return -(-(address % link + length) // link)


def n_write_cycles(address: int, local: int, length: int, link: int) -> int:
    """Cycles of a run out: its lines, and one more when the first one touches three words."""
    word = link // 2
    first = min(length, link - address % link)
    touched = (local % word + first - 1) // word + 1
    return n_lines(address, length, link) + (touched == 3)


def rows(
    *, length: int, address: int, pitch: int, local: int, local_pitch: int, word: int, cb: int
) -> Dma:
    """One step of equal runs."""
    nest = Nest(
        counts=(length, N_RUNS, 1, 1, 1),
        strides=(word, local_pitch, 0, 0, 0),
        offset=local,
        cb=cb,
        step_level=2,
        adv_level=2,
        need=1,
        adv=1,
    )
    return Dma(nest=nest, mem_addr=address, mem_strides=(pitch, 0, 0, 0))


def shapes(link: int) -> list[dict[str, int]]:
    """Aligned and not, one line and many, short runs."""
    found = []
    for length in (link, 4 * link, 4 * link + 1, 2 * link - 3, 5):
        for address, local in ((0, 0), (1, 0), (0, 1), (link - 1, 3), (link // 2, link // 2 - 1)):
            step = -(-(length + local) // link) * link
            pitch = length + (0 if address else -length % link)
            found.append(
                {
                    "length": length,
                    "address": MEMORY_BASE + 1024 + address,
                    "pitch": pitch,
                    "local": local,
                    "local_pitch": step,
                }
            )
    return found


def make(dut: Any) -> Setting:
    """A setting in which nothing ever waits."""
    size = bench_parameters()["size"]
    part = SIZES[size]["ls_bytes"] // 64 // 3  # in 64-byte units
    buffers = {
        name: {cb: CbState(base=part * cb // 2, depth=part)}
        for name, cb in (("fi_in_row", 0), ("fi_in_col", 2), ("fi_out", 4))
    }
    return Setting(dut, size=size, buffers=buffers, eager=True, latency=0, shuffle=False)


@cocotb.test()
async def reads_take_a_cycle_per_line(dut: Any) -> None:
    """Requests leave and land in consecutive cycles, across runs, at every alignment."""
    setting = make(dut)
    await setting.bench.start()
    requests = setting.bench.monitor("memory_read__request")
    answers = setting.bench.monitor("memory_read__response")
    engine = setting.engines["fi_in_row"]
    for shape in shapes(setting.link_bytes):
        before = len(requests.cycles)
        dma = rows(**shape, word=setting.word_bytes, cb=0)
        engine.send(dma, 1)
        await engine.done()
        wanted = sum(
            n_lines(shape["address"] + n * shape["pitch"], shape["length"], setting.link_bytes)
            for n in range(N_RUNS)
        )
        for stream in (requests, answers):
            cycles = stream.cycles[before:]
            assert len(cycles) == wanted, shape
            assert cycles[-1] - cycles[0] == wanted - 1, shape


@cocotb.test()
async def writes_take_a_cycle_per_line(dut: Any) -> None:
    """Lines leave at the rate of the formula, at every alignment."""
    setting = make(dut)
    await setting.bench.start()
    requests = setting.bench.monitor("memory_write__request")
    engine = setting.engines["fi_out"]
    for shape in shapes(setting.link_bytes):
        before = len(requests.cycles)
        engine.send(rows(**shape, word=setting.word_bytes, cb=4), 1)
        await engine.done()
        per_run = [
            (
                n_lines(shape["address"] + n * shape["pitch"], shape["length"], setting.link_bytes),
                n_write_cycles(
                    shape["address"] + n * shape["pitch"],
                    shape["local"] + n * shape["local_pitch"],
                    shape["length"],
                    setting.link_bytes,
                ),
            )
            for n in range(N_RUNS)
        ]
        cycles = requests.cycles[before:]
        assert len(cycles) == sum(lines for lines, _ in per_run), shape
        # The first line leaves in the last cycle that its own words need.
        first_extra = per_run[0][1] - per_run[0][0]
        wanted = sum(needed for _, needed in per_run) - first_extra
        assert cycles[-1] - cycles[0] == wanted - 1, shape


@cocotb.test()
async def both_engines_share_fairly(dut: Any) -> None:
    """Two engines with equal work end together, and the port never idles."""
    setting = make(dut)
    await setting.bench.start()
    requests = setting.bench.monitor("memory_read__request")
    link, word = setting.link_bytes, setting.word_bytes
    shape = {
        "length": 4 * link,
        "address": MEMORY_BASE,
        "pitch": 4 * link,
        "local": 0,
        "local_pitch": 4 * link,
        "word": word,
    }
    for name, cb in (("fi_in_row", 0), ("fi_in_col", 2)):
        setting.engines[name].send(rows(**shape, cb=cb), 1)
    for name in ("fi_in_row", "fi_in_col"):
        await setting.engines[name].done()
    assert len(requests.cycles) == 8 * N_RUNS
    assert requests.cycles[-1] - requests.cycles[0] == 8 * N_RUNS - 1
    ends = [setting.engines[name].completions.cycles[-1] for name in ("fi_in_row", "fi_in_col")]
    assert abs(ends[0] - ends[1]) <= 2


@cocotb.test()
async def events_count_lines_and_bytes(dut: Any) -> None:
    """The events of a transfer add up to its lines and its useful bytes."""
    setting = make(dut)
    await setting.bench.start()
    counts = dict.fromkeys(("read_lines", "read_bytes", "write_lines", "write_bytes"), 0)

    class Counter:
        def sample(self, cycle: int) -> None:
            for name in counts:
                counts[name] += int(setting.bench.port(f"event_{name}").value)

        def drive(self) -> None:
            pass

        def reset(self) -> None:
            pass

    setting.bench.add(Counter())
    shape = {
        "length": 37,
        "address": MEMORY_BASE + 5,
        "pitch": 41,
        "local": 3,
        "local_pitch": 64,
        "word": setting.word_bytes,
    }
    setting.engines["fi_in_col"].send(rows(**shape, cb=2), 1)
    setting.engines["fi_out"].send(rows(**shape | {"address": MEMORY_BASE + 0x8005}, cb=4), 1)
    await setting.engines["fi_in_col"].done()
    await setting.engines["fi_out"].done()
    lines = sum(n_lines(5 + 41 * n, 37, setting.link_bytes) for n in range(N_RUNS))
    assert counts == {
        "read_lines": lines,
        "write_lines": lines,
        "read_bytes": 37 * N_RUNS,
        "write_bytes": 37 * N_RUNS,
    }


@pytest.mark.parametrize(("size", "ls_latency"), [("tiny", 2), ("tiny", 3), ("full", 2)])
def test_rates(size: str, ls_latency: int) -> None:
    """Tiny and full size keep the same formulas, and so do both latencies of local memory."""
    run_bench(
        fabric_interface(size),
        name=f"fabric_interface_{size}",
        test_module=__name__,
        parameters={"size": size, "ls_latency": ls_latency},
    )
