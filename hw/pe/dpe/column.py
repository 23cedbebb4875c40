# SPDX-License-Identifier: Apache-2.0
"""One column of the dot-product array: held vector, multipliers, INT32 sum and FP32 sum."""

from amaranth.hdl import Cat, Const, DomainRenamer, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.dsp import RegisteredMultiplier
from hw.num.operand import EXPONENT_BIAS, DecodedOperand, FloatFields, Side
from hw.num.rounding import CANONICAL_NAN, FP32_INFINITY, Fp32Rounder
from hw.pe.dpe.held_shadow import FLAGS, vector_layout

__all__ = ["INTEGER_WIDTH", "PRODUCT_WIDTH", "DotColumn", "FloatColumn", "MultiplierColumn"]

PRODUCT_WIDTH = Side.STREAMED.value + Side.HELD.value
"""Bits of one lane's signed product."""
INTEGER_WIDTH = 9
"""Bits of one lane of a streamed row that is never floating-point."""
# 8-bit integers of either sign: at most 255 * 255.
_INTEGER_PRODUCT_WIDTH = 17
# Products of significands have 20 bits below the point and are truncated 28 below the top one.
_KEPT_SHIFT = 28 - 20


class DotColumn(wiring.Component):
    """One column: multiplies every streamed row with the vector that it holds.

    Operation: the vector is taken from `block` at every clock edge of domain `held`. Each part has
    a clock domain of its own, so that the array lets only those run that have work. With
    `own_row` the multipliers have the registers of both operands: the lanes of `row` come a clock
    edge earlier than the rest of it, and those of `block` are taken with `swap`.

    Timing: `o` `latency` clock edges of `multiply` after `row`: 3 without floating point, 4 with.
    Domain `float` runs along while floating-point rows pass the first 3 of them.

    Numerics: as `MultiplierColumn` and `FloatColumn`.

    Parameters
    ----------
    k_bytes : int
        Bytes of a row.
    with_fp : bool
        Whether floating-point rows are supported.
    own_row : bool
        Whether the multipliers have operand registers.
    hard : bool
        Whether hard multipliers are to be used where there are any.

    Members
    -------
    block : In(vector_layout)
        The next vector to hold.
    swap : In(1)
        It is taken; only with `own_row`.
    row : In(DecodedOperand)
        Streamed row.
    is_float : In(1)
        Whether the result of the coming edge is FP32; only with floating point.
    o : Out(32)
        INT32 or FP32 result.
    """

    def __init__(
        self, *, k_bytes: int, with_fp: bool, own_row: bool = False, hard: bool = True
    ) -> None:
        self.k_bytes = k_bytes
        self.with_fp = with_fp
        self.own_row = own_row
        self.hard = hard
        members = {
            "block": In(vector_layout(k_bytes, with_fp)),
            "row": In(DecodedOperand(side=Side.STREAMED, k_bytes=k_bytes, with_fp=with_fp)),
            "is_float": In(1),
            "o": Out(32),
        }
        super().__init__(members | ({"swap": In(1)} if own_row else {}))

    @property
    def latency(self) -> int:
        """Clock edges from a row to its result."""
        return 4 if self.with_fp else 3

    def elaborate(self, platform: object) -> Module:
        m = Module()
        multiplier = MultiplierColumn(
            k_bytes=self.k_bytes,
            x_width=Side.STREAMED.value if self.with_fp else INTEGER_WIDTH,
            own_operands=self.own_row,
            hard=self.hard,
        )
        m.submodules.multiplier = DomainRenamer("multiply")(multiplier)
        for lane in range(self.k_bytes):
            held = self.block[lane // 2].lanes[lane % 2]
            if not self.own_row:
                register = Signal(signed(Side.HELD.value), name=f"held{lane}", reset_less=True)
                m.d.held += register.eq(held)
                held = register
            m.d.comb += [multiplier.x[lane].eq(self.row.lanes[lane]), multiplier.y[lane].eq(held)]
        if self.own_row:
            m.d.comb += multiplier.y_en.eq(self.swap)
        if self.with_fp:
            self._elaborate_float(m, multiplier)
        else:
            m.d.comb += self.o.eq(multiplier.total)
        return m

    def _elaborate_float(self, m: Module, multiplier: "MultiplierColumn") -> None:
        """The floating-point part, and the choice between both results."""
        column = FloatColumn(k_bytes=self.k_bytes)
        m.submodules.float = DomainRenamer("float")(column)
        for name in FLAGS:
            held = Signal(column.chunk, name=f"held_{name}", reset_less=True)
            m.d.held += held.eq(Cat(pair[name] for pair in self.block))
            m.d.comb += [
                getattr(column.x, name).eq(getattr(self.row.fp, name)),
                getattr(column.y, name).eq(held),
            ]
        for pair in range(column.chunk):
            held = Signal(10, name=f"held_exponent{pair}", reset_less=True)
            m.d.held += held.eq(self.block[pair].exponent)
            m.d.comb += [
                column.x.exponent[pair].eq(self.row.fp.exponent[pair]),
                column.y.exponent[pair].eq(held),
            ]
        for product, source in zip(column.products, multiplier.products, strict=True):
            m.d.comb += product.eq(source)
        result = Signal(32, reset_less=True)
        m.d.multiply += result.eq(Mux(self.is_float, column.o, multiplier.total))
        m.d.comb += self.o.eq(result)


class MultiplierColumn(wiring.Component):
    """Multiplies two decoded rows lane by lane and sums the products as integers.

    Timing: `products` 1 clock edge and `total` 3 clock edges after `x` and `y`, one dot product
    per cycle. Registers stand after the products, in the middle of the tree of adders, and at its
    end. With `own_operands` one more stands at `x` and at `y`, and everything is an edge later.

    Numerics: `products` are exact, `total` with integer operands, of which |total| < 2^31 for any
    row length allowed.

    Parameters
    ----------
    k_bytes : int
        Lanes, at most 1024.
    x_width : int
        Bits of `x`.
    own_operands : bool
        Whether operands have registers here.
    hard : bool
        Whether hard multipliers are to be used where there are any; else only with `own_operands`.

    Members
    -------
    x : In(signed(x_width)) x k_bytes
        Lanes of the streamed row.
    y : In(signed(9)) x k_bytes
        Lanes of the held vector.
    y_en : In(1)
        Take `y`; only with `own_operands`.
    products : Out(signed(x_width + 9)) x k_bytes
        Lane products, for the floating-point column.
    total : Out(signed(32))
        Sum of all products.

    Raises
    ------
    ValueError
        If `k_bytes` is not from 1 to 1024.
    """

    def __init__(
        self,
        *,
        k_bytes: int,
        x_width: int = Side.STREAMED.value,
        own_operands: bool = False,
        hard: bool = True,
    ) -> None:
        if not 1 <= k_bytes <= 1024:
            raise ValueError(f"k_bytes is {k_bytes}; it must be from 1 to 1024.")
        self.k_bytes = k_bytes
        self.x_width = x_width
        self.own_operands = own_operands
        self.hard = hard
        width = x_width + Side.HELD.value
        members = {
            "x": In(signed(x_width)).array(k_bytes),
            "y": In(signed(Side.HELD.value)).array(k_bytes),
            "products": Out(signed(width)).array(k_bytes),
            "total": Out(signed(32)),
        }
        super().__init__(members | ({"y_en": In(1)} if own_operands else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        products = [self._elaborate_product(m, lane) for lane in range(self.k_bytes)]
        levels = (self.k_bytes - 1).bit_length()
        n_terms = 1 << -(-levels // 2)  # half of the levels, rounded up, come before the register
        groups = []
        for low in range(0, self.k_bytes, n_terms):
            terms = products[low : low + n_terms]
            sum_ = _sum(m, terms, name=f"group{low}", width=_INTEGER_PRODUCT_WIDTH)
            group = Signal(sum_.shape(), name=f"group{low}", reset_less=True)
            m.d.sync += group.eq(sum_)
            groups.append(group)
        result = _sum(m, groups, name="total")
        total = Signal(signed(min(len(result), 32)), reset_less=True)
        m.d.sync += total.eq(result)
        m.d.comb += self.total.eq(total)
        return m

    def _elaborate_product(self, m: Module, lane: int) -> Signal:
        """The product of one lane, from a register."""
        x, y = self.x[lane], self.y[lane]
        product = Signal.like(self.products[lane], name=f"product{lane}", reset_less=True)
        if self.own_operands:
            m.submodules[f"lane{lane}"] = multiplier = RegisteredMultiplier(
                x_width=len(x), y_width=len(y), hard=self.hard
            )
            m.d.comb += [
                multiplier.x.eq(x),
                multiplier.y.eq(y),
                multiplier.y_en.eq(self.y_en),
                product.eq(multiplier.p),
            ]
        else:
            m.d.sync += product.eq(x * y)
        m.d.comb += self.products[lane].eq(product)
        return product


class FloatColumn(wiring.Component):
    """Sums the products of one chunk of floating-point elements and rounds once to FP32.

    Operation: (1) exponents of the products, beside the multipliers; (2) pairs of lanes make
    significand products, the largest exponent sets the distance of each; (3) align, truncate,
    sum; (4) normalise and round, left to the parent's register.

    Timing: `o` 3 clock edges after `x` and `y`; `products` must arrive 1 edge after them. One dot
    product per cycle. Combinational from the registers of the third edge to `o`.

    Numerics: as `docs/numerics.md`, "Floating-point partial sums".

    Parameters
    ----------
    k_bytes : int
        Bytes of a row; the chunk is half as many products. From 2 to 64.

    Members
    -------
    x : In(FloatFields)
        Streamed row.
    y : In(FloatFields)
        Held vector.
    products : In(signed(21)) x k_bytes
        Lane products.
    o : Out(32)
        FP32 partial sum.

    Raises
    ------
    ValueError
        If `k_bytes` is odd or not from 2 to 64.
    """

    def __init__(self, *, k_bytes: int) -> None:
        if k_bytes % 2 or not 2 <= k_bytes <= 64:
            raise ValueError(f"k_bytes is {k_bytes}; it must be even, from 2 to 64.")
        self.k_bytes = k_bytes
        self.chunk = k_bytes // 2
        super().__init__(
            {
                "x": In(FloatFields(pairs=k_bytes // 2)),
                "y": In(FloatFields(pairs=k_bytes // 2)),
                "products": In(signed(PRODUCT_WIDTH)).array(k_bytes),
                "o": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chunk = range(self.chunk)

        # Stage 1: exponents and signs of the products, infinities and NaNs.
        s1_exponents = [Signal(11, name=f"s1_exponent{i}", reset_less=True) for i in chunk]
        s1_sign = Signal(self.chunk, reset_less=True)
        for i in chunk:
            m.d.sync += s1_exponents[i].eq(self.x.exponent[i] + self.y.exponent[i])
        m.d.sync += s1_sign.eq(self.x.sign ^ self.y.sign)
        s1_specials = self._elaborate_specials(m)

        # Stage 2: significand products; distance of each from the largest exponent.
        s2_products = [Signal(22, name=f"s2_product{i}", reset_less=True) for i in chunk]
        s2_distances = [Signal(5, name=f"s2_distance{i}", reset_less=True) for i in chunk]
        s2_e_max = Signal(11, reset_less=True)
        s2_sign = Signal(self.chunk, reset_less=True)
        e_max = _maximum(m, s1_exponents)
        for i in chunk:
            distance = Signal(11, name=f"distance{i}")
            m.d.comb += distance.eq(e_max - s1_exponents[i])
            m.d.sync += [
                s2_products[i].eq(self.products[2 * i] + self.products[2 * i + 1].shift_left(8)),
                # A distance of 31 leaves nothing of 30 bits.
                s2_distances[i].eq(Mux(distance > 31, 31, distance)),
            ]
        m.d.sync += [s2_e_max.eq(e_max), s2_sign.eq(s1_sign)]
        s2_specials = _delay(m, "s2", s1_specials)

        # Stage 3: align, truncate magnitudes, sum.
        terms = []
        for i in chunk:
            aligned = Signal(30, name=f"aligned{i}")
            term = Signal(signed(31), name=f"term{i}")
            m.d.comb += [
                aligned.eq(s2_products[i].shift_left(_KEPT_SHIFT) >> s2_distances[i]),
                term.eq(Mux(s2_sign[i], -aligned, aligned)),
            ]
            terms.append(term)
        total = _sum(m, terms, name="total")
        s3_total = Signal(total.shape(), reset_less=True)
        s3_e_max = Signal(11, reset_less=True)
        m.d.sync += [s3_total.eq(total), s3_e_max.eq(s2_e_max)]
        s3_specials = _delay(m, "s3", s2_specials)

        self._elaborate_round(m, s3_total, s3_e_max, s3_specials)
        return m

    def _elaborate_round(
        self, m: Module, total: Signal, e_max: Signal, specials: tuple[Signal, Signal]
    ) -> None:
        """Round the total, in units of 2^(e_max - 28), to FP32."""
        m.submodules.rounder = rounder = Fp32Rounder(
            magnitude_width=len(total) - 1, exponent_width=12, deep_underflow=True
        )
        top = rounder.magnitude_width - 1
        is_special, special = specials
        m.d.comb += [
            rounder.sign.eq(total[-1]),
            rounder.magnitude.eq(Mux(total[-1], -total, total)),
            rounder.exponent.eq(e_max + (127 + top - 28 - 2 * EXPONENT_BIAS)),
        ]
        # A partial sum that rounds to zero is +0.
        nonzero = rounder.o[:31].any()
        m.d.comb += self.o.eq(
            Mux(is_special, special, Cat(rounder.o[:31], rounder.o[31] & nonzero))
        )

    def _elaborate_specials(self, m: Module) -> tuple[Signal, Signal]:
        """Registers that say whether, and with what, infinities and NaNs replace the sum."""
        x, y = self.x, self.y
        is_special = Signal(name="s1_is_special", reset_less=True)
        special = Signal(32, name="s1_special", reset_less=True)
        infinite = Signal(self.chunk)
        nan = Signal(self.chunk)
        sign = Signal(self.chunk)
        m.d.comb += [
            infinite.eq(x.infinite | y.infinite),
            nan.eq(x.nan | y.nan | (x.infinite & y.zero) | (x.zero & y.infinite)),
            sign.eq(x.sign ^ y.sign),
        ]
        positive, negative = (infinite & ~sign).any(), (infinite & sign).any()
        is_nan = nan.any() | (positive & negative)
        m.d.sync += [
            is_special.eq((infinite | nan).any()),
            special.eq(Mux(is_nan, CANONICAL_NAN, Cat(Const(FP32_INFINITY, 31), negative))),
        ]
        return is_special, special


def _sum(m: Module, terms: list[Signal], *, name: str, width: int | None = None) -> Signal:
    """Balanced exact sum; every level is one bit wider than the last, or than `width` at first.

    A sum as narrow as its terms also stays an addition of its own: Yosys would merge the tree into
    one operation and build that of carry-save adders, at more LUTs than the carry chains take.
    """
    level = 0
    while len(terms) > 1:
        sums = []
        for i in range(0, len(terms) - 1, 2):
            value = terms[i] + terms[i + 1]
            shape = value.shape() if width is None else signed(width + level + 1)
            node = Signal(shape, name=f"{name}_level{level}_{i // 2}")
            m.d.comb += node.eq(value)
            sums.append(node)
        terms = sums + terms[len(terms) & ~1 :]
        level += 1
    return terms[0]


def _maximum(m: Module, values: list[Signal]) -> Signal:
    """Largest of some numbers."""
    level = 0
    while len(values) > 1:
        larger = []
        for i in range(0, len(values) - 1, 2):
            node = Signal.like(values[i], name=f"maximum_level{level}_{i // 2}")
            m.d.comb += node.eq(Mux(values[i] > values[i + 1], values[i], values[i + 1]))
            larger.append(node)
        values = larger + values[len(values) & ~1 :]
        level += 1
    return values[0]


def _delay(m: Module, stage: str, specials: tuple[Signal, Signal]) -> tuple[Signal, Signal]:
    """Carry the special result one stage on."""
    is_special = Signal(name=f"{stage}_is_special", reset_less=True)
    special = Signal(32, name=f"{stage}_special", reset_less=True)
    m.d.sync += [is_special.eq(specials[0]), special.eq(specials[1])]
    return is_special, special
