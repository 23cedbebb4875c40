# SPDX-License-Identifier: Apache-2.0
"""Signatures of the memory fabric: link-wide reads and writes with tags."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS

__all__ = ["MemoryReadPort", "MemoryWritePort"]


class MemoryReadPort(wiring.Signature):
    """Reads of one link-wide line each, seen from the requester.

    Operation
        The address is a multiple of `link_bytes`. Answers carry the request's tag and may come in
        any order. The requester reserves room before it asks, so `response` is never refused for
        long: it must not depend on any other request of the requester. `error`: the access failed;
        `poison`: the data holds an uncorrectable error.
    """

    def __init__(self, *, link_bytes: int, tag_width: int) -> None:
        self.link_bytes = link_bytes
        self.tag_width = tag_width
        request = data.StructLayout({"address": ADDRESS_BITS, "tag": tag_width})
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
