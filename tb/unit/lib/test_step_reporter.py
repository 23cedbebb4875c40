# SPDX-License-Identifier: Apache-2.0
"""The step reporter: every advance is reported once, in order, and steps without one are not."""

from typing import Any

import cocotb
import pytest

from hw.iface.pe import CbDone, CbRole
from hw.lib.address_generator import StepReporter
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal


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


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_step_reporter(back_pressure: str) -> None:
    """Under all pauses."""
    run_bench(
        StepReporter(role=CbRole.CONSUMER),
        name="step_reporter",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
    )
