# SPDX-License-Identifier: Apache-2.0
"""Byte lanes: rotation and masks, built from 64-bit pieces to suit simulators' machine words."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["below", "merge", "rotate_up", "spread"]

_CHUNK_BYTES = 8


def rotate_up(m: Module, word: Value, amount: Value, *, name: str) -> Value:
    """`word` with byte i moved to byte (i + amount) mod bytes; `amount` has exactly that range.

    Stages of 1, 2 and 4 bytes join neighbouring chunks; stages above only choose among chunks.
    """
    chunk_bytes = min(_CHUNK_BYTES, len(word) // 8)
    word = _named(m, word, f"{name}_in")
    chunks = _chunks(word, 8 * chunk_bytes)
    for stage in range(len(amount)):
        n_bytes = 1 << stage
        n_chunks, n_bits = n_bytes // chunk_bytes, 8 * (n_bytes % chunk_bytes)
        moved = []
        for index in range(len(chunks)):
            here, before = chunks[index - n_chunks], chunks[index - n_chunks - 1]
            joined = Cat(before[-n_bits:], here[:-n_bits]) if n_bits else here
            chunk = Signal(8 * chunk_bytes, name=f"{name}_s{stage}_c{index}")
            m.d.comb += chunk.eq(Mux(amount[stage], joined, chunks[index]))
            moved.append(chunk)
        chunks = moved
    return Cat(chunks)


def below(count: Value, width: int) -> Value:
    """Bits 0 .. count - 1 of `width` bits; a count above `width` sets all."""
    reach = (1 << len(count)) - 1  # comparisons that nothing can meet are left out
    return Cat(count > lane if lane < reach else Const(0, 1) for lane in range(width))


def spread(m: Module, lanes: Value, *, name: str) -> Value:
    """One bit per byte lane to the byte's 8 bits, chunk by chunk."""
    lanes = _named(m, lanes, f"{name}_lanes")
    chunks = []
    for index, part in enumerate(_chunks(lanes, min(_CHUNK_BYTES, len(lanes)))):
        chunk = Signal(8 * len(part), name=f"{name}_c{index}")
        m.d.comb += chunk.eq(Cat(bit.replicate(8) for bit in part))
        chunks.append(chunk)
    return Cat(chunks)


def merge(m: Module, bits: Value, high: Value, low: Value, *, name: str) -> Value:
    """Bits of `high` where `bits` is set, of `low` elsewhere, chunk by chunk."""
    size = min(8 * _CHUNK_BYTES, len(bits))
    chunks = []
    parts = zip(_chunks(bits, size), _chunks(high, size), _chunks(low, size), strict=True)
    for index, (mask, one, zero) in enumerate(parts):
        chunk = Signal(size, name=f"{name}_c{index}")
        m.d.comb += chunk.eq((one & mask) | (zero & ~mask))
        chunks.append(chunk)
    return Cat(chunks)


def _named(m: Module, value: Value, name: str) -> Signal:
    """`value` as a signal: slices of an expression would each be computed anew."""
    signal = Signal(len(value), name=name)
    m.d.comb += signal.eq(value)
    return signal


def _chunks(value: Value, size: int) -> list[Value]:
    value = Value.cast(value)
    return [value[at : at + size] for at in range(0, len(value), size)]
