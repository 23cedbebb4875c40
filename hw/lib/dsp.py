# SPDX-License-Identifier: Apache-2.0
"""The multiplier wrapper: a hard multiplier with its registers on an FPGA, plain arithmetic else.

Tools of the open flow map a product to a hard multiplier, but leave the registers around it in the
fabric: 30 flip-flops for each. So this wrapper names the block where the emission's target has one
(`Emission.target`); everywhere else it is `x * y` between registers, which every tool can read.
"""

from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import current_emission

__all__ = ["RegisteredMultiplier", "ecp5_multiplier", "has_hard_multipliers"]

ECP5_WIDTH = 18
"""Bits of each operand of the ECP5's MULT18X18D."""


def has_hard_multipliers() -> bool:
    """Whether the emission in progress is for a family whose multipliers have registers."""
    emission = current_emission()
    return emission is not None and emission.target == "ecp5"


class RegisteredMultiplier(wiring.Component):
    """Signed product of two operands, with registers at both of them and behind the product.

    Operation: `x` is taken at every clock edge, `y` at those with `y_en`. Nothing is reset. Where
    a hard multiplier stands for it, an enable of the parent's clock domain (`EnableInserter`, or
    `Gated` without a clock of its own) does not stop it: let only `y_en` hold a value.

    Timing: `p` 2 clock edges after `x` and `y`; one product per cycle.

    Numerics: exact.

    Parameters
    ----------
    x_width, y_width : bits of the operands, up to 18.
    hard : False leaves the product to logic even where there are hard multipliers.

    Members
    -------
    x : In(signed(x_width)).
    y : In(signed(y_width)).
    y_en : In(1), take `y`.
    p : Out(signed(x_width + y_width)).

    Raises: ValueError for a width that is not from 2 to 18.

    Resources: on an ECP5 one MULT18X18D and nothing else; without `hard` some `x_width` + `y_width`
    flip-flops more than its product takes, which is about x_width * y_width LUTs.
    """

    def __init__(self, *, x_width: int, y_width: int, hard: bool = True) -> None:
        for name, width in (("x_width", x_width), ("y_width", y_width)):
            if not 2 <= width <= ECP5_WIDTH:
                raise ValueError(f"{name} is {width}; it must be from 2 to {ECP5_WIDTH}.")
        self.hard = hard
        super().__init__(
            {
                "x": In(signed(x_width)),
                "y": In(signed(y_width)),
                "y_en": In(1),
                "p": Out(signed(x_width + y_width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.hard and has_hard_multipliers():
            m.submodules.block = ecp5_multiplier(
                x=self.x, y=self.y, y_en=self.y_en, p=self.p, clk=ClockSignal()
            )
            return m
        x = Signal.like(self.x, name="x_q", reset_less=True)
        y = Signal.like(self.y, name="y_q", reset_less=True)
        p = Signal.like(self.p, name="p_q", reset_less=True)
        product = x * y if self.hard else _shifted_sum(x, y)
        m.d.sync += [x.eq(self.x), p.eq(product)]
        with m.If(self.y_en):
            m.d.sync += y.eq(self.y)
        m.d.comb += self.p.eq(p)
        return m


def ecp5_multiplier(*, x: Any, y: Any, y_en: Any, p: Signal, clk: Any) -> Instance:
    """A MULT18X18D with both input registers and the output register, all on CLK0.

    Operands are extended by their signs to the width of the block, both are signed, and `p` is the
    low part of the product. Registers of inputs must be on or off together, or nextpnr's timing
    takes them for off; the pipeline register between them stays off. Only B has an enable (CE1);
    CE0 is high, and no register is reset.
    """
    pins: dict[str, Any] = {
        "p_REG_INPUTA_CLK": "CLK0",
        "p_REG_INPUTA_CE": "CE0",
        "p_REG_INPUTA_RST": "RST0",
        "p_REG_INPUTB_CLK": "CLK0",
        "p_REG_INPUTB_CE": "CE1",
        "p_REG_INPUTB_RST": "RST0",
        "p_REG_PIPELINE_CLK": "NONE",
        "p_REG_OUTPUT_CLK": "CLK0",
        "p_REG_OUTPUT_CE": "CE0",
        "p_REG_OUTPUT_RST": "RST0",
        "p_SOURCEB_MODE": "B_SHIFT",  # SOURCEB low: from the port; other names no packer knows
        "p_GSR": "DISABLED",
        "p_MULT_BYPASS": "DISABLED",
        "p_RESETMODE": "SYNC",
        "i_CLK0": clk,
        "i_CE0": Const(1, 1),
        "i_CE1": y_en,
        "i_RST0": Const(0, 1),
        "i_SIGNEDA": Const(1, 1),
        "i_SIGNEDB": Const(1, 1),
        "i_SOURCEA": Const(0, 1),
        "i_SOURCEB": Const(0, 1),
    }
    for bit in range(ECP5_WIDTH):
        pins[f"i_A{bit}"] = x[min(bit, len(x) - 1)]
        pins[f"i_B{bit}"] = y[min(bit, len(y) - 1)]
    pins |= {f"o_P{bit}": p[bit] for bit in range(len(p))}
    return Instance("MULT18X18D", **pins)


def _shifted_sum(x: Signal, y: Signal) -> Any:
    """The product as a sum of shifted operands, which no tool takes for a multiplication."""
    terms = [(x & y[bit].replicate(len(x)).as_signed()).shift_left(bit) for bit in range(len(y))]
    terms[-1] = -terms[-1]
    while len(terms) > 1:
        pairs = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(terms) & ~1 :]
    return terms[0]
