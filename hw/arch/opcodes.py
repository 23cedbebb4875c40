# SPDX-License-Identifier: Apache-2.0
"""Codes in commands: the opcodes, and what the values of other fields mean."""

import enum

__all__ = [
    "Addend",
    "BMode",
    "Destination",
    "Factor",
    "Function",
    "LayoutOp",
    "LayoutTarget",
    "Opcode",
    "Post",
    "Pre",
    "Reduce",
    "ScatterMode",
    "SimdOut",
    "SimdSource",
    "Source",
]


class Opcode(enum.IntEnum):
    """Command codes; bit 6 set means a long command."""

    NOP = 0x00
    END = 0x01
    FENCE = 0x02
    WAIT = 0x03
    SIGNAL = 0x04
    SET_COUNTER = 0x05
    CB = 0x06
    RUN = 0x07
    DMA_IN = 0x40
    DMA_OUT = 0x41
    MML = 0x42
    DRAIN = 0x43
    PRELOAD = 0x44
    SE_PROGRAM = 0x45
    SIMD = 0x46
    LAYOUT = 0x47
    GATHER = 0x48
    SCATTER = 0x49


class Destination(enum.IntEnum):
    """Where DRAIN sends rows."""

    LS = 0
    SOUTH = 1
    EAST = 2
    SE = 3


class Source(enum.IntEnum):
    """What DRAIN adds to its own rows (own + incoming)."""

    NONE = 0
    NORTH = 1
    WEST = 2


class BMode(enum.IntEnum):
    """Where SIMD's values b (and c) come from."""

    NONE = 0
    """The program's immediates."""
    ELEMENT = 1
    """A second operand, element by element; strides of 0 repeat a row."""
    ROW = 2
    """One FP32 value (with `b_pair` two, one after the other) for each row."""
    HELD = 3
    """A row of at most `columns` elements, read once for each iteration of level 2 and up and
    held meanwhile; with `b_pair` a second row of FP32 follows at the next word."""


class Pre(enum.IntEnum):
    """First operation of SIMD, on a and b."""

    PASS = 0
    ADD = 1
    SUB = 2
    RSUB = 3
    MIN = 4
    MAX = 5
    SELECT = 6
    """a is not zero ? b : c."""
    SELECT_POSITIVE = 7
    """a > 0 ? b : c."""


class Factor(enum.IntEnum):
    """What SIMD multiplies with."""

    NONE = 0
    IMMEDIATE = 1
    B = 2
    C = 3
    SELF = 4


class Addend(enum.IntEnum):
    """What SIMD adds after the multiplication."""

    NONE = 0
    IMMEDIATE = 1
    B = 2
    C = 3


class Function(enum.IntEnum):
    """Table functions of the SIMD engine."""

    NONE = 0
    EXP = 1
    LOG = 2
    RECIPROCAL = 3
    RSQRT = 4
    SIGMOID = 5
    TANH = 6
    GELU = 7
    SILU = 8


class Post(enum.IntEnum):
    """Factor after the function; TANH, GELU and SILU use the multiplier themselves."""

    NONE = 0
    STATISTIC = 1
    """The row's own statistic: the row waits in the row buffer until it is known."""
    B = 2
    C = 3


class Reduce(enum.IntEnum):
    """Reduction of a row (of what the function gives)."""

    NONE = 0
    SUM = 1
    MAX = 2
    MIN = 3
    ABSMAX = 4
    SUM_SQUARES = 5
    """Sum of the squares of what `relu` gives; the elements themselves go on unsquared."""


class SimdOut(enum.IntEnum):
    """What SIMD writes."""

    ELEMENTS = 0
    STATISTICS = 1
    """One FP32 value for each row, without the elements."""
    BOTH = 2
    """The elements, and at the next word the row's statistic before its function (FP32)."""


class SimdSource(enum.IntEnum):
    """Where SIMD's rows come from."""

    LS = 0
    RE = 1
    """A DRAIN with destination SE sends them."""


class LayoutOp(enum.IntEnum):
    """Operations of the memory layout unit."""

    COPY = 0
    TRANSPOSE = 1
    DIAGONAL = 2
    FILL = 3


class LayoutTarget(enum.IntEnum):
    """Where the memory layout unit sends words."""

    LS = 0
    DPE_A = 1
    DPE_B = 2


class ScatterMode(enum.IntEnum):
    """What SCATTER does with a row."""

    STORE = 0
    ADD = 1
