# SPDX-License-Identifier: Apache-2.0
"""`mtia waves`: run a bench with waves, or take a waveform, and look at it in GTKWave."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from sim.waves import write_save_file
from sw.errors import UserError

__all__ = ["command"]

_ROOT = Path(__file__).resolve().parents[3]


def command(
    what: Annotated[
        str, typer.Argument(help="A test (path, pytest node id, part of a name), or a .fst file.")
    ],
) -> None:
    """Show waves with names in place of numbers; without a display, print the two files."""
    waves = [Path(what)] if what.endswith((".fst", ".vcd")) else _run_test(what)
    for path in waves:
        if not path.is_file():
            raise UserError(f"There is no waveform {path}; run the test with WAVES=1 first.")
        save = path.with_suffix(".gtkw")
        if not save.exists() or save.stat().st_mtime < path.stat().st_mtime:
            try:
                save = write_save_file(path)
            except RuntimeError:
                raise UserError(f"{path} is not a waveform that can be read.") from None
        print(path)
        print(save)
    viewer = shutil.which("gtkwave")
    if viewer is None or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print("No display or no gtkwave here; open the two files with: gtkwave DUMP.gtkw")
        return
    subprocess.Popen([viewer, str(waves[-1].with_suffix(".gtkw"))], stderr=subprocess.DEVNULL)


def _run_test(test: str) -> list[Path]:
    """Run tests with waves on; the waveforms that this wrote."""
    if not test:
        raise UserError("Name a test: make waves TEST=tb/unit/dpe, for example.")
    selection = [test] if (_ROOT / test.partition("::")[0]).exists() else ["-k", test]
    runs = _ROOT / "build" / "runs"
    before = {path: path.stat().st_mtime for path in runs.glob("*/dump.fst")}
    command = [sys.executable, "-m", "pytest", "-q", *selection]
    code = subprocess.run(command, cwd=_ROOT, env={**os.environ, "WAVES": "1"}).returncode
    written = [p for p in runs.glob("*/dump.fst") if p.stat().st_mtime != before.get(p)]
    if not written:
        reason = "no test of that name ran a bench" if code in (0, 5) else "the test failed early"
        raise UserError(f"No waveform was written: {reason}.")
    return sorted(written, key=lambda path: path.stat().st_mtime)
