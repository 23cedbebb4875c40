# SPDX-License-Identifier: Apache-2.0
"""The dot-product array: one streamed row against all held vectors in every cycle."""

from amaranth.hdl import Cat, Const, DomainRenamer, Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.clock_gate import Gated
from hw.lib.dsp import has_hard_multipliers
from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.operand import OperandDecoder, Side
from hw.pe.dpe.column import DotColumn
from hw.pe.dpe.held_shadow import HeldShadow, check_tile, exchanged

__all__ = ["DotProductArray", "load_layout", "row_layout"]


def load_layout(columns: int, k_bytes: int) -> data.StructLayout:
    """One beat for the shadow of the held block."""
    return data.StructLayout(
        {
            "data": 8 * k_bytes,
            "index": range(columns),
            "format": 2,
            "by_row": 1,
        }
    )


def row_layout(k_bytes: int, tag_width: int) -> data.StructLayout:
    """One streamed row."""
    return data.StructLayout(
        {
            "data": 8 * k_bytes,
            "format": 2,
            "swap": 1,  # the shadow becomes active before this row is multiplied
            "tag": tag_width,
        }
    )


class DotProductArray(wiring.Component):
    """Multiplies every streamed row with all held vectors.

    Operation: beats on `load` fill the shadow of the held block (`HeldShadow` says in which order).
    A row with `swap` makes the shadow active for itself and the rows after it, without a bubble.
    `tag` comes out with the row's results. Nothing stalls: there is no back-pressure.

    Timing: `latency` clock edges from `row` to `values`; valid bit, kind and tag come `lead` cycles
    before the values. One row and one beat per cycle. The last beat must be loaded at least one
    cycle before the row that swaps. Where multipliers have registers for their operands
    (`hw.lib.dsp`) these serve as operand register and as held block, at the same latency.

    Numerics: `docs/numerics.md`, "Dot-product engine". Formats of both operands may be mixed
    within integers and within floats; a row and the active block must be of the same kind.

    Parameters
    ----------
    columns : int
        Held vectors, results per row.
    k_bytes : int
        Bytes of a row; half as many floating-point products make a chunk.
    with_fp : bool
        Whether FP16 and BF16 are supported.
    tag_width : int
        Bits that travel with a row.
    lead : int
        Cycles by which values come after everything else of a result.
    lut_columns : int
        Columns whose multipliers are made of logic even where there are hard ones.
    own_rows : bool | None
        Whether the multipliers have operand registers; None: where they are hard.

    Members
    -------
    load_valid : In(1)
        A beat is there.
    load : In(load_layout)
        The beat.
    row_valid : In(1)
        A row is there.
    row : In(row_layout)
        The row.
    result_valid : Out(1)
        Results are there, or will be in `lead` cycles.
    values : Out(ArrayLayout(32, columns))
        INT32 or FP32, one per column.
    is_float : Out(1)
        Whether they are FP32.
    tag : Out(tag_width)
        The row's tag.
    busy : Out(1)
        Rows are on their way, `row` not included.

    Raises
    ------
    ValueError
        If `columns` is not a multiple of `k_bytes`, or `k_bytes` no power of two.
    """

    def __init__(
        self,
        *,
        columns: int,
        k_bytes: int,
        with_fp: bool,
        tag_width: int,
        lead: int = 0,
        lut_columns: int = 0,
        own_rows: bool | None = None,
    ) -> None:
        check_tile(columns, k_bytes)
        self.lead = lead
        self.lut_columns = lut_columns
        self.own_rows = own_rows
        self.columns = columns
        self.k_bytes = k_bytes
        self.with_fp = with_fp
        self.tag_width = tag_width
        super().__init__(
            {
                "load_valid": In(1),
                "load": In(load_layout(columns, k_bytes)),
                "row_valid": In(1),
                "row": In(row_layout(k_bytes, tag_width)),
                "result_valid": Out(1),
                "values": Out(data.ArrayLayout(32, columns)),
                "is_float": Out(1),
                "tag": Out(tag_width),
                "busy": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Clock edges from a row to its results: operand, product, two sums, rounding."""
        return 5 if self.with_fp else 4

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.shadow = shadow = HeldShadow(
            columns=self.columns, k_bytes=self.k_bytes, with_fp=self.with_fp
        )
        m.submodules.load_decoder = load_decoder = self._decoder(Side.HELD)
        beat: Value = self.load.data
        if not self.with_fp:
            beat = exchanged(beat, self.load.index, self.k_bytes)
        m.d.comb += [
            load_decoder.raw.eq(beat),
            load_decoder.format.eq(self.load.format),
            shadow.load.eq(self.load_valid),
            shadow.index.eq(self.load.index),
            shadow.by_row.eq(self.load.by_row),
            shadow.is_float.eq(self.load.format[1]),
        ]
        wiring.connect(m, load_decoder.o, shadow.beat)

        own_rows = has_hard_multipliers() if self.own_rows is None else self.own_rows
        row = self._elaborate_operand(m, own_rows)
        valid, is_float = self._elaborate_sideband(m)
        self._elaborate_columns(m, row, shadow, valid, is_float, own_rows)
        return m

    def _decoder(self, side: Side) -> OperandDecoder:
        return OperandDecoder(side=side, k_bytes=self.k_bytes, with_fp=self.with_fp)

    def _elaborate_operand(self, m: Module, own_rows: bool) -> wiring.PureInterface:
        """Decode the streamed row into the operand register, as far as it is not in multipliers."""
        m.submodules.row_decoder = decoder = self._decoder(Side.STREAMED)
        m.d.comb += [
            decoder.raw.eq(self.row.data),
            decoder.format.eq(self.row.format),
        ]
        operand = decoder.o.signature.create(path=("operand",))
        lanes = len(operand.lanes) if own_rows else 0
        for number, (target, source) in enumerate(_leaves(operand, decoder.o)):
            if number < lanes:
                m.d.comb += target.eq(source)
                continue
            register = Signal.like(source, name=f"{target.name}_q", reset_less=True)
            m.d.comb += target.eq(register)
            with m.If(self.row_valid):
                m.d.sync += register.eq(source)
        return operand

    def _elaborate_sideband(self, m: Module) -> tuple[list[Signal], list[Signal]]:
        """Valid, kind and tag beside the pipeline; element s belongs to stage s."""
        valid = [self.row_valid]
        is_float = [self.row.format[1] if self.with_fp else Const(0, 1)]
        tag = [self.row.tag]
        told = self.latency - self.lead
        for stage in range(1, self.latency + 1):
            valid.append(Signal(name=f"valid{stage}"))
            m.d.sync += valid[stage].eq(valid[stage - 1])
            if self.with_fp:
                is_float.append(Signal(name=f"is_float{stage}"))
                m.d.sync += is_float[stage].eq(is_float[stage - 1])
            else:
                is_float.append(Const(0, 1))
            if stage <= told:
                tag.append(Signal(self.tag_width, name=f"tag{stage}", reset_less=True))
                m.d.sync += tag[stage].eq(tag[stage - 1])
        m.d.comb += [
            self.result_valid.eq(valid[told]),
            self.is_float.eq(is_float[told]),
            self.tag.eq(tag[told]),
            self.busy.eq(Cat(*valid[1:]).any()),
        ]
        return valid, is_float

    def _elaborate_columns(
        self,
        m: Module,
        row: wiring.PureInterface,
        shadow: HeldShadow,
        valid: list[Signal],
        is_float: list[Signal],
        own_rows: bool,
    ) -> None:
        """Columns, with clocks that run only where there is work."""
        columns = Module()
        swap = self.row_valid & self.row.swap
        for index in range(self.columns):
            column = self._column(own_rows, hard=index >= self.lut_columns)
            columns.submodules[f"column{index}"] = column
            # Wired beside the column: every module boundary above then has one row, not one each.
            columns.d.comb += [
                column.block.eq(shadow.vectors[index]),
                *(target.eq(source) for target, source in _leaves(column.row, row)),
                column.is_float.eq(is_float[-2]),
                self.values[index].eq(column.o),
            ]
            if own_rows:
                columns.d.comb += column.swap.eq(swap)
        # Nothing stalls, so registers of multipliers need no enable, and hard ones hear none.
        always = Const(1, 1)
        enables = {
            "held": swap,
            "multiply": always if own_rows else Cat(*valid[1 : self.latency]).any(),
        }
        if self.with_fp:
            # Float registers stand at the ends of stages 1 to 3; the last stage only rounds.
            float_rows = [v & f for v, f in zip(valid[1:4], is_float[1:4], strict=True)]
            enables["float"] = Cat(*float_rows).any()
        gated: Elaboratable = columns
        for domain, enable in enables.items():
            gated = _gate_domain(gated, domain, enable)
        m.submodules.columns = gated

    def _column(self, own_rows: bool, *, hard: bool) -> EmitOnce:
        """A column; not inlined: the simulator compiles one and calls it for all."""
        own = {"own_row": True, "hard": hard} if own_rows else {}
        kind = ("_dsp" if hard else "_lut") if own_rows else ""
        return EmitOnce(
            DotColumn,
            key=f"dot_column_{self.k_bytes}" + ("" if self.with_fp else "_int") + kind,
            boundary=Boundary.NO_INLINE,
            k_bytes=self.k_bytes,
            with_fp=self.with_fp,
            **own,
        )


def _gate_domain(component: Elaboratable, domain: str, enable: Value) -> Elaboratable:
    """Let `domain` of a component run on the parent's clock in cycles with `enable`."""
    if isinstance(enable, Const):
        return DomainRenamer({domain: "sync"})(component)
    gated = Gated(DomainRenamer({"sync": "base", domain: "sync"})(component), enable=enable)
    return DomainRenamer({"base": "sync"})(gated)


def _leaves(a: wiring.PureInterface, b: wiring.PureInterface) -> list[tuple[Signal, Signal]]:
    """Pairs of corresponding signals of two interfaces of one signature."""
    first = [value for _, _, value in a.signature.flatten(a)]
    second = [value for _, _, value in b.signature.flatten(b)]
    return list(zip(first, second, strict=True))
