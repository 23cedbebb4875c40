# SPDX-License-Identifier: Apache-2.0
"""The held operand block: a shadow that loads while the active block works."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.clock_gate import Gated
from hw.num.operand import DecodedOperand, Side

__all__ = ["HeldBlock", "check_tile"]

_FLAGS = ("sign", "zero", "infinite", "nan")


def check_tile(columns: int, k_bytes: int) -> None:
    """Raise ValueError unless a block loads in `columns` whole beats either way."""
    if columns < 1 or columns % k_bytes:
        raise ValueError(f"columns is {columns}; it must be a multiple of k_bytes ({k_bytes}).")


def _pair_layout(with_fp: bool) -> data.StructLayout:
    """Two lanes of a decoded beat and their floating-point element: one 32-bit word."""
    fields = {"lanes": data.ArrayLayout(signed(Side.HELD.value), 2)}
    if with_fp:
        fields |= {"exponent": 10, "sign": 1, "zero": 1, "infinite": 1, "nan": 1}
    return data.StructLayout(fields)


class HeldBlock(wiring.Component):
    """Holds one vector per column, and loads the next ones beside it.

    Operation: `load` writes one decoded beat into the shadow, as it comes. `swap` copies the
    shadow into the active vectors and sorts it on the way:

    * by row: beat c is the vector of column c;
    * by column, integers: beat ``g * w + k`` holds element k of columns ``g * w ...``;
    * by column, floats: beat ``g * w/2 + k`` holds element k of columns ``g * w/2 ...``.

    So a block takes `columns` beats in every format, and sorting costs one multiplexer per byte.
    `by_row` and `is_float` belong to the shadow's block and are taken with each beat.

    Timing: a beat is in the shadow 1 clock edge after `load`; the active vectors change 1 edge
    after `swap`. Loading and swapping in one cycle is allowed: the swap sees the old shadow.

    Parameters
    ----------
    columns : int
        Vectors held; a multiple of `k_bytes`.
    k_bytes : int
        Bytes of a vector and of a beat.
    with_fp : bool
        Whether beats carry floating-point fields.

    Members
    -------
    load : In(1)
        A beat is there.
    index : In(range(columns))
        Number of the beat.
    beat : In(DecodedOperand)
        Decoded beat.
    by_row : In(1)
        How the block is laid out.
    is_float : In(1)
        Whether its elements are floating-point.
    swap : In(1)
        The shadow becomes the active block.
    vectors : Out(DecodedOperand) x columns
        Active vectors.

    Raises
    ------
    ValueError
        If `columns` is not a multiple of `k_bytes`.
    """

    def __init__(self, *, columns: int, k_bytes: int, with_fp: bool) -> None:
        check_tile(columns, k_bytes)
        self.columns = columns
        self.k_bytes = k_bytes
        self.with_fp = with_fp
        decoded = DecodedOperand(side=Side.HELD, k_bytes=k_bytes, with_fp=with_fp)
        super().__init__(
            {
                "load": In(1),
                "index": In(range(columns)),
                "beat": In(decoded),
                "by_row": In(1),
                "is_float": In(1),
                "swap": In(1),
                "vectors": Out(decoded).array(columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = data.ArrayLayout(_pair_layout(self.with_fp), self.k_bytes // 2)
        shadow = [Signal(layout, name=f"shadow{i}", reset_less=True) for i in range(self.columns)]
        by_row = Signal(reset_less=True)
        is_float = Signal(reset_less=True)
        # Own clocks: both happen seldom, and simulation skips a clock that stands still.
        m.submodules.shadow = Gated(self._shadow(shadow, by_row, is_float), enable=self.load)
        m.submodules.active = Gated(self._active(shadow, by_row, is_float), enable=self.swap)
        return m

    def _shadow(self, shadow: list[data.View], by_row: Signal, is_float: Signal) -> Module:
        """Writes one beat."""
        m = Module()
        beat = Signal(shadow[0].shape())
        for pair in range(self.k_bytes // 2):
            for half in range(2):
                m.d.comb += beat[pair].lanes[half].eq(self.beat.lanes[2 * pair + half])
            if self.with_fp:
                m.d.comb += beat[pair].exponent.eq(self.beat.fp.exponent[pair])
                for name in _FLAGS:
                    m.d.comb += beat[pair][name].eq(getattr(self.beat.fp, name)[pair])
        m.d.sync += [by_row.eq(self.by_row), is_float.eq(self.is_float)]
        for index, target in enumerate(shadow):
            with m.If(self.index == index):
                m.d.sync += target.eq(beat)
        return m

    def _active(self, shadow: list[data.View], by_row: Signal, is_float: Signal) -> Module:
        """Copies and sorts the shadow."""
        m = Module()
        for column, vector in enumerate(self.vectors):
            for pair in range(self.k_bytes // 2):
                word = self._sorted_pair(shadow, by_row, is_float, column, pair)
                active = Signal(word.shape(), name=f"active{column}_{pair}", reset_less=True)
                m.d.sync += active.eq(word)
                for half in range(2):
                    m.d.comb += vector.lanes[2 * pair + half].eq(active.lanes[half])
                if self.with_fp:
                    m.d.comb += vector.fp.exponent[pair].eq(active.exponent)
                    for name in _FLAGS:
                        m.d.comb += getattr(vector.fp, name)[pair].eq(active[name])
        return m

    def _sorted_pair(
        self,
        shadow: list[data.View],
        by_row: Signal,
        is_float: Signal,
        column: int,
        pair: int,
    ) -> data.View:
        """Where the pair `pair` of a column's vector lies in the shadow."""
        layout = _pair_layout(self.with_fp)
        group, lane = divmod(column, self.k_bytes)
        sources = [shadow[group * self.k_bytes + 2 * pair + half] for half in range(2)]
        integers = Cat(source[lane // 2].lanes[lane % 2] for source in sources)
        if not self.with_fp:
            return layout(Mux(by_row, shadow[column][pair].as_value(), integers))
        pairs = self.k_bytes // 2
        group, lane = divmod(column, pairs)
        floats = shadow[group * pairs + pair][lane].as_value()
        return layout(Mux(by_row, shadow[column][pair].as_value(), Mux(is_float, floats, integers)))
