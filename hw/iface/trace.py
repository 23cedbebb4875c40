# SPDX-License-Identifier: Apache-2.0
"""What an element shows to whoever records its work; nothing in the element depends on it."""

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from hw.arch.units import Unit

__all__ = ["BufferTrace", "TracePort", "UnitTrace"]


class UnitTrace(data.Struct):
    """What a unit is doing this cycle: the same state that the performance counters count."""

    state: unsigned(4)  # hw.arch.units.State
    opcode: unsigned(8)  # 0: none
    tag: unsigned(16)


class BufferTrace(data.Struct):
    """A circular buffer after one of its pointers has moved, in 64-byte units."""

    fill: unsigned(13)  # committed and not yet released
    depth: unsigned(13)
    cb: unsigned(6)


class TracePort(wiring.Signature):
    """State of every unit, and every change of a circular buffer, seen from the element.

    Operation
        `units` has an entry for each code of `hw.arch.units.Unit`; an absent unit is IDLE. `buffer`
        is valid in the cycle after a commit, a release, a reserve, a claim or a CB command.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "units": Out(UnitTrace).array(Unit.CP),
                "buffer": Out(stream.Signature(BufferTrace, always_ready=True)),
            }
        )
