# SPDX-License-Identifier: Apache-2.0
"""The tap of an element that shares reads: which lane, who sends, and a note of each member."""

from typing import Any

import cocotb
import pytest

from hw.grid.tap import Tap
from hw.iface.memory import MemoryReadPort
from hw.net.sides import Side
from sim.golden.net import line_hash
from tb.common.memory import payload_shapes
from tb.common.payload import unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal
from tb.unit.grid.geometries import CORNERS, NOWHERE, bench_geometry
from tb.unit.grid.test_tap import COLUMN, ROW, SIDES, any_address, side_of

GEOMETRY = bench_geometry()
TAGS = GEOMETRY.read_masters
N_REQUESTS = 300
ENTRY = {
    (False, Side.W): Side.W,
    (False, Side.E): Side.E,
    (False, Side.N): Side.W,
    (False, Side.S): Side.E,
    (True, Side.W): Side.N,
    (True, Side.E): Side.S,
    (True, Side.N): Side.N,
    (True, Side.S): Side.S,
}
"""Side whose lane a shared read takes, of a row or a column, to memory at some side."""
MASKS = {False: {0b110: False, 0b101: False, 0b100: True}, True: {0b011: False, 0b010: True}}
"""Groups of the row and of the column of which the element is a member, and whether it leads."""


class Notes:
    """What the tap says on the wires of notes, side by side."""

    def __init__(self, bench: Bench) -> None:
        self.found: list[list[dict[str, int]]] = [[] for _ in SIDES]
        self.cycles: list[list[int]] = [[] for _ in SIDES]
        self.noted = bench.port("noted")
        self.pins = [bench.port(f"note__{at}") for at in range(len(SIDES))]
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Take down the notes of this cycle."""
        for at, pin in enumerate(self.pins):
            if int(self.noted.value) >> at & 1:
                self.found[at].append(unpack(GEOMETRY.shapes.note, int(pin.value)))
                self.cycles[at].append(cycle)

    def drive(self) -> None:
        """Drives nothing."""

    def reset(self) -> None:
        """Knows nothing."""


class Device:
    """The tap, its masters and lanes."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.bench, self.rng = Bench(dut), python_rng("shared tap")
        source, sink = BACK_PRESSURE[pauses]
        dut["row"].value, dut["column"].value = ROW, COLUMN
        ports = [
            MemoryReadPort(link_bytes=16, tag_width=width, n_positions=n_positions)
            for width, n_positions in zip(TAGS, (GEOMETRY.n_positions, 0), strict=True)
        ]
        self.requests, self.answers = [], []
        for index, port in enumerate(ports):
            request, response = payload_shapes(port)
            self.requests.append(self.bench.source(f"master{index}__request", request, source()))
            self.answers.append(self.bench.sink(f"master{index}__response", response, sink()))
        sides = range(len(SIDES))
        shapes = GEOMETRY.shapes
        self.lanes = [self.bench.sink(f"request__{at}", shapes.read, sink()) for at in sides]
        self.back = [self.bench.source(f"answer__{at}", shapes.line) for at in sides]
        self.notes = Notes(self.bench)

    def request(self, address: int, tag: int) -> dict[str, int]:
        """A read, shared in any way, or not."""
        column = self.rng.random() < 0.5
        mask = self.rng.choice(list(MASKS[column]))
        return {
            "address": address,
            "tag": tag,
            "multicast": int(self.rng.random() < 0.8),
            "column": int(column),
            "group": self.rng.randrange(4),
            "mask": mask,
        }


@cocotb.test()
async def shared_reads_take_the_lanes_that_all_members_have(dut: Any) -> None:
    """The leader alone sends; every member notes, at the same side, in the order of its reads; what
    no memory holds is refused without a note."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    flits: list[list[dict[str, int]]] = [[] for _ in SIDES]
    notes: list[list[dict[str, int]]] = [[] for _ in SIDES]
    refused = []
    addresses = [*CORNERS, *NOWHERE, *(any_address(device.rng) for _ in range(N_REQUESTS))]
    for number, address in enumerate(addresses):
        request = device.request(address, number % (1 << TAGS[0]))
        device.requests[0].send(request)
        meant = side_of(address)
        column, mask = bool(request["column"]), request["mask"]
        if meant is None:
            refused.append(request["tag"])
            continue
        flit = {name: request[name] for name in ("address", "tag", "multicast", "group")}
        if not request["multicast"]:
            own = ROW if SIDES[meant] in (Side.W, Side.E) else COLUMN
            flits[meant].append(flit | {"mask": own})
            continue
        at = ENTRY[column, SIDES[meant]]
        leader = (mask & -mask).bit_length() - 1
        note = {"hash": line_hash(address), "tag": request["tag"], "leader": leader}
        notes[at].append(note)
        if MASKS[column][mask]:
            flits[at].append(flit | {"mask": mask})
    await device.requests[0].drained()
    for at, expected in enumerate(flits):
        check_equal(await device.lanes[at].receive(len(expected)), expected, f"flit on {at}")
    told = await device.answers[0].receive(len(refused))
    check_equal([answer["tag"] for answer in told], refused, "refusal")
    await device.bench.wait(5)
    for at, expected in enumerate(notes):
        check_equal(device.notes.found[at], expected, f"note at {at}")


@cocotb.test()
async def a_note_is_as_quick_as_its_read(dut: Any) -> None:
    """Both leave a cycle after the request was taken; a note waits for the leader's lane, and for
    nothing else."""
    device, held = Device(dut), [True]
    for lane in device.lanes:
        lane._pauses = lambda rng: held[0]
    await device.bench.start()
    shared = {"tag": 1, "multicast": 1, "column": 0, "group": 2}
    address = CORNERS[0]
    device.requests[0].send(shared | {"address": address, "mask": 0b110})
    await device.bench.wait(5)
    at = ENTRY[False, SIDES[side_of(address) or 0]]
    assert device.notes.cycles[at] == [device.requests[0].cycles[-1] + Tap.latency]
    device.requests[0].send(shared | {"address": address, "mask": 0b100})
    await device.bench.wait(5)
    assert len(device.notes.cycles[at]) == 1
    held[0] = False
    await device.lanes[at].receive(1)
    assert device.notes.cycles[at][-1] == device.lanes[at].cycles[-1]


@pytest.mark.parametrize("back_pressure", ["none", "both"])
def test_shared_tap(back_pressure: str) -> None:
    """A tap whose first master shares reads."""
    run_bench(
        Tap(geometry=GEOMETRY, port=MemoryReadPort, tag_widths=TAGS, shares=True),
        name="grid_shared_tap",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
    )
