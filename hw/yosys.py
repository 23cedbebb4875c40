# SPDX-License-Identifier: Apache-2.0
"""Runs the native Yosys library on one design, in a process of its own.

Yosys prints on stdout, numbers names across all its runs and cannot share a process with
matplotlib, so no other module loads it.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hw.process import run_lines

__all__ = ["YosysError", "run_yosys"]

_SCRIPT = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


class YosysError(RuntimeError):
    """Yosys gave up; the message is its own last one."""


def run_yosys(
    commands: Sequence[str], *, folder: Path, on_line: Callable[[str], None] | None = None
) -> str:
    """Run commands one after the other in `folder`; all that Yosys printed.

    `on_line` sees each line when it appears.

    Raises
    ------
    YosysError
        When a command fails.
    """
    code, lines = run_lines([sys.executable, "-c", _SCRIPT, *commands], folder, on_line)
    if code < 0:
        raise YosysError(f"it was ended by signal {-code}.")
    if code != 0:
        raise YosysError(_fault(lines))
    return "".join(lines)


def _fault(lines: Sequence[str]) -> str:
    """What Yosys says about its failure, without the Python traceback around it."""
    faults = [line.strip() for line in lines if line.startswith("ERROR:")]
    if faults:
        return faults[-1].removeprefix("ERROR:").strip()
    return "".join(lines[-20:]).strip()
