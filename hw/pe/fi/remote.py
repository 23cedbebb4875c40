# SPDX-License-Identifier: Apache-2.0
"""Access to local memory from outside the element."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import PE_WINDOW_BYTES
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.iface.pe import LsReadPort, LsWritePort
from hw.lib.elastic import PipeStage, SkidBuffer, StreamFifo
from hw.pe.fi.geometry import FiGeometry

__all__ = ["RemoteAccess"]

_WORDS_PER_LINE = 2
_READS_AHEAD = 8  # a line that was taken is answered 6 cycles later at the latest, if granted
_WRITES_AHEAD = 4
_WINDOW_LOG2 = PE_WINDOW_BYTES.bit_length() - 1


class RemoteAccess(wiring.Component):
    """Reads and writes lines of local memory for whoever asks: the host, other elements.

    Operation
        1. The low bits of an address are the byte address in local memory; what lies behind it in
           the element's window answers `error` and touches nothing.
        2. A line is two words; each has a slot of its own, and a line is answered when both were
           granted. Of a write only words with a strobe are touched; once acknowledged it is seen
           by everybody.
        3. A line with wrong parity in any byte, used or not, answers `poison`.
        4. Reads are answered in order, so are writes. Nothing here waits for the element's own
           commands or requests: only for local memory, which grants in bounded time, and for the
           one who asked to take the answer.
        5. Under `remote_hold` nothing new is taken; `remote_idle` rises when all that was taken is
           answered.

    Timing
        Read: 3 cycles and local memory's latency from request to answer, write: 3, when words are
        granted at once; a line per cycle each. Local memory is asked from registers, and its grants
        go into registers alone.

    Parameters
    ----------
    geometry : sizes.
    read_tag_width, write_tag_width : bits of tags.

    Members
    -------
    remote_read : In(MemoryReadPort(...)). remote_write : In(MemoryWritePort(...)).
    ls_read : Out(LsReadPort(...)).array(2). ls_write : Out(LsWritePort(...)).array(2).
    remote_hold : In(1), take nothing new. remote_idle : Out(1), nothing is under way.
    """

    def __init__(self, *, geometry: FiGeometry, read_tag_width: int, write_tag_width: int) -> None:
        self.geometry = geometry
        link_bytes = geometry.link_bytes
        slot = {
            "address_width": geometry.word_address_width,
            "word_bytes": geometry.word_bytes,
        }
        super().__init__(
            {
                "remote_read": In(MemoryReadPort(link_bytes=link_bytes, tag_width=read_tag_width)),
                "remote_write": In(
                    MemoryWritePort(link_bytes=link_bytes, tag_width=write_tag_width)
                ),
                "ls_read": Out(LsReadPort(**slot)).array(_WORDS_PER_LINE),
                "ls_write": Out(LsWritePort(**slot)).array(_WORDS_PER_LINE),
                "remote_hold": In(1),
                "remote_idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        busy = [*self._elaborate_reads(m), *self._elaborate_writes(m)]
        m.d.comb += self.remote_idle.eq(~Cat(busy).any())
        return m

    def _elaborate_reads(self, m: Module) -> tuple[Value, Value]:
        """Ask for both words, keep the order, answer when both are there."""
        asked = self._take(m, self.remote_read.request, name="asked_read")
        answer = self.remote_read.response
        m.submodules.reads = order = StreamFifo(
            shape=data.StructLayout({"tag": len(answer.payload.tag), "error": 1}),
            depth=_READS_AHEAD,
        )
        outside = self._outside(asked.payload.address)
        slots, words = [], []
        for index, port in enumerate(self.ls_read):
            m.submodules[f"asking{index}"] = slot = SkidBuffer(shape=port.request.payload.shape())
            # A line in the order has room in both queues, which are as deep.
            m.submodules[f"words{index}"] = queue = StreamFifo(
                shape=port.response.payload.shape(), depth=_READS_AHEAD
            )
            wiring.connect(m, slot.o, wiring.flipped(port.request))
            m.d.comb += [
                slot.i.valid.eq(order.i.valid & ~outside),
                slot.i.payload.eq(self._word(asked.payload.address, index)),
                queue.i.valid.eq(port.response.valid),
                queue.i.payload.eq(port.response.payload),
                queue.o.ready.eq(answer.valid & answer.ready & ~order.o.payload.error),
            ]
            slots.append(slot.i)
            words.append(queue.o)
        m.d.comb += [
            asked.ready.eq(order.i.ready & Cat(slot.ready for slot in slots).all()),
            order.i.valid.eq(asked.valid & asked.ready),
            order.i.payload.tag.eq(asked.payload.tag),
            order.i.payload.error.eq(outside),
            answer.valid.eq(
                order.o.valid & (order.o.payload.error | Cat(word.valid for word in words).all())
            ),
            order.o.ready.eq(answer.valid & answer.ready),
            answer.payload.data.eq(Cat(word.payload.data for word in words)),
            answer.payload.tag.eq(order.o.payload.tag),
            answer.payload.error.eq(order.o.payload.error),
            answer.payload.poison.eq(
                Cat(word.payload.error for word in words).any() & ~order.o.payload.error
            ),
        ]
        return asked.valid, order.o.valid

    def _elaborate_writes(self, m: Module) -> tuple[Value, Value]:
        """Send the words that have a strobe; acknowledge when they are granted."""
        asked = self._take(m, self.remote_write.request, name="asked_write")
        answer = self.remote_write.response
        layout = {"answer": answer.payload.shape(), "used": _WORDS_PER_LINE}
        m.submodules.writes = order = StreamFifo(
            shape=data.StructLayout(layout), depth=_WRITES_AHEAD
        )
        outside = self._outside(asked.payload.address)
        leaves, used = Signal(), order.i.payload.used
        ready, written = [], []
        for index, port in enumerate(self.ls_write):
            m.submodules[f"writing{index}"] = slot = SkidBuffer(shape=port.request.payload.shape())
            wiring.connect(m, slot.o, wiring.flipped(port.request))
            word, size = slot.i.payload, self.geometry.word_bytes
            m.d.comb += [
                word.address.eq(self._word(asked.payload.address, index)),
                word.data.eq(asked.payload.data.word_select(index, 8 * size)),
                word.strobe.eq(asked.payload.strobe.word_select(index, size)),
                used[index].eq(word.strobe.any() & ~outside),
                slot.i.valid.eq(order.i.valid & used[index]),
            ]
            n_written = Signal(range(_WRITES_AHEAD + 1), name=f"n_written{index}")  # of those not
            granted = Signal(name=f"granted{index}")  # acknowledged yet
            takes = leaves & order.o.payload.used[index]
            m.d.comb += granted.eq(slot.o.valid & slot.o.ready)
            with m.If(granted != takes):
                m.d.sync += n_written.eq(Mux(granted, n_written + 1, n_written - 1))
            ready.append(slot.i.ready)
            written.append(~order.o.payload.used[index] | (n_written != 0))
        m.d.comb += [
            asked.ready.eq(order.i.ready & Cat(ready).all()),
            order.i.valid.eq(asked.valid & asked.ready),
            order.i.payload.answer.tag.eq(asked.payload.tag),
            order.i.payload.answer.error.eq(outside),
            answer.payload.eq(order.o.payload.answer),
            answer.valid.eq(order.o.valid & Cat(written).all()),
            leaves.eq(answer.valid & answer.ready),
            order.o.ready.eq(leaves),
        ]
        return asked.valid, order.o.valid

    def _take(self, m: Module, requests: stream.Interface, *, name: str) -> stream.Interface:
        """Requests, a register on; none under `remote_hold`."""
        m.submodules[name] = stage = PipeStage(shape=requests.payload.shape())
        m.d.comb += [
            stage.i.valid.eq(requests.valid & ~self.remote_hold),
            stage.i.payload.eq(requests.payload),
            requests.ready.eq(stage.i.ready & ~self.remote_hold),
        ]
        return stage.o

    def _outside(self, address: Value) -> Value:
        """Whether a line lies behind local memory."""
        return address[self.geometry.byte_address_width : _WINDOW_LOG2].any()

    def _word(self, address: Value, index: int) -> Value:
        """Address of a word of the line."""
        line = address[self.geometry.link_log2 : self.geometry.byte_address_width]
        return Cat(Const(index, 1), line)
