# SPDX-License-Identifier: Apache-2.0
"""Byte lanes: shifts and masks, built from 64-bit pieces to suit simulators' machine words."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["below", "deal", "shift_down", "shift_up"]

_CHUNK_BYTES = 8


def shift_up(m: Module, line: Value, n_bytes: Value, *, name: str) -> Value:
    """`line` moved up by `n_bytes`, and longer by that much: 0 comes in above, anything below.

    Stages of 1, 2, 4 ... bytes, so that the result grows as late as can be.
    """
    for stage in range(len(n_bytes)):
        step = 8 << stage
        moved = Cat(line[:step], line)  # what is below is not used: no gates for it
        line = _choose(m, n_bytes[stage], moved, Cat(line, Const(0, step)), f"{name}_up{stage}")
    return line


def shift_down(
    m: Module, window: Value, n_lanes: Value, length: int, *, unit: int = 8, name: str
) -> Value:
    """`length` lanes of `unit` bits of `window`, from lane `n_lanes` on.

    The window has as many more lanes as `n_lanes` can be, at least.
    """
    for stage in reversed(range(len(n_lanes))):
        width = unit * (length + (1 << stage) - 1)  # what the stages after this one can need
        step = unit << stage
        window = _choose(
            m, n_lanes[stage], window[step : step + width], window[:width], f"{name}_down{stage}"
        )
    return window


def deal(words: list[Value], first: Value) -> list[Value]:
    """Three words in turn to four slots: `words[0]` to slot `first`; the fourth slot gets any."""
    words = [words[0], *(Mux(first[0], words[k - 1], words[k]) for k in (1, 2)), words[2]]
    return [Mux(first[1], words[slot - 2], words[slot]) for slot in range(4)]


def below(count: Value, width: int) -> Value:
    """Bits 0 .. count - 1 of `width` bits; a count above `width` sets all."""
    reach = (1 << len(count)) - 1  # comparisons that nothing can meet are left out
    return Cat(count > lane if lane < reach else Const(0, 1) for lane in range(width))


def _choose(m: Module, condition: Value, one: Value, zero: Value, name: str) -> Value:
    """One of two words, chunk by chunk."""
    one, zero = _named(m, one, f"{name}_one"), _named(m, zero, f"{name}_zero")
    chunks = []
    for index, (high, low) in enumerate(zip(_chunks(one), _chunks(zero), strict=True)):
        chunk = Signal(len(high), name=f"{name}_c{index}")
        m.d.comb += chunk.eq(Mux(condition, high, low))
        chunks.append(chunk)
    return Cat(chunks)


def _named(m: Module, value: Value, name: str) -> Signal:
    """`value` as a signal: slices of an expression would each be computed anew."""
    signal = Signal(len(value), name=name)
    m.d.comb += signal.eq(value)
    return signal


def _chunks(value: Value) -> list[Value]:
    size = 8 * _CHUNK_BYTES
    return [value[at : at + size] for at in range(0, len(value), size)]
