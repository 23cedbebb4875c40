# SPDX-License-Identifier: Apache-2.0
"""What kernels over rows share: groups of rows that stream through circular buffers.

A *group* is some rows, one step of every circular buffer. A kernel says which streams it has;
`RowStreams` chooses rows per group and groups per buffer so that all fit into local memory, and
gives the operand fields of DMA and SIMD commands. A kernel of several passes runs them in turn over
a *chunk* of groups, while the next chunk lands where the last pass is through. A chunk is half of
what streams hold, or, `long_chunks`, all of it but one group: fewer commands to fill and drain.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from hw.arch.commands import NEVER, Opcode
from hw.arch.formats import Format
from hw.config import PeConfig
from sw.kernels.command_list import CommandList

__all__ = ["UNIT", "Pass", "RowArray", "RowStreams", "Stream"]

UNIT = 64
"""Bytes of one unit of circular-buffer arithmetic."""
_MOST_ROWS = 127
"""Rows of a group; a SIMD command's tail counts that far."""
_MOST = 0xFFFF
_STEP_SHARE = 64
"""A group takes about this part of local memory, or is one row."""

Fields = dict[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowArray:
    """`rows` rows of `elements` elements in memory, `pitch` bytes apart."""

    address: int
    rows: int
    elements: int
    fmt: Format
    pitch: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.elements * self.fmt.n_bytes

    @property
    def step(self) -> int:
        """Bytes from row to row; without a pitch rows follow each other."""
        return self.pitch or self.row_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
    """Rows that pass a circular buffer."""

    cb: int
    row_bytes: int
    packed: bool = False
    """Rows follow each other without gaps, as statistics do; else each begins at a word."""
    extra_words: int = 0
    """Words behind each row, as SIMD's output BOTH has one."""
    halves: int = 2
    """Chunks that it holds, if a chunk is as large as there is room for: two, so that one moves
    while the other is used; one, if what it holds is only ever used up."""
    depth: int = 0
    """Groups that it holds instead."""


Pass = tuple[Opcode, Fields, int]
"""A command over one chunk, and by how many bytes its `mem_addr` moves from chunk to chunk."""


class RowStreams:
    """Groups and chunks of rows for one kernel.

    Parameters
    ----------
    pe : PeConfig
        The element.
    rows : int
        Rows in all.
    streams : Sequence[Stream]
        Everything that needs room in local memory group by group.
    resident_bytes : int
        Local memory that something else takes; it lies behind the streams, at `resident_base`.
    group_rows : int
        Rows of a group; 0: as many as make a step worth its handshake.
    chunk_groups : int
        Groups of a chunk; 0: half of what most streams hold.
    long_chunks : bool
        All but one group of what they hold: right where the passes take longer than their rows take
        to come.

    Raises
    ------
    ValueError
        If there are no rows, or not even single rows fit.
    """

    def __init__(
        self,
        pe: PeConfig,
        rows: int,
        streams: Sequence[Stream],
        *,
        resident_bytes: int = 0,
        group_rows: int = 0,
        chunk_groups: int = 0,
        long_chunks: bool = False,
    ) -> None:
        if rows < 1:
            raise ValueError(f"There are {rows} rows; there must be at least 1.")
        self.word, self.rows, self.streams = pe.ls.word_bytes, rows, streams
        room = (pe.ls.size_bytes - resident_bytes) // UNIT
        self.group = self._group_rows(pe, group_rows)
        while self.group > 1 and self._units(1) > room:
            self.group -= 1
        if self._units(1) > room:
            raise ValueError(
                f"Two rows need {self._units(1) * UNIT} bytes of local memory with everything that"
                f" goes with them; there are {room * UNIT}."
            )
        self.groups = math.ceil(rows / self.group)
        if self.groups > _MOST:
            raise ValueError(f"{rows} rows are more than the {_MOST * self.group} of one list.")
        self.last = rows - (self.groups - 1) * self.group
        self.half = 1
        while self.half < self.groups and self._units(self.half + 1) <= room:
            self.half += 1
        most = 2 * self.half - 1 if long_chunks else self.half
        self.chunk = min(chunk_groups or most, self.groups)
        self.resident_base = self._units(self.half)

    def _group_rows(self, pe: PeConfig, wanted: int) -> int:
        """Rows of a group, if there is room for them."""
        widest = max(self.pitch(stream) for stream in self.streams)
        worth = wanted or pe.ls.size_bytes // _STEP_SHARE // widest
        return max(1, min(self.rows, _MOST_ROWS, worth))

    def _units(self, half: int) -> int:
        """64-byte units of all streams with `half` groups in a half."""
        return sum(self._depth(stream, half) * self.block(stream) for stream in self.streams)

    @staticmethod
    def _depth(stream: Stream, half: int) -> int:
        return stream.depth or stream.halves * half

    def pitch(self, stream: Stream) -> int:
        """Bytes from row to row in local memory."""
        if stream.packed:
            return stream.row_bytes
        return (math.ceil(stream.row_bytes / self.word) + stream.extra_words) * self.word

    def block(self, stream: Stream) -> int:
        """64-byte units of one group."""
        return math.ceil(self.group * self.pitch(stream) / UNIT)

    def set_up(self, commands: CommandList) -> None:
        """Circular buffers of all streams."""
        base = 0
        for stream in self.streams:
            depth = self._depth(stream, self.half) * self.block(stream)
            commands.add(Opcode.CB, cb=stream.cb, base=base, depth=depth)
            base += depth

    def dma(self, stream: Stream, array: RowArray) -> Fields:
        """Both sides of a DMA, but for its counts."""
        block = self.block(stream)
        return {
            "mem_addr": array.address,
            "count0": array.row_bytes,
            "stride0": self.word,
            "mem_stride1": array.step,
            "stride1": self.pitch(stream),
            "mem_stride2": self.group * array.step,
            "cb": stream.cb,
            "step_level": 2,
            "adv_level": 2,
            "need": block,
            "adv": block,
        }

    def fetch(
        self, commands: CommandList, stream: Stream, array: RowArray, *, column: bool = False
    ) -> None:
        """Memory to the stream, all rows; `column` takes the other of the two landing ports."""
        fields = self.dma(stream, array) | self.nest(self.groups, self.last) | {"tail_inner": 1}
        commands.add(Opcode.DMA_IN, **fields, column=column, zero_fill=not stream.packed)

    def store(self, commands: CommandList, stream: Stream, array: RowArray) -> None:
        """The stream to memory, all rows."""
        fields = self.dma(stream, array) | self.nest(self.groups, self.last) | {"tail_inner": 1}
        commands.add(Opcode.DMA_OUT, **fields)

    def nest(self, groups: int, last: int) -> Fields:
        """Counts of levels 1 and 2 over some groups, the last one of `last` rows."""
        if groups == 1:
            return {"count1": last}
        return {"count1": self.group, "count2": groups, "tail_level": 2, "tail_count": last}

    def operand(self, stream: Stream, prefix: str, *, advance: bool = True) -> Fields:
        """The stream as an operand of SIMD (a_, b_, or the output); without `advance` the rows
        stay for the next pass."""
        unit = 4 if stream.packed else self.word
        block = self.block(stream)
        return {
            f"{prefix}cb": stream.cb,
            f"{prefix}stride1": self.pitch(stream) // unit,
            f"{prefix}stride2": 0 if advance else block * UNIT // unit,
            f"{prefix}step_level": 2,
            f"{prefix}adv_level": 2 if advance else NEVER,
            f"{prefix}need": block,
            f"{prefix}adv": block if advance else 0,
        }

    def chunk_by_chunk(
        self, commands: CommandList, passes: Callable[[Fields], Sequence[Pass]]
    ) -> None:
        """For every chunk all of `passes(counts of levels 1 and 2)` in turn.

        The passes of whole chunks are stored once and repeated by RUN.
        """
        whole, rest = divmod(self.groups, self.chunk)
        if not rest and self.last < self.group:
            whole, rest = whole - 1, self.chunk
        stored = passes(self.nest(self.chunk, self.group)) if whole else []
        for context, (opcode, fields, _) in enumerate(stored):
            commands.add(opcode, **{**fields, "store": 1, "context": context})
        for number in range(whole):
            for context, (_, _, move) in enumerate(stored):
                commands.add(Opcode.RUN, ctx=context, keep=1, mem_delta=move if number else 0)
        if rest:
            for opcode, fields, move in passes(self.nest(rest, self.last)):
                moved = dict(fields)
                if move:
                    moved["mem_addr"] += whole * move
                commands.add(opcode, **moved)
