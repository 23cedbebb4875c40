# SPDX-License-Identifier: Apache-2.0
"""An adder that chooses one of its operands, which costs no more than one that does not.

A cell of an ECP5's carry chain has two inputs that an adder leaves alone; no synthesis tool moves a
selection in there. So this wrapper names the cell where the emission's target has it.
"""

from typing import Any

from amaranth.hdl import Const, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import current_emission

__all__ = ["ChosenSum"]

# Where a cell does not pass its carry on it sends A. With D it adds A and B, else A and C.
_INIT = 0x665A


class ChosenSum(wiring.Component):
    """`o` = `a` + (`other` if `choose` else `b`), modulo 2^width; combinational.

    Parameters
    ----------
    width : bits, even.

    Members
    -------
    a, b, other : In(width).
    choose : In(1).
    o : Out(width).

    Raises: ValueError when `width` is odd or not positive.

    Resources: on an ECP5 width / 2 CCU2C.
    """

    def __init__(self, *, width: int) -> None:
        if width < 2 or width % 2:
            raise ValueError(f"width is {width}; it must be even, at least 2.")
        self.width = width
        inputs = {name: In(width) for name in ("a", "b", "other")}
        super().__init__(inputs | {"choose": In(1), "o": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        emission = current_emission()
        if emission is None or emission.target != "ecp5":
            m.d.comb += self.o.eq(self.a + Mux(self.choose, self.other, self.b))
            return m
        adds_b = Signal()
        m.d.comb += adds_b.eq(~self.choose)
        carry: Any = Const(0, 1)
        for low in range(0, self.width, 2):
            following = Signal(name=f"carry{low}")
            pins: dict[str, Any] = {"i_CIN": carry, "o_COUT": following}
            for number, bit in enumerate((low, low + 1)):
                pins |= {
                    f"p_INIT{number}": Const(_INIT, 16),
                    f"p_INJECT1_{number}": "NO",
                    f"i_A{number}": self.a[bit],
                    f"i_B{number}": self.b[bit],
                    f"i_C{number}": self.other[bit],
                    f"i_D{number}": adds_b,
                    f"o_S{number}": self.o[bit],
                }
            m.submodules[f"cell{low}"] = Instance("CCU2C", **pins)
            carry = following
        return m
