# SPDX-License-Identifier: Apache-2.0
"""One element with its memories, executing a command list on the golden models.

Units run as coroutines, resumed in turn; each unit has a queue as deep as the hardware's, so a
list that would hang there hangs here, and says who waits for what. Results are bit-exact with the
RTL; cycles are not modelled.
"""

import dataclasses
from collections import deque

import numpy as np
from numpy.typing import NDArray

from hw.arch import address_map
from hw.arch.commands import LEVELS, Opcode, decode, encode
from hw.arch.csr import COUNTERS
from hw.arch.traps import TRAP_TEXT, Trap
from hw.arch.units import Unit
from hw.config import ChipConfig
from sim.functional.buffers import CircularBuffer, FunctionalTrap
from sim.functional.units import UNITS, Fields, Waiting

__all__ = ["FunctionalMachine", "FunctionalTrap", "Hang", "Memory"]


class Hang(RuntimeError):
    """No unit can go on; the text has one line for each that waits."""


class Memory:
    """Shared SRAM and DRAM as the element addresses them; DRAM pages appear when touched."""

    PAGE = 1 << 20

    def __init__(self, config: ChipConfig) -> None:
        self._sizes = {
            address_map.SRAM.base: config.sram.size_bytes,
            address_map.DRAM.base: config.dram.size_bytes,
        }
        self._pages: dict[int, NDArray[np.uint8]] = {}

    def _check(self, address: int, n_bytes: int) -> None:
        for base, size in self._sizes.items():
            if base <= address and address + n_bytes <= base + size:
                return
        raise FunctionalTrap(
            Trap.MEMORY_ERROR,
            f"Bytes 0x{address:010x} to 0x{address + n_bytes - 1:010x} are not in any memory.",
        )

    def _page(self, number: int) -> NDArray[np.uint8]:
        return self._pages.setdefault(number, np.zeros(self.PAGE, np.uint8))

    def read(self, address: int, n_bytes: int) -> NDArray[np.uint8]:
        """A copy of `n_bytes` bytes."""
        self._check(address, n_bytes)
        out = np.empty(n_bytes, np.uint8)
        for page, low, here, size in self._spans(address, n_bytes):
            out[here : here + size] = self._page(page)[low : low + size]
        return out

    def write(self, address: int, data: NDArray[np.uint8]) -> None:
        """Store bytes."""
        self._check(address, data.size)
        for page, low, here, size in self._spans(address, data.size):
            self._page(page)[low : low + size] = data[here : here + size]

    def clear_sram(self) -> None:
        """Fill shared SRAM with zeros."""
        first, size = address_map.SRAM.base, self._sizes[address_map.SRAM.base]
        for number in range(first // self.PAGE, -(-(first + size) // self.PAGE)):
            self._pages.pop(number, None)

    def _spans(self, address: int, n_bytes: int) -> list[tuple[int, int, int, int]]:
        """(page, offset in it, offset in the data, bytes) of each page touched."""
        spans, here = [], 0
        while here < n_bytes:
            page, low = divmod(address + here, self.PAGE)
            size = min(n_bytes - here, self.PAGE - low)
            spans.append((page, low, here, size))
            here += size
        return spans


@dataclasses.dataclass
class _Running:
    """A unit: its queue, and the command at work."""

    unit: Unit
    depth: int
    queue: deque[tuple[Opcode, Fields]] = dataclasses.field(default_factory=deque)
    work: Waiting | None = None
    current: tuple[Opcode, Fields] | None = None
    waits: str = ""

    @property
    def idle(self) -> bool:
        return self.work is None and not self.queue


class FunctionalMachine:
    """One processing element of `config` with its shared SRAM and DRAM.

    Parameters
    ----------
    config : ChipConfig
        The member; only one element of it is modelled.
    police : bool
        Report what the hardware does not: reads of bytes that nothing wrote, for example.

    Raises
    ------
    FunctionalTrap
        From `run`, where the hardware would trap.
    Hang
        From `run`, when nothing can go on.
    """

    def __init__(self, config: ChipConfig, *, police: bool = True) -> None:
        pe = config.pe
        self.police = police
        self.config = config
        self.word = pe.ls.word_bytes
        self.columns = pe.dpe.columns
        self.n_banks = pe.re.banks
        self.memory = Memory(config)
        self.ls = np.zeros(pe.ls.size_bytes, np.uint8)
        self.banks = np.zeros((pe.re.banks, pe.dpe.tile_rows, pe.dpe.columns), np.uint32)
        self._reset()

    def _reset(self) -> None:
        """What every job finds: nothing but the memories' contents."""
        cp = self.config.pe.cp
        self.bank_states = ["free"] * self.n_banks
        self.steps = 0
        self._buffers: dict[int, CircularBuffer] = {}
        self._counters = [0] * cp.counters
        self._contexts: dict[int, tuple[Opcode, Fields]] = {}
        self._units = {unit: _Running(unit, cp.queue_depth) for unit in Unit if unit != Unit.CP}

    def counters(self) -> dict[str, int | None]:
        """Performance counters of the last job; None where they count time."""
        return {counter.name: None for counter in COUNTERS}

    def buffer(self, cb: int) -> CircularBuffer:
        """The circular buffer `cb`; traps if it was never set up."""
        if cb not in self._buffers:
            raise FunctionalTrap(
                Trap.CB_UNINITIALISED, f"CB {cb}: {TRAP_TEXT[Trap.CB_UNINITIALISED]}."
            )
        return self._buffers[cb]

    def run(self, commands: bytes) -> int:
        """Execute a command list as one job; return the status of its END."""
        self._reset()
        source = self._execute(commands)
        waits = ""
        while True:
            progress = False
            try:
                waits = next(source)
                progress = waits == ""
            except StopIteration as stop:
                return stop.value
            for running in self._units.values():
                progress |= self._advance(running)
            if not progress:
                raise Hang(self._triage(waits))

    def _triage(self, source_waits: str) -> str:
        lines = [f"command processor {source_waits}"]
        for running in self._units.values():
            if running.current is not None:
                opcode, fields = running.current
                lines.append(
                    f"{running.unit.name}: {opcode.name.lower()} (tag {fields['tag']})"
                    f" {running.waits}"
                )
        return "\n".join(lines)

    def _advance(self, running: _Running) -> bool:
        """Resume a unit once; whether it got anywhere."""
        if running.work is None:
            if not running.queue:
                return False
            running.current = running.queue.popleft()
            opcode, fields = running.current
            running.work = UNITS[opcode](self, fields)
        steps = self.steps
        try:
            running.waits = next(running.work)
            return self.steps != steps
        except StopIteration:
            assert running.current is not None  # it is set together with `work`
            self._signal(running.current[1])
            running.work = running.current = None
            running.waits = ""
            return True

    def _signal(self, fields: Fields) -> None:
        if fields["signal_en"]:
            self._counters[fields["signal_counter"]] += 1

    def _execute(self, commands: bytes) -> Waiting:
        """The command processor: yields '' after each command, or why it waits."""
        position = 0
        while position < len(commands):
            try:
                command, fields = decode(commands[position:])
            except ValueError as error:
                raise FunctionalTrap(Trap.ILLEGAL_FIELD, str(error)) from None
            position += command.bits // 8
            if command.opcode == Opcode.END:
                yield from self._until_idle(set(self._units))
                return fields["status"]
            yield from self._issue(command.opcode, fields)
            yield ""
        raise FunctionalTrap(Trap.LIST_OVERRUN, TRAP_TEXT[Trap.LIST_OVERRUN])

    def _until_idle(self, units: set[Unit]) -> Waiting:
        while any(not self._units[unit].idle for unit in units):
            yield "waits until units are idle"

    def _issue(self, opcode: Opcode, fields: Fields) -> Waiting:
        """Run a short command, or dispatch a long one."""
        if opcode in UNITS:
            if fields["store"]:
                self._contexts[fields["context"]] = (opcode, fields)
            else:
                yield from self._dispatch(opcode, fields)
        elif opcode == Opcode.RUN:
            yield from self._run_context(fields)
        elif opcode == Opcode.FENCE:
            yield from self._until_idle({u for u in self._units if fields["units"] >> u & 1})
        elif opcode == Opcode.WAIT:
            while (self._counters[fields["counter"]] - fields["value"]) & 1 << 31:
                yield f"waits for counter {fields['counter']} to reach {fields['value']}"
        elif opcode == Opcode.SET_COUNTER:
            self._counters[fields["counter"]] = fields["value"]
        elif opcode == Opcode.SIGNAL:
            self._signal(fields)
        elif opcode == Opcode.CB:
            self._set_up(fields)

    def _set_up(self, fields: Fields) -> None:
        cb = fields["cb"]
        if cb in self._buffers and self._buffers[cb].busy:
            raise FunctionalTrap(Trap.CB_BUSY, f"CB {cb}: {TRAP_TEXT[Trap.CB_BUSY]}.")
        self._buffers[cb] = CircularBuffer(fields["base"], fields["depth"], bool(fields["shared"]))

    def _run_context(self, fields: Fields) -> Waiting:
        if fields["ctx"] not in self._contexts:
            raise FunctionalTrap(Trap.CONTEXT_EMPTY, TRAP_TEXT[Trap.CONTEXT_EMPTY])
        opcode, stored = self._contexts[fields["ctx"]]
        moved = dict(stored)
        moved.pop("opcode")
        offset = "a_offset" if opcode == Opcode.MML else "offset"
        moved[offset] += fields["ls_delta"]
        if "mem_addr" in moved:
            moved["mem_addr"] = (moved["mem_addr"] + fields["mem_delta"]) % (1 << 40)
        for name in ("tag", "signal_en", "signal_counter", "signal_row", "signal_col"):
            moved[name] = fields[name]
        moved["store"] = 0
        _, moved = decode(encode(opcode, **moved))
        if fields["keep"]:
            self._contexts[fields["ctx"]] = (opcode, moved)
        yield from self._dispatch(opcode, moved)

    def _dispatch(self, opcode: Opcode, fields: Fields) -> Waiting:
        if any(fields[f"count{level}"] == 0 for level in range(LEVELS)):
            raise FunctionalTrap(Trap.ILLEGAL_FIELD, f"{opcode.name.lower()} has a count of zero.")
        unit = self._units[_unit_of(opcode, fields)]
        while len(unit.queue) >= unit.depth:
            yield f"waits for the queue of {unit.unit.name}"
        unit.queue.append((opcode, fields))


def _unit_of(opcode: Opcode, fields: Fields) -> Unit:
    if opcode == Opcode.DMA_IN:
        return Unit.FI_IN_COL if fields["column"] else Unit.FI_IN_ROW
    return {
        Opcode.DMA_OUT: Unit.FI_OUT,
        Opcode.MML: Unit.DPE,
        Opcode.DRAIN: Unit.RE,
        Opcode.PRELOAD: Unit.RE,
    }[opcode]
