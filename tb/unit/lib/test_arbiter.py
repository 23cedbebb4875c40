# SPDX-License-Identifier: Apache-2.0
"""The arbiters: choosers against models in Python, stream arbiters in Verilator."""

from collections import Counter
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator

from hw.lib.arbiter import AgedPriority, PriorityArbiter, RoundRobin, RoundRobinArbiter
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal

N_INPUTS = 4
AGE_LIMIT = 5
N_WORDS = 60


class RoundRobinModel:
    """Who is granted: the first request behind the one served last."""

    def __init__(self, n: int) -> None:
        self.n, self.last = n, n - 1

    def grant(self, requests: int) -> int:
        order = [(self.last + 1 + step) % self.n for step in range(self.n)]
        return next((1 << index for index in order if requests >> index & 1), 0)

    def step(self, requests: int, served: int) -> None:
        if served:
            self.last = served.bit_length() - 1


class AgedPriorityModel:
    """Who is granted: the lowest of the aged requests, else the lowest of all."""

    def __init__(self, n: int, age_limit: int) -> None:
        self.n, self.age_limit, self.passed = n, age_limit, [0] * n

    def grant(self, requests: int) -> int:
        asking = [index for index in range(self.n) if requests >> index & 1]
        aged = [index for index in asking if self.passed[index] >= self.age_limit]
        return 1 << (aged or asking)[0] if asking else 0

    def step(self, requests: int, served: int) -> None:
        for index in range(self.n):
            if served >> index & 1 or not requests >> index & 1:
                self.passed[index] = 0
            elif served:
                self.passed[index] += 1


CHOOSERS = {
    "round_robin_1": (lambda: RoundRobin(n_requests=1), lambda: RoundRobinModel(1)),
    "round_robin_7": (lambda: RoundRobin(n_requests=7), lambda: RoundRobinModel(7)),
    "round_robin_7_serves_all": (
        lambda: RoundRobin(n_requests=7, serves_all=True),
        lambda: RoundRobinModel(7),
    ),
    "round_robin_64": (lambda: RoundRobin(n_requests=64), lambda: RoundRobinModel(64)),
    "aged_3": (lambda: AgedPriority(n_requests=3, age_limit=2), lambda: AgedPriorityModel(3, 2)),
    "aged_8": (lambda: AgedPriority(n_requests=8, age_limit=20), lambda: AgedPriorityModel(8, 20)),
}


@pytest.mark.parametrize("name", CHOOSERS)
def test_chooser_grants_as_its_model(name: str) -> None:
    """Random requests that come, stay and go, and grants that are used or not."""
    dut, model = CHOOSERS[name][0](), CHOOSERS[name][1]()
    rng, n = python_rng(name), dut.n_requests

    async def testbench(ctx: Any) -> None:
        requests = 0
        for cycle in range(800):
            dense = cycle // 100 % 2 == 0  # long phases in which everybody asks
            requests = (1 << n) - 1 if dense else requests ^ 1 << rng.randrange(n)
            ctx.set(dut.requests, requests)
            grant = ctx.get(dut.grant)
            assert grant == model.grant(requests)
            served = grant if rng.random() < 0.8 or getattr(dut, "serves_all", False) else 0
            # Who serves all is not told so.
            ctx.set(dut.served, 0 if getattr(dut, "serves_all", False) else served)
            await ctx.tick()
            model.step(requests, served)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


class Rack(wiring.Component):
    """Both stream arbiters side by side."""

    def __init__(self) -> None:
        self.arbiters = {
            "fair": RoundRobinArbiter(shape=16, n_inputs=N_INPUTS),
            "aged": PriorityArbiter(shape=16, n_inputs=N_INPUTS, age_limit=AGE_LIMIT),
        }
        super().__init__({name: Out(dut.signature) for name, dut in self.arbiters.items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, dut in self.arbiters.items():
            port = getattr(self, name)
            m.submodules[name] = dut
            wiring.connect(m, wiring.flipped(port.o), dut.o)
            m.d.comb += port.source.eq(dut.source)
            for outer, inner in zip(port.i, dut.i, strict=True):
                wiring.connect(m, wiring.flipped(outer), inner)
        return m


@cocotb.test()
async def every_input_arrives_in_its_order(dut: Any) -> None:
    """Each input's words come out once and in order, and `source` names their input."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    bench = Bench(dut)
    for name in ("fair", "aged"):
        sources = [bench.source(f"{name}__i__{k}", pauses=for_source()) for k in range(N_INPUTS)]
        sink = bench.sink(f"{name}__o", pauses=for_sink())
        if name == "fair":
            await bench.start()
        for index, source in enumerate(sources):
            source.send_all(index << 8 | word for word in range(N_WORDS))
        taken = await sink.receive(N_INPUTS * N_WORDS)
        for index in range(N_INPUTS):
            mine = [word for word in taken if word >> 8 == index]
            check_equal(mine, [index << 8 | word for word in range(N_WORDS)], f"{name} word")


@cocotb.test()
async def shares_and_throughput_are_as_documented(dut: Any) -> None:
    """With all inputs busy: a word per cycle; equal shares, or what ageing leaves to the others."""
    bench = Bench(dut)
    pairs = {
        name: (
            [bench.source(f"{name}__i__{k}") for k in range(N_INPUTS)],
            bench.sink(f"{name}__o"),
        )
        for name in ("fair", "aged")
    }
    await bench.start()
    for sources, _sink in pairs.values():
        for index, source in enumerate(sources):
            source.send_all([index] * 400)
    sequences = {}
    for name, (_sources, sink) in pairs.items():
        sequences[name] = await sink.receive(400)
        assert sink.cycles[399] - sink.cycles[0] == 399, f"{name} pauses"
    assert Counter(sequences["fair"]) == dict.fromkeys(range(N_INPUTS), 100)
    check_equal(sequences["fair"], [k % N_INPUTS for k in range(400)], "turn")
    model, expected = AgedPriorityModel(N_INPUTS, AGE_LIMIT), []
    for _ in range(400):
        grant = model.grant((1 << N_INPUTS) - 1)
        model.step((1 << N_INPUTS) - 1, grant)
        expected.append(grant.bit_length() - 1)
    check_equal(sequences["aged"], expected, "turn")
    for index in range(1, N_INPUTS):
        turns = [turn for turn, winner in enumerate(expected) if winner == index]
        gaps = [late - early - 1 for early, late in zip(turns, turns[1:], strict=False)]
        assert max(gaps) <= AGE_LIMIT + N_INPUTS - 2


@cocotb.test()
async def offered_word_stays_when_a_better_one_comes(dut: Any) -> None:
    """While the sink stalls, a new word at input 0 does not push the offered one aside."""
    bench, stalled = Bench(dut), [True]
    sources = [bench.source(f"aged__i__{index}") for index in range(N_INPUTS)]
    sink = bench.sink("aged__o", pauses=lambda rng: stalled[0])
    await bench.start()
    sources[3].send(33)
    await bench.wait(3)
    sources[0].send(7)
    await bench.wait(5)
    stalled[0] = False
    check_equal(await sink.receive(2), [33, 7])


@cocotb.test()
async def reset_in_the_middle_forgets_the_choice(dut: Any) -> None:
    """After a reset with an offered word the first word is that of the lowest input."""
    bench, stalled = Bench(dut), [True]
    sources = [bench.source(f"fair__i__{index}") for index in range(N_INPUTS)]
    sink = bench.sink("fair__o", pauses=lambda rng: stalled[0])
    await bench.start()
    sources[2].send(2)
    await bench.wait(4)
    await bench.reset()
    stalled[0] = False
    for index, source in enumerate(sources):
        source.send(10 + index)
    check_equal(await sink.receive(N_INPUTS), [10, 11, 12, 13])


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_stream_arbiters(back_pressure: str) -> None:
    """Both arbiters under one kind of pauses."""
    run_bench(
        Rack(),
        name="arbiter_rack",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "every_input_arrives_in_its_order",
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RoundRobin(n_requests=0), "RoundRobin n_requests must be 1 to 64, not 0."),
        (lambda: RoundRobin(n_requests=65), "RoundRobin n_requests must be 1 to 64, not 65."),
        (
            lambda: AgedPriority(n_requests=4, age_limit=2),
            "AgedPriority age_limit must be at least 3 for 4 requests, not 2.",
        ),
        (
            lambda: AgedPriority(n_requests=1, age_limit=0),
            "AgedPriority age_limit must be at least 1 for 1 requests, not 0.",
        ),
        (
            lambda: RoundRobinArbiter(shape=1, n_inputs=0),
            "RoundRobin n_requests must be 1 to 64, not 0.",
        ),
        (
            lambda: PriorityArbiter(shape=1, n_inputs=3, age_limit=1),
            "AgedPriority age_limit must be at least 2 for 3 requests, not 1.",
        ),
    ],
)
def test_bad_parameters_are_refused(make: Any, message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
