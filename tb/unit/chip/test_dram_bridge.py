# SPDX-License-Identifier: Apache-2.0
"""The DRAM bridge against AXI memories: data, order, errors, and the rate of the channel."""

from collections import deque
from typing import Any

import cocotb
import pytest

from hw.chip.dram_bridge import DramBridge
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from tb.common.memory import axi_pauses, axi_ram, payload_shapes
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench

SIZE, TAG_WIDTH, SLOTS = 1 << 12, 6, 8


class Requester:
    """Sends lines to read and write, and collects the answers by tag."""

    def __init__(self, bench: Bench, link_bytes: int, *, paused: bool) -> None:
        self.line = link_bytes
        pauses = bench_parameters()["pauses"] if paused else "none"
        source, sink = BACK_PRESSURE[pauses]
        common = {"link_bytes": link_bytes, "tag_width": TAG_WIDTH}
        request, response = payload_shapes(MemoryReadPort(**common))
        self.reads = bench.source("read__request", request, source())
        self.answers = bench.sink("read__response", response, sink())
        request, response = payload_shapes(MemoryWritePort(**common))
        self.writes = bench.source("write__request", request, source())
        self.acks = bench.sink("write__response", response, sink())

    def read(self, line: int, tag: int) -> None:
        """Ask for a line."""
        self.reads.send({"address": line * self.line, "tag": tag})

    def write(self, line: int, data: bytes, strobe: int, tag: int) -> None:
        """Write to a line."""
        self.writes.send(
            {
                "address": line * self.line,
                "data": int.from_bytes(data, "little"),
                "strobe": strobe,
                "tag": tag,
            }
        )


class ReorderingRam:
    """Answers reads in any order and mixes their beats, as AXI4 allows for different IDs."""

    def __init__(self, bench: Bench, data: bytes, beat_bytes: int) -> None:
        self._dut, self._data, self._beat = bench.dut, data, beat_bytes
        self._rng = python_rng("reordering")
        self._open: dict[int, deque[int]] = {}
        self.bad: set[int] = set()
        for name in ("awready", "wready", "bvalid", "rvalid"):
            self._pin(name).value = 0
        self._pin("arready").value = 1
        bench.add(self)

    def _pin(self, name: str) -> Any:
        return self._dut[f"axi__{name}"]

    def sample(self, cycle: int) -> None:
        """Take an address."""
        if int(self._pin("arvalid").value):
            assert int(self._pin("arburst").value) == 1
            first, n_beats = int(self._pin("araddr").value), int(self._pin("arlen").value) + 1
            identity = int(self._pin("arid").value)
            assert identity not in self._open, "an ID is used twice"
            self._open[identity] = deque(first + i * self._beat for i in range(n_beats))

    def drive(self) -> None:
        """Offer a beat of any open read; `rready` is always high."""
        offer = bool(self._open) and self._rng.random() < 0.8
        self._pin("rvalid").value = int(offer)
        if offer:
            identity = self._rng.choice(list(self._open))
            address = self._open[identity].popleft()
            self._pin("rid").value = identity
            self._pin("rdata").value = int.from_bytes(
                self._data[address : address + self._beat], "little"
            )
            self._pin("rresp").value = 2 if address in self.bad else 0
            self._pin("rlast").value = int(not self._open[identity])
            if not self._open[identity]:
                del self._open[identity]

    def reset(self) -> None:
        """Forget everything."""
        self._open.clear()


@cocotb.test()
async def lines_written_are_read_back_with_strobes(dut: Any) -> None:
    """Random writes and reads of few lines through an AXI memory with pauses on every channel."""
    bench, parameters = Bench(dut), bench_parameters()
    line = parameters["link_bytes"]
    requester = Requester(bench, line, paused=True)
    ram = axi_ram(bench, "axi", size=SIZE)
    share = {"none": 0.0}.get(parameters["pauses"], 0.4)
    for name in ("aw", "w", "b"):
        channel = getattr(ram.write_if, f"{name}_channel")
        channel.set_pause_generator(axi_pauses(name, share))
    for name in ("ar", "r"):
        channel = getattr(ram.read_if, f"{name}_channel")
        channel.set_pause_generator(axi_pauses(name, share))
    rng = python_rng("dram lines")
    expected = bytearray(rng.randbytes(SIZE))
    ram.write(0, bytes(expected))
    await bench.start()
    for _ in range(30):
        lines = rng.sample(range(SIZE // line), 12)
        for tag, number in enumerate(lines):
            data, strobe = rng.randbytes(line), rng.choice((-1, rng.getrandbits(line), 0))
            strobe &= (1 << line) - 1
            requester.write(number, data, strobe, tag)
            for i in range(line):
                if strobe >> i & 1:
                    expected[number * line + i] = data[i]
        acks = await requester.acks.receive(len(lines))
        assert sorted(ack["tag"] for ack in acks) == list(range(len(lines)))
        assert not any(ack["error"] for ack in acks)
        assert ram.read(0, SIZE) == bytes(expected)
        for tag, number in enumerate(lines):
            requester.read(number, tag)
        answers = await requester.answers.receive(len(lines))
        assert sorted(answer["tag"] for answer in answers) == list(range(len(lines)))
        for answer in answers:
            start = lines[answer["tag"]] * line
            assert answer["data"].to_bytes(line, "little") == expected[start : start + line]
            assert not answer["error"] and not answer["poison"]


@cocotb.test()
async def beats_of_different_reads_may_come_mixed(dut: Any) -> None:
    """Every line must get its own beats and its own error."""
    bench = Bench(dut)
    line = bench_parameters()["link_bytes"]
    requester = Requester(bench, line, paused=True)
    rng = python_rng("dram mixed")
    data = rng.randbytes(SIZE)
    ram = ReorderingRam(bench, data, bench_parameters()["beat_bytes"])
    ram.bad = {7 * line, 9 * line + line - bench_parameters()["beat_bytes"]}
    await bench.start()
    for _ in range(20):
        lines = [rng.randrange(16) for _ in range(32)]
        for tag, number in enumerate(lines):
            requester.read(number, tag)
        answers = await requester.answers.receive(len(lines))
        assert sorted(answer["tag"] for answer in answers) == list(range(len(lines)))
        for answer in answers:
            number = lines[answer["tag"]]
            assert answer["error"] == (number in (7, 9))
            found = answer["data"].to_bytes(line, "little")
            assert found == data[number * line : (number + 1) * line]


@cocotb.test()
async def the_channel_is_kept_busy(dut: Any) -> None:
    """The documented rate: one beat per cycle each way, with reads and writes at once."""
    bench, parameters = Bench(dut), bench_parameters()
    line, n_beats = parameters["link_bytes"], parameters["link_bytes"] // parameters["beat_bytes"]
    requester = Requester(bench, line, paused=False)
    axi_ram(bench, "axi", size=SIZE)
    await bench.start()
    n = 60
    for index in range(n):
        requester.read(index % 16, index)
        requester.write(16 + index % 16, bytes(line), (1 << line) - 1, index)
    await requester.answers.receive(n)
    await requester.acks.receive(n)
    for stream in (requester.answers, requester.acks):
        took = stream.cycles[-1] - stream.cycles[0]
        # The model itself pauses for a cycle or two between bursts.
        assert took <= (n - 1) * (n_beats + 2), f"{stream.name}: {took} cycles"


@cocotb.test()
async def beats_are_counted(dut: Any) -> None:
    """The byte counters of the chip rest on this."""
    bench, parameters = Bench(dut), bench_parameters()
    line, n_beats = parameters["link_bytes"], parameters["link_bytes"] // parameters["beat_bytes"]
    requester = Requester(bench, line, paused=True)
    axi_ram(bench, "axi", size=SIZE)
    seen = {"read_beat": 0, "write_beat": 0}

    class Counter:
        """Adds up the pulses."""

        def sample(self, cycle: int) -> None:
            for name in seen:
                seen[name] += int(dut[name].value)

        def drive(self) -> None:
            pass

        def reset(self) -> None:
            pass

    await bench.start()
    bench.add(Counter())
    for index in range(5):
        requester.read(index, index)
    for index in range(3):
        requester.write(index, bytes(line), 1, index)
    await requester.answers.receive(5)
    await requester.acks.receive(3)
    await bench.wait(3)
    assert seen == {"read_beat": 5 * n_beats, "write_beat": 3 * n_beats}


@pytest.mark.parametrize("pauses", sorted(BACK_PRESSURE))
@pytest.mark.parametrize(("link_bytes", "beat_bytes"), [(16, 8), (64, 8), (16, 16)])
def test_dram_bridge(link_bytes: int, beat_bytes: int, pauses: str) -> None:
    """The bridge serves under every back-pressure, also where a line is a single beat."""
    run_bench(
        DramBridge(
            link_bytes=link_bytes,
            beat_bytes=beat_bytes,
            read_tag_width=TAG_WIDTH,
            write_tag_width=TAG_WIDTH,
            size_bytes=SIZE,
            read_slots=SLOTS,
            write_slots=SLOTS,
        ),
        name=f"dram_bridge_{link_bytes}_{beat_bytes}",
        test_module=__name__,
        parameters={"link_bytes": link_bytes, "beat_bytes": beat_bytes, "pauses": pauses},
    )


def test_wrong_parameters_are_refused_with_one_sentence() -> None:
    """A bridge that cannot be built must say why."""
    common = {"link_bytes": 16, "read_tag_width": 4, "write_tag_width": 4, "size_bytes": 4096}
    with pytest.raises(ValueError, match="beat_bytes must be at most 16, not 32"):
        DramBridge(beat_bytes=32, **common)
    with pytest.raises(ValueError, match="read_slots must be a power of two from 2, not 12"):
        DramBridge(beat_bytes=8, read_slots=12, **common)
