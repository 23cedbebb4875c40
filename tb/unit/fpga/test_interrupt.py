# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, or a signal to end, while nextpnr runs: it ends at once, and so does the flow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
_CODE = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
from sim.build_cache import BuildCache
from sw.cli.app import main
from sw.synth import order, placement
from tb.unit.fpga.parts import Pair
scratch = Path(os.environ["SCRATCH"])
order.RESULTS, placement.CACHE = scratch / "results", BuildCache(scratch / "cache")
order.Order.component = lambda _order: Pair()
sys.exit(main(["synth", "--unit", "wqe", "--no-picture", "--seeds", "3", "--jobs", "2"]))
"""
_NEXTPNR = """#!/bin/sh
[ "$1" = --version ] && { echo slow nextpnr-ecp5; exit; }
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


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_flow_alone_ends_nextpnr(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """From a terminal all programs get it, from `kill` or a job control only the flow."""
    program, started, cache = (tmp_path / name for name in ("nextpnr", "started", "cache"))
    program.write_text(_NEXTPNR)
    program.chmod(0o755)
    started.mkdir()
    names = {"NEXTPNR": program, "STARTED": started, "SCRATCH": tmp_path}
    environment = {**os.environ, **{name: str(path) for name, path in names.items()}}
    command = [sys.executable, "-c", _CODE]
    flow = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        running = _wait_for(started, 2)
        assert len(list(cache.glob(".tmp-place-*"))) == 2
        flow.send_signal(number)
        assert flow.wait(timeout=60) == code
    finally:
        flow.kill()
    assert len(list(started.iterdir())) == 2, "the third seed must not begin"
    assert list(cache.glob(".tmp-*")) == [], "nothing half-made may stay"
    for process in running:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
