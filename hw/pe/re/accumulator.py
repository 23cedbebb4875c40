# SPDX-License-Identifier: Apache-2.0
"""The way of a row from the dot-product engine into its accumulator bank."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import bank_row_layout
from hw.lib.clock_gate import Gated
from hw.pe.re.float_lanes import FLOAT_LATENCY, FloatLanes

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """Adds rows to accumulator banks: read, add, write.

    Operation: a row with `overwrite` is written as it is, of either format; another one is added to
    the row in the bank. A row of a bank may follow a row of the same number after `latency` cycles
    at the earliest. Rows of a bank between its opening and its closing are of one format.

    Timing: a row per cycle, always. `latency` cycles from a row to the first cycle in which a read
    sees its sum, and in which the bank's state shows that it was closed. The floating-point adders
    have a clock that runs only while they have something to add.

    Numerics: INT32 wraps; FP32 as `Fp32Adder`, acc + partial.

    Parameters
    ----------
    banks, rows, columns : sizes.
    with_fp : whether there are floating-point adders; rows must be integers else.

    Members
    -------
    i : In(valid-only stream of bank_row_layout), rows.
    read_*, integer_*, floating_* : Out, to `AccumulatorBanks`.
    old, wrong : In, what it read, and columns with wrong parity.
    close, close_bank, close_done : Out, to `BankStates`.
    busy : Out(1), rows are on their way, so the clock must run.
    fault, fault_bank, fault_row : Out, a value that was added to had wrong parity.
    """

    def __init__(self, *, banks: int, rows: int, columns: int, with_fp: bool) -> None:
        self.banks = banks
        self.rows = rows
        self.columns = columns
        self.with_fp = with_fp
        members: dict[str, Any] = {
            "i": In(stream.Signature(bank_row_layout(columns, banks, rows), always_ready=True)),
            "old": In(32 * columns),
            "wrong": In(columns),
            "close": Out(1),
            "close_bank": Out(range(banks)),
            "close_done": Out(1),
            "busy": Out(1),
            "fault": Out(1),
            "fault_bank": Out(range(banks)),
            "fault_row": Out(range(rows)),
        }
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
        return 2 + FLOAT_LATENCY if self.with_fp else 2

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Stage 0: read the bank.
        row = self.i.payload
        m.d.comb += [
            self.read_en.eq(self.i.valid & ~row.overwrite),
            self.read_bank.eq(row.bank),
            self.read_row.eq(row.row),
        ]
        # Stage 1: integers and first rows are added and written at once.
        s1 = Signal(row.shape(), reset_less=True)
        s1_valid = Signal()
        m.d.sync += s1_valid.eq(self.i.valid)
        with m.If(self.i.valid):
            m.d.sync += s1.eq(row)
        partial = s1.values.as_value()
        sums = []
        for start in range(0, 32 * self.columns, 32):
            value, old = partial[start : start + 32], self.old[start : start + 32]
            sums.append((value + Mux(s1.overwrite, 0, old))[:32])
        m.d.comb += [
            self.integer_en.eq(s1_valid & (s1.overwrite | ~s1.is_float)),
            self.integer_bank.eq(s1.bank),
            self.integer_row.eq(s1.row),
            self.integer_data.eq(Cat(sums)),
            self.fault.eq(s1_valid & ~s1.overwrite & self.wrong.any()),
            self.fault_bank.eq(s1.bank),
            self.fault_row.eq(s1.row),
        ]
        # Stages 2 and later: floating-point sums, and the news that a bank is closed.
        closing = Cat(s1_valid & s1.close, s1.bank, s1.done)
        busy = [s1_valid]
        if self.with_fp:
            self._elaborate_floating(m, s1_valid, s1, partial)
            for stage in range(2, 2 + FLOAT_LATENCY):
                delayed = Signal(len(closing), name=f"closing{stage}")
                valid = Signal(name=f"valid{stage}")
                m.d.sync += [delayed.eq(closing), valid.eq(busy[-1])]
                closing = delayed
                busy.append(valid)
        m.d.comb += self.busy.eq(Cat(busy).any())
        m.d.comb += Cat(self.close, self.close_bank, self.close_done).eq(closing)
        return m

    def _elaborate_floating(self, m: Module, s1_valid: Any, s1: Any, partial: Any) -> None:
        """The adders, and where their sums go."""
        enters = Signal()
        adding = [enters]  # element k: a row is at clock edge k of the adders
        place = Cat(s1.bank, s1.row)
        for stage in range(1, FLOAT_LATENCY + 1):
            valid = Signal(name=f"adding{stage}")
            following = Signal(len(place), name=f"place{stage}", reset_less=True)
            m.d.sync += [valid.eq(adding[-1]), following.eq(place)]
            adding.append(valid)
            place = following
        lanes = FloatLanes(columns=self.columns)
        m.submodules.float_lanes = Gated(lanes, enable=Cat(adding[:-1]).any())
        m.d.comb += [
            enters.eq(s1_valid & s1.is_float & ~s1.overwrite),
            lanes.a.eq(self.old),
            lanes.b.eq(partial),
            self.floating_data.eq(lanes.o),
            self.floating_en.eq(adding[-1]),
            Cat(self.floating_bank, self.floating_row).eq(place),
        ]
