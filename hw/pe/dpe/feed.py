# SPDX-License-Identifier: Apache-2.0
"""Words of the memory layout unit in place of words of local memory, for one operand."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort

__all__ = ["OperandFeed"]


class OperandFeed(wiring.Component):
    """Stands between an operand's read port and its slot in local memory.

    Operation
        1. A request goes to local memory, and the answer comes from there.
        2. `from_mlu` asks the layout unit in place of a request, and takes a word that it offers:
           the request counts as accepted, and the word, without errors, is its answer in the same
           cycle. Whoever asks sees to it that no answer of local memory is under way.

    Timing
        No register: words of the layout unit are kept by those who ask for them.

    Parameters
    ----------
    address_width : bits of a word address.
    word_bytes : bytes of a word.

    Members
    -------
    reader : In(LsReadPort(...)), of the dot-product engine: `ls_a` or `ls_b`.
    from_mlu : In(1), its `a_from_mlu` or `b_from_mlu`; never together with a request.
    words : In(stream.Signature(8 * word_bytes)), of the layout unit: `to_dpe_a` or `to_dpe_b`.
    ls : Out(LsReadPort(...)), the slot in local memory.
    """

    def __init__(self, *, address_width: int, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        port = LsReadPort(address_width=address_width, word_bytes=word_bytes)
        super().__init__(
            {
                "reader": In(port),
                "from_mlu": In(1),
                "words": In(stream.Signature(8 * word_bytes)),
                "ls": Out(port),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        request, answer, read = self.reader.request, self.reader.response, self.ls.response
        taken = Signal()
        m.d.comb += [
            self.ls.request.valid.eq(request.valid),
            self.ls.request.payload.eq(request.payload),
            self.words.ready.eq(self.from_mlu),
            request.ready.eq(Mux(self.from_mlu, self.words.valid, self.ls.request.ready)),
            taken.eq(self.from_mlu & self.words.valid),
            answer.valid.eq(taken | read.valid),
            answer.payload.data.eq(Mux(self.from_mlu, self.words.payload, read.payload.data)),
            answer.payload.error.eq(Mux(self.from_mlu, 0, read.payload.error)),
        ]
        return m
