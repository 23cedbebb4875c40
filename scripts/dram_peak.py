# SPDX-License-Identifier: Apache-2.0
"""What the compiled simulator's DRAM model itself carries at the most: a stream on a channel."""

import tempfile
from pathlib import Path

from hw.config import ChipConfig
from sim.compiled.dram import lpddr5
from tb.unit.compiled.dram_bench import build_dram_bench, rate_of, stream

__all__ = ["stream_peak"]

_LINES = 20_000
"""Of each channel: 39 rounds through its banks, in which each is refreshed many times."""


def stream_peak(config: ChipConfig) -> float:
    """Bytes per cycle of all channels of a member together when each reads one line after the
    other from LPDDR5, measured on the model without a chip; channels know nothing of each other."""
    with tempfile.TemporaryDirectory() as folder:
        run = build_dram_bench(config, Path(folder))
        ends, _ = run(stream(_LINES), lpddr5(config.clock_mhz))
    return rate_of(ends) * config.dram.channels
