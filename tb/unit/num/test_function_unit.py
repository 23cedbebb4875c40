# SPDX-License-Identifier: Apache-2.0
"""The function unit, bit for bit against its golden model.

Nine units stand side by side, and the same argument goes to all, each with another function.
"""

from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.function_unit import FunctionUnit
from sim.golden.functions import table_value
from tb.common.runner import run_bench
from tb.common.seeds import numpy_rng
from tb.common.stream import Bench
from tb.unit.num.fp32_values import CORNERS

N_LANES = len(Function)
Words = NDArray[np.uint32]


class FunctionUnits(wiring.Component):
    """`N_LANES` units with one argument.

    Members
    -------
    en, x : as those of `FunctionUnit`.
    code : In(4 * N_LANES), functions of all lanes.
    o : Out(65 * N_LANES), value, argument and flag of each lane.
    """

    def __init__(self) -> None:
        ports = {"code": In(4 * N_LANES), "o": Out(65 * N_LANES)}
        super().__init__({"en": In(1), "x": In(32), **ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(N_LANES):
            unit = EmitOnce(FunctionUnit, key="function_unit", boundary=Boundary.NO_INLINE)
            m.submodules[f"lane{lane}"] = unit
            out = self.o.word_select(lane, 65)
            m.d.comb += [
                unit.en.eq(self.en),
                unit.x.eq(self.x),
                unit.code.eq(self.code.word_select(lane, 4)),
                out[:32].eq(unit.value),
                out[32:64].eq(unit.argument),
                out[64].eq(unit.times_argument),
            ]
        return m


def lane_functions(turn: int) -> list[Function]:
    """Functions of the lanes; another turn gives each lane another one."""
    return [Function((lane + turn) % N_LANES) for lane in range(N_LANES)]


def packed(numbers: list[int], width: int) -> int:
    """Numbers side by side, the first one lowest."""
    return sum(number << width * place for place, number in enumerate(numbers))


def expected(x: Words, turns: NDArray[np.int64]) -> list[int]:
    """Outputs for each argument, by the golden model."""
    lanes = np.empty((len(x), N_LANES, 3), np.uint32)
    for function in Function:
        value, times_argument = table_value(function, x.view(np.float32))
        lane = (function - turns) % N_LANES
        rows = np.arange(len(x))
        lanes[rows, lane, 0] = value.view(np.uint32)
        lanes[rows, lane, 2] = times_argument
    lanes[:, :, 1] = x[:, None]
    return [packed([v | a << 32 | t << 64 for v, a, t in row], 65) for row in lanes.tolist()]


def describe(number: int, turn: int) -> Iterator[str]:
    """Outputs, readable."""
    for lane, function in enumerate(lane_functions(turn)):
        bits = number >> 65 * lane
        argument, value, flag = bits >> 32 & 0xFFFFFFFF, bits & 0xFFFFFFFF, bits >> 64 & 1
        yield f"{function.name}({argument:08x})={value:08x},{flag}"


async def run(dut: Any, bench: Bench, x: Words, *, rotate: bool, stalls: bool = False) -> None:
    """Send one argument in every cycle with `en`; each result comes `latency` such cycles later."""
    turns = np.arange(len(x)) % N_LANES if rotate else np.zeros(len(x), np.int64)
    functions = [packed(lane_functions(turn), 4) for turn in range(N_LANES)]
    wanted = expected(x, turns)
    running = numpy_rng("stalls").random(4 * len(x) + 64) < 0.5
    latency, sent, cycle = FunctionUnit.latency, 0, 0
    dut.en.value = 1
    while sent < len(x) + latency:
        enabled = not stalls or bool(running[cycle % len(running)])
        cycle += 1
        if enabled:
            dut.x.value = int(x[min(sent, len(x) - 1)])
            dut.code.value = functions[turns[min(sent, len(x) - 1)]]
        dut.en.value = int(enabled)
        await bench.wait(1)
        # Seen now is what stood before the edge that takes this argument.
        place = sent - latency
        if place >= 0:
            found = dut.o.value.to_unsigned()
            if found != wanted[place]:
                pairs = zip(
                    describe(found, turns[place]),
                    describe(wanted[place], turns[place]),
                    strict=True,
                )
                raise AssertionError("; ".join(f"{a}, not {b}" for a, b in pairs if a != b))
        sent += enabled


@cocotb.test()
async def every_fp16_argument_in_every_function(dut: Any) -> None:
    """One argument in every cycle; all results, exactly `latency` cycles later."""
    bench = Bench(dut)
    await bench.start()
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    await run(dut, bench, x.view(np.uint32), rotate=False)


def fp32_arguments(n: int) -> Words:
    """Corners, numbers around where regions meet, random bits, and random numbers."""
    edges = np.array([0.75, 1, 1.5, 2, 4, 8, 16, 87.3, 88.7, 103.9, 128], np.float32)
    around = edges.view(np.uint32)[:, None] + np.arange(-3, 4)
    around = around.astype(np.uint32).ravel()
    rng = numpy_rng("arguments")
    normal = (rng.normal(0, 1, n) * np.exp2(rng.integers(-6, 8, n))).astype(np.float32)
    near_one = (1 + rng.normal(0, 1, n) * np.exp2(-rng.integers(1, 24, n))).astype(np.float32)
    return np.concatenate(
        [
            np.array(CORNERS, np.uint32),
            around,
            around | np.uint32(1 << 31),
            rng.integers(0, 1 << 32, n, dtype=np.uint32),
            normal.view(np.uint32),
            near_one.view(np.uint32),
        ]
    )


@cocotb.test()
async def fp32_arguments_with_changing_functions(dut: Any) -> None:
    """The function travels with its argument."""
    bench = Bench(dut)
    await bench.start()
    await run(dut, bench, fp32_arguments(4000), rotate=True)


@cocotb.test()
async def stalls_hold_everything(dut: Any) -> None:
    """Without `en` nothing moves, in no stage; the inputs then do not matter."""
    bench = Bench(dut)
    await bench.start()
    await run(dut, bench, fp32_arguments(1000), rotate=True, stalls=True)


@cocotb.test()
async def reset_leaves_nothing_behind(dut: Any) -> None:
    """After a reset in the middle results are right from the first one on."""
    bench = Bench(dut)
    await bench.start()
    for x in fp32_arguments(10)[:20].tolist():
        dut.en.value, dut.x.value = 1, x
        await bench.wait(1)
    await bench.reset()
    await run(dut, bench, fp32_arguments(100), rotate=True)


def test_function_units() -> None:
    """Build the units side by side."""
    run_bench(FunctionUnits(), name="function_units", test_module=__name__)
