# SPDX-License-Identifier: Apache-2.0
"""Nibble lanes: rotation and masks, in 64-bit pieces as in `hw.pe.fi.lanes`."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from hw.pe.fi.lanes import rotate_up

__all__ = ["rotate_nibbles", "select_nibbles"]

_CHUNK_BITS = 64


def rotate_nibbles(m: Module, word: Value, amount: Value, *, name: str) -> Value:
    """`word` with nibble i moved to nibble (i + amount) mod nibbles; `amount` has that range."""
    chunks = _chunks(m, word, name=name)
    moved = []
    for index, chunk in enumerate(chunks):
        part = Signal(len(chunk), name=f"{name}_half{index}")
        m.d.comb += part.eq(Mux(amount[0], Cat(chunks[index - 1][-4:], chunk[:-4]), chunk))
        moved.append(part)
    return rotate_up(m, Cat(moved), amount[1:], name=name)


def select_nibbles(m: Module, word: Value, kept: Value, *, name: str) -> Value:
    """`word` with zeros in the nibbles whose bit of `kept` is 0."""
    lanes = Signal(len(kept), name=f"{name}_kept")
    m.d.comb += lanes.eq(kept)
    selected = []
    for index, chunk in enumerate(_chunks(m, word, name=name)):
        first = index * _CHUNK_BITS // 4
        mask = Signal(len(chunk), name=f"{name}_mask{index}")
        m.d.comb += mask.eq(
            Cat(lanes[lane].replicate(4) for lane in range(first, first + len(chunk) // 4))
        )
        selected.append(chunk & mask)
    return Cat(selected)


def _chunks(m: Module, value: Value, *, name: str) -> list[Signal]:
    """`value` as signals of at most 64 bits: slices of an expression would be computed anew."""
    value = Value.cast(value)
    chunks = []
    for index, at in enumerate(range(0, len(value), _CHUNK_BITS)):
        part = value[at : at + _CHUNK_BITS]
        chunk = Signal(len(part), name=f"{name}_piece{index}")
        m.d.comb += chunk.eq(part)
        chunks.append(chunk)
    return chunks
