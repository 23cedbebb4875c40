# SPDX-License-Identifier: Apache-2.0
"""The memory-side caches of a grid, as software sees them."""

from hw.arch.address_map import DRAM
from hw.arch.cache import CacheOp
from hw.config import ChipConfig
from sw.errors import UserError
from sw.runtime.page import RegisterPage

__all__ = ["Caches", "check_cache_ways", "scratchpad_bytes"]

_BUSY, _LOST, _FAILED = 1, 2, 4  # bits of CACHE_STATUS
_PATIENCE = 1_000_000  # looks at CACHE_STATUS


def check_cache_ways(config: ChipConfig, n_ways: int) -> None:
    """Raise UserError unless so many ways of each slice can be cache."""
    built = config.sram.cache_ways
    if not 0 <= n_ways <= built:
        has = f"slices of {built} ways, of which 0 to {built} may be" if built else "no"
        raise UserError(f"{config.name} has {has} cache, not {n_ways} ways.")


def scratchpad_bytes(config: ChipConfig, n_ways: int) -> int:
    """Bytes of the shared SRAM, from its beginning, that are no cache if so many ways are."""
    size, built = config.sram.size_bytes, config.sram.cache_ways
    return size // built * (built - n_ways) if built else size


class Caches:
    """All caches of a grid together.

    Parameters
    ----------
    page : RegisterPage
        The chip's registers.
    config : ChipConfig
        What it was built from.
    """

    def __init__(self, page: RegisterPage, config: ChipConfig) -> None:
        self._page, self._config = page, config

    def set_ways(self, n_ways: int) -> None:
        """Let so many ways of each slice be a cache of DRAM; what is cached now is flushed.

        Cache takes the upper ways: of the shared SRAM the first `size * (built - n_ways) / built`
        bytes remain, whatever lay behind is lost, and no job may use them meanwhile.

        Raises
        ------
        UserError
            If the chip has not so many ways, or a line could not be written back.
        """
        check_cache_ways(self._config, n_ways)
        if self._config.sram.cache_ways:
            self._page.set_register("CACHE_WAYS", n_ways)
            self._wait()

    def range(self, op: str, address: int, n_bytes: int) -> None:
        """Do something to all cached lines in a range of DRAM, and wait for its end.

        Parameters
        ----------
        op : str
            `flush`: write changed lines back, they stay; `invalidate`: write them back, none stays;
            `drop`: none stays, and what was changed is lost; `prefetch`: fetch what is not there.
        address, n_bytes : int
            The range. To `drop` it must begin and end with a line.

        Raises
        ------
        UserError
            If there is no such operation, the range is not in DRAM or, to drop, cuts a line; if the
            chip has no cache; if a line could not be written back.
        """
        config = self._config
        line, first = config.pe.link_bytes, address - DRAM.base
        ops = {known.name.lower(): known for known in CacheOp}
        if op not in ops:
            raise UserError(f"A cache can {', '.join(ops)}, not {op!r}.")
        if not config.sram.cache_ways:
            raise UserError(f"{config.name} has no cache.")
        if first < 0 or n_bytes < 1 or first + n_bytes > config.dram.size_bytes:
            raise UserError(
                f"{n_bytes} bytes from {address:#x} on are no range of DRAM, which is"
                f" {DRAM.base:#x} to {DRAM.base + config.dram.size_bytes - 1:#x}."
            )
        if op == "drop" and (first % line or n_bytes % line):
            raise UserError(
                f"{n_bytes} bytes from {address:#x} on do not begin and end with a line of {line}"
                " bytes; dropping them would lose others."
            )
        self._page.set_register("CACHE_FIRST", first // line)
        self._page.set_register("CACHE_LAST", (first + n_bytes - 1) // line)
        self._page.set_register("CACHE_COMMAND", ops[op])
        self._wait()

    def scratchpad_bytes(self) -> int:
        """Bytes of the shared SRAM, from its beginning, that are no cache."""
        has_cache = self._config.sram.cache_ways > 0
        n_ways = self._page.register("CACHE_WAYS") & 0xFF if has_cache else 0
        return scratchpad_bytes(self._config, n_ways)

    def _wait(self) -> None:
        """Wait until no cache is busy; tell what went wrong since the last time."""
        for _ in range(_PATIENCE):
            status = self._page.register("CACHE_STATUS")
            if not status & _BUSY:
                break
        else:
            raise UserError("The cache does not come to rest: DRAM does not answer.")
        if not status & (_LOST | _FAILED):
            return
        self._page.set_register("CACHE_STATUS", 0)
        if status & _LOST:
            raise UserError(
                "A line of DRAM could not be written back from the cache: SRAM has lost a word of"
                " it (ECC_UNCORRECTED). DRAM has what it had before."
            )
        raise UserError("DRAM refused a line that was written back from the cache.")
