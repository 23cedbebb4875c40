# SPDX-License-Identifier: Apache-2.0
"""A register between the buffer table and the units: what a grant leads to there is much."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import CbGrant, CbPort

__all__ = ["GrantStage"]


class GrantStage(wiring.Component):
    """Tells the units a cycle later what the table granted.

    Operation
        1. An acquire goes on to the table as it comes. When the table has accepted it, the unit is
           told in the next cycle, by `ready`; meanwhile it is kept from the table.
        2. The table's grant follows a register later, as units expect it: in the cycle after
           `ready`. The table shows one grant to all, so it is kept once.
        3. Dones go straight through.

        The table's `grant.valid` is that of the acquire which it accepted in the cycle before, so
        it says both.

    Timing
        Latency 1 from the table's acceptance and grant to the unit's. No combinational path from
        the table to acquires and grants of the units. At each port one acquire in 2 cycles at most.

    Parameters
    ----------
    n_ports : ports of the table.

    Members
    -------
    ports : In(CbPort()).array(n_ports), the units.
    table : Out(CbPort()).array(n_ports), the same ports of the table.

    Raises: ValueError when there is no port.
    """

    def __init__(self, *, n_ports: int) -> None:
        if n_ports < 1:
            raise ValueError(f"GrantStage n_ports must be at least 1, not {n_ports!r}.")
        super().__init__(
            {
                "ports": In(CbPort()).array(n_ports),
                "table": Out(CbPort()).array(n_ports),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        grant = Signal(CbGrant)
        m.d.sync += grant.eq(self.table[0].grant.payload)
        for unit, table in zip(self.ports, self.table, strict=True):
            accepted = table.grant.valid
            m.d.sync += unit.grant.valid.eq(accepted)
            m.d.comb += [
                table.acquire.valid.eq(unit.acquire.valid & ~accepted),
                table.acquire.payload.eq(unit.acquire.payload),
                unit.acquire.ready.eq(accepted),
                unit.grant.payload.eq(grant),
            ]
            wiring.connect(m, wiring.flipped(unit.done), wiring.flipped(table.done))
        return m
