# SPDX-License-Identifier: Apache-2.0
"""The integer drain path as a stream: beats of accumulator values in, words out."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.clock_gate import Gated
from hw.pe.se.drain_lane import DrainSettings
from hw.pe.se.drain_path import DrainPath
from hw.pe.se.sizes import Sizes

__all__ = ["DrainStage"]


class DrainStage(wiring.Component):
    """Gives `DrainPath` valid bits of a command, and stops it when its words are not taken.

    Operation: `start` forgets what an earlier command left in the pipeline. With `integers` words
    are INT32 of the first lanes, else the 8-bit elements of all. Where those are less than a word,
    beats are collected: the word goes with its last one.

    Timing: a beat per cycle; `DrainPath.latency` clock edges, with `integers` its
    `integer_latency`. The clock runs only while beats may come or are on their way.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    settings : In(DrainSettings); integers : In(1); start : In(1).
    active : In(1), beats may come.
    valid, values, biases, scales : In, a beat; ready : Out(1), it may come.
    words : Out(stream of `write_words` words).
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        bits = 32 * sizes.config.drain_lanes
        words = data.ArrayLayout(8 * sizes.word_bytes, sizes.write_words)
        super().__init__(
            {
                "settings": In(DrainSettings),
                "integers": In(1),
                "start": In(1),
                "active": In(1),
                "valid": In(1),
                "values": In(bits),
                "biases": In(bits),
                "scales": In(bits),
                "ready": Out(1),
                "words": Out(stream.Signature(words)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        path = DrainPath(lanes=self.sizes.config.drain_lanes)
        on_way = Signal(path.latency)  # bit i: a beat has passed i + 1 edges
        there = Signal()  # words are; a register, since every beat waits for it
        completes, elements = self._elaborate_collection(m, path, on_way[-1])
        with m.If(self.start):
            m.d.sync += [on_way.eq(0), there.eq(0)]
        with m.Elif(self.ready):
            keep = Mux(self.integers, 0, on_way)
            m.d.sync += [
                on_way.eq(keep << 1 | self.valid),
                there.eq(Mux(self.integers, self.valid, on_way[-2] & completes)),
            ]
        # Not by `valid`, which comes late.
        m.submodules.path = Gated(path, enable=self.ready & (self.active | on_way.any()))
        m.d.comb += [
            path.en.eq(1),
            path.settings.eq(self.settings),
            path.valid.eq(self.valid),
            path.values.eq(self.values),
            path.biases.eq(self.biases),
            path.scales.eq(self.scales),
            self.words.valid.eq(there),
            self.words.payload.as_value().eq(Mux(self.integers, path.integers, elements)),
            self.ready.eq(~self.words.valid | self.words.ready),
        ]
        return m

    def _elaborate_collection(
        self, m: Module, path: DrainPath, arrives: Value
    ) -> tuple[Value, Value]:
        """Whether the beat behind the present one makes words complete; the words of this one."""
        n_beats = self.sizes.drain_bytes // path.lanes
        if n_beats == 1:
            return Const(1, 1), path.o
        kept = Signal(8 * path.lanes * (n_beats - 1), reset_less=True)
        number = Signal(range(n_beats))
        following = Signal.like(number)
        m.d.comb += following.eq(number + arrives)  # a power of two, so it begins anew
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(self.ready & arrives & ~self.integers):
            m.d.sync += [number.eq(following), kept.eq(Cat(kept, path.o)[len(path.o) :])]
        return following == n_beats - 1, Cat(kept, path.o)
