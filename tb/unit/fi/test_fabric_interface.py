# SPDX-License-Identifier: Apache-2.0
"""The fabric interface against byte-by-byte copies, all three engines at once."""

import random
from typing import Any

import cocotb
import pytest

from hw.arch.commands import NEVER
from sim.golden.address import Nest
from sim.golden.dma import Dma
from sim.golden.indexed import Indexed
from tb.common.cb_table import CbState
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import always, bursts, sometimes
from tb.unit.fi.programs import Region, random_dma, random_indexed
from tb.unit.fi.setting import (
    ENGINES,
    MEMORY_BASE,
    MEMORY_SIZE,
    SIZES,
    Engine,
    Setting,
    fabric_interface,
    random_buffers,
)

PAUSES = {"none": always, "some": lambda: sometimes(0.3), "bursts": bursts}
HALF = MEMORY_SIZE // 2


def check_memories(setting: Setting, touched: set[int], before: bytes) -> None:
    """Memory holds what was expected, and no byte of local memory that was not meant changed."""
    pairs = enumerate(zip(setting.memory.data, setting.expected, strict=True))
    wrong = [
        f"{at:#x}: {found:#x} not {wanted:#x}" for at, (found, wanted) in pairs if found != wanted
    ]
    assert not wrong, f"{len(wrong)} bytes of memory differ: {', '.join(wrong[:8])}"
    for at, (old, new) in enumerate(zip(before, setting.local.data, strict=True)):
        assert old == new or at in touched, f"local byte {at} was not to be written"


def plain(
    length: int,
    address: int,
    *,
    offset: int = 0,
    rows: int = 1,
    pitch: int = 0,
    cb: int = 0,
    zero_fill: bool = False,
    word_bytes: int = 8,
    row_bytes: int = 0,
) -> Dma:
    """`rows` contiguous runs in one step, one behind the other in local memory."""
    nest = Nest(
        counts=(length, rows, 1, 1, 1),
        strides=(word_bytes, row_bytes, 0, 0, 0),
        offset=offset,
        cb=cb,
        step_level=2,
        adv_level=2,
        need=1,
        adv=1,
    )
    return Dma(nest=nest, mem_addr=address, mem_strides=(pitch, 0, 0, 0), zero_fill=zero_fill)


def random_job(
    rng: random.Random, engine: Engine, **places: Any
) -> tuple[Dma | Indexed, list[int]]:
    """A command with or without an index list."""
    if not engine.lists or rng.random() < 0.4:
        return random_dma(rng, **places), []
    index_cb, state = next(iter(engine.lists.items()))
    return random_indexed(rng, **places, index_cb=index_cb, index_depth=state.depth)


@cocotb.test()
async def random_programs_equal_byte_copies(dut: Any) -> None:
    """Three engines run random commands at once; every byte and every guard byte is right."""
    rng = python_rng("program")
    pauses = PAUSES[bench_parameters()["pauses"]]
    buffers = random_buffers(rng, SIZES["tiny"]["ls_bytes"])
    setting = Setting(dut, buffers=buffers, pauses=pauses)
    await setting.bench.start()
    before, touched = bytes(setting.local.data), set()
    regions = {
        True: Region(base=MEMORY_BASE + HALF, size=HALF),
        False: Region(base=MEMORY_BASE, size=HALF),
    }
    tag = 0
    for _ in range(bench_parameters()["rounds"]):
        # A round ends with everything complete: the next one may use the same bytes again.
        for name, engine in setting.engines.items():
            region = regions[engine.is_out]
            part = region.size // 3
            fixed = set()  # buffers whose pointer a command of this round leaves alone
            for number in range(3):
                cb = rng.choice(list(buffers[name]))
                if cb in fixed:
                    continue
                own = Region(base=region.base + number * part, size=part)
                job, indices = random_job(
                    rng,
                    engine,
                    cb=cb,
                    depth=buffers[name][cb].depth,
                    word_bytes=setting.word_bytes,
                    region=own if engine.is_out else region,
                    writes=engine.is_out,
                )
                if job.nest.adv_level == NEVER:
                    fixed.add(cb)
                engine.send(job, tag, indices)
                tag += 1
        for engine in setting.engines.values():
            await engine.done()
    for states in buffers.values():  # those of fi_out, and lists, the bench itself fills
        for state in states.values():
            touched |= set(range(64 * state.base, 64 * (state.base + state.depth)))
    check_memories(setting, touched, before)
    await setting.bench.wait(4)
    for name in ENGINES:
        assert setting.idle(name)


@cocotb.test()
async def every_alignment_lands_exactly(dut: Any) -> None:
    """Each memory offset with each local offset, short and long, touches its bytes and no other."""
    setting = Setting(dut, buffers={"fi_in_row": {1: CbState(base=3, depth=4)}}, eager=True)
    await setting.bench.start()
    engine = setting.engines["fi_in_row"]
    link, word = setting.link_bytes, setting.word_bytes
    for address in range(link):
        for offset in range(word):
            length = (1, word - 1, word, link - 1, link, link + 1, 3 * link)[(address + offset) % 7]
            fill = bool((address ^ offset) & 1)
            before = bytes(setting.local.data)
            pointer = setting.engines["fi_in_row"].table.buffers[1].reserve % 4
            dma = plain(length, MEMORY_BASE + 64 + address, offset=offset, cb=1, zero_fill=fill)
            engine.send(dma, 0)
            await engine.done()
            end = offset + length
            end += -end % word if fill else 0
            touched = {192 + (64 * pointer + at) % 256 for at in range(offset, end)}
            check_memories(setting, touched, before)


@cocotb.test()
async def every_alignment_leaves_exactly(dut: Any) -> None:
    """Each local offset with each memory offset writes its bytes and no other."""
    state = CbState(base=3, depth=4, reserve=4, commit=4)
    setting = Setting(dut, buffers={"fi_out": {1: state}}, eager=True)
    await setting.bench.start()
    engine = setting.engines["fi_out"]
    link, word = setting.link_bytes, setting.word_bytes
    for address in range(link):
        for offset in range(word):
            length = (1, word - 1, word, link - 1, link, link + 1, 3 * link)[(address + offset) % 7]
            engine.send(plain(length, MEMORY_BASE + 64 + address, offset=offset, cb=1), 0)
            await engine.done()
            assert setting.memory.data == setting.expected


@pytest.mark.parametrize("pauses", PAUSES)
def test_random_programs(pauses: str) -> None:
    """Random commands, out-of-order answers, with and without lost grants and slow partners."""
    run_bench(
        fabric_interface("tiny"),
        name="fabric_interface_tiny",
        test_module=__name__,
        parameters={"pauses": pauses, "rounds": 12},
        testcase="random_programs_equal_byte_copies",
    )


def test_alignments() -> None:
    """All pairs of alignments, both ways."""
    run_bench(
        fabric_interface("tiny"),
        name="fabric_interface_tiny",
        test_module=__name__,
        testcase="every_alignment_lands_exactly,every_alignment_leaves_exactly",
    )
