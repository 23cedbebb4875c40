# SPDX-License-Identifier: Apache-2.0
"""The step reporter: every advance is reported once, in order, and steps without one are not."""

from typing import Any

import cocotb
import pytest

from hw.iface.pe import CbDone, CbRole
from hw.lib.address_generator import StepReporter
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal, sometimes


@cocotb.test()
async def advances_are_reported_in_order(dut: Any) -> None:
    """Steps go in with and without an advance; only those with one come out."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    rng = python_rng("steps")
    shape = StepReporter(role=CbRole.CONSUMER).step.payload.shape()
    steps = [{"cb": rng.randrange(64), "advance": rng.choice((0, 1, 0xFFFF))} for _ in range(100)]
    bench = Bench(dut)
    source = bench.source("step", shape, pauses=for_source())
    sink = bench.sink("done", CbDone, pauses=for_sink())
    await bench.start()
    source.send_all(steps)
    wanted = [step | {"role": CbRole.CONSUMER} for step in steps if step["advance"]]
    check_equal(await sink.receive(len(wanted)), wanted)
    await source.drained()
    await bench.wait(2)
    assert not dut.pending.value


@cocotb.test()
async def room_is_told_while_five_more_steps_fit(dut: Any) -> None:
    """A queue that says so with less room loses steps of those who do not look at `ready`."""
    shape = StepReporter(role=CbRole.CONSUMER).step.payload.shape()
    bench = Bench(dut)
    source = bench.source("step", shape)
    bench.sink("done", CbDone, pauses=sometimes(1.0))
    await bench.start()
    assert dut.room.value
    for n_waiting in range(1, 9):
        source.send_all([{"cb": 1, "advance": 1}])
        await source.drained()
        await bench.wait(2)
        assert int(dut.room.value) == (n_waiting <= 3)
        assert int(dut.step__ready.value) == (n_waiting < 8)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_step_reporter(back_pressure: str) -> None:
    """Under all pauses."""
    run_bench(
        StepReporter(role=CbRole.CONSUMER),
        name="step_reporter",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
    )
