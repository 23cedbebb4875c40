# SPDX-License-Identifier: Apache-2.0
"""Ways of writing a dot-product column, and what its parts share."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Signal, Value

from hw.lib.emit_once import Boundary

__all__ = ["N_BANKS", "N_LANES", "N_PAIRS", "N_ROWS", "Form", "add_up"]

N_LANES, N_PAIRS, N_ROWS, N_BANKS = 32, 16, 32, 4


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way of writing the engine; every field is a question the experiment asks."""

    n_columns: int = 32
    once: bool = True
    """Columns are emitted once; otherwise every column is elaborated in place."""
    boundary: Boundary = Boundary.FREE
    fp: str = "gated"
    """The floating-point path: "none", "free" running, with an "enable", or "gated"."""
    idle: str = "free"
    """The whole column: "free" running, or "gated" while it has no work."""
    packed: bool = False
    """Operands cross the column's boundary as one wide vector in place of one signal per lane."""
    chained: bool = False
    """Sums are chains in place of balanced trees."""
    cut: int = 2
    """The products are registered after sums of so many (1: the products themselves; 0: never)."""
    resettable: bool = False
    """Data registers have a reset."""
    word: int = 0
    """Operands are registered with so many bits, products and sums have 32; 0: exact widths."""
    fp_words: bool = False
    """The floating-point path shifts by slicing and sums in whole machine words."""
    own_input: bool = True
    """The load enable stays a variable of each column."""
    one_memory: bool = False
    """The four accumulator banks are one memory."""

    def register(self, shape: Any, name: str) -> Signal:
        """A data register."""
        return Signal(shape, name=name, reset_less=not self.resettable)


def add_up(values: list[Value], chained: bool) -> Value:
    """Sum as a balanced tree or as a chain."""

    def add(a: Value, b: Value) -> Value:
        if len(a) == len(b) == 32 or len(a) == len(b) == 64:  # wrap in the machine word
            return (a + b)[: len(a)].as_signed()
        return a + b

    if chained:
        total = values[0]
        for value in values[1:]:
            total = add(total, value)
        return total
    while len(values) > 1:
        values = [add(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
