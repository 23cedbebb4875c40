# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, or a signal to end, while a design is elaborated: the run ends at once, and says so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_CODE = """
import os, signal, sys
from amaranth import _unused
from amaranth.hdl import Module
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
where, number, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
of = {"made": Module, "gone": _unused.MustUse}[where]
name = {"made": "__init__", "gone": "__del__"}[where]
real, left = getattr(of, name), 100
def interrupted(self, *arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), number)
    real(self, *arguments)
setattr(of, name, interrupted)
from sw.cli.app import main
sys.exit(main(["rtl", "--config", "tiny", "-o", out]))
"""


@pytest.mark.parametrize("where", ["made", "gone"])
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Ended by SIGTERM")],
)
def test_one_sentence_ends_an_elaboration(
    tmp_path: Path, where: str, number: int, code: int, word: str
) -> None:
    """Would break if the run went on, or warned of every part that it has not come to."""
    arguments = [where, str(int(number)), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *arguments],
        cwd=_ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", f"mtia: {word}; nothing was left half-written.\n")
    assert done.returncode == code
    assert os.listdir(tmp_path) == []
