# SPDX-License-Identifier: Apache-2.0
"""Faults, halt and reset of the fabric interface, and what it says meanwhile."""

import random
from dataclasses import replace
from typing import Any

import cocotb
import pytest

from hw.arch.commands import Opcode
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.pe.fi import FabricInterface
from hw.pe.fi.shaper import Shaper
from hw.pe.fi.tag_pool import TagPool
from hw.pe.fi.tracker import LineTracker
from sim.golden.address import Nest
from sim.golden.dma import Dma
from tb.common.cb_table import CbState
from tb.common.runner import run_bench
from tb.common.stream import sometimes
from tb.unit.fi.setting import ENGINES, MEMORY_BASE, SIZES, Setting, fabric_interface

OUT = MEMORY_BASE + 0x8000


def rows(cb: int, *, address: int = MEMORY_BASE, n_rows: int = 8, offset: int = 0) -> Dma:
    """Rows of 64 bytes, each a step that moves the pointer by one unit."""
    nest = Nest(
        counts=(64, n_rows, 1, 1, 1),
        strides=(8, 0, 0, 0, 0),
        offset=offset,
        cb=cb,
        step_level=1,
        adv_level=1,
        need=1 + (offset > 0),
        adv=1,
    )
    return Dma(nest=nest, mem_addr=address, mem_strides=(64, 0, 0, 0))


def make(dut: Any, **options: Any) -> Setting:
    """One buffer for each engine."""
    buffers = {
        "fi_in_row": {1: CbState(base=0, depth=4)},
        "fi_in_col": {2: CbState(base=8, depth=4)},
        "fi_out": {3: CbState(base=16, depth=4, reserve=4, commit=4)},
    }
    return Setting(dut, buffers=buffers, **options)


async def quiet(setting: Setting, *names: str) -> None:
    """Wait until these engines are idle; afterwards they neither send nor land anything."""

    def traffic() -> list[int]:
        counts = []
        if {"fi_in_row", "fi_in_col"} <= set(names):
            counts += [len(setting.memory.reads), setting.local.n_writes]
        if "fi_out" in names:
            counts.append(len(setting.memory.writes))
        return counts

    await setting.bench.until(lambda: all(setting.idle(name) for name in names), 500)
    before = traffic()
    await setting.bench.wait(40)
    assert all(setting.idle(name) for name in names)
    assert before == traffic()


async def trapped(setting: Setting, name: str, cause: Trap, info: int) -> None:
    """The engine shows this trap, completes nothing, and turns idle."""
    await setting.bench.until(lambda: setting.trap(name)["valid"], 1000)
    trap = setting.trap(name)
    opcode = Opcode.DMA_OUT if name == "fi_out" else Opcode.DMA_IN
    assert trap == {"valid": 1, "cause": cause, "opcode": opcode, "tag": 77, "info": info}
    await quiet(setting, name)
    assert not setting.engines[name].completions.items
    assert setting.status(name)["state"] == State.HALTED
    assert setting.trap(name) == trap


@cocotb.test()
async def read_faults_trap(dut: Any) -> None:
    """A refused and a poisoned read trap their own engine with the address; the other goes on."""
    for mark, cause in (("bad", Trap.MEMORY_ERROR), ("poisoned", Trap.MEMORY_POISON)):
        for name, cb, other, other_cb in (
            ("fi_in_row", 1, "fi_in_col", 2),
            ("fi_in_col", 2, "fi_in_row", 1),
        ):
            setting = make(dut)
            await setting.bench.start()
            address = MEMORY_BASE + 0x400 + 3 * 16
            getattr(setting.memory, mark).add(address)
            setting.engines[name].send(rows(cb, address=MEMORY_BASE + 0x400), 77)
            setting.engines[other].send(rows(other_cb), 5)
            await trapped(setting, name, cause, address & 0xFFFF_FFFF)
            await setting.engines[other].done()
            assert not setting.trap(other)["valid"]
            return_to_reset(setting)


def return_to_reset(setting: Setting) -> None:
    """Stop the agents of a setting, since the next one drives the same device."""
    setting.bench._agents.clear()
    setting.bench._probes.clear()


@cocotb.test()
async def refused_write_traps(dut: Any) -> None:
    """A refused write traps with its address."""
    setting = make(dut)
    await setting.bench.start()
    setting.memory.bad.add(OUT + 64)
    setting.engines["fi_out"].send(rows(3, address=OUT), 77)
    await trapped(setting, "fi_out", Trap.MEMORY_ERROR, OUT + 64 & 0xFFFF_FFFF)


@cocotb.test()
async def wrong_parity_traps_when_used(dut: Any) -> None:
    """A wrong byte beside those that are sent harms nobody; a used one traps and is not sent."""
    setting = make(dut)
    await setting.bench.start()
    first = 16 * 64
    setting.local.wrong = {first + 4, first + 5 + 60}
    dma = rows(3, address=OUT + 3, n_rows=1, offset=5)
    short = Dma(nest=replace(dma.nest, counts=(60, 1, 1, 1, 1)), mem_addr=OUT + 3)
    engine = setting.engines["fi_out"]
    engine.send(short, 4)
    await engine.done()
    assert not setting.trap("fi_out")["valid"]
    engine.completions.items.clear()
    engine.tags.clear()
    setting.local.wrong = {first + 64 + 5 + 20}
    before = len(setting.memory.writes)
    engine.send(short, 77)
    # Bytes 13 .. 28 of the run are the second line; it begins in the word of byte 18.
    await trapped(setting, "fi_out", Trap.LS_PARITY, first + 64 + 16)
    assert len(setting.memory.writes) - before <= 1


@cocotb.test()
async def outside_local_memory_traps(dut: Any) -> None:
    """A buffer that ends behind local memory traps, its number the info, and nothing moves."""
    for name in ENGINES:
        setting = make(dut, eager=True)
        setting.engines[name].buffers[9] = CbState(base=254, depth=4, reserve=4, commit=4)
        await setting.bench.start()
        setting.engines[name]._places[9] = _Place()
        setting.engines[name].send(rows(9, address=OUT), 77)
        await trapped(setting, name, Trap.LS_RANGE, 9)
        assert not setting.memory.reads and not setting.memory.writes
        return_to_reset(setting)


def _always(rng: random.Random) -> bool:
    """Pauses without end."""
    return True


def _never() -> bool:
    """Grants nothing any more."""
    return False


class _Place:
    """A buffer for the golden model; what it says is never compared."""

    base, depth, pointer = 0, 4, 0


@cocotb.test()
async def halt_stops_and_turns_idle(dut: Any) -> None:
    """Halt at any moment: nothing new is sent, what is in flight comes back, then idle."""
    for n_cycles in (*range(0, 40, 3), 60):
        setting = make(dut, pauses=lambda: sometimes(0.3))
        await setting.bench.start()
        setting.engines["fi_in_row"].send(rows(1), 1)
        setting.engines["fi_in_col"].send(rows(2), 2)
        setting.engines["fi_out"].send(rows(3, address=OUT), 3)
        await setting.bench.wait(n_cycles)
        for name in ENGINES:
            dut[f"{name}__halt"].value = 1
            setting.engines[name].table._allows = _never  # reports of steps are still taken
        await setting.bench.wait(1)
        n_granted = [len(setting.engines[name].table.acquires) for name in ENGINES]
        n_complete = [len(setting.engines[name].completions.items) for name in ENGINES]
        await quiet(setting, *ENGINES)
        for name in ENGINES:
            assert setting.status(name)["state"] == State.HALTED
        assert n_granted == [len(setting.engines[name].table.acquires) for name in ENGINES]
        assert n_complete == [len(setting.engines[name].completions.items) for name in ENGINES]
        return_to_reset(setting)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset with everything in flight, all engines work as new."""
    for n_cycles in (5, 11, 17, 29, 50):
        setting = make(dut)
        await setting.bench.start()
        for name, cb, address in (("fi_in_row", 1, 0), ("fi_in_col", 2, 0), ("fi_out", 3, 0x8000)):
            setting.engines[name].send(rows(cb, address=MEMORY_BASE + address), 1)
        await setting.bench.wait(n_cycles)
        return_to_reset(setting)
        again = make(dut)
        await again.bench.start(reset_cycles=4)
        for name, cb, address in (("fi_in_row", 1, 0), ("fi_in_col", 2, 0), ("fi_out", 3, 0x8000)):
            again.engines[name].send(rows(cb, address=MEMORY_BASE + address + 3, offset=1), 2)
        for name in ENGINES:
            await again.engines[name].done()
        assert again.memory.data == again.expected
        return_to_reset(again)


@cocotb.test()
async def status_names_the_cause(dut: Any) -> None:
    """Each engine says what it waits for: the buffer, tags, the memory, local memory."""
    setting = make(dut)
    await setting.bench.start()
    for name, cb, state in (
        ("fi_in_row", 1, State.WAIT_CB_ROOM),
        ("fi_out", 3, State.WAIT_CB_DATA),
    ):
        assert setting.status(name)["state"] == State.IDLE
        held = setting.engines[name].buffers[cb]
        held.release = -4 if name != "fi_out" else 0
        held.commit = 0 if name == "fi_out" else held.commit
        setting.engines[name].send(rows(cb, address=OUT), 9)
        await setting.bench.wait(30)
        status = setting.status(name)
        assert (status["state"], status["cb"], status["tag"]) == (state, cb, 9)
    return_to_reset(setting)

    setting = make(dut, eager=True)
    await setting.bench.start()
    setting.memory._streams["read"][0]._pauses = _always
    setting.engines["fi_in_col"].send(rows(2), 9)
    await setting.bench.wait(40)
    assert setting.status("fi_in_col")["state"] == State.WAIT_MEMORY
    setting.memory._streams["read"][0]._pauses = lambda rng: False
    setting.memory._latency = 2000
    await setting.bench.wait(60)
    assert setting.status("fi_in_col")["state"] == State.WAIT_TAGS
    return_to_reset(setting)

    setting = make(dut, eager=True)
    await setting.bench.start()
    for sink in setting.local.reads + setting.local.writes:
        sink._pauses = _always
    setting.engines["fi_in_row"].send(rows(1, n_rows=1), 9)
    setting.engines["fi_out"].send(rows(3, address=OUT), 9)
    await setting.bench.wait(60)
    assert setting.status("fi_in_row")["state"] == State.WAIT_LS
    assert setting.status("fi_out")["state"] == State.WAIT_LS


def test_faults() -> None:
    """Traps, halt, reset and status on the tiny interface."""
    run_bench(fabric_interface("tiny"), name="fabric_interface_tiny", test_module=__name__)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"link_bytes": 48}, "link_bytes must be a power of two from 8 to 128, not 48"),
        ({"ls_bytes": 1000}, "ls_bytes must be a power of two from 512 to 524288, not 1000"),
        ({"reads_in_flight": 2}, "reads_in_flight must be a power of two from 4 to 64, not 2"),
        ({"writes_in_flight": 12}, "writes_in_flight must be a power of two from 4 to 64, not 12"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, int], sentence: str) -> None:
    """Each wrong parameter has its sentence."""
    with pytest.raises(ValueError, match=sentence):
        FabricInterface(**SIZES["tiny"] | change)


def test_tag_pool_refuses_impossible_sizes() -> None:
    """Tags are a power of two, and somebody has to use them."""
    with pytest.raises(ValueError, match="n_tags must be a power of two from 2 to 64, not 3"):
        TagPool(n_tags=3, n_queues=1, entry=1)
    with pytest.raises(ValueError, match="n_queues must be at least 1, not 0"):
        TagPool(n_tags=4, n_queues=0, entry=1)


def test_limits_refuse_impossible_sizes() -> None:
    """A bucket holds a line; somebody has to be tracked."""
    with pytest.raises(ValueError, match="line_bytes must be from 1 to 65535, not 65536"):
        Shaper(line_bytes=1 << 16)
    with pytest.raises(ValueError, match="n_tags must be at least 2, not 1"):
        LineTracker(n_tags=1, line_width=4)
