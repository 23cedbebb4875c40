# SPDX-License-Identifier: Apache-2.0
"""The elastic stages in Verilator: order, stream rules and throughput under all pauses."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import PingPongBuffer, PipeStage, SkidBuffer, StreamFifo
from tb.common.payload import random_bits, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal


class Payload(data.Struct):
    """Two fields, so that a stage that knows only plain numbers would fail."""

    tag: unsigned(5)
    word: unsigned(70)


def stages() -> dict[str, Any]:
    """One of each kind, and queues at the corners of their depth."""
    return {
        "pipe": PipeStage(shape=Payload),
        "skid": SkidBuffer(shape=Payload),
        "pingpong": PingPongBuffer(shape=Payload),
        "fifo1": StreamFifo(shape=Payload, depth=1),
        "fifo2": StreamFifo(shape=Payload, depth=2),
        "fifo5": StreamFifo(shape=Payload, depth=5),
        "block2": StreamFifo(shape=Payload, depth=2, block=True),
        "block3": StreamFifo(shape=Payload, depth=3, block=True),
        "block16": StreamFifo(shape=Payload, depth=16, block=True),
    }


THROUGHPUT = {"fifo1": (1, 2), "block2": (2, 3)}
"""Words in cycles of the stages that do not reach one word per cycle."""
CAPACITY = {"pipe": 1, "skid": 2, "pingpong": 2, "fifo1": 1, "fifo2": 2, "fifo5": 5} | {
    "block2": 2,
    "block3": 3,
    "block16": 16,
}


class Rack(wiring.Component):
    """All stages side by side, so that one build tests them all."""

    def __init__(self) -> None:
        self.stages = stages()
        port = stream.Signature(Payload)
        super().__init__(
            {f"{name}_i": In(port) for name in self.stages}
            | {f"{name}_o": Out(port) for name in self.stages}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, stage in self.stages.items():
            m.submodules[name] = stage
            wiring.connect(m, wiring.flipped(getattr(self, f"{name}_i")), stage.i)
            wiring.connect(m, stage.o, wiring.flipped(getattr(self, f"{name}_o")))
        return m


@cocotb.test()
async def words_arrive_in_order(dut: Any) -> None:
    """Every word arrives once, unchanged and in order; the agents watch the stream rules."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    bench, rng = Bench(dut), python_rng("elastic")
    items = [unpack(Payload, random_bits(rng, Payload)) for _ in range(300)]
    pairs = {
        name: (
            bench.source(f"{name}_i", Payload, pauses=for_source()),
            bench.sink(f"{name}_o", Payload, pauses=for_sink()),
        )
        for name in CAPACITY
    }
    await bench.start()
    for source, _sink in pairs.values():
        source.send_all(items)
    for name, (_source, sink) in pairs.items():
        check_equal(await sink.receive(len(items)), items, f"{name} item")


@cocotb.test()
async def latency_and_throughput_are_as_documented(dut: Any) -> None:
    """Without pauses: the first word after `latency`, then the stated share of cycles."""
    bench, n_words = Bench(dut), 90
    latencies = {name: stage.latency for name, stage in stages().items()}
    pairs = {name: (bench.source(f"{name}_i"), bench.sink(f"{name}_o")) for name in CAPACITY}
    await bench.start()
    for source, _sink in pairs.values():
        source.send_all(range(n_words))
    for name, (source, sink) in pairs.items():
        check_equal(await sink.receive(n_words), range(n_words), name)
        assert sink.cycles[0] - source.cycles[0] == latencies[name], name
        words, cycles = THROUGHPUT.get(name, (1, 1))
        taken = sink.cycles[-1] - sink.cycles[0]
        wanted = (n_words - 1) * cycles / words
        # A rate below one comes in a pattern of `cycles`, which the last words may cut short.
        slack = 0 if cycles == 1 else cycles
        assert wanted - slack <= taken <= wanted + slack, f"{name}: {taken} cycles, not {wanted}"


@cocotb.test()
async def stages_hold_their_capacity_and_no_more(dut: Any) -> None:
    """Against a stalled sink each stage takes exactly as many words as it can hold."""
    bench = Bench(dut)
    pairs = {
        name: (bench.source(f"{name}_i"), bench.sink(f"{name}_o", pauses=lambda rng: True))
        for name in CAPACITY
    }
    await bench.start()
    for source, _sink in pairs.values():
        source.send_all(range(40))
    await bench.wait(60)
    taken = {name: len(source.items) for name, (source, _sink) in pairs.items()}
    assert taken == CAPACITY


@cocotb.test()
async def reset_in_the_middle_drops_what_is_held(dut: Any) -> None:
    """After a reset of full stages only new words come out."""
    bench, stalled = Bench(dut), [True]
    pairs = {
        name: (bench.source(f"{name}_i"), bench.sink(f"{name}_o", pauses=lambda rng: stalled[0]))
        for name in CAPACITY
    }
    await bench.start()
    for source, _sink in pairs.values():
        source.send_all(range(100, 140))
    await bench.wait(30)
    await bench.reset()
    stalled[0] = False
    for source, _sink in pairs.values():
        source.send_all(range(20))
    for name, (_source, sink) in pairs.items():
        check_equal(await sink.receive(20), range(20), name)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_elastic_stages(back_pressure: str) -> None:
    """All stages under one kind of pauses."""
    run_bench(
        Rack(),
        name="elastic_rack",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "words_arrive_in_order",
    )


def test_empty_queue_is_refused() -> None:
    """A queue without room is an error, not a wire."""
    with pytest.raises(ValueError, match=r"^StreamFifo depth must be at least 1 word, not 0\.$"):
        StreamFifo(shape=8, depth=0)
