# SPDX-License-Identifier: Apache-2.0
"""Local memory of other elements: every line and word once, in time, whatever others wait for."""

from typing import Any

import cocotb
import pytest
from amaranth.lib import data
from amaranth.sim import Simulator

from hw.arch.address_map import PE_WINDOW_BYTES, window_base
from hw.arch.traffic import REMOTE_LANES
from hw.grid.geometry import REMOTE_SLOTS
from hw.grid.remote_flits import RemoteShapes
from hw.grid.remote_switch import RemoteSwitch
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, StreamMonitor
from tb.unit.grid.passing import Passing
from tb.unit.grid.remote_grid import (
    ASKERS,
    HOST,
    LINE,
    LS_BYTES,
    PLACES,
    WORD,
    Device,
    RemoteGrid,
    name_of,
)

LS_LATENCY = 2
OWN = 8  # lines of each asker in each local memory
STATIC = OWN * len(ASKERS)  # behind them nobody writes
N_LINES = LS_BYTES // LINE
STROBES = (0xFFFF, 0x00FF, 0xFF00, 0x8001, 0x0010, 0)
OK = {"error": 0}


def latency(asker: tuple[int, int], place: tuple[int, int], *, read: bool, words: int = 2) -> int:
    """Cycles of an access when nothing else moves, as docs/grid.md has them."""
    to_side = 0 if asker == HOST else asker[1] + 1
    one_way = to_side + RemoteSwitch.latency + place[1] + 1
    return 1 + 2 * one_way + 3 + (LS_LATENCY if read else 0) + (words - 1) + 1


@cocotb.test()
async def all_write_and_read_all(dut: Any) -> None:
    """At once, with every kind of strobes, while others read; each line is then what it must be."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    rng, images = device.rng, {place: bytearray(device.local[place].data) for place in PLACES}
    for _ in range(3):
        expected: dict[Any, list[int]] = {asker: [] for asker in ASKERS}
        for number, asker in enumerate(ASKERS):
            lines = [(place, OWN * number + at) for place in PLACES for at in range(OWN)]
            rng.shuffle(lines)
            for tag, (place, line) in enumerate(lines):
                new, strobe = rng.randbytes(LINE), rng.choice((*STROBES, rng.getrandbits(LINE)))
                device.askers[asker].write(place, line, new, strobe, tag % 16)
                for at in range(LINE):
                    if strobe >> at & 1:
                        images[place][LINE * line + at] = new[at]
                other, still = rng.choice(PLACES), rng.randrange(STATIC, N_LINES)
                device.askers[asker].read(other, still, tag % 16)
                expected[asker].append(device.line(other, still))
        for asker in ASKERS:
            answers = device.askers[asker].answers
            acks = await answers["write"].receive(OWN * len(PLACES))
            assert acks == [{"tag": tag % 16, **OK} for tag in range(OWN * len(PLACES))]
            found = await answers["read"].receive(OWN * len(PLACES))
            assert [line["data"] for line in found] == expected[asker], asker
            assert [line["tag"] for line in found] == [tag % 16 for tag in range(len(found))]
            assert not any(line["error"] or line["poison"] for line in found)
        assert {place: device.local[place].data for place in PLACES} == images
    await device.bench.wait(60)
    for asker in device.askers.values():
        assert [len(sink.items) for sink in asker.answers.values()] == [3 * OWN * len(PLACES)] * 2


@cocotb.test()
async def what_passes_is_counted_once(dut: Any) -> None:
    """A request for each line read and each word written, an answer for each word, at the element
    that asks and at the one that is asked; would break if a flit that waits were counted too."""
    device = Device(dut, bench_parameters()["back_pressure"])
    pins = {place: dut[f"passing{name_of(place)}"] for place in PLACES}
    passing, n_each = Passing(device.bench, pins, REMOTE_LANES), 20
    await device.bench.start()
    expected = dict.fromkeys(passing.counts, 0)
    for asker in ASKERS:
        for number in range(n_each):
            place, reads = device.rng.choice(PLACES), number % 2
            strobe = device.rng.choice(STROBES)
            n_words = 2 if reads else max(1, bool(strobe & 0xFF) + bool(strobe >> 8))
            if reads:
                device.askers[asker].read(place, number)
            else:
                device.askers[asker].write(place, number, bytes(LINE), strobe)
            requests = 1 if reads else n_words
            ends = {(asker, "ask"): requests, (place, "visit"): requests,
                    (place, "reply"): n_words, (asker, "told"): n_words}  # fmt: skip
            for end, count in ends.items():
                if end in expected:  # the host has no element
                    expected[end] += count
    for asker in ASKERS:
        for sink in device.askers[asker].answers.values():
            await sink.receive(n_each // 2)
    assert passing.counts == expected


@cocotb.test()
async def what_is_written_is_read_by_all_afterwards(dut: Any) -> None:
    """Once acknowledged, by whoever asks then."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    for place in PLACES:
        writer, new = device.rng.choice(ASKERS), device.rng.randbytes(LINE)
        device.askers[writer].write(place, 5, new)
        await device.askers[writer].answers["write"].receive(1)
        for reader in ASKERS:
            device.askers[reader].read(place, 5)
        for reader in ASKERS:
            (found,) = await device.askers[reader].answers["read"].receive(1)
            assert found["data"] == int.from_bytes(new, "little")


@cocotb.test()
async def what_is_not_there_is_refused(dut: Any) -> None:
    """Behind local memory, of elements that are not there, and outside of all windows; a line with
    a byte of wrong parity is poison. Nothing is touched, and what comes next is right."""
    device = Device(dut)
    await device.bench.start()
    last, before = window_base(1, 2), {p: bytes(device.local[p].data) for p in PLACES}
    bad = (
        LS_BYTES,
        PE_WINDOW_BYTES - LINE,
        window_base(0, 3) - last,
        window_base(2, 0) - last,
        window_base(15, 15) - last,
        1 << 32,
        1 << 36,
    )
    device.local[1, 2].wrong.add(7 * LINE + 3)
    for place in (*PLACES, HOST):
        asker = device.askers[place]
        for tag, offset in enumerate(bad):
            for kind, requests in asker.requests.items():
                fields = {"data": 1, "strobe": 0xFFFF} if kind == "write" else {}
                requests.send({"address": last + offset, "tag": tag, **fields})
        acks = await asker.answers["write"].receive(len(bad))
        lines = await asker.answers["read"].receive(len(bad))
        for tag, (ack, line) in enumerate(zip(acks, lines, strict=True)):
            assert ack == {"tag": tag, "error": 1}
            assert (line["tag"], line["error"], line["poison"]) == (tag, 1, 0)
        asker.read((1, 2), 7, 9)
        asker.read((1, 2), 8, 10)
        poison, line = await asker.answers["read"].receive(2)
        assert (poison["tag"], poison["error"], poison["poison"]) == (9, 0, 1)
        assert line == {"data": device.line((1, 2), 8), "tag": 10, "error": 0, "poison": 0}
    assert {place: bytes(device.local[place].data) for place in PLACES} == before


@cocotb.test()
async def an_access_takes_what_the_formula_says(dut: Any) -> None:
    """Reads, writes of lines, of single words and of none, which local memory need not grant;
    between any two, and from the host."""
    device = Device(dut)
    await device.bench.start()
    for asker in ASKERS:
        agents = device.askers[asker]
        for place in PLACES:
            agents.read(place, 3)
            await agents.answers["read"].receive(1)
            took = agents.answers["read"].cycles[-1] - agents.requests["read"].cycles[-1]
            assert took == latency(asker, place, read=True), (asker, place, took)
            for strobe, words in ((0xFFFF, 2), (0x0F00, 1), (0x00F0, 1), (0, 0)):
                started = device.bench.cycle
                agents.write(place, 3, bytes(LINE), strobe)
                await agents.answers["write"].receive(1)
                # The request is taken with its last word.
                began = agents.requests["write"].cycles[-1]
                took = agents.answers["write"].cycles[-1] - began
                assert took == latency(asker, place, read=False, words=words), (asker, place)
                assert began >= started


@cocotb.test()
async def one_asker_has_its_slots_in_a_latency(dut: Any) -> None:
    """Eight lines per latency, and no more than one in two cycles; both kinds side by side."""
    device, n = Device(dut), 64
    await device.bench.start()
    for asker, place in (((0, 0), (1, 0)), ((0, 2), (0, 2)), (HOST, (1, 0))):
        agents = device.askers[asker]
        for read in (True, False):
            for line in range(n):
                agents.read(place, line) if read else agents.write(place, line, bytes(LINE))
            kind = "read" if read else "write"
            await agents.answers[kind].receive(n)
            took = agents.answers[kind].cycles[-1] - agents.answers[kind].cycles[-n]
            period = latency(asker, place, read=read)
            expected = max(period * (n // REMOTE_SLOTS - 1), 2 * (n - REMOTE_SLOTS))
            assert abs(took - expected) <= 2 * REMOTE_SLOTS, (asker, kind, took, expected)


@cocotb.test()
async def lanes_are_full_and_shared(dut: Any) -> None:
    """All of a row read from, or write to, the other row: a word per cycle in all, equal shares."""
    device, n = Device(dut), 60
    await device.bench.start()
    row = [place for place in PLACES if place[0] == 0]
    for read in (True, False):
        kind = "read" if read else "write"
        for asker in row:
            agents = device.askers[asker]
            for line in range(n):
                place = (1, asker[1])
                agents.read(place, line) if read else agents.write(place, line, bytes(LINE))
        for asker in row:
            await device.askers[asker].answers[kind].receive(n)
        cycles = [device.askers[asker].answers[kind].cycles[-n:] for asker in row]
        took = max(some[-1] for some in cycles) - min(some[0] for some in cycles)
        assert abs(took - LINE // WORD * n * len(row)) <= 4 * REMOTE_SLOTS, took
        ends = [some[-1] for some in cycles]
        assert max(ends) - min(ends) <= 4 * REMOTE_SLOTS


@cocotb.test()
async def nobody_waits_for_one_who_does_not_listen(dut: Any) -> None:
    """Its answers stay in its slots; others, also those that ask in its row, go on."""
    device, held = Device(dut), [True]
    deaf = device.askers[0, 1]
    for sink in deaf.answers.values():
        sink._pauses = lambda rng: held[0]
    await device.bench.start()
    for line in range(30):
        deaf.read((1, 1), line)
        deaf.write((0, 2), line, bytes(LINE))
    await device.bench.wait(200)
    others = [asker for asker in ASKERS if asker != (0, 1)]
    for asker in others:
        for place in PLACES:
            device.askers[asker].read(place, 40)
    for asker in others:
        found = await device.askers[asker].answers["read"].receive(len(PLACES))
        assert [line["data"] for line in found] == [device.line(p, 40) for p in PLACES]
    assert not any(sink.items for sink in deaf.answers.values())
    held[0] = False
    for sink in deaf.answers.values():
        await sink.receive(30)


@cocotb.test()
async def an_element_that_holds_is_empty_before_it_is_reset(dut: Any) -> None:
    """Under hold it becomes idle, since its answers leave; what comes waits and is lost nowhere;
    others in its row, behind what waits there, go on when it does."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    target = (1, 0)
    hold, idle = (device.dut[f"{name}{name_of(target)}"] for name in ("hold", "idle"))
    for _ in range(6):
        for asker in ASKERS:
            for number in range(12):
                device.askers[asker].read(target if number % 2 else (1, 2), STATIC + number)
                device.askers[asker].write(target, number, bytes([number] * LINE))
        await device.bench.wait(device.rng.randrange(10, 40))
        hold.value = 1
        await device.bench.wait(1)
        await device.bench.until(lambda: int(idle.value), 400)
        n_requests = device.local[target].n_requests
        await device.bench.wait(50)
        assert int(idle.value) and device.local[target].n_requests == n_requests
        hold.value = 0
        for asker in ASKERS:
            lines = await device.askers[asker].answers["read"].receive(12)
            expected = [device.line(target if n % 2 else (1, 2), STATIC + n) for n in range(12)]
            assert [line["data"] for line in lines] == expected
            await device.askers[asker].answers["write"].receive(12)


@cocotb.test()
async def who_is_not_heard_says_nothing(dut: Any) -> None:
    """Neither does it ask nor answer, and others go on."""
    device = Device(dut)
    mute = (0, 1)
    device.dut[f"heard{name_of(mute)}"].value = 0
    await device.bench.start()
    for line in range(20):
        device.askers[mute].read((1, 1), line)
        device.askers[mute].write((0, 0), line, bytes(LINE))
    device.askers[HOST].read(mute, 3)
    await device.bench.wait(100)
    assert all(device.local[place].n_requests == 0 for place in PLACES if place != mute)
    assert not device.askers[HOST].answers["read"].items
    for asker in ((0, 0), (0, 2), (1, 2)):
        device.askers[asker].read((0, 2), 4)
        (found,) = await device.askers[asker].answers["read"].receive(1)
        assert found["data"] == device.line((0, 2), 4)


@cocotb.test()
async def reset_in_the_middle_drops_what_is_on_its_way(dut: Any) -> None:
    """Then accesses pass, with all slots."""
    device = Device(dut)
    await device.bench.start()
    for asker in device.askers.values():
        for line in range(20):
            asker.read((1, 2), line)
            asker.write((0, 0), line, bytes(LINE))
    await device.bench.wait(25)
    await device.bench.reset()
    for asker in device.askers.values():
        for sink in asker.answers.values():
            StreamMonitor.reset(sink)
    await device.bench.wait(60)
    n_before = [len(asker.answers["read"].items) for asker in device.askers.values()]
    for asker, before in zip(device.askers.values(), n_before, strict=True):
        for line in range(20):
            asker.read((1, 1), line, line % 16)
        found = await asker.answers["read"].receive(20)
        mine = found[-20:]
        assert [line["data"] for line in mine] == [device.line((1, 1), n) for n in range(20)]
        assert before >= 0


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_remote_accesses(back_pressure: str) -> None:
    """Under one kind of pauses."""
    paused = (
        "all_write_and_read_all,what_passes_is_counted_once,"
        "what_is_written_is_read_by_all_afterwards,"
        "an_element_that_holds_is_empty_before_it_is_reset"
    )
    run_bench(
        RemoteGrid(),
        name="grid_remote",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else paused,
    )


@pytest.mark.parametrize("left_out", [0, 1, 2])
@pytest.mark.parametrize("host_asks", [True, False])
def test_places_are_of_rows_that_are_used(host_asks: bool, left_out: int) -> None:
    """Each flit leaves on the lane of its row of tiles, for its column; the host's too. Would break
    if a row of tiles were taken for a used one."""
    rows, lanes = 2, [lane for lane in range(3) if lane != left_out]
    switch = RemoteSwitch(
        flit=data.StructLayout({"value": 8}),
        rows=rows,
        n_positions=3,
        host_asks=host_asks,
        has_spare_row=True,
    )
    rng = python_rng("places")

    async def bench(context: Any) -> None:
        context.set(switch.left_out, left_out)
        for down in switch.down:
            context.set(down.ready, 1)
        sources = [switch.up[lane] for lane in lanes]
        if host_asks:
            sources.append(switch.host)
        else:
            context.set(switch.host.ready, 1)
        targets: list[Any] = [(row, column) for row in range(rows) for column in range(3)]
        for source in sources:
            for to in targets if host_asks else [*targets, HOST]:
                value = rng.randrange(256)
                fields = {"flit": {"value": value}, "to": {"row": to[0], "column": to[1]}}
                context.set(source.payload, fields)
                context.set(source.valid, 1)
                assert context.get(source.ready)
                await context.tick()
                context.set(source.valid, 0)
                await context.tick()
                for lane, down in enumerate(switch.down):
                    mine = to != HOST and lane == lanes[to[0]]
                    assert context.get(down.valid) == mine
                    if mine:
                        assert context.get(down.payload.flit.value) == value
                        assert context.get(down.payload.mask) == 1 << to[1]
                if not host_asks:
                    assert context.get(switch.host.valid) == (to == HOST)
                    assert to != HOST or context.get(switch.host.payload.value) == value
                await context.tick()

    simulator = Simulator(switch)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_slots_that_are_no_power_of_two_are_refused() -> None:
    """A ring of them counts modulo their number."""
    with pytest.raises(ValueError) as error:
        RemoteShapes(link_bytes=16, ls_bytes=4096, slots=6)
    assert str(error.value) == "RemoteShapes slots must be a power of two, not 6."
