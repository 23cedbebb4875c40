# SPDX-License-Identifier: Apache-2.0
"""Memories of the accumulator banks, and their states."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import BankPort, BankState
from hw.lib.sram import DualPortSram

__all__ = [
    "READERS",
    "WRITERS",
    "AccumulatorBanks",
    "BankStates",
    "banks_signature",
    "word_parity",
]

READERS = ("accumulate", "drain")
WRITERS = ("integer", "floating", "fill")


def word_parity(row: Value) -> Value:
    """One bit per 32-bit word of a row: whether the number of ones is odd."""
    return Cat(row[start : start + 32].xor() for start in range(0, len(row), 32))


def banks_signature(*, banks: int, rows: int, columns: int) -> wiring.Signature:
    """Ports of the accumulator banks.

    Members
    -------
    <reader>_en, <reader>_bank, <reader>_row : In, read.
    <reader>_data : Out(32 * columns), the row that was read.
    <reader>_parity : Out(columns), parity bits that came with it, one for each value.
    <writer>_en, <writer>_bank, <writer>_row, <writer>_data : In, write.
    inject : In(1), inverts the parity of column 0 in what is written in this cycle.
    """
    members: dict[str, Any] = {"inject": In(1)}
    for user in (*READERS, *WRITERS):
        members |= {
            f"{user}_en": In(1),
            f"{user}_bank": In(range(banks)),
            f"{user}_row": In(range(rows)),
            f"{user}_data": (Out if user in READERS else In)(32 * columns),
        }
    return wiring.Signature(members | {f"{user}_parity": Out(columns) for user in READERS})


class AccumulatorBanks(wiring.Component):
    """Banks of rows, each a 1R1W memory, with two readers and three writers.

    Operation: `accumulate` and `drain` each read a row; `integer`, `floating` and `fill` each write
    one. Those that are active in the same cycle use different banks, except that a row is written
    while another row of the bank is read. Each value has a parity bit, made when it is written.

    Timing: a row comes in the cycle after the read; it holds until the next read of its bank by
    either reader. A row written in a cycle is seen by reads from the next cycle on.

    Parameters
    ----------
    banks, rows, columns : sizes.

    Members: see `banks_signature`.

    Resources: banks x rows x columns x 33 bits of 1R1W memory.
    """

    def __init__(self, *, banks: int, rows: int, columns: int) -> None:
        self.banks = banks
        self.rows = rows
        self.columns = columns
        super().__init__(banks_signature(banks=banks, rows=rows, columns=columns))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        parities = {}
        for writer in WRITERS:
            parities[writer] = Signal(self.columns, name=f"{writer}_parity")
            m.d.comb += parities[writer].eq(word_parity(self._of(writer, "data")) ^ self.inject)
        memories = []
        for number in range(self.banks):
            values = DualPortSram(width=32 * self.columns, depth=self.rows)
            check = DualPortSram(width=self.columns, depth=self.rows)
            m.submodules[f"values{number}"], m.submodules[f"check{number}"] = values, check
            memories.append((values, check))
            self._elaborate_bank(m, number, values, check, parities)
        for reader in READERS:
            source = Signal(range(self.banks), name=f"{reader}_source")
            with m.If(self._of(reader, "en")):
                m.d.sync += source.eq(self._of(reader, "bank"))
            m.d.comb += [
                self._of(reader, "data").eq(Array(values.r_data for values, _ in memories)[source]),
                self._of(reader, "parity").eq(Array(check.r_data for _, check in memories)[source]),
            ]
        return m

    def _of(self, user: str, what: str) -> Any:
        return getattr(self, f"{user}_{what}")

    def _elaborate_bank(
        self, m: Module, number: int, values: DualPortSram, check: DualPortSram, parities: Any
    ) -> None:
        """Select reader and writer of one bank."""

        def active(user: str) -> Value:
            return self._of(user, "en") & (self._of(user, "bank") == number)

        for memory in (values, check):
            m.d.comb += [
                memory.r_en.eq(active("accumulate") | active("drain")),
                memory.r_addr.eq(self.accumulate_row),
                memory.w_mask.eq(Cat(active(writer) for writer in WRITERS).any()),
                memory.w_addr.eq(self.integer_row),
            ]
            with m.If(active("drain")):
                m.d.comb += memory.r_addr.eq(self.drain_row)
        m.d.comb += [values.w_data.eq(self.integer_data), check.w_data.eq(parities["integer"])]
        for writer in ("floating", "fill"):
            with m.If(active(writer)):
                m.d.comb += [
                    values.w_addr.eq(self._of(writer, "row")),
                    check.w_addr.eq(self._of(writer, "row")),
                    values.w_data.eq(self._of(writer, "data")),
                    check.w_data.eq(parities[writer]),
                ]


class BankStates(wiring.Component):
    """State of each accumulator bank.

    Operation: `BankPort` tells how visits change states. The other events are strobes with a bank:
    `close` (its last row is in; `done` tells which state follows), `drain` (its first row was
    read), `free` (its last row was read), `fill` and `ready` (its preload begins and ends). Of
    `drain`, `fill` and `ready` there is one at a time.

    Timing: states follow events in the next cycle, and visits, which come late in theirs, 2 cycles
    after.

    Parameters
    ----------
    banks : number of banks.

    Members
    -------
    port : flipped BankPort, the DPE's view.
    close, close_bank, close_done : In, an event.
    drain, free, fill, ready : In(1), events of `bank`.
    bank : In(range(banks)), bank of the command that runs.
    states : Out, as in `port`.
    """

    def __init__(self, *, banks: int) -> None:
        self.banks = banks
        super().__init__(
            {
                "port": In(BankPort(banks=banks)),
                "close": In(1),
                "close_bank": In(range(banks)),
                "close_done": In(1),
                "drain": In(1),
                "free": In(1),
                "free_bank": In(range(banks)),
                "fill": In(1),
                "ready": In(1),
                "bank": In(range(banks)),
                "states": Out(data.ArrayLayout(BankState, banks)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.port.states.eq(self.states)
        follows = Signal(BankState, init=BankState.DRAINING)
        with m.If(self.fill):
            m.d.comb += follows.eq(BankState.FILLING)
        with m.If(self.ready):
            m.d.comb += follows.eq(BankState.READY)
        changes = self.drain | self.fill | self.ready
        visit, visit_last, visit_bank = Signal(), Signal(), Signal.like(self.port.bank)
        m.d.sync += [
            visit.eq(self.port.visit),
            visit_last.eq(self.port.last),
            visit_bank.eq(self.port.bank),
        ]
        for number in range(self.banks):
            state = self.states[number]
            with m.If(visit & (visit_bank == number)):
                with m.If(visit_last):
                    m.d.sync += state.eq(BankState.CLOSING)
                with m.Else():
                    m.d.sync += state.eq(BankState.OPEN)
            with m.If(self.close & (self.close_bank == number)):
                with m.If(self.close_done):
                    m.d.sync += state.eq(BankState.FULL)
                with m.Else():
                    m.d.sync += state.eq(BankState.READY)
            with m.If(changes & (self.bank == number)):
                m.d.sync += state.eq(follows)
            with m.If(self.free & (self.free_bank == number)):
                m.d.sync += state.eq(BankState.FREE)
        return m
