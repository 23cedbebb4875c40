# SPDX-License-Identifier: Apache-2.0
"""The memories of the accumulator banks where no row is written late: a copy for each reader."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.registered_sram import RegisteredSram
from hw.lib.sram import DualPortSram

__all__ = ["AccumulatorCopies"]

_PART_BITS = 8
"""Bits of a value whose parity is taken in the cycle in which it is written."""


class AccumulatorCopies(wiring.Component):
    """All banks in one 1R1W memory for each of two readers, both written alike.

    Operation: `accumulate` reads a row in every cycle, zeros without `accumulate_en`. `drain` reads
    one with `drain_en`, zeros with `drain_zero`; with `row_register` what it read goes to
    `drain_data` with `drain_take`. A write changes the values of `write_mask`. So nothing has to be
    selected by bank, and the memories are as deep as block RAM wants them.

    Each value has a parity bit, in memories that do everything a cycle later than those of the
    values: between a sum and its parity there is a register.

    Timing: `accumulate_data` 2 cycles after the read. `drain_data` a cycle after the read, or after
    `drain_take`, which may come a cycle after the read. Parity bits come a cycle after their row.
    A row written in a cycle is seen by reads from the next cycle on.

    Parameters
    ----------
    banks, rows, columns : sizes.
    lane : columns that a write changes together; all bits of `write_mask` of a lane are alike.
    row_register : whether `drain_data` is the memory's output register.

    Members
    -------
    <reader>_en, <reader>_bank, <reader>_row : In, read; `accumulate` and `drain`.
    drain_zero, drain_take : In(1).
    <reader>_data : Out(32 * columns), <reader>_parity : Out(columns), what was read.
    write_en, write_bank, write_row, write_data : In, write.
    write_mask : In(columns), values to write.
    inject : In(1), inverts the parity of column 0 in what is written in this cycle.

    Resources: 2 x banks x rows x columns x 33 bits of 1R1W memory.
    """

    def __init__(
        self, *, banks: int, rows: int, columns: int, lane: int, row_register: bool
    ) -> None:
        self.n_rows = banks * rows
        self.columns = columns
        self.lane = lane
        self.row_register = row_register
        members: dict[str, Any] = {"inject": In(1), "drain_zero": In(1), "drain_take": In(1)}
        for user in ("accumulate", "drain", "write"):
            members |= {
                f"{user}_en": In(1),
                f"{user}_bank": In(range(banks)),
                f"{user}_row": In(range(rows)),
                f"{user}_data": (In if user == "write" else Out)(32 * columns),
            }
        members |= {f"{user}_parity": Out(columns) for user in ("accumulate", "drain")}
        super().__init__(members | {"write_mask": In(columns)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        mask = Signal(self.columns)
        m.d.comb += mask.eq(self.write_mask & self.write_en.replicate(self.columns))
        write = [mask, self._address("write"), self.write_data]
        reads = {
            "accumulate": [1, ~self.accumulate_en, self._address("accumulate"), 1],
            "drain": [self.drain_en, self.drain_zero, self._address("drain"), self.drain_take],
        }
        # The same a cycle later.
        lanes = Cat(mask[column] for column in range(0, self.columns, self.lane))
        late_write = [*self._late(m, [lanes, write[1]]), self._elaborate_parity(m)]
        for reader, read in reads.items():
            registered = reader == "accumulate" or self.row_register
            values, check = (
                self._memory(*sizes, registered) for sizes in ((32, 1), (1, self.lane))
            )
            m.submodules[reader], m.submodules[f"{reader}_check"] = values, check
            _connect(m, values, read, write)
            _connect(m, check, self._late(m, read), late_write)
            m.d.comb += [
                getattr(self, f"{reader}_data").eq(values.r_data),
                getattr(self, f"{reader}_parity").eq(check.r_data),
            ]
        return m

    def _address(self, user: str) -> Value:
        return Cat(getattr(self, f"{user}_row"), getattr(self, f"{user}_bank"))

    def _memory(self, bits: int, n_values: int, registered: bool) -> RegisteredSram | DualPortSram:
        """Of so many bits of each value; so many values are written together."""
        sizes = {
            "width": bits * self.columns,
            "depth": self.n_rows,
            "lane_width": bits * n_values,
        }
        return RegisteredSram(**sizes) if registered else DualPortSram(**sizes, keeps_old=False)

    def _late(self, m: Module, values: list[Any]) -> list[Any]:
        """Each of them a cycle later; constants as they are."""
        late = []
        for value in values:
            if isinstance(value, int):
                late.append(value)
                continue
            register = Signal(len(value), name="late")
            m.d.sync += register.eq(value)
            late.append(register)
        return late

    def _elaborate_parity(self, m: Module) -> Signal:
        """Parity bits of what was written in the cycle before."""
        parity, inject = Signal(self.columns), Signal()
        m.d.sync += inject.eq(self.inject)
        for column in range(self.columns):
            value = self.write_data[32 * column : 32 * column + 32]
            starts = range(0, 32, _PART_BITS)
            parts = Signal(len(starts), name=f"parts{column}", reset_less=True)
            m.d.sync += parts.eq(Cat(value[low : low + _PART_BITS].xor() for low in starts))
            m.d.comb += parity[column].eq(parts.xor() ^ (inject if column == 0 else 0))
        return parity


def _connect(m: Module, memory: Any, read: list[Any], write: list[Any]) -> None:
    """Connect what goes into a memory."""
    en, zero, address, take = read
    m.d.comb += [memory.r_en.eq(en), memory.r_addr.eq(address)]
    if isinstance(memory, RegisteredSram):
        m.d.comb += [memory.r_zero.eq(zero), memory.o_en.eq(take)]
    for port, value in zip((memory.w_mask, memory.w_addr, memory.w_data), write, strict=True):
        m.d.comb += port.eq(value)
