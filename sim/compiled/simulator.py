# SPDX-License-Identifier: Apache-2.0
"""Drives the compiled simulator's shared library; what a host sees, and the clock."""

import ctypes
from pathlib import Path

import numpy as np

from sim.compiled.dram import DramTiming
from sim.trace.log import EVENT, TraceLog

__all__ = ["AccessError", "CompiledSimulator", "StateError"]

_NO_ANSWER = 16
_NOT_SAVABLE = 2
_RESPONSES = {2: "SLVERR", 3: "DECERR"}


class AccessError(RuntimeError):
    """The chip refused a host access."""


class StateError(RuntimeError):
    """A state cannot be saved or restored, or there is none any more."""


class CompiledSimulator:
    """One simulated chip with its host and DRAM models.

    Parameters
    ----------
    library : Path
        Built by `build_simulator`.
    seed : int
        Fills what nothing initialises, in test builds.
    threads : int
        Clock the tiles of a grid; results and cycles do not depend on it.
    """

    def __init__(self, library: Path, *, seed: int = 1, threads: int = 1) -> None:
        self._library = ctypes.CDLL(str(library))
        self._declare()
        self._sim = self._library.sim_create(seed)
        self._library.sim_threads(self._sim, threads)
        self._log: TraceLog | None = None
        self._stamp = b"\n" + library.parent.name.encode()  # named by its content

    def _declare(self) -> None:
        u32, u64, sim = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
        text, data = ctypes.c_char_p, ctypes.c_char_p
        for name, result, arguments in (
            ("sim_create", sim, [u64]),
            ("sim_destroy", None, [sim]),
            ("sim_dram_timing", None, [sim, ctypes.c_void_p]),
            ("sim_host_pauses", None, [sim, u32]),
            ("sim_host_write", ctypes.c_int, [sim, u64, data, u64]),
            ("sim_host_read", ctypes.c_int, [sim, u64, data, u64]),
            ("sim_register_write", ctypes.c_int, [sim, u64, u32]),
            ("sim_register_read", ctypes.c_int, [sim, u64, ctypes.POINTER(u32)]),
            ("sim_dram_write", None, [sim, u64, data, u64]),
            ("sim_dram_read", None, [sim, u64, data, u64]),
            ("sim_host_memory_write", None, [sim, u64, data, u64]),
            ("sim_host_memory_read", None, [sim, u64, data, u64]),
            ("sim_host_memory_timing", None, [sim, ctypes.c_void_p]),
            ("sim_run", ctypes.c_int, [sim, u64]),
            ("sim_cycles", u64, [sim]),
            ("sim_threads", None, [sim, ctypes.c_uint]),
            ("sim_trace", ctypes.c_int, [sim, text, text, u64, u64]),
            ("sim_record", None, [sim, ctypes.c_int]),
            ("sim_records", u64, [sim, ctypes.c_void_p, u64]),
            ("sim_save", ctypes.c_int, [sim, text]),
            ("sim_restore", ctypes.c_int, [sim, text]),
        ):
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments

    @property
    def _open(self) -> int:
        """The simulation, for the library, which would not survive one that has ended."""
        if self._sim is None:
            raise StateError("The simulator is closed.")
        return self._sim

    def close(self) -> None:
        """End the simulation and complete its waveform and trace."""
        if self._sim is not None:
            self.record(None)
            self._library.sim_destroy(self._sim)
            self._sim = None

    def _check(self, response: int, what: str, address: int) -> None:
        if response == _NO_ANSWER:
            raise AccessError(f"The chip did not answer a host {what} at 0x{address:010x}.")
        if response:
            name = _RESPONSES.get(response, str(response))
            raise AccessError(f"The chip answered {name} to a host {what} at 0x{address:010x}.")

    @property
    def cycles(self) -> int:
        """Clock cycles since power-on."""
        return self._library.sim_cycles(self._open)

    def write(self, address: int, data: bytes) -> None:
        """Host write through the AXI4 port."""
        self._check(
            self._library.sim_host_write(self._open, address, data, len(data)), "write", address
        )

    def read(self, address: int, n_bytes: int) -> bytes:
        """Host read through the AXI4 port."""
        buffer = ctypes.create_string_buffer(n_bytes)
        self._check(
            self._library.sim_host_read(self._open, address, buffer, n_bytes), "read", address
        )
        return buffer.raw

    def write_register(self, address: int, value: int) -> None:
        """32-bit host write."""
        self._check(self._library.sim_register_write(self._open, address, value), "write", address)

    def read_register(self, address: int) -> int:
        """32-bit host read."""
        value = ctypes.c_uint32()
        response = self._library.sim_register_read(self._open, address, ctypes.byref(value))
        self._check(response, "read", address)
        return value.value

    def write_dram(self, offset: int, data: bytes) -> None:
        """Fill DRAM by the back door, in no time."""
        self._library.sim_dram_write(self._open, offset, data, len(data))

    def read_dram(self, offset: int, n_bytes: int) -> bytes:
        """Read DRAM by the back door, in no time."""
        buffer = ctypes.create_string_buffer(n_bytes)
        self._library.sim_dram_read(self._open, offset, buffer, n_bytes)
        return buffer.raw

    def write_host_memory(self, address: int, data: bytes) -> None:
        """Fill the host's memory, which its DMA engine reads, in no time."""
        self._library.sim_host_memory_write(self._open, address, data, len(data))

    def read_host_memory(self, address: int, n_bytes: int) -> bytes:
        """Read the host's memory, which its DMA engine writes, in no time."""
        buffer = ctypes.create_string_buffer(n_bytes)
        self._library.sim_host_memory_read(self._open, address, buffer, n_bytes)
        return buffer.raw

    def set_dram_timing(self, timing: DramTiming) -> None:
        """How fast every DRAM channel is; until then `DramTiming()`."""
        self._library.sim_dram_timing(self._open, timing.to_c())

    def set_host_memory_timing(self, timing: DramTiming) -> None:
        """How fast the host's memory is for its DMA engine; until then `DramTiming()`."""
        self._library.sim_host_memory_timing(self._open, timing.to_c())

    def set_threads(self, n_threads: int) -> None:
        """Clock the tiles of a grid with so many threads from now on."""
        self._library.sim_threads(self._open, n_threads)

    def set_host_pauses(self, share: float) -> None:
        """From now on the host offers and takes nothing in this share of the cycles, at random."""
        self._library.sim_host_pauses(self._open, round(256 * share))

    def run(self, n_cycles: int) -> bool:
        """Clock until the interrupt is high, at most `n_cycles`; return whether it is."""
        finished = bool(self._library.sim_run(self._open, n_cycles))
        self._collect()
        return finished

    def record(self, log: TraceLog | None) -> None:
        """From now on put what units and buffers do into `log`; None: complete it and stop."""
        self._library.sim_record(self._open, 0)
        self._collect()
        if self._log is not None:
            self._log.end(self.cycles)
        self._log = log
        if log is not None:
            self._library.sim_record(self._open, 1)

    def _collect(self) -> None:
        """Move what was recorded into the log."""
        if self._log is not None:
            records = np.empty(self._library.sim_records(self._open, None, 0), EVENT)
            self._library.sim_records(self._open, records.ctypes.data, records.size)
            self._log.add(records)

    def save(self, path: Path) -> None:
        """Write the whole state, DRAM too, to a file.

        Raises
        ------
        StateError
            If the build is not `savable`, or the file cannot be written.
        """
        code = self._library.sim_save(self._open, str(path).encode())
        self._check_state(code, f"No state can be written to {path}.")
        with path.open("ab") as file:
            file.write(self._stamp)

    def restore(self, path: Path) -> None:
        """Go on from a state that a simulator of the same build wrote, in this process or another.

        Raises
        ------
        StateError
            If the build is not `savable`, or the file cannot be read, or is of another build.
        """
        self._collect()
        # Verilator would end the process over such a file, and create one that is not there.
        if not path.is_file() or not _ends_with(path, self._stamp):
            raise StateError(f"{path} is no state that this build of the simulator has saved.")
        code = self._library.sim_restore(self._open, str(path).encode())
        self._check_state(code, f"No state can be read from {path}.")

    def _check_state(self, code: int, otherwise: str) -> None:
        if code == _NOT_SAVABLE:
            raise StateError("This simulator was not built to save its state.")
        if code:
            raise StateError(otherwise)

    def trace(self, path: Path, *, scope: str = "", first: int = 0, last: int = 2**63) -> None:
        """Write an FST waveform of cycles `first` to `last` below instance `scope`.

        Raises
        ------
        AccessError
            If the build cannot trace, or the file cannot be written.
        """
        below = scope.removeprefix("TOP.").removeprefix("mtia_chip").strip(".")
        code = self._library.sim_trace(self._open, str(path).encode(), below.encode(), first, last)
        if code:
            raise AccessError(f"No waveform can be written to {path}.")


def _ends_with(path: Path, stamp: bytes) -> bool:
    """Whether a file's last bytes are these."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(stamp), 0))
        return file.read() == stamp
