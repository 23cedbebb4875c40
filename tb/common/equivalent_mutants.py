# SPDX-License-Identifier: Apache-2.0
"""Mutants that change nothing a user of the unit can see, each with its proof.

`scripts/mutate.py` takes them out of the count. An entry names the unit and a regular expression
over Yosys's description of the mutant, without the numbers that Yosys makes up; so it holds for
every choice of mutants, and for both directions of a mutant only where the proof covers them.
"""

import re

__all__ = ["reason_why_equivalent"]

_PERMUTED = {
    r"-mode (inv|cnot0|cnot1) -module \S+ -cell macro -port addr ": (
        "A macro with one port, for reads and writes, and a power of two of rows: another order of "
        "the rows shows nowhere, since none has contents before its first write."
    )
}
_DEPTH = {
    r"-mode (cnot1|const0) .*-port grant__payload .*-ctrlbit 2[3-5] ": (
        "Bits 23 to 25 are those of a buffer's depth from 1,024 units on; the bench's local memory "
        "has 256, and a CB command that does not fit is refused."
    )
}
_DPE_B = {
    r"-mode const0 -module \S+reader_b.generator .*-wire wrapped -wirebit 12": (
        "A granted buffer lies in local memory, so an address beyond it belongs to an offset "
        "outside of its buffer, which another term of `outside` reports."
    ),
    r"-mode cnot1 -module \S+reader_b.generator.inner.sum .*-ctrlbit 15 -wire offset ": (
        "An offset with bit 15 is negative or beyond any buffer, whatever its lower bits are; that "
        "traps at once, so no later offset follows from it."
    ),
    r"-mode const0 -module \S+reader_b.generator .*-wire nest -wirebit ([4-9]|1[0-5])$": (
        "Bits of the innermost count, which is always `columns` (8) for the held operand."
    ),
    r"-mode cnot1 -module \S+columns .*-portbit (1[89]|2[0-7]) -ctrlbit 3[01] -wire vectors__": (
        "An exponent bit of an element while its flag of infinity or NaN is set: the column's sum "
        "is then infinite or NaN whatever the exponents are."
    ),
}
_RE_ROWS = {
    r"-mode cnot1 -module \S+sequencer\S+walk .*-ctrlbit ([4-9]|1[0-5]) -wire following0 ": (
        "The innermost count is rows of a bank, at most 8 here; more are refused as illegal."
    )
}
_LAYOUT = {
    r"-module \S+runs.source .*-wire in_tail ": (
        "Only `tail_adv` of a nest looks at it there, and LAYOUT has none."
    ),
    r"-module \S+_steps.fifo -cell mem -port WR_DATA -portbit (19|2[01]) ": (
        "Bits 13 to 15 of an advance, of which LAYOUT's field has 13."
    ),
}
_EQUIVALENT: dict[str, dict[str, str]] = {
    "ls": _PERMUTED,
    "sram_slice": _PERMUTED,
    "se": _DEPTH,
    "dpe": _DPE_B,
    "mlu": _LAYOUT,
    "re": _RE_ROWS,
}
"""Unit, then expression, to reason."""


def reason_why_equivalent(unit: str, mutant: str) -> str:
    """Why this mutant of `unit` changes nothing, or nothing."""
    for expression, reason in _EQUIVALENT.get(unit, {}).items():
        if re.search(expression, mutant):
            return reason
    return ""
