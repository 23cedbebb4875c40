# SPDX-License-Identifier: Apache-2.0
"""What travels on the lanes of accesses to other elements' local memory: words, and their answers.

To side W a flit carries the place that it is for, of the elements that are used; from there, along
the row of that place, a mask.
"""

from amaranth.lib import data

from hw.net.flits import Answer

__all__ = ["PLACE", "RemoteShapes", "from_side", "to_side"]

PLACE = data.StructLayout({"row": 4, "column": 4})
"""An element of those that are used, or HOST_PLACE."""


class RemoteShapes:
    """Layouts of requests and answers.

    Parameters
    ----------
    link_bytes : bytes of a line, which is two words.
    ls_bytes : size of a local memory, a power of two.
    slots : reads, and writes, that an asker has under way; a power of two.

    Raises: ValueError when `slots` is no power of two.
    """

    def __init__(self, *, link_bytes: int, ls_bytes: int, slots: int) -> None:
        if slots < 1 or slots & (slots - 1):
            raise ValueError(f"RemoteShapes slots must be a power of two, not {slots!r}.")
        self.link_bytes, self.word_bytes, self.slots = link_bytes, link_bytes // 2, slots
        self.line_log2 = link_bytes.bit_length() - 1
        self.slot_bits = (slots - 1).bit_length()
        asked = {"slot": self.slot_bits, "upper": 1, "is_write": 1}
        self.request = data.StructLayout(
            {
                "data": 8 * self.word_bytes,
                "strobe": self.word_bytes,
                "line": ls_bytes.bit_length() - 1 - self.line_log2,
                "asker": PLACE,
                **asked,
            }
        )
        """A read of a line, or a write of one of its words: the `upper` one or the lower one."""
        self.answer = data.StructLayout({"data": 8 * self.word_bytes, "answer": Answer, **asked})
        """A word that was read, or that one was written."""
        self.read_tag = data.StructLayout({"slot": self.slot_bits, "asker": PLACE})
        """Tag of a read at the element that is asked."""
        self.write_tag = data.StructLayout({"slot": self.slot_bits, "upper": 1, "asker": PLACE})
        """Tag of a write there."""

    @property
    def tag_widths(self) -> tuple[int, int]:
        """Bits of both kinds of tags."""
        return self.read_tag.size, self.write_tag.size


def to_side(flit: data.StructLayout) -> data.StructLayout:
    """A flit on its way to W."""
    return data.StructLayout({"flit": flit, "to": PLACE})


def from_side(flit: data.StructLayout, n_positions: int) -> data.StructLayout:
    """A flit on its way from W."""
    return data.StructLayout({"flit": flit, "mask": n_positions})
