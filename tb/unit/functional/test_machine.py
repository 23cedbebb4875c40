# SPDX-License-Identifier: Apache-2.0
"""The functional simulator: GEMM plans give NumPy's results, wrong lists trap or hang."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw.arch.commands import COMMANDS, BMode, Factor, Function, Opcode, Post, Reduce
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.config import PRESETS, ChipConfig, get_config
from sim.functional import FunctionalMachine, FunctionalTrap, Hang
from sim.golden.dot import gemm_golden
from sw.kernels.command_list import CommandList
from sw.kernels.gemm import GemmProblem, plan_gemm
from sw.runtime.gemm import prepare_gemm

TYPES = {
    Format.INT8: np.int8,
    Format.UINT8: np.uint8,
    Format.FP16: np.float16,
    Format.BF16: ml_dtypes.bfloat16,
}
GUARD = 0x5A


def operand(rng: np.random.Generator, shape: tuple[int, int], fmt: Format) -> np.ndarray:
    """Random elements over the format's whole range (floats: moderate sizes)."""
    if fmt.is_float:
        return rng.standard_normal(shape).astype(np.float32).astype(TYPES[fmt])
    return rng.integers(0, 256, shape).astype(np.uint8).view(TYPES[fmt])


def run_plan(
    config: ChipConfig, a: np.ndarray, b: np.ndarray, fmt_a: Format, fmt_b: Format, skew: int = 0
) -> np.ndarray:
    """Plan and execute a @ b, `skew` odd bytes before each matrix; checks bytes around C."""
    (m, k), n = a.shape, b.shape[1]
    a_at = 0x10_0000_0000 + skew
    b_at = a_at + a.nbytes + skew
    c_at = b_at + b.nbytes + 64 + skew
    machine = FunctionalMachine(config)
    machine.memory.write(a_at, np.frombuffer(a.tobytes(), np.uint8))
    machine.memory.write(b_at, np.frombuffer(b.tobytes(), np.uint8))
    machine.memory.write(c_at - 64, np.full(4 * m * n + 128, GUARD, np.uint8))
    problem = GemmProblem(
        m=m, n=n, k=k, a_format=fmt_a, b_format=fmt_b, a_address=a_at, b_address=b_at,
        c_address=c_at, a_pitch=k * a.itemsize, b_pitch=n * b.itemsize, c_pitch=4 * n,
    )  # fmt: skip
    machine.run(bytes(plan_gemm(config.pe, problem).commands))
    around = machine.memory.read(c_at - 64, 4 * m * n + 128)
    assert (around[:64] == GUARD).all() and (around[-64:] == GUARD).all()
    return around[64:-64].view(np.uint32).reshape(m, n)


def expected(a: np.ndarray, b: np.ndarray, fa: Format, fb: Format, chunk: int) -> np.ndarray:
    """Integers by NumPy's 64-bit product, floats by the golden model (itself checked elsewhere)."""
    if not fa.is_float:
        return (a.astype(np.int64) @ b.astype(np.int64)).astype(np.uint64).astype(np.uint32)
    return gemm_golden(a, b, fmt_a=fa, fmt_b=fb, chunk=chunk).view(np.uint32)


@pytest.mark.parametrize("name", ["tiny", "odd", "fpga", "mtia100-pe"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    m=st.integers(1, 300),
    n=st.integers(1, 100),
    k=st.integers(1, 150),
    formats=st.sampled_from(
        [
            (Format.INT8, Format.INT8),
            (Format.UINT8, Format.INT8),
            (Format.INT8, Format.UINT8),
            (Format.FP16, Format.FP16),
            (Format.BF16, Format.BF16),
        ]
    ),
    skew=st.integers(0, 63),
)
def test_plans_give_the_product_for_any_shape(
    name: str, m: int, n: int, k: int, formats: tuple[Format, Format], skew: int
) -> None:
    """Would break if any tail, stride, layout or buffer size of the planner were wrong."""
    config = get_config(name)
    assume(config.pe.dpe.with_fp or not formats[0].is_float)
    rng = np.random.default_rng(m * 10007 + n * 101 + k)
    a, b = operand(rng, (m, k), formats[0]), operand(rng, (k, n), formats[1])
    result = run_plan(config, a, b, *formats, skew=skew)
    assert np.array_equal(result, expected(a, b, *formats, config.pe.dpe.chunk))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (8, 8, 8), (16, 16, 64), (17, 15, 8), (1, 64, 100), (100, 10, 784)]
)
def test_edges_of_tiles_and_blocks(shape: tuple[int, int, int]) -> None:
    """Would break at a tile edge that random shapes miss."""
    m, n, k = shape
    rng = np.random.default_rng(1)
    a, b = operand(rng, (m, k), Format.INT8), operand(rng, (k, n), Format.INT8)
    result = run_plan(PRESETS["tiny"], a, b, Format.INT8, Format.INT8)
    assert np.array_equal(result, expected(a, b, Format.INT8, Format.INT8, 4))


def machine_and_list() -> tuple[FunctionalMachine, CommandList]:
    """A tiny machine and an empty list."""
    return FunctionalMachine(PRESETS["tiny"]), CommandList()


def test_a_consumer_without_producer_hangs_with_a_reason() -> None:
    """Would break if a hang went unnoticed or named the wrong unit."""
    machine, commands = machine_and_list()
    commands.add(Opcode.CB, cb=3, base=0, depth=4)
    commands.add(Opcode.DMA_OUT, cb=3, count0=8, stride0=8, step_level=1, need=1, tag=77)
    commands.add(Opcode.END)
    with pytest.raises(Hang, match=r"FI_OUT +waits for data in CB 3 +dma_out \(tag 77\)"):
        machine.run(bytes(commands))


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"cb": 5, "need": 1}, Trap.CB_UNINITIALISED),
        ({"cb": 3, "need": 5}, Trap.CB_TOO_SMALL),
        ({"cb": 3, "need": 1, "mem_addr": 0x3FFFF}, Trap.MEMORY_ERROR),
        ({"cb": 3, "need": 1, "count1": 0}, Trap.ILLEGAL_FIELD),
    ],
)
def test_wrong_commands_trap(fields: dict[str, int], cause: Trap) -> None:
    """Would break if the model executed what the hardware refuses."""
    machine, commands = machine_and_list()
    commands.add(Opcode.CB, cb=3, base=0, depth=4)
    commands.add(Opcode.DMA_IN, **{"count0": 8, "stride0": 8, "step_level": 1, **fields})
    commands.add(Opcode.END)
    with pytest.raises(FunctionalTrap) as trap:
        machine.run(bytes(commands))
    assert trap.value.cause == cause


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("post", {"function": Function.GELU, "post": Post.B}),
        ("reduce", {"post": Post.STATISTIC}),
        ("stat_function", {"stat_function": Function.TANH}),
        ("b_format", {"b_mode": BMode.HELD, "b_format": Format.UINT8}),
        ("factor", {"reduce": Reduce.SUM_SQUARES, "factor": Factor.SELF}),
    ],
)
def test_wrong_programs_trap(name: str, fields: dict[str, int]) -> None:
    """Would break if the model ran a program that the engine refuses, or named another field."""
    machine, commands = machine_and_list()
    commands.add(Opcode.SE_PROGRAM, **fields)
    commands.add(Opcode.END)
    with pytest.raises(FunctionalTrap) as trap:
        machine.run(bytes(commands))
    assert trap.value.cause == Trap.ILLEGAL_FIELD
    assert trap.value.info == COMMANDS[Opcode.SE_PROGRAM].field(name).offset


def test_a_list_without_end_traps() -> None:
    """Would break if running off a list counted as success."""
    machine, commands = machine_and_list()
    commands.add(Opcode.NOP)
    with pytest.raises(FunctionalTrap) as trap:
        machine.run(bytes(commands))
    assert trap.value.cause == Trap.LIST_OVERRUN


def test_contexts_and_signals() -> None:
    """RUN repeats a stored copy, moved; WAIT sees its signal; END returns its status."""
    machine, commands = machine_and_list()
    data = np.arange(64, dtype=np.uint8)
    machine.memory.write(0x1000, data)
    commands.add(Opcode.CB, cb=1, base=0, depth=4)
    commands.add(
        Opcode.DMA_IN, cb=1, mem_addr=0x0FE0, count0=32, stride0=8, step_level=1,
        adv_level=1, need=1, adv=1, store=1, context=2,
    )  # fmt: skip
    commands.add(Opcode.RUN, ctx=2, mem_delta=32, keep=1, signal_en=1, signal_counter=4)
    commands.add(Opcode.RUN, ctx=2, mem_delta=32, signal_en=1, signal_counter=4)
    commands.add(Opcode.WAIT, counter=4, value=2)
    commands.add(Opcode.END, status=9)
    assert machine.run(bytes(commands)) == 9
    assert np.array_equal(machine.ls[:32], data[:32])
    assert np.array_equal(machine.ls[64:96], data[32:])


@pytest.mark.parametrize("name", ["tiny", "fpga"])
def test_one_block_column_of_many_rows(name: str) -> None:
    """Would break if a block of all banks in one column overflowed a bank stride."""
    config = get_config(name)
    rng = np.random.default_rng(2)
    a, b = operand(rng, (129, 3), Format.INT8), operand(rng, (3, 1), Format.INT8)
    result = run_plan(config, a, b, Format.INT8, Format.INT8)
    assert np.array_equal(result, expected(a, b, Format.INT8, Format.INT8, 4))


def test_k_of_more_steps_than_a_level_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would break if a long K lost a part, its tail, or the accumulators in between."""
    monkeypatch.setattr("sw.kernels.gemm.sizes.MOST", 5)
    rng = np.random.default_rng(3)
    for k in (41, 87, 120):
        a, b = operand(rng, (20, k), Format.FP16), operand(rng, (k, 19), Format.FP16)
        result = run_plan(PRESETS["tiny"], a, b, Format.FP16, Format.FP16)
        assert np.array_equal(result, expected(a, b, Format.FP16, Format.FP16, 4))


def test_the_list_lies_beside_the_operands_however_long_it_is() -> None:
    """Would break if a long command list overwrote A, as a fixed room for it once did."""
    a, b = np.zeros((17, 8), np.int8), np.zeros((8, 1984), np.int8)
    job = prepare_gemm(PRESETS["tiny"], a, b)
    spans = sorted(
        [
            (job.spot.a, a.nbytes),
            (job.spot.b, b.nbytes),
            (job.spot.c, 4 * 17 * 1984),
            (job.spot.commands, len(bytes(job.plan.commands))),
        ]
    )
    assert len(bytes(job.plan.commands)) > 1 << 14
    assert all(one + size <= two for (one, size), (two, _) in zip(spans, spans[1:], strict=False))
