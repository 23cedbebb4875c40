# SPDX-License-Identifier: Apache-2.0
"""A chip as the runtime sees it: registers by name, jobs, counters, errors in words."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from hw.arch import address_map
from hw.arch.commands import QUAD_BYTES
from hw.arch.csr import REGISTERS, JobState
from hw.arch.traps import Trap, trap_sentence
from hw.config import ChipConfig
from sw.errors import UserError
from sw.runtime.limits import EVERYTHING, AddressRange, range_values, rate_values
from sw.runtime.page import RegisterPage
from sw.runtime.port import HostPort
from sw.runtime.triage import triage

__all__ = ["BUILD_KEYS", "Chip", "JobError", "JobHang", "JobResult", "element_error"]

BUILD_KEYS = ("verilog_seconds", "build_seconds", "build_from_cache")
"""Keys of `Chip.build`: what it took to make the device, None if there was nothing to make."""


class JobError(UserError):
    """A job ended in a trap; the message says which unit, which command, and why."""

    def __init__(self, message: str, cause: Trap) -> None:
        super().__init__(message)
        self.cause = cause


class JobHang(UserError):
    """A job made no progress; the message is the triage table."""


def element_error(page: RegisterPage, where: str = "") -> JobError:
    """The error that an element's registers tell of; `where` goes before the sentence."""
    cause = page.register("ERROR_CAUSE")
    place = page.register("ERROR_UNIT")
    unit, opcode, tag = place & 0xFF, place >> 8 & 0xFF, place >> 16
    info = page.register("ERROR_INFO")
    return JobError(where + trap_sentence(cause, unit, opcode, tag, info), Trap(cause))


@dataclasses.dataclass(frozen=True)
class JobResult:
    """A finished job."""

    status: int
    """Status field of its END command."""
    cycles: int | None
    """Hardware counter: from the start register's write to the completion flag; None on a device
    without time."""
    harness_cycles: int | None
    """The same counted outside the chip, with the host's own register accesses."""
    warnings: tuple[str, ...] = ()
    """Sentences about what the job left undone, from a device that looks for it."""


class Chip(RegisterPage):
    """One chip behind a host port.

    Parameters
    ----------
    port : HostPort
        The device.
    config : ChipConfig
        What it was built from; checked against the chip's own CONFIG register.

    Raises
    ------
    UserError
        If the device is not a chip of this configuration.
    """

    device = "rtl"
    """Back end, as `--device` names it."""

    def __init__(self, port: HostPort, config: ChipConfig) -> None:
        super().__init__(port, REGISTERS)
        self.config = config
        self.build: dict[str, Any] = dict.fromkeys(BUILD_KEYS)
        self.check_config(config)

    def clear_sram(self) -> None:
        """Fill shared SRAM with zeros, as hardware needs it once after power-on: until then words
        hold random bits, most of which look like uncorrectable errors."""
        self.set_register("SRAM_CLEAR", 1)
        while self.register("SRAM_CLEAR"):
            self.port.run(1000)

    def set_ranges(self, ranges: Sequence[AddressRange] = (EVERYTHING,)) -> None:
        """Confine the DMA of the jobs that follow to these ranges (none given: no limit).

        A job that leaves them ends as a JobError with cause MEMORY_RANGE; nothing outside is read
        or written. Command lists are read by the chip itself, not by the job.

        Raises
        ------
        UserError
            If there are more ranges than the hardware has.
        """
        for name, value in range_values(ranges).items():
            self.set_register(name, value)

    def set_rates(self, *, read: tuple[int, int] = (0, 0), write: tuple[int, int] = (0, 0)) -> None:
        """Limit how fast the element's DMA reads and writes memory.

        Parameters
        ----------
        read, write : tuple[int, int]
            Bytes in 256 cycles (0: no limit), and bytes that may come at once after a pause: two
            lines keep any rate exactly.

        Raises
        ------
        UserError
            If a number does not fit.
        """
        for name, value in rate_values(read, write).items():
            self.set_register(name, value)

    def write_local(self, address: int, data: bytes) -> None:
        """Write bytes to the element's local memory; `address` counts from its start."""
        self.port.write(address_map.PE_WINDOWS.base + address, data)

    def read_local(self, address: int, n_bytes: int) -> bytes:
        """Read bytes of the element's local memory.

        A line of which a byte was never written may hold wrong parity, which is an access error.
        """
        return self.port.read(address_map.PE_WINDOWS.base + address, n_bytes)

    def start(self, list_address: int, n_quads: int) -> None:
        """Start the command list at `list_address`."""
        self.set_register("JOB_LIST_LO", list_address & 0xFFFF_FFFF)
        self.set_register("JOB_LIST_HI", list_address >> 32)
        self.set_register("JOB_LIST_QUADS", n_quads)
        self.set_register("JOB_START", 1)

    def abort(self) -> None:
        """Ask the chip to abort its job; it ends as an error with cause ABORTED."""
        self.set_register("JOB_ABORT", 1)

    def run_job(
        self,
        list_address: int,
        commands: bytes,
        *,
        stall_limit: int = 20_000,
        progress: Callable[[int], None] = lambda _: None,
    ) -> JobResult:
        """Store a command list, run it, and wait.

        Parameters
        ----------
        list_address : int
            Where the list is stored, a multiple of 16.
        commands : bytes
            The list.
        stall_limit : int
            Cycles without progress after which the job counts as hung.
        progress : Callable[[int], None]
            Called with the cycles so far, every `stall_limit / 2` cycles.

        Raises
        ------
        JobError
            If the chip reports a trap.
        JobHang
            If it makes no progress.
        """
        self.port.write(list_address, commands)
        self.start(list_address, len(commands) // QUAD_BYTES)
        began = self.port.cycles
        last, quiet_since = self.register("PROGRESS"), began
        while not self.port.run(max(stall_limit // 2, 1)):
            now = self.register("PROGRESS")
            if now != last:
                last, quiet_since = now, self.port.cycles
            elif self.port.cycles - quiet_since >= stall_limit:
                self._hang(stall_limit)
            progress(self.port.cycles - began)
        harness_cycles = self.port.cycles - began
        self._raise_error()
        return JobResult(self.register("JOB_STATUS"), self.job_cycles(), harness_cycles)

    def job_cycles(self) -> int | None:
        """Cycles of the running or last job."""
        return self.register("JOB_CYCLES_LO") | self.register("JOB_CYCLES_HI") << 32

    def _hang(self, stall_limit: int) -> None:
        """Describe a hang, then abort so that the chip is usable again."""
        table = triage(self.config, self.debug_word)
        self.abort()
        self.port.run(stall_limit)
        raise JobHang(f"No progress for {stall_limit} cycles.\n{table}")

    def _raise_error(self) -> None:
        if self.register("JOB_STATE") == JobState.ERROR:
            raise element_error(self)
