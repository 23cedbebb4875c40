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
_CLOSED = """
from hw.config import PRESETS
from sim.compiled.simulator import StateError
from sw.runtime.simulated import simulated_grid

grid, _ = simulated_grid(PRESETS["tiny"], test=True)
grid.port.close()
grid.port.close()
for use in (lambda: grid.port.cycles, lambda: grid.port.read(0, 4), lambda: grid.port.run(1)):
    try:
        use()
    except StateError as error:
        assert str(error) == "The simulator is closed.", error
    else:
        raise AssertionError
"""


def _run(program: str) -> None:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_chips_are_closed_in_any_order() -> None:
    """Would break if a chip used what belongs to the one made last, which is gone."""
    _run(_ORDER)


def test_a_closed_chip_says_so() -> None:
    """Would break if the library were asked about a simulation that is gone."""
    _run(_CLOSED)
