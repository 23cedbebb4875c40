# SPDX-License-Identifier: Apache-2.0
"""Signatures of the memory fabric: link-wide reads and writes with tags."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import N_GROUPS

__all__ = ["MemoryReadPort", "MemoryWritePort"]


class MemoryReadPort(wiring.Signature):
    """Reads of one link-wide line each, seen from the requester.

    Operation
        The address is a multiple of `link_bytes`. Answers carry the request's tag and may come in
        any order. The requester reserves room before it asks, so `response` is never refused for
        long: it must not depend on any other request of the requester. `error`: the access failed;
        `poison`: the data holds an uncorrectable error.

        A requester with `n_positions` may share a read with other elements of its row, or of its
        `column`: `multicast` says so, `group` and `mask` say with whom. All of them ask, and each
        is answered. `error` and `poison` together: they did not agree (`Answer.MISMATCH`).

    Parameters
    ----------
    link_bytes : bytes of a line.
    tag_width : bits of a tag.
    n_positions : elements that a lane passes; 0: no read is shared.
    """

    def __init__(self, *, link_bytes: int, tag_width: int, n_positions: int = 0) -> None:
        self.link_bytes = link_bytes
        self.tag_width = tag_width
        shared = {"multicast": 1, "column": 1, "group": range(N_GROUPS), "mask": n_positions}
        request = data.StructLayout(
            {"address": ADDRESS_BITS, "tag": tag_width} | (shared if n_positions else {})
        )
        response = data.StructLayout(
            {"data": 8 * link_bytes, "tag": tag_width, "error": 1, "poison": 1}
        )
        super().__init__(
            {
                "request": Out(stream.Signature(request)),
                "response": In(stream.Signature(response)),
            }
        )


class MemoryWritePort(wiring.Signature):
    """Writes of one link-wide line each, seen from the requester.

    Operation
        The address is a multiple of `link_bytes`, `strobe` has a bit per byte. A write is visible
        to every read that is requested after its acknowledgement arrived. Acknowledgements may
        come in any order.
    """

    def __init__(self, *, link_bytes: int, tag_width: int) -> None:
        self.link_bytes = link_bytes
        self.tag_width = tag_width
        request = data.StructLayout(
            {
                # Wide fields first: data that starts at a multiple of 32 bits simulates faster.
                "data": 8 * link_bytes,
                "strobe": link_bytes,
                "address": ADDRESS_BITS,
                "tag": tag_width,
            }
        )
        response = data.StructLayout({"tag": tag_width, "error": 1})
        super().__init__(
            {
                "request": Out(stream.Signature(request)),
                "response": In(stream.Signature(response)),
            }
        )
