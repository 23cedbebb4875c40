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

__all__ = [
    "ChipConfig",
    "ConfigError",
    "CpConfig",
    "DpeConfig",
    "DramConfig",
    "FiConfig",
    "LsConfig",
    "PeConfig",
    "ReConfig",
    "SeConfig",
    "SramConfig",
]


class ConfigError(ValueError):
    """A configuration that cannot be built; the message is one sentence."""


def _check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ConfigError(sentence)


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DpeConfig:
    """Dot-product engine: a tile of `columns` held vectors of `k_bytes` bytes each."""

    columns: int
    """Held vectors, hence results per cycle; also the rows of one tile."""
    k_bytes: int
    """Bytes of one dot product per cycle: INT8 elements, or twice the FP16/BF16 elements."""
    with_fp: bool = True
    """FP16 and BF16 at half rate; False leaves the floating datapath out."""
    lut_columns: int = 0
    """Columns whose multipliers are made of logic on an FPGA with fewer hard ones than products."""

    @property
    def tile_rows(self) -> int:
        """Rows streamed past one held block, and rows of one accumulator bank."""
        return self.columns

    @property
    def chunk(self) -> int:
        """Products that one FP16/BF16 dot product sums before it rounds."""
        return self.k_bytes // 2

    def macs_per_cycle(self, element_bytes: int = 1) -> int:
        """Multiply-accumulates per cycle for elements of 1 or 2 bytes."""
        return self.columns * self.k_bytes // element_bytes

    def validate(self) -> None:
        """Raise `ConfigError` unless the tile can be built."""
        _check(
            _power_of_two(self.k_bytes) and 4 <= self.k_bytes <= 64,
            f"dpe.k_bytes is {self.k_bytes}; it must be a power of two from 4 to 64.",
        )
        _check(
            _power_of_two(self.columns)
            and self.columns >= self.k_bytes
            and self.columns <= min(8 * self.k_bytes, 64),
            f"dpe.columns is {self.columns}; it must be a power of two from dpe.k_bytes"
            f" ({self.k_bytes}) to {min(8 * self.k_bytes, 64)}.",
        )
        _check(
            self.columns >= 8,
            f"dpe.columns is {self.columns}; it must be at least 8, the reduction engine's"
            f" latency.",
        )
        _check(
            0 <= self.lut_columns <= self.columns,
            f"dpe.lut_columns is {self.lut_columns}; it must be from 0 to dpe.columns"
            f" ({self.columns}).",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReConfig:
    """Reduction engine: accumulator banks, each one tile of 32-bit values."""

    banks: int = 4
    """Accumulator banks."""
    fast_minmax: bool = True
    """Minimum and maximum of a drained row in every cycle; False: a value of it per cycle."""

    def validate(self) -> None:
        """Raise `ConfigError` unless the bank count fits the command set."""
        _check(
            _power_of_two(self.banks) and 2 <= self.banks <= 16,
            f"re.banks is {self.banks}; it must be 2, 4, 8 or 16.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LsConfig:
    """Local memory: `banks` banks of `word_bytes`-byte words."""

    size_bytes: int
    """Total size."""
    banks: int
    """Banks, interleaved by an XOR of word-address groups."""
    word_bytes: int
    """Bytes of one bank word; equals the tile's `k_bytes`."""
    parity: bool = True
    """One parity bit per byte."""
    two_port: bool = False
    """A bank can read a word and write another in one cycle; else it does one of the two."""
    read_lanes: int = 0
    """Ports of the crossbar for reads, which units share; 0: one for each slot of a unit."""
    write_lanes: int = 0
    """The same for writes."""
    access_stage: bool = False
    """A register in each lane, which keeps an access until its bank is free: a faster clock, but
    reads come later."""

    @property
    def latency(self) -> int:
        """Cycles from the grant of a read to its response; with `access_stage` the fewest."""
        return 3 if self.access_stage else 2

    @property
    def words(self) -> int:
        """Words in all banks together."""
        return self.size_bytes // self.word_bytes

    def validate(self) -> None:
        """Raise `ConfigError` unless the banks divide the memory evenly."""
        fewest = 4 if self.two_port else 8
        _check(
            _power_of_two(self.banks) and fewest <= self.banks <= 64,
            f"ls.banks is {self.banks}; it must be a power of two from {fewest} to 64.",
        )
        _check(
            _power_of_two(self.size_bytes) and self.size_bytes <= 1 << 19,
            f"ls.size_bytes is {self.size_bytes}; it must be a power of two, at most 524288.",
        )
        _check(
            self.words >= 4 * self.banks,
            f"ls.size_bytes is {self.size_bytes}; {self.banks} banks of {self.word_bytes}-byte"
            f" words"
            f" need at least {4 * self.banks * self.word_bytes}.",
        )
        for name in ("read_lanes", "write_lanes"):
            n_lanes = getattr(self, name)
            _check(n_lanes >= 0, f"ls.{name} is {n_lanes}; it must be 0 or more.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpConfig:
    """Command processor."""

    cbs: int
    """Circular buffers."""
    queue_depth: int
    """Commands that wait in each unit's queue."""
    counters: int = 16
    """CP counters for signals and waits."""
    contexts: int = 16
    """Stored commands that the short RUN command repeats."""

    def validate(self) -> None:
        """Raise `ConfigError` unless the tables fit the command set's fields."""
        for name, value, top in (
            ("cbs", self.cbs, 64),
            ("queue_depth", self.queue_depth, 64),
            ("counters", self.counters, 32),
            ("contexts", self.contexts, 16),
        ):
            _check(
                _power_of_two(value) and 2 <= value <= top,
                f"cp.{name} is {value}; it must be a power of two from 2 to {top}.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FiConfig:
    """Fabric interface."""

    reads_in_flight: int
    """Link-wide reads that may be outstanding."""
    writes_in_flight: int = 32
    """Link-wide writes that may be unacknowledged."""
    with_scatter_add: bool = True
    """SCATTER may add to memory; False leaves the adders out, and a command that adds traps."""

    @property
    def shared_reads(self) -> int:
        """Reads that each engine may share at a time, beside those of its own."""
        return self.reads_in_flight

    def validate(self) -> None:
        """Raise `ConfigError` unless the tag fields can hold the counts."""
        for name, value in (
            ("reads_in_flight", self.reads_in_flight),
            ("writes_in_flight", self.writes_in_flight),
        ):
            _check(
                _power_of_two(value) and 4 <= value <= 64,
                f"fi.{name} is {value}; it must be a power of two from 4 to 64.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeConfig:
    """SIMD engine."""

    drain_lanes: int
    """Accumulator values requantised per cycle on the integer drain path; where they fill less than
    a word of local memory, words are collected."""
    fp_lanes: int
    """FP32 lanes."""
    row_beats: int = 128
    """Beats of `fp_lanes` elements in the row buffer, hence the longest row that can wait for its
    own statistic."""
    sum_beats: int = 64
    """Beats of `fp_lanes` sums that `accumulate` can hold."""
    programs: int = 4
    """Program slots."""
    with_fp: bool = True
    """The FP32 lanes; False leaves only the integer drain path."""
    with_functions: bool = True
    """Table functions."""

    def validate(self) -> None:
        """Raise `ConfigError` unless lanes and buffers are powers of two."""
        for name, value, low, high in (
            ("drain_lanes", self.drain_lanes, 2, 64),
            ("fp_lanes", self.fp_lanes, 2, 64),
            ("row_beats", self.row_beats, 64, 1024),
            ("sum_beats", self.sum_beats, 16, 1024),
            ("programs", self.programs, 2, 16),
        ):
            _check(
                _power_of_two(value) and low <= value <= high,
                f"se.{name} is {value}; it must be a power of two from {low} to {high}.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeConfig:
    """One processing element."""

    dpe: DpeConfig
    re: ReConfig
    ls: LsConfig
    cp: CpConfig
    fi: FiConfig
    se: SeConfig
    link_bytes: int
    """Bytes per cycle of each link into and out of the element; two local-memory words."""

    def validate(self) -> None:
        """Raise `ConfigError` unless every unit is buildable and they fit together."""
        for unit in (self.dpe, self.re, self.ls, self.cp, self.fi, self.se):
            unit.validate()
        _check(
            self.ls.word_bytes == self.dpe.k_bytes,
            f"ls.word_bytes is {self.ls.word_bytes}; it must equal dpe.k_bytes"
            f" ({self.dpe.k_bytes}), one streamed row.",
        )
        _check(
            self.link_bytes == 2 * self.ls.word_bytes,
            f"link_bytes is {self.link_bytes}; it must be two local-memory words"
            f" ({2 * self.ls.word_bytes}).",
        )
        _check(
            self.se.fp_lanes in (self.ls.word_bytes // 4, self.ls.word_bytes // 2),
            f"se.fp_lanes is {self.se.fp_lanes}; it must be a quarter or half of ls.word_bytes"
            f" ({self.ls.word_bytes // 4} or {self.ls.word_bytes // 2}), so that a beat of FP32 is"
            " one or two words.",
        )
        ways = [self.ls.word_bytes // 4 << shift for shift in range(4)]
        _check(
            self.se.drain_lanes in ways and self.se.drain_lanes <= self.dpe.columns,
            f"se.drain_lanes is {self.se.drain_lanes}; it must be a quarter, half, one or two times"
            f" ls.word_bytes ({', '.join(map(str, ways))}), at most dpe.columns"
            f" ({self.dpe.columns}), so that whole words come out.",
        )
        block = 4 * self.re.banks * self.dpe.columns**2
        _check(
            self.ls.size_bytes >= 4 * block,
            f"ls.size_bytes is {self.ls.size_bytes}; results of all banks take {block} bytes, and"
            f" local memory must hold four times that ({4 * block}).",
        )
        _check(
            4 * self.dpe.columns <= self.ls.banks * self.ls.word_bytes,
            f"ls.banks is {self.ls.banks}; one accumulator row of {4 * self.dpe.columns} bytes"
            f" needs at least {4 * self.dpe.columns // self.ls.word_bytes} banks.",
        )


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
            _check(_power_of_two(value), f"sram.{name} is {value}; it must be a power of two.")
        _check(
            self.bytes_per_cycle >= 8,
            f"sram.bytes_per_cycle is {self.bytes_per_cycle}; it must be at least 8, one ECC word.",
        )
        ways, lines = self.cache_ways, self.size_bytes // self.slices // self.bytes_per_cycle
        _check(
            ways == 0 or (_power_of_two(ways) and 2 <= ways <= MAX_CACHE_WAYS),
            f"sram.cache_ways is {ways}; it must be 0 or a power of two from 2 to"
            f" {MAX_CACHE_WAYS}.",
        )
        _check(
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
            _check(_power_of_two(value), f"dram.{name} is {value}; it must be a power of two.")
        _check(
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
        _check(
            self.name.replace("-", "").replace("_", "").isalnum(),
            f"name is {self.name!r}; it must consist of letters, digits, '-' and '_'.",
        )
        for name in ("rows", "cols"):
            value = getattr(self, name)
            _check(1 <= value <= 16, f"{name} is {value}; it must be from 1 to 16.")
        _check(
            self.spare_rows in (0, 1),
            f"spare_rows is {self.spare_rows}; it must be 0 or 1.",
        )
        _check(
            not self.spare_rows or (self.n_pes > 1 and self.built_rows <= 16),
            f"spare_rows is 1; that needs two elements or more, and at most 15 rows, not"
            f" {self.rows}.",
        )
        _check(
            math.isfinite(self.clock_mhz) and self.clock_mhz > 0,
            f"clock_mhz is {self.clock_mhz:g}; it must be a finite number above 0.",
        )
        self.pe.validate()
        self.sram.validate()
        self.dram.validate()
        _check(
            self.n_pes > 1 or not self.sram.cache_ways,
            f"sram.cache_ways is {self.sram.cache_ways}; it must be 0, since a chip with one"
            " element has no cache.",
        )
        _check(
            self.sram.bytes_per_cycle == self.pe.link_bytes,
            f"sram.bytes_per_cycle is {self.sram.bytes_per_cycle}; it must equal link_bytes"
            f" ({self.pe.link_bytes}).",
        )
        _check(
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
