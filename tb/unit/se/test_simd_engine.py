# SPDX-License-Identifier: Apache-2.0
"""The SIMD engine between models of all its neighbours, to the last bit."""

import random
from typing import Any

import cocotb
import pytest

from hw.arch.commands import BMode, Function, Post, Reduce, SimdOut
from hw.arch.formats import Format
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE
from tb.unit.se.plans import Plan, Rows, dense
from tb.unit.se.random_work import drain_program, random_program, submit
from tb.unit.se.setting import A_CB, OUT_CB, SHAPE, SHAPES, SeBench, device

PARAMETERS = bench_parameters()
_COMMANDS = 3
needs_fp = cocotb.test(skip=not SHAPE.with_fp)


def _bench(dut: object, back_pressure: str) -> SeBench:
    rows, others = BACK_PRESSURE[back_pressure]
    return SeBench(dut, ls=others, rows=rows, cb=others)


async def _batches(se: SeBench, label: str, work: Any) -> None:
    """Batches of commands whose operands fit into local memory together."""
    rng = python_rng(label)
    for number in range(PARAMETERS["batches"]):
        plan = Plan(se, f"{label} {number}")
        for _ in range(_COMMANDS):
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

    await _batches(se, f"drain {back_pressure}", work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def rows_of_the_reduction_engine_take_the_lanes(dut: object, back_pressure: str) -> None:
    """Every program but that of the drain path, with rows of INT32 and FP32."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        program = random_program(rng, a_format=rng.choice((Format.INT32, Format.FP32)))
        submit(plan, rng, program, from_re=True)

    await _batches(se, f"re {back_pressure}", work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def elementwise_programs(dut: object, back_pressure: str) -> None:
    """All formats, all ways of b, no reduction."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        submit(plan, rng, random_program(rng, reduce=Reduce.NONE))

    await _batches(se, f"elements {back_pressure}", work)


@needs_fp
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def reductions(dut: object, back_pressure: str) -> None:
    """Statistics alone, behind the elements, and used on the row itself."""
    se = _bench(dut, back_pressure)
    await se.bench.start()

    def work(plan: Plan, rng: random.Random) -> None:
        reduce = rng.choice([r for r in Reduce if r is not Reduce.NONE])
        submit(plan, rng, random_program(rng, reduce=reduce, out=rng.choice(list(SimdOut))))

    await _batches(se, f"reductions {back_pressure}", work)


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

    await _batches(se, f"accumulate {back_pressure}", work)


@needs_fp
async def the_largest_that_fits(dut: object) -> None:
    """The longest row that waits for its statistic, and all running sums, beside other rows."""
    se = _bench(dut, "both")
    await se.bench.start()
    rng = python_rng("largest")
    config, size = SHAPE.config, SHAPE.lanes * 4
    fused = random_program(
        rng,
        a_format=Format.FP32,
        out_format=Format.BF16,
        b_mode=BMode.NONE,
        function=Function.NONE,
        reduce=Reduce.SUM,
        post=Post.STATISTIC,
    )
    summed = random_program(
        rng, a_format=Format.FP32, b_mode=BMode.NONE, reduce=Reduce.NONE, out_format=Format.FP32
    )
    for program, beats, rows in (
        (fused, config.row_beats, Rows((config.row_beats * SHAPE.lanes, 3, 1, 1, 1))),
        (
            summed,
            config.sum_beats // 4,
            Rows((config.sum_beats // 4 * SHAPE.lanes, 4, 2, 1, 1), accumulate=True),
        ),
    ):
        plan = Plan(se, f"largest {beats}")
        a = dense(rng, A_CB, "a_", rows, row_bytes=beats * size, unit=SHAPE.word_bytes)
        levels = (1, 3, 4) if rows.accumulate else (1, 2, 3, 4)
        out = dense(
            rng,
            OUT_CB,
            "",
            rows,
            row_bytes=beats * SHAPE.lanes * program.out_format.n_bytes,
            unit=SHAPE.word_bytes,
            levels=levels,
        )
        plan.run(program, rows, out, a)
        await plan.finish()


@pytest.mark.parametrize(
    ("shape", "batches", "ls_latency"),
    [
        ("tiny", 5, 2),
        ("drains", 5, 3),
        ("narrow", 5, 2),
        *(
            pytest.param(name, 15, 3 if name == "fpga" else 2, marks=pytest.mark.slow)
            for name in ("tiny", "fpga", "half", "full")
        ),
    ],
)
def test_simd_engine(shape: str, batches: int, ls_latency: int) -> None:
    """Bit for bit the golden model, under all back-pressures."""
    run_bench(
        device(SHAPES[shape]),
        name=f"se_{shape}",
        test_module=__name__,
        parameters={"shape": shape, "batches": batches, "ls_latency": ls_latency},
    )
