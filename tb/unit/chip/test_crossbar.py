# SPDX-License-Identifier: Apache-2.0
"""The crossbar: routing, refusals, fairness, full rate, and nobody blocked by a slow neighbour."""

from typing import Any

import cocotb
import pytest

from hw.arch.address_map import CONTROL, DRAM, PE_WINDOWS
from hw.chip.crossbar import Crossbar, element_targets
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from tb.common.memory import MemoryModel, payload_shapes
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench

LINK, TAG_WIDTHS = 16, (4, 5, 2)
SRAM_BYTES, DRAM_BYTES, LOCAL_BYTES = 1 << 12, 1 << 13, 1 << 10
TARGETS = element_targets(sram_bytes=SRAM_BYTES, dram_bytes=DRAM_BYTES, local_bytes=LOCAL_BYTES)
SLAVE_TAG = Crossbar.tag_width(TAG_WIDTHS)
NOWHERE = (
    SRAM_BYTES,
    DRAM.base + DRAM_BYTES,
    PE_WINDOWS.base + LOCAL_BYTES,
    CONTROL.base,
    1 << 38,
    1 << 39,
)


class Device:
    """A crossbar for reads with its masters and memories."""

    def __init__(self, dut: Any, *, latency: int = 6, pauses: str | None = None) -> None:
        self.bench = Bench(dut)
        source, sink = BACK_PRESSURE[pauses or bench_parameters()["pauses"]]
        self.requests, self.answers = [], []
        for index, width in enumerate(TAG_WIDTHS):
            request, response = payload_shapes(MemoryReadPort(link_bytes=LINK, tag_width=width))
            name = f"master{index}"
            self.requests.append(self.bench.source(f"{name}__request", request, source()))
            self.answers.append(self.bench.sink(f"{name}__response", response, sink()))
        self.bases = {"sram": 0, "dram": DRAM.base, "local": PE_WINDOWS.base}
        self.memories = {
            name: MemoryModel(
                self.bench,
                name,
                link_bytes=LINK,
                tag_width=SLAVE_TAG,
                size=size,
                read=name,
                write="none",
                latency=latency,
                shuffle=latency > 1,
                pauses=sink(),
            )
            for name, size in (
                ("sram", SRAM_BYTES),
                ("dram", DRAM_BYTES),
                ("local", LOCAL_BYTES),
            )
        }

    def expected(self, address: int) -> int | None:
        """Data of a line, or None where nothing is."""
        for name, memory in self.memories.items():
            offset = address - self.bases[name]
            if 0 <= offset < len(memory.data):
                return int.from_bytes(memory.data[offset : offset + LINK], "little")
        return None


@cocotb.test()
async def every_answer_reaches_the_one_who_asked(dut: Any) -> None:
    """Random addresses of all masters, some where nothing is; tags come back unchanged."""
    device = Device(dut)
    await device.bench.start()
    rng = python_rng("crossbar")
    asked: list[dict[int, int]] = [{} for _ in TAG_WIDTHS]
    seen = [0] * len(TAG_WIDTHS)
    n_done = 0
    while n_done < 1200:
        for index, width in enumerate(TAG_WIDTHS):
            free = [tag for tag in range(1 << width) if tag not in asked[index]]
            if free and rng.random() < 0.7:
                kind = rng.random()
                address = rng.randrange(SRAM_BYTES // LINK) * LINK
                if kind < 0.4:
                    address = DRAM.base + rng.randrange(DRAM_BYTES // LINK) * LINK
                elif kind < 0.55:
                    address = rng.choice(NOWHERE)
                elif kind < 0.75:
                    address = PE_WINDOWS.base + rng.randrange(LOCAL_BYTES // LINK) * LINK
                tag = rng.choice(free)
                asked[index][tag] = address
                device.requests[index].send({"address": address, "tag": tag})
        await device.bench.wait(1)
        for index, sink in enumerate(device.answers):
            for answer in sink.items[seen[index] :]:
                address = asked[index].pop(answer["tag"])
                expected = device.expected(address)
                assert answer["error"] == (expected is None), f"{address:#x}: {answer}"
                assert expected is None or answer["data"] == expected
                n_done += 1
            seen[index] = len(sink.items)


@cocotb.test()
async def masters_share_a_memory_evenly(dut: Any) -> None:
    """Three masters that always ask get a third each, and the memory never rests."""
    device = Device(dut, latency=0, pauses="none")
    await device.bench.start()
    n = 60
    for requests, width in zip(device.requests, TAG_WIDTHS, strict=True):
        for index in range(n):
            requests.send({"address": index * LINK, "tag": index % (1 << width)})
    for sink in device.answers:
        await sink.receive(n)
    ends = [sink.cycles[-1] for sink in device.answers]
    starts = [sink.cycles[0] for sink in device.answers]
    assert max(ends) - min(ends) <= len(TAG_WIDTHS)
    assert max(ends) - min(starts) == len(TAG_WIDTHS) * n - 1


@cocotb.test()
async def one_master_gets_a_line_per_cycle(dut: Any) -> None:
    """The documented rate and latency."""
    device = Device(dut, latency=0, pauses="none")
    await device.bench.start()
    n = 100
    for index in range(n):
        device.requests[1].send({"address": index * LINK, "tag": index % 32})
    await device.answers[1].receive(n)
    cycles = device.answers[1].cycles
    assert cycles[-1] - cycles[0] == n - 1
    # The memory answers in the cycle after that in which it is asked.
    added = 4 if bench_parameters()["staged"] else 1
    assert cycles[0] - device.requests[1].cycles[0] == added + 1


@cocotb.test()
async def masters_of_different_memories_do_not_disturb_each_other(dut: Any) -> None:
    """SRAM and DRAM work side by side: both at full rate."""
    device = Device(dut, latency=0, pauses="none")
    await device.bench.start()
    n = 80
    for index in range(n):
        device.requests[0].send({"address": index * LINK, "tag": index % 16})
        device.requests[1].send({"address": DRAM.base + index * LINK, "tag": index % 32})
    for index in range(2):
        await device.answers[index].receive(n)
        cycles = device.answers[index].cycles
        assert cycles[-1] - cycles[0] == n - 1


@cocotb.test()
async def reset_in_the_middle_leaves_the_crossbar_usable(dut: Any) -> None:
    """Nothing from before the reset comes out after it."""
    device = Device(dut)
    await device.bench.start()
    for index in range(12):
        for requests in device.requests:
            requests.send({"address": index * LINK, "tag": index % 4})
    await device.bench.wait(9)
    await device.bench.reset()
    before = [len(sink.items) for sink in device.answers]
    for requests in device.requests:
        requests.send({"address": 5 * LINK, "tag": 3})
    for index, sink in enumerate(device.answers):
        await sink.receive(1)
        assert len(sink.items) == before[index] + 1
        assert sink.items[-1]["data"] == device.expected(5 * LINK)


@pytest.mark.parametrize("staged", (False, True), ids=("direct", "staged"))
@pytest.mark.parametrize("pauses", sorted(BACK_PRESSURE))
def test_crossbar_of_reads(pauses: str, staged: bool) -> None:
    """The crossbar carries reads under every back-pressure, with stages and without."""
    run_bench(
        Crossbar(
            port=MemoryReadPort,
            link_bytes=LINK,
            tag_widths=TAG_WIDTHS,
            targets=TARGETS,
            staged=staged,
        ),
        name=f"crossbar{'_staged' if staged else ''}",
        test_module=__name__,
        parameters={"pauses": pauses, "staged": staged},
    )


def test_a_crossbar_without_masters_is_refused() -> None:
    """It would have no tag to tell masters apart by."""
    with pytest.raises(ValueError, match="at least one master"):
        Crossbar(
            port=MemoryWritePort,
            link_bytes=16,
            tag_widths=(),
            targets=TARGETS,
        )
