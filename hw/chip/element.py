# SPDX-License-Identifier: Apache-2.0
"""An element and the registers that control it."""

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module
from amaranth.lib import wiring

from hw.chip.element_control import ElementControl
from hw.lib.global_net import on_global_net
from hw.pe.pe import ProcessingElement

__all__ = ["ELEMENT_DOMAIN", "elaborate_controlled_element"]

ELEMENT_DOMAIN = "element"
"""Clock domain of the element, for what is to be reset with it."""


def elaborate_controlled_element(m: Module, pe: ProcessingElement, control: ElementControl) -> None:
    """Add `pe` to `m` in a reset of its own, and connect it with its control block.

    The element has a clock domain of its own, alike but for the reset, which comes from the control
    block: at power-on, at the start of a job and after an error. What is around never notices.
    """
    domain = ClockDomain(ELEMENT_DOMAIN, local=True)
    m.domains += domain
    m.submodules.pe = DomainRenamer(domain.name)(pe)
    wiring.connect(m, control.job, pe.start)
    m.d.comb += [
        domain.clk.eq(ClockSignal()),
        domain.rst.eq(on_global_net(m, control.element_reset, name="element_rst")),
        pe.halt_request.eq(control.halt_request),
        pe.limits.eq(control.limits),
        pe.remote_hold.eq(control.remote_hold),
        control.remote_idle.eq(pe.remote_idle),
        pe.debug_select.eq(control.debug_select),
        pe.counter_enable.eq(control.counting),
        pe.snapshot.eq(control.snapshot),
        pe.counter_index.eq(control.counter_index),
        pe.counter_word.eq(control.counter_word),
        control.job_done.eq(pe.job_done),
        control.job_status.eq(pe.status),
        control.trap.eq(pe.trap),
        control.quiet.eq(pe.quiet),
        control.settled.eq(pe.settled),
        control.progress.eq(pe.progress),
        control.debug_data.eq(pe.debug_data),
        control.counter_data.eq(pe.counter_data),
    ]
