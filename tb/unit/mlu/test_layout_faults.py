# SPDX-License-Identifier: Apache-2.0
"""The layout unit when something is wrong, missing, halted or reset; and its circular buffers."""

from typing import Any

import cocotb
import numpy as np
import pytest

from hw.arch.commands import COMMANDS, LayoutOp, LayoutTarget, Opcode
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.pe.mlu import MemoryLayoutUnit
from tb.common.cb_table import CbState
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import bursts, sometimes
from tb.unit.mlu.programs import random_layout
from tb.unit.mlu.setting import SOURCE_CB, TARGET_CB, MluBench, run_layout_bench

WORD = 8


async def trapped(bench: MluBench, cause: Trap, info: int, tag: int) -> None:
    """The unit traps so, settles, completes nothing more, and is as new after a reset."""
    await bench.bench.until(lambda: bench.trap()["valid"], 300)
    trap = bench.trap()
    assert (trap["cause"], trap["info"], trap["tag"]) == (cause, info, tag)
    assert trap["opcode"] == Opcode.LAYOUT
    await bench.bench.until(lambda: bench.idle, 100)
    assert bench.status()["state"] == State.HALTED
    n_done = len(bench.completions.items)
    await bench.bench.wait(40)
    assert len(bench.completions.items) == n_done
    await bench.bench.reset()
    await bench.bench.wait(1)
    assert not bench.trap()["valid"]


@cocotb.test()
async def impossible_fields_trap(dut: Any) -> None:
    """Each one names its bit; nothing is read or written."""
    bench = MluBench(dut)
    await bench.bench.start()
    cases = (
        ("count0", {"operation": LayoutOp.TRANSPOSE, "element": 2, "count0": 5}),
        ("count0", {"operation": LayoutOp.DIAGONAL, "element": 0, "count0": 17}),
        ("target", {"target": 3}),
        ("target", {"operation": LayoutOp.FILL, "target": LayoutTarget.DPE_A}),
        ("out_count", {"operation": LayoutOp.TRANSPOSE, "element": 3, "out_count": 3}),
        ("tail_count", {"operation": LayoutOp.DIAGONAL, "element": 1, "tail_count": 9}),
    )
    for tag, (name, fields) in enumerate(cases):
        bench.send(**fields, tag=tag)
        await trapped(bench, Trap.ILLEGAL_FIELD, COMMANDS[Opcode.LAYOUT].field(name).offset, tag)
        assert not bench.local.reads.items and not bench.local.writes.items


@cocotb.test()
async def places_outside_trap(dut: Any) -> None:
    """A run beyond its buffer on either side, and a buffer that ends behind local memory."""
    bench = MluBench(dut)
    await bench.bench.start()
    common = {"count0": 20, "src_stride0": WORD, "stride0": WORD, "step_level": 5}
    for tag, (name, cb) in enumerate((("src_offset", SOURCE_CB), ("offset", TARGET_CB))):
        size = 64 * bench.buffers[cb].depth
        fields = common | {"count1": 5, name: size - 1, "src_stride1": 1, "stride1": 1}
        bench.send_wrong(**fields, tag=tag)
        await trapped(bench, Trap.LS_RANGE, cb, tag)
    for tag, (cb, field) in enumerate(((SOURCE_CB, "src_cb"), (TARGET_CB, "cb")), 5):
        whole = len(bench.local.data) // 64
        other = cb ^ 63  # every bit of a buffer's number is seen in both values
        bench.buffers[other] = CbState(base=whole - 3, depth=4)
        bench.send_wrong(**{**common, field: other}, tag=tag)
        await trapped(bench, Trap.LS_RANGE, other, tag)


@cocotb.test()
async def wrong_parity_traps_only_in_bytes_that_count(dut: Any) -> None:
    """Bytes beside a run, columns that do not leave, elements beyond the last: no trap."""
    bench = MluBench(dut)
    await bench.bench.start()
    base = 64 * bench.places[SOURCE_CB].base + 64 * bench.places[SOURCE_CB].pointer
    strides = {"src_stride0": WORD, "stride0": WORD}
    bench.local.wrong = {base + 2, base + 21}
    bench.send(count0=18, src_offset=3, offset=6, **strides)
    await bench.finish()
    bench.local.wrong = {base + WORD * row + 5 for row in range(WORD)}
    block = {"count0": WORD, "element": 1, "operation": LayoutOp.TRANSPOSE, **strides}
    bench.send(**block, out_level=7, out_count=5)
    bench.send(count0=5, element=1, operation=LayoutOp.DIAGONAL, **strides)
    await bench.finish()
    bench.local.wrong = {base + 3 * WORD + 5}
    bench.send(**block, out_level=7, out_count=6, tag=77)
    await trapped(bench, Trap.LS_PARITY, base + 3 * WORD, 77)
    bench.local.wrong = {base + 12}
    bench.send(count0=18, src_offset=3, offset=6, **strides, tag=78)
    await trapped(bench, Trap.LS_PARITY, base + WORD, 78)
    assert len(bench.local.writes.items) == 3 + 5 + 8 + 1  # nothing of or behind the bad word


@cocotb.test()
async def halt_in_the_middle_settles_and_a_reset_forgets(dut: Any) -> None:
    """At any moment, under lost grants; afterwards a program runs as on a new unit."""
    bench = MluBench(dut, pauses=lambda: sometimes(0.3), cb_pauses=lambda: sometimes(0.3))
    await bench.bench.start()
    rng = python_rng("halts")
    for number in range(bench_parameters()["halts"]):
        for _ in range(4):
            bench.send(**random_layout(rng, bench, LayoutOp(number % 4)))
        await bench.bench.wait(rng.randint(5, 150))
        if number % 3:
            dut["control__halt"].value = 1
            await bench.bench.until(lambda: bench.idle, 60)
            moved = (len(bench.local.reads.items), len(bench.local.writes.items))
            n_done = len(bench.completions.items)
            await bench.bench.wait(30)
            assert moved == (len(bench.local.reads.items), len(bench.local.writes.items))
            assert n_done == len(bench.completions.items)
        await bench.bench.reset()
        dut["control__halt"].value = 0
        bench.start_again()
        for _ in range(3):
            bench.send(**random_layout(rng, bench))
        await bench.finish()


@cocotb.test()
async def steps_wait_for_data_and_room(dut: Any) -> None:
    """Blocks are read only when committed, written only when there is room; status says so."""
    source = CbState(base=4, depth=32)
    target = CbState(base=80, depth=2)
    bench = MluBench(dut, strict={SOURCE_CB: source, TARGET_CB: target})
    await bench.bench.start()
    bench.send(
        **{"count0": WORD, "count1": 6, "operation": LayoutOp.TRANSPOSE, "element": 1},
        **{"src_stride0": WORD, "src_stride1": 0, "src_step_level": 1, "src_adv_level": 1},
        **{"src_need": 1, "src_adv": 1, "stride0": WORD, "step_level": 1, "adv_level": 1},
        **{"need": 1, "adv": 1},
    )
    await bench.bench.wait(60)
    assert bench.status()["state"] == State.WAIT_CB_DATA and not bench.local.reads.items
    assert bench.status()["cb"] == SOURCE_CB
    source.reserve = source.commit = 3
    await bench.bench.wait(80)
    assert (source.release, target.commit) == (2, 2)  # the third step has no room
    assert len(bench.local.writes.items) == 2 * WORD
    assert bench.status()["state"] == State.WAIT_CB_ROOM and bench.status()["cb"] == TARGET_CB
    for unit in range(2, 6):
        source.reserve = source.commit = max(source.commit, unit + 1)
        target.claim = target.release = unit - 1
        await bench.bench.wait(60)
        assert target.commit == unit + 1
    await bench.bench.until(lambda: bench.idle, 60)
    assert bench.status()["steps"] == 12
    block = [bench.local.data[64 * unit : 64 * (unit + 1)].reshape(8, 8) for unit in range(200)]
    assert np.array_equal(block[target.base], block[source.base + 4].T)
    assert np.array_equal(block[target.base + 1], block[source.base + 5].T)


@cocotb.test()
async def status_names_who_is_waited_for(dut: Any) -> None:
    """Local memory that grants nothing, and an engine that takes nothing."""
    never = lambda: lambda rng: True  # noqa: E731
    bench = MluBench(dut, pauses=never)
    await bench.bench.start()
    strides = {"src_stride0": WORD, "stride0": WORD}
    bench.send(count0=64, **strides)
    await bench.bench.wait(30)
    assert bench.status()["state"] == State.WAIT_LS and not bench.idle
    await bench.bench.reset()
    bench.local.reads._pauses = lambda rng: False
    bench.send(count0=64, target=LayoutTarget.DPE_A, tag=9, **strides)
    await bench.bench.wait(40)
    status = bench.status()
    assert (status["state"], status["tag"]) == (State.WAIT_NEIGHBOUR, 9)
    assert status["opcode"] == Opcode.LAYOUT
    dut["control__halt"].value = 1  # a word that nobody takes does not keep it from settling
    await bench.bench.until(lambda: bench.idle, 20)


@cocotb.test()
async def the_clock_stops_with_the_last_report(dut: Any) -> None:
    """An idle unit's clock stands still, and starts with the next command."""
    bench = MluBench(dut, pauses=bursts)
    await bench.bench.start()
    gate = dut["core"]["gate"]["open"]
    strides = {"src_stride0": WORD, "stride0": WORD}
    for _ in range(3):
        bench.send(count0=64, **strides)
        await bench.bench.until(lambda: not bench.idle, 20)
        assert int(gate.value)
        await bench.finish()
        await bench.bench.wait(3)
        assert not int(gate.value)


def test_faults() -> None:
    """Traps, halts, resets, waits, clocks on the small member."""
    run_layout_bench("tiny", __name__, halts=24)


def test_wrong_sizes_are_refused() -> None:
    """Words and addresses that cannot be built."""
    with pytest.raises(ValueError, match="word_bytes must be a power of two from 4 to 64, not 12"):
        MemoryLayoutUnit(word_bytes=12, address_width=8)
    with pytest.raises(ValueError, match="address_width must be from 1 to 14 bits for words of 32"):
        MemoryLayoutUnit(word_bytes=32, address_width=15)
