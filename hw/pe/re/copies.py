# SPDX-License-Identifier: Apache-2.0
"""Memories of the accumulator banks where no row is written late: a copy for each reader."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring

from hw.lib.sram import DualPortSram
from hw.pe.re.banks import READERS, banks_signature, word_parity

__all__ = ["AccumulatorCopies"]


class AccumulatorCopies(wiring.Component):
    """All banks in one 1R1W memory for each of two readers, both written alike.

    Operation: as `AccumulatorBanks`, but `integer` and `fill` must not write in the same cycle, and
    `floating` never writes. So nothing has to be selected by bank, and the memories are as deep as
    block RAM wants them.

    Timing: as `AccumulatorBanks`.

    Parameters
    ----------
    banks, rows, columns : sizes.

    Members: see `banks_signature`.

    Resources: 2 x banks x rows x columns x 33 bits of 1R1W memory.
    """

    def __init__(self, *, banks: int, rows: int, columns: int) -> None:
        self.n_rows = banks * rows
        self.columns = columns
        super().__init__(banks_signature(banks=banks, rows=rows, columns=columns))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        fills = self.fill_en
        row = Signal(32 * self.columns)
        m.d.comb += row.eq(Mux(fills, self.fill_data, self.integer_data))
        for reader in READERS:
            memory = DualPortSram(width=33 * self.columns, depth=self.n_rows, keeps_old=False)
            m.submodules[reader] = memory
            found = memory.r_data[: 32 * self.columns]
            m.d.comb += [
                memory.w_mask.eq(self.integer_en | fills),
                memory.w_addr.eq(
                    Mux(
                        fills,
                        Cat(self.fill_row, self.fill_bank),
                        Cat(self.integer_row, self.integer_bank),
                    )
                ),
                memory.w_data.eq(Cat(row, word_parity(row) ^ self.inject)),
                memory.r_en.eq(getattr(self, f"{reader}_en")),
                memory.r_addr.eq(
                    Cat(getattr(self, f"{reader}_row"), getattr(self, f"{reader}_bank"))
                ),
                getattr(self, f"{reader}_data").eq(found),
                getattr(self, f"{reader}_parity").eq(memory.r_data[32 * self.columns :]),
            ]
        return m
