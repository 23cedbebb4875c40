# SPDX-License-Identifier: Apache-2.0
"""The command processor in a bench: units as models around it, and its own model beside it."""

import random
from collections import Counter, deque
from typing import Any

from hw.arch.commands import Opcode, decode
from hw.arch.units import CbPortId, State, Unit
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.pe.cp.counter_file import READ_CYCLES
from hw.pe.cp.limits import CheckLimits
from hw.pe.cp.processor import SOURCES, CommandProcessor
from hw.pe.cp.traps import ElementTrap
from sim.golden.command_processor import (
    CommandProcessorModel,
    Effect,
    Limits,
    Signal,
    illegal,
    signal_of,
)
from tb.common.payload import pack, unpack
from tb.common.seeds import python_rng
from tb.common.stream import Bench, Pauses, always
from tb.unit.cp.programs import LIMITS

__all__ = ["Device", "UnitModel", "command_processor", "check_limits"]


def check_limits(limits: Limits) -> CheckLimits:
    """The same sizes for the device."""
    return CheckLimits(**vars(limits))


def command_processor(queue_depth: int = 4) -> CommandProcessor:
    """The device of these benches."""
    return CommandProcessor(limits=check_limits(LIMITS), queue_depth=queue_depth)


class UnitModel:
    """A unit that takes commands, works on up to two at once, and is done after random times."""

    def __init__(self, device: "Device", unit: Unit) -> None:
        self.device, self.unit = device, unit
        self.rng = python_rng(f"unit {unit.name}")
        name = unit.name.lower()
        port = device.bench.port
        self.pins = {
            pin: port(f"{name}__{pin}")
            for pin in (
                "command__payload",
                "command__valid",
                "command__ready",
                "completion__valid",
                "completion__payload",
                "halt",
                "idle",
                "trap",
                "status",
            )
        }
        self.expected: deque[bytes] = deque()
        """Commands that the device has taken from its sources and not yet given to this unit."""
        self.running: list[tuple[int, dict[str, int]]] = []  # cycle of the end, fields
        self.times: tuple[int, ...] = (1, 2, 5, 20)
        self.pauses: Pauses = always()
        self.n_taken = 0
        self.stuck = False
        self.state, self.tag, self.opcode = State.IDLE, 0, 0
        self._held: int | None = None
        self.reset()

    @property
    def open(self) -> int:
        """Commands that were issued and are not complete."""
        return len(self.expected) + len(self.running)

    def sample(self, cycle: int) -> None:
        """Take the offered command; it must be the next one that was issued."""
        valid = int(self.pins["command__valid"].value)
        halt = int(self.pins["halt"].value)
        if self._held is not None and not halt:
            assert valid and int(self.pins["command__payload"].value) == self._held, (
                f"{self.unit.name}: an offered command changed in cycle {cycle}"
            )
        self._held = None
        if halt:
            assert not valid, f"{self.unit.name}: a command is offered under halt"
            self.expected.clear()
        elif valid:
            bits = int(self.pins["command__payload"].value)
            if self.pins["command__ready"].value:
                self._take(bits.to_bytes(64, "little"), cycle)
            else:
                self._held = bits

    def _take(self, data: bytes, cycle: int) -> None:
        assert self.expected, f"{self.unit.name}: a command that nobody issued, in {cycle}"
        assert data == self.expected.popleft(), (
            f"{self.unit.name}: another command in cycle {cycle}: {decode(data)[1]}"
        )
        _, values = decode(data)
        # Commands are complete in their order.
        start = max([cycle, *(end for end, _ in self.running)])
        self.running.append((start + self.rng.choice(self.times), values))
        self.n_taken += 1

    def drive(self) -> None:
        """End a command when its time has come, and take another one if there is a place."""
        cycle = self.device.bench.cycle
        ends = bool(self.running) and self.running[0][0] <= cycle and not self.stuck
        if ends:
            _, values = self.running.pop(0)
            fields = {
                key: values[key]
                for key in ("tag", "signal_en", "signal_counter", "signal_row", "signal_col")
            }
            self.pins["completion__payload"].value = pack(Completion, fields)
            if not self.pins["halt"].value:
                self.device.completed(values)
        self.pins["completion__valid"].value = int(ends and not self.pins["halt"].value)
        self.pins["idle"].value = int(not self.running)
        self.pins["command__ready"].value = int(len(self.running) < 2 and not self.pauses(self.rng))
        self.pins["status"].value = pack(
            UnitStatus,
            {
                "state": self.state,
                "cb": 3,
                "bank": 2,
                "tag": self.tag,
                "opcode": self.opcode,
                "steps": self.n_taken,
            },
        )

    def raise_trap(self, **fields: int) -> None:
        """Report an error and hold it."""
        self.pins["trap"].value = pack(TrapReport, {"valid": 1} | fields)

    def reset(self) -> None:
        """Nothing is under way."""
        self.expected.clear()
        self.running.clear()
        self._held = None
        self.n_taken = 0
        self.stuck = False
        for pin in ("command__ready", "completion__valid", "trap", "status"):
            self.pins[pin].value = 0
        self.pins["idle"].value = 1


class Device:
    """Bench, agents and model. Every command that is taken is run on the model at once."""

    def __init__(
        self, dut: Any, *, source_pauses: Pauses | None = None, remote_pauses: Pauses | None = None
    ) -> None:
        self.dut = dut
        self.bench = bench = Bench(dut)
        self.model = CommandProcessorModel(LIMITS)
        for pin in (
            "halt_request",
            "row",
            "col",
            "wqe_trap",
            "debug_select",
            "bank_states",
            "counter_enable",
            "counter_clear",
            "snapshot",
            "counter_index",
            "counter_word",
        ):
            bench.port(pin).value = 0
        bench.port("wqe_idle").value = 1
        self.place = (0, 0)
        self.sources = [bench.source(f"source_{name}", None, source_pauses) for name in SOURCES]
        self.remote = bench.sink("remote_signal", Completion, remote_pauses)
        self.arriving = bench.source("signal_in", Completion)
        self.units = {unit: UnitModel(self, unit) for unit in LIMITS.units}
        self.expected_remote: Counter[tuple[int, int, int, int]] = Counter()
        self.done: list[int] = []
        self.trap: tuple[int, int] | None = None
        self.order: list[int] = []  # source of each command taken
        bench.add(self)
        for unit in self.units.values():
            bench.add(unit)
        for cb_port in CbPortId:
            bench.port(f"cb_{cb_port.name.lower()}__acquire__valid").value = 0
            bench.port(f"cb_{cb_port.name.lower()}__done__valid").value = 0

    def sample(self, cycle: int) -> None:
        """Run what was taken on the model, after checking that it was allowed to go."""
        if self.dut.rst.value:
            return
        taken = [i for i, source in enumerate(self.sources) if source.cycles[-1:] == [cycle]]
        assert len(taken) <= 1, f"{len(taken)} commands in cycle {cycle}"
        for item in [self.arriving.items[-1]] if self.arriving.cycles[-1:] == [cycle] else []:
            self.model.deliver(Signal(item["signal_counter"], 0, 0, item["tag"]))
        if self.dut.job_done.value:
            self.done.append(int(self.dut.status.value))
        for i in taken:
            self.order.append(i)
            self._run(self.sources[i].items[-1].to_bytes(64, "little"), cycle)

    def _run(self, data: bytes, cycle: int) -> None:
        if self.trap is None:
            self._check_condition(data, cycle)
        effect: Effect = self.model.take(data)
        if effect.trap:
            self.trap = self.trap or effect.trap
        elif effect.unit is not None:
            self.units[effect.unit].expected.append(effect.command)
        elif effect.signal:
            self._expect_remote(effect.signal)

    def _check_condition(self, data: bytes, cycle: int) -> None:
        """FENCE, END and WAIT must not have been too early."""
        if data[0] not in (Opcode.FENCE, Opcode.END, Opcode.WAIT) or illegal(data, LIMITS):
            return
        _, v = decode(data)
        if data[0] == Opcode.WAIT:
            ahead = (self.model.counters.get(v["counter"], 0) - v["value"]) % (1 << 32)
            assert ahead < 1 << 31, f"WAIT went on too early in cycle {cycle}: {v}"
            return
        mask = v.get("units", 0x7F)
        for unit, model in self.units.items():
            assert not mask >> unit & 1 or not model.open, (
                f"{Opcode(data[0]).name} went on in cycle {cycle} with {unit.name} busy"
            )

    def completed(self, values: dict[str, int]) -> None:
        """A unit has finished a command."""
        if values["signal_en"]:
            signal = signal_of(values)
            self.model.deliver(signal)
            self._expect_remote(signal)

    def _expect_remote(self, signal: Signal) -> None:
        if (signal.row, signal.col) != (0, 0):
            row, col = self.place
            self.expected_remote[
                (row + signal.row) % 16, (col + signal.col) % 16, signal.counter, signal.tag
            ] += 1

    def drive(self) -> None:
        """The device's own agent drives nothing."""

    def reset(self) -> None:
        """Everything is forgotten."""
        self.model = CommandProcessorModel(LIMITS)
        self.expected_remote.clear()
        self.done.clear()
        self.trap = None

    def send(self, source: int, *commands: bytes, rng: random.Random | None = None) -> None:
        """Queue commands at a source; above a short one anything may stand."""
        for data in commands:
            word = int.from_bytes(data, "little")
            if len(data) < 64 and rng:
                word |= rng.getrandbits(384) << 128
            self.sources[source].send(word)

    async def read_debug(self, space: int, index: int, word: int) -> int:
        """What the debug port shows."""
        self.dut.debug_select.value = space << 24 | index << 8 | word
        await self.bench.wait(8)
        return int(self.dut.debug_data.value)

    async def read_counter(self, index: int) -> int:
        """The readable value of a performance counter."""
        value = 0
        for word in (0, 1):
            self.dut.counter_index.value = index
            self.dut.counter_word.value = word
            await self.bench.wait(READ_CYCLES + 1)
            value |= int(self.dut.counter_data.value) << 32 * word
        return value

    def read_trap(self) -> dict[str, int]:
        """The element's trap."""
        return unpack(ElementTrap, int(self.dut.trap.value))

    @property
    def remote_seen(self) -> Counter[tuple[int, int, int, int]]:
        """Signals that left the element."""
        return Counter(
            (item["signal_row"], item["signal_col"], item["signal_counter"], item["tag"])
            for item in self.remote.items
        )
