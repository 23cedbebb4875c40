# SPDX-License-Identifier: Apache-2.0
"""What travels on the lanes of the memory network, and across a side.

A flit's `mask` has one bit for each position of a lane. On the way to a side it says who asks; on
the way to the tiles, for whom the flit is.
"""

from amaranth.lib import data, enum

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import N_GROUPS

__all__ = ["HASH_BITS", "Answer", "LaneShapes"]

HASH_BITS = 8
"""Bits by which the members of a group tell the collector which address they mean."""


class Answer(enum.Enum, shape=2):
    """How an access ended."""

    OK = 0
    ERROR = 1
    """No memory there, or it failed."""
    POISON = 2
    """The data holds an uncorrectable error."""
    MISMATCH = 3
    """The members of a multicast group did not mean the same line, or one of them has failed."""


class LaneShapes:
    """Layouts of the flits of one member's lanes.

    Wide fields come first: data that starts at a multiple of 32 bits simulates faster.

    Parameters
    ----------
    link_bytes : bytes of a line, a power of two.
    n_positions : tiles on the longest lane.
    read_tag_width, write_tag_width : bits of a tile's tags.

    Raises: ValueError when a parameter is out of range.
    """

    def __init__(
        self, *, link_bytes: int, n_positions: int, read_tag_width: int, write_tag_width: int
    ) -> None:
        if link_bytes < 1 or link_bytes & (link_bytes - 1):
            raise ValueError(f"LaneShapes link_bytes must be a power of two, not {link_bytes!r}.")
        for name, value in (
            ("n_positions", n_positions),
            ("read_tag_width", read_tag_width),
            ("write_tag_width", write_tag_width),
        ):
            if value < 1:
                raise ValueError(f"LaneShapes {name} must be at least 1, not {value!r}.")
        who = {"mask": n_positions}
        self.read = data.StructLayout(
            {
                "address": ADDRESS_BITS,
                "tag": read_tag_width,
                **who,
                "multicast": 1,
                "group": range(N_GROUPS),
            }
        )
        """A read on its way to a side."""
        self.note = data.StructLayout(
            {"hash": HASH_BITS, "tag": read_tag_width, "leader": range(max(n_positions, 2))}
        )
        """That a member of a multicast group has room for a line, on its way to a side."""
        self.signs = data.ArrayLayout(
            data.StructLayout({"note": self.note, "noted": 1, "failed": 1}), n_positions
        )
        """What the positions of a lane say there in a cycle: a note if `noted`, and whether the
        element has failed, until its next job."""
        self.line = data.StructLayout(
            {
                "data": 8 * link_bytes,
                "tag": read_tag_width,
                **who,
                "multicast": 1,
                "answer": Answer,
            }
        )
        """A line that was read, on its way to the tiles."""
        self.write = data.StructLayout(
            {
                "data": 8 * link_bytes,
                "strobe": link_bytes,
                "address": ADDRESS_BITS,
                "tag": write_tag_width,
                **who,
            }
        )
        """A write on its way to a side."""
        self.ack = data.StructLayout({"tag": write_tag_width, **who, "answer": Answer})
        """An acknowledgement on its way to a tile."""
