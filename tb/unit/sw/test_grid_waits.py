# SPDX-License-Identifier: Apache-2.0
"""What the runtime waits for on a grid, against a chip of a few registers."""

import pytest

from hw.arch import address_map
from hw.arch.csr import ELEMENT_REGISTERS, GRID_REGISTERS, PAGE_BITS, ControlPage
from hw.config import PRESETS
from sw.errors import UserError
from sw.runtime.chip import JobHang
from sw.runtime.grid import Grid

TINY = PRESETS["tiny"]
PLACES = [(0, 0), (0, 1)]
_ACCESS = 20
"""Cycles of a register access."""
_GRID = {register.offset: name for name, register in GRID_REGISTERS.items()}
_ELEMENT = {register.offset: name for name, register in ELEMENT_REGISTERS.items()}


class SlowChip:
    """Job 0 makes no progress; aborted, it ends after so many cycles. The interrupt is high all the
    time, as while a message waits."""

    def __init__(self, abort_cycles: float) -> None:
        self.cycles, self._abort_cycles = 0, abort_cycles
        self._ends = float("inf")
        self.values = {"CONFIG": int(TINY.digest(), 16)}

    def read_register(self, address: int) -> int:
        """One of the chip; those of elements are zero."""
        self.cycles += _ACCESS
        offset = address - address_map.CONTROL.base
        if offset >> PAGE_BITS != ControlPage.GRID:
            return 0
        name = _GRID[offset & (1 << PAGE_BITS) - 1]
        ended = self.cycles >= self._ends
        answers = {
            "GRID_DONE": int(ended),
            "JOB0_PENDING": 0 if ended else len(PLACES),
            "GRID_HANG": 1 << 31 if self.values.get("GRID_WATCHDOG") else 0,
        }
        return answers.get(name, self.values.get(name, 0))

    def write_register(self, address: int, value: int) -> None:
        """Keep it; an abort begins to end the job."""
        self.cycles += _ACCESS
        offset = address - address_map.CONTROL.base
        page, offset = offset >> PAGE_BITS, offset & (1 << PAGE_BITS) - 1
        if page == ControlPage.GRID:
            self.values[_GRID[offset]] = value
        elif _ELEMENT[offset] == "JOB_ABORT":
            self._ends = self.cycles + self._abort_cycles

    def run(self, _n_cycles: int) -> bool:
        """The interrupt is high already."""
        return True


def grid(abort_cycles: float) -> tuple[Grid, SlowChip]:
    """A grid whose job 0 hangs."""
    chip = SlowChip(abort_cycles)
    return Grid(chip, TINY), chip  # pyright: ignore[reportArgumentType]


def test_a_hang_is_left_when_its_abort_has_ended() -> None:
    """Would break if a waiting message, whose interrupt is high, passed for the abort's end: the
    next start would be refused."""
    device, chip = grid(abort_cycles=900)
    with pytest.raises(JobHang, match="No progress for 1000 cycles") as error:
        device.wait(0, PLACES, stall_limit=1000)
    assert chip.read_register(address_of("JOB0_PENDING")) == 0
    assert "abort" not in str(error.value)


def test_an_abort_that_does_not_end_is_told() -> None:
    """Would break if the caller took the chip for usable, or waited for ever."""
    device, chip = grid(abort_cycles=float("inf"))
    with pytest.raises(JobHang, match="2 elements have not ended .* cycles after the abort"):
        device.wait(0, PLACES, stall_limit=1000)
    assert chip.cycles < 100_000


@pytest.mark.parametrize(
    ("job", "sentence"),
    [(1, "Job 1 has not been started"), (4, "A job's number is 0 to 3"), (-1, "number is 0 to 3")],
)
def test_a_job_that_never_started_is_not_waited_for(job: int, sentence: str) -> None:
    """Would break if a refused start were waited for without end."""
    device, chip = grid(abort_cycles=0)
    chip.run = lambda _n_cycles: pytest.fail("it waits")  # type: ignore[method-assign]
    with pytest.raises(UserError, match=sentence):
        device.wait(job, PLACES)


def address_of(name: str) -> int:
    """Of a register of the chip."""
    base = address_map.CONTROL.base + (ControlPage.GRID << PAGE_BITS)
    return base + GRID_REGISTERS[name].offset
