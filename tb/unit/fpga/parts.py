# SPDX-License-Identifier: Apache-2.0
"""Small designs: good ones, and one for each fault that the flow must find."""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Instance, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.dsp import RegisteredMultiplier
from hw.lib.emit_once import current_emission

__all__ = [
    "LATCH",
    "LOOP",
    "MEMORY",
    "PLAIN",
    "ByVerilog",
    "Chooser",
    "DeepTable",
    "Multiplier",
    "Multiplying",
    "Pair",
    "Pins",
    "Remembering",
]

_HEAD = "module part(input clk, input [7:0] a, output reg [7:0] y);\n"
LATCH = f"{_HEAD} always @* if (a[0]) y = a;\nendmodule"
LOOP = f"{_HEAD} always @* y = ~(y & a);\nendmodule"
MEMORY = f"""{_HEAD}
  reg [7:0] words [0:15];
  always @(posedge clk) words[a[3:0]] <= a;
  always @* y = words[a[7:4]];
endmodule"""
PLAIN = f"{_HEAD} always @(posedge clk) y <= a;\nendmodule"


class ByVerilog(wiring.Component):
    """Whatever a hand-written module `part` does between `a` and `y`."""

    def __init__(self, text: str) -> None:
        self._text = text
        super().__init__({"a": In(8), "y": Out(8)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        collected = current_emission()
        assert collected is not None
        collected.add_verilog("part", self._text)
        m.submodules.part = Instance("part", i_clk=ClockSignal(), i_a=self.a, o_y=self.y)
        return m


class Multiplier(wiring.Component):
    """Registered products of bytes, `count` of them."""

    def __init__(self, count: int = 1) -> None:
        self._count = count
        super().__init__({"a": In(8 * count), "b": In(8), "y": Out(16 * count)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for index in range(self._count):
            left = self.a.word_select(index, 8)
            m.d.sync += self.y.word_select(index, 16).eq(left * self.b)
        return m


class Chooser(wiring.Component):
    """One of sixteen bytes; multiplexers of the slices suit it."""

    i: In(128)
    index: In(4)
    y: Out(8)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.y.eq(self.i.word_select(self.index, 8))
        return m


class DeepTable(wiring.Component):
    """A memory of `depth` words that is read at once, so that no block RAM can hold it."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        super().__init__(
            {"address": In(range(depth)), "write": In(1), "data": In(32), "y": Out(32)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.table = table = memory.Memory(shape=32, depth=self._depth, init=[])
        read, write = table.read_port(domain="comb"), table.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(self.address),
            write.data.eq(self.data),
            write.en.eq(self.write),
        ]
        m.d.comb += self.y.eq(~read.data)  # a register here would become the block RAM's
        return m


class Adder(wiring.Component):
    """`total` grows by `step`."""

    step: In(16)
    total: Out(16)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.total.eq(self.total + self.step)
        return m


class Pair(wiring.Component):
    """A register `first` of its own and an adder that follows it."""

    step: In(16)
    total: Out(16)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.adder = adder = Adder()
        first = Signal(16)
        m.d.sync += first.eq(self.step)
        m.d.comb += [adder.step.eq(first), self.total.eq(adder.total)]
        return m


class Pins(wiring.Component):
    """A design with the pins of the chip behind its scan chain."""

    scan_in: In(1)
    scan_enable: In(1)
    scan_apply: In(1)
    scan_out: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        with m.If(self.scan_enable | self.scan_apply):
            m.d.sync += self.scan_out.eq(self.scan_in)
        return m


class Multiplying(Pins):
    """The same with a multiplier and its registers in a block."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.product = product = RegisteredMultiplier(x_width=8, y_width=8)
        shift, result = Signal(16), Signal(16)
        m.d.sync += [shift.eq(Cat(self.scan_in, shift)), self.scan_out.eq(result[-1])]
        with m.If(self.scan_apply):
            m.d.sync += result.eq(product.p)
        with m.Else():
            m.d.sync += result.eq(result << 1)
        m.d.comb += [Cat(product.x, product.y).eq(shift), product.y_en.eq(self.scan_enable)]
        return m


class Remembering(Pins):
    """The same with four bits in LUT RAM."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(shape=4, depth=4, init=[])
        read, write = words.read_port(domain="comb"), words.write_port()
        shift, place = Signal(8), Signal(2)
        m.d.sync += shift.eq(Cat(self.scan_in, shift))
        with m.If(self.scan_enable):
            m.d.sync += place.eq(place + 1)
        m.d.comb += [
            write.en.eq(self.scan_apply),
            write.addr.eq(shift[4:6]),
            write.data.eq(shift[:4]),
            read.addr.eq(place),
        ]
        m.d.sync += self.scan_out.eq(read.data.xor())
        return m
