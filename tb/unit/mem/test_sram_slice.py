# SPDX-License-Identifier: Apache-2.0
"""The SRAM slice against its golden model: ordering, combining, correction, poison, throughput."""

import itertools
from typing import Any

import cocotb
import numpy as np
import pytest

from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.mem.sram_slice import EccFault, SramSlice
from sim.golden.ecc import secded_check
from sim.golden.sram import SramModel
from tb.common.memory import payload_shapes
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, always

SIZE, TAG_WIDTH, TIMEOUT = 1024, 6, 12


class Device:
    """The slice with its agents, cleared, beside a golden model."""

    def __init__(self, dut: Any, *, paused: bool = True) -> None:
        parameters = bench_parameters()
        self.line, self.ecc = parameters["link_bytes"], parameters["ecc"]
        self.bench = Bench(dut)
        self.model = SramModel(size_bytes=SIZE, ecc=self.ecc)
        self.rng = python_rng("sram slice")
        self.corrected = self.uncorrected = 0
        source, sink = BACK_PRESSURE[parameters["pauses"]] if paused else (always, always)
        read = payload_shapes(MemoryReadPort(link_bytes=self.line, tag_width=TAG_WIDTH))
        write = payload_shapes(MemoryWritePort(link_bytes=self.line, tag_width=TAG_WIDTH))
        self.reads = self.bench.source("read__request", read[0], source())
        self.writes = self.bench.source("write__request", write[0], source())
        self.faults = self.bench.source("inject", EccFault)
        self.answers = self.bench.sink("read__response", read[1], sink())
        self.acks = self.bench.sink("write__response", write[1], sink())
        self.bench.add(self)
        dut["clear"].value = 0

    def sample(self, cycle: int) -> None:
        """Add up the words that were found wrong."""
        self.corrected += int(self.bench.dut["corrected"].value)
        self.uncorrected += int(self.bench.dut["uncorrected"].value)

    def drive(self) -> None:
        """Nothing to drive."""

    def reset(self) -> None:
        """Count from here."""
        self.corrected = self.uncorrected = 0

    async def start(self) -> None:
        """Reset, then write zero everywhere."""
        await self.bench.start()
        await self.clear()

    async def clear(self) -> int:
        """Clear; returns the cycles that it took."""
        clear, clearing = self.bench.dut["clear"], self.bench.dut["clearing"]
        clear.value = 1
        await self.bench.wait(1)
        clear.value = 0
        await self.bench.wait(1)
        return await self.bench.until(lambda: not int(clearing.value))

    def send_read(self, line: int, tag: int = 0) -> None:
        """Ask for a line."""
        self.reads.send({"address": line * self.line, "tag": tag})

    def send_write(self, line: int, data: bytes, strobe: int, tag: int = 0) -> None:
        """Write to a line."""
        self.writes.send(
            {
                "address": line * self.line,
                "data": int.from_bytes(data, "little"),
                "strobe": strobe,
                "tag": tag,
            }
        )

    async def read(self, line: int) -> dict[str, int]:
        """Read and compare with the model."""
        self.send_read(line)
        answer = (await self.answers.receive(1))[0]
        self.check(answer, self.model.read(line * self.line, self.line))
        return answer

    async def write(self, line: int, data: bytes, strobe: int) -> None:
        """Write, to the model too, and wait for the acknowledgement."""
        self.send_write(line, data, strobe)
        self.model.write(line * self.line, data, strobe)
        assert not (await self.acks.receive(1))[0]["error"]

    async def inject(self, address: int, *bits: int) -> None:
        """Invert bits, in the model too."""
        first, second = (*bits, 0, 0)[:2]
        self.faults.send({"address": address, "bit0": first, "bit1": second, "n": len(bits)})
        await self.faults.drained()
        self.model.inject(address, bits)

    def check(self, answer: dict[str, int], expected: Any) -> None:
        """Compare an answer; bytes of lost words do not count."""
        assert answer["poison"] == expected.poison, f"{answer}, expected {expected}"
        assert not answer["error"]
        found = answer["data"].to_bytes(self.line, "little")
        for index, lost in enumerate(expected.lost):
            part = slice(8 * index, 8 * index + 8)
            assert lost or found[part] == expected.data[part], f"word {index}: {found.hex()}"

    def strobe(self) -> int:
        """Bytes, words, lines, or nothing."""
        kind = self.rng.randrange(5)
        full = (1 << self.line) - 1
        if kind == 0:
            return full
        if kind == 1:
            words = self.rng.getrandbits(self.line // 8)
            return sum(0xFF << 8 * i for i in range(self.line // 8) if words >> i & 1)
        if kind == 2:
            first = self.rng.randrange(self.line)
            return full & -(1 << first) & (1 << self.rng.randint(first, self.line)) - 1
        return self.rng.getrandbits(self.line)


class Holder:
    """Keeps a `ready` low for some cycles, whatever the agents before it set."""

    def __init__(self, ready: Any, n_cycles: int) -> None:
        self._ready, self._left = ready, n_cycles

    def sample(self, cycle: int) -> None:
        """One cycle less."""
        self._left -= 1

    def drive(self) -> None:
        """Hold, then let go."""
        if self._left >= 0:
            self._ready.value = int(self._left == 0)

    def reset(self) -> None:
        """Nothing to forget."""


@cocotb.test()
async def an_acknowledged_write_is_seen_by_every_later_read(dut: Any) -> None:
    """Random traffic on few lines; a read may see writes still under way, never miss one done."""
    device = Device(dut)
    await device.start()
    n_lines = 4
    allowed: list[list[set[int]]] = [[{0} for _ in range(device.line)] for _ in range(n_lines)]
    open_writes: dict[int, tuple[int, bytes, int]] = {}
    open_reads: dict[int, tuple[int, list[set[int]]]] = {}
    taken_acks = taken_answers = n_done = 0
    tag = 0
    while n_done < 1500:
        if len(open_writes) < 6 and device.rng.random() < 0.5:
            line, data, strobe = (
                device.rng.randrange(n_lines),
                device.rng.randbytes(device.line),
                device.strobe(),
            )
            tag = (tag + 1) % (1 << TAG_WIDTH)
            if tag not in open_writes and not any(w[0] == line for w in open_writes.values()):
                open_writes[tag] = (line, data, strobe)
                device.send_write(line, data, strobe, tag)
                for i in range(device.line):
                    if strobe >> i & 1:
                        allowed[line][i].add(data[i])
                for read_line, seen in open_reads.values():
                    if read_line == line:
                        for i in range(device.line):
                            seen[i] |= allowed[line][i]
        if len(open_reads) < 6 and device.rng.random() < 0.5:
            line = device.rng.randrange(n_lines)
            tag = (tag + 1) % (1 << TAG_WIDTH)
            if tag not in open_reads:
                open_reads[tag] = (line, [set(values) for values in allowed[line]])
                device.send_read(line, tag)
        await device.bench.wait(1)
        for ack in device.acks.items[taken_acks:]:
            assert not ack["error"]
            line, data, strobe = open_writes.pop(ack["tag"])
            for i in range(device.line):
                if strobe >> i & 1:
                    allowed[line][i] = {data[i]}
            n_done += 1
        for answer in device.answers.items[taken_answers:]:
            line, seen = open_reads.pop(answer["tag"])
            found = answer["data"].to_bytes(device.line, "little")
            for i in range(device.line):
                assert found[i] in seen[i], f"line {line} byte {i}: {found[i]} not in {seen[i]}"
            n_done += 1
        taken_acks, taken_answers = len(device.acks.items), len(device.answers.items)
    assert device.corrected == device.uncorrected == 0


@cocotb.test()
async def random_faults_and_writes_follow_the_model(dut: Any) -> None:
    """Correction, poison and healing in any order; nothing wrong is ever returned unmarked."""
    device = Device(dut)
    await device.start()
    if not device.ecc:
        return
    words, rng = device.line // 8, device.rng
    for _ in range(400):
        line, action = rng.randrange(8), rng.random()
        word = line * words + rng.randrange(words)
        if action < 0.25 and not device.model.is_lost(word):
            if device.model.read(8 * word, 8).corrected:
                continue  # a second fault is wanted at once or not at all
            await device.inject(8 * word, *rng.sample(range(72), rng.choice((0, 1, 1, 2))))
        elif action < 0.6:
            await device.write(line, rng.randbytes(device.line), device.strobe())
        else:
            await device.read(line)
    for line in range(8):
        await device.read(line)


@cocotb.test()
async def every_single_wrong_bit_is_corrected_and_counted(dut: Any) -> None:
    """All 72 bits of a word, one after the other."""
    device = Device(dut)
    await device.start()
    if not device.ecc:
        return
    data = device.rng.randbytes(device.line)
    await device.write(2, data, -1 & (1 << device.line) - 1)
    word = 2 * device.line + device.line - 8
    for bit in range(72):
        await device.inject(word, bit)
        assert not (await device.read(2))["poison"]
        await device.bench.wait(2)
        assert (device.corrected, device.uncorrected) == (bit + 1, 0)
        await device.inject(word, bit)
    await device.read(2)
    await device.bench.wait(2)
    assert device.corrected == 72


@cocotb.test()
async def two_wrong_bits_poison_until_the_word_is_written_whole(dut: Any) -> None:
    """Poison survives partial writes, other words stay clean, a whole write heals."""
    device = Device(dut)
    await device.start()
    if not device.ecc:
        return
    full = (1 << device.line) - 1
    for bits in ((0, 1), (5, 70), (64, 71), (0, 71)):
        await device.write(1, device.rng.randbytes(device.line), full)
        before = device.uncorrected
        await device.inject(device.line + 8, *bits)
        assert (await device.read(1))["poison"]
        await device.bench.wait(2)
        assert device.uncorrected == before + 1
        await device.write(1, device.rng.randbytes(device.line), 0x0100)
        assert (await device.read(1))["poison"]
        await device.write(1, device.rng.randbytes(device.line), 0x00FF)
        assert (await device.read(1))["poison"]
        await device.write(1, device.rng.randbytes(device.line), 0xFF00)
        assert not (await device.read(1))["poison"]


@cocotb.test()
async def no_two_wrong_bits_pass_for_one(dut: Any) -> None:
    """A pair of bits for every syndrome that two wrong bits can have."""
    device = Device(dut)
    if not device.ecc or bench_parameters()["pauses"] != "none":
        return
    await device.start()
    values = np.array([0, *(1 << bit for bit in range(64))], np.uint64)
    checks = [int(check) for check in secded_check(values)]
    columns = [check ^ checks[0] for check in checks[1:]] + [1 << bit for bit in range(8)]
    pairs = list(itertools.combinations(range(72), 2))
    device.rng.shuffle(pairs)
    chosen = {columns[a] ^ columns[b]: (a, b) for a, b in pairs}
    assert len(chosen) == 127  # all of even weight but zero
    for bits in chosen.values():
        await device.write(1, device.rng.randbytes(device.line), (1 << device.line) - 1)
        await device.inject(device.line, *bits)
        assert (await device.read(1))["poison"], bits


@cocotb.test()
async def a_partial_write_corrects_a_single_error_in_place(dut: Any) -> None:
    """Two single errors, one before and one after a partial write, must not add up to poison."""
    device = Device(dut)
    await device.start()
    if not device.ecc:
        return
    await device.inject(0, 7)
    await device.write(0, b"\xaa" * device.line, 0b100)
    await device.inject(0, 9)
    answer = await device.read(0)
    await device.bench.wait(2)
    assert not answer["poison"] and device.corrected == 2 and device.uncorrected == 0


@cocotb.test()
async def partial_writes_to_one_line_share_one_array_access(dut: Any) -> None:
    """Writing a line byte by byte costs one cycle each; without combining it would be two more."""
    device = Device(dut, paused=False)
    await device.start()
    for index in range(device.line):
        device.send_write(3, bytes([index]) * device.line, 1 << index)
        device.model.write(3 * device.line, bytes([index]) * device.line, 1 << index)
    await device.acks.receive(device.line)
    cycles = device.acks.cycles[-device.line :]
    assert cycles[-1] - cycles[0] == device.line - 1
    await device.read(3)


@cocotb.test()
async def partial_writes_to_new_lines_come_every_six_cycles(dut: Any) -> None:
    """The documented cost of a read-modify-write: read, three cycles of waiting, fill, write."""
    device = Device(dut, paused=False)
    await device.start()
    if not device.ecc:
        return
    n_lines = SIZE // device.line
    for line in range(n_lines):
        device.send_write(line, bytes(range(device.line)), 0b110)
        device.model.write(line * device.line, bytes(range(device.line)), 0b110)
    await device.acks.receive(n_lines)
    cycles = device.acks.cycles[-n_lines:]
    assert cycles[-1] - cycles[0] == 6 * (n_lines - 1)
    for line in range(n_lines):
        await device.read(line)


@cocotb.test()
async def the_combining_line_empties_itself(dut: Any) -> None:
    """After the timeout nothing is held, so the slice may sleep; the data is in the array."""
    device = Device(dut, paused=False)
    await device.start()
    if not device.ecc:
        return
    await device.write(5, b"\x11" * device.line, 0b1)
    assert int(dut["busy"].value)
    waited = await device.bench.until(lambda: not int(dut["busy"].value), limit=2 * TIMEOUT)
    assert waited >= TIMEOUT - 2
    await device.read(5)


@cocotb.test()
async def lines_go_through_at_one_per_cycle(dut: Any) -> None:
    """The documented rate, for reads alone, writes alone, and both together taking turns."""
    device = Device(dut, paused=False)
    await device.start()
    n, lines, full = 200, SIZE // device.line, (1 << device.line) - 1
    for index in range(n):
        data = device.rng.randbytes(device.line)
        device.send_write(index % lines, data, full)
        device.model.write(index % lines * device.line, data, full)
    await device.acks.receive(n)
    assert device.acks.cycles[-1] - device.acks.cycles[-n] == n - 1
    for index in range(n):
        device.send_read(index % lines)
    for index, answer in enumerate(await device.answers.receive(n)):
        device.check(answer, device.model.read(index % lines * device.line, device.line))
    assert device.answers.cycles[-1] - device.answers.cycles[-n] == n - 1
    assert device.answers.cycles[0] - device.reads.cycles[0] == (4 if device.ecc else 3)
    for index in range(n):
        device.send_read(index % lines)
        device.send_write(index % lines, bytes(device.line), full)
    await device.answers.receive(n)
    await device.acks.receive(n)
    took = max(device.acks.cycles[-1], device.answers.cycles[-1])
    took -= min(device.acks.cycles[-n], device.answers.cycles[-n])
    assert took <= 2 * n + 4


@cocotb.test()
async def a_reader_is_served_among_partial_writes_to_its_line(dut: Any) -> None:
    """A stream of combining writes must not keep the line from its reader."""
    device = Device(dut, paused=False)
    await device.start()
    for index in range(400):
        device.send_write(index % 2, bytes(device.line), 1 << index % device.line)
    await device.bench.wait(10)
    for _ in range(20):
        device.send_read(0)
        await device.answers.receive(1, idle_limit=20)


@cocotb.test()
async def a_write_of_no_byte_leaves_waiting_answers_alone(dut: Any) -> None:
    """It takes the array for a cycle and must not read another line into the output register."""
    device = Device(dut, paused=False)
    await device.start()
    for line in range(2):
        await device.write(line, device.rng.randbytes(device.line), (1 << device.line) - 1)
    answers_ready = dut["read__response__ready"]
    device.bench.add(Holder(answers_ready, 30))
    for _ in range(3):
        device.send_read(0)
    await device.bench.wait(10)
    await device.write(1, bytes(device.line), 0)
    for answer in await device.answers.receive(3):
        device.check(answer, device.model.read(0, device.line))


@cocotb.test()
async def clearing_heals_everything_and_takes_a_cycle_per_line(dut: Any) -> None:
    """Power-on contents are random words that mostly look uncorrectable."""
    device = Device(dut)
    await device.bench.start()
    took = await device.clear()
    assert took <= SIZE // device.line + 2
    for line in range(SIZE // device.line):
        await device.read(line)
    await device.write(1, b"\x77" * device.line, 0b1011)
    device.send_write(2, b"\x66" * device.line, 0b11)
    await device.bench.wait(1)
    await device.clear()
    await device.acks.receive(1)
    device.model = SramModel(size_bytes=SIZE, ecc=device.ecc)
    await device.read(1)


@cocotb.test()
async def reset_in_the_middle_leaves_the_slice_usable(dut: Any) -> None:
    """A reset drops what is under way and nothing of it comes out later."""
    device = Device(dut)
    await device.start()
    for index in range(30):
        device.send_read(index % 4, index)
        device.send_write(index % 4, bytes(device.line), 0b1)
    await device.bench.wait(17)
    await device.bench.reset()
    await device.clear()
    await device.write(3, device.rng.randbytes(device.line), device.strobe())
    await device.read(3)


@pytest.mark.parametrize("pauses", sorted(BACK_PRESSURE))
@pytest.mark.parametrize(
    ("link_bytes", "ecc"), [(16, True), (64, True), (16, False)], ids=["16", "64", "16_no_ecc"]
)
def test_sram_slice(link_bytes: int, ecc: bool, pauses: str) -> None:
    """The slice follows its model under every back-pressure."""
    run_bench(
        SramSlice(
            size_bytes=SIZE,
            link_bytes=link_bytes,
            read_tag_width=TAG_WIDTH,
            write_tag_width=TAG_WIDTH,
            ecc=ecc,
            combine_timeout=TIMEOUT,
        ),
        name=f"sram_slice_{link_bytes}{'' if ecc else '_no_ecc'}",
        test_module=__name__,
        parameters={"link_bytes": link_bytes, "ecc": ecc, "pauses": pauses},
    )


def test_wrong_sizes_are_refused_with_one_sentence() -> None:
    """A slice that cannot be built must say why."""
    with pytest.raises(ValueError, match="link_bytes must be a power of two, at least 8, not 24"):
        SramSlice(size_bytes=4096, link_bytes=24, read_tag_width=4, write_tag_width=4)
    with pytest.raises(ValueError, match="size_bytes must be a power of two, at least 32, not 16"):
        SramSlice(size_bytes=16, link_bytes=16, read_tag_width=4, write_tag_width=4)
    with pytest.raises(ValueError, match="combine_timeout must be at least 1 cycle, not 0"):
        SramSlice(
            size_bytes=4096, link_bytes=16, read_tag_width=4, write_tag_width=4, combine_timeout=0
        )
