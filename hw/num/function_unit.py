# SPDX-License-Identifier: Apache-2.0
"""Functions of one FP32 number by cubic polynomials from a table."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.functions import COEFFICIENTS
from hw.arch.functions import datapath as path
from hw.num.function_decode import FunctionDecoder, Outcome, Special
from hw.num.function_rows import FunctionRom, RowSelector
from hw.num.rounding import CANONICAL_NAN, FP32_INFINITY, Fp32Rounder, lift_underflow
from hw.num.stage import stage

__all__ = ["FunctionUnit"]

_FP32_ONE = 0x3F80_0000
_VALUE_WIDTH = path.VALUE_INTEGER + path.VALUE_FRACTION
_TOP_EXPONENT = 127 + path.VALUE_INTEGER - 1
"""Biased exponent of the value's top bit, where the value is multiplied by 2^0."""


class FunctionUnit(wiring.Component):
    """EXP, LOG, RECIPROCAL, RSQRT, SIGMOID, TANH, GELU or SILU of an FP32 number, one a cycle.

    Operation: (1, 2) decode, multiply by constants; (3) row of the table and t; (4) read the row;
    (5, 6, 7) Horner's rule, a product and a sum each; (8) shift right below the normal range; (9)
    normalise and round. TANH below 1, GELU and SILU come out as a value that the parent has to
    multiply by `argument`, as `times_argument` says. The parent carries the valid bit.

    Timing: `latency` clock edges with `en` from `x`, `code` to the outputs; one argument per
    cycle, each with a function of its own. Without `en` everything stands.

    Numerics: bit for bit `sim.golden.functions.table_value`; the formats are in
    `hw.arch.functions.datapath`. One rounding; every NaN is 0x7FC00000.

    Members
    -------
    en : In(1)
        All registers keep their values without it; 1 where it is not connected.
    x : In(32)
        Argument.
    code : In(4)
        `hw.arch.commands.Function`; NONE hands the argument through.
    value : Out(32)
        The function, or what `argument` has to be multiplied by.
    times_argument : Out(1)
        Whether it has to.
    argument : Out(32)
        `x` that belongs to `value`.

    Resources: a table of 1024 x 106 bits; multipliers of 18 x 18, 23 x 18 and 30 x 18 bits, and
    those of `FunctionDecoder`.
    """

    latency = 9

    def __init__(self) -> None:
        super().__init__(
            {
                "en": In(1, init=1),
                "x": In(32),
                "code": In(4),
                "value": Out(32),
                "times_argument": Out(1),
                "argument": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = FunctionDecoder()
        m.submodules.selector = selector = RowSelector()
        m.submodules.rom = rom = FunctionRom()
        m.d.comb += [decoder.en.eq(self.en), rom.en.eq(self.en)]
        m.d.comb += [decoder.x.eq(self.x), decoder.code.eq(self.code)]
        for name in ("by_power", "power", "negative", "region", "position", "exponent"):
            m.d.comb += getattr(selector, name).eq(getattr(decoder, name))
        selected: dict[str, Value] = {
            "outcome": Value.cast(decoder.outcome),
            "addend": decoder.addend,
            "exponent": selector.power_of_two,
            "t": selector.t,
        }
        s3 = self._stage(m, {**selected, "row": selector.row}, "s3")
        m.d.comb += rom.row.eq(s3["row"])
        s4 = self._stage(m, {name: s3[name] for name in selected}, "s4")
        s7 = self._evaluate(m, s4, rom)

        # Stage 8.
        magnitude, exponent = lift_underflow(m, s7["value"], s7["exponent"])
        lifted = {"outcome": s7["outcome"], "magnitude": magnitude, "exponent": exponent}
        self._finish(m, self._stage(m, lifted, "s8"))
        return m

    def _stage(self, m: Module, values: dict[str, Value], name: str) -> dict[str, Signal]:
        return stage(m, values, name=name, en=self.en)

    def _evaluate(self, m: Module, s4: dict[str, Signal], rom: FunctionRom) -> dict[str, Signal]:
        """Stages 5 to 7: q2 = c2 + c3 t, q1 = c1 + q2 t, value = c0 + addend + q1 t."""
        f0, f1, f2, f3 = (form.fraction for form in COEFFICIENTS)
        constant = (rom.c0 << path.VALUE_FRACTION - f0) + (
            s4["addend"] << path.VALUE_FRACTION - path.LN_2_FRACTION
        )
        q2 = (rom.c2 << path.Q2_FRACTION - f2) + _times_t(rom.c3, f3, s4["t"], path.Q2_FRACTION)
        beside = {
            "outcome": s4["outcome"],
            "exponent": (s4["exponent"] - rom.exponent + _TOP_EXPONENT)[:10].as_signed(),
            "constant": constant[:_VALUE_WIDTH],
        }
        s5 = self._stage(
            m,
            {**beside, "t": s4["t"], "c1": rom.c1, "q2": q2[: path.Q2_WIDTH].as_signed()},
            "s5",
        )
        product = _times_t(s5["q2"], path.Q2_FRACTION, s5["t"], path.Q1_FRACTION)
        q1 = (s5["c1"] << path.Q1_FRACTION - f1) + product
        beside = {name: s5[name] for name in beside}
        s6 = self._stage(m, {**beside, "t": s5["t"], "q1": q1[: path.Q1_WIDTH].as_signed()}, "s6")
        product = _times_t(s6["q1"], path.Q1_FRACTION, s6["t"], path.VALUE_FRACTION)
        value = (s6["constant"] + product)[:_VALUE_WIDTH]
        return self._stage(
            m, {"outcome": s6["outcome"], "exponent": s6["exponent"], "value": value}, "s7"
        )

    def _finish(self, m: Module, s8: dict[str, Signal]) -> None:
        """Stage 9: round, or put the constant in place."""
        outcome = Signal(Outcome)
        m.submodules.rounder = rounder = Fp32Rounder(magnitude_width=_VALUE_WIDTH)
        magnitude = Signal(31)
        m.d.comb += [
            outcome.eq(s8["outcome"]),
            rounder.magnitude.eq(s8["magnitude"]),
            rounder.exponent.eq(s8["exponent"]),
            magnitude.eq(rounder.o),
        ]
        result = Signal(32)
        m.d.comb += result.eq(Cat(magnitude, outcome.sign))
        with m.Switch(outcome.special):
            with m.Case(Special.ZERO):
                m.d.comb += magnitude.eq(0)
            with m.Case(Special.ONE):
                m.d.comb += magnitude.eq(_FP32_ONE)
            with m.Case(Special.INFINITY):
                m.d.comb += magnitude.eq(FP32_INFINITY)
            with m.Case(Special.NAN):
                m.d.comb += result.eq(CANONICAL_NAN)
            with m.Case(Special.ARGUMENT):
                m.d.comb += result.eq(outcome.argument)
        last = {
            "value": result,
            "times_argument": outcome.times_argument,
            "argument": outcome.argument,
        }
        s9 = self._stage(m, last, "s9")
        for name, signal in s9.items():
            m.d.comb += getattr(self, name).eq(signal)


def _times_t(factor: Value, fraction: int, t: Value, result_fraction: int) -> Value:
    """`factor` times t, cut off at `result_fraction` bits below the point."""
    return (factor * t) >> fraction + path.T_FRACTION - result_fraction
