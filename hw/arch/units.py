# SPDX-License-Identifier: Apache-2.0
"""Units of the processing element: command queues, CB ports, states that triage and counters
report."""

import enum
from collections.abc import Mapping

from hw.arch.commands import Opcode

__all__ = ["UNITS_OF_OPCODE", "CbPortId", "State", "Unit", "unit_of"]


class Unit(enum.IntEnum):
    """A unit with a command queue of its own; the value is its bit in FENCE masks and its code in
    errors."""

    FI_IN_ROW = 0
    """Fabric interface, reads landing from the row lane."""
    FI_IN_COL = 1
    """Fabric interface, reads landing from the column lane."""
    FI_OUT = 2
    """Fabric interface, writes."""
    MLU = 3
    """Memory layout unit."""
    DPE = 4
    """Dot-product engine."""
    RE = 5
    """Reduction engine: drains and preloads of accumulator banks."""
    SE = 6
    """SIMD engine."""
    CP = 7
    """Command processor itself: never a queue, only a code in errors."""


UNITS_OF_OPCODE: dict[Opcode, tuple[Unit, ...]] = {
    Opcode.DMA_IN: (Unit.FI_IN_ROW, Unit.FI_IN_COL),
    Opcode.DMA_OUT: (Unit.FI_OUT,),
    Opcode.MML: (Unit.DPE,),
    Opcode.DRAIN: (Unit.RE,),
    Opcode.PRELOAD: (Unit.RE,),
    Opcode.SE_PROGRAM: (Unit.SE,),
    Opcode.SIMD: (Unit.SE,),
    Opcode.LAYOUT: (Unit.MLU,),
    Opcode.GATHER: (Unit.FI_IN_ROW,),
    Opcode.SCATTER: (Unit.FI_OUT,),
}
"""Units that run a long command; DMA_IN has one for each value of its `column` bit."""


def unit_of(opcode: int, fields: Mapping[str, int]) -> Unit | None:
    """Unit that runs a decoded command; None for a short one."""
    units = UNITS_OF_OPCODE.get(Opcode(opcode))
    if units is None:
        return None
    return units[fields["column"] if len(units) > 1 else 0]


class CbPortId(enum.IntEnum):
    """Ports into the command processor's circular-buffer table, in order of priority ties."""

    FI_IN_ROW = 0
    FI_IN_COL = 1
    FI_OUT = 2
    DPE_A = 3
    DPE_B = 4
    RE_IN = 5
    RE_OUT = 6
    MLU_IN = 7
    MLU_OUT = 8
    SE_A = 9
    SE_B = 10
    SE_OUT = 11
    FI_IN_INDEX = 12
    """Index lists of GATHER."""
    FI_OUT_INDEX = 13
    """Index lists of SCATTER."""


class State(enum.IntEnum):
    """What a unit is doing this cycle; BUSY does useful work, WAIT_* is a stall with its cause."""

    IDLE = 0
    BUSY = 1
    WAIT_CB_DATA = 2
    """A consumer waits until enough of its input CB is committed."""
    WAIT_CB_ROOM = 3
    """A producer waits until its output CB has room."""
    WAIT_BANK = 4
    """An accumulator bank is not in the state that the step needs."""
    WAIT_LS = 5
    """Local memory granted another port."""
    WAIT_MEMORY = 6
    """The fabric has not accepted a request or not yet answered."""
    WAIT_TAGS = 7
    """All reads or writes in flight that the configuration allows are out."""
    WAIT_HELD = 8
    """The dot-product engine waits for its held block to load."""
    WAIT_NEIGHBOUR = 9
    """A reduction link has no row, or does not take one."""
    HALTED = 10
    """Stopped by a trap or an abort."""
