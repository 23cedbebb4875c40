# SPDX-License-Identifier: Apache-2.0
"""Small combinational helpers on bit vectors: leading zeros, right shift with a jam bit.

Each helper adds named wires to the module it is given, so that no wide expression is duplicated
in the generated Verilog.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["leading_zeros", "pick", "shift_right_jam"]


def leading_zeros(m: Module, value: Value, *, name: str) -> Signal:
    """Number of zeros above the highest one of `value`, which must not be zero.

    Found by halving: log2(width) comparisons and multiplexers. For a `value` of zero the result
    has no meaning.
    """
    steps = max((len(value) - 1).bit_length(), 1)
    # Zeros below the value make its width a power of two and do not change the count.
    window = Cat(Const(0, (1 << steps) - len(value)), value)
    # Each bit is a signal of its own: to a simulator that looks at whole vectors, a lower bit that
    # follows from a higher one would be a loop.
    bits = []
    for step in reversed(range(steps)):
        half = 1 << step
        bit = Signal(name=f"{name}_no_upper{half}")
        m.d.comb += bit.eq(window[half:] == 0)
        bits.insert(0, bit)
        if step:
            narrowed = Signal(half, name=f"{name}_window{half}")
            m.d.comb += narrowed.eq(Mux(bit, window[:half], window[half:]))
            window = narrowed
    count = Signal(steps, name=f"{name}_leading_zeros")
    m.d.comb += count.eq(Cat(bits))
    return count


def pick(values: Sequence[Value], index: Value) -> Value:
    """`values[index]`, by halving: a tree of two-way choices, which FPGAs have in their cells.

    Beyond the last value the result has no meaning.
    """
    if len(values) == 1:
        return values[0]
    half = 1 << (len(values) - 1).bit_length() - 1
    upper, lower = pick(values[half:], index), pick(values[:half], index)
    return Mux(index[half.bit_length() - 1], upper, lower)


def shift_right_jam(m: Module, value: Value, amount: Value, *, name: str) -> Signal:
    """`value >> amount`, any bit lost on the way ORed into bit 0 (the "jam" bit).

    An amount above the width acts like the width: only the jam bit is left. With at least two
    bits below the last one kept, rounding sees the same as it would on the unshifted value.
    """
    # Each step drops some bits and looks at them: neither a comparison of the amount nor a mask.
    width, window, jams = len(value), value, []
    n_steps = min((width - 1).bit_length(), len(amount))
    for step in range(n_steps):
        n = 1 << step
        moved = Signal(width, name=f"{name}_by{n}")
        m.d.comb += moved.eq(Mux(amount[step], window[n:], window))
        jams.append(amount[step] & window[:n].any())
        window = moved
    result = Signal(width, name=f"{name}_jammed")
    m.d.comb += result.eq(window | Cat(jams).any())
    with m.If(amount[n_steps:].any()):
        m.d.comb += result.eq(value.any())
    return result
