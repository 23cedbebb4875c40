# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while nextpnr runs: it ends at once, and so does the flow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
_CODE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
from hw.fpga.devices import DEVICES
from sw.synth.placement import place
from sw.synth.synthesis import synthesise
from tb.unit.fpga.parts import Pair
small = DEVICES["ecp5-25f"]
place(synthesise(Pair(), small), small, seeds=(1, 2, 3), mhz=50, jobs=2)
"""
_NEXTPNR = """#!/bin/sh
[ "$1" = --version ] && { echo slow; exit; }
echo $$ >"$STARTED/$$.tmp" && mv "$STARTED/$$.tmp" "$STARTED/$$"
exec sleep 300
"""


def _wait_for(folder: Path, number: int) -> list[int]:
    """The programs that have begun."""
    for _ in range(1200):
        found = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        if len(found) == number:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{number} programs never began.")


def test_an_interrupt_of_the_flow_alone_ends_nextpnr(tmp_path: Path) -> None:
    """From a terminal all programs get it, from `kill` or a job control only the flow."""
    program, started = tmp_path / "nextpnr", tmp_path / "started"
    program.write_text(_NEXTPNR)
    program.chmod(0o755)
    started.mkdir()
    environment = {**os.environ, "NEXTPNR": str(program), "STARTED": str(started)}
    flow = subprocess.Popen(
        [sys.executable, "-c", _CODE], cwd=_ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        running = _wait_for(started, 2)
        flow.send_signal(signal.SIGINT)
        _, errors = flow.communicate(timeout=60)
    finally:
        flow.kill()
    assert "KeyboardInterrupt" in errors and flow.returncode != 0
    assert len(list(started.iterdir())) == 2, "the third seed must not begin"
    for process in running:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
