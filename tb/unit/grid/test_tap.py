# SPDX-License-Identifier: Apache-2.0
"""The tap: each request to the side of its memory, each answer to who asked, nobody in the way."""

import random
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import DRAM
from hw.arch.interleave import Interleave
from hw.grid.tap import Tap
from hw.iface.control import ControlPort
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.net.flits import Answer
from hw.net.sides import is_of_rows
from tb.common.memory import payload_shapes
from tb.common.payload import random_bits, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal
from tb.unit.grid.geometries import CORNERS, DRAM_BYTES, NOWHERE, SRAM_BYTES, bench_geometry

GEOMETRY = bench_geometry()
SIDES = GEOMETRY.sides
READ_TAGS, WRITE_TAGS = GEOMETRY.read_masters, GEOMETRY.write_masters
ROW, COLUMN = 0b100, 0b010  # positions on lanes along rows, along columns
PORTS = {"read": (MemoryReadPort, READ_TAGS), "write": (MemoryWritePort, WRITE_TAGS)}
N_REQUESTS = 150


class Taps(wiring.Component):
    """The taps of a tile: one for reads with two masters, one for writes with one."""

    def __init__(self) -> None:
        self.taps = {
            kind: Tap(geometry=GEOMETRY, port=port, tag_widths=tags)
            for kind, (port, tags) in PORTS.items()
        }
        members: dict[str, Any] = {}
        for kind, tap in self.taps.items():
            flits, answers = (stream.Signature(s) for s in (tap.request_shape, tap.answer_shape))
            members |= {
                f"{kind}_request": Out(flits).array(len(SIDES)),
                f"{kind}_answer": In(answers).array(len(SIDES)),
            }
            members |= {
                f"{kind}_master{index}": tap.signature.members[f"master{index}"]
                for index in range(tap.n_masters)
            }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for kind, tap in self.taps.items():
            m.submodules[kind] = tap
            m.d.comb += [tap.row.eq(ROW), tap.column.eq(COLUMN)]
            for index, master in enumerate(tap.masters):
                wiring.connect(m, wiring.flipped(getattr(self, f"{kind}_master{index}")), master)
            for name in ("request", "answer"):
                for inner, outer in zip(
                    getattr(tap, name), getattr(self, f"{kind}_{name}"), strict=True
                ):
                    wiring.connect(m, inner, wiring.flipped(outer))
        return m


class Device:
    """One of the taps with its masters and lanes."""

    def __init__(self, bench: Bench, kind: str, pauses: str = "none") -> None:
        self.kind, self.rng = kind, python_rng(f"tap {kind}")
        port, self.tags = PORTS[kind]
        source, sink = BACK_PRESSURE[pauses]
        shapes = GEOMETRY.shapes
        flit = shapes.read if kind == "read" else shapes.write
        self.answer_shape = shapes.line if kind == "read" else shapes.ack
        self.requests, self.answers = [], []
        for index, width in enumerate(self.tags):
            request, response = payload_shapes(port(link_bytes=16, tag_width=width))
            self.request_shape = request
            name = f"{kind}_master{index}"
            self.requests.append(bench.source(f"{name}__request", request, source()))
            self.answers.append(bench.sink(f"{name}__response", response, sink()))
        sides = range(len(SIDES))
        self.lanes = [bench.sink(f"{kind}_request__{at}", flit, sink()) for at in sides]
        self.back = [
            bench.source(f"{kind}_answer__{at}", self.answer_shape, source()) for at in sides
        ]

    def request(self, address: int, tag: int) -> dict[str, int]:
        """A request with random data."""
        found = unpack(self.request_shape, random_bits(self.rng, self.request_shape))
        return found | {"address": address, "tag": tag}

    def tag_of(self, index: int, tag: int) -> int:
        """A master's tag as a flit has it."""
        return tag | index << max(self.tags)

    def flit(self, side: int, index: int, request: dict[str, int]) -> dict[str, int]:
        """What a request becomes on its lane."""
        mask = ROW if is_of_rows(SIDES[side]) else COLUMN
        found = request | {"tag": self.tag_of(index, request["tag"]), "mask": mask}
        return found | ({"multicast": 0, "group": 0} if self.kind == "read" else {})

    def answer(self, index: int, tag: int, answer: Answer) -> dict[str, Any]:
        """A flit with random data for a master."""
        found = unpack(self.answer_shape, random_bits(self.rng, self.answer_shape))
        return found | {"tag": self.tag_of(index, tag), "answer": answer, "mask": ROW}

    def told(self, flit: dict[str, Any], tag: int) -> dict[str, int]:
        """What a master is to hear of it."""
        answer = flit["answer"]
        if self.kind == "write":
            return {"tag": tag, "error": int(answer is not Answer.OK)}
        return {
            "data": flit["data"],
            "tag": tag,
            "error": int(answer in (Answer.ERROR, Answer.MISMATCH)),
            "poison": int(answer in (Answer.POISON, Answer.MISMATCH)),
        }


def side_of(address: int) -> int | None:
    """Side of a line's memory, None if no memory holds it, from the arithmetic in Python."""
    for size, base, n_parts in ((SRAM_BYTES, 0, 8), (DRAM_BYTES, DRAM.base, 4)):
        if base <= address < base + size:
            deal = Interleave(n_slices=n_parts, line_bytes=16)
            return deal.place_of(deal.slice_of(address))[0]
    return None


def any_address(rng: random.Random) -> int:
    """A line in SRAM, in DRAM, a corner, or nowhere."""
    base, size = rng.choice(((0, SRAM_BYTES), (DRAM.base, DRAM_BYTES)))
    inside = base + rng.randrange(size // 16) * 16
    return rng.choice((inside, inside, rng.choice(CORNERS), rng.choice(NOWHERE)))


@cocotb.test()
async def a_request_goes_to_the_side_of_its_memory(dut: Any) -> None:
    """In the order of its master, with data, tag and place; nobody's is answered at once."""
    bench = Bench(dut)
    devices = [Device(bench, kind, bench_parameters()["back_pressure"]) for kind in PORTS]
    await bench.start()
    for device in devices:
        lanes: list[list[list[Any]]] = [[[] for _ in device.tags] for _ in SIDES]
        refused: list[list[int]] = [[] for _ in device.tags]
        for index, width in enumerate(device.tags):
            for number in range(N_REQUESTS):
                request = device.request(any_address(device.rng), number % (1 << width))
                device.requests[index].send(request)
                side = side_of(request["address"])
                if side is None:
                    refused[index].append(request["tag"])
                else:
                    lanes[side][index].append(device.flit(side, index, request))
        for side, expected in enumerate(lanes):
            found = await device.lanes[side].receive(sum(map(len, expected)))
            for index in range(len(device.tags)):
                mine = [f for f in found if f["tag"] >> max(device.tags) == index]
                check_equal(mine, expected[index], f"{device.kind} flit of {index} on {side}")
        for index, tags in enumerate(refused):
            answers = await device.answers[index].receive(len(tags))
            assert all(answer["error"] for answer in answers)
            check_equal([answer["tag"] for answer in answers], tags, "refusal")


@cocotb.test()
async def an_answer_goes_to_the_master_of_its_tag(dut: Any) -> None:
    """From all sides at once, with every way in which an access may end."""
    bench = Bench(dut)
    devices = [Device(bench, kind, bench_parameters()["back_pressure"]) for kind in PORTS]
    await bench.start()
    for device in devices:
        expected: list[list[list[Any]]] = [[[] for _ in SIDES] for _ in device.tags]
        for side, lane in enumerate(device.back):
            for number in range(N_REQUESTS):
                index = device.rng.randrange(len(device.tags))
                # The tag's two upper bits tell the side, so that each side's order can be checked.
                width = device.tags[index]
                tag = number % (1 << width - 2) | side << width - 2
                flit = device.answer(index, tag, Answer(number % 4))
                lane.send(flit)
                expected[index][side].append(device.told(flit, tag))
        for index, by_side in enumerate(expected):
            width = device.tags[index]
            found = await device.answers[index].receive(sum(map(len, by_side)))
            for side, mine in enumerate(by_side):
                heard = [answer for answer in found if answer["tag"] >> width - 2 == side]
                check_equal(heard, mine, f"{device.kind} answer from {side} to {index}")


@cocotb.test()
async def a_request_takes_a_cycle_and_an_answer_none(dut: Any) -> None:
    """The documented latencies, at a flit per cycle each way."""
    bench = Bench(dut)
    devices = [Device(bench, kind) for kind in PORTS]
    await bench.start()
    for device in devices:
        address = next(a for a in range(0, SRAM_BYTES, 16) if side_of(a) == 3)
        for number in range(N_REQUESTS):
            device.requests[0].send(device.request(address, number % 4))
            device.back[1].send(device.answer(0, number % 4, Answer.OK))
        await device.lanes[3].receive(N_REQUESTS)
        await device.answers[0].receive(N_REQUESTS)
        asked, lane = device.requests[0].cycles, device.lanes[3].cycles
        assert lane == [cycle + Tap.latency for cycle in asked]
        assert lane[-1] - lane[0] == N_REQUESTS - 1
        assert device.answers[0].cycles == device.back[1].cycles
        assert device.answers[0].cycles[-1] - device.answers[0].cycles[0] == N_REQUESTS - 1


@cocotb.test()
async def masters_and_sides_take_turns(dut: Any) -> None:
    """Two masters that always ask get every second cycle; four sides every fourth."""
    bench = Bench(dut)
    device = Device(bench, "read")
    await bench.start()
    for index in range(2):
        device.requests[index].send_all([device.request(0, 1)] * N_REQUESTS)
    for lane in device.back:
        lane.send_all([device.answer(0, 2, Answer.OK)] * N_REQUESTS)
    found = await device.lanes[side_of(0) or 0].receive(2 * N_REQUESTS)
    turns = [flit["tag"] >> max(READ_TAGS) for flit in found]
    assert turns == turns[:2] * N_REQUESTS and set(turns) == {0, 1}
    await device.answers[0].receive(4 * N_REQUESTS)
    ends = [lane.cycles[-1] for lane in device.back]
    assert max(ends) - min(ends) < len(SIDES)


@cocotb.test()
async def requests_and_answers_never_wait_for_each_other(dut: Any) -> None:
    """Answers pass while all lanes are full, requests while no master takes an answer."""
    bench, held = Bench(dut), {"lanes": True, "masters": False}
    device = Device(bench, "read")
    for sink in device.lanes:
        sink._pauses = lambda rng: held["lanes"]
    for sink in device.answers:
        sink._pauses = lambda rng: held["masters"]
    await bench.start()
    for requests in device.requests:
        requests.send_all([device.request(address, 0) for address in CORNERS * 5])
    await bench.wait(20)
    for index in range(2):
        device.back[2].send_all([device.answer(index, 0, Answer.OK)] * 20)
    for answers in device.answers:
        await answers.receive(20)
    assert not any(lane.items for lane in device.lanes)
    held.update(lanes=False, masters=True)
    for lane in device.back:
        lane.send_all([device.answer(0, 0, Answer.OK)] * 5)
    for requests in device.requests:
        await requests.drained()


@cocotb.test()
async def reset_in_the_middle_drops_what_is_held(dut: Any) -> None:
    """Neither a request in the register nor a refusal survives."""
    bench, held = Bench(dut), [True]
    device = Device(bench, "read")
    for sink in (*device.lanes, *device.answers):
        sink._pauses = lambda rng: held[0]
    await bench.start()
    for address in (NOWHERE[0], NOWHERE[1], *CORNERS):
        device.requests[0].send(device.request(address, 1))
    await bench.wait(12)
    await bench.reset()
    held[0] = False
    await bench.wait(12)
    assert not any(sink.items for sink in (*device.lanes, *device.answers))
    request = device.request(CORNERS[1], 2)
    device.requests[1].send(request)
    side = side_of(CORNERS[1])
    assert side is not None
    check_equal(await device.lanes[side].receive(1), [device.flit(side, 1, request)])


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_taps(back_pressure: str) -> None:
    """Both taps under one kind of pauses."""
    run_bench(
        Taps(),
        name="grid_taps",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None
        if back_pressure == "none"
        else "a_request_goes_to_the_side_of_its_memory,an_answer_goes_to_the_master_of_its_tag",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tag_widths": ()}, "Tap needs at least one master, tag_widths is empty."),
        (
            {"tag_widths": (GEOMETRY.shapes.read["tag"].width,) * 2},
            f"Tap tags take {GEOMETRY.shapes.read['tag'].width + 1} bits with their master, a flit"
            f" has {GEOMETRY.shapes.read['tag'].width}.",
        ),
        ({"port": ControlPort}, "Tap port must be a memory port, not ControlPort."),
    ],
)
def test_bad_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        Tap(**{"geometry": GEOMETRY, "port": MemoryReadPort, "tag_widths": (3,)} | arguments)
    assert str(error.value) == message
