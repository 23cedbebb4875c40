# SPDX-License-Identifier: Apache-2.0
"""The units in C++: built with the project's compiler on first use, cached by content.

They compute what the NumPy units of `sim.functional.units` compute, faster, and leave the machine
in the same state.
"""

import ctypes
import functools
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.functions import BASES, REGIONS, datapath, table
from sim.build_cache import BuildCache, content_key
from sim.functional.state import CommandState, MachineState, Rom
from sim.toolchain import ToolchainError, find_cxx, processor_key

__all__ = ["NativeUnits", "function_rom", "native_units"]

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
        for name in ("machine", "command"):
            getattr(self._library, f"functional_{name}_bytes").restype = i64
        self._run = self._library.functional_run
        self._run.restype, self._run.argtypes = i64, [pointer, pointer, i64]
        self._new = self._library.functional_scratch_new
        self._new.restype, self._new.argtypes = pointer, []
        for name in ("delete", "reset"):
            function = getattr(self._library, f"functional_scratch_{name}")
            function.restype, function.argtypes = None, [pointer]
        self._evaluate = self._library.functional_evaluate
        self._evaluate.restype = None
        self._evaluate.argtypes = [pointer, i64, pointer, i64, pointer]
        self._dot = self._library.functional_dot
        self._dot.restype, self._dot.argtypes = None, [pointer, pointer, i64, i64, i64, pointer]
        sizes = (self._library.functional_machine_bytes(), ctypes.sizeof(MachineState))
        sizes += (self._library.functional_command_bytes(), ctypes.sizeof(CommandState))
        assert sizes[0] == sizes[1] and sizes[2] == sizes[3], "state.h and state.py differ"

    def new_scratch(self) -> int:
        """Memory of one machine's units."""
        return self._new()

    def delete_scratch(self, scratch: int) -> None:
        """The machine is gone."""
        self._library.functional_scratch_delete(scratch)

    def reset_scratch(self, scratch: int) -> None:
        """A job begins: no rows are on their way."""
        self._library.functional_scratch_reset(scratch)

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

    def evaluate(self, function: Function, x: NDArray[np.float32]) -> NDArray[np.uint32]:
        """Bits of a table function of every element."""
        x = np.ascontiguousarray(x)
        out = np.empty(x.shape, np.uint32)
        rom = ctypes.addressof(function_rom())
        self._evaluate(rom, function, x.ctypes.data, x.size, out.ctypes.data)
        return out


@functools.cache
def _columns() -> dict[str, list[NDArray[Any]]]:
    """The function table by columns; they must outlive every use of their addresses."""
    rows = table()
    base, log2 = np.zeros((2, 1 + max(REGIONS)), np.int64)
    for region, spec in REGIONS.items():
        base[region], log2[region] = BASES[region], spec.segments_log2
    exponents = [float(-row.exponent - datapath.VALUE_FRACTION) for row in rows]
    columns = [np.array([row.coefficients[i] for row in rows], np.int64) for i in range(4)]
    return {"coefficients": columns, "rest": [np.exp2(exponents), base, log2]}


@functools.cache
def function_rom() -> Rom:
    """The tables of the SIMD engine's functions for the library."""
    columns = _columns()
    rom = Rom(log2_e=datapath.LOG2_E_CONSTANT, ln_2=datapath.LN_2_CONSTANT)
    rom.coefficients[:] = [column.ctypes.data for column in columns["coefficients"]]
    rom.scale, rom.base, rom.segments_log2 = (part.ctypes.data for part in columns["rest"])
    return rom


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
