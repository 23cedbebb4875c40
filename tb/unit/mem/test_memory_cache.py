# SPDX-License-Identifier: Apache-2.0
"""The memory-side cache: transparent, whatever happens; commands and counts as the model says."""

from typing import Any

import cocotb
import pytest

from hw.arch.cache import CacheOp
from hw.mem.cache.shape import CacheShape
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters
from tb.common.stream import BACK_PRESSURE
from tb.unit.mem.cache_device import N_LINES, N_SETS, N_WAYS, CacheDevice, cached_slice


def device(dut: Any, **options: Any) -> CacheDevice:
    """The device that the run is about."""
    parameters = bench_parameters()
    options.setdefault("pauses", parameters["pauses"])
    return CacheDevice(dut, line=parameters["link_bytes"], **options)


@cocotb.test()
async def random_traffic_sees_plain_memory(dut: Any) -> None:
    """Under evictions, commands and changing ways, with DRAM's answers late and out of order."""
    cache = device(dut, latency=20)
    await cache.start()
    cache.remember()
    rng = cache.rng
    tame = [op for op in CacheOp if op is not CacheOp.DROP]
    for n_ways in (0, 1, 8, 3, 0, 2, 8, 0):
        task = cocotb.start_soon(cache.set_ways(n_ways))
        for batch in range(6):
            first, last = sorted((rng.randrange(N_LINES), rng.randrange(N_LINES)))
            few = rng.sample(range(N_LINES), 3)
            lines = (few, list(range(0, N_LINES, N_SETS)), list(range(N_LINES)))[batch % 3]
            if batch % 2:
                await task
                task = cocotb.start_soon(cache.command(rng.choice(tame), first, last))
            await cache.traffic(lines, 64, share_reads=rng.choice((0.2, 0.5, 0.8)))
        await task
    cache.check_memory()
    counts = cache.counts
    assert all(counts.values()), f"{counts}"
    assert cache.lost == cache.failed == 0


@cocotb.test()
async def a_burst_of_accesses_to_one_line_gets_through(dut: Any) -> None:
    """All but the first find it on its way from DRAM and wait for it."""
    cache = device(dut, latency=40)
    await cache.start()
    await cache.set_ways(2)
    cache.remember()
    for line in range(4):
        await cache.traffic([line], 60, share_reads=0.9)
    await cache.command(CacheOp.INVALIDATE)
    cache.check_memory()


async def _apply(cache: CacheDevice, model: Any, n: int, lines: list[int]) -> None:
    """Random single accesses, each compared."""
    for _ in range(n):
        line = cache.rng.choice(lines)
        if cache.rng.random() < 0.5:
            assert await cache.read_data(line) == model.read(line), f"line {line}"
        else:
            data, strobe = cache.rng.randbytes(cache.line), cache.strobe()
            model.write(line, data, strobe)
            await cache.write(line, data, strobe)


@cocotb.test()
async def commands_do_what_the_model_says(dut: Any) -> None:
    """What readers see, what DRAM holds and all counts after flush, invalidate, drop, prefetch."""
    cache = device(dut)
    await cache.start()
    await cache.set_ways(N_WAYS)
    model = cache.model()
    lines = list(range(40, 40 + N_SETS * N_WAYS))  # each has a place of its own
    for _ in range(30):
        await _apply(cache, model, 12, lines)
        first, last = sorted((cache.rng.choice(lines), cache.rng.choice(lines)))
        op = cache.rng.choice(list(CacheOp))
        getattr(model, op.name.lower())(first, last)
        await cache.command(op, first, last)
        assert cache.dram.data == model.memory, op.name
        if op is CacheOp.DROP:
            for line in range(first, last + 1):
                assert await cache.read_data(line) == model.read(line), f"line {line}"
    expected = (model.hits, model.misses, model.writebacks, model.prefetches)
    assert tuple(cache.counts.values()) == expected


@cocotb.test()
async def a_command_means_its_lines_only(dut: Any) -> None:
    """The first and the last line of a range are in it, their neighbours are not."""
    cache = device(dut)
    await cache.start()
    await cache.set_ways(N_WAYS)
    before = bytes(cache.dram.data)
    marks = {line: cache.rng.randbytes(cache.line) for line in range(60, 76)}
    for first, last in ((62, 71), (63, 63), (64, 70)):
        for line, mark in marks.items():
            await cache.write(line, mark, cache.full)
        await cache.command(CacheOp.DROP, first, last)
        for line, mark in marks.items():
            old = before[line * cache.line : (line + 1) * cache.line]
            expected = old if first <= line <= last else mark
            assert await cache.read_data(line) == expected, f"line {line}"
    await cache.command(CacheOp.FLUSH, 1, 0)  # no line
    assert cache.dram.data == before


@cocotb.test()
async def a_flush_ends_although_writes_go_on(dut: Any) -> None:
    """To the lines of a set, faster than they can be flushed."""
    cache = device(dut, latency=30)
    await cache.start()
    await cache.set_ways(4)
    for line in range(0, 3 * N_SETS, N_SETS):
        await cache.write(line, bytes(cache.line), cache.full)
    for number in range(1500):
        cache.send_write(number % 3 * N_SETS, bytes([number & 0xFF]) * cache.line, 0xFF)
    await cache.bench.wait(20)
    await cache.command(CacheOp.FLUSH)
    assert len(cache.acks.items) < 1500, "the flush was not tried while writes went on"
    await cache.writes.drained()


@cocotb.test()
async def without_ways_accesses_pass_by(dut: Any) -> None:
    """In the same cycle there and back, and nothing is counted."""
    cache = device(dut, pauses="none", shuffle=False)
    await cache.start()
    for line in range(20):
        cache.send_read(line, line)
    answers = await cache.answers.receive(20)
    assert cache.asked.cycles == cache.reads.cycles
    assert [a["data"].to_bytes(cache.line, "little") for a in answers] == [
        cache.dram.data[line * cache.line : (line + 1) * cache.line] for line in range(20)
    ]
    assert cache.answers.cycles[-1] - cache.reads.cycles[-1] == 7  # of the memory alone
    mark = cache.rng.randbytes(cache.line)
    await cache.write(5, mark, 0b111)
    assert cache.dram.data[5 * cache.line : 5 * cache.line + 3] == mark[:3]
    assert not any(cache.counts.values())
    assert await cache.command(CacheOp.PREFETCH) <= 1  # there is nowhere to put it


@cocotb.test()
async def latencies_and_rates_are_those_of_the_page(dut: Any) -> None:
    """Of a hit, a miss, hits in a row, and a stream of misses."""
    cache = device(dut, pauses="none", shuffle=False, latency=60)
    await cache.start()
    await cache.set_ways(N_WAYS)
    n = N_SETS * N_WAYS
    past = 60 + 1  # of the memory alone
    await cache.read(0)
    assert cache.answers.cycles[-1] - cache.reads.cycles[-1] == past + 4
    await cache.read(0)
    assert cache.answers.cycles[-1] - cache.reads.cycles[-1] == 2 + 4
    await cache.write(0, bytes(cache.line), cache.full)
    assert cache.acks.cycles[-1] - cache.writes.cycles[-1] == 3
    await cache.command(CacheOp.DROP)
    took = await cache.command(CacheOp.FLUSH)
    assert 3 * N_SETS - 3 <= took <= 3 * N_SETS + 3, f"{took} cycles for {N_SETS} sets"
    for line in range(n):
        cache.send_read(line, line)
    await cache.answers.receive(n)
    took = cache.answers.cycles[-1] - cache.reads.cycles[-n]
    rounds = n // cache.slots
    assert took <= rounds * (past + 6) + n, f"{took} cycles for {n} lines"
    for line in range(n):
        cache.send_read(line, line)
    await cache.answers.receive(n)
    assert cache.answers.cycles[-1] - cache.answers.cycles[-n] == n - 1
    cache.bench.dut._log.info(f"{n} lines that miss, {cache.slots} at a time: {took} cycles")


@cocotb.test()
async def a_stream_keeps_the_rate_of_dram(dut: Any) -> None:
    """A channel of `mtia100`: a line each 256 / 55 cycles, a latency of 100; also while each line
    that comes makes a dirty one leave. With few slots or places these are the limit."""
    credit = [0]

    def rate(_: Any) -> bool:
        credit[0] = min(credit[0] + 55, 511)
        credit[0] -= 256 * (credit[0] >= 256)
        return credit[0] >= 55  # it was not full before

    cache = device(dut, pauses="none", shuffle=False, latency=100, dram_pauses=rate)
    await cache.start()
    await cache.set_ways(N_WAYS)
    n, places = 96, N_SETS * N_WAYS
    for dirty in (False, True):
        for line in range(n, n + places) if dirty else ():
            await cache.write(line, bytes([line]) * cache.line, cache.full)
        for line in range(n):
            cache.send_read(line, line % 64)
        await cache.answers.receive(n)
        took = cache.answers.cycles[-1] - cache.reads.cycles[-n]
        per_line = max(256 / 55, (100 + 8) / cache.slots)
        per_dirty_line = max(per_line, (100 + 8) / cache.places)  # acknowledged as late
        cache.bench.dut._log.info(f"{n} lines, dirty ones leave: {dirty}: {took} cycles")
        n_left = cache.counts["cache_writeback"]
        expected = (n - n_left) * per_line + n_left * per_dirty_line + 100 + 20
        assert took <= expected, f"{took} cycles for {n} lines"
        assert dirty * places // 2 <= n_left <= dirty * places
        await cache.command(CacheOp.DROP)


@cocotb.test()
async def hits_pass_misses(dut: Any) -> None:
    """While DRAM answers nothing, what is in the cache is read and written."""
    cache = device(dut)
    await cache.start()
    await cache.set_ways(4)
    for line in range(4):
        await cache.write(line, bytes([line]) * cache.line, cache.full)
    cache.dram.may_answer = lambda _: False
    for line in (20, 21, 20, 22, 20, 21):
        cache.send_read(line, line)
    for line in range(4):
        cache.send_read(line, line)
    await cache.write(3, bytes(cache.line), 1)
    found = await cache.answers.receive(4)
    assert sorted(answer["tag"] for answer in found) == [0, 1, 2, 3]
    cache.dram.may_answer = lambda _: True
    found = await cache.answers.receive(6)
    assert sorted(answer["tag"] for answer in found) == [20, 20, 20, 21, 21, 22]
    assert cache.counts["cache_miss"] == 4 + 3


@cocotb.test()
async def a_lost_word_is_told_to_readers_and_never_written_back(dut: Any) -> None:
    """DRAM could not tell that it is lost, so it keeps what it has, and software is told."""
    cache = device(dut)
    await cache.start()
    await cache.set_ways(1)
    before = bytes(cache.dram.data)
    for line, n_bits in ((4, 1), (5, 2)):
        await cache.write(line, b"\x5a" * cache.line, cache.full)
        slot = (N_WAYS - 1) * N_SETS + line % N_SETS
        fault = {"address": slot * cache.line + 8, "bit0": 3, "bit1": 50, "n": n_bits}
        cache.faults.send(fault)
        await cache.faults.drained()
    assert await cache.read_data(4) == b"\x5a" * cache.line
    assert (await cache.read(5))["poison"]
    await cache.write(5, b"\x11" * cache.line, 0b1 << 8)  # a part of the word, which stays lost
    assert (await cache.read(5))["poison"]
    await cache.command(CacheOp.INVALIDATE)
    assert cache.lost == 1
    assert cache.dram.data[4 * cache.line : 5 * cache.line] == b"\x5a" * cache.line
    assert cache.dram.data[5 * cache.line :] == before[5 * cache.line :]
    # The line that gets the place next has nothing of that.
    await cache.write(9, b"\x77" * cache.line, 0b1)
    seen = b"\x77" + before[9 * cache.line + 1 : 10 * cache.line]
    assert await cache.read_data(9) == seen


@cocotb.test()
async def errors_of_dram_reach_the_reader_and_stay_out_of_the_cache(dut: Any) -> None:
    """The next read asks again; bytes that were written stay."""
    cache = device(dut)
    await cache.start()
    await cache.set_ways(2)
    cache.dram.bad = {7 * cache.line, 8 * cache.line}
    await cache.write(8, b"\x42" * cache.line, 0b11)
    for _ in range(2):
        for line in (7, 8):
            assert (await cache.read(line))["error"], f"line {line}"
    await cache.command(CacheOp.FLUSH)
    assert cache.failed == 1
    await cache.command(CacheOp.PREFETCH, 6, 9)
    assert not (await cache.read(6))["error"]
    cache.dram.bad = set()
    seen = b"\x42\x42" + cache.dram.data[8 * cache.line + 2 : 9 * cache.line]
    assert await cache.read_data(8) == seen
    assert await cache.read_data(7) == cache.dram.data[7 * cache.line : 8 * cache.line]


@cocotb.test()
async def a_new_number_of_ways_flushes_and_leaves_the_scratchpad_alone(dut: Any) -> None:
    """Whether it grows or shrinks; then lines are found again, in DRAM."""
    cache = device(dut)
    await cache.start()
    n_kept, n_lines = 5 * N_SETS, 3 * N_SETS
    for line in range(n_kept):
        cache.sram_writes.send(
            {"address": line * cache.line, "data": line, "strobe": cache.full, "tag": 0}
        )
    await cache.sram_acks.receive(n_kept)
    for n_ways in (3, 2, 3, 1, 0, 3):
        marks = {line: cache.rng.randbytes(cache.line) for line in range(n_lines)}
        for line, mark in marks.items():
            await cache.write(line, mark, cache.full)
        await cache.set_ways(n_ways)
        for line, mark in marks.items():
            assert cache.dram.data[line * cache.line : (line + 1) * cache.line] == mark
            assert await cache.read_data(line) == mark
        for line in range(n_kept):
            cache.sram_reads.send({"address": line * cache.line, "tag": line})
        found = await cache.sram_answers.receive(n_kept)
        assert [answer["data"] for answer in found] == list(range(n_kept))


@cocotb.test()
async def clearing_spares_the_cache(dut: Any) -> None:
    """With all ways in use there is nothing to clear."""
    cache = device(dut)
    await cache.start()
    for n_ways in (3, N_WAYS):
        await cache.set_ways(n_ways)
        marks = {line: cache.rng.randbytes(cache.line) for line in range(n_ways * N_SETS)}
        for line, mark in marks.items():
            await cache.write(line, mark, cache.full)
        cache.sram_writes.send({"address": 0, "data": 1, "strobe": cache.full, "tag": 0})
        await cache.sram_acks.receive(1)
        if n_ways == N_WAYS:  # what was written there is a line of the cache
            await cache.set_ways(0)
            continue
        await cache.clear()
        for line, mark in marks.items():
            assert await cache.read_data(line) == mark
        cache.sram_reads.send({"address": 0, "tag": 1})
        assert (await cache.sram_answers.receive(1))[0]["data"] == 0


@cocotb.test()
async def reset_in_the_middle_leaves_the_cache_usable(dut: Any) -> None:
    """It is off again, nothing from before comes out, and DRAM holds what was flushed."""
    cache = device(dut, latency=15)
    await cache.start()
    await cache.set_ways(4)
    mark = cache.rng.randbytes(cache.line)
    await cache.write(30, mark, cache.full)
    await cache.command(CacheOp.FLUSH)
    for step in (3, 17, 40):
        for line in range(20):
            cache.send_read(line, line)
            cache.send_write(line + 8, bytes(cache.line), 0b1)
        await cache.begin(CacheOp.INVALIDATE, 0, N_LINES - 1)
        await cache.bench.wait(step)
        cache._set("control__ways", 0)
        await cache.bench.reset()
        before = len(cache.answers.items), len(cache.acks.items)
        await cache.bench.wait(60)
        assert (len(cache.answers.items), len(cache.acks.items)) == before
        await cache.clear()
        await cache.set_ways(4)
        cache.remember()
        await cache.traffic(list(range(40, 60)), 64)
        assert await cache.read_data(30) == mark
        await cache.command(CacheOp.FLUSH)
        cache.check_memory()


@pytest.mark.parametrize("pauses", sorted(BACK_PRESSURE))
@pytest.mark.parametrize("link_bytes", [16, 64])
def test_memory_cache(link_bytes: int, pauses: str) -> None:
    """The cache with its slice, under one kind of pauses."""
    run_bench(
        cached_slice(link_bytes),
        name=f"cached_slice_{link_bytes}",
        test_module=__name__,
        parameters={"link_bytes": link_bytes, "pauses": pauses},
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_ways": 3}, "CacheShape n_ways must be a power of two, 2 to 16, not 3."),
        ({"n_ways": 32}, "CacheShape n_ways must be a power of two, 2 to 16, not 32."),
        (
            {"slice_lines": 8},
            "CacheShape slice_lines must be at least 16, two in each of 8 ways, not 8.",
        ),
    ],
)
def test_wrong_sizes_are_refused(change: dict[str, int], sentence: str) -> None:
    """A cache that cannot be built must say why."""
    sizes = {"n_lines": 64, "slice_lines": 32, "n_ways": 8, "link_bytes": 16, "tag_width": 4}
    with pytest.raises(ValueError) as error:
        CacheShape(**sizes | change)
    assert str(error.value) == sentence
