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
_EQUIVALENT: dict[str, dict[str, str]] = {"ls": _PERMUTED, "sram_slice": _PERMUTED}
"""Unit, then expression, to reason."""


def reason_why_equivalent(unit: str, mutant: str) -> str:
    """Why this mutant of `unit` changes nothing, or nothing."""
    for expression, reason in _EQUIVALENT.get(unit, {}).items():
        if re.search(expression, mutant):
            return reason
    return ""
