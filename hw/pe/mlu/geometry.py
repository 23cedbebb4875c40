# SPDX-License-Identifier: Apache-2.0
"""Sizes of the memory layout unit, and the payloads between its parts."""

from dataclasses import dataclass

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["MluGeometry"]


@dataclass(frozen=True, kw_only=True)
class MluGeometry:
    """Sizes of local memory, with the layouts that follow from them.

    A *nibble* is half a byte, the smallest element; a word has `n_nibbles`.

    Parameters
    ----------
    word_bytes : bytes of a word of local memory, a power of two from 4 to 64.
    address_width : bits of a word address.

    Raises: ValueError for sizes that cannot be built.
    """

    word_bytes: int
    address_width: int

    def __post_init__(self) -> None:
        if self.word_bytes not in (4, 8, 16, 32, 64):
            raise ValueError(
                "Memory layout unit word_bytes must be a power of two from 4 to 64, "
                f"not {self.word_bytes!r}."
            )
        if not 1 <= self.address_width <= 19 - self.word_log2:
            raise ValueError(
                "Memory layout unit address_width must be from 1 to "
                f"{19 - self.word_log2} bits for words of {self.word_bytes} bytes, "
                f"not {self.address_width!r}."
            )

    @property
    def word_log2(self) -> int:
        """Bits of a byte's place in a word."""
        return self.word_bytes.bit_length() - 1

    @property
    def n_nibbles(self) -> int:
        """Nibbles of a word."""
        return 2 * self.word_bytes

    @property
    def nibble_log2(self) -> int:
        """Bits of a nibble's place in a word."""
        return self.word_log2 + 1

    @property
    def count_width(self) -> int:
        """Bits of a run's words: up to 64 KiB that begin anywhere in a word."""
        return 17 - self.word_log2

    @property
    def place_layout(self) -> data.StructLayout:
        """Words of a run in its circular buffer: the first one, and how to go on."""
        words = unsigned(self.address_width + 1)
        return data.StructLayout(
            {
                "word": unsigned(self.address_width),
                "limit": words,  # word behind the buffer
                "depth": words,  # of the buffer
                "one_on": words,  # from a word to the next one, modulo depth
            }
        )

    @property
    def size_layout(self) -> data.StructLayout:
        """How large a run is; words follow from it a cycle later."""
        lane, end = unsigned(self.word_log2), unsigned(17)
        return data.StructLayout(
            {
                "setting": self.setting_layout,
                "length": unsigned(16),  # of level 0
                "n_out": unsigned(8),  # words of a block
                "source_lane": lane,  # of the first byte
                "source_end": end,  # bytes from the start of its first word
                "target_lane": lane,
                "target_end": end,
            }
        )

    @property
    def half_layout(self) -> data.StructLayout:
        """One side of a run, before its words are counted."""
        return data.StructLayout(
            {
                "place": self.place_layout,
                "size": self.size_layout,
                "outside": 1,  # of the buffer, or the buffer of local memory: not to be done
                "skip": unsigned(9),
                "tag": unsigned(16),
                "cb": unsigned(6),
                "advance": unsigned(16),
                "step_end": 1,
                "command_end": 1,
            }
        )

    @property
    def fetch_layout(self) -> data.StructLayout:
        """Words of one run to read. `begin` and `end` limit the bytes in use."""
        return data.StructLayout(
            {
                "place": self.place_layout,
                "n_words": unsigned(self.count_width),
                "begin": unsigned(self.word_log2),  # first byte in use of the first word
                "end": unsigned(self.word_log2),  # last byte in use of the last word
                "every": 1,  # end holds for every word
                "note": self.note_layout,
                "cb": unsigned(6),
                "advance": unsigned(16),
                "step_end": 1,  # last run of its step
            }
        )

    @property
    def note_layout(self) -> data.StructLayout:
        """What whoever uses a word has to know."""
        return data.StructLayout(
            {
                "transpose": 1,
                "to_block": 1,  # the same in a flip-flop of its own, which decides who takes it
                "element": unsigned(2),
                "n_columns": unsigned(8),  # words that the block becomes
                "tag": unsigned(16),  # of the command
            }
        )

    @property
    def word_layout(self) -> data.StructLayout:
        """One word that was read."""
        return data.StructLayout(
            {
                "data": 8 * self.word_bytes,
                "note": self.note_layout,
                "address": unsigned(self.address_width),
                "run_end": 1,  # last word of its run
                "bad": 1,  # a byte in use has wrong parity
            }
        )

    @property
    def column_layout(self) -> data.StructLayout:
        """A column of a block: a word, of which only the first nibbles are of rows that came."""
        return data.StructLayout(
            {"data": 8 * self.word_bytes, "n_rows": unsigned(self.nibble_log2 + 1)}
        )

    @property
    def job_layout(self) -> data.StructLayout:
        """One run, seen from the side that writes: so many beats, each takes or gives a word."""
        return data.StructLayout(
            {
                "place": self.place_layout,
                "lane": unsigned(self.word_log2),  # of the first byte
                "end": unsigned(self.word_log2),  # of the last byte
                "rotation": unsigned(self.word_log2),  # from lanes of the source to these
                "n_taken": unsigned(self.count_width),  # beats that take a word of the source
                "n_beats": unsigned(self.count_width + 1),
                "late": 1,  # the first beat gives nothing
                "length": unsigned(8),  # DIAGONAL: elements of the source word
                "skip": unsigned(9),  # DIAGONAL: words before the first element's; 256: all
                "setting": self.setting_layout,
                "cb": unsigned(6),
                "advance": unsigned(16),
                "step_end": 1,
                "command_end": 1,
            }
        )

    @property
    def setting_layout(self) -> data.StructLayout:
        """What a command says about all of its runs."""
        return data.StructLayout(
            {
                "operation": unsigned(2),
                "element": unsigned(2),
                "target": unsigned(2),
                "value": unsigned(8),
            }
        )

    @property
    def beat_layout(self) -> data.StructLayout:
        """What one cycle of the assembler does."""
        return data.StructLayout(
            {
                "takes": 1,  # a word of the source
                "turns": 1,  # takes a word of a block: TRANSPOSE, in a flip-flop of its own
                "gives": 1,  # a word
                "setting": self.setting_layout,
                "rotation": unsigned(self.word_log2),
                "n_kept": unsigned(self.word_log2 + 1),  # low bytes that come from the word before
                "low": unsigned(self.nibble_log2 + 1),  # nibbles low .. high - 1 are data
                "high": unsigned(self.nibble_log2 + 1),
                "out": self.destination_layout,
            }
        )

    @property
    def destination_layout(self) -> data.StructLayout:
        """Where a word goes, and what ends with it."""
        return data.StructLayout(
            {
                "address": unsigned(self.address_width),
                "target": unsigned(2),
                "cb": unsigned(6),
                "advance": unsigned(16),
                "step_end": 1,
                "command_end": 1,
            }
        )

    @property
    def out_layout(self) -> data.StructLayout:
        """A word to write or to send."""
        return data.StructLayout(
            {
                "data": 8 * self.word_bytes,
                "strobe": self.word_bytes,
                "to": self.destination_layout,
            }
        )
