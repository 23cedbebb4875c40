# SPDX-License-Identifier: Apache-2.0
"""The host's DMA engine between two memories: every byte, both ways, under late, mixed answers."""

from typing import Any

import cocotb
import pytest

from hw.arch.dma import DmaCause
from hw.chip.dma_engine import DmaEngine
from tb.common.memory import MemoryModel
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench

LINE, SLOTS, SIZE = 16, 8, 4096
TO_CHIP, TO_HOST = 0, 1


class Device:
    """The engine between the chip's memory and the host's."""

    def __init__(
        self, dut: Any, pauses: str = "none", *, shuffle: bool = True, **model: Any
    ) -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("dma engine")
        _, sink = BACK_PRESSURE[pauses]
        self.chip, self.host = (
            MemoryModel(
                self.bench, name, link_bytes=LINE, tag_width=(SLOTS - 1).bit_length(), size=SIZE,
                read=f"{name}_read", write=f"{name}_write", pauses=sink(), shuffle=shuffle, **model,
            )
            for name in ("chip", "host")
        )  # fmt: skip
        for name in ("start", "abort", "to_host", "source", "target", "n_bytes"):
            dut[f"control__{name}"].value = 0

    def ends(self, to_host: int) -> tuple[MemoryModel, MemoryModel]:
        """Where bytes come from, and where they go."""
        return (self.chip, self.host) if to_host else (self.host, self.chip)

    async def start(self, to_host: int, source: int, target: int, n_bytes: int) -> None:
        """Begin a transfer."""
        values = {"to_host": to_host, "source": source, "target": target, "n_bytes": n_bytes}
        for name, value in values.items():
            self.dut[f"control__{name}"].value = value
        self.dut["control__start"].value = 1
        await self.bench.wait(1)
        self.dut["control__start"].value = 0
        await self.bench.wait(1)

    async def copy(self, to_host: int, source: int, target: int, n_bytes: int) -> DmaCause:
        """A transfer to its end."""
        await self.start(to_host, source, target, n_bytes)
        assert int(self.dut["control__busy"].value)
        await self.bench.until(lambda: not int(self.dut["control__busy"].value))
        return DmaCause(int(self.dut["control__cause"].value))

    async def abort(self) -> None:
        """Have what runs end."""
        self.dut["control__abort"].value = 1
        await self.bench.wait(1)
        self.dut["control__abort"].value = 0
        await self.bench.wait(1)

    def place(self, n_bytes: int) -> int:
        """A random line with so many bytes behind it."""
        return self.rng.randrange((SIZE - n_bytes) // LINE + 1) * LINE


@cocotb.test()
async def bytes_arrive_and_nothing_else_changes(dut: Any) -> None:
    """Random transfers of few and many bytes; would break if a line went where another one was to
    go, or the last one were written whole."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    sizes = [1, LINE - 1, LINE, LINE + 1, LINE * SLOTS, LINE * (SLOTS + 1) + 3]
    for n_bytes in [*sizes, *(device.rng.randint(1, 900) for _ in range(24))]:
        to_host = device.rng.getrandbits(1)
        source, target = device.place(n_bytes), device.place(n_bytes)
        origin, goal = device.ends(to_host)
        expected = bytearray(goal.data)
        expected[target : target + n_bytes] = origin.data[source : source + n_bytes]
        before = bytes(origin.data)
        n_read = len(origin.reads)
        assert await device.copy(to_host, source, target, n_bytes) is DmaCause.NONE
        assert goal.data == expected and origin.data == before
        assert len(origin.reads) - n_read == -(-n_bytes // LINE)


@cocotb.test()
async def errors_end_a_transfer_and_store_nothing_wrong(dut: Any) -> None:
    """A line that cannot be read is not written; the cause is that of the side that failed; the
    engine is usable afterwards."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    n_bytes, at = 30 * LINE, 7 * LINE
    for to_host in (TO_CHIP, TO_HOST):
        origin, goal = device.ends(to_host)
        of_read, of_write = DmaCause.HOST_MEMORY, DmaCause.CHIP_MEMORY
        if to_host:
            of_read, of_write = of_write, of_read
        for model, kind, cause in (
            (origin, "bad", of_read),
            (origin, "poisoned", DmaCause.POISON),
            (goal, "bad", of_write),
        ):
            getattr(model, kind).add(at)
            before = bytes(goal.data)
            assert await device.copy(to_host, 0, 0, n_bytes) is cause
            for line in range(0, n_bytes, LINE):
                found, old, new = (
                    bytes(each[line : line + LINE]) for each in (goal.data, before, origin.data)
                )
                assert found == old or (found == new and line != at)
            getattr(model, kind).clear()
            assert await device.copy(to_host, 0, 0, n_bytes) is DmaCause.NONE
            assert goal.data[:n_bytes] == origin.data[:n_bytes]


@cocotb.test()
async def an_abort_ends_a_transfer_that_waits(dut: Any) -> None:
    """A memory does not answer for a while: nothing more is asked for, the engine is busy until the
    answers are there, and lines that come then are not written; the next transfer is right. Would
    break if a slot were used again before its answer, or late lines changed memory."""
    device, n_bytes = Device(dut, bench_parameters()["back_pressure"]), 40 * LINE
    await device.bench.start()
    for to_host in (TO_CHIP, TO_HOST):
        for silent in (0, 1):
            origin, goal = ends = device.ends(to_host)
            ends[silent].may_answer = lambda _: False
            await device.start(to_host, 0, 0, n_bytes)
            await device.bench.wait(150)
            await device.abort()
            await device.bench.wait(150)
            n_asked = len(origin.reads), len(goal.writes)
            before = bytes(goal.data)
            assert int(dut["control__busy"].value)
            assert DmaCause(int(dut["control__cause"].value)) is DmaCause.ABORTED
            ends[silent].may_answer = lambda _: True
            await device.bench.until(lambda: not int(dut["control__busy"].value))
            assert DmaCause(int(dut["control__cause"].value)) is DmaCause.ABORTED
            if ends[silent] is origin:
                assert goal.data == before and len(goal.writes) == n_asked[1]
                assert len(origin.reads) <= n_asked[0] + SLOTS
            else:
                assert len(origin.reads) == n_asked[0] and len(goal.writes) <= n_asked[1] + SLOTS
            assert await device.copy(to_host, 64, 128, n_bytes) is DmaCause.NONE
            assert goal.data[128 : 128 + n_bytes] == origin.data[64 : 64 + n_bytes]


@cocotb.test()
async def an_abort_may_come_at_any_time(dut: Any) -> None:
    """Each line is written or not; one that comes when nothing runs changes nothing."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    causes = set()
    for number in range(40):
        to_host, n_bytes = device.rng.getrandbits(1), 16 * LINE
        source, target = device.place(n_bytes), device.place(n_bytes)
        origin, goal = device.ends(to_host)
        before = bytes(goal.data)
        await device.start(to_host, source, target, n_bytes)
        await device.bench.wait(1 + 5 * number)
        await device.abort()
        await device.bench.until(lambda: not int(dut["control__busy"].value))
        causes.add(cause := DmaCause(int(dut["control__cause"].value)))
        for line in range(0, SIZE, LINE):
            found, old = bytes(goal.data[line : line + LINE]), before[line : line + LINE]
            at = source + line - target
            new = old
            if target <= line < target + n_bytes:
                new = bytes(origin.data[at : at + LINE])
            assert found == new or (found == old and cause is DmaCause.ABORTED)
    assert causes == {DmaCause.NONE, DmaCause.ABORTED}


@cocotb.test()
async def what_cannot_be_is_refused(dut: Any) -> None:
    """Misaligned ends and no bytes: nothing is asked for."""
    device = Device(dut)
    await device.bench.start()
    for source, target, n_bytes in ((8, 0, 16), (0, 1, 16), (0, 0, 0)):
        assert await device.copy(TO_CHIP, source, target, n_bytes) is DmaCause.MISALIGNED
    assert not device.host.reads and not device.chip.writes


@cocotb.test()
async def a_line_moves_in_every_cycle(dut: Any) -> None:
    """With slots for the latency of both memories; fewer give slots per latency."""
    latency, n_lines = bench_parameters()["latency"], 200
    device = Device(dut, shuffle=False, latency=latency)
    await device.bench.start()
    for to_host in (TO_CHIP, TO_HOST):
        await device.start(to_host, 0, 0, n_lines * LINE)
        cycles = await device.bench.until(lambda: not int(dut["control__busy"].value))
        # A slot is taken for: request 1, both latencies, 2 from a line to its write, and 2 until
        # the next request sees that it is free.
        per_line = max(1, (2 * latency + 9) / SLOTS)
        assert n_lines * per_line * 0.7 <= cycles <= n_lines * per_line + 2 * latency + 20


@cocotb.test()
async def reset_in_the_middle_ends_the_transfer(dut: Any) -> None:
    """Nothing is asked for afterwards; the next one is right."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    await device.start(TO_CHIP, 0, 0, 2000)
    await device.bench.wait(25)
    await device.bench.reset()
    assert not int(dut["control__busy"].value)
    n_read = len(device.host.reads)
    await device.bench.wait(30)
    assert len(device.host.reads) == n_read
    assert await device.copy(TO_CHIP, 0, 64, 500) is DmaCause.NONE
    assert device.chip.data[64:564] == device.host.data[:500]


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_dma_engine(back_pressure: str) -> None:
    """Under one kind of pauses."""
    run_bench(
        DmaEngine(link_bytes=LINE, slots=SLOTS),
        name="dma_engine",
        test_module=__name__,
        parameters={
            "back_pressure": back_pressure,
            "latency": 2 if back_pressure == "none" else 12,
        },
        testcase=None
        if back_pressure == "none"
        else "bytes_arrive_and_nothing_else_changes,"
        "errors_end_a_transfer_and_store_nothing_wrong,an_abort_ends_a_transfer_that_waits,"
        "an_abort_may_come_at_any_time,a_line_moves_in_every_cycle",
    )


@pytest.mark.parametrize("slots", [0, 1, 12])
def test_slots_are_a_power_of_two(slots: int) -> None:
    """Otherwise a tag would name no slot."""
    with pytest.raises(ValueError, match="power of two from 2"):
        DmaEngine(link_bytes=LINE, slots=slots)
