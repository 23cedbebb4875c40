# SPDX-License-Identifier: Apache-2.0
"""What software may ask of the memory-side cache, one definition."""

import enum

__all__ = ["CACHE_EVENTS", "MAX_CACHE_WAYS", "CacheOp"]

MAX_CACHE_WAYS = 16
"""Ways that a slice may consist of."""
CACHE_EVENTS = ("cache_hit", "cache_miss", "cache_writeback", "cache_prefetch")
"""What a cache counts, beside the accesses of its memory: accesses that found all they need in it,
accesses that did not, lines written back to DRAM, lines that a prefetch asked of DRAM."""


class CacheOp(enum.IntEnum):
    """Value of CACHE_COMMAND: what is done to all lines of a range."""

    FLUSH = 1
    """Write changed lines back to DRAM; they stay in the cache."""
    INVALIDATE = 2
    """Write changed lines back to DRAM; none stays in the cache."""
    DROP = 3
    """None stays in the cache, and what was changed since it came is lost."""
    PREFETCH = 4
    """Fetch lines that are not in the cache."""
