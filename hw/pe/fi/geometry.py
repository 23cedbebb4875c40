# SPDX-License-Identifier: Apache-2.0
"""Sizes of the fabric interface, and the payloads between its parts."""

from dataclasses import dataclass

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import N_GROUPS

__all__ = ["FiGeometry", "LineKind", "MAX_PIECES", "Sharing"]

MAX_PIECES = 3
"""Local-memory words that one line can touch: two words long, at any offset."""


class LineKind(enum.Enum, shape=2):
    """What kind of command a line belongs to; bit 1 says that its values are added."""

    PLAIN = 0
    """DMA_IN or DMA_OUT."""
    INDEXED = 1
    """GATHER, or SCATTER that stores."""
    ADD_INT = 2
    ADD_FP = 3


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How an element shares reads with others of its row and its column.

    Parameters
    ----------
    n_positions : elements that a lane passes, 2 to 16.
    n_lines : lines that each engine may share at a time, a power of two from 2 to 64.

    Raises: ValueError for sizes that cannot be built.
    """

    n_positions: int
    n_lines: int

    def __post_init__(self) -> None:
        if not 2 <= self.n_positions <= 16:
            raise ValueError(f"Sharing n_positions must be 2 to 16, not {self.n_positions!r}.")
        if self.n_lines not in (2, 4, 8, 16, 32, 64):
            raise ValueError(
                f"Sharing n_lines must be a power of two from 2 to 64, not {self.n_lines!r}."
            )


@dataclass(frozen=True, kw_only=True)
class FiGeometry:
    """Link and local-memory sizes, with the layouts that follow from them.

    Parameters
    ----------
    link_bytes : bytes of one line of the memory fabric, a power of two from 8 to 128; a
        local-memory word has half as many.
    ls_bytes : size of local memory.
    sharing : whether runs and lines say with whom they are shared.

    Raises: ValueError for sizes that cannot be built.
    """

    link_bytes: int
    ls_bytes: int
    sharing: Sharing | None = None

    def __post_init__(self) -> None:
        if not _power_of_two(self.link_bytes) or not 8 <= self.link_bytes <= 128:
            raise ValueError(
                "Fabric interface link_bytes must be a power of two from 8 to 128, "
                f"not {self.link_bytes!r}."
            )
        if not _power_of_two(self.ls_bytes) or not 512 <= self.ls_bytes <= 1 << 19:
            raise ValueError(
                "Fabric interface ls_bytes must be a power of two from 512 to 524288, "
                f"not {self.ls_bytes!r}."
            )

    @property
    def word_bytes(self) -> int:
        """Bytes of a local-memory word."""
        return self.link_bytes // 2

    @property
    def link_log2(self) -> int:
        """Bits of a byte's place in a line."""
        return self.link_bytes.bit_length() - 1

    @property
    def word_log2(self) -> int:
        """Bits of a byte's place in a word."""
        return self.link_log2 - 1

    @property
    def byte_address_width(self) -> int:
        """Bits of a byte address in local memory."""
        return self.ls_bytes.bit_length() - 1

    @property
    def word_address_width(self) -> int:
        """Bits of a word address in local memory."""
        return self.byte_address_width - self.word_log2

    @property
    def line_address_width(self) -> int:
        """Bits of a line's number in memory."""
        return ADDRESS_BITS - self.link_log2

    @property
    def _origin_fields(self) -> dict:
        """What a run and its lines know about the step and command that they belong to."""
        return {
            "cb": unsigned(6),
            "advance": unsigned(16),
            "step_end": 1,  # last of its step
            "command_end": 1,  # last of its command
            "tag": unsigned(16),  # of the command
            "kind": LineKind,
            **({"multicast": 1, "group": range(N_GROUPS)} if self.sharing else {}),
        }

    @property
    def run_layout(self) -> data.StructLayout:
        """One run: contiguous in memory, pieces of a word in local memory."""
        words = unsigned(self.word_address_width + 1)
        return data.StructLayout(
            {
                "address": unsigned(ADDRESS_BITS),  # first byte in memory; info of a trap
                "length": unsigned(16),  # bytes
                "word": unsigned(self.word_address_width),  # where the first byte lies in LS
                "lane": unsigned(self.word_log2),  # its place in that word
                "limit": words,  # word behind the circular buffer
                "depth": words,  # of the circular buffer, in words
                "one_on": words,  # from a word to the run's next one, modulo depth
                "two_on": words,  # and to the one after
                "zero_fill": 1,
                "wrong": 1,  # not to be moved
                "cause": unsigned(8),  # trap, if it is wrong
                **self._origin_fields,
            }
        )

    @property
    def line_layout(self) -> data.StructLayout:
        """One line of a run: its place, and the step and command that it belongs to."""
        room = {"room": range(self.sharing.n_lines)} if self.sharing else {}  # if it is shared
        return data.StructLayout(
            {"place": self.place_layout, "engine": 1, **self._origin_fields, **room}  # 1: column
        )

    @property
    def place_layout(self) -> data.StructLayout:
        """Where a line lies in memory and in local memory.

        Byte b of the line belongs to byte b + rotation of a window of three words. The line touches
        `n_words` of these, from number `skip` on; `words` are their addresses.
        """
        return data.StructLayout(
            {
                "line": unsigned(self.line_address_width),  # address / link_bytes
                "first": unsigned(self.link_log2),  # first byte of the line that is in use
                "end": unsigned(self.link_log2 + 1),  # byte behind the last one in use
                "rotation": unsigned(self.word_log2),
                "skip": range(MAX_PIECES),
                "n_words": range(MAX_PIECES + 1),
                "words": data.ArrayLayout(self.word_address_width, MAX_PIECES),
                "run_first": 1,  # first line of its run
                "zero_fill": 1,  # clear the last word behind the last byte
            }
        )
