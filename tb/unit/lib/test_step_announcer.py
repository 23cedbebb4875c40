# SPDX-License-Identifier: Apache-2.0
"""The step announcer: steps are reported in order, and none before it has moved."""

from typing import Any

import cocotb
import pytest

from hw.iface.pe import CbDone, CbRole
from hw.lib.step_announcer import StepAnnouncer
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal


@cocotb.test()
async def no_step_is_reported_before_it_has_moved(dut: Any) -> None:
    """Data moves some cycles after it was announced; a report that is early frees what is read."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    rng = python_rng("steps")
    shape = StepAnnouncer(role=CbRole.CONSUMER).step.payload.shape()
    steps = [{"cb": rng.randrange(64), "advance": rng.randrange(1, 1 << 16)} for _ in range(80)]
    dut.moved.value = 0
    bench = Bench(dut)
    source = bench.source("step", shape, pauses=for_source())
    sink = bench.sink("done", CbDone, pauses=for_sink())
    await bench.start()
    source.send_all(steps)
    n_moved = 0
    for _ in range(2000):
        moves = n_moved < len(source.items) and rng.random() < 0.6
        dut.moved.value = int(moves)
        await bench.wait(1)
        assert len(sink.items) <= n_moved
        n_moved += moves
    dut.moved.value = 0
    await bench.wait(12)
    check_equal(sink.items, [step | {"role": CbRole.CONSUMER} for step in steps])
    assert not dut.pending.value


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_step_announcer(back_pressure: str) -> None:
    """Under all pauses."""
    run_bench(
        StepAnnouncer(role=CbRole.CONSUMER),
        name="step_announcer",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
    )
