# SPDX-License-Identifier: Apache-2.0
"""The memory layout unit against the golden model."""

from typing import Any

import cocotb
import pytest

from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE
from tb.unit.mlu.programs import random_layout
from tb.unit.mlu.setting import MluBench, run_layout_bench


@cocotb.test()
async def random_programs_equal_the_golden_model(dut: Any) -> None:
    """Every operation, element size, tail, wrap and alignment; steps, words and bytes."""
    for_cb, for_ls = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    paused = bench_parameters()["back_pressure"] != "none"
    bench = MluBench(dut, pauses=for_ls, cb_pauses=for_cb if paused else None)
    await bench.bench.start()
    rng = python_rng("program")
    for _ in range(bench_parameters()["commands"]):
        bench.send(**random_layout(rng, bench))
    await bench.finish(200_000)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_random_programs(back_pressure: str) -> None:
    """Programs are right under every back-pressure."""
    run_layout_bench("tiny", __name__, back_pressure=back_pressure, commands=60)
