# SPDX-License-Identifier: Apache-2.0
"""The integer drain path: accumulator rows requantised on their way to local memory."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import Boundary, EmitOnce
from hw.pe.se.drain_lane import DrainLane, DrainSettings

__all__ = ["DrainPath"]


class DrainPath(wiring.Component):
    """Requantises a beat of accumulator values to bytes, `lanes` a cycle.

    Operation: (1) value + bias, relu; (2) to FP32; (3) times scale; (4) to an integer; (5) clamp,
    see `DrainLane` for how. Nothing waits inside: one beat enters and one leaves at every clock
    edge with `en`, and `o_valid` says which of them mean something. What only needs step 1 (results
    in INT32) is taken from `integers`.

    Timing: `latency` clock edges with `en` from `values` to `o`, `integer_latency` to `integers`;
    one beat per cycle.

    Numerics: bias is added modulo 2^32; conversion to FP32 and product are each rounded to nearest
    even, and the product again to an integer; NaN gives 0, whatever the limits. Same bits as the
    FP32 lanes, where limits of FP32 come before the last rounding: see `DrainProgram`.

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

    latency = DrainLane.latency
    """Clock edges from `values` to `o`."""
    integer_latency = DrainLane.integer_latency
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
