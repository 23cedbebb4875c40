# SPDX-License-Identifier: Apache-2.0
"""From words of local memory to lines that will be written."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

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
        A beat per cycle. Combinational paths from `beats` and `words` to `lines`, and from
        `lines.ready` to `beats.ready` and `words.ready`.

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
        beat, out = self.beats.payload, self.lines.payload
        place = beat.line.place
        complete = Signal()  # the beat has its words
        m.d.comb += [
            complete.eq(
                self.beats.valid
                & ((beat.n_new < 1) | self.words[0].valid)
                & ((beat.n_new < 2) | self.words[1].valid)
            ),
            self.lines.valid.eq(complete & beat.emit),
            self.beats.ready.eq(complete & (self.lines.ready | ~beat.emit)),
            self.words[0].ready.eq(self.beats.ready & (beat.n_new >= 1)),
            self.words[1].ready.eq(self.beats.ready & (beat.n_new >= 2)),
            out.line.eq(beat.line),
        ]
        self._elaborate_data(m, beat, place)
        return m

    def _elaborate_data(self, m: Module, beat: data.View, place: data.View) -> None:
        """Take the line's bytes, and their error bits, out of its window of three words."""
        out, link_bytes = self.lines.payload, self.geometry.link_bytes
        for field, width in (("data", 8), ("error", 1)):
            new = [word.payload[field] for word in self.words]
            kept = Signal.like(new[0], name=f"kept_{field}")
            with m.If(self.beats.ready & (beat.n_new != 0)):
                m.d.sync += kept.eq(Mux(beat.n_new == 2, new[1], new[0]))
            window = Cat(_window(beat.skip, kept, new))
            line = shift_down(m, window, place.rotation, link_bytes, unit=width, name=field)
            if field == "data":
                m.d.comb += out.data.eq(line)
            else:
                m.d.comb += out.bad.eq((line & out.strobe).any())
        m.d.comb += out.strobe.eq(below(place.end, link_bytes) & ~below(place.first, link_bytes))


def _window(skip: Value, kept: Value, new: list[Value]) -> list[Value]:
    """The three pieces of a line's window, when the first new word is piece `skip`."""
    return [
        Mux(skip == 0, new[0], kept),
        Mux(skip == 0, new[1], new[0]),
        Mux(skip == 2, new[0], new[1]),
    ]
