# SPDX-License-Identifier: Apache-2.0
"""How fast a run could be at best: the array's peak and the bandwidths of the member's memories."""

import dataclasses

from sw.report.record import RunRecord

__all__ = ["Roofline", "Slope", "operand_bytes", "roofline"]


@dataclasses.dataclass(frozen=True)
class Slope:
    """A memory, with the most that it carries in a cycle."""

    name: str
    bytes_per_cycle: float
    is_used: bool
    """Whether the run's operands lay there."""


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The roofs and a run below them."""

    peak: int
    """MAC per cycle of all elements that were there to work."""
    slopes: tuple[Slope, ...]
    n_bytes: int
    """That the run moved to and from the memory of its operands."""
    intensity: float
    """MAC for each of these bytes."""
    best_intensity: float
    """The same if each byte of A, B and C moved once."""
    speed: float
    """MAC per cycle of the run."""

    @property
    def used(self) -> Slope:
        """The memory of this run's operands."""
        return next(slope for slope in self.slopes if slope.is_used)

    @property
    def roof(self) -> float:
        """Most MAC per cycle at the run's intensity."""
        return min(self.peak, self.intensity * self.used.bytes_per_cycle)

    @property
    def limit(self) -> str:
        """What makes the roof there."""
        return "the multipliers" if self.roof >= self.peak else f"{self.used.name} bandwidth"


def roofline(run: RunRecord) -> Roofline:
    """Roofs from the configuration, the run from its counters."""
    figures = run.figures
    n_bytes = run.memory_bytes()
    return Roofline(
        peak=int(figures["peak_macs_per_cycle"]),
        slopes=_slopes(run),
        n_bytes=n_bytes,
        intensity=figures["macs"] / max(n_bytes, 1),
        best_intensity=figures["macs"] / max(operand_bytes(run), 1),
        speed=figures["macs"] / max(run.cycles, 1),
    )


def operand_bytes(run: RunRecord) -> int:
    """Bytes of A, B and C."""
    m, n, k = (int(run.figures[name]) for name in "mnk")
    a, b, c = (_size(run.figures[name]) for name in ("dtype_a", "dtype_b", "out"))
    return m * k * a + k * n * b + m * n * c


def _slopes(run: RunRecord) -> tuple[Slope, ...]:
    """SRAM and DRAM; a slice reads or writes a line in a cycle, a channel's ways share its rate.

    A cache takes an access in each cycle, however few its channel would.
    """
    config, memory = run.config, run.memory
    slices, channels = (config.sram.slices, config.dram.channels) if run.is_grid else (1, 1)
    sram = slices * config.sram.bytes_per_cycle
    dram = config.dram.total_bytes_per_cycle * channels / config.dram.channels
    is_dram, is_cached = memory == "dram", run.cache_ways > 0
    slopes = Slope("SRAM", sram, not is_dram), Slope("DRAM", dram, is_dram and not is_cached)
    if not is_cached:
        return slopes
    return *slopes, Slope(run.dram_name, channels * config.sram.bytes_per_cycle, is_dram)


def _size(dtype: str) -> int:
    """Bytes of an element, from the name of its type."""
    return next(n for bits, n in (("32", 4), ("16", 2), ("8", 1)) if dtype.endswith(bits))
