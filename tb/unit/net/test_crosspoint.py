# SPDX-License-Identifier: Apache-2.0
"""The switch with queues at its crossings: order, rates, and who may hold up whom."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.net.crosspoint import CrosspointSwitch
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, StreamSink, StreamSource, check_equal

PORTS = {"full": (3, 3), "partial": (3, 2), "thin": (2, 2)}
"""Inputs and outputs of each switch."""
CROSSINGS = {"partial": [(0, 0), (1, 0), (1, 1), (2, 1)]}
DEPTH = {"full": 2, "partial": 3, "thin": 1}
N_FLITS = 60


def switch(name: str) -> CrosspointSwitch:
    """One of the switches."""
    n_inputs, n_outputs = PORTS[name]
    return CrosspointSwitch(
        shape=flit_of(name),
        n_inputs=n_inputs,
        n_outputs=n_outputs,
        crossings=CROSSINGS.get(name),
        depth=DEPTH[name],
    )


def flit_of(name: str) -> data.StructLayout:
    """A flit that knows where it comes from."""
    return data.StructLayout({"number": 10, "source": range(PORTS[name][0])})


def routed(name: str) -> data.StructLayout:
    """A flit, and where it is to go, which the switch does not carry."""
    return data.StructLayout({"flit": flit_of(name), "target": PORTS[name][1]})


class Switches(wiring.Component):
    """All switches side by side."""

    def __init__(self) -> None:
        members: dict[str, Any] = {}
        for name, (n_inputs, n_outputs) in PORTS.items():
            members |= {
                f"{name}_i": In(stream.Signature(routed(name))).array(n_inputs),
                f"{name}_o": Out(stream.Signature(flit_of(name))).array(n_outputs),
            }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name in PORTS:
            m.submodules[name] = dut = switch(name)
            for index, outer in enumerate(getattr(self, f"{name}_i")):
                m.d.comb += [
                    dut.i[index].valid.eq(outer.valid),
                    dut.i[index].payload.eq(outer.payload.flit),
                    dut.target[index].eq(outer.payload.target),
                    outer.ready.eq(dut.i[index].ready),
                ]
            for index, outer in enumerate(getattr(self, f"{name}_o")):
                wiring.connect(m, dut.o[index], wiring.flipped(outer))
        return m


def agents_of(
    bench: Bench, name: str, pauses: Any = None
) -> tuple[list[StreamSource], list[StreamSink]]:
    """Sources and sinks of one switch."""
    for_source, for_sink = pauses or BACK_PRESSURE["none"]
    n_inputs, n_outputs = PORTS[name]
    into, out = routed(name), flit_of(name)
    return (
        [bench.source(f"{name}_i__{at}", into, pauses=for_source()) for at in range(n_inputs)],
        [bench.sink(f"{name}_o__{at}", out, pauses=for_sink()) for at in range(n_outputs)],
    )


def flits_to(source: int, targets: list[int]) -> list[dict[str, Any]]:
    """Numbered flits from one input to a list of outputs."""
    return [
        {"flit": {"number": at * 0x2B5 & 0x3FF, "source": source}, "target": 1 << target}
        for at, target in enumerate(targets)
    ]


@cocotb.test()
async def every_pair_keeps_its_order(dut: Any) -> None:
    """Each flit comes once, at its output, in the order of its input."""
    pauses = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    bench, rng = Bench(dut), python_rng("crosspoint")
    agents = {name: agents_of(bench, name, pauses) for name in PORTS}
    await bench.start()
    for name, (sources, sinks) in agents.items():
        pairs = switch(name).crossings
        sent = []
        for index, source in enumerate(sources):
            ways = [b for a, b in pairs if a == index]
            sent.append(flits_to(index, rng.choices(ways, k=N_FLITS)))
            source.send_all(sent[-1])
        for number, sink in enumerate(sinks):
            expected = [
                [item["flit"] for item in items if item["target"] >> number & 1] for items in sent
            ]
            found = await sink.receive(sum(map(len, expected)))
            for index in range(len(sources)):
                mine = [flit for flit in found if flit["source"] == index]
                check_equal(mine, expected[index], f"{name} {index} to {number} flit")


@cocotb.test()
async def latency_is_two_and_rate_one_flit_per_cycle(dut: Any) -> None:
    """All inputs to different outputs at once; a crossing of one flit at half the rate."""
    bench = Bench(dut)
    agents = {name: agents_of(bench, name) for name in PORTS}
    await bench.start()
    for name, (sources, sinks) in agents.items():
        targets = {"full": [1, 2, 0], "partial": [0, 1], "thin": [1, 0]}[name]
        for index, target in enumerate(targets):
            sources[index].send_all(flits_to(index, [target] * N_FLITS))
        gap = max(1, 2 // DEPTH[name])
        for index, target in enumerate(targets):
            await sinks[target].receive(N_FLITS)
            late = CrosspointSwitch.latency
            assert sinks[target].cycles == [cycle + late for cycle in sources[index].cycles]
            assert sinks[target].cycles[-1] - sinks[target].cycles[0] == (N_FLITS - 1) * gap


@cocotb.test()
async def inputs_to_one_output_take_turns(dut: Any) -> None:
    """At each output of each switch: one flit per cycle leaves, of each input in turn."""
    bench = Bench(dut)
    agents = {name: agents_of(bench, name) for name in PORTS}
    await bench.start()
    for name, (sources, sinks) in agents.items():
        for number, sink in enumerate(sinks):
            members = [a for a, b in switch(name).crossings if b == number]
            for member in members:
                sources[member].send_all(flits_to(member, [number] * N_FLITS))
            found = [flit["source"] for flit in await sink.receive(len(members) * N_FLITS)]
            assert sink.cycles[-1] - sink.cycles[0] == len(found) - 1
            check_equal(found, members * N_FLITS, f"{name} turn")


@cocotb.test()
async def full_output_holds_up_no_other(dut: Any) -> None:
    """As many flits for a stalled output as its queue holds let those behind them pass; other
    inputs go on at full rate even then."""
    bench, stalled = Bench(dut), [True]
    sources, sinks = agents_of(bench, "full")
    sinks[0]._pauses = lambda rng: stalled[0]
    await bench.start()
    n_kept = DEPTH["full"] + 2  # in the queue of a crossing and at the output
    sources[0].send_all(flits_to(0, [0] * n_kept + [1] * N_FLITS + [0, 1]))
    sources[1].send_all(flits_to(1, [2] * N_FLITS))
    await sinks[1].receive(N_FLITS)
    await sinks[2].receive(N_FLITS)
    assert sinks[2].cycles[-1] - sinks[2].cycles[0] == N_FLITS - 1
    await bench.wait(20)
    assert len(sinks[1].items) == N_FLITS, "the last one waits behind one for the full output"
    stalled[0] = False
    assert [flit["source"] for flit in await sinks[0].receive(n_kept + 1)] == [0] * (n_kept + 1)
    await sinks[1].receive(1)


@cocotb.test()
async def reset_in_the_middle_drops_what_is_held(dut: Any) -> None:
    """After a reset of full queues only new flits come, of the lowest input first."""
    bench, stalled = Bench(dut), [True]
    agents = {name: agents_of(bench, name) for name in PORTS}
    for sink in (sink for _, sinks in agents.values() for sink in sinks):
        sink._pauses = lambda rng: stalled[0]
    await bench.start()
    for name, (sources, _sinks) in agents.items():
        for a, b in switch(name).crossings:
            sources[a].send_all(flits_to(0, [b] * 2))
    await bench.wait(20)
    await bench.reset()
    stalled[0] = False
    for name, (sources, sinks) in agents.items():
        for number, sink in enumerate(sinks):
            members = [a for a, b in switch(name).crossings if b == number]
            for member in members:
                sources[member].send_all(flits_to(member, [number]))
            found = await sink.receive(len(members))
            check_equal([flit["source"] for flit in found], members, f"{name} flit")


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_switches(back_pressure: str) -> None:
    """All switches under one kind of pauses."""
    run_bench(
        Switches(),
        name="net_switches",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "every_pair_keeps_its_order",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_inputs": 0}, "CrosspointSwitch needs inputs and outputs, not 0 and 2."),
        ({"depth": 0}, "CrosspointSwitch depth must be at least 1 flit, not 0."),
        ({"crossings": [(0, 0), (2, 1)]}, "CrosspointSwitch has no crossing of ports (2, 1)."),
        ({"crossings": [(0, 0), (0, 1)]}, "CrosspointSwitch input 1 has no crossing."),
        ({"crossings": [(0, 1), (1, 1)]}, "CrosspointSwitch output 0 has no crossing."),
    ],
)
def test_bad_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        CrosspointSwitch(**{"shape": 4, "n_inputs": 2, "n_outputs": 2} | arguments)
    assert str(error.value) == message
