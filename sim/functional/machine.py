# SPDX-License-Identifier: Apache-2.0
"""One element with its memories, executing command lists on the golden models.

Units run in turn, each as far as it can; each has a queue as deep as the hardware's, so a list that
would hang there hangs here, and says who waits for what. Results are bit-exact with the RTL; cycles
are not modelled.
"""

import ctypes
import dataclasses
import weakref
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import LayoutTarget, Opcode
from hw.arch.csr import COUNTERS
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.config import ChipConfig
from sim.functional import indexed, layout, multiply, simd, units
from sim.functional.faults import FunctionalTrap, Hang, Issued
from sim.functional.link import Link
from sim.functional.memory import Memory, memory_trap, unwritten_memory
from sim.functional.native import NativeUnits, function_rom, native_units
from sim.functional.native_command import is_native, native_fault, native_state, native_waits
from sim.functional.operand import Waiting
from sim.functional.processor import CommandProcessor
from sim.functional.state import Buffer, CommandState, Counters, MachineState
from sim.functional.tracing import Recorder
from sim.functional.triage import triage
from sim.golden.simd import Program

__all__ = ["FunctionalMachine", "Running"]

_READ, _WRITE = 1, 2
_EVERYWHERE = 1 << 40
_UNITS: dict[Opcode, Callable[["FunctionalMachine", Issued], Waiting]] = {
    Opcode.DMA_IN: units.dma_in,
    Opcode.DMA_OUT: units.dma_out,
    Opcode.MML: multiply.mml,
    Opcode.DRAIN: units.drain,
    Opcode.PRELOAD: units.preload,
    Opcode.SE_PROGRAM: simd.se_program,
    Opcode.SIMD: simd.simd,
    Opcode.LAYOUT: layout.layout,
    Opcode.GATHER: indexed.gather,
    Opcode.SCATTER: indexed.scatter,
}
"""What runs each long command."""


@dataclasses.dataclass
class Running:
    """A unit: its queue, and the command at work."""

    queue: deque[Issued] = dataclasses.field(default_factory=deque)
    current: Issued | None = None
    work: Waiting | CommandState | None = None
    waits: str = ""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return self.work is None and not self.queue


class FunctionalMachine:
    """One processing element of `config` with its shared SRAM and DRAM.

    Parameters
    ----------
    config : ChipConfig
        The member; only one element of it is modelled.
    police : bool
        Report what the hardware does not notice: reads of bytes that nothing wrote, steps that
        leave what their circular buffer gave them, and the like.
    native : bool
        Use the units in C++ where there is a compiler; else all are NumPy.

    Raises
    ------
    FunctionalTrap
        From `run`, where the hardware would trap; `RuleBroken` where a rule is broken.
    Hang
        From `run`, when nothing can go on.
    """

    def __init__(self, config: ChipConfig, *, police: bool = True, native: bool = True) -> None:
        pe = config.pe
        self.config, self.police = config, police
        self.word, self.columns, self.n_banks = pe.ls.word_bytes, pe.dpe.columns, pe.re.banks
        self.ls = np.zeros(pe.ls.size_bytes, np.uint8)
        self.ls_known = np.zeros(pe.ls.size_bytes, np.uint8)
        self.memory = Memory(config, self.ls, self.ls_known)
        self.banks = np.zeros((pe.re.banks, pe.dpe.tile_rows, pe.dpe.columns), np.uint32)
        self.row_known = np.zeros((pe.re.banks, pe.dpe.tile_rows), np.uint8)
        self.bank_states = np.zeros(pe.re.banks, np.int64)
        self.buffers = (Buffer * pe.cp.cbs)()
        self.ranges = [(0, _EVERYWHERE, _READ | _WRITE)]
        """Address ranges that a job may touch: first byte, byte after the last, access."""
        self.warnings: list[str] = []
        """What the last job left undone."""
        self.recorder: Recorder | None = None
        """Where activity is recorded."""
        self._native: NativeUnits | None = native_units() if native else None
        self.state = self._machine_state()
        self._reset()

    def _machine_state(self) -> MachineState:
        pe = self.config.pe
        state = MachineState(
            n_buffers=pe.cp.cbs, n_banks=pe.re.banks, tile_rows=pe.dpe.tile_rows,
            columns=pe.dpe.columns, word=self.word, link=pe.link_bytes, police=self.police,
            lanes=pe.se.fp_lanes,
        )  # fmt: skip
        for name in ("ls", "ls_known", "banks", "row_known", "bank_states"):
            setattr(state, name, getattr(self, name).ctypes.data)
        state.buffers = ctypes.addressof(self.buffers)
        if self._native is not None:
            state.scratch = self._native.new_scratch()
            weakref.finalize(self, self._native.delete_scratch, state.scratch)
            state.rom = ctypes.addressof(function_rom())
        return state

    def _reset(self) -> None:
        """What every job finds: nothing but the memories' contents."""
        rows = self.config.pe.dpe.tile_rows
        self.bank_states[:] = 0
        self.row_known[:] = 0
        for buffer in self.buffers:
            buffer.valid = 0
        self.state.steps = 0
        self.state.counters = Counters()
        self.state.regions[:] = self.memory.regions()
        for index, span in enumerate(self.state.ranges):
            span[:] = self.ranges[index] if index < len(self.ranges) else (0, 0, 0)
        if self._native is not None:
            self._native.reset_scratch(self.state.scratch)
        self.rows = Link("reduction engine", "SIMD engine", rows)
        self.words = {
            target: Link("layout unit", "dot-product engine", self.columns)
            for target in (LayoutTarget.DPE_A, LayoutTarget.DPE_B)
        }
        self.programs: dict[int, Program] = {}
        self.units = {unit: Running() for unit in Unit if unit is not Unit.CP}
        self.warnings.clear()

    def run(self, commands: bytes) -> int:
        """Execute a command list as one job; return the status of its END."""
        self._reset()
        if self.recorder is not None:
            self.recorder.begin_job()
        self._processor = CommandProcessor(self)
        source = self._processor.execute(commands)
        waits = ""
        while True:
            before = self._progress()
            waits, commands_taken = self._take_commands(source)
            if self._processor.status is not None:
                self._look_back()
                return self._processor.status
            finished = self._run_native()
            for unit, running in self.units.items():
                finished |= self._run_coroutine(unit, running)
            if not (commands_taken or finished or self._progress() != before):
                raise Hang(triage(self, waits))

    def _progress(self) -> tuple[int, ...]:
        links = (self.rows, *self.words.values())
        return (self.state.steps, *(link.moves for link in links))

    def _take_commands(self, source: Waiting) -> tuple[str, bool]:
        """Let the command processor go on until it waits: why, and whether it took any."""
        taken = False
        for waits in source:
            if waits:
                return waits, taken
            taken = True
        return "", taken

    def _start(self, running: Running) -> None:
        """Begin the next command of a unit."""
        if running.work is None and running.queue:
            running.current = command = running.queue.popleft()
            if self._native and is_native(command, self.programs, self.config.pe):
                running.work = native_state(command, self.programs, self.word)
            else:
                running.work = self._guarded(command)

    def _guarded(self, command: Issued) -> Waiting:
        """The coroutine of a command, whose traps name it."""
        try:
            yield from _UNITS[command.opcode](self, command)
        except FunctionalTrap as trap:
            raise trap.at(command) from None

    def _run_native(self) -> bool:
        """Run native commands until all wait; whether one has ended."""
        any_ended = False
        while self._native is not None:
            for running in self.units.values():
                self._start(running)
            active = {u: r for u, r in self.units.items() if isinstance(r.work, CommandState)}
            if not active:
                break
            if self.recorder is None:
                ended = self._resume(self._native, active)
            else:  # one after another, to see who does what
                ended = sum(self._resume(self._native, {u: r}) for u, r in active.items()) > 0
            if not ended:
                break
            any_ended = True
        return any_ended

    def _resume(self, native: NativeUnits, active: dict[Unit, Running]) -> bool:
        """Resume native commands until one ends or all wait; whether one has ended."""
        states = [r.work for r in active.values() if isinstance(r.work, CommandState)]
        ended = native.run(self.state, states)
        if ended < 0:
            for (unit, running), state in zip(active.items(), states, strict=True):
                running.waits = native_waits(state)
                self._record(unit, running)
            return False
        unit, running = list(active.items())[ended % len(active)]
        assert running.current is not None  # it is set together with `work`
        if ended >= len(active):
            raise native_fault(self.state, running.current).at(running.current)
        self._finish(unit, running)
        return True

    def _run_coroutine(self, unit: Unit, running: Running) -> bool:
        """Resume a unit in Python; whether its command has ended."""
        self._start(running)
        if running.work is None or isinstance(running.work, CommandState):
            return False
        try:
            running.waits = next(running.work)
            self._record(unit, running)
            return False
        except StopIteration:
            self._finish(unit, running)
            return True

    def _finish(self, unit: Unit, running: Running) -> None:
        assert running.current is not None  # it is set together with `work`
        self._processor.signal(running.current)
        running.work, running.waits = None, ""
        self._record(unit, running)
        running.current = None

    def _record(self, unit: Unit, running: Running) -> None:
        if self.recorder is not None:
            self.recorder.resumed(unit, running)

    def issue(self, command: Issued) -> Waiting:
        """Put a command into its unit's queue, once there is room."""
        running = self.units[command.unit]
        while len(running.queue) >= self.config.pe.cp.queue_depth:
            yield f"waits for the queue of {command.unit.name}"
        running.queue.append(command)

    def are_idle(self, units: list[Unit]) -> bool:
        """Whether these units have nothing to do."""
        return all(self.units[unit].idle for unit in units)

    def set_up_buffer(self, fields: dict[str, int]) -> None:
        """CB command."""
        cb = fields["cb"]
        old = self.buffers[cb]
        if old.valid and (old.reserve != old.commit or old.claim != old.release):
            raise FunctionalTrap(Trap.CB_BUSY, cb)
        self.buffers[cb] = Buffer(
            valid=1, base=fields["base"], depth=fields["depth"], shared=fields["shared"],
            producer=-1, consumer=-1,
        )  # fmt: skip
        self._mark_overlaps()

    def _mark_overlaps(self) -> None:
        """Note which buffers lie in the same bytes as another."""
        valid = [buffer for buffer in self.buffers if buffer.valid]
        for one in valid:
            one.overlaps = any(
                one.base < other.base + other.depth and other.base < one.base + one.depth
                for other in valid
                if other is not one
            )

    def read_memory(self, address: int, n_bytes: int) -> NDArray[np.uint8]:
        """Read memory as the fabric interface does."""
        data = self.peek_memory(address, n_bytes)
        self.state.counters.read_bytes += n_bytes
        return data

    def peek_memory(self, address: int, n_bytes: int) -> NDArray[np.uint8]:
        """What is in memory where something is to be added."""
        self._check_ranges(address, n_bytes, _READ)
        data = self.memory.read(address, n_bytes)
        self.state.counters.read_lines += self._n_lines(address, n_bytes)
        if self.police and (first := self.memory.first_unwritten(address, n_bytes)) is not None:
            raise unwritten_memory(first)
        return data

    def write_memory(self, address: int, data: NDArray[np.uint8]) -> None:
        """Write memory as the fabric interface does."""
        self._check_ranges(address, data.size, _WRITE)
        self.memory.write(address, data)
        counters = self.state.counters
        counters.write_bytes += data.size
        counters.write_lines += self._n_lines(address, data.size)

    def _n_lines(self, address: int, n_bytes: int) -> int:
        link = self.config.pe.link_bytes
        return (address + n_bytes - 1) // link - address // link + 1

    def _check_ranges(self, address: int, n_bytes: int, access: int) -> None:
        """Every line must lie in a range that allows the access."""
        link, end = self.config.pe.link_bytes, address + n_bytes
        at = address
        while at < end:
            following = min(end, (at // link + 1) * link)
            if not any(f <= at and following <= n and a & access for f, n, a in self.ranges):
                raise memory_trap(Trap.MEMORY_RANGE, at)
            # One range that holds all that is left saves looking at every line.
            whole = any(f <= at and end <= n and a & access for f, n, a in self.ranges)
            at = end if whole else following

    def _look_back(self) -> None:
        """Warn of what a job left undone."""
        for number, buffer in enumerate(self.buffers):
            left = buffer.commit - buffer.release
            if buffer.valid and left:
                self.warnings.append(
                    f"At END CB {number} still holds {64 * left} bytes that nothing released."
                )

    def counters(self) -> dict[str, int | None]:
        """Performance counters of the last job; None where they count time or what it moves."""
        counts = self.state.counters
        known = {
            "cp.commands": self._processor.n_long,
            "cp.short_commands": self._processor.n_short,
            "dpe.rows": counts.rows,
            "dpe.held_blocks": counts.held_blocks,
            "fi.read_bytes": counts.read_bytes,
            "fi.read_lines": counts.read_lines,
            "fi.write_bytes": counts.write_bytes,
            "fi.write_lines": counts.write_lines,
        }
        return {counter.name: known.get(counter.name) for counter in COUNTERS}
