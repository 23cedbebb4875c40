# SPDX-License-Identifier: Apache-2.0
"""The SIMD engine: from SIMD commands to rows in local memory."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config.tree import SeConfig
from hw.iface.pe import CbPort, UnitControl
from hw.pe.se.sizes import Sizes

__all__ = ["SimdEngine"]


class SimdEngine(wiring.Component):
    """Runs programs over rows of local memory or of the reduction engine (docs/units/simd_engine.md).

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
        super().__init__(
            {
                "control": Out(UnitControl()),
                "cb_a": Out(CbPort()),
                "cb_b": Out(CbPort()),
                "cb_out": Out(CbPort()),
                "ls_a": Out(sizes.read_port).array(2),
                "ls_b": Out(sizes.read_port).array(2),
                "ls_out": Out(sizes.write_port).array(2),
                "rows_in": In(stream.Signature(data.ArrayLayout(32, columns))),
                "event_elements": Out(range(config.drain_lanes + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        return Module()
