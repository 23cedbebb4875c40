# SPDX-License-Identifier: Apache-2.0
"""The table of what the cache of each DRAM channel did."""

from collections.abc import Sequence

from hw.arch.interleave import Interleave
from hw.arch.traffic import SIDE_NAMES
from sw.report.record import RunRecord
from sw.report.svg import bytes_text, percent, table, tag
from sw.runtime.traffic import GridTraffic

__all__ = ["cache_section"]

_HEAD = ("DRAM channel", "memory", "accesses", "hits", "misses", "hit rate", "lines written back",
         "bytes written back")  # fmt: skip
_COUNTED = ("cache_hit", "cache_miss", "cache_writeback")
_NOTE = (
    "Every access to DRAM is a hit or a miss of its channel's cache; only misses of reads and lines"
    " that are written back reach the channel. A read of a line that is there in part is a miss."
    " The host writes operands through the caches before the job, so those that fit are there when"
    " it starts; lines that are changed at its end leave later and do not count here."
)


def cache_section(run: RunRecord, traffic: GridTraffic) -> str:
    """A row for each channel and one for all; nothing if no way was cache."""
    if not run.cache_ways:
        return ""
    counts = [_channel(run, traffic, channel) for channel in range(run.config.dram.channels)]
    rows = [_row(run, str(n), _place(run, n), found) for n, found in enumerate(counts)]
    if len(counts) > 1:
        rows.append(_row(run, "all", "", [sum(of_all) for of_all in zip(*counts, strict=True)]))
    title = tag("h3", "Memory-side caches")
    return title + tag("p", _NOTE) + table(_HEAD, rows, class_="figures", id="caches")


def _place(run: RunRecord, channel: int) -> str:
    """Side and number there of the memory that a channel is behind."""
    side, node = _node(run, channel)
    return f"{side} {node}"


def _node(run: RunRecord, channel: int) -> tuple[str, int]:
    """Channel c is behind slice c."""
    config = run.config
    slices = Interleave(n_slices=config.sram.slices, line_bytes=config.pe.link_bytes)
    side, node = slices.place_of(channel)
    return SIDE_NAMES[side], node


def _channel(run: RunRecord, traffic: GridTraffic, channel: int) -> list[int]:
    """Hits, misses and lines written back."""
    side, node = _node(run, channel)
    return [traffic.sides[side][f"{event}.{node}"] for event in _COUNTED]


def _row(run: RunRecord, name: str, place: str, counts: Sequence[int]) -> list[str]:
    """A cache that nobody asked has no hit rate."""
    hits, misses, written = counts
    accesses = hits + misses
    rate = percent(hits / accesses) if accesses else "none"
    n_bytes = bytes_text(written * run.config.pe.link_bytes)
    return [
        name, place, f"{accesses:,}", f"{hits:,}", f"{misses:,}", rate, f"{written:,}", n_bytes,
    ]  # fmt: skip
