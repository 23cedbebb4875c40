# SPDX-License-Identifier: Apache-2.0
"""Runs lines on one DRAM channel of the compiled simulator's model, without a chip."""

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from hw.config import ChipConfig
from sim.compiled.dram import DramTiming, channel_rate
from sim.toolchain import find_toolchain

__all__ = ["DEPTH", "LINE", "Run", "build_dram_bench", "rate_of", "stream"]

LINE = 64
"""Bytes of a burst."""
DEPTH = 32
"""Lines that the bridge keeps under way."""
HERE = Path(__file__).resolve().parent
Run = Callable[..., tuple[list[int], list[int]]]
"""Gives the cycle and order in which lines at some offsets end, see `build_dram_bench`."""
_FAULTS = {1: "wrong data", 2: "answer to nobody", 3: "no end"}


def build_dram_bench(member: ChipConfig, folder: Path) -> Run:
    """Compile the bench for a channel of a member into `folder`.

    What is returned takes offsets and a `DramTiming`, and by name `writes` (1 for each line that is
    written) and `depth` (lines under way). It raises AssertionError for a wrong byte or answer.
    """
    library, bus = folder / "dram_bench.so", member.dram.bytes_per_cycle
    command = ["g++", "-std=c++20", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    command += [f"-I{HERE.parents[2] / 'sim' / 'compiled'}", f"-DDRAM_BYTES={bus}"]
    command += [f"-DDRAM_RATE={channel_rate(member)}", str(HERE / "dram_bench.cpp")]
    subprocess.run(
        [*command, "-o", str(library)], check=True, env=find_toolchain().environment, timeout=300
    )
    function = ctypes.CDLL(str(library)).dram_run

    def run(
        offsets: Sequence[int],
        timing: DramTiming,
        *,
        writes: Sequence[int] | None = None,
        depth: int = DEPTH,
    ) -> tuple[list[int], list[int]]:
        n = len(offsets)
        ends, order = (ctypes.c_uint64 * n)(), (ctypes.c_uint64 * n)()
        code = function(
            timing.to_c(),
            ctypes.c_uint64(n),
            (ctypes.c_uint64 * n)(*offsets),
            (ctypes.c_uint8 * n)(*(writes or [0] * n)),
            ctypes.c_uint(LINE // bus),
            ctypes.c_uint(depth),
            ends,
            order,
        )
        assert code == 0, _FAULTS[code]
        return list(ends), list(order)

    return run


def stream(n: int) -> list[int]:
    """Lines one after the other."""
    return [LINE * index for index in range(n)]


def rate_of(ends: Sequence[int]) -> float:
    """Bytes per cycle, from the first line's end to the last one's."""
    return LINE * (len(ends) - 1) / (max(ends) - min(ends))
