# SPDX-License-Identifier: Apache-2.0
"""The stream agents: they deliver everything, keep full rate, and catch every broken rule."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tb.common.payload import pack, random_bits, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal

FAULTS = {
    "drops_valid": "valid fell before the transfer",
    "changes_payload": "payload changed before the transfer",
    "waits_for_ready": "valid or payload waits for ready",
    "stuck": "no transfer in",
}
HONEST = 0


class Pair(data.Struct):
    """A payload with a signed and an unsigned part."""

    a: unsigned(5)
    b: signed(9)


class OneItem(wiring.Component):
    """Buffers one item. `fault` makes it break one rule of streams, for tests of the agents.

    Members
    -------
    i, o
        In and out.
    fault
        0, or 1 and up for the rules in the order of `FAULTS`.
    """

    def __init__(self) -> None:
        port = stream.Signature(Pair)
        super().__init__({"i": In(port), "o": Out(port), "fault": In(3)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        full = Signal()
        tick = Signal(4)
        now = tick == 3
        drops_valid, changes_payload, waits_for_ready, stuck = range(1, 5)
        m.d.sync += tick.eq(tick + 1)
        m.d.comb += [self.i.ready.eq(~full | self.o.ready), self.o.valid.eq(full)]
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        with m.Switch(self.fault):
            with m.Case(drops_valid):
                m.d.comb += self.o.valid.eq(full & ~now)
            with m.Case(changes_payload), m.If(full & ~self.o.ready & now):
                m.d.sync += self.o.payload.a.eq(self.o.payload.a + 1)
            with m.Case(waits_for_ready):
                m.d.comb += self.o.valid.eq(full & self.o.ready)
            with m.Case(stuck):
                m.d.comb += self.o.valid.eq(0)
        return m


@cocotb.test()
async def items_arrive_in_order(dut: Any) -> None:
    """Every item arrives once, in order, under the given back-pressure."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters().get("back_pressure", "both")]
    rng = python_rng("items")
    items = [unpack(Pair, random_bits(rng, Pair)) for _ in range(200)]
    bench = Bench(dut)
    dut.fault.value = bench_parameters().get("fault", HONEST)
    source = bench.source("i", Pair, pauses=for_source())
    sink = bench.sink("o", Pair, pauses=for_sink())
    await bench.start()
    source.send_all(items)
    check_equal(await sink.receive(len(items), idle_limit=200), items)
    await source.drained()


@cocotb.test()
async def one_item_a_cycle(dut: Any) -> None:
    """Without pauses an item passes in every cycle, one cycle after it came."""
    bench = Bench(dut)
    dut.fault.value = HONEST
    source, sink = bench.source("i"), bench.sink("o")
    await bench.start()
    source.send_all(range(100))
    check_equal(await sink.receive(100), range(100))
    assert sink.cycles == [cycle + 1 for cycle in source.cycles]
    assert sink.cycles[-1] - sink.cycles[0] == 99


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset drops what is under way, and the next items arrive."""
    bench = Bench(dut)
    dut.fault.value = HONEST
    source, sink = bench.source("i"), bench.sink("o", pauses=lambda rng: True)
    await bench.start()
    source.send_all(range(10))
    await bench.wait(5)
    await bench.reset()
    sink._pauses = lambda rng: False
    source.send_all([7, 8])
    check_equal(await sink.receive(2), [7, 8])


@cocotb.test()
async def internal_signal_is_seen(dut: Any) -> None:
    """What `public` names can be read: the buffer fills, and stays full while nobody takes."""
    bench = Bench(dut)
    dut.fault.value = HONEST
    source, _ = bench.source("i"), bench.sink("o", pauses=lambda rng: True)
    await bench.start()
    assert int(dut.full.value) == 0
    source.send_all([1, 2])
    assert await bench.until(lambda: int(dut.full.value), limit=5) > 0
    await bench.wait(3)
    assert int(dut.full.value) == 1


def run_one_item(**options: Any) -> None:
    """All tests here share one build."""
    run_bench(
        OneItem(), name="one_item", test_module=__name__, public=("one_item.full",), **options
    )


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_agents_deliver_under_back_pressure(back_pressure: str) -> None:
    """An honest buffer passes under all pauses, at full rate, and through a reset."""
    run_one_item(parameters={"back_pressure": back_pressure})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_rule_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to break the rules fails the bench, with its own sentence."""
    monkeypatch.setenv("WAVES_ON_FAILURE", "0")  # this failure is wanted, nobody will look at it
    with pytest.raises(pytest.fail.Exception, match=FAULTS[fault]):
        run_one_item(
            testcase="items_arrive_in_order",
            parameters={"fault": list(FAULTS).index(fault) + 1},
        )


def test_payload_round_trip() -> None:
    """Packing goes through the layout; what does not fit is refused."""
    assert pack(Pair, {"a": 3, "b": -2}) == 3 | (0x1FE << 5)
    assert unpack(Pair, pack(Pair, {"a": 31, "b": -256})) == {"a": 31, "b": -256}
    with pytest.raises(ValueError, match="32 does not fit"):
        pack(Pair, {"a": 32, "b": 0})
    with pytest.raises(ValueError, match="Missing fields"):
        pack(Pair, {"a": 1})
