# SPDX-License-Identifier: Apache-2.0
"""The functional simulator as a chip: the same jobs, memory and errors; no time."""

from collections.abc import Callable, Collection

import numpy as np

from hw.arch import address_map
from hw.arch.csr import RANGE_BLOCK_BYTES, RANGE_REGISTERS, REGISTERS, JobState
from hw.arch.traps import Trap
from hw.config import ChipConfig
from sim.functional import FunctionalMachine, FunctionalTrap, Hang
from sim.functional.tracing import Recorder
from sim.trace import TraceLog
from sw.errors import UserError
from sw.runtime.chip import Chip, JobError, JobHang, JobResult

__all__ = ["FunctionalChip", "FunctionalPort"]

_ID = 0x4D54_4941
_NAMES = {
    address_map.CONTROL.base + register.offset: register.name for register in REGISTERS.values()
}
_RANGES = {register.name: register for registers in RANGE_REGISTERS for register in registers}


class FunctionalPort:
    """Host port of a functional machine: memory, and the registers that make sense without time.

    Parameters
    ----------
    machine : FunctionalMachine
        Whose memories the host reaches.
    config : ChipConfig
        Its member.
    """

    cycles = 0

    def __init__(self, machine: FunctionalMachine, config: ChipConfig) -> None:
        self.machine = machine
        self.registers = {"ID": _ID, "CONFIG": int(config.digest(), 16), "SRAM_CLEAR": 0}
        self.registers |= {name: register.reset for name, register in _RANGES.items()}
        self.registers |= {"JOB_STATE": JobState.IDLE, "JOB_STATUS": 0, "ERROR_CAUSE": Trap.NONE}

    def write(self, address: int, data: bytes) -> None:
        """Write bytes to memory, or to local memory through the element's window."""
        self._reach(lambda: self.machine.memory.write(address, np.frombuffer(data, np.uint8)))

    def read(self, address: int, n_bytes: int) -> bytes:
        """Read bytes from memory, or from local memory through the element's window."""
        out: list[bytes] = []
        self._reach(lambda: out.append(self.machine.memory.read(address, n_bytes).tobytes()))
        return out[0]

    def _reach(self, access: Callable[[], None]) -> None:
        try:
            access()
        except FunctionalTrap as trap:
            raise UserError(
                f"The host asks for memory that is not there: {trap.info:#x}."
            ) from None

    def write_register(self, address: int, value: int) -> None:
        """Write a register: SRAM_CLEAR, or a range that jobs are confined to."""
        name = self._name(address)
        if name == "SRAM_CLEAR":
            if value & 1:
                self.machine.memory.clear_sram()
        elif name in _RANGES:
            self.registers[name] = value
            self._set_ranges()
        elif not name.endswith("_SHAPE"):  # rates mean nothing without time
            raise UserError(f"{name} cannot be written on the functional device.")

    def _set_ranges(self) -> None:
        values = [
            [self.registers[register.name] for register in registers]
            for registers in RANGE_REGISTERS
        ]
        self.machine.ranges = [
            (first * RANGE_BLOCK_BYTES, (last + 1) * RANGE_BLOCK_BYTES, access)
            for first, last, access in values
        ]

    def read_register(self, address: int) -> int:
        """Read a register."""
        name = self._name(address)
        if name not in self.registers:
            raise UserError(f"{name} cannot be read on the functional device.")
        return int(self.registers[name])

    @staticmethod
    def _name(address: int) -> str:
        name = _NAMES.get(address)
        return f"Register {name}" if name is None else name

    def run(self, n_cycles: int) -> bool:
        """Nothing happens between jobs; whether the last one has ended."""
        return self.registers["JOB_STATE"] != JobState.IDLE

    def record(self, log: TraceLog | None) -> None:
        """From now on put what units do into `log`; None: stop."""
        if log is None and self.machine.recorder is not None:
            self.machine.recorder.end()
        self.machine.recorder = None if log is None else Recorder(self.machine, log)

    def close(self) -> None:
        """Nothing to let go of."""


class FunctionalChip(Chip):
    """A chip that executes jobs on the golden models.

    Parameters
    ----------
    config : ChipConfig
        The member; one element of it works.
    police : bool
        Report reads of bytes that nothing wrote, and broken circular-buffer rules.
    """

    device = "functional"

    def __init__(self, config: ChipConfig, *, police: bool = True) -> None:
        self.machine = FunctionalMachine(config, police=police)
        self._registers = (port := FunctionalPort(self.machine, config)).registers
        super().__init__(port, config)

    def start(self, list_address: int, n_quads: int) -> None:
        """Refused: a job runs as a whole."""
        raise UserError("The functional device runs a job as a whole; use run_job.")

    def run_job(
        self,
        list_address: int,
        commands: bytes,
        *,
        stall_limit: int = 20_000,
        progress: Callable[[int], None] = lambda _: None,
    ) -> JobResult:
        """Store a command list and execute it; `stall_limit` and `progress` have no meaning here.

        Raises
        ------
        JobError
            If the hardware would trap, or a rule is broken that it does not check.
        JobHang
            If nothing can go on.
        """
        self.port.write(list_address, commands)
        try:
            status = self.machine.run(commands)
        except FunctionalTrap as trap:
            self._registers |= {"JOB_STATE": JobState.ERROR, "ERROR_CAUSE": trap.cause}
            raise JobError(str(trap), trap.cause) from None
        except Hang as hang:
            self._registers |= {"JOB_STATE": JobState.ERROR, "ERROR_CAUSE": Trap.ABORTED}
            raise JobHang(f"No unit can go on.\n{hang}") from None
        self._registers |= {"JOB_STATE": JobState.DONE, "JOB_STATUS": status}
        return JobResult(status, None, None, tuple(self.machine.warnings))

    def job_cycles(self) -> None:
        """None: no time passes."""
        return None

    def counters(self, names: Collection[str] | None = None) -> dict[str, int | None]:
        """Counters of the last job; None where they count time."""
        found = self.machine.counters()
        return found if names is None else {name: found[name] for name in names}
