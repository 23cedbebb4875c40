# SPDX-License-Identifier: Apache-2.0
"""Configuration of one processing element: a small class for each unit."""

import dataclasses

from hw.config.checks import check, power_of_two

__all__ = [
    "CpConfig",
    "DpeConfig",
    "FiConfig",
    "LsConfig",
    "PeConfig",
    "ReConfig",
    "SeConfig",
]


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
        check(
            power_of_two(self.k_bytes) and 4 <= self.k_bytes <= 64,
            f"dpe.k_bytes is {self.k_bytes}; it must be a power of two from 4 to 64.",
        )
        check(
            power_of_two(self.columns)
            and self.columns >= self.k_bytes
            and self.columns <= min(8 * self.k_bytes, 64),
            f"dpe.columns is {self.columns}; it must be a power of two from dpe.k_bytes"
            f" ({self.k_bytes}) to {min(8 * self.k_bytes, 64)}.",
        )
        check(
            self.columns >= 8,
            f"dpe.columns is {self.columns}; it must be at least 8, the reduction engine's"
            f" latency.",
        )
        check(
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
        check(
            power_of_two(self.banks) and 2 <= self.banks <= 16,
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
        check(
            power_of_two(self.banks) and fewest <= self.banks <= 64,
            f"ls.banks is {self.banks}; it must be a power of two from {fewest} to 64.",
        )
        check(
            power_of_two(self.size_bytes) and self.size_bytes <= 1 << 19,
            f"ls.size_bytes is {self.size_bytes}; it must be a power of two, at most 524288.",
        )
        check(
            self.words >= 4 * self.banks,
            f"ls.size_bytes is {self.size_bytes}; {self.banks} banks of {self.word_bytes}-byte"
            f" words"
            f" need at least {4 * self.banks * self.word_bytes}.",
        )
        for name in ("read_lanes", "write_lanes"):
            n_lanes = getattr(self, name)
            check(n_lanes >= 0, f"ls.{name} is {n_lanes}; it must be 0 or more.")


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
            check(
                power_of_two(value) and 2 <= value <= top,
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
            check(
                power_of_two(value) and 4 <= value <= 64,
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
            check(
                power_of_two(value) and low <= value <= high,
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
        check(
            self.ls.word_bytes == self.dpe.k_bytes,
            f"ls.word_bytes is {self.ls.word_bytes}; it must equal dpe.k_bytes"
            f" ({self.dpe.k_bytes}), one streamed row.",
        )
        check(
            self.link_bytes == 2 * self.ls.word_bytes,
            f"link_bytes is {self.link_bytes}; it must be two local-memory words"
            f" ({2 * self.ls.word_bytes}).",
        )
        check(
            self.se.fp_lanes in (self.ls.word_bytes // 4, self.ls.word_bytes // 2),
            f"se.fp_lanes is {self.se.fp_lanes}; it must be a quarter or half of ls.word_bytes"
            f" ({self.ls.word_bytes // 4} or {self.ls.word_bytes // 2}), so that a beat of FP32 is"
            " one or two words.",
        )
        ways = [self.ls.word_bytes // 4 << shift for shift in range(4)]
        check(
            self.se.drain_lanes in ways and self.se.drain_lanes <= self.dpe.columns,
            f"se.drain_lanes is {self.se.drain_lanes}; it must be a quarter, half, one or two times"
            f" ls.word_bytes ({', '.join(map(str, ways))}), at most dpe.columns"
            f" ({self.dpe.columns}), so that whole words come out.",
        )
        block = 4 * self.re.banks * self.dpe.columns**2
        check(
            self.ls.size_bytes >= 4 * block,
            f"ls.size_bytes is {self.ls.size_bytes}; results of all banks take {block} bytes, and"
            f" local memory must hold four times that ({4 * block}).",
        )
        check(
            4 * self.dpe.columns <= self.ls.banks * self.ls.word_bytes,
            f"ls.banks is {self.ls.banks}; one accumulator row of {4 * self.dpe.columns} bytes"
            f" needs at least {4 * self.dpe.columns // self.ls.word_bytes} banks.",
        )
