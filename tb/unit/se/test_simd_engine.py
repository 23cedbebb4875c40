# SPDX-License-Identifier: Apache-2.0
"""The SIMD engine between models of all its neighbours, to the last bit."""

import random
from typing import Any

import cocotb
import pytest

from hw.arch.commands import BMode, Reduce, SimdOut
from hw.arch.formats import Format
from tb.common.runner import run_bench
from tb.common.seeds import python_rng
from tb.common.stream import BACK_PRESSURE
from tb.unit.se.plans import Plan
from tb.unit.se.random_work import drain_program, random_program, submit
from tb.unit.se.setting import SHAPE, SHAPES, SeBench, device

needs_fp = cocotb.test(skip=not SHAPE.with_fp)


def _bench(dut: object, back_pressure: str) -> SeBench:
    rows, others = BACK_PRESSURE[back_pressure]
    return SeBench(dut, ls=others, rows=rows, cb=others)


async def _batches(se: SeBench, label: str, n_batches: int, n_commands: int, work: Any) -> None:
    """Batches of commands whose operands fit into local memory together."""
    rng = python_rng(label)
    for number in range(n_batches):
        plan = Plan(se, f"{label} {number}")
        for _ in range(n_commands):
            work(plan, rng)
        await plan.finish()


@cocotb.test()
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def the_drain_path_requantises(dut: object, back_pressure: str) -> None:
    """Rows of the reduction engine to 8 bits and to INT32: a lost row or wrong bias would show."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        submit(plan, rng, drain_program(rng), from_re=True)

    await _batches(se, f"drain {back_pressure}", 6, 3, work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def rows_of_the_reduction_engine_take_the_lanes(dut: object, back_pressure: str) -> None:
    """Every program but that of the drain path, with rows of INT32 and FP32."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        program = random_program(rng, a_format=rng.choice((Format.INT32, Format.FP32)))
        submit(plan, rng, program, from_re=True)

    await _batches(se, f"re {back_pressure}", 5, 3, work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def elementwise_programs(dut: object, back_pressure: str) -> None:
    """All formats, all ways of b, no reduction."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        submit(plan, rng, random_program(rng, reduce=Reduce.NONE))

    await _batches(se, f"elements {back_pressure}", 10, 3, work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def reductions(dut: object, back_pressure: str) -> None:
    """Statistics alone, behind the elements, and used on the row itself."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        reduce = rng.choice([r for r in Reduce if r is not Reduce.NONE])
        submit(plan, rng, random_program(rng, reduce=reduce, out=rng.choice(list(SimdOut))))

    await _batches(se, f"reductions {back_pressure}", 10, 3, work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def accumulation_over_level_2(dut: object, back_pressure: str) -> None:
    """Running sums, also of so few beats that a sum would meet itself in the adder."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        program = random_program(rng)
        if program.reduce is Reduce.SUM_SQUARES:
            program = random_program(rng, reduce=Reduce.NONE, b_mode=BMode.NONE)
        from_re = program.a_format in (Format.INT32, Format.FP32) and rng.random() < 0.3
        submit(plan, rng, program, accumulate=True, from_re=from_re)

    await _batches(se, f"accumulate {back_pressure}", 10, 3, work)


@pytest.mark.parametrize("shape", ["tiny", "fpga", "drains"])
def test_simd_engine(shape: str) -> None:
    """Bit for bit the golden model, under all back-pressures."""
    _run(shape)


def _run(shape: str) -> None:
    run_bench(
        device(SHAPES[shape]),
        name=f"se_{shape}",
        test_module=__name__,
        parameters={"shape": shape},
    )
