# SPDX-License-Identifier: Apache-2.0
"""The held operand block: a shadow that loads while the active block works."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.clock_gate import Gated
from hw.num.operand import DecodedOperand, Side

__all__ = ["HeldBlock", "check_tile"]


def check_tile(columns: int, k_bytes: int) -> None:
    """Raise ValueError unless a block loads in `columns` whole beats either way."""
    if columns < 1 or columns % k_bytes:
        raise ValueError(f"columns is {columns}; it must be a multiple of k_bytes ({k_bytes}).")


def _beat_layout(k_bytes: int, with_fp: bool) -> data.StructLayout:
    """A decoded beat as it lies in the shadow."""
    fields = {"lanes": data.ArrayLayout(signed(Side.HELD.value), k_bytes)}
    if with_fp:
        pairs = k_bytes // 2
        fields |= {"exponent": data.ArrayLayout(signed(10), pairs)}
        fields |= dict.fromkeys(("sign", "zero", "infinite", "nan"), pairs)
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
        layout = _beat_layout(self.k_bytes, self.with_fp)
        shadow = [Signal(layout, name=f"shadow{i}", reset_less=True) for i in range(self.columns)]
        by_row, is_float = Signal(), Signal()
        # Own clocks: both happen seldom, and simulation skips a clock that stands still.
        m.submodules.shadow = Gated(self._shadow(shadow, by_row, is_float), enable=self.load)
        m.submodules.active = Gated(self._active(shadow, by_row, is_float), enable=self.swap)
        return m

    def _shadow(self, shadow: list[data.View], by_row: Signal, is_float: Signal) -> Module:
        """Writes one beat."""
        m = Module()
        fields = [Cat(*self.beat.lanes)]
        if self.with_fp:
            fp = self.beat.fp
            fields += [*fp.exponent, fp.sign, fp.zero, fp.infinite, fp.nan]
        beat = Signal(shadow[0].shape())
        m.d.comb += beat.eq(Cat(*fields))
        m.d.sync += [by_row.eq(self.by_row), is_float.eq(self.is_float)]
        for index, target in enumerate(shadow):
            with m.If(self.index == index):
                m.d.sync += target.eq(beat)
        return m

    def _active(self, shadow: list[data.View], by_row: Signal, is_float: Signal) -> Module:
        """Copies and sorts the shadow."""
        m = Module()
        pairs = self.k_bytes // 2
        for column, vector in enumerate(self.vectors):
            group, lane = divmod(column, self.k_bytes)
            with m.If(by_row):
                m.d.sync += _copy(vector, shadow[column])
            with m.Elif(~is_float):
                for k, target in enumerate(vector.lanes):
                    m.d.sync += target.eq(shadow[group * self.k_bytes + k].lanes[lane])
            if self.with_fp:
                group, lane = divmod(column, pairs)
                with m.Else():
                    for k in range(pairs):
                        m.d.sync += _copy_pair(vector, k, shadow[group * pairs + k], lane)
        return m


def _copy(vector: wiring.PureInterface, beat: data.View) -> list:
    """A whole beat into a vector."""
    copies = [target.eq(source) for target, source in zip(vector.lanes, beat.lanes, strict=True)]
    if hasattr(vector, "fp"):
        for target, source in zip(vector.fp.exponent, beat.exponent, strict=True):
            copies.append(target.eq(source))
        for name in ("sign", "zero", "infinite", "nan"):
            copies.append(getattr(vector.fp, name).eq(getattr(beat, name)))
    return copies


def _copy_pair(vector: wiring.PureInterface, k: int, beat: data.View, lane: int) -> list:
    """Floating-point element `lane` of a beat into element `k` of a vector."""
    copies = [
        vector.lanes[2 * k].eq(beat.lanes[2 * lane]),
        vector.lanes[2 * k + 1].eq(beat.lanes[2 * lane + 1]),
        vector.fp.exponent[k].eq(beat.exponent[lane]),
    ]
    for name in ("sign", "zero", "infinite", "nan"):
        copies.append(getattr(vector.fp, name)[k].eq(getattr(beat, name)[lane]))
    return copies
