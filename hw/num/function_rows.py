# SPDX-License-Identifier: Apache-2.0
"""Second part of the function unit: which row of the table an argument needs, and its contents."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.functions import BASES, COEFFICIENTS, DEPTH, REGIONS, Region, table
from hw.arch.functions import datapath as path

__all__ = ["FunctionRom", "RowSelector"]

_ROW_WIDTH = (DEPTH - 1).bit_length()
_MAX_LOG2 = max(spec.segments_log2 for spec in REGIONS.values())
_POWER_DROPPED = path.ARGUMENT_FRACTION + path.LOG2_E_FRACTION - path.POWER_FRACTION


class RowSelector(wiring.Component):
    """Number of the row, and the distance t from the middle of its segment.

    Operation: `power` gives position and exponent of EXP; all others have theirs. The upper bits
    of the position are the segment, the bits below are t. In the first and last segment of
    LOG_NEAR t counts from the end, where the argument is 1.

    Timing: combinational.

    Members
    -------
    by_power, power, negative, region, position, exponent : as `FunctionDecoder` gives them.
    row : Out(10), row of the table.
    t : Out(signed(18)), in units of 2^-18.
    power_of_two : Out(signed(10)), exponent for the row's value.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "by_power": In(1),
                "power": In(64),
                "negative": In(1),
                "region": In(5),
                "position": In(path.POSITION_FRACTION),
                "exponent": In(signed(10)),
                "row": Out(_ROW_WIDTH),
                "t": Out(signed(path.T_FRACTION)),
                "power_of_two": Out(signed(10)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        power = self._signed_power(m)
        fraction, whole = power[: path.POWER_FRACTION], power[path.POWER_FRACTION :].as_signed()
        aligned = fraction.shift_left(path.POSITION_FRACTION - path.POWER_FRACTION)
        region, position = Signal(5), Signal(path.POSITION_FRACTION)
        base, log2 = Signal(_ROW_WIDTH), Signal(range(_MAX_LOG2 + 1))
        scaled = Signal(path.POSITION_FRACTION + _MAX_LOG2)
        m.d.comb += [
            region.eq(Mux(self.by_power, Region.EXP, self.region)),
            position.eq(Mux(self.by_power, aligned, self.position)),
            scaled.eq(position << log2),
            self.power_of_two.eq(Mux(self.by_power, whole, self.exponent)),
        ]
        with m.Switch(region):
            for number, spec in REGIONS.items():
                with m.Case(number):
                    m.d.comb += [base.eq(BASES[number]), log2.eq(spec.segments_log2)]
        segment = scaled[path.POSITION_FRACTION :]
        m.d.comb += self.row.eq(base | segment)

        offset = scaled[path.POSITION_FRACTION - path.T_FRACTION : path.POSITION_FRACTION]
        # From the middle: less 1/2, which is the top bit turned over.
        m.d.comb += self.t.eq(Cat(offset[:-1], ~offset[-1]))
        last = REGIONS[Region.LOG_NEAR].n_segments - 1
        with m.If((region == Region.LOG_NEAR) & ((segment == 0) | (segment == last))):
            m.d.comb += self.t.eq(Cat(offset[1:], segment != 0))
        return m

    def _signed_power(self, m: Module) -> Signal:
        """`power`, rounded to nearest, then negated if x is negative, by a single addition.

        For a bit b, -(a + b) is ~a + (not b).
        """
        upper, half = self.power[_POWER_DROPPED:], self.power[_POWER_DROPPED - 1]
        width = len(upper) + 1
        turned = Signal(width)
        power = Signal(width)
        m.d.comb += [
            turned.eq(Cat(upper, 0) ^ self.negative.replicate(width)),
            power.eq(turned + (half ^ self.negative)),
        ]
        return power


class FunctionRom(wiring.Component):
    """The table of all functions.

    Timing: one clock edge with `en` from `row` to the contents.

    Members
    -------
    en : In(1), reads a new row.
    row : In(10).
    c0 : Out(30), c1 : Out(signed(30)), c2 : Out(signed(22)), c3 : Out(signed(18)), coefficients
        in the formats of `hw.arch.functions.fit.COEFFICIENTS`.
    exponent : Out(6), the value is divided by 2 to its power.

    Resources: 1024 words of 52 and of 54 bits. Two memories of at most 64 bits simulate faster
    than one of 106, and fill block RAMs of 18 bits just as well.
    """

    def __init__(self) -> None:
        shapes = {
            f"c{power}": signed(form.width) if form.signed else unsigned(form.width)
            for power, form in enumerate(COEFFICIENTS)
        }
        shapes["exponent"] = unsigned(path.EXPONENT_WIDTH)
        outputs = {name: Out(shape) for name, shape in shapes.items()}
        super().__init__({"en": In(1), "row": In(_ROW_WIDTH), **outputs})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = table()
        columns = {f"c{power}": [row.coefficients[power] for row in rows] for power in range(4)}
        columns["exponent"] = [row.exponent for row in rows]
        self._elaborate_memory(m, "even", {name: columns[name] for name in ("c0", "c2")})
        self._elaborate_memory(m, "odd", {name: columns[name] for name in ("c1", "c3", "exponent")})
        return m

    def _elaborate_memory(self, m: Module, name: str, columns: dict[str, list[int]]) -> None:
        """One memory with some of the columns."""
        fields: dict[str, Value] = {column: getattr(self, column) for column in columns}
        words = [0] * DEPTH
        start = 0
        for column, field in fields.items():
            for row, number in enumerate(columns[column]):
                words[row] |= (number & ((1 << len(field)) - 1)) << start
            start += len(field)
        rom = memory.Memory(shape=unsigned(start), depth=DEPTH, init=words)
        m.submodules[name] = rom
        port = rom.read_port()
        m.d.comb += [
            port.en.eq(self.en),
            port.addr.eq(self.row),
            Cat(*(field.as_unsigned() for field in fields.values())).eq(port.data),
        ]
