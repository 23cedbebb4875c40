# SPDX-License-Identifier: Apache-2.0
"""The dot-product engine with operands from the layout unit, from local memory, and in turns."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from hw.arch.formats import Format
from hw.config.element import DpeConfig
from hw.pe.dpe import DotProductEngine
from hw.pe.dpe.feed import OperandFeed
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters
from tb.common.stream import BACK_PRESSURE
from tb.unit.dpe.test_engine import (
    ADDRESS_WIDTH,
    BANKS,
    RE_LATENCY,
    EngineBench,
    Job,
    gemm_fields,
)

COLUMNS = K_BYTES = 8


class FedEngine(wiring.Component):
    """An engine with a feed before each operand; `feed_a`, `feed_b` are the layout unit."""

    def __init__(self) -> None:
        self.engine = DotProductEngine(
            config=DpeConfig(columns=COLUMNS, k_bytes=K_BYTES),
            banks=BANKS,
            address_width=ADDRESS_WIDTH,
            re_latency=RE_LATENCY,
        )
        words = In(stream.Signature(8 * K_BYTES))
        members = dict(self.engine.signature.members)
        own = {name: members[name] for name in members if not name.endswith("_from_mlu")}
        super().__init__({**own, "feed_a": words, "feed_b": words})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        for name in ("a", "b"):
            feed = OperandFeed(address_width=ADDRESS_WIDTH, word_bytes=K_BYTES)
            m.submodules[f"feed_{name}"] = feed
            wiring.connect(m, getattr(engine, f"ls_{name}"), feed.reader)
            wiring.connect(m, feed.ls, wiring.flipped(getattr(self, f"ls_{name}")))
            wiring.connect(m, wiring.flipped(getattr(self, f"feed_{name}")), feed.words)
            m.d.comb += feed.from_mlu.eq(getattr(engine, f"{name}_from_mlu"))
        for name in ("control", "cb_a", "cb_b", "banks", "rows"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(engine, name))
        m.d.comb += self.event_held_blocks.eq(engine.event_held_blocks)
        return m


class FedBench(EngineBench):
    """Sends the words that the golden model takes for the commands that want them."""

    def __init__(self, dut: Any, *, feed: str = "none", **options: str) -> None:
        super().__init__(dut, **options)
        self.sources = {
            name: self.bench.source(f"feed_{name}", None, BACK_PRESSURE[feed][0]())
            for name in ("a", "b")
        }

    def send(self, **fields: int) -> Job:
        """Queue an MML whose fed operands have dummies for buffers."""
        pool = {}
        for name, feed in self.feeds.items():
            words = self.rng.integers(0, 256, (1024, self.k_bytes)).astype("uint8")
            pool[name] = [word.tobytes() for word in words]
            feed.extend(pool[name])
            if fields.get(f"{name}_from_mlu"):
                fields |= {f"{name}_stride{level}": 0 for level in range(5)}
                fields |= {f"{name}_{what}": 0 for what in ("offset", "need", "adv")}
        job = super().send(**fields)
        for name, feed in self.feeds.items():
            taken = pool[name][: len(pool[name]) - len(feed)]
            self.sources[name].send_all(int.from_bytes(word, "little") for word in taken)
            feed.clear()
        return job


@cocotb.test()
async def operands_from_both_places_match_the_golden_model(dut: Any) -> None:
    """Commands take A, B, both or neither from the layout unit, one right after the other."""
    setting = bench_parameters()
    bench = FedBench(dut, feed=setting["feed"], ls=setting["ls"])
    await bench.bench.start()
    jobs = []
    for number in range(24):
        fmt = (Format.INT8, Format.FP16)[number % 3 == 2]
        choice = number * 7 % 4 if number < 16 else int(bench.rng.integers(4))
        tails = {"k_tail": 6, "m_tail": 3, "n_tail": 5} if number & 1 else {}
        fields = gemm_fields(bench, m_tiles=2, n_tiles=1, k_steps=2, fmt=fmt, by_row=number & 1)
        jobs.append(
            bench.send(
                **fields,
                **tails,
                a_from_mlu=choice & 1,
                b_from_mlu=choice >> 1,
                bank=2 * (number & 1),
            )
        )
    await bench.finish(jobs)


@cocotb.test()
async def a_fed_command_runs_at_full_rate(dut: Any) -> None:
    """Words that are there in every cycle cost no bubble; local memory's latency is not theirs."""
    if bench_parameters()["feed"] != "none":
        return
    bench = FedBench(dut)
    await bench.bench.start()
    fields = gemm_fields(bench, m_tiles=2, n_tiles=2, k_steps=6)
    job = bench.send(**fields, a_from_mlu=1, b_from_mlu=1)
    await bench.finish([job])
    assert bench.re.cycles[0] - bench.commands.cycles[0] == bench.columns + 9 + bench.latency
    assert bench.re.cycles[-1] - bench.re.cycles[0] == len(job.rows) - 1


@cocotb.test()
async def halt_leaves_the_next_word_alone(dut: Any) -> None:
    """A halted engine takes no word and settles; after a reset fed commands are right."""
    bench = FedBench(dut, feed="source")
    await bench.bench.start()
    fields = gemm_fields(bench, m_tiles=2, n_tiles=2, k_steps=4)
    bench.send(**fields, a_from_mlu=1)
    await bench.bench.until(lambda: len(bench.re.rows) > 10, limit=2000)
    dut.control__halt.value = 1
    await bench.bench.until(lambda: int(dut.control__idle.value), limit=20)
    n_words = len(bench.sources["a"].items)
    await bench.bench.wait(40)
    assert len(bench.sources["a"].items) == n_words
    await bench.bench.reset()
    dut.control__halt.value = 0
    for cb_id, name in zip(bench.buffers, ("a", "b"), strict=True):
        bench.buffers[cb_id].pointer = bench.cb[name].buffer.pointer = 0
        bench.cb[name].asked.clear()
        bench.cb[name].done.clear()
        bench.asked[name].clear()
    bench.rows.clear()
    bench.re.rows.clear()
    await bench.finish([bench.send(**fields, a_from_mlu=1, b_from_mlu=1)])


@pytest.mark.parametrize("feed, ls", (("none", "none"), ("source", "sink"), ("both", "both")))
def test_fed_engine(feed: str, ls: str) -> None:
    """Fed and unfed commands are right whoever makes them wait."""
    device = FedEngine()
    run_bench(
        device,
        name="dpe_fed",
        test_module=__name__,
        parameters={
            "columns": COLUMNS,
            "k_bytes": K_BYTES,
            "with_fp": True,
            "latency": device.engine.latency,
            "ls_latency": 3 if ls == "sink" else 2,
            "feed": feed,
            "ls": ls,
        },
    )
