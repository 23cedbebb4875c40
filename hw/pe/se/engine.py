# SPDX-License-Identifier: Apache-2.0
"""The SIMD engine: from SIMD commands to rows in local memory."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config.element import SeConfig
from hw.iface.pe import CbPort, UnitControl
from hw.lib.clock_gate import Gated
from hw.pe.se.core import Core
from hw.pe.se.sizes import Sizes

__all__ = ["SimdEngine"]


class SimdEngine(wiring.Component):
    """Runs programs over rows of local memory or of the reduction engine.

    Operation: (1) SE_PROGRAM fills a slot. (2) SIMD reads the operands of its rows beat by beat,
    takes rows of the reduction engine, or both, and sends beats through the FP32 lanes
    (`FloatPath`) or the integer drain path. (3) Finished beats are written; a command is complete
    when they are in local memory and the CB table knows of all steps. Commands run one at a time.
    (4) The first error traps: LS_RANGE (info: the circular buffer), LS_PARITY of a byte in use
    (info: byte address of the word), ILLEGAL_FIELD (info: bit of the field). After a trap, and
    under `halt`, no read, beat or write starts any more; rows of the reduction engine are dropped.

    Timing: a beat per cycle; docs/units/simd_engine.md has the formulas. With nothing to do the
    engine has no clock.

    Numerics: docs/units/simd_engine.md.

    Parameters
    ----------
    config : lanes and buffers.
    columns : values of a row of the reduction engine.
    address_width : bits of a word address in local memory.
    word_bytes : bytes of a word.

    Members
    -------
    control : Out(UnitControl).
    cb_a, cb_b, cb_out : Out(CbPort), circular buffers of the operands.
    ls_a, ls_b : Out(LsReadPort).array(2).
    ls_out : Out(LsWritePort).array(2).
    rows_in : In(stream of ArrayLayout(32, columns)), rows of the reduction engine.
    event_elements : Out(range), elements that went through in this cycle.

    Raises: see `Sizes`.
    """

    def __init__(
        self, *, config: SeConfig, columns: int, address_width: int, word_bytes: int
    ) -> None:
        self.sizes = sizes = Sizes(
            config=config, columns=columns, address_width=address_width, word_bytes=word_bytes
        )
        members = {
            "control": Out(UnitControl()),
            "cb_a": Out(CbPort()),
            "cb_b": Out(CbPort()),
            "cb_out": Out(CbPort()),
            "ls_a": Out(sizes.read_port).array(2),
            "ls_b": Out(sizes.read_port).array(2),
            "ls_out": Out(sizes.write_port).array(2),
            "rows_in": In(stream.Signature(data.ArrayLayout(32, columns))),
            "event_elements": Out(range(sizes.held_lanes + 1)),
        }
        self.core = Core(sizes=sizes, members=members)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core = self.core
        m.submodules.core = Gated(core, enable=self.control.command.valid | core.awake, rests=True)
        for name, member in self.signature.members.items():
            outer, inner = getattr(self, name), getattr(core, name)
            if member.is_port:
                m.d.comb += outer.eq(inner)
            elif member.dimensions:
                for one, other in zip(outer, inner, strict=True):
                    wiring.connect(m, wiring.flipped(one), other)
            else:
                wiring.connect(m, wiring.flipped(outer), inner)
        return m
