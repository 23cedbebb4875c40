# SPDX-License-Identifier: Apache-2.0
"""The field checks on other elements than the bench's: absent units, no FP, other sizes."""

import pytest
from amaranth.sim import Simulator

from hw.arch.commands import COMMANDS, Opcode, encode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.pe.cp.checker import CommandChecker, reserved_holes
from hw.pe.cp.processor import CommandProcessor
from sim.golden.command_checks import UNITS_BASE, UNITS_WHOLE, Limits, illegal
from tb.common.seeds import python_rng
from tb.unit.cp.device import check_limits
from tb.unit.cp.programs import LONG_OPCODES, random_fault, random_long

ELEMENTS = {
    "no_fp": Limits(with_fp=False),
    "no_scatter_add": Limits(with_scatter_add=False),
    "no_column_lane": Limits(units=tuple(u for u in UNITS_WHOLE if u is not Unit.FI_IN_COL)),
    "row_lanes": Limits(multicast_lanes=1),
    "all_lanes": Limits(multicast_lanes=2),
    "fi_only": Limits(units=(Unit.FI_IN_ROW, Unit.FI_IN_COL, Unit.FI_OUT)),
    "base": Limits(units=UNITS_BASE),
    "with_se": Limits(units=(*UNITS_BASE, Unit.SE), programs=2),
    "with_mlu": Limits(units=(*UNITS_BASE, Unit.MLU)),
    "odd": Limits(
        cbs=16, counters=4, contexts=2, banks=2, tile_rows=16, columns=16, k_bytes=8, ls_units=100
    ),
    "largest": Limits(
        cbs=64,
        counters=32,
        contexts=16,
        banks=16,
        tile_rows=32,
        columns=32,
        k_bytes=32,
        ls_units=8192,
        programs=16,
    ),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_verdicts_match_the_model(name: str) -> None:
    """Commands that are legal or just not legal elsewhere get the model's verdict here."""
    limits = ELEMENTS[name]
    checker = CommandChecker(limits=check_limits(limits))
    rng = python_rng(f"checker {name}")
    commands = [random_fault(rng) for _ in range(250)]
    commands += [encode(opcode, **random_long(rng, opcode)) for opcode in LONG_OPCODES * 12]
    commands += [
        encode(Opcode.DMA_IN, **random_long(rng, Opcode.DMA_IN, multicast=1, column=column))
        for column in (0, 1)
    ]
    commands += [
        encode(Opcode.CB, cb=1, base=base, depth=depth)
        for base in (0, 1, 99, 100, limits.ls_units - 1)
        for depth in (1, 100, 8191, 8192, limits.ls_units, limits.ls_units - base)
        if depth > 0
    ]
    n_fine = 0

    async def bench(context: object) -> None:
        nonlocal n_fine
        for data in commands:
            context.set(checker.command, int.from_bytes(data, "little"))
            await context.delay(1e-9)
            verdict = context.get(checker.verdict)
            expected = illegal(data, limits)
            found = (verdict.cause, verdict.info) if verdict.wrong else None
            assert found == expected, f"{data.hex()}: {found}, expected {expected}"
            n_fine += expected is None

    simulator = Simulator(checker)
    simulator.add_testbench(bench)
    simulator.run()
    assert n_fine > 5


@pytest.mark.parametrize(
    ("opcode", "cause", "info"),
    [
        (Opcode.DRAIN, Trap.ILLEGAL_OPCODE, 0),
        (Opcode.DMA_IN, Trap.ILLEGAL_FIELD, COMMANDS[Opcode.DMA_IN].field("column").offset),
    ],
)
def test_a_command_for_an_absent_unit_traps(opcode: Opcode, cause: Trap, info: int) -> None:
    """It does not wait for room in a queue that is not there."""
    limits = Limits(units=(Unit.FI_IN_ROW, Unit.DPE))
    processor = CommandProcessor(limits=check_limits(limits), queue_depth=2)
    fields = random_long(python_rng("absent"), opcode)
    data = encode(opcode, **fields | ({"column": 1} if opcode is Opcode.DMA_IN else {}))

    async def bench(context: object) -> None:
        context.set(processor.source_wqe.payload, int.from_bytes(data, "little"))
        context.set(processor.source_wqe.valid, 1)
        for unit in limits.units:
            context.set(processor.control(unit).idle, 1)
        await context.tick().repeat(6)
        trap = context.get(processor.trap)
        assert (trap.valid, trap.cause, trap.info) == (1, cause, info)

    simulator = Simulator(processor)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("opcode", "prefix", "unused", "used"),
    [
        (Opcode.DRAIN, "", {"destination": 3}, {"destination": 0}),
        (Opcode.SIMD, "a_", {"source": 1}, {"source": 0}),
        (Opcode.LAYOUT, "src_", {"operation": 3}, {"operation": 0}),
    ],
)
def test_an_unused_operand_may_hold_anything(
    opcode: Opcode, prefix: str, unused: dict[str, int], used: dict[str, int]
) -> None:
    """Fields that the command itself makes meaningless do not trap; the same in use do."""
    checker = CommandChecker(limits=check_limits(Limits()))
    wrong = {f"{prefix}cb": 255, f"{prefix}step_level": 0, f"{prefix}adv_level": 6}
    field = COMMANDS[opcode].field(f"{prefix}cb")

    async def bench(context: object) -> None:
        for values, expected in ((unused, (0, 0)), (used, (Trap.ILLEGAL_FIELD, field.offset))):
            data = encode(opcode, **wrong, **values)
            context.set(checker.command, int.from_bytes(data, "little"))
            await context.delay(1e-9)
            verdict = context.get(checker.verdict)
            assert (verdict.cause, verdict.info) == expected
            assert illegal(data, Limits()) == (expected if expected[0] else None)

    simulator = Simulator(checker)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("opcode", COMMANDS, ids=lambda opcode: opcode.name.lower())
def test_defaults_are_legal(opcode: Opcode) -> None:
    """A command without fields names nothing that is not there, but for a CB's depth."""
    expected = None
    if opcode is Opcode.CB:
        expected = (Trap.ILLEGAL_FIELD, COMMANDS[opcode].field("depth").offset)
    assert illegal(encode(opcode), Limits()) == expected


@pytest.mark.parametrize("opcode", COMMANDS, ids=lambda opcode: opcode.name.lower())
def test_fields_and_holes_make_up_a_command(opcode: Opcode) -> None:
    """Every bit belongs to exactly one field or hole, and no two holes touch."""
    command = COMMANDS[opcode]
    bits = [0] * command.bits
    for offset, width in (*reserved_holes(opcode), *((f.offset, f.width) for f in command.fields)):
        for bit in range(offset, offset + width):
            bits[bit] += 1
    assert bits == [1] * command.bits
    ends = {offset + width for offset, width in reserved_holes(opcode)}
    assert not ends & {offset for offset, _ in reserved_holes(opcode)}


_RUNS = (Opcode.DMA_IN, Opcode.DMA_OUT, Opcode.GATHER, Opcode.SCATTER)


@pytest.mark.parametrize(
    ("opcode", "field", "wrong", "right"),
    [
        *((opcode, "stride0", {"stride0": 12}, {"stride0": -16}) for opcode in _RUNS),
        *((opcode, "stride0", {"stride0": -1}, {"stride0": 0}) for opcode in _RUNS),
        *(
            (
                Opcode.MML,
                "k_tail",
                {"k_tail": 1, "a_format": code, "b_format": code},
                {"k_tail": 2, "a_format": code, "b_format": code},
            )
            for code in (Format.FP16, Format.BF16)
        ),
        (Opcode.MML, "k_tail", {"k_tail": 9}, {"k_tail": 1}),
    ],
)
def test_what_must_be_whole_words_or_elements(
    opcode: Opcode, field: str, wrong: dict[str, int], right: dict[str, int]
) -> None:
    """A stride that is no word, and half an element of K, would silently give something else."""
    checker = CommandChecker(limits=check_limits(Limits()))
    trap = (Trap.ILLEGAL_FIELD, COMMANDS[opcode].field(field).offset)

    async def bench(context: object) -> None:
        for values, expected in ((wrong, trap), (right, None)):
            data = encode(opcode, **values)
            context.set(checker.command, int.from_bytes(data, "little"))
            await context.delay(1e-9)
            verdict = context.get(checker.verdict)
            found = (verdict.cause, verdict.info) if verdict.wrong else None
            assert found == illegal(data, Limits()) == expected

    simulator = Simulator(checker)
    simulator.add_testbench(bench)
    simulator.run()
