# SPDX-License-Identifier: Apache-2.0
"""Simulators of one process; in a process of its own, since what they did wrong ended it."""

import subprocess
import sys

_ORDER = """
from hw.config import PRESETS
from sw.runtime.simulated import simulated_grid

first, _ = simulated_grid(PRESETS["tiny"], test=True)
second, _ = simulated_grid(PRESETS["tiny"], test=True)
second.port.close()
first.port.run(10)
first.port.close()
"""


def test_chips_are_closed_in_any_order() -> None:
    """Would break if a chip used what belongs to the one made last, which is gone."""
    result = subprocess.run([sys.executable, "-c", _ORDER], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
