# SPDX-License-Identifier: Apache-2.0
"""Nibble lanes: rotation and masks, built from 64-bit pieces to suit simulators' machine words."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["merge_nibbles", "rotate_nibbles", "select_nibbles"]

_CHUNK_NIBBLES = 16


def rotate_nibbles(m: Module, word: Value, amount: Value, *, name: str) -> Value:
    """`word` with nibble i moved to nibble (i + amount) mod nibbles; `amount` has that range.

    Stages of 1, 2, 4 and 8 nibbles join neighbouring chunks; stages above choose among chunks.
    """
    chunks = _chunks(m, word, name=name)
    chunk_nibbles = len(chunks[0]) // 4
    for stage in range(len(amount)):
        n_chunks, n_nibbles = divmod(1 << stage, chunk_nibbles)
        n_bits = 4 * n_nibbles
        moved = []
        for index, chunk in enumerate(chunks):
            here, before = chunks[index - n_chunks], chunks[index - n_chunks - 1]
            joined = Cat(before[-n_bits:], here[:-n_bits]) if n_bits else here
            part = Signal(len(chunk), name=f"{name}_s{stage}_c{index}")
            m.d.comb += part.eq(Mux(amount[stage], joined, chunk))
            moved.append(part)
        chunks = moved
    return Cat(chunks)


def select_nibbles(m: Module, word: Value, kept: Value, *, name: str) -> Value:
    """`word` with zeros in the nibbles whose bit of `kept` is 0."""
    pairs = zip(_chunks(m, word, name=name), _masks(m, kept, name=name), strict=True)
    return Cat(chunk & mask for chunk, mask in pairs)


def merge_nibbles(m: Module, lanes: Value, high: Value, low: Value, *, name: str) -> Value:
    """Nibbles of `high` where the bit of `lanes` is 1, of `low` elsewhere."""
    masks = _masks(m, lanes, name=name)
    highs, lows = _chunks(m, high, name=f"{name}_high"), _chunks(m, low, name=f"{name}_low")
    parts = zip(masks, highs, lows, strict=True)
    return Cat((one & mask) | (zero & ~mask) for mask, one, zero in parts)


def _masks(m: Module, lanes: Value, *, name: str) -> list[Signal]:
    """One bit per nibble to the nibble's 4 bits."""
    flags = Signal(len(lanes), name=f"{name}_lanes")
    m.d.comb += flags.eq(lanes)
    masks = []
    for at in range(0, len(flags), _CHUNK_NIBBLES):
        part = flags[at : at + _CHUNK_NIBBLES]
        mask = Signal(4 * len(part), name=f"{name}_mask{at}")
        m.d.comb += mask.eq(Cat(flag.replicate(4) for flag in part))
        masks.append(mask)
    return masks


def _chunks(m: Module, value: Value, *, name: str) -> list[Signal]:
    """`value` as signals of at most 64 bits: slices of an expression would be computed anew."""
    value = Value.cast(value)
    chunks = []
    for at in range(0, len(value), 4 * _CHUNK_NIBBLES):
        part = value[at : at + 4 * _CHUNK_NIBBLES]
        chunk = Signal(len(part), name=f"{name}_piece{at}")
        m.d.comb += chunk.eq(part)
        chunks.append(chunk)
    return chunks
