# SPDX-License-Identifier: Apache-2.0
"""Rules that the hardware does not check: each broken once, and the sentence names the culprit."""

import re

import pytest

from hw.arch.commands import Opcode
from sim.functional import FunctionalTrap, Rule, RuleBroken
from tb.unit.functional.lists import DATA, List, machine

NATIVE = pytest.mark.parametrize("native", [True, False], ids=["native", "numpy"])
COPY = {"src_step_level": 1, "src_adv_level": 1, "src_need": 1, "src_adv": 1, "src_stride0": 8,
        "stride0": 8, "step_level": 1, "adv_level": 1, "need": 1, "adv": 1}  # fmt: skip


def two_buffers() -> List:
    """Buffers 1 and 2, apart from each other."""
    return List().cb(1, 0, 4).cb(2, 8, 4)


LISTS: dict[str, tuple[List, Rule, str]] = {
    "half a buffer written": (
        two_buffers().load(1, count0=32).store(1, tag=5),
        Rule.UNWRITTEN_LS,
        r"Command 3 of the list, dma_out \(tag 5\) on FI_OUT, reads local memory 0x00020 in CB 1,"
        r" which nothing has written\.",
    ),
    "streamed rows not written": (
        two_buffers().load(1, count0=56).load(2).multiply(1, 2, tag=9),
        Rule.UNWRITTEN_LS,
        r"Command 4 .* mml \(tag 9\) on DPE, reads local memory 0x00038 in CB 1",
    ),
    "held block not written": (
        two_buffers().load(1).load(2, count0=56).multiply(1, 2),
        Rule.UNWRITTEN_LS,
        r"mml .* on DPE, reads local memory 0x00238 in CB 2",
    ),
    "memory never written": (
        two_buffers().load(1, mem_addr=0x8000, tag=3),
        Rule.UNWRITTEN_MEMORY,
        r"Command 2 of the list, dma_in \(tag 3\) on FI_IN_ROW, reads memory 0x0000008000, which"
        r" neither host nor job has written\.",
    ),
    "a run reads beyond its step": (
        two_buffers().load(1, 2).store(1, count0=72),
        Rule.OUTSIDE_STEP,
        r"dma_out .* reads local memory 0x00040, byte 64 from the pointer of CB 1, but its step"
        r" was given 64 bytes\.",
    ),
    "a run writes beyond its step": (
        two_buffers().load(1, count0=72),
        Rule.OUTSIDE_STEP,
        r"dma_in .* writes local memory 0x00040, byte 64 .* but its step reserved 64 bytes\.",
    ),
    "rows streamed beyond the step": (
        two_buffers().load(1, 2).load(2).multiply(1, 2, a_stride0=2),
        Rule.OUTSIDE_STEP,
        r"mml .* reads local memory 0x00040, byte 64 from the pointer of CB 1",
    ),
    "rows drained beyond the step": (
        two_buffers().cb(3, 16, 8).load(1).load(2).multiply(1, 2).drain(3, stride0=5),
        Rule.OUTSIDE_STEP,
        r"drain .* on RE, writes .* of CB 3",
    ),
    "a second producer": (
        List().cb(1, 0, 8, shared=1).load(1).load(1, column=1),
        Rule.SECOND_PRODUCER,
        r"dma_in .* on FI_IN_COL, is a second producer of CB 1, which FI_IN_ROW fills\.",
    ),
    "live data overwritten": (
        List().cb(1, 0, 4).load(1, 2).do(lambda it: it.add(Opcode.FENCE)).cb(2, 1, 4).load(2),
        Rule.OVERLAP,
        r"dma_in .* writes a step of CB 2 from local memory 0x00040 on, over data that CB 1 still"
        r" holds\.",
    ),
    "more rows drained than multiplied": (
        two_buffers().cb(3, 16, 8).load(1).load(2).multiply(1, 2, count0=5).drain(3),
        Rule.UNWRITTEN_ROW,
        r"drain .* uses row 5 of accumulator bank 0, which nothing has written\.",
    ),
}


@NATIVE
@pytest.mark.parametrize("name", LISTS)
def test_a_broken_rule_names_the_command(name: str, native: bool) -> None:
    """Would break if a rule were not checked, or its sentence named another command or place."""
    commands, rule, sentence = LISTS[name]
    with pytest.raises(RuleBroken) as broken:
        machine(native=native).run(bytes(commands) + List().end())
    assert broken.value.rule is rule
    assert re.search(sentence, str(broken.value)), str(broken.value)
    assert len(str(broken.value).splitlines()) == 1


@NATIVE
@pytest.mark.parametrize("name", [name for name in LISTS if "second" not in name])
def test_without_police_the_machine_does_as_the_hardware(name: str, native: bool) -> None:
    """Would break if the switch left a rule on: the hardware would run these lists to their end."""
    machine(native=native, police=False).run(bytes(LISTS[name][0]) + List().end())


@NATIVE
def test_masked_bytes_may_be_unwritten(native: bool) -> None:
    """Would break if tails read what they mask: rows, columns and K beyond them."""
    commands = two_buffers().load(1, count0=4, count1=5, stride1=8, mem_stride1=4, step_level=2,
                                  adv_level=2)  # fmt: skip
    commands.load(2, count0=3, count1=4, stride1=8, step_level=2, adv_level=2)
    commands.cb(3, 16, 8).multiply(1, 2, count0=5, k_tail=4, n_tail=3, n_level=1)
    commands.drain(3, count0=5).store(3, need=4, adv=4)
    machine(native=native).run(commands.end())


@NATIVE
def test_what_a_job_leaves_behind_is_a_warning(native: bool) -> None:
    """Would break if data that nobody released went unnoticed, or stopped a job that is right."""
    made = machine(native=native)
    made.run(two_buffers().load(1, 3).store(1).load(2).store(2).end())
    assert made.warnings == ["At END CB 1 still holds 128 bytes that nothing released."]
    made.run(two_buffers().load(1).store(1).end())
    assert made.warnings == []


def test_local_memory_of_an_earlier_job_counts_as_written() -> None:
    """Would break if a job could not use what the one before it left in local memory."""
    made = machine()
    made.run(two_buffers().load(1, 2).store(1, 2).end())
    made.run(two_buffers().load(1, 2, count0=32).store(1, 2).end())


def test_cleared_memory_is_not_written() -> None:
    """Would break if SRAM_CLEAR, which the hardware needs, hid that nobody put data there."""
    made = machine()
    made.memory.clear_sram()
    with pytest.raises(RuleBroken, match=f"reads memory 0x{DATA:010x}"):
        made.run(two_buffers().load(1).end())


@pytest.mark.parametrize(
    ("add", "sentence"),
    [
        (
            lambda it: it.add(Opcode.LAYOUT, src_cb=1, cb=2, count0=64, tag=4, **COPY),
            r"layout \(tag 4\) on MLU, reads local memory 0x00020 in CB 1",
        ),
        (
            lambda it: it.do(_program).add(Opcode.SIMD, **_simd(1, 2)),
            r"simd \(tag 8\) on SE, reads local memory 0x00020 in CB 1",
        ),
        (
            lambda it: it.add(
                Opcode.GATHER, index_cb=1, index_need=1, index_adv=1, cb=2, count0=8, stride0=8,
                count1=9, stride1=8, row_pitch=8, mem_addr=DATA, index_limit=1 << 31,
                step_level=5, adv_level=5, need=2, adv=2,
            ),
            r"gather .* on FI_IN_ROW, reads local memory 0x00020 in CB 1",
        ),
    ],
    ids=["layout", "simd", "gather"],
)  # fmt: skip
def test_every_unit_is_policed(add: object, sentence: str) -> None:
    """Would break if a unit's reads were not checked."""
    made = machine()
    made.memory.write(DATA, made.memory.read(DATA, 64) * 0)
    commands = two_buffers().load(1, count0=32)
    assert callable(add)
    add(commands)
    with pytest.raises(RuleBroken, match=sentence):
        made.run(commands.end())


def _program(commands: List) -> None:
    commands.add(Opcode.SE_PROGRAM, a_format=5, out_format=5)


def _simd(a: int, out: int) -> dict[str, int]:
    steps = {f"{p}{n}": 1 for p in ("a_", "") for n in ("step_level", "adv_level", "need", "adv")}
    return {"tag": 8, "count0": 16, "a_cb": a, "cb": out, **steps}


def test_traps_name_unit_command_and_place() -> None:
    """Would break if a trap's sentence lost who trapped, in what, or where in the list."""
    commands = two_buffers().load(1).store(7, tag=77)
    with pytest.raises(FunctionalTrap) as trap:
        machine().run(commands.end())
    assert str(trap.value) == (
        "FI_OUT trapped in dma_out (tag 77): the circular buffer was never set up with a CB"
        " command (CB 7); it is command 3 of the list."
    )
