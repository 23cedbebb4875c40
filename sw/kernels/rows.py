# SPDX-License-Identifier: Apache-2.0
"""What kernels over rows share: chunks of rows that stream through circular buffers.

Rows of an array come in chunks: one step of every circular buffer is one chunk. A kernel says
which streams it has; `RowStreams` chooses rows per chunk so that all fit into local memory with
`depth` chunks each, and gives the operand fields of DMA and SIMD commands.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from hw.arch.commands import NEVER, Opcode
from hw.arch.formats import Format
from hw.config import PeConfig
from sw.kernels.command_list import CommandList

__all__ = ["UNIT", "RowArray", "RowStreams", "Stream"]

UNIT = 64
"""Bytes of one unit of circular-buffer arithmetic."""
_MOST_ROWS = 127
"""Rows of a chunk; a SIMD command's tail counts that far."""
_MOST = 0xFFFF

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
    depth: int = 2
    """Chunks that it holds."""


class RowStreams:
    """Chunks of rows for one kernel.

    Parameters
    ----------
    pe : PeConfig
        The element.
    rows : int
        Rows in all.
    streams : Sequence[Stream]
        Everything that needs room in local memory chunk by chunk.
    resident_bytes : int
        Local memory that something else takes; it lies behind the streams, at `resident_base`.
    most_rows : int
        Rows of a chunk at most.

    Raises
    ------
    ValueError
        If there are no rows, or one row does not fit.
    """

    def __init__(
        self,
        pe: PeConfig,
        rows: int,
        streams: Sequence[Stream],
        *,
        resident_bytes: int = 0,
        most_rows: int = _MOST_ROWS,
    ) -> None:
        if rows < 1:
            raise ValueError(f"There are {rows} rows; there must be at least 1.")
        self.word, self.rows, self.streams = pe.ls.word_bytes, rows, streams
        room = pe.ls.size_bytes - resident_bytes
        self.chunk = min(rows, most_rows, _MOST_ROWS)
        while self.chunk and self._bytes() > room:
            self.chunk -= 1
        if not self.chunk:
            self.chunk = 1
            raise ValueError(
                f"A row needs {self._bytes()} bytes of local memory with everything that goes with"
                f" it; there are {room}."
            )
        self.chunks = math.ceil(rows / self.chunk)
        if self.chunks > _MOST:
            raise ValueError(f"{rows} rows are more than the {_MOST * self.chunk} of one list.")
        self.last = rows - (self.chunks - 1) * self.chunk
        self.resident_base = self._bytes() // UNIT

    def _bytes(self) -> int:
        return sum(stream.depth * self.block(stream) * UNIT for stream in self.streams)

    def pitch(self, stream: Stream) -> int:
        """Bytes from row to row in local memory."""
        if stream.packed:
            return stream.row_bytes
        return (math.ceil(stream.row_bytes / self.word) + stream.extra_words) * self.word

    def block(self, stream: Stream) -> int:
        """64-byte units of one chunk."""
        return math.ceil(self.chunk * self.pitch(stream) / UNIT)

    def set_up(self, commands: CommandList) -> None:
        """Circular buffers of all streams."""
        base = 0
        for stream in self.streams:
            depth = stream.depth * self.block(stream)
            commands.add(Opcode.CB, cb=stream.cb, base=base, depth=depth)
            base += depth

    def _dma(self, stream: Stream, array: RowArray) -> Fields:
        """Both sides of a DMA over all chunks."""
        block = self.block(stream)
        return {
            "mem_addr": array.address,
            "count0": array.row_bytes,
            "stride0": self.word,
            "count1": self.chunk,
            "mem_stride1": array.step,
            "stride1": self.pitch(stream),
            "count2": self.chunks,
            "mem_stride2": self.chunk * array.step,
            "cb": stream.cb,
            "step_level": 2,
            "adv_level": 2,
            "need": block,
            "adv": block,
            "tail_level": 2,
            "tail_inner": 1,
            "tail_count": self.last,
        }

    def fetch(
        self, commands: CommandList, stream: Stream, array: RowArray, *, column: bool = False
    ) -> None:
        """Memory to the stream, all chunks; `column` takes the other of the two landing ports."""
        fields = self._dma(stream, array)
        commands.add(Opcode.DMA_IN, **fields, column=column, zero_fill=not stream.packed)

    def store(self, commands: CommandList, stream: Stream, array: RowArray) -> None:
        """The stream to memory, all chunks."""
        commands.add(Opcode.DMA_OUT, **self._dma(stream, array))

    def nest(self, elements: int) -> Fields:
        """Counts of a SIMD over all chunks."""
        return {
            "count0": elements,
            "count1": self.chunk,
            "count2": self.chunks,
            "tail_level": 2,
            "tail_count": self.last,
        }

    def operand(
        self, stream: Stream, prefix: str, *, advance: bool = True, offset: int = 0
    ) -> Fields:
        """The stream as an operand of SIMD (a_, b_, or the output); without `advance` the chunk
        stays for the next command."""
        unit = 4 if stream.packed else self.word
        block = self.block(stream)
        return {
            f"{prefix}cb": stream.cb,
            f"{prefix}offset": offset // unit,
            f"{prefix}stride1": self.pitch(stream) // unit,
            f"{prefix}step_level": 2,
            f"{prefix}adv_level": 2 if advance else NEVER,
            f"{prefix}need": block,
            f"{prefix}adv": block if advance else 0,
        }

    def chunk_by_chunk(
        self, commands: CommandList, passes: Callable[[int], Sequence[tuple[Opcode, Fields]]]
    ) -> None:
        """For every chunk all of `passes(rows of the chunk)` in turn.

        The passes of whole chunks are stored once and repeated by RUN; `mem_addr`, if a command has
        one, moves by its `mem_stride2` from chunk to chunk.
        """
        whole = self.chunks if self.last == self.chunk else self.chunks - 1
        stored = passes(self.chunk) if whole else []
        for context, (opcode, fields) in enumerate(stored):
            commands.add(opcode, **{**fields, "store": 1, "context": context})
        for number in range(whole):
            for context, (_, fields) in enumerate(stored):
                delta = fields.get("mem_stride2", 0) if number else 0
                commands.add(Opcode.RUN, ctx=context, keep=1, mem_delta=delta)
        if whole < self.chunks:
            for opcode, fields in passes(self.last):
                moved = dict(fields)
                if "mem_addr" in fields:
                    moved["mem_addr"] += whole * fields.get("mem_stride2", 0)
                commands.add(opcode, **moved)
