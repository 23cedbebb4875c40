# SPDX-License-Identifier: Apache-2.0
"""Local memory: contents, latency, order, bandwidth, fairness, parity and counts."""

import dataclasses
import itertools
import random
from collections import defaultdict, deque
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.config.checks import ConfigError
from hw.config.element import LsConfig
from hw.config.presets import get_config
from hw.iface.pe import LsReadPort, LsWritePort
from hw.pe.ls import LocalMemory, LsSlots, SlotKind
from hw.pe.ls.arbiter import BankArbiter
from sim.golden.ls import LocalMemoryModel, bank_of
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import Bench, Pauses, StreamSource, always, bursts, sometimes

SLOTS = (
    LsSlots(name="stream", kind=SlotKind.READ, group="first"),
    LsSlots(name="land", kind=SlotKind.WRITE, group="second", count=2),
    LsSlots(name="drain", kind=SlotKind.WRITE, group="first", count=2),
    LsSlots(name="send", kind=SlotKind.READ, group="second", count=2),
)
SHARED: dict[str, dict[str, Any]] = {
    "": {},
    "lanes": {"read_lanes": 2, "write_lanes": 2},
    "two_port": {"read_lanes": 2, "write_lanes": 1, "two_port": True, "banks": 4},
    "staged": {
        "read_lanes": 2,
        "write_lanes": 1,
        "two_port": True,
        "banks": 4,
        "access_stage": True,
    },
    "staged_banks": {"access_stage": True},
}
"""What may differ from the member."""


def _config(parameters: dict[str, Any]) -> LsConfig:
    """Sizes of the member under test."""
    config = get_config(parameters["member"]).pe.ls
    return dataclasses.replace(config, parity=parameters["parity"], **parameters.get("shared", {}))


def _device(parameters: dict[str, Any]) -> LocalMemory:
    """The device under test."""
    return LocalMemory(
        config=_config(parameters),
        slots=SLOTS,
        with_inject=parameters["parity"],
        one_memory=parameters["one_memory"],
    )


class Slot:
    """One slot of the device, driven from a queue."""

    def __init__(self, bench: Bench, device: LocalMemory, slot: LsSlots, number: int) -> None:
        self.slot = slot
        self.name = f"{slot.name}__{number}"
        sizes = {
            "address_width": device.address_width,
            "word_bytes": device.config.word_bytes,
        }
        self.reads = slot.kind is SlotKind.READ
        signature = (LsReadPort if self.reads else LsWritePort)(**sizes)
        self.shape = signature.members["request"].signature.members["payload"].shape
        self.source = StreamSource(bench, f"{self.name}__request", self.shape)
        self.refusals = 0  # of the request that waits now
        self.longest = 0
        if self.reads:
            self.response_shape = signature.members["response"].signature.members["payload"].shape
            self.response_valid = bench.port(f"{self.name}__response__valid")
            self.response = bench.port(f"{self.name}__response__payload")

    def pause(self, pauses: Pauses) -> None:
        """Choose when the slot asks."""
        self.source._pauses = pauses


class Scoreboard:
    """Follows every slot cycle by cycle and compares with the model."""

    def __init__(self, bench: Bench, device: LocalMemory) -> None:
        self.bench = bench
        self.device = device
        self.model = LocalMemoryModel(device.config)
        self.slots = [Slot(bench, device, s, i) for s in SLOTS for i in range(s.count)]
        self.lanes = dict(zip((slot.name for slot in self.slots), device.lanes, strict=True))
        # Of each slot: when its reads are due, and what they find.
        self.expected: dict[str, deque[tuple[int, bytes, int, int]]] = defaultdict(deque)
        self.counts = dict.fromkeys(("first", "second"), 0)
        self.totals = {"conflicts": 0, "reads": 0, "writes": 0, "checked": 0}
        self._before: list[dict[str, int]] = []  # counts of the two cycles before
        self._reset = bench.port("rst")
        self._inject = bench.port("inject")
        if self._inject is not None:
            self._inject.value = 0
        bench.add(self)

    def by_name(self, name: str) -> Slot:
        """A slot."""
        return next(slot for slot in self.slots if slot.name == name)

    def sample(self, cycle: int) -> None:
        """One cycle: answers that are due, counts of the last cycle, accesses of this one."""
        if int(self._reset.value):
            return  # what was on its way may still show in the first cycle of a reset
        for slot in self.slots:
            if slot.reads:
                self._check_answer(slot, cycle)
        self._check_counts()
        counts = {"first": 0, "second": 0, "reads": 0, "writes": 0}
        inject = int(self._inject.value) if self._inject is not None else 0
        written = self._written_now()
        banks, lanes = [], []
        for slot in self.slots:
            if not slot.source.valid:
                continue
            request = unpack(slot.shape, slot.source.payload)
            address = request if slot.reads else request["address"]
            if not slot.source.ready:
                slot.refusals += 1
                slot.longest = max(slot.longest, slot.refusals)
                assert slot.refusals <= self.device.max_wait, f"{slot.name} waits too long"
                counts[slot.slot.group] += 1
                continue
            slot.refusals = 0
            two_port = self.device.config.two_port
            banks.append((bank_of(address, self.device.config.banks), slot.reads and two_port))
            lanes.append(self.lanes[slot.name])
            counts["reads" if slot.reads else "writes"] += 1
            if slot.reads:
                word, wrong, known = self.model.read(address)
                known = 0 if address in written else known
                due = cycle + self.device.config.latency
                self.expected[slot.name].append((due, word, wrong, known))
            else:
                word = request["data"].to_bytes(self.device.config.word_bytes, "little")
                self.model.write(address, word, request["strobe"], inject)
        if not self.device.config.access_stage:  # else they are kept and go one by one
            assert len(set(banks)) == len(banks), f"two accesses of one bank: {banks}"
        assert len(set(lanes)) == len(lanes), f"two accesses of one lane: {lanes}"
        self.totals["conflicts"] += counts["first"] + counts["second"]
        self.totals["reads"] += counts["reads"]
        self.totals["writes"] += counts["writes"]
        self._before = [*self._before, counts][-2:]

    def _written_now(self) -> set[int]:
        """Words whose write is accepted in this cycle: who reads one at once gets anything."""
        now = [s for s in self.slots if not s.reads and s.source.valid and s.source.ready]
        return {unpack(slot.shape, slot.source.payload)["address"] for slot in now}

    def _check_answer(self, slot: Slot, cycle: int) -> None:
        waiting = self.expected[slot.name]
        due = waiting[0][0] if waiting else None
        valid = bool(slot.response_valid.value)
        if self.device.config.access_stage:
            most = max(self.lanes.values())  # accesses that were there before it
            assert not valid or (due is not None and due <= cycle), f"{slot.name} answers too soon"
            assert valid or due is None or cycle < due + most, f"{slot.name} answers too late"
        else:
            assert valid == (due == cycle), f"{slot.name}: response valid is {valid}"
        if not valid:
            return
        found = unpack(slot.response_shape, slot.response.value.to_unsigned())
        _, word, wrong, known = waiting.popleft()
        for i, byte in enumerate(found["data"].to_bytes(len(word), "little")):
            if known >> i & 1:
                assert byte == word[i], f"{slot.name} byte {i}: {byte:#x}, expected {word[i]:#x}"
                self.totals["checked"] += 1
        if self.device.config.parity:
            assert found["error"] & known == wrong & known, (
                f"{slot.name}: error {found['error']:#x}"
            )
        else:
            assert found["error"] == 0

    def _check_counts(self) -> None:
        if len(self._before) < 2:
            return
        then = self._before[0]
        shape = self.device.signature.members["conflicts"].shape
        conflicts = unpack(shape, self.bench.port("conflicts").value.to_unsigned())
        assert conflicts == {group: then[group] for group in conflicts}
        assert self.bench.port("words_read").value.to_unsigned() == then["reads"]
        assert self.bench.port("words_written").value.to_unsigned() == then["writes"]

    def drive(self) -> None:
        """The sources drive."""

    def reset(self) -> None:
        """Answers on their way are lost; contents stay."""
        self.expected.clear()
        self._before = []
        for slot in self.slots:
            slot.refusals = 0

    async def drained(self) -> None:
        """Wait until all requests were answered."""
        for slot in self.slots:
            await slot.source.drained()
        await self.bench.wait(self.device.config.latency + 1 + max(self.lanes.values()))
        assert not any(self.expected.values())


async def _start(dut: Any) -> tuple[Bench, Scoreboard, random.Random]:
    bench = Bench(dut)
    board = Scoreboard(bench, _device(bench_parameters()))
    await bench.start()
    return bench, board, python_rng("traffic")


def _request(slot: Slot, address: int, rng: random.Random, full: bool = False) -> Any:
    """A request of `slot` with random data."""
    if slot.reads:
        return address
    n_bytes = bench_parameters() and _config(bench_parameters()).word_bytes
    every = (1 << n_bytes) - 1
    strobe = every if full else rng.choice((every, 0, 1, rng.getrandbits(n_bytes)))
    data = rng.choice((0, (1 << 8 * n_bytes) - 1, rng.getrandbits(8 * n_bytes)))
    return {"address": address, "data": data, "strobe": strobe}


@cocotb.test()
async def random_traffic_matches_the_model(dut: object) -> None:
    """All slots at once, random addresses, masks and pauses: contents and latency are right."""
    _, board, rng = await _start(dut)
    words = board.device.config.words
    window = [rng.randrange(words) for _ in range(24)] + [0, words - 1]
    for number, slot in enumerate(board.slots):
        slot.pause((always(), sometimes(), bursts())[number % 3])
        slot.source.send_all(_request(slot, rng.choice(window), rng) for _ in range(400))
    await board.drained()
    assert board.totals["conflicts"] > 100 and board.totals["checked"] > 1000


@cocotb.test()
async def every_word_is_its_own(dut: object) -> None:
    """Every word of the memory holds what was written to it, so no two share a place."""
    _, board, rng = await _start(dut)
    words = board.device.config.words
    writers = [slot for slot in board.slots if not slot.reads]
    for address in range(words):
        slot = writers[address % len(writers)]
        slot.source.send(_request(slot, address, rng, full=True))
    await board.drained()
    readers = [slot for slot in board.slots if slot.reads]
    for address in range(words):
        readers[address % len(readers)].source.send(address)
    await board.drained()
    assert board.totals["checked"] == words * board.device.config.word_bytes


@cocotb.test()
async def every_slot_has_a_word_each_cycle(dut: object) -> None:
    """Slots in different banks (and lanes) never wait: one access a cycle, answers in two."""
    _, board, rng = await _start(dut)
    config = board.device.config
    slots = list({board.lanes[slot.name]: slot for slot in reversed(board.slots)}.values())
    by_bank = {
        bank: [a for a in range(config.words) if bank_of(a, config.banks) == bank]
        for bank in range(config.banks)
    }
    slots.sort(key=lambda slot: slot.reads)  # banks with two ports may have one of each kind
    for number, slot in enumerate(slots):
        for step in range(50):
            address = rng.choice(by_bank[(number + step) % config.banks])
            slot.source.send(_request(slot, address, rng))
    await board.drained()
    for slot in slots:
        assert slot.source.cycles[-1] - slot.source.cycles[0] == 49
    assert board.totals["conflicts"] == 0


@cocotb.test()
async def nobody_starves(dut: object) -> None:
    """With all slots at one bank for ever, each waits at most `max_wait` cycles."""
    _, board, rng = await _start(dut)
    config = board.device.config
    bank = [a for a in range(config.words) if bank_of(a, config.banks) == 3]
    n = 60
    for slot in board.slots:
        slot.source.send_all(_request(slot, rng.choice(bank), rng) for _ in range(n))
    first = board.slots[0]
    await first.source.drained(idle_limit=board.device.max_wait + 1)
    done = [len(slot.source.items) for slot in board.slots]
    assert min(done) >= 1, f"accesses by slot: {done}"
    if config.access_stage:
        assert 3 * min(done) >= max(done), "in the order in which they came: none comes first"
    else:
        assert done[0] >= n, "the first slot comes first unless others have waited long"
    assert max(slot.longest for slot in board.slots) > board.device.max_wait // 3
    await board.drained()


@cocotb.test()
async def first_slot_wins_at_first(dut: object) -> None:
    """Of slots that ask a bank for the first time, the one listed first has it."""
    bench, board, rng = await _start(dut)
    if len(set(board.lanes.values())) < len(board.lanes) or board.device.config.access_stage:
        return  # slots of a lane take turns, and lanes are not refused for others
    for _ in range(20):
        chosen = sorted(rng.sample(range(len(board.slots)), 2))
        first, second = (board.slots[i] for i in chosen)
        address = rng.randrange(board.device.config.words)
        first.source.send(_request(first, address, rng))
        second.source.send(_request(second, address, rng))
        await board.drained()
        assert second.source.cycles[-1] == first.source.cycles[-1] + 1
        await bench.wait(rng.randrange(3))


@cocotb.test()
async def wrong_parity_is_reported_per_byte(dut: object) -> None:
    """Bytes written with inverted parity are reported in `error` until they are written again."""
    if not bench_parameters()["parity"]:
        return
    bench, board, rng = await _start(dut)
    writer, reader = board.by_name("land__1"), board.by_name("send__1")
    n_bytes = board.device.config.word_bytes
    seen = 0
    for _ in range(60):
        address = rng.randrange(4)
        bench.dut["inject"].value = rng.choice((0, 1 << rng.randrange(n_bytes), (1 << n_bytes) - 1))
        writer.source.send(_request(writer, address, rng))
        await writer.source.drained()
        reader.source.send(address)
        await board.drained()
        seen += board.model.read(address)[1] != 0
    assert seen > 10


@cocotb.test()
async def reset_keeps_contents(dut: object) -> None:
    """A reset under traffic loses answers on their way and nothing else."""
    bench, board, rng = await _start(dut)
    for _ in range(3):
        for slot in board.slots:
            slot.source.send_all(_request(slot, rng.randrange(64), rng) for _ in range(40))
        await bench.wait(rng.randrange(10, 30))
        await bench.reset()
    for slot in board.slots:
        slot.source.send_all(_request(slot, rng.randrange(64), rng) for _ in range(40))
    await board.drained()


@pytest.mark.parametrize(
    ("member", "one_memory", "parity", "shared"),
    [
        ("tiny", True, True, ""),
        ("tiny", False, True, ""),
        ("tiny", True, False, ""),
        ("tiny", False, False, ""),
        ("tiny", False, True, "lanes"),
        ("tiny", False, True, "two_port"),
        ("tiny", True, True, "staged"),
        ("tiny", False, True, "staged_banks"),
        ("mtia100-pe", True, True, ""),
        ("fpga", True, True, ""),
    ],
    ids=[
        "tiny",
        "tiny_crossbar",
        "tiny_plain",
        "tiny_crossbar_plain",
        "tiny_crossbar_lanes",
        "tiny_crossbar_two_port",
        "tiny_staged",
        "tiny_crossbar_staged",
        "full_size",
        "fpga",
    ],
)
def test_local_memory(member: str, one_memory: bool, parity: bool, shared: str) -> None:
    """Both forms of the array, with and without parity, with shared lanes, and whole members."""
    parameters = {
        "member": member,
        "one_memory": one_memory,
        "parity": parity,
        "shared": SHARED[shared],
    }
    form = f"{'' if one_memory else '_crossbar'}{'' if parity else '_plain'}"
    form += f"_{shared}" if shared else ""
    run_bench(
        _device(parameters),
        name=f"ls_{member.replace('-', '_')}{form}",
        test_module=__name__,
        parameters=parameters,
    )


def test_banks_spread_streams() -> None:
    """Words of a bank differ in their row, and any power-of-two pitch walks all banks in turn."""
    for member in ("tiny", "fpga", "mtia100-pe"):
        config = get_config(member).pe.ls
        width = (config.banks - 1).bit_length()
        places = {(bank_of(a, config.banks), a >> width) for a in range(config.words)}
        assert len(places) == config.words
        pitch = 1
        while pitch * config.banks <= config.words:
            banks = {bank_of(i * pitch, config.banks) for i in range(config.banks)}
            # A pitch that is no whole power of the bank count splits one group over two.
            assert len(banks) == config.banks, (member, pitch)
            pitch *= 2


def test_wrong_constructor_arguments_are_refused() -> None:
    """One sentence for each."""
    config = get_config("tiny").pe.ls
    read = LsSlots(name="a", kind=SlotKind.READ, group="g")
    for slots in ((), (read, read)):
        with pytest.raises(ValueError, match="unique names"):
            LocalMemory(config=config, slots=slots)
    with pytest.raises(ValueError, match="Count of slots 'a' is 0; it must be >= 1."):
        LocalMemory(config=config, slots=(dataclasses.replace(read, count=0),))
    with pytest.raises(ConfigError, match="ls.banks is 6"):
        LocalMemory(config=dataclasses.replace(config, banks=6), slots=(read,))
    with pytest.raises(ValueError, match="n_slots is 0"):
        BankArbiter(n_slots=0, n_banks=8)
    with pytest.raises(ValueError, match="n_banks is 6"):
        BankArbiter(n_slots=1, n_banks=6)
    with pytest.raises(ValueError, match="new numbers must come in order"):
        BankArbiter(n_slots=2, n_banks=8, lanes=(1, 0))
    with pytest.raises(ConfigError, match="ls.read_lanes is -1; it must be 0 or more"):
        LocalMemory(config=dataclasses.replace(config, read_lanes=-1), slots=(read,))
    with pytest.raises(ValueError, match="Slots must be of both kinds"):
        LocalMemory(config=config, slots=(read,))


def test_model_keeps_bytes_apart() -> None:
    """The model itself, against a dictionary of bytes."""
    rng = python_rng("model")
    config = get_config("tiny").pe.ls
    model, table = LocalMemoryModel(config), {}
    for _ in range(500):
        address, strobe = rng.randrange(8), rng.getrandbits(config.word_bytes)
        word = rng.randbytes(config.word_bytes)
        model.write(address, word, strobe)
        for i in itertools.compress(range(config.word_bytes), map(int, f"{strobe:08b}"[::-1])):
            table[address, i] = word[i]
        found, wrong, known = model.read(address)
        assert wrong == 0
        for i in range(config.word_bytes):
            assert (known >> i & 1) == ((address, i) in table)
            assert table.get((address, i), found[i]) == found[i]


class RegisteredSlot(wiring.Component):
    """Local memory with one slot of each kind, and a register behind the response."""

    def __init__(self) -> None:
        self.memory = LocalMemory(config=get_config("tiny").pe.ls, slots=(SLOTS[0], SLOTS[1]))
        members = self.memory.signature.members
        response = members["stream"].signature.members["response"].signature.members["payload"]
        super().__init__(
            {name: members[name] for name in ("stream", "land")} | {"late": Out(response.shape)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self.memory
        for name in ("stream", "land"):
            for outer, inner in zip(getattr(self, name), getattr(self.memory, name), strict=True):
                wiring.connect(m, wiring.flipped(outer), inner)
        m.d.sync += self.late.eq(self.memory.stream[0].response.payload)
        return m


@cocotb.test(skip="registered" not in bench_parameters())
async def a_register_sees_the_response_a_cycle_late(dut: object) -> None:
    """The response changes at the clock edge and not before: a register behind it is later."""
    bench = Bench(dut)
    writer, reader = bench.source("land__0__request"), bench.source("stream__0__request")
    await bench.start()
    shape = LsWritePort(address_width=11, word_bytes=8).members["request"].signature
    shape = shape.members["payload"].shape
    for address in range(8):
        writer.send(pack(shape, {"address": address, "data": address + 1, "strobe": 0xFF}))
    await writer.drained()
    reader.send_all(range(8))
    payload, late, before = dut["stream__0__response__payload"], dut["late"], None
    for _ in range(16):
        await bench.wait(1)
        now = payload.value.to_unsigned()
        assert before is None or late.value.to_unsigned() == before
        before = now
    assert before & 0xFF == 8


def test_response_is_a_register() -> None:
    """The memory that stands for the banks in Verilator changes its outputs at clock edges."""
    run_bench(
        RegisteredSlot(),
        name="ls_registered",
        test_module=__name__,
        parameters={"registered": True, "member": "tiny", "one_memory": True, "parity": True},
        testcase="a_register_sees_the_response_a_cycle_late",
    )
