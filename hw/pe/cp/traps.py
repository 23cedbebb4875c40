# SPDX-License-Identifier: Apache-2.0
"""Traps: the first error of the element, and the halt that follows it."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.iface.pe import TrapReport
from hw.lib.select import one_of

__all__ = ["ElementTrap", "TrapCollector"]


class ElementTrap(data.Struct):
    """First error of an element: held from the trap until reset."""

    valid: unsigned(1)
    cause: unsigned(8)
    unit: unsigned(8)
    opcode: unsigned(8)
    tag: unsigned(16)
    info: unsigned(32)


class TrapCollector(wiring.Component):
    """Keeps the first error, halts everything, and tells when all has come to rest.

    Operation
        The first report with `valid` is kept, of several in one cycle the one with the lowest
        index. `halt_request` without a report is kept as ABORTED. From then on `halt` is high until
        reset, `units_halt` after it, and then `quiet` once all of `idle` is high.

    Timing
        `trap` and `halt` follow a report in the next cycle, `units_halt` in the one behind that,
        `quiet` follows `idle` in the next.

    Parameters
    ----------
    n_reports : places that report errors.
    n_idle : places that come to rest.

    Members
    -------
    reports : In(TrapReport).array(n_reports), errors, as a pulse or held.
    units : In(4).array(n_reports), unit that each report is about.
    halt_request : In(1), abort.
    idle : In(n_idle), who is at rest.
    trap : Out(ElementTrap), the first error.
    halt : Out(1), start nothing more. units_halt : Out(1), stop; far away, so that it has a cycle
        for the way.
    quiet : Out(1), halted and at rest.
    """

    def __init__(self, *, n_reports: int, n_idle: int) -> None:
        self.n_reports = n_reports
        self.n_idle = n_idle
        super().__init__(
            {
                "reports": In(TrapReport).array(n_reports),
                "units": In(4).array(n_reports),
                "halt_request": In(1),
                "idle": In(n_idle),
                "trap": Out(ElementTrap),
                "halt": Out(1),
                "units_halt": Out(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        first = Signal(ElementTrap)
        with m.If(self.halt_request):
            m.d.comb += [first.valid.eq(1), first.cause.eq(Trap.ABORTED), first.unit.eq(Unit.CP)]
        valid = Cat(report.valid for report in self.reports)
        lowest = valid & (~valid + 1)[: self.n_reports]
        with m.If(valid.any()):
            m.d.comb += [
                first.valid.eq(1),
                first.unit.eq(one_of(list(self.units), lowest)),
                *(
                    first[name].eq(one_of([report[name] for report in self.reports], lowest))
                    for name in ("cause", "opcode", "tag", "info")
                ),
            ]
        with m.If(first.valid & ~self.trap.valid):
            m.d.sync += self.trap.eq(first)
        m.d.comb += self.halt.eq(self.trap.valid)
        m.d.sync += [
            self.units_halt.eq(self.halt),
            # Not before: what was started along with `halt` is seen in `idle` by then.
            self.quiet.eq(self.units_halt & self.idle.all()),
        ]
        return m
