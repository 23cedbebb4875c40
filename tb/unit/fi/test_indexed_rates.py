# SPDX-License-Identifier: Apache-2.0
"""How fast gather and scatter are, against the formulas in the documentation."""

from typing import Any

import cocotb
import pytest

from hw.arch.commands import ScatterMode
from sim.golden.address import Nest
from sim.golden.indexed import Indexed
from tb.common.cb_table import CbState
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.unit.fi.setting import MEMORY_BASE, SIZES, Setting, fabric_interface
from tb.unit.fi.test_fabric_rates import n_lines, n_write_cycles

N_ROWS = 96
TABLE = MEMORY_BASE + 0x8000


def make(dut: Any, *, latency: int = 0) -> Setting:
    """A setting in which nothing ever waits."""
    size = bench_parameters()["size"]
    part = SIZES[size]["ls_bytes"] // 64 // 4  # in 64-byte units
    buffers = {
        name: {cb: CbState(base=part * number, depth=part)}
        for number, (name, cb) in enumerate(
            (("fi_in_row", 0), ("fi_out", 1), ("fi_in_index", 2), ("fi_out_index", 3))
        )
    }
    return Setting(dut, size=size, buffers=buffers, eager=True, latency=latency, shuffle=False)


def rows(
    setting: Setting,
    *,
    length: int,
    pitch: int,
    offset: int = 0,
    cb: int,
    index_cb: int,
    mode: ScatterMode = ScatterMode.STORE,
) -> Indexed:
    """Rows one after another in local memory, all in one step."""
    nest = Nest(
        counts=(length, N_ROWS, 1, 1, 1),
        strides=(
            setting.word_bytes,
            -(-length // setting.word_bytes) * setting.word_bytes,
            0,
            0,
            0,
        ),
        cb=cb,
        step_level=2,
        adv_level=2,
        need=1,
        adv=1,
    )
    return Indexed(
        nest=nest,
        mem_addr=TABLE + offset,
        row_pitch=pitch,
        index_limit=0x7000 // pitch,
        index_cb=index_cb,
        index_need=N_ROWS // 16,
        index_adv=N_ROWS // 16,
        mode=mode,
    )


def shapes(setting: Setting) -> list[tuple[int, int, int]]:
    """Length, pitch and offset of rows: two lines, one line, and a length that never fits."""
    link = setting.link_bytes
    odd = link + link // 2 + link // 16  # 100 bytes for lines of 64
    return [(2 * link, 2 * link, 0), (link, link, 0), (odd, odd, 3), (5, 5, 1)]


@cocotb.test()
async def gathered_rows_take_a_cycle_per_line(dut: Any) -> None:
    """Indices are there in time, so that lines leave and land without a gap."""
    setting = make(dut)
    await setting.bench.start()
    requests = setting.bench.monitor("memory_read__request")
    answers = setting.bench.monitor("memory_read__response")
    engine, rng = setting.engines["fi_in_row"], python_rng("indices")
    for length, pitch, offset in shapes(setting):
        job = rows(setting, length=length, pitch=pitch, offset=offset, cb=0, index_cb=2)
        indices = [rng.randrange(job.index_limit) for _ in range(N_ROWS)]
        before = len(requests.cycles)
        engine.send(job, 1, indices)
        await engine.commands.drained()
        began = setting.bench.cycle
        await engine.done()
        wanted = sum(
            n_lines(job.mem_addr + pitch * index, length, setting.link_bytes) for index in indices
        )
        for stream in (requests, answers):
            cycles = stream.cycles[before:]
            assert len(cycles) == wanted
            assert cycles[-1] - cycles[0] == wanted - 1, (length, cycles[-1] - cycles[0], wanted)
        first = requests.cycles[before] - began
        assert first <= 12 + setting.local.latency, first


@cocotb.test()
async def scattered_rows_are_stored_at_the_rate_of_dma_out(dut: Any) -> None:
    """Rows that do not meet leave as fast as runs of DMA_OUT."""
    setting = make(dut)
    await setting.bench.start()
    requests = setting.bench.monitor("memory_write__request")
    engine = setting.engines["fi_out"]
    for length, pitch, offset in shapes(setting)[:3]:
        pitch = -(-pitch // setting.link_bytes) * setting.link_bytes + setting.link_bytes
        job = rows(setting, length=length, pitch=pitch, offset=offset, cb=1, index_cb=3)
        indices = [index % job.index_limit for index in range(7, 7 + N_ROWS)]
        before = len(requests.cycles)
        engine.send(job, 1, indices)
        await engine.done()
        wanted = sum(
            n_write_cycles(job.mem_addr + pitch * index, 0, length, setting.link_bytes)
            for index in indices
        )
        cycles = requests.cycles[before:]
        assert cycles[-1] - cycles[0] == wanted - 1, (length, cycles[-1] - cycles[0], wanted)


@cocotb.test()
async def added_rows_keep_to_the_formula(dut: Any) -> None:
    """Different rows: as many in flight as there are tags; the same row: one after another."""
    for latency in (0, 24):
        setting = make(dut, latency=latency)
        await setting.bench.start()
        streams = [
            setting.bench.monitor(f"memory_{kind}__{part}")
            for kind in ("read", "write")
            for part in ("request", "response")
        ]
        engine, link = setting.engines["fi_out"], setting.link_bytes
        job = rows(setting, length=link, pitch=link, cb=1, index_cb=3, mode=ScatterMode.ADD)
        different = python_rng("indices").sample(range(job.index_limit), N_ROWS)
        for indices in (different, [5] * N_ROWS):
            before = len(streams[0].cycles)
            engine.send(job, 1, indices)
            await engine.done()
            asked, read, sent, acknowledged = (stream.cycles[before:] for stream in streams)
            there, back = read[0] - asked[0], acknowledged[0] - sent[0]
            if indices is different:
                n_tags = SIZES[bench_parameters()["size"]]["writes_in_flight"]
                # Whole turns of all tags, each as long as a line is under way, then the rest.
                turns, left = divmod(N_ROWS - 1, n_tags)
                wanted = turns * max(there + back + 11, n_tags) + left
            else:
                wanted = (N_ROWS - 1) * (there + back + 10)
            assert sent[-1] - sent[0] == wanted, (latency, there, back)
        assert setting.memory.data == setting.expected
        leave(setting)


@cocotb.test()
async def gathers_cover_the_latency_of_a_memory(dut: Any) -> None:
    """With D cycles from a request to its answer the rate is reads_in_flight / (D + 5)."""
    for latency in (12, 26, 40):
        setting = make(dut, latency=latency)
        await setting.bench.start()
        requests = setting.bench.monitor("memory_read__request")
        answers = setting.bench.monitor("memory_read__response")
        engine, rng = setting.engines["fi_in_row"], python_rng("indices")
        link, n_tags = (
            setting.link_bytes,
            SIZES[bench_parameters()["size"]]["reads_in_flight"],
        )
        job = rows(setting, length=2 * link, pitch=2 * link, cb=0, index_cb=2)
        engine.send(job, 1, [rng.randrange(job.index_limit) for _ in range(N_ROWS)])
        await engine.done()
        delay = answers.cycles[0] - requests.cycles[0]
        span = answers.cycles[-1] - answers.cycles[0] + 1
        rate = 2 * N_ROWS / span
        wanted = min(1, n_tags / (delay + 5))
        assert wanted <= rate <= 1.06 * wanted, (delay, rate, wanted)  # the first lines do not wait
        leave(setting)


def leave(setting: Setting) -> None:
    """Stop the agents of a setting, since the next one drives the same device."""
    setting.bench._agents.clear()
    setting.bench._probes.clear()


@pytest.mark.parametrize(("size", "ls_latency"), [("tiny", 2), ("tiny", 3), ("full", 2)])
def test_indexed_rates(size: str, ls_latency: int) -> None:
    """Tiny and full size keep the same formulas, and so do both latencies of local memory."""
    run_bench(
        fabric_interface(size),
        name=f"fabric_interface_{size}",
        test_module=__name__,
        parameters={"size": size, "ls_latency": ls_latency},
    )
