# SPDX-License-Identifier: Apache-2.0
"""Configuration tree of one chip of the family.

A member of the family is a `ChipConfig` and nothing else. Every class is frozen and keyword-only;
`validate()` raises `ConfigError` with one sentence that says what is wrong and what would be
right. Units receive the small class (or plain integers) they need, never the whole tree.
"""

import dataclasses
import hashlib
import json
import math
from typing import Any

from hw.arch.cache import MAX_CACHE_WAYS
from hw.config.checks import check, power_of_two
from hw.config.element import PeConfig

__all__ = ["ChipConfig", "DramConfig", "SramConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SramConfig:
    """Shared SRAM."""

    slices: int
    bytes_per_cycle: int
    """Bytes per cycle of one slice; equals the link width."""
    size_bytes: int
    """Size of all slices together."""
    ecc: bool = True
    """SECDED (72,64) on every 8-byte word."""
    cache_ways: int = 0
    """Ways that a slice consists of, any number of which may be a cache of DRAM; 0: no cache is
    built. Only a chip with a grid has one."""

    def validate(self) -> None:
        """Raise `ConfigError` unless the slices share the size evenly."""
        for name in ("slices", "bytes_per_cycle", "size_bytes"):
            value = getattr(self, name)
            check(power_of_two(value), f"sram.{name} is {value}; it must be a power of two.")
        check(
            self.bytes_per_cycle >= 8,
            f"sram.bytes_per_cycle is {self.bytes_per_cycle}; it must be at least 8, one ECC word.",
        )
        ways, lines = self.cache_ways, self.size_bytes // self.slices // self.bytes_per_cycle
        check(
            ways == 0 or (power_of_two(ways) and 2 <= ways <= MAX_CACHE_WAYS),
            f"sram.cache_ways is {ways}; it must be 0 or a power of two from 2 to"
            f" {MAX_CACHE_WAYS}.",
        )
        check(
            2 * ways <= lines,
            f"sram.cache_ways is {ways}; it must be at most {lines // 2}, so that each way of a"
            f" slice of {lines} lines has two.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DramConfig:
    """External memory channels, each one AXI4 port."""

    channels: int
    bytes_per_cycle: int
    """AXI data width of one channel in bytes."""
    total_bytes_per_cycle: int
    """Peak of all channels together after throttling."""
    size_bytes: int

    def validate(self) -> None:
        """Raise `ConfigError` unless the channels can carry the stated total."""
        for name in ("channels", "bytes_per_cycle", "size_bytes"):
            value = getattr(self, name)
            check(power_of_two(value), f"dram.{name} is {value}; it must be a power of two.")
        check(
            0 < self.total_bytes_per_cycle <= self.channels * self.bytes_per_cycle,
            f"dram.total_bytes_per_cycle is {self.total_bytes_per_cycle}; it must be from 1 to"
            f" {self.channels * self.bytes_per_cycle}, what the channels carry.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChipConfig:
    """A member of the family."""

    name: str
    purpose: str
    """What this member is meant for, one phrase."""
    rows: int
    cols: int
    pe: PeConfig
    sram: SramConfig
    dram: DramConfig
    clock_mhz: float
    """Clock that the member is meant to reach; figures per second use it, nothing else does."""
    spare_rows: int = 0
    """Rows of tiles beyond `rows`, 0 or 1: with one, any row can be left out at start-up."""

    @property
    def n_pes(self) -> int:
        """Processing elements."""
        return self.rows * self.cols

    @property
    def built_rows(self) -> int:
        """Rows of tiles, used or not."""
        return self.rows + self.spare_rows

    @property
    def multicast_lanes(self) -> int:
        """Lanes on which elements may share reads: 0 none, 1 those along rows, 2 along columns
        too. An element alone has none; lanes along columns need memories on all four sides."""
        if self.n_pes == 1:
            return 0
        return 2 if self.sram.slices >= 4 else 1

    def validate(self) -> "ChipConfig":
        """Return self, or raise `ConfigError` with one sentence."""
        check(
            self.name.replace("-", "").replace("_", "").isalnum(),
            f"name is {self.name!r}; it must consist of letters, digits, '-' and '_'.",
        )
        for name in ("rows", "cols"):
            value = getattr(self, name)
            check(1 <= value <= 16, f"{name} is {value}; it must be from 1 to 16.")
        check(
            self.spare_rows in (0, 1),
            f"spare_rows is {self.spare_rows}; it must be 0 or 1.",
        )
        check(
            not self.spare_rows or (self.n_pes > 1 and self.built_rows <= 16),
            f"spare_rows is 1; that needs two elements or more, and at most 15 rows, not"
            f" {self.rows}.",
        )
        check(
            math.isfinite(self.clock_mhz) and self.clock_mhz > 0,
            f"clock_mhz is {self.clock_mhz:g}; it must be a finite number above 0.",
        )
        self.pe.validate()
        self.sram.validate()
        self.dram.validate()
        check(
            self.n_pes > 1 or not self.sram.cache_ways,
            f"sram.cache_ways is {self.sram.cache_ways}; it must be 0, since a chip with one"
            " element has no cache.",
        )
        check(
            self.sram.bytes_per_cycle == self.pe.link_bytes,
            f"sram.bytes_per_cycle is {self.sram.bytes_per_cycle}; it must equal link_bytes"
            f" ({self.pe.link_bytes}).",
        )
        check(
            self.dram.bytes_per_cycle <= self.pe.link_bytes,
            f"dram.bytes_per_cycle is {self.dram.bytes_per_cycle}; it must be at most link_bytes"
            f" ({self.pe.link_bytes}).",
        )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dictionary, as written beside every generated file."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Stable JSON text of `to_dict()`."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def digest(self) -> str:
        """First 8 hexadecimal digits of the SHA-256 of everything but `name` and `purpose`; and but
        what a chip without spare rows or without a cache did not have before there were any."""
        without = ("name", "purpose", *(() if self.spare_rows else ("spare_rows",)))
        fields = {k: v for k, v in self.to_dict().items() if k not in without}
        if not self.sram.cache_ways:
            del fields["sram"]["cache_ways"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]
