# SPDX-License-Identifier: Apache-2.0
"""The SIMD engine when something is wrong: traps, halt, reset; what it says of itself."""

import dataclasses
import random
from typing import Any

import cocotb
import pytest

from hw.arch.commands import COMMANDS, BMode, Factor, Function, Opcode, Post, Pre, Reduce, SimdOut
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.config.checks import ConfigError
from hw.config.element import SeConfig
from hw.pe.se import SimdEngine
from sim.golden.simd import Program
from tb.common.runner import run_bench
from tb.common.seeds import python_rng
from tb.common.stream import always, bursts, sometimes
from tb.unit.se.plans import Operand, Plan, Rows
from tb.unit.se.random_work import drain_program, random_program, submit
from tb.unit.se.setting import A_CB, B_CB, OUT_CB, SHAPE, SHAPES, SeBench, device

needs_fp = cocotb.test(skip=not SHAPE.with_fp)
N = 4 * SHAPE.lanes
OUT = Operand(OUT_CB, "", SHAPE.word_bytes, 0, (4 * N // SHAPE.word_bytes, 0, 0, 0), 5, 5, 8, 8)
A = dataclasses.replace(OUT, cb=A_CB, prefix="a_")
B = dataclasses.replace(OUT, cb=B_CB, prefix="b_")


def _simd(se: SeBench, **fields: int) -> None:
    """A SIMD of two rows of N elements, changed by `fields`."""
    rows = Rows((N, 2, 1, 1, 1)).fields
    se.command(Opcode.SIMD, **(rows | OUT.fields | A.fields | B.fields | {"tag": 77} | fields))


def _program(se: SeBench, **fields: Any) -> None:
    plain = {name: int(value) for name, value in vars(Program(**fields)).items()}
    se.command(Opcode.SE_PROGRAM, **plain)


async def _traps(se: SeBench, cause: Trap, opcode: Opcode, info: int) -> None:
    """The engine traps, and behaves as under halt."""
    await se.bench.until(lambda: se.trap()["valid"], 500)
    trap = se.trap()
    assert (trap["cause"], trap["opcode"], trap["info"]) == (cause, opcode, info), trap
    await se.bench.until(lambda: se.idle, 100)
    await se.bench.wait(5)
    assert se.trap() == trap and not se.commands.ready
    assert se.status()["state"] == State.HALTED
    await se.bench.reset()


@needs_fp
async def programs_that_do_not_exist_trap(dut: object) -> None:
    """Every rule about a program, with the bit of its field; the engine says so at once."""
    se = SeBench(dut)
    await se.bench.start()
    rules: list[tuple[str, dict[str, Any]]] = [
        ("post", {"function": Function.GELU, "post": Post.B}),
        ("reduce", {"function": Function.TANH, "reduce": Reduce.MAX}),
        ("reduce", {"out": SimdOut.STATISTICS}),
        ("reduce", {"out": SimdOut.BOTH}),
        ("reduce", {"post": Post.STATISTIC}),
        ("stat_function", {"reduce": Reduce.SUM, "stat_function": Function.SILU}),
        ("factor", {"reduce": Reduce.SUM_SQUARES, "factor": Factor.SELF}),
        ("b_format", {"b_mode": BMode.HELD, "b_format": Format.BF16}),
    ]
    if not SHAPE.with_functions:
        rules.append(("function", {"function": Function.EXP}))
    for name, fields in rules:
        _program(se, **fields)
        offset = COMMANDS[Opcode.SE_PROGRAM].field(name).offset
        await _traps(se, Trap.ILLEGAL_FIELD, Opcode.SE_PROGRAM, offset)
    se.command(Opcode.SE_PROGRAM, program=SHAPE.config.programs)
    offset = COMMANDS[Opcode.SE_PROGRAM].field("program").offset
    await _traps(se, Trap.ILLEGAL_FIELD, Opcode.SE_PROGRAM, offset)


@needs_fp
async def commands_without_room_trap(dut: object) -> None:
    """Every rule about a SIMD command and its program; what just fits does not trap."""
    se = SeBench(dut)
    await se.bench.start()
    config, lanes, columns = SHAPE.config, SHAPE.lanes, SHAPE.columns
    fused = {"reduce": Reduce.SUM, "post": Post.STATISTIC}
    integers = {"a_format": Format.INT32, "out_format": Format.INT32}
    rules: list[tuple[str, dict[str, Any], dict[str, int]]] = [
        ("program", {}, {"program": 1}),
        ("program", {}, {"program": config.programs}),
        ("count0", fused, {"count0": config.row_beats * lanes + 1}),
        ("count0", {"b_mode": BMode.HELD}, {"count0": columns + 1}),
        ("count0", {}, {"count0": columns - 1, "source": 1}),
        ("count0", integers, {"count0": 2 * columns, "source": 1}),
        ("source", {"a_format": Format.INT8}, {"count0": columns, "source": 1}),
        ("count1", {}, {"accumulate": 1, "count0": lanes + 1, "count1": config.sum_beats // 2 + 1}),
        ("count1", {}, {"accumulate": 1, "count0": 0xFFFF, "count1": 0x8000}),
        ("accumulate", {"reduce": Reduce.SUM_SQUARES}, {"accumulate": 1}),
        ("program", integers, {}),
        ("program", integers | {"factor": Factor.C}, {"count0": columns, "source": 1}),
        ("program", integers | {"pre": Pre.SUB}, {"count0": columns, "source": 1}),
        ("program", integers | {"imm_b": 1, "pre": Pre.ADD}, {"count0": columns, "source": 1}),
    ]
    for name, program, fields in rules:
        _program(se, **program)
        _simd(se, **fields)
        offset = COMMANDS[Opcode.SIMD].field(name).offset
        await _traps(se, Trap.ILLEGAL_FIELD, Opcode.SIMD, offset)
        assert se.local.n_requests == 0


@cocotb.test(skip=SHAPE.with_fp)
async def programs_for_the_lanes_trap_without_them(dut: object) -> None:
    """An engine that only drains refuses everything else."""
    se = SeBench(dut)
    await se.bench.start()
    for program, fields in (
        ({}, {}),
        ({"a_format": Format.INT32}, {"count0": SHAPE.columns, "source": 1}),
    ):
        _program(se, **program)
        _simd(se, **fields)
        offset = COMMANDS[Opcode.SIMD].field("program").offset
        await _traps(se, Trap.ILLEGAL_FIELD, Opcode.SIMD, offset)


@needs_fp
async def addresses_outside_trap(dut: object) -> None:
    """A buffer that reaches beyond local memory, for each operand; nothing is read or written."""
    se = SeBench(dut)
    await se.bench.start()
    top = SHAPE.ls_bytes // 64
    for cb in (A_CB, B_CB, OUT_CB):
        base = se.buffers[cb].base
        se.buffers[cb].base = top - se.buffers[cb].depth + 3
        _program(se, b_mode=BMode.ELEMENT, pre=Pre.ADD)
        _simd(se)
        await _traps(se, Trap.LS_RANGE, Opcode.SIMD, cb)
        se.buffers[cb].base = base


@needs_fp
async def the_second_word_of_a_beat_counts(dut: object) -> None:
    """A beat that begins in the last word of local memory traps if it needs another one."""
    se = SeBench(dut)
    await se.bench.start()
    two_words = 4 * SHAPE.lanes > SHAPE.word_bytes
    for cb, name in ((A_CB, "a_offset"), (OUT_CB, "offset")):
        state = se.buffers[cb]
        base, state.base = state.base, SHAPE.ls_bytes // 64 - state.depth + 1
        last = 64 // SHAPE.word_bytes - 1  # the pointer is two units before the buffer's end
        _program(se)
        _simd(se, count0=SHAPE.lanes, count1=1, **{name: last})
        if two_words:
            await _traps(se, Trap.LS_RANGE, Opcode.SIMD, cb)
        else:
            await se.complete()
            await se.bench.reset()
        state.base = base


@needs_fp
async def wrong_parity_traps_where_it_is_used(dut: object) -> None:
    """A wrong byte of an element traps, one beyond the row does not."""
    se = SeBench(dut)
    await se.bench.start()
    modes = (
        (A_CB, BMode.NONE, 4 * N - 1, 4 * N),
        (B_CB, BMode.ELEMENT, 4 * N - 1, 4 * N),
        (B_CB, BMode.ROW, 7, 8),
        (B_CB, BMode.HELD, 8 * SHAPE.columns - 1, 8 * SHAPE.columns),
    )
    for cb, mode, used, unused in modes:
        state = se.buffers[cb]
        start = (state.base + state.depth - 2) * 64
        program = {"b_mode": mode, "b_pair": mode is not BMode.ELEMENT, "pre": Pre.ADD}
        fields = {"count0": min(N, SHAPE.columns) if mode is BMode.HELD else N, "count1": 1}
        if mode is BMode.HELD:
            used = 4 * fields["count0"] - 1
        for at, traps in ((unused, False), (used, True)):
            se.local.wrong = {_wrapped(se, cb, start + at)}
            _program(se, **program)
            _simd(se, **fields, b_adv_level=7, a_adv_level=7)
            if traps:
                word = _wrapped(se, cb, start + at) // SHAPE.word_bytes * SHAPE.word_bytes
                await _traps(se, Trap.LS_PARITY, Opcode.SIMD, word)
            else:
                await se.complete()
                await se.bench.reset()
    se.local.wrong = set()


def _wrapped(se: SeBench, cb: int, address: int) -> int:
    """An address that wraps in its buffer."""
    low, size = se.buffers[cb].base * 64, se.buffers[cb].depth * 64
    return low + (address - low) % size


@cocotb.test()
async def reset_and_halt_in_the_middle(dut: Any) -> None:
    """Halt ends with idle while slots are slow; rows of the reduction engine do not pile up."""
    se = SeBench(dut, ls=bursts, cb=sometimes, rows=sometimes)
    await se.bench.start()
    rng = python_rng("halt")
    for round_ in range(8):
        plan = Plan(se, f"halt {round_}")
        for _ in range(3):
            _submit_any(plan, rng)
        await se.bench.wait(rng.randrange(10, 250))
        if round_ % 3:
            dut["control__halt"].value = 1
            await se.bench.wait(2)
            n_requests = se.local.n_requests
            await se.bench.until(lambda: se.idle, 300)
            more = se.local.n_requests - n_requests
            assert more <= 2 * 6, f"{more} words moved after halt"
            await se.bench.until(lambda: not se.rows._queue, 2000)
            assert se.idle and not se.commands.ready
            assert se.status()["state"] == State.HALTED
        await se.bench.reset()
        dut["control__halt"].value = 0
    plan = Plan(se, "after reset")
    for _ in range(3):
        _submit_any(plan, rng)
    await plan.finish()


def _submit_any(plan: Plan, rng: random.Random) -> None:
    if SHAPE.with_fp and rng.random() < 0.7:
        submit(plan, rng, random_program(rng))
    else:
        submit(plan, rng, drain_program(rng), from_re=True)


@needs_fp
async def status_names_the_cause_of_a_stall(dut: object) -> None:
    """Each kind of waiting shows, with the command's opcode, tag and circular buffer."""
    se = SeBench(dut)
    await se.bench.start()

    async def shows(state: State, cb: int) -> None:
        await se.bench.until(lambda: se.status()["state"] == state, 200)
        await se.bench.wait(10)
        status = se.status()
        found = (status["state"], status["opcode"], status["tag"], status["cb"])
        assert found == (state, Opcode.SIMD, 77, cb), status

    def hold(held: bool) -> None:
        for sink in (*se.local.reads, *se.local.writes):
            sink._pauses = (lambda rng: True) if held else always()

    _program(se, b_mode=BMode.ELEMENT)
    for cb in (A_CB, B_CB):
        se.ports["a" if cb == A_CB else "b"]._pauses = lambda rng: True
        _simd(se)
        await shows(State.WAIT_CB_DATA, cb)
        se.ports["a" if cb == A_CB else "b"]._pauses = always()
        await se.complete()
    se.ports["out"]._pauses = lambda rng: True
    # More beats than there is room for between reading and writing.
    _simd(se, count0=4 * N, count1=60, stride1=0, a_stride1=0, b_stride1=0)
    await shows(State.WAIT_CB_ROOM, OUT_CB)
    se.ports["out"]._pauses = always()
    await se.complete()
    hold(True)
    _simd(se)
    await shows(State.WAIT_LS, B_CB)
    hold(False)
    await se.complete()
    _program(se, a_format=Format.INT32)
    _simd(se, count0=SHAPE.columns, count1=1, source=1)
    await shows(State.WAIT_NEIGHBOUR, OUT_CB)
    se.rows.send(1)
    await se.complete()
    assert State.IDLE in se.seen_states and State.BUSY in se.seen_states
    assert se.status()["steps"] == 5 and se.status()["opcode"] == 0


@needs_fp
async def both_paths_give_the_same_bits(dut: object) -> None:
    """Rows requantised on the drain path, and the same values from local memory on the lanes."""
    se = SeBench(dut)
    await se.bench.start()
    rng = python_rng("both paths")
    columns, word = SHAPE.columns, SHAPE.word_bytes
    for number in range(8):
        program = drain_program(rng, out_format=Format.INT8, factor=Factor.IMMEDIATE)
        rows = Rows((columns, 6, 1, 1, 1))
        plan = Plan(se, f"both {number}")
        seed = plan.rng.bit_generator.state
        results = []
        for from_re in (True, False):
            plan.rng.bit_generator.state = seed  # the same values both times
            pitch = columns // word
            out = Operand(OUT_CB, "", word, 0, (pitch, 0, 0, 0), 5, 5, 4, 4)
            a = Operand(A_CB, "a_", word, 0, (4 * pitch, 0, 0, 0), 5, 5, 16, 16)
            b = Operand(B_CB, "b_", word, 0, (0, 0, 0, 0), 5, 5, 16, 16)
            uses_b = program.b_mode is BMode.HELD
            at = plan.pointers[OUT_CB]
            plan.run(program, rows, out, None if from_re else a, b if uses_b else None)
            await plan.finish()
            start = (se.buffers[OUT_CB].base + at) * 64
            places = [_wrapped(se, OUT_CB, start + i) for i in range(6 * columns)]
            results.append(bytes(se.local.data[place] for place in places))
        assert results[0] == results[1]


@cocotb.test()
async def elements_are_counted(dut: object) -> None:
    """The event counts every element once, tails too."""
    se = SeBench(dut, ls=sometimes)
    await se.bench.start()
    plan = Plan(se, "events")
    rows = submit(plan, python_rng("events"), drain_program(python_rng("events")), from_re=True)
    await plan.finish()
    n_rows = len(list(Operand(0, "", 1).nest(rows.counts, rows, True).indices(0)))
    assert se.n_elements == n_rows * SHAPE.columns
    if SHAPE.with_fp:
        _program(se)
        _simd(se, count0=N - 1)
        await se.complete()
        assert se.n_elements == n_rows * SHAPE.columns + 2 * (N - 1)


@pytest.mark.parametrize("shape", ["tiny", "drains"])
def test_simd_faults(shape: str) -> None:
    """With and without FP32 lanes."""
    run_bench(
        device(SHAPES[shape]),
        name=f"se_{shape}",
        test_module=__name__,
        parameters={"shape": shape},
    )


def test_wrong_constructor_arguments_are_refused() -> None:
    """One sentence for each."""
    good = {
        "config": SeConfig(drain_lanes=8, fp_lanes=4),
        "columns": 8,
        "address_width": 11,
        "word_bytes": 8,
    }
    SimdEngine(**good)
    for name, value, sentence in (
        ("config", SeConfig(drain_lanes=8, fp_lanes=3), "se.fp_lanes is 3; it must be a power"),
        ("config", SeConfig(drain_lanes=8, fp_lanes=8), "fp_lanes is 8; it must be 2 or 4"),
        (
            "config",
            SeConfig(drain_lanes=32, fp_lanes=4),
            "drain_lanes is 32; it must be 2, 4, 8 or 16, so",
        ),
        ("columns", 4, "columns is 4; it must be a power of two, at least drain_lanes"),
        ("columns", 24, "columns is 24; it must be a power of two, at least drain_lanes"),
    ):
        with pytest.raises((ValueError, ConfigError), match=sentence):
            SimdEngine(**(good | {name: value}))
