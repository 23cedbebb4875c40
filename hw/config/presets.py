# SPDX-License-Identifier: Apache-2.0
"""The named members of the family."""

import dataclasses
import difflib

from hw.config.checks import ConfigError
from hw.config.element import CpConfig, DpeConfig, FiConfig, LsConfig, PeConfig, ReConfig, SeConfig
from hw.config.tree import ChipConfig, DramConfig, SramConfig

__all__ = ["PRESETS", "get_config"]

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def _small_pe(
    columns: int, banks: int, ls_bytes: int, cbs: int, fp_lanes: int, with_fp: bool = True
) -> PeConfig:
    """An element with 8-byte words and 16-byte links; without floats, if so wished."""
    return PeConfig(
        dpe=DpeConfig(columns=columns, k_bytes=8, with_fp=with_fp),
        re=ReConfig(banks=banks, fast_minmax=with_fp),
        ls=LsConfig(size_bytes=ls_bytes, banks=8, word_bytes=8),
        cp=CpConfig(cbs=cbs, queue_depth=4),
        fi=FiConfig(reads_in_flight=8),
        se=SeConfig(drain_lanes=8, fp_lanes=fp_lanes, with_fp=with_fp, with_functions=with_fp),
        link_bytes=16,
    )


# As block RAM likes it: two ports, parity in the ninth bit, and a link's words a cycle in and out.
_FPGA_LS = LsConfig(
    size_bytes=32 * KIB,
    banks=4,
    word_bytes=8,
    two_port=True,
    read_lanes=4,
    write_lanes=2,
    access_stage=True,
)

_FULL_PE = PeConfig(
    dpe=DpeConfig(columns=32, k_bytes=32),
    re=ReConfig(banks=4),
    ls=LsConfig(size_bytes=128 * KIB, banks=16, word_bytes=32),
    cp=CpConfig(cbs=64, queue_depth=8),
    fi=FiConfig(reads_in_flight=32),
    se=SeConfig(drain_lanes=32, fp_lanes=16),
    link_bytes=64,
)

_TINY = ChipConfig(
    name="tiny",
    purpose="tests: the smallest grid",
    rows=2,
    cols=2,
    pe=_small_pe(columns=8, banks=4, ls_bytes=16 * KIB, cbs=32, fp_lanes=4),
    sram=SramConfig(slices=4, bytes_per_cycle=16, size_bytes=256 * KIB, cache_ways=8),
    dram=DramConfig(channels=1, bytes_per_cycle=8, total_bytes_per_cycle=8, size_bytes=64 * MIB),
    clock_mhz=100.0,
)

_MEMBERS = (
    _TINY,
    dataclasses.replace(
        _TINY, name="tiny-spare", purpose="tests: a row can be left out", spare_rows=1
    ),
    ChipConfig(
        name="odd",
        purpose="tests: a grid and a tile that are not square",
        rows=3,
        cols=2,
        pe=_small_pe(columns=16, banks=4, ls_bytes=16 * KIB, cbs=16, fp_lanes=4),
        sram=SramConfig(slices=2, bytes_per_cycle=16, size_bytes=128 * KIB, cache_ways=8),
        dram=DramConfig(
            channels=1, bytes_per_cycle=4, total_bytes_per_cycle=4, size_bytes=64 * MIB
        ),
        clock_mhz=100.0,
    ),
    ChipConfig(
        name="fpga",
        purpose="ULX3S-85F and kin",
        rows=1,
        cols=1,
        pe=dataclasses.replace(
            _small_pe(columns=8, banks=16, ls_bytes=32 * KIB, cbs=16, fp_lanes=2, with_fp=False),
            ls=_FPGA_LS,
            fi=FiConfig(reads_in_flight=16, writes_in_flight=8, with_scatter_add=False),
            se=SeConfig(drain_lanes=2, fp_lanes=2, with_fp=False, with_functions=False),
        ),
        sram=SramConfig(slices=1, bytes_per_cycle=16, size_bytes=128 * KIB),
        dram=DramConfig(
            channels=1, bytes_per_cycle=2, total_bytes_per_cycle=2, size_bytes=32 * MIB
        ),
        clock_mhz=60.0,
    ),
    ChipConfig(
        name="mtia100-pe",
        purpose="one full-size element",
        rows=1,
        cols=1,
        pe=_FULL_PE,
        sram=SramConfig(slices=1, bytes_per_cycle=64, size_bytes=4 * MIB),
        dram=DramConfig(
            channels=1, bytes_per_cycle=16, total_bytes_per_cycle=16, size_bytes=1 * GIB
        ),
        clock_mhz=800.0,
    ),
    ChipConfig(
        name="mtia100",
        purpose="the ISCA 2023 chip, 800 MHz class",
        rows=8,
        cols=8,
        # Far memories: twice the reads of the element alone.
        pe=dataclasses.replace(_FULL_PE, fi=FiConfig(reads_in_flight=64)),
        sram=SramConfig(slices=16, bytes_per_cycle=64, size_bytes=128 * MIB, cache_ways=8),
        dram=DramConfig(
            channels=16, bytes_per_cycle=16, total_bytes_per_cycle=220, size_bytes=4 * GIB
        ),
        clock_mhz=800.0,
    ),
)

PRESETS: dict[str, ChipConfig] = {member.name: member.validate() for member in _MEMBERS}
"""Name to configuration, in the order in which tables list them."""


def get_config(name: str) -> ChipConfig:
    """Return the member called `name`.

    Raises
    ------
    ConfigError
        If there is none; the sentence lists the names, nearest first.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"There is no configuration {name!r}; there are {', '.join(PRESETS)}.{hint}")
