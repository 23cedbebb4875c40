# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a word of an operand."""

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import data

from hw.arch.traps import Trap

__all__ = ["fault_layout", "report_fault"]


def fault_layout() -> data.StructLayout:
    """A fault as a trap reports it."""
    return data.StructLayout({"valid": 1, "cause": 8, "tag": 16, "info": 32})


def report_fault(
    m: Module, fault: data.View, word: data.View, used: Value, keep: Value, tag: Value
) -> None:
    """Drive `fault` for a word that is used in this cycle.

    LS_RANGE names the circular buffer, LS_PARITY the byte address of the word.
    """
    note = word.note
    word_log2 = (len(keep) - 1).bit_length()
    m.d.comb += [
        fault.valid.eq(used & (note.outside | (word.error & keep).any())),
        fault.cause.eq(Mux(note.outside, Trap.LS_RANGE, Trap.LS_PARITY)),
        fault.tag.eq(tag),
        fault.info.eq(Mux(note.outside, note.cb, Cat(Const(0, word_log2), note.address))),
    ]
