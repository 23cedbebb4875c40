# SPDX-License-Identifier: Apache-2.0
"""The shadow of the held block: it loads while the columns work with the block before."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.clock_gate import Gated
from hw.num.operand import DecodedOperand, Side

__all__ = ["FLAGS", "HeldShadow", "check_tile", "exchanged", "vector_layout"]

FLAGS = ("sign", "zero", "infinite", "nan")
"""Flags of a floating-point element."""


def check_tile(columns: int, k_bytes: int) -> None:
    """Raise ValueError unless a block loads in `columns` whole beats either way."""
    if k_bytes & (k_bytes - 1):
        raise ValueError(f"k_bytes is {k_bytes}; it must be a power of two.")
    if columns < 1 or columns % k_bytes:
        raise ValueError(f"columns is {columns}; it must be a multiple of k_bytes ({k_bytes}).")


def exchanged(word: Value, places: Value, k_bytes: int) -> Value:
    """`word` with byte j moved to byte ``j ^ places``."""
    for bit in range((k_bytes - 1).bit_length()):
        swapped = Cat(word.word_select(byte ^ (1 << bit), 8) for byte in range(k_bytes))
        word = Mux(places[bit], swapped, word)
    return word


def vector_layout(k_bytes: int, with_fp: bool) -> data.ArrayLayout:
    """A decoded vector: two lanes and their floating-point element make one 32-bit word."""
    fields = {"lanes": data.ArrayLayout(signed(Side.HELD.value), 2)}
    if with_fp:
        fields |= {"exponent": 10, **dict.fromkeys(FLAGS, 1)}
    return data.ArrayLayout(data.StructLayout(fields), k_bytes // 2)


class HeldShadow(wiring.Component):
    """Takes the beats of a held block as they come, and offers them sorted by column.

    Operation: `load` writes one decoded beat. `vectors` sorts the beats:

    * by row: beat c is the vector of column c;
    * by column, integers: beat ``g * w + k`` holds element k of columns ``g * w ...``;
    * by column, floats: beat ``g * w/2 + k`` holds element k of columns ``g * w/2 ...``.

    So a block takes `columns` beats in every format. `by_row` and `is_float` belong to the block
    and are taken with each beat. With floating point beats are kept as they come and sorted behind,
    which costs two multiplexers per byte. Without, element k of column c is written where it
    belongs: byte j of beat i comes as byte ``j ^ (i % k_bytes)`` of `beat` (`exchanged`), so both
    layouts bring it as byte ``k ^ (c % k_bytes)``, and only the beat that writes it differs.

    Timing: a beat is in `vectors` 1 clock edge after `load`; `vectors` is combinational from there,
    without floating point a register.

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
        Decoded beat; without floating point, of bytes exchanged as above.
    by_row : In(1)
        How the block is laid out.
    is_float : In(1)
        Whether its elements are floating-point.
    vectors : Out(vector_layout) x columns
        The block, one vector per column.

    Raises
    ------
    ValueError
        If `columns` is not a multiple of `k_bytes`, or `k_bytes` no power of two.
    """

    def __init__(self, *, columns: int, k_bytes: int, with_fp: bool) -> None:
        check_tile(columns, k_bytes)
        self.columns = columns
        self.k_bytes = k_bytes
        self.with_fp = with_fp
        self.layout = vector_layout(k_bytes, with_fp)
        super().__init__(
            {
                "load": In(1),
                "index": In(range(columns)),
                "beat": In(DecodedOperand(side=Side.HELD, k_bytes=k_bytes, with_fp=with_fp)),
                "by_row": In(1),
                "is_float": In(1),
                "vectors": Out(self.layout).array(columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self.with_fp:
            m.submodules.cells = Gated(self._cells(), enable=self.load)
            return m
        beats = [Signal(self.layout, name=f"beat{i}", reset_less=True) for i in range(self.columns)]
        by_row = Signal(reset_less=True)
        is_float = Signal(reset_less=True)
        # A clock of its own: simulation skips it when nothing loads.
        m.submodules.beats = Gated(self._beats(beats, by_row, is_float), enable=self.load)
        for column, vector in enumerate(self.vectors):
            for pair in range(self.k_bytes // 2):
                word = self._sorted_pair(beats, by_row, is_float, column, pair)
                m.d.comb += vector[pair].eq(word)
        return m

    def _cells(self) -> Module:
        """Writes every element that one beat of integers brings."""
        m = Module()
        is_beat = Signal(self.columns)
        m.d.comb += is_beat.eq(1 << self.index)
        for column, vector in enumerate(self.vectors):
            group, place = divmod(column, self.k_bytes)
            for lane in range(self.k_bytes):
                source = group * self.k_bytes + lane
                element = vector[lane // 2].lanes[lane % 2]
                with m.If(Mux(self.by_row, is_beat[column], is_beat[source])):
                    m.d.sync += element.eq(self.beat.lanes[lane ^ place])
        return m

    def _beats(self, beats: list[data.View], by_row: Signal, is_float: Signal) -> Module:
        """Writes one beat."""
        m = Module()
        beat = Signal(self.layout)
        for pair in range(self.k_bytes // 2):
            for half in range(2):
                m.d.comb += beat[pair].lanes[half].eq(self.beat.lanes[2 * pair + half])
            m.d.comb += beat[pair].exponent.eq(self.beat.fp.exponent[pair])
            for name in FLAGS:
                m.d.comb += beat[pair][name].eq(getattr(self.beat.fp, name)[pair])
        m.d.sync += [by_row.eq(self.by_row), is_float.eq(self.is_float)]
        for index, target in enumerate(beats):
            with m.If(self.index == index):
                m.d.sync += target.eq(beat)
        return m

    def _sorted_pair(
        self, beats: list[data.View], by_row: Signal, is_float: Signal, column: int, pair: int
    ) -> Value:
        """The pair `pair` of a column's vector, from where it lies in the beats."""
        group, lane = divmod(column, self.k_bytes)
        sources = [beats[group * self.k_bytes + 2 * pair + half] for half in range(2)]
        integers = Cat(source[lane // 2].lanes[lane % 2] for source in sources)
        row = beats[column][pair].as_value()
        pairs = self.k_bytes // 2
        group, lane = divmod(column, pairs)
        floats = beats[group * pairs + pair][lane].as_value()
        return Mux(by_row, row, Mux(is_float, floats, integers))
