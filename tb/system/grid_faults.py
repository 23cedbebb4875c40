# SPDX-License-Identifier: Apache-2.0
"""What a job can do wrong, and bits of the SRAM that turn over."""

import dataclasses
import random
from collections.abc import Mapping

from hw.arch.commands import COMMANDS, LayoutOp, Opcode, encode
from hw.arch.traps import Trap
from sw.runtime.grid import Grid
from tb.system.grid_bench import commands

__all__ = ["MISTAKES", "Mistake", "flip_bits"]

TAG = 9
_CB = (Opcode.CB, {"cb": 3, "base": 0, "depth": 4})
_IN = {"cb": 3, "count0": 8, "stride0": 8, "step_level": 1, "need": 1, "tag": TAG}
_NOWHERE = 0x5000_0000


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A command list that traps, and what is to be said of it."""

    cause: Trap
    words: str
    """The sentence, without the element's place."""
    data: bytes
    registers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Of the element, for this job alone."""


def _dma(opcode: Opcode, **changes: int) -> bytes:
    return commands(_CB, (opcode, {**_IN, **changes}))


_UNKNOWN = next(code for code in range(0x30, 0x40) if code not in COMMANDS)
_NEVER_SET_UP = "the circular buffer was never set up with a CB command (CB 5)."
_ADVANCES = {**_IN, "adv_level": 1, "adv": 1}
_LIST = (Opcode.CB, {"cb": 4, "base": 8, "depth": 1})
_LISTED = {"index_cb": 4, "index_need": 1, "index_adv": 1, "index_limit": 1, "row_pitch": 64}
_READ = "FI_IN_ROW trapped in dma_in (tag 9): "

MISTAKES = {
    "a read from nowhere": Mistake(
        Trap.MEMORY_ERROR,
        f"{_READ}a memory access outside the memories, or refused by the memory"
        " (address 0x50000000).",
        _dma(Opcode.DMA_IN, mem_addr=_NOWHERE),
    ),
    "a write to nowhere": Mistake(
        Trap.MEMORY_ERROR,
        "FI_OUT trapped in dma_out (tag 9): a memory access outside the memories, or refused by the"
        " memory (address 0x50000000).",
        commands(
            _CB, (Opcode.DMA_IN, _ADVANCES), (Opcode.DMA_OUT, {**_ADVANCES, "mem_addr": _NOWHERE})
        ),
    ),
    "outside of the job's ranges": Mistake(
        Trap.MEMORY_RANGE,
        f"{_READ}a memory access outside the address ranges that the job may use"
        " (address 0x00001000).",
        _dma(Opcode.DMA_IN, mem_addr=0x1000),
        {"RANGE0_FIRST": 0x20},
    ),
    "an unknown opcode": Mistake(
        Trap.ILLEGAL_OPCODE,
        f"CP trapped in opcode 0x{_UNKNOWN:02x} (tag 9): the opcode is not one of this element's"
        " commands.",
        bytes([_UNKNOWN, TAG]).ljust(16, b"\0"),
    ),
    "no iteration": Mistake(
        Trap.ILLEGAL_FIELD,
        "CP trapped in dma_in (tag 9): a field holds a value that the command does not allow"
        " (field count1).",
        _dma(Opcode.DMA_IN, count1=0),
    ),
    "no such buffer": Mistake(
        Trap.ILLEGAL_FIELD,
        "CP trapped in dma_in (tag 9): a field holds a value that the command does not allow"
        " (field cb).",
        _dma(Opcode.DMA_IN, cb=200),
    ),
    "a buffer without CB": Mistake(
        Trap.CB_UNINITIALISED, f"{_READ}{_NEVER_SET_UP}", _dma(Opcode.DMA_IN, cb=5)
    ),
    "a step too large": Mistake(
        Trap.CB_TOO_SMALL,
        f"{_READ}a step needs more of the circular buffer than its depth, so never starts (CB 3).",
        _dma(Opcode.DMA_IN, need=5),
    ),
    "a buffer behind local memory": Mistake(
        Trap.ILLEGAL_FIELD,
        "CP trapped in cb (tag 0): a field holds a value that the command does not allow"
        " (field depth).",
        commands((Opcode.CB, {"cb": 3, "base": 255, "depth": 4}), (Opcode.DMA_IN, _IN)),
    ),
    "a context that is empty": Mistake(
        Trap.CONTEXT_EMPTY,
        "CP trapped in run (tag 9): RUN names a context that was never stored.",
        commands((Opcode.RUN, {"ctx": 1, "tag": TAG})),
    ),
    "an index too large": Mistake(
        Trap.INDEX_RANGE,
        "FI_IN_ROW trapped in gather (tag 9): an index of a gather or scatter is not below the"
        " table's number of rows (index 4294967295).",
        commands(
            _CB,
            _LIST,
            (Opcode.LAYOUT, {"operation": LayoutOp.FILL, "cb": 4, "count0": 64, "stride0": 8,
                             "value": 0xFF, "step_level": 1, "need": 1, "adv_level": 1, "adv": 1}),
            (Opcode.GATHER, {**_IN, **_LISTED}),
        ),
    ),
    "no end": Mistake(
        Trap.LIST_OVERRUN,
        "CP trapped in nop (tag 0): the command list ended without END, or inside a command.",
        encode(Opcode.NOP, tag=TAG),
    ),
}  # fmt: skip
"""Lists that trap on any element, by what is wrong with them."""


def flip_bits(grid: Grid, address: int, rng: random.Random, *, n: int) -> int:
    """Turn over one or two of the 72 stored bits of a random word of the line at `address`; the
    address of the word."""
    word = address + 8 * rng.randrange(8)
    first, second = rng.sample(range(72), 2)
    grid.set_register("ECC_INJECT_LO", word & 0xFFFF_FFFF)
    grid.set_register("ECC_INJECT_HI", word >> 32)
    grid.set_register("ECC_INJECT", first | second << 8 | n << 16)
    for _ in range(4):  # a slice may have its last write under way; then the next fault may come
        grid.register("ID")
    return word
