# SPDX-License-Identifier: Apache-2.0
"""Fields of commands whose values are codes, and what the codes are called."""

import enum

from hw.arch.formats import Format
from hw.arch.opcodes import (
    Addend,
    BMode,
    Destination,
    Factor,
    Function,
    LayoutOp,
    LayoutTarget,
    Opcode,
    Post,
    Pre,
    Reduce,
    ScatterMode,
    SimdOut,
    SimdSource,
    Source,
)

__all__ = ["FIELD_CODES"]

FIELD_CODES: dict[Opcode, dict[str, type[enum.IntEnum]]] = {
    Opcode.MML: {"a_format": Format, "b_format": Format},
    Opcode.DRAIN: {"format": Format, "destination": Destination, "source": Source},
    Opcode.SE_PROGRAM: {
        "a_format": Format,
        "b_format": Format,
        "out_format": Format,
        "b_mode": BMode,
        "pre": Pre,
        "factor": Factor,
        "addend": Addend,
        "function": Function,
        "reduce": Reduce,
        "post": Post,
        "out": SimdOut,
        "stat_function": Function,
    },
    Opcode.SIMD: {"source": SimdSource},
    Opcode.LAYOUT: {"operation": LayoutOp, "target": LayoutTarget},
    Opcode.SCATTER: {"mode": ScatterMode, "format": Format},
}
"""Field to the names of its codes, for each opcode that has such fields."""
