# SPDX-License-Identifier: Apache-2.0
"""Command lists for benches of the whole chip."""

from dataclasses import dataclass

from hw.arch.commands import Opcode
from sw.kernels.command_list import CommandList

__all__ = ["Copy", "copy_commands", "copy_list", "end_list"]

_UNIT = 64


@dataclass(frozen=True, kw_only=True)
class Copy:
    """`n_runs` runs of `run_bytes` bytes from `source` to `target`, with pitches, through a CB."""

    source: int
    target: int
    run_bytes: int
    n_runs: int = 1
    source_pitch: int = 0
    target_pitch: int = 0
    cb: int = 0
    base: int = 0
    depth: int = 16
    column: int = 0


def copy_commands(commands: CommandList, copy: Copy, word_bytes: int) -> None:
    """Append a copy: one buffer, one DMA in, one DMA out that follow each other run by run."""
    units = -(-copy.run_bytes // _UNIT)
    common = {
        "cb": copy.cb,
        "count0": copy.run_bytes,
        "count1": copy.n_runs,
        "stride0": word_bytes,
        "step_level": 1,
        "adv_level": 1,
        "need": units,
        "adv": units,
    }
    commands.add(Opcode.CB, cb=copy.cb, base=copy.base, depth=copy.depth)
    commands.add(
        Opcode.DMA_IN,
        mem_addr=copy.source,
        mem_stride1=copy.source_pitch,
        column=copy.column,
        tag=1,
        **common,
    )
    commands.add(
        Opcode.DMA_OUT, mem_addr=copy.target, mem_stride1=copy.target_pitch, tag=2, **common
    )


def copy_list(copies: list[Copy], word_bytes: int, *, status: int = 0) -> bytes:
    """A job of copies that may run side by side."""
    commands = CommandList()
    for copy in copies:
        copy_commands(commands, copy, word_bytes)
    commands.add(Opcode.END, status=status)
    return bytes(commands)


def end_list(status: int) -> bytes:
    """The job that does nothing."""
    commands = CommandList()
    commands.add(Opcode.END, status=status)
    return bytes(commands)
