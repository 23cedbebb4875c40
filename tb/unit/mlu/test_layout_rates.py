# SPDX-License-Identifier: Apache-2.0
"""The rates that the layout unit's page promises, at full size and at the smallest."""

from typing import Any

import cocotb
import pytest

from hw.arch.commands import LayoutOp, LayoutTarget
from tb.common.seeds import bench_parameters, python_rng
from tb.unit.mlu.programs import random_layout
from tb.unit.mlu.setting import LS_LATENCY, MluBench, run_layout_bench

FIRST_WORD = 11
"""Cycles from taking a command to the first word of a copy at `ls_out`, less `LS_LATENCY`."""
SHORTEST = 7
"""Cycles from one command to the next when they have fewer words."""


def whole(count: int, **more: int) -> dict[str, int]:
    """A command whose operands are one step each."""
    return {"count0": count, "src_step_level": 5, "step_level": 5, **more}


def first_word() -> int:
    """Cycles from taking a command to the first word of a copy."""
    return FIRST_WORD + LS_LATENCY[bench_parameters()["size"]]


def per_cycle(cycles: list[int]) -> list[int]:
    """Cycles from each transfer to the next."""
    return [after - before for before, after in zip(cycles, cycles[1:], strict=False)]


@cocotb.test()
async def transposition_reads_and_writes_a_word_every_cycle(dut: Any) -> None:
    """Blocks of INT8, FP16 and every other element follow each other without a single bubble."""
    bench = MluBench(dut)
    await bench.bench.start()
    word = bench.word_bytes
    for element in (1, 2, 0, 3):
        n_before = len(bench.local.reads.items)
        rows = 2 * word >> element
        n_blocks = min(20, bench.buffers[5].depth * 64 // (word * rows))
        block = word * rows
        bench.send(
            **whole(rows, count1=n_blocks, src_stride1=block, stride1=block),
            src_stride0=word,
            stride0=word,
            operation=LayoutOp.TRANSPOSE,
            element=element,
        )
        await bench.finish()
        for moved in (bench.local.reads, bench.local.writes):
            cycles = moved.cycles[n_before:]
            assert len(cycles) == n_blocks * rows
            assert set(per_cycle(cycles)) == {1}, f"element {element}"
        start = bench.local.writes.cycles[n_before] - bench.commands.cycles[-1]
        assert start == first_word() + 1 + rows, f"element {element}: {start}"


@cocotb.test()
async def a_copied_run_takes_its_words_and_at_most_one_cycle_more(dut: Any) -> None:
    """At every alignment: destination words, plus 1 if the first needs two source words."""
    bench = MluBench(dut)
    await bench.bench.start()
    word, n_runs, rng = bench.word_bytes, 6, python_rng("alignments")
    pairs = [(s, d) for s in range(word) for d in range(word)]
    for source, target in pairs if word < 8 else rng.sample(pairs, 40):
        length = rng.randint(4 * word, 7 * word)
        n_words = -(-(target + length) // word)
        first = len(bench.local.writes.items)
        bench.send(
            **whole(length, count1=n_runs, src_stride1=16 * word, stride1=16 * word),
            src_offset=source,
            offset=target,
            src_stride0=word,
            stride0=word,
        )
        await bench.finish()
        cycles = bench.local.writes.cycles[first:]
        late = source > target
        assert len(cycles) == n_runs * n_words
        assert cycles[-1] - cycles[0] + 1 == n_runs * n_words + (n_runs - 1) * late
        taken = bench.commands.cycles[-1]
        assert cycles[0] - taken == first_word() + late


@cocotb.test()
async def short_runs_come_one_a_cycle(dut: Any) -> None:
    """Pieces inside a word cost a cycle each, whatever their place."""
    bench = MluBench(dut)
    await bench.bench.start()
    word = bench.word_bytes
    bench.send(
        **whole(3, count1=50, count2=3, src_stride1=2 * word, stride1=word),
        src_stride2=-word,
        src_offset=3 * word,
        stride2=50 * word,
        offset=1,
    )
    await bench.finish()
    assert set(per_cycle(bench.local.writes.cycles)) == {1}


@cocotb.test()
async def diagonals_fills_and_operands_give_a_word_every_cycle(dut: Any) -> None:
    """One source word becomes many; a fill needs none; the engine gets a word each cycle too."""
    bench = MluBench(dut)
    await bench.bench.start()
    word = bench.word_bytes
    common = {"src_stride0": word, "stride0": word, "src_stride1": word, "stride1": 2 * word * word}
    bench.send(
        **whole(word // 2, count1=4, operation=LayoutOp.DIAGONAL, element=2),
        **common,
        out_level=7,
        out_count=word,
    )
    await bench.finish()
    cycles = bench.local.writes.cycles
    assert len(cycles) == 4 * word and set(per_cycle(cycles)) == {1}
    n_before = len(cycles)
    bench.send(**whole(100 * word, operation=LayoutOp.FILL, value=7), stride0=word)
    await bench.finish()
    assert len(cycles) == n_before + 100 and set(per_cycle(cycles[n_before:])) == {1}
    for operation in (LayoutOp.COPY, LayoutOp.TRANSPOSE, LayoutOp.DIAGONAL):
        bench.send(
            **whole(word, count1=6, operation=operation, element=1, target=LayoutTarget.DPE_B),
            **common,
        )
        sent = bench.to_dpe[LayoutTarget.DPE_B].cycles
        n_before = len(sent)
        await bench.finish()
        assert set(per_cycle(sent[n_before:])) == {1}, operation


@cocotb.test()
async def commands_follow_each_other_without_a_gap(dut: Any) -> None:
    """The next one is read while one is written; only very short ones wait for the start."""
    bench = MluBench(dut)
    await bench.bench.start()
    word = bench.word_bytes
    cycles = bench.local.writes.cycles
    for n_words, distance in ((20, 1), (SHORTEST, 1), (1, SHORTEST)):
        n_before = len(cycles)
        for _ in range(4):
            bench.send(**whole(n_words * word), src_stride0=word, stride0=word)
        await bench.finish()
        assert set(per_cycle(cycles[n_before:])) == {distance}, n_words


@cocotb.test()
async def random_programs_equal_the_golden_model(dut: Any) -> None:
    """Words of this size too."""
    bench = MluBench(dut)
    await bench.bench.start()
    rng = python_rng("program")
    for _ in range(bench_parameters()["commands"]):
        bench.send(**random_layout(rng, bench))
    await bench.finish(200_000)


@pytest.mark.parametrize("size, commands", (("full", 25), ("narrow", 40)))
def test_rates(size: str, commands: int) -> None:
    """Rates do not depend on the size of a word."""
    run_layout_bench(size, __name__, commands=commands)
