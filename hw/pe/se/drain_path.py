# SPDX-License-Identifier: Apache-2.0
"""The integer drain path: accumulator rows requantised on their way to local memory."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.formats import Format
from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.fp32_mul import Fp32Multiplier
from hw.num.fp32_order import fp32_clamp
from hw.num.from_fp32 import FromFp32
from hw.num.stage import stage
from hw.num.to_fp32 import ToFp32

__all__ = ["DrainLane", "DrainPath", "DrainSettings"]

_TO_FP32_LATENCY = 2
_MULTIPLIER_LATENCY = 3
_FROM_FP32_LATENCY = 2
_INTEGER_LATENCY = 1
_CLAMP_LATENCY = 1
_LATENCY = (
    _INTEGER_LATENCY + _TO_FP32_LATENCY + _MULTIPLIER_LATENCY + _CLAMP_LATENCY + _FROM_FP32_LATENCY
)


class DrainSettings(data.Struct):
    """What a program says about the integer drain path; still while a beat is on its way."""

    relu: 1
    """Negative sums become 0."""
    unsigned: 1
    """Results are UINT8, else INT8."""
    clamp: 1
    """Limit to `clamp_low` .. `clamp_high` before the conversion."""
    clamp_low: 32
    """Least value, FP32 bits."""
    clamp_high: 32
    """Largest value, FP32 bits."""


class DrainLane(wiring.Component):
    """One accumulator value to 8 bits: value + bias, relu, times scale, clamp, round.

    Timing, Numerics: as `DrainPath`.

    Members
    -------
    en : In(1)
        All registers keep their values without it.
    settings : In(DrainSettings)
        What to do.
    value, bias : In(32)
        INT32.
    scale : In(32)
        FP32 bits.
    integer : Out(32)
        INT32 after bias and relu.
    o : Out(8)
        INT8 or UINT8.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "en": In(1),
                "settings": In(DrainSettings),
                "value": In(32),
                "bias": In(32),
                "scale": In(32),
                "integer": Out(32),
                "o": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        total = Signal(32)
        m.d.comb += total.eq(self.value + self.bias)
        held = {
            "integer": Mux(self.settings.relu & total[31], 0, total),
            "scale": self.scale,
        }
        s1 = stage(m, held, name="s1", en=self.en)
        m.d.comb += self.integer.eq(s1["integer"])
        scale: Value = s1["scale"]
        for number in range(_TO_FP32_LATENCY):
            scale = stage(m, {"scale": scale}, name=f"s{number + 2}", en=self.en)["scale"]

        m.submodules.to_fp32 = to_fp32 = ToFp32(latency=_TO_FP32_LATENCY, formats=[Format.INT32])
        # A product that is subnormal or has a subnormal scale is below 2^-94: it becomes 0 anyway.
        m.submodules.multiplier = multiplier = Fp32Multiplier(
            latency=_MULTIPLIER_LATENCY, subnormals=False
        )
        m.submodules.from_fp32 = from_fp32 = FromFp32(
            latency=_FROM_FP32_LATENCY,
            formats=[Format.INT8, Format.UINT8],
            with_stochastic=False,
        )
        m.d.comb += [
            to_fp32.en.eq(self.en),
            multiplier.en.eq(self.en),
            from_fp32.en.eq(self.en),
            to_fp32.format.eq(Format.INT32),
            to_fp32.a.eq(s1["integer"]),
            multiplier.a.eq(to_fp32.o),
            multiplier.b.eq(scale),
            from_fp32.a.eq(self._clamped(m, multiplier.o)),
            from_fp32.format.eq(Mux(self.settings.unsigned, Format.UINT8, Format.INT8)),
            self.o.eq(from_fp32.o),
        ]
        return m

    def _clamped(self, m: Module, value: Value) -> Signal:
        """The value within the program's limits, one clock edge later."""
        settings = self.settings
        limited = fp32_clamp(m, value, settings.clamp_low, settings.clamp_high, name="clamp")
        chosen = {"value": Mux(settings.clamp, limited, value)}
        return stage(m, chosen, name="clamped", en=self.en)["value"]


class DrainPath(wiring.Component):
    """Requantises a beat of accumulator values to bytes, `lanes` a cycle.

    Operation: (1) value + bias, relu; (2) to FP32; (3) times scale; (4) clamp; (5) to an 8-bit
    integer. Nothing waits inside: one beat enters and one leaves at every clock edge with `en`, and
    `o_valid` says which of them mean something. What only needs step 1 (results in INT32) is
    taken from `integers`.

    Timing: `latency` clock edges with `en` from `values` to `o`, `integer_latency` to `integers`;
    one beat per cycle.

    Numerics: bias is added modulo 2^32; conversion to FP32 and product are each rounded to nearest
    even; limits are FP32 numbers, applied before the value is rounded to nearest even to an integer
    and clamped to the type's range; NaN gives 0. Same bits as the FP32 lanes.

    Parameters
    ----------
    lanes : int
        Values of a beat.

    Members
    -------
    en : In(1)
        All registers keep their values without it.
    settings : In(DrainSettings)
        What to do; still while a beat is on its way.
    valid : In(1)
        The inputs are a beat.
    values, biases : In(32 * lanes)
        INT32, the first in the low bits. Without a bias: zeros.
    scales : In(32 * lanes)
        FP32 bits; 1.0 (0x3F800000) where nothing is scaled.
    integers_valid : Out(1), integers : Out(32 * lanes)
        INT32 after bias and relu.
    o_valid : Out(1), o : Out(8 * lanes)
        INT8 or UINT8.

    Raises
    ------
    ValueError
        If `lanes` is less than 1.
    """

    latency = _LATENCY
    """Clock edges from `values` to `o`."""
    integer_latency = _INTEGER_LATENCY
    """Clock edges from `values` to `integers`."""

    def __init__(self, *, lanes: int) -> None:
        if lanes < 1:
            raise ValueError(f"lanes is {lanes}; it must be at least 1.")
        self.lanes = lanes
        super().__init__(
            {
                "en": In(1),
                "settings": In(DrainSettings),
                "valid": In(1),
                "values": In(32 * lanes),
                "biases": In(32 * lanes),
                "scales": In(32 * lanes),
                "integers_valid": Out(1),
                "integers": Out(32 * lanes),
                "o_valid": Out(1),
                "o": Out(8 * lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        on_their_way = Signal(self.latency)
        with m.If(self.en):
            m.d.sync += on_their_way.eq((on_their_way << 1) | self.valid)
        m.d.comb += [
            self.integers_valid.eq(on_their_way[self.integer_latency - 1]),
            self.o_valid.eq(on_their_way[self.latency - 1]),
        ]
        for number in range(self.lanes):
            m.submodules[f"lane{number}"] = lane = EmitOnce(
                DrainLane, key="se_drain_lane", boundary=Boundary.NO_INLINE
            )
            m.d.comb += [
                lane.en.eq(self.en),
                lane.settings.eq(self.settings),
                lane.value.eq(self.values.word_select(number, 32)),
                lane.bias.eq(self.biases.word_select(number, 32)),
                lane.scale.eq(self.scales.word_select(number, 32)),
                self.integers.word_select(number, 32).eq(lane.integer),
                self.o.word_select(number, 8).eq(lane.o),
            ]
        return m
