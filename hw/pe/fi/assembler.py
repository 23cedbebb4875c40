# SPDX-License-Identifier: Apache-2.0
"""From words of local memory to lines that will be written."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import PingPongBuffer
from hw.pe.fi.fetcher import N_READ_SLOTS, beat_layout
from hw.pe.fi.geometry import FiGeometry
from hw.pe.fi.lanes import below, shift_down

__all__ = ["LineAssembler", "assembled_layout"]


def assembled_layout(geometry: FiGeometry) -> data.StructLayout:
    """A line to write."""
    return data.StructLayout(
        {
            "line": geometry.line_layout,
            "data": 8 * geometry.link_bytes,
            "strobe": geometry.link_bytes,
            "bad": 1,  # a byte in use has wrong parity
        }
    )


class LineAssembler(wiring.Component):
    """Turns words into lines: joins neighbours and shifts them to the line's lanes.

    Operation
        Keeps the last word it took, since the next line of the run may begin in it.

    Timing
        A beat per cycle; a line comes out the cycle after its beat. The only combinational paths
        are those from `beats` and `words` to their own `ready`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    beats : In(stream.Signature(beat_layout(geometry))), what to do.
    words : In(stream.Signature(...)).array(2), words with error bits, first one in `words[0]`.
    lines : Out(stream.Signature(assembled_layout(geometry))), lines to write.
    """

    def __init__(self, *, geometry: FiGeometry) -> None:
        self.geometry = geometry
        word = data.StructLayout({"data": 8 * geometry.word_bytes, "error": geometry.word_bytes})
        super().__init__(
            {
                "beats": In(stream.Signature(beat_layout(geometry))),
                "words": In(stream.Signature(word)).array(N_READ_SLOTS),
                "lines": Out(stream.Signature(assembled_layout(geometry))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.joined = joined = PingPongBuffer(shape=self._joined_layout)
        beat = self.beats.payload
        complete = Signal()  # the beat has its words
        m.d.comb += [
            complete.eq(
                self.beats.valid
                & ((beat.n_new < 1) | self.words[0].valid)
                & ((beat.n_new < 2) | self.words[1].valid)
            ),
            joined.i.valid.eq(complete & beat.emit),
            self.beats.ready.eq(complete & (joined.i.ready | ~beat.emit)),
            self.words[0].ready.eq(self.beats.ready & (beat.n_new >= 1)),
            self.words[1].ready.eq(self.beats.ready & (beat.n_new >= 2)),
            joined.i.payload.line.eq(beat.line),
        ]
        self._elaborate_data(m, beat, joined.i.payload)
        self._elaborate_lines(m, joined.o)
        return m

    @property
    def _joined_layout(self) -> data.StructLayout:
        """A line with its bytes, in use or not, and their error bits."""
        link_bytes = self.geometry.link_bytes
        return data.StructLayout(
            {"line": self.geometry.line_layout, "data": 8 * link_bytes, "error": link_bytes}
        )

    def _elaborate_data(self, m: Module, beat: data.View, joined: data.View) -> None:
        """Take the line's bytes, and their error bits, out of its window of three words."""
        for field, width in (("data", 8), ("error", 1)):
            new = [word.payload[field] for word in self.words]
            kept = Signal.like(new[0], name=f"kept_{field}")
            with m.If(self.beats.ready & (beat.n_new != 0)):
                m.d.sync += kept.eq(Mux(beat.n_new == 2, new[1], new[0]))
            window = Cat(_window(beat.skip, kept, new))
            line = shift_down(
                m,
                window,
                beat.line.place.rotation,
                self.geometry.link_bytes,
                unit=width,
                name=field,
            )
            m.d.comb += joined[field].eq(line)

    def _elaborate_lines(self, m: Module, joined: stream.Interface) -> None:
        """Which bytes are in use, and whether one of them has wrong parity."""
        out, link_bytes = self.lines.payload, self.geometry.link_bytes
        item = joined.payload
        place = item.line.place
        m.d.comb += [
            self.lines.valid.eq(joined.valid),
            joined.ready.eq(self.lines.ready),
            out.line.eq(item.line),
            out.data.eq(item.data),
            out.strobe.eq(below(place.end, link_bytes) & ~below(place.first, link_bytes)),
            out.bad.eq((item.error & out.strobe).any()),
        ]


def _window(skip: Value, kept: Value, new: list[Value]) -> list[Value]:
    """The three pieces of a line's window, when the first new word is piece `skip`."""
    return [
        Mux(skip == 0, new[0], kept),
        Mux(skip == 0, new[1], new[0]),
        Mux(skip == 2, new[0], new[1]),
    ]
