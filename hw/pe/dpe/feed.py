# SPDX-License-Identifier: Apache-2.0
"""Words of the memory layout unit in place of words of local memory, for one operand."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.pe.dpe.operand_reader import LS_LATENCY

__all__ = ["OperandFeed"]


class OperandFeed(wiring.Component):
    """Stands between an operand's read port and its slot in local memory.

    Operation
        1. A request without `from_mlu` goes to local memory, and the answer comes from there.
        2. A request with `from_mlu` is accepted when the layout unit offers a word, and takes it:
           its address does not matter. The answer, without errors, comes as late as that of local
           memory, so both kinds may follow each other in any way.

    Timing
        Answers exactly `LS_LATENCY` cycles after acceptance; a request per cycle. Combinational
        paths from requests to `words.ready` and to local memory, and back.

    Parameters
    ----------
    address_width : bits of a word address.
    word_bytes : bytes of a word.

    Members
    -------
    reader : In(LsReadPort(...)), of the dot-product engine: `ls_a` or `ls_b`.
    from_mlu : In(1), its `a_from_mlu` or `b_from_mlu`.
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
        request, answer = self.reader.request, self.reader.response
        m.d.comb += [
            self.ls.request.valid.eq(request.valid & ~self.from_mlu),
            self.ls.request.payload.eq(request.payload),
            self.words.ready.eq(request.valid & self.from_mlu),
            request.ready.eq(Mux(self.from_mlu, self.words.valid, self.ls.request.ready)),
        ]
        valid, word = self.words.valid & self.words.ready, self.words.payload
        for stage in range(1, LS_LATENCY + 1):
            next_valid = Signal(name=f"valid{stage}")
            following = Signal(8 * self.word_bytes, name=f"word{stage}", reset_less=True)
            m.d.sync += next_valid.eq(valid)
            with m.If(valid):
                m.d.sync += following.eq(word)
            valid, word = next_valid, following
        m.d.comb += [
            answer.valid.eq(valid | self.ls.response.valid),
            answer.payload.data.eq(Mux(valid, word, self.ls.response.payload.data)),
            answer.payload.error.eq(Mux(valid, 0, self.ls.response.payload.error)),
        ]
        return m
