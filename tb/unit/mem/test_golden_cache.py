# SPDX-License-Identifier: Apache-2.0
"""The cache's model against two plain arrays: what readers see, and what DRAM holds."""

import pytest

from sim.golden.cache import CacheModel
from tb.common.seeds import python_rng

LINE, N_LINES = 4, 12


@pytest.mark.parametrize("run", range(8))
def test_cache_model(run: int) -> None:
    """A flush copies what is seen to what is stored, a drop copies it back."""
    rng = python_rng(f"cache model {run}")
    start = rng.randbytes(LINE * N_LINES)
    model = CacheModel(memory=bytearray(start), line_bytes=LINE)
    seen, stored = bytearray(start), bytearray(start)
    n_accesses = 0
    for _ in range(600):
        line = rng.randrange(N_LINES)
        first, last = sorted((line, rng.randrange(N_LINES)))
        inside = slice(first * LINE, (last + 1) * LINE)
        kind = rng.choice(["read", "write", "write", "flush", "invalidate", "drop", "prefetch"])
        if kind == "read":
            assert model.read(line) == seen[line * LINE : (line + 1) * LINE]
            n_accesses += 1
        elif kind == "write":
            data, strobe = rng.randbytes(LINE), rng.getrandbits(LINE)
            model.write(line, data, strobe)
            n_accesses += 1
            for at in range(LINE):
                if strobe >> at & 1:
                    seen[line * LINE + at] = data[at]
        else:
            getattr(model, kind)(first, last)
            if kind in ("flush", "invalidate"):
                stored[inside] = seen[inside]
            elif kind == "drop":
                seen[inside] = stored[inside]
        assert model.memory == stored
    assert model.hits + model.misses == n_accesses
    assert model.hits and model.misses and model.writebacks and model.prefetches


def test_counts_of_a_known_sequence() -> None:
    """Counted by hand."""
    model = CacheModel(memory=bytearray(range(16)), line_bytes=4)
    model.write(1, b"abcd", 0b0011)  # a miss that fetches nothing
    assert model.read(1) == b"ab\x06\x07"  # fetches the rest: a miss
    assert model.read(1) == b"ab\x06\x07"  # a hit
    model.write(1, b"zzzz", 0b1000)  # a hit
    model.prefetch(0, 1)  # fetches line 0 only
    model.drop(0, 1)
    assert model.read(1) == bytes([4, 5, 6, 7])  # a miss
    model.write(1, b"wxyz", 0b1111)  # a hit
    model.invalidate(0, 3)
    assert bytes(model.memory[4:8]) == b"wxyz"
    counts = (model.hits, model.misses, model.writebacks, model.prefetches)
    assert counts == (3, 3, 1, 1)
