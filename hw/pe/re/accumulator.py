# SPDX-License-Identifier: Apache-2.0
"""The way of a row from the dot-product engine into its accumulator bank."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import bank_row_layout, row_lead
from hw.lib.chosen_sum import ChosenSum
from hw.lib.clock_gate import Gated
from hw.pe.re.float_lanes import FLOAT_LATENCY, FloatLanes
from hw.pe.re.parity_check import ParityCheck

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """Adds rows to accumulator banks: read, add, write.

    Operation: a row with `overwrite` is written as it is, of either format; another one is added to
    the row in the bank. Its values come `row_lead` cycles after the rest of it, when what is in the
    bank has been read. A row of a bank may follow a row of the same number after `latency` cycles
    at the earliest. Rows of a bank between its opening and its closing are of one format.

    Timing: a row per cycle, always. `latency` cycles from a row to the first cycle in which a read
    sees its sum, and in which the bank's state shows that it was closed. Without floating point
    what was read comes through a register, since block RAM is slow. The floating-point adders
    have a clock that runs only while they have something to add.

    Numerics: INT32 wraps; FP32 as `Fp32Adder`, acc + partial.

    Parameters
    ----------
    banks, rows, columns : sizes.
    with_fp : whether there are floating-point adders; rows must be integers else.

    Members
    -------
    i : In(valid-only stream of bank_row_layout), rows; values are those of `row_lead` cycles ago.
    read_*, integer_*, floating_* : Out, to `AccumulatorBanks`.
    old, parity : In, what it read, and the parity bits of its values. Without floating point: as
        `AccumulatorCopies`, so zeros where nothing was read.
    fill_ready : Out(1), fill_data : In, in a cycle with `fill_ready`, so without `integer_en`,
        `integer_data` is `fill_data`; only without floating point, where one adder serves both.
    close, close_bank, close_done : Out, to `BankStates`.
    busy : Out(1), rows are on their way, so the clock must run.
    fault, fault_bank, fault_row : Out, a value that was added to had wrong parity; a cycle
        after the row's values came.
    """

    def __init__(self, *, banks: int, rows: int, columns: int, with_fp: bool) -> None:
        self.banks = banks
        self.rows = rows
        self.columns = columns
        self.with_fp = with_fp
        members: dict[str, Any] = {
            "i": In(stream.Signature(bank_row_layout(columns, banks, rows), always_ready=True)),
            "old": In(32 * columns),
            "parity": In(columns),
            "close": Out(1),
            "close_bank": Out(range(banks)),
            "close_done": Out(1),
            "busy": Out(1),
            "fault": Out(1),
            "fault_bank": Out(range(banks)),
            "fault_row": Out(range(rows)),
        }
        if not with_fp:
            members |= {"fill_ready": Out(1, init=1), "fill_data": In(32 * columns)}
        for user in ("read", "integer", "floating"):
            members |= {
                f"{user}_en": Out(1),
                f"{user}_bank": Out(range(banks)),
                f"{user}_row": Out(range(rows)),
            }
        members |= {f"{user}_data": Out(32 * columns) for user in ("integer", "floating")}
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles from a row to the first read that sees the sum."""
        return 1 + row_lead(self.with_fp) + (FLOAT_LATENCY if self.with_fp else 0)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        row = self.i.payload
        place = Cat(row.bank, row.row, row.overwrite, row.is_float, row.close, row.done)
        m.d.comb += [
            self.read_en.eq(self.i.valid & ~row.overwrite),
            self.read_bank.eq(row.bank),
            self.read_row.eq(row.row),
        ]
        stages = [(self.i.valid, place)]
        for stage in range(1, 1 + row_lead(self.with_fp)):
            valid, following = Signal(name=f"valid{stage}"), Signal.like(place, name=f"row{stage}")
            m.d.sync += [valid.eq(stages[-1][0]), following.eq(stages[-1][1])]
            stages.append((valid, following))
        self._elaborate_sum(m, stages)
        return m

    def _elaborate_sum(self, m: Module, stages: list[tuple[Any, Any]]) -> None:
        """When the values come: integers and first rows are added and written at once."""
        valid, place = stages[-1]
        bank, row, overwrite, is_float, close, done = self._fields(place)
        partial = self.i.payload.values.as_value()
        adds = Signal()
        m.d.comb += [
            adds.eq(valid & ~overwrite),
            self.integer_en.eq(valid & (overwrite | ~is_float) if self.with_fp else valid),
            self.integer_bank.eq(bank),
            self.integer_row.eq(row),
        ]
        self._elaborate_integers(m, partial, valid, overwrite)
        closing = Cat(valid & close, bank, done)
        busy = [valid for valid, _ in stages[1:]]
        busy.insert(0, self._elaborate_check(m, *stages[-1]))
        if not self.with_fp:
            # The opposite of `valid`, but not behind it.
            m.d.sync += self.fill_ready.eq(~stages[-2][0])
        if self.with_fp:
            self._elaborate_floating(m, adds & is_float, Cat(bank, row), partial)
            for stage in range(FLOAT_LATENCY):
                delayed = Signal(len(closing), name=f"closing{stage}")
                under_way = Signal(name=f"under_way{stage}")
                m.d.sync += [delayed.eq(closing), under_way.eq(busy[-1])]
                closing = delayed
                busy.append(under_way)
        m.d.comb += self.busy.eq(Cat(busy).any())
        m.d.comb += Cat(self.close, self.close_bank, self.close_done).eq(closing)

    def _elaborate_integers(self, m: Module, partial: Any, valid: Any, overwrite: Any) -> None:
        """The sums; where nothing was read the memory without floating point gives zeros."""
        for column in range(self.columns):
            word = slice(32 * column, 32 * column + 32)
            total = self.integer_data[word]
            if self.with_fp:
                kept = self.old[word] & ~overwrite.replicate(32)
                m.d.comb += total.eq(partial[word] + kept)
                continue
            m.submodules[f"sum{column}"] = adder = ChosenSum(width=32)
            m.d.comb += [
                adder.a.eq(self.old[word]),
                adder.b.eq(partial[word]),
                adder.other.eq(self.fill_data[word]),
                adder.choose.eq(~valid),
                total.eq(adder.o),
            ]

    def _elaborate_check(self, m: Module, valid: Any, place: Any) -> Signal:
        """Check what was read; returns whether that is under way."""
        bank, row, overwrite, *_ = self._fields(place)
        m.submodules.check = check = ParityCheck(
            columns=self.columns, place_width=len(bank) + len(row), late=not self.with_fp
        )
        checking = Signal()
        m.d.sync += checking.eq(valid)
        m.d.comb += [
            check.row.eq(self.old),
            check.parity.eq(self.parity),
            check.check.eq(valid & ~overwrite),
            check.place.eq(Cat(bank, row)),
            self.fault.eq(check.fault),
            Cat(self.fault_bank, self.fault_row).eq(check.fault_place),
        ]
        return checking

    def _fields(self, place: Any) -> list[Any]:
        """Bank, row, overwrite, is_float, close and done of a row."""
        row = self.i.payload
        widths = [len(row.bank), len(row.row), 1, 1, 1, 1]
        starts = [sum(widths[:number]) for number in range(len(widths))]
        return [place[low : low + width] for low, width in zip(starts, widths, strict=True)]

    def _elaborate_floating(self, m: Module, enters: Any, place: Any, partial: Any) -> None:
        """The adders, and where their sums go."""
        adding = [enters]  # element k: a row is at clock edge k of the adders
        for stage in range(1, FLOAT_LATENCY + 1):
            valid = Signal(name=f"adding{stage}")
            following = Signal(len(place), name=f"place{stage}", reset_less=True)
            m.d.sync += [valid.eq(adding[-1]), following.eq(place)]
            adding.append(valid)
            place = following
        lanes = FloatLanes(columns=self.columns)
        m.submodules.float_lanes = Gated(lanes, enable=Cat(adding[:-1]).any())
        m.d.comb += [
            lanes.a.eq(self.old),
            lanes.b.eq(partial),
            self.floating_data.eq(lanes.o),
            self.floating_en.eq(adding[-1]),
            Cat(self.floating_bank, self.floating_row).eq(place),
        ]
