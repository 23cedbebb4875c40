# SPDX-License-Identifier: Apache-2.0
"""What elements and lanes show to whoever records them; nothing in the chip depends on it."""

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from hw.arch.units import Unit

__all__ = ["BufferTrace", "LinkTrace", "SideTrace", "TracePort", "UnitTrace"]


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


class SideTrace(wiring.Signature):
    """What passes at a side, seen from the side.

    Operation
        A bit for each of `SideShape.counters`: what it counts passes in this cycle, or it waits. An
        access of a memory never waits: it is shown when it is taken.

    Parameters
    ----------
    n_counters : int
        Counters of the side.
    """

    def __init__(self, *, n_counters: int) -> None:
        super().__init__({what: Out(n_counters) for what in ("moves", "waits")})


class LinkTrace(wiring.Signature):
    """What passes on the reduction links that leave a row's tiles, seen from the chip.

    Operation
        For each direction, a bit for each column: a row of accumulators passes in this cycle, or it
        waits.

    Parameters
    ----------
    columns : int
        Tiles of the row.
    """

    def __init__(self, *, columns: int) -> None:
        super().__init__(
            {
                f"{way}_{what}": Out(columns)
                for way in ("south", "east")
                for what in ("moves", "waits")
            }
        )
