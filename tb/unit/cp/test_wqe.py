# SPDX-License-Identifier: Apache-2.0
"""The work-queue engine: commands arrive whole and in order whatever the memory does."""

import random

import cocotb
import pytest

from hw.arch.commands import Opcode, encode, is_long
from hw.arch.traps import Trap
from hw.iface.pe import TrapReport
from hw.pe.wqe import ListStart, WorkQueueEngine
from tb.common.memory import MemoryModel
from tb.common.payload import unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, Pauses, check_equal
from tb.unit.cp.programs import LONG_OPCODES, random_long

N_LINES = 4
MEMORY_BYTES = 1 << 16
NOP, END = encode(Opcode.NOP), encode(Opcode.END, status=3)


class Engine:
    """The device and its surroundings."""

    def __init__(
        self,
        dut: object,
        *,
        sink_pauses: Pauses | None = None,
        request_pauses: Pauses | None = None,
        latency: int = 12,
    ) -> None:
        self.dut, self.bench = dut, Bench(dut)
        self.link_bytes = bench_parameters()["link_bytes"]
        self.start = self.bench.source("start", ListStart)
        self.memory = MemoryModel(
            self.bench,
            "memory",
            read="memory",
            link_bytes=self.link_bytes,
            tag_width=(N_LINES - 1).bit_length(),
            size=MEMORY_BYTES,
            latency=latency,
            shuffle=latency > 0,
            pauses=request_pauses,
        )
        self.requests = self.bench.monitor("memory__request")
        self.answers = self.bench.monitor("memory__response")
        self.commands = self.bench.sink("command", None, sink_pauses)
        dut.halt.value = 0

    def run(self, address: int, commands: list[bytes], quads: int | None = None) -> None:
        """Put a list into memory and start it."""
        data = b"".join(commands)
        place = address - self.memory.base
        self.memory.data[place : place + len(data)] = data
        self.start.send({"address": address, "quads": len(data) // 16 if quads is None else quads})

    async def receive(self, commands: list[bytes]) -> None:
        """The next commands must be these."""
        seen = await self.commands.receive(len(commands), idle_limit=400)
        mask = [(1 << 8 * len(command)) - 1 for command in commands]
        check_equal(
            [bits & m for bits, m in zip(seen, mask, strict=True)],
            [int.from_bytes(command, "little") for command in commands],
            "command",
        )

    async def rest(self) -> None:
        """Wait until the engine is idle; no line may be on its way then."""
        await self.bench.until(lambda: self.dut.idle.value, 400)
        await self.bench.wait(1)
        n_read = len(self.requests.items)
        await self.bench.wait(40)
        assert len(self.requests.items) == n_read == len(self.answers.items)
        assert self.dut.idle.value

    def read_trap(self) -> dict[str, int]:
        """The engine's report."""
        return unpack(TrapReport, int(self.dut.trap.value))


def random_list(rng: random.Random, n: int) -> list[bytes]:
    """Commands of all kinds, with END last."""
    commands = []
    for _ in range(n):
        opcode = rng.choice((Opcode.NOP, Opcode.SIGNAL, Opcode.FENCE, *LONG_OPCODES))
        values = random_long(rng, opcode) if is_long(opcode) else {"tag": rng.getrandbits(16)}
        commands.append(encode(opcode, **values))
    return [*commands, END]


@cocotb.test()
async def random_lists_arrive_in_order(dut: object) -> None:
    """Lists at any place in a line, one after another, under all pauses and answer orders."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    engine = Engine(dut, sink_pauses=for_sink(), request_pauses=for_source())
    await engine.bench.start()
    rng = python_rng("lists")
    for n in (0, 1, 2, 3, 5, 40, 40):
        address = 16 * rng.randrange(MEMORY_BYTES // 32)
        behind = rng.choice((0, 1, 7, 1 << 9))  # quads that the list has behind END
        await check_list(engine, random_list(rng, n), address, behind)


@cocotb.test()
async def every_bit_of_address_and_length_counts(dut: object) -> None:
    """Lists across each power of two in the address space, in lists of each power of two quads."""
    engine = Engine(dut)
    await engine.bench.start()
    rng = python_rng("far lists")
    for bit in range(8, 32):
        commands = random_list(rng, rng.randint(1, 6))
        quads = sum(map(len, commands)) // 16
        middle = 1 << (bit + 8)  # up to half of the address space
        engine.memory.base = max(0, middle - MEMORY_BYTES // 2)
        behind = rng.choice(((1 << bit) - rng.randrange(quads), 0))
        await check_list(engine, commands, middle - 16 * rng.randint(0, quads), behind)
        # Without END the same list traps behind its last quad.
        address = middle - 16 * rng.randint(0, quads)
        engine.run(address, commands[:-1])
        await engine.receive(commands[:-1])
        await engine.bench.until(lambda: engine.read_trap()["valid"], 200)
        trap = engine.read_trap()
        info = (address + 16 * (quads - 1)) & 0xFFFFFFFF
        assert (trap["cause"], trap["info"]) == (Trap.LIST_OVERRUN, info)
        await engine.rest()
        await engine.bench.reset()
        engine.memory.reads.clear()


async def check_list(engine: Engine, commands: list[bytes], address: int, behind: int) -> None:
    """Run a list that has `behind` quads behind END; compare commands and the lines read."""
    n_bytes = sum(map(len, commands))
    engine.run(address, commands, n_bytes // 16 + behind)
    await engine.receive(commands)
    await engine.rest()
    assert not engine.read_trap()["valid"]
    last = address + n_bytes + 16 * behind - 1
    lines = sorted(line // engine.link_bytes for line in engine.memory.reads)
    first = address // engine.link_bytes
    assert lines == list(range(first, first + len(lines)))
    assert lines[-1] <= last // engine.link_bytes
    engine.memory.reads.clear()


@cocotb.test()
async def one_quad_a_cycle_and_one_for_taking(dut: object) -> None:
    """With a quick memory a short command comes every two cycles, a long one every five."""
    engine = Engine(dut, latency=0)
    await engine.bench.start()
    fast = engine.link_bytes >= 32  # lines of one quad cannot cover the memory's latency
    for commands, cycles in (([NOP] * 40, 80), ([encode(Opcode.MML, tag=5)] * 20, 100)):
        commands = [*commands, END]
        engine.run(0x1000, commands)
        start = len(engine.commands.cycles)
        await engine.receive(commands)
        await engine.rest()
        seen = engine.commands.cycles[start:]
        taken = engine.start.cycles[-1]
        long = is_long(commands[0][0])
        # This memory answers in the cycle after the request; 3 cycles are the engine's own.
        assert seen[0] - taken == 1 + 3 + 3 * long
        if fast:
            assert seen[-1] - seen[0] == (cycles - 5 + 2 if long else cycles)


@cocotb.test()
async def list_overrun_traps(dut: object) -> None:
    """No END, END inside a long command's place, a cut command, an empty list."""
    engine = Engine(dut)
    long = encode(Opcode.MML)
    await engine.bench.start()
    for commands, quads in (
        ([NOP, NOP], 2),
        ([NOP, long], 5),
        ([NOP, long], 4),
        ([long], 1),
        ([], 0),
        ([NOP], 1),
    ):
        engine.run(0x340, commands, quads)
        whole = [
            c for i, c in enumerate(commands) if sum(map(len, commands[: i + 1])) <= 16 * quads
        ]
        await engine.bench.until(lambda: engine.read_trap()["valid"], 200)
        await engine.receive(whole)
        trap = engine.read_trap()
        assert (trap["cause"], trap["info"]) == (Trap.LIST_OVERRUN, 0x340 + 16 * quads)
        await engine.rest()
        await engine.bench.wait(20)
        assert not engine.commands.valid
        await engine.bench.reset()


@cocotb.test()
async def bad_lines_trap_only_when_needed(dut: object) -> None:
    """A refused or poisoned line traps with its address when its first quad is wanted."""
    engine = Engine(dut)
    link = engine.link_bytes
    await engine.bench.start()
    per_line = link // 16
    for kind, cause in (("error", Trap.MEMORY_ERROR), ("poison", Trap.MEMORY_POISON)):
        lines = engine.memory.bad if kind == "error" else engine.memory.poisoned
        lines.add(0x8000 + 2 * link)
        engine.run(0x8000, [NOP] * (3 * per_line) + [END])
        await engine.receive([NOP] * (2 * per_line))
        await engine.bench.until(lambda: engine.read_trap()["valid"], 100)
        trap = engine.read_trap()
        assert (trap["cause"], trap["info"]) == (cause, 0x8000 + 2 * link)
        await engine.rest()
        await engine.bench.reset()
        # Behind END nobody looks at it.
        commands = [NOP] * (2 * per_line - 1) + [END]
        engine.run(0x8000, commands, 8 * per_line)
        await engine.receive(commands)
        await engine.rest()
        assert not engine.read_trap()["valid"]
        lines.clear()
    engine.start.send({"address": 0x8008, "quads": 4})
    await engine.bench.until(lambda: engine.read_trap()["valid"], 20)
    assert engine.read_trap()["cause"] == Trap.ILLEGAL_FIELD
    await engine.rest()


@cocotb.test()
async def halt_at_any_moment(dut: object) -> None:
    """Halt stops requests and commands; idle rises when the last line is there."""
    engine = Engine(dut)
    await engine.bench.start()
    rng = python_rng("halt")
    for _ in range(15):
        engine.run(0x40, [NOP] * 60 + [END])
        await engine.bench.wait(rng.randrange(1, 60))
        dut.halt.value = 1
        await engine.bench.wait(2)
        n_read, n_commands = len(engine.requests.items), len(engine.commands.items)
        await engine.rest()
        await engine.bench.wait(5)
        # A request that was offered may still go, no new one is.
        assert len(engine.requests.items) - n_read <= 1
        assert len(engine.commands.items) == n_commands and not engine.commands.valid
        dut.halt.value = 0
        await engine.bench.reset()
        commands = [encode(Opcode.MML), NOP, END]
        engine.run(0x4C0, commands)
        await engine.receive(commands)
        await engine.rest()
        await engine.bench.reset()


@pytest.mark.parametrize("link_bytes", [16, 64])
@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_engine(link_bytes: int, back_pressure: str) -> None:
    """Lists run under all pauses; errors, halt and speed as documented."""
    run_bench(
        WorkQueueEngine(link_bytes=link_bytes, n_lines=N_LINES),
        name=f"wqe_{link_bytes}",
        test_module=__name__,
        parameters={"link_bytes": link_bytes, "back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "random_lists_arrive_in_order",
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"link_bytes": 8}, "link_bytes must be a power of two from 16 to 256, not 8"),
        ({"link_bytes": 64, "n_lines": 3}, "n_lines must be a power of two, at least 2, not 3"),
    ],
)
def test_wrong_parameters_are_refused(arguments: dict, sentence: str) -> None:
    """A size out of range is refused in one sentence."""
    with pytest.raises(ValueError, match=sentence):
        WorkQueueEngine(**arguments)
