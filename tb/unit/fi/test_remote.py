# SPDX-License-Identifier: Apache-2.0
"""Local memory from outside: data, strobes, errors, rates, and the pause before a reset."""

from typing import Any

import cocotb
import pytest

from hw.arch.address_map import PE_WINDOW_BYTES, PE_WINDOWS
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.pe.fi import FiGeometry, RemoteAccess
from tb.common.local_memory import LocalMemorySlots
from tb.common.memory import payload_shapes
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench

LINK, WORD, LS_BYTES, TAG_WIDTH = 16, 8, 1024, 5
BASE = PE_WINDOWS.base + 3 * PE_WINDOW_BYTES  # any window: who is asked is decided elsewhere


class Device:
    """The unit with somebody who asks, and local memory."""

    def __init__(self, dut: Any, *, pauses: str | None = None) -> None:
        self.dut, self.bench = dut, Bench(dut)
        source, sink = BACK_PRESSURE[pauses or bench_parameters()["pauses"]]
        ports = {
            "read": MemoryReadPort(link_bytes=LINK, tag_width=TAG_WIDTH),
            "write": MemoryWritePort(link_bytes=LINK, tag_width=TAG_WIDTH),
        }
        self.requests, self.answers = {}, {}
        for kind, port in ports.items():
            request, response = payload_shapes(port)
            name = f"remote_{kind}"
            self.requests[kind] = self.bench.source(f"{name}__request", request, source())
            self.answers[kind] = self.bench.sink(f"{name}__response", response, sink())
        self.local = LocalMemorySlots(
            self.bench,
            word_bytes=WORD,
            size=LS_BYTES,
            pauses=sink,
            reads=("ls_read__0", "ls_read__1"),
            writes=("ls_write__0", "ls_write__1"),
        )
        dut["remote_hold"].value = 0

    def read(self, line: int, tag: int = 0) -> None:
        """Ask for a line."""
        self.requests["read"].send({"address": BASE + LINK * line, "tag": tag})

    def write(self, line: int, data: bytes, strobe: int, tag: int = 0) -> None:
        """Write a line."""
        self.requests["write"].send(
            {
                "address": BASE + LINK * line,
                "tag": tag,
                "data": int.from_bytes(data, "little"),
                "strobe": strobe,
            }
        )


@cocotb.test()
async def lines_are_read_and_written_as_asked(dut: Any) -> None:
    """Random strobes and places, reads beside writes; answers in order, with their tags."""
    device = Device(dut)
    await device.bench.start()
    rng = python_rng("lines")
    expected = bytearray(device.local.data)
    n_lines = LS_BYTES // LINK
    for turn in range(6):
        # One half is written while the other one is read.
        read_first, write_first = (0, n_lines // 2)[:: 1 if turn % 2 else -1]
        asked, n_writes = [], 60
        for tag in range(n_writes):
            line, tag = rng.randrange(n_lines // 2), tag % 32
            data, strobe = rng.randbytes(LINK), rng.choice((rng.getrandbits(LINK), 0xFFFF, 0, 0xF0))
            device.write(write_first + line, data, strobe, tag)
            for lane in range(LINK):
                if strobe >> lane & 1:
                    expected[LINK * (write_first + line) + lane] = data[lane]
            line = read_first + rng.randrange(n_lines // 2)
            device.read(line, tag)
            asked.append(expected[LINK * line : LINK * line + LINK])
        found = await device.answers["read"].receive(n_writes)
        for number, (answer, data) in enumerate(zip(found, asked, strict=True)):
            wanted = {"data": int.from_bytes(data, "little"), "tag": number % 32}
            assert answer == wanted | {"error": 0, "poison": 0}
        acks = await device.answers["write"].receive(n_writes)
        assert acks == [{"tag": number % 32, "error": 0} for number in range(n_writes)]
        assert device.local.data == expected


@cocotb.test()
async def what_is_not_there_answers_an_error(dut: Any) -> None:
    """Behind local memory nothing is read or written; a wrong byte poisons its line only."""
    device = Device(dut)
    await device.bench.start()
    before = bytes(device.local.data)
    device.local.wrong = {LINK * 5 + 11}
    behind = (LS_BYTES // LINK, PE_WINDOW_BYTES // LINK - 1)
    for line in (3, behind[0], 4, behind[1], 5, 6):
        device.read(line)
        device.write(line if line in behind else 0, bytes(LINK), 0xFFFF if line in behind else 0)
    found = await device.answers["read"].receive(6)
    assert [(item["error"], item["poison"]) for item in found] == [
        (0, 0), (1, 0), (0, 0), (1, 0), (0, 1), (0, 0),
    ]  # fmt: skip
    acks = await device.answers["write"].receive(6)
    assert [item["error"] for item in acks] == [0, 1, 0, 1, 0, 0]
    assert device.local.data == before


@cocotb.test()
async def a_line_moves_in_every_cycle(dut: Any) -> None:
    """The documented rate and latency, both ways at once."""
    device = Device(dut, pauses="none")
    await device.bench.start()
    n_lines = 40
    asked = {kind: device.requests[kind].cycles for kind in ("read", "write")}
    for line in range(n_lines):
        device.read(line)
        device.write(line, bytes(LINK), 0xFFFF)
    for kind, latency in (("read", 3 + device.local.latency), ("write", 3)):
        await device.answers[kind].receive(n_lines)
        cycles = device.answers[kind].cycles
        assert cycles[-1] - cycles[0] == n_lines - 1, kind
        assert cycles[0] - asked[kind][0] == latency, kind


@cocotb.test()
async def hold_lets_nobody_in_and_ends_what_is_under_way(dut: Any) -> None:
    """At any moment: idle rises, then nothing happens until hold falls; then all goes on."""
    for n_cycles in range(1, 30, 2):
        device = Device(dut)
        await device.bench.start()
        for line in range(20):
            device.read(line)
            device.write(line, bytes(LINK), 0xFFFF)
        await device.bench.wait(n_cycles)
        dut["remote_hold"].value = 1
        await device.bench.wait(1)
        n_taken = [len(device.requests[kind].items) for kind in ("read", "write")]
        await device.bench.until(lambda: int(dut["remote_idle"].value), 200)
        n_answered = [len(device.answers[kind].items) for kind in ("read", "write")]
        assert n_answered == n_taken
        await device.bench.wait(10)
        assert n_taken == [len(device.requests[kind].items) for kind in ("read", "write")]
        dut["remote_hold"].value = 0
        for kind in ("read", "write"):
            await device.answers[kind].receive(20)
        device.bench._agents.clear()
        device.bench._probes.clear()


@cocotb.test()
async def a_reset_leaves_nothing_behind(dut: Any) -> None:
    """What was under way is forgotten; the next line is right."""
    device = Device(dut)
    await device.bench.start()
    for line in range(20):
        device.read(line)
        device.write(40 + line, bytes(LINK), 0xFFFF)
    await device.bench.wait(9)
    await device.bench.reset()
    n_before = len(device.answers["read"].items)
    device.read(7, 3)
    found = (await device.answers["read"].receive(1))[0]
    assert found["tag"] == 3
    assert found["data"].to_bytes(LINK, "little") == device.local.data[7 * LINK : 8 * LINK]
    assert len(device.answers["read"].items) == n_before + 1


@pytest.mark.parametrize(
    ("pauses", "ls_latency"), [*((pauses, 2) for pauses in sorted(BACK_PRESSURE)), ("both", 3)]
)
def test_remote_access(pauses: str, ls_latency: int) -> None:
    """Everything, under every back-pressure, and with answers that come later."""
    run_bench(
        RemoteAccess(
            geometry=FiGeometry(link_bytes=LINK, ls_bytes=LS_BYTES),
            read_tag_width=TAG_WIDTH,
            write_tag_width=TAG_WIDTH,
        ),
        name="remote_access",
        test_module=__name__,
        parameters={"pauses": pauses, "ls_latency": ls_latency},
    )
