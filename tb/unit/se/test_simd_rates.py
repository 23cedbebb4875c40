# SPDX-License-Identifier: Apache-2.0
"""How long the SIMD engine takes: every formula of its page, to the cycle."""

from dataclasses import dataclass

import cocotb
import pytest

from hw.arch.commands import Addend, BMode, Factor, Function, Post, Pre, Reduce, SimdOut
from hw.arch.formats import Format
from hw.pe.se.front import SUM_DISTANCE
from sim.golden.simd import Program
from tb.common.runner import run_bench
from tb.unit.se.plans import Operand, Plan, Rows
from tb.unit.se.setting import A_CB, B_CB, OUT_CB, SHAPE, SHAPES, SeBench, device

LANES, WORD = SHAPE.lanes, SHAPE.word_bytes
needs_fp = cocotb.test(skip=not SHAPE.with_fp)
OVERHEAD = 38
"""Cycles of a command beside its beats: start, reading, FP32 lanes, writing."""
READ = 7
"""Those of reading."""
FUNCTION = 9
STATISTIC = 3 * (LANES - 1).bit_length() + 20
DRAIN_OVERHEAD = 15
INTEGER_OVERHEAD = 10


def _bench(dut: object) -> SeBench:
    se = SeBench(dut)
    for port in se.ports.values():
        port.eager = True
    return se


def _whole(cb: int, prefix: str, row_bytes: int, n_rows: int, unit: int = WORD) -> Operand:
    """Rows one behind the other, all in one step."""
    pitch = -(-row_bytes // unit)
    units = -(-pitch * unit * n_rows // 64)
    return Operand(cb, prefix, unit, 0, (pitch, 0, 0, 0), 5, 5, units, units)


@dataclass
class Timed:
    """Runs commands one after the other and measures each."""

    se: SeBench
    number: int = 0

    async def __call__(
        self,
        program: Program,
        n: int,
        n_rows: int,
        *,
        from_re: bool = False,
        n_sums: int = 0,
    ) -> int:
        """Cycles from the command to its completion; results are checked, too."""
        se = self.se
        self.number += 1
        plan = Plan(se, f"rates {self.number}")
        size = 4 if program.out is SimdOut.STATISTICS else n * program.out_format.n_bytes
        unit = 4 if program.out is SimdOut.STATISTICS else WORD
        if program.out is SimdOut.BOTH:
            size = -(-size // WORD) * WORD + 4
        out = _whole(OUT_CB, "", size, n_rows, unit)
        a = None if from_re else _whole(A_CB, "a_", n * program.a_format.n_bytes, n_rows)
        b = None
        if program.b_mode is BMode.ELEMENT:
            b = _whole(B_CB, "b_", n * program.b_format.n_bytes, n_rows)
        elif program.b_mode is BMode.ROW:
            b = _whole(B_CB, "b_", 4 << program.b_pair, n_rows, 4)
        elif program.b_mode is BMode.HELD:
            b = _whole(B_CB, "b_", 4 * SHAPE.columns << program.b_pair, 1)
        rows = Rows((n, n_rows, max(n_sums, 1), 1, 1), accumulate=n_sums > 0)
        plan.run(program, rows, out, a, b, wild=False)
        await plan.finish()
        return se.completions.cycles[-1] - se.commands.cycles[-1]


@needs_fp
async def elements_of_local_memory(dut: object) -> None:
    """A beat per cycle in every mode of b, whatever the formats; two words of FP32 both ways."""
    se = _bench(dut)
    await se.bench.start()
    timed = Timed(se)
    n, beats = 8 * LANES, 8
    for program in (
        Program(),
        Program(a_format=Format.INT8, out_format=Format.INT8),
        Program(b_mode=BMode.ELEMENT, pre=Pre.ADD),
        Program(b_mode=BMode.ELEMENT, post=Post.B),
        Program(b_mode=BMode.ROW, b_pair=True, factor=Factor.B, addend=Addend.C),
    ):
        for n_rows in (1, 4):
            assert await timed(program, n, n_rows) == n_rows * beats + OVERHEAD
    held = Program(b_mode=BMode.HELD, b_pair=True, factor=Factor.C, pre=Pre.ADD)
    beats = SHAPE.columns // LANES
    took = await timed(held, SHAPE.columns, 5)
    assert took == 5 * beats + OVERHEAD + 2 * beats  # b and c are read first
    assert await timed(Program(), 8 * LANES + 1, 3) == 3 * 9 + OVERHEAD


@needs_fp
async def functions(dut: object) -> None:
    """A beat per cycle; the function unit only adds its stages."""
    se = _bench(dut)
    await se.bench.start()
    timed = Timed(se)
    for function in (Function.EXP, Function.GELU):
        took = await timed(Program(function=function), 8 * LANES, 3)
        assert took == 3 * 8 + OVERHEAD + FUNCTION


@needs_fp
async def statistics(dut: object) -> None:
    """The reduction is hidden behind the following rows, but for that of the last row."""
    se = _bench(dut)
    await se.bench.start()
    timed = Timed(se)
    alone = Program(reduce=Reduce.SUM, out=SimdOut.STATISTICS)
    assert await timed(alone, 8 * LANES, 5) == 5 * 8 + OVERHEAD + STATISTIC
    both = Program(reduce=Reduce.MAX, out=SimdOut.BOTH)
    assert await timed(both, 8 * LANES, 5) == 5 * (8 + 1) + OVERHEAD + STATISTIC - 1
    assert await timed(both, 8 * LANES, 1) == 8 + OVERHEAD + STATISTIC


@needs_fp
async def softmax_in_one_pass(dut: object) -> None:
    """exp, sum and the product with the sum's reciprocal: rows of 64 beats without a bubble."""
    se = _bench(dut)
    await se.bench.start()
    softmax = Program(
        function=Function.EXP,
        reduce=Reduce.SUM,
        post=Post.STATISTIC,
        stat_function=Function.RECIPROCAL,
    )
    timed = Timed(se)
    for n_rows in (1, 6):
        took = await timed(softmax, 64 * LANES, n_rows)
        waits = 63  # a row goes on when it is complete
        assert took == n_rows * 64 + waits + OVERHEAD + FUNCTION + STATISTIC + FUNCTION


@needs_fp
async def running_sums(dut: object) -> None:
    """A beat per cycle if a sum comes again after the adder's latency, else as slow as that."""
    se = _bench(dut)
    await se.bench.start()
    timed = Timed(se)
    assert await timed(Program(), LANES, 5, n_sums=4) == 4 * 5 + OVERHEAD
    assert await timed(Program(), 4 * LANES, 3, n_sums=6) == 6 * 12 + OVERHEAD
    assert await timed(Program(), LANES, 2, n_sums=4) == (4 * 2 - 1) * SUM_DISTANCE + 1 + OVERHEAD


@cocotb.test()
async def rows_of_the_reduction_engine(dut: object) -> None:
    """`drain_lanes` values a cycle to bytes, two words a cycle as INT32, else `lanes` values."""
    se = _bench(dut)
    await se.bench.start()
    timed = Timed(se)
    columns = SHAPE.columns
    to_bytes = Program(a_format=Format.INT32, out_format=Format.INT8, factor=Factor.IMMEDIATE)
    integers = Program(a_format=Format.INT32, out_format=Format.INT32)
    for program, lanes, overhead in (
        (to_bytes, SHAPE.drain_lanes, DRAIN_OVERHEAD),
        (integers, min(WORD // 2, SHAPE.drain_lanes), INTEGER_OVERHEAD),
        (Program(factor=Factor.IMMEDIATE), LANES, OVERHEAD - READ),
    )[: 3 if SHAPE.with_fp else 2]:
        for n_rows in (1, 20):
            took = await timed(program, columns, n_rows, from_re=True)
            assert took == n_rows * (columns // lanes) + overhead


@needs_fp
async def commands_follow_each_other(dut: object) -> None:
    """The next command is taken the cycle after a completion; SE_PROGRAM takes six cycles."""
    se = _bench(dut)
    await se.bench.start()
    plan = Plan(se, "queue")
    for slot in range(3):
        program = Program(reduce=Reduce.NONE)
        out = _whole(OUT_CB, "", 16 * LANES, 2)
        a = _whole(A_CB, "a_", 16 * LANES, 2)
        plan.run(program, Rows((4 * LANES, 2, 1, 1, 1)), out, a, slot=slot)
    await plan.finish()
    starts, ends = se.commands.cycles, se.completions.cycles
    took = [end - start for start, end in zip(starts, ends, strict=True)]
    assert took == [5, 2 * 4 + OVERHEAD] * 3
    assert [start - end for start, end in zip(starts[1:], ends, strict=False)] == [1] * 5


@pytest.mark.parametrize("shape", ["tiny", "narrow", pytest.param("full", marks=pytest.mark.slow)])
def test_simd_rates(shape: str) -> None:
    """To the cycle: the smallest engine, one with few drain lanes, that of the full size."""
    run_bench(
        device(SHAPES[shape]),
        name=f"se_{shape}",
        test_module=__name__,
        parameters={"shape": shape},
    )
