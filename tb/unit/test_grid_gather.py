# SPDX-License-Identifier: Apache-2.0
"""The gather of the grid's bench, element by element on the functional simulator."""

import numpy as np
import pytest

from hw.arch.address_map import DRAM, PE_WINDOWS
from hw.config import PRESETS
from scripts.grid_gather import Gather, run_gather
from sw.runtime.functional import FunctionalChip

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("row_bytes", [64, 128, 256])
def test_what_was_gathered_is_stored_unchanged(row_bytes: int) -> None:
    """Would break if the job that stores wrote over the rows, or took others for them; elements
    have different rows."""
    work = Gather(TINY, row_bytes)
    for place in (work.places[0], work.places[-1]):
        chip = FunctionalChip(TINY, police=False)
        for address, data in work.operands().items():
            chip.port.write(address, data)
        for commands in (work.gather(place), work.store(place)):
            chip.run_job(work.commands_at, commands)
        address, size = work.stored_at(place)
        stored = np.frombuffer(chip.port.read(address, size), np.uint8)
        assert np.array_equal(stored.reshape(work.n_rows, row_bytes), work.rows(place))
    assert not np.array_equal(work.rows(work.places[0]), work.rows(work.places[-1]))


@pytest.mark.parametrize("row_bytes", [128, 256])
def test_commands_of_the_largest_member_hold_their_numbers(row_bytes: int) -> None:
    """Would break if a count of all bytes of local memory went into a field of sixteen bits."""
    work = Gather(PRESETS["mtia100"], row_bytes)
    assert work.n_bytes == 64 * 7 * (1 << 14)
    ends = [work.stored_at(place) for place in work.places]
    assert len({address for address, _ in ends}) == 64
    assert all(work.gather(place) and work.store(place) for place in work.places)


class OneByOne:
    """A grid whose elements are functional chips, which run a job one after the other.

    One element's local memory changes after the job numbered `spoil`.
    """

    def __init__(self, spoil: int | None) -> None:
        self.config, self.port = TINY, self
        places = [(row, column) for row in range(TINY.rows) for column in range(TINY.cols)]
        self._chips = {place: FunctionalChip(TINY, police=False) for place in places}
        self._spoil, self._n_jobs = spoil, 0

    def write(self, address: int, data: bytes) -> None:
        """All have the same memory."""
        for chip in self._chips.values():
            chip.port.write(address, data)

    def read_dram(self, offset: int, n_bytes: int) -> bytes:
        """What one of them has stored there; the others have not."""
        found = [np.frombuffer(chip.port.read(DRAM.base + offset, n_bytes), np.uint8)
                 for chip in self._chips.values()]  # fmt: skip
        return np.bitwise_or.reduce(found).tobytes()

    def run_job(self, base: int, lists: dict[tuple[int, int], bytes]) -> object:
        """One after the other."""
        results = [self._chips[place].run_job(base, commands) for place, commands in lists.items()]
        self._n_jobs += 1
        if self._n_jobs == self._spoil:
            chip = self._chips[0, 1]
            at = PE_WINDOWS.base + TINY.pe.ls.size_bytes // 2
            chip.port.write(at, bytes(byte ^ 1 for byte in chip.port.read(at, 64)))
        return results[0]


@pytest.mark.parametrize(("spoil", "is_exact"), [(None, True), (2, False), (1, True)])
def test_rows_of_every_element_of_the_measured_job_are_compared(
    spoil: int | None, is_exact: bool
) -> None:
    """Would break if only one element, or another job than the measured one, were looked at."""
    grid = OneByOne(spoil)
    _, found = run_gather(grid, row_bytes=128)  # pyright: ignore[reportArgumentType]
    assert found is is_exact
