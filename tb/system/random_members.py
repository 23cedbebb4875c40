# SPDX-License-Identifier: Apache-2.0
"""Random members of the family: small enough to build, unlike any preset."""

import random

from hw.config import (
    ChipConfig,
    ConfigError,
    CpConfig,
    DpeConfig,
    DramConfig,
    FiConfig,
    LsConfig,
    PeConfig,
    ReConfig,
    SeConfig,
    SramConfig,
)

__all__ = ["random_member"]

_KIB = 1 << 10


def random_member(rng: random.Random) -> ChipConfig:
    """A valid member with random tile, banks, queues, widths and optional units."""
    while True:
        try:
            return _draw(rng).validate()
        except ConfigError:
            continue  # a combination that cannot be built


def _draw(rng: random.Random) -> ChipConfig:
    word = rng.choice((8, 16))
    columns = rng.choice((8, 16, 32))
    return ChipConfig(
        name="random",
        purpose="tests",
        rows=rng.randint(1, 4),
        cols=rng.randint(1, 4),
        pe=_draw_element(rng, word, columns),
        sram=SramConfig(
            slices=1,
            bytes_per_cycle=2 * word,
            size_bytes=rng.choice((128, 256)) * _KIB,
            ecc=rng.random() < 0.7,
        ),
        dram=DramConfig(
            channels=1,
            bytes_per_cycle=(width := rng.choice((2, 4, 8, 16))),
            total_bytes_per_cycle=width,
            size_bytes=1 << 24,
        ),
        clock_mhz=100.0,
    )


def _draw_element(rng: random.Random, word: int, columns: int) -> PeConfig:
    return PeConfig(
        dpe=DpeConfig(columns=columns, k_bytes=word, with_fp=rng.random() < 0.7),
        re=ReConfig(banks=rng.choice((2, 4, 8, 16))),
        ls=LsConfig(
            size_bytes=rng.choice((8, 16, 32, 64)) * _KIB,
            banks=rng.choice((8, 16, 32)),
            word_bytes=word,
            parity=rng.random() < 0.7,
        ),
        cp=CpConfig(
            cbs=rng.choice((8, 16, 64)),
            queue_depth=rng.choice((2, 4, 8)),
            counters=rng.choice((2, 8, 32)),
            contexts=rng.choice((2, 16)),
        ),
        fi=FiConfig(
            reads_in_flight=rng.choice((4, 8, 32)), writes_in_flight=rng.choice((4, 16, 64))
        ),
        se=SeConfig(
            drain_lanes=rng.choice((max(2, word // 4), max(2, word // 2), word, 2 * word)),
            fp_lanes=rng.choice((word // 4, word // 2)),
            row_beats=rng.choice((64, 128)),
            sum_beats=rng.choice((16, 64)),
            programs=rng.choice((2, 4, 16)),
            with_fp=rng.random() < 0.8,
            with_functions=rng.random() < 0.6,
        ),
        link_bytes=2 * word,
    )
