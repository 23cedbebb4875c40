# SPDX-License-Identifier: Apache-2.0
"""The units in C++: built with the project's compiler on first use, cached by content.

They compute what the NumPy units of `sim.functional.units` compute, faster, and leave the machine
in the same state.
"""

import ctypes
import functools
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.build_cache import BuildCache, content_key
from sim.functional.state import CommandState, MachineState
from sim.toolchain import ToolchainError, find_cxx, processor_key

__all__ = ["NativeUnits", "native_units"]

_SOURCES = Path(__file__).resolve().parent / "core"
_CACHE = Path(__file__).resolve().parents[2] / "build" / "functional"
_FLAGS = (
    "-std=c++20",
    "-O3",
    "-march=native",
    # The results are those of IEEE 754 all the same; the compiler may vectorise truncation.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-shared",
    "-fPIC",
)


class NativeUnits:
    """The loaded library.

    Parameters
    ----------
    library : Path
        What `native_units` built.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        i64, pointer = ctypes.c_int64, ctypes.c_void_p
        for name in ("machine", "command", "scratch"):
            getattr(self._library, f"functional_{name}_bytes").restype = i64
        self._run = self._library.functional_run
        self._run.restype, self._run.argtypes = i64, [pointer, pointer, i64]
        self._dot = self._library.functional_dot
        self._dot.restype, self._dot.argtypes = None, [pointer, pointer, i64, i64, i64, pointer]
        sizes = (self._library.functional_machine_bytes(), ctypes.sizeof(MachineState))
        sizes += (self._library.functional_command_bytes(), ctypes.sizeof(CommandState))
        assert sizes[0] == sizes[1] and sizes[2] == sizes[3], "state.h and state.py differ"

    @property
    def scratch_bytes(self) -> int:
        """Memory that the library wants for itself in one machine, aligned to 64 bytes."""
        return self._library.functional_scratch_bytes()

    def run(self, machine: MachineState, commands: list[CommandState]) -> int:
        """Resume commands until one ends (its index), one is at fault (number + index), or all
        wait (-1)."""
        pointers = (ctypes.c_void_p * len(commands))(*(ctypes.addressof(c) for c in commands))
        return self._run(ctypes.addressof(machine), pointers, len(commands))

    def dot(
        self, a: NDArray[np.uint16], b: NDArray[np.uint16], *, bf16: bool
    ) -> NDArray[np.float32]:
        """Partial sums of one chunk, a[rows, depth] times b[depth, 64]."""
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        out = np.empty((a.shape[0], b.shape[1]), np.float32)
        self._dot(a.ctypes.data, b.ctypes.data, *a.shape, int(bf16), out.ctypes.data)
        return out


@functools.cache
def native_units() -> NativeUnits | None:
    """The library, or None where there is no compiler that can build it."""
    try:
        compiler, version = find_cxx()
        sources = sorted(_SOURCES.iterdir())
        texts = [part for path in sources for part in (path.name, path.read_bytes())]
        key = content_key(version, processor_key(), *_FLAGS, *texts)
        folder = BuildCache(_CACHE).get("units", key, lambda to: _compile(compiler, to))
        return NativeUnits(folder / "units.so")
    except (ToolchainError, OSError, subprocess.CalledProcessError):
        return None


def _compile(compiler: str, folder: Path) -> None:
    command = [compiler, *_FLAGS, str(_SOURCES / "run.cpp"), "-o", str(folder / "units.so")]
    subprocess.run(command, check=True, capture_output=True)
