# SPDX-License-Identifier: Apache-2.0
"""From words of local memory to lines that will be written."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.fi.fetcher import N_READ_SLOTS, beat_layout
from hw.pe.fi.geometry import FiGeometry
from hw.pe.fi.lanes import below, merge, rotate_up, spread

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
    """Turns words into lines: rotates them to the line's lanes and joins neighbours.

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
        new, new_errors = self._elaborate_rotation(m, place)
        kept, kept_errors = Signal.like(new[0]), Signal.like(new_errors[0])
        with m.If(self.beats.ready & (beat.n_new != 0)):
            m.d.sync += [
                kept.eq(Mux(beat.n_new == 2, new[1], new[0])),
                kept_errors.eq(Mux(beat.n_new == 2, new_errors[1], new_errors[0])),
            ]

        n_own = self.geometry.word_bytes - place.rotation  # lanes before the next piece begins
        own = Signal(self.geometry.word_bytes)
        errors = Signal(self.geometry.link_bytes)
        link_bytes = self.geometry.link_bytes
        m.d.comb += own.eq(below(n_own, self.geometry.word_bytes))
        pieces = _window(beat.skip, kept, new)
        faults = _window(beat.skip, kept_errors, new_errors)
        mask = spread(m, own, name="own")
        m.d.comb += [
            out.data.eq(
                Cat(
                    merge(m, mask, pieces[0], pieces[1], name="low"),
                    merge(m, mask, pieces[1], pieces[2], name="high"),
                )
            ),
            errors.eq(
                Cat((faults[0] & own) | (faults[1] & ~own), (faults[1] & own) | (faults[2] & ~own))
            ),
            out.strobe.eq(below(place.end, link_bytes) & ~below(place.first, link_bytes)),
            out.bad.eq((errors & out.strobe).any()),
        ]
        return m

    def _elaborate_rotation(self, m: Module, place: data.View) -> tuple[list, list]:
        """The new words, and their error bits, in the line's lanes."""
        words, errors = [], []
        back = Signal.like(place.rotation)
        m.d.comb += back.eq(-place.rotation)
        for index, word in enumerate(self.words):
            turned = Signal(8 * self.geometry.word_bytes, name=f"word{index}")
            marks = Signal(self.geometry.word_bytes, name=f"errors{index}")
            error = word.payload.error
            m.d.comb += [
                turned.eq(rotate_up(m, word.payload.data, back, name=f"turned{index}")),
                marks.eq(Cat(error, error) >> place.rotation),
            ]
            words.append(turned)
            errors.append(marks)
        return words, errors


def _window(skip: Value, kept: Value, new: list[Value]) -> list[Value]:
    """The three pieces of a line's window, when the first new word is piece `skip`."""
    return [
        Mux(skip == 0, new[0], kept),
        Mux(skip == 0, new[1], new[0]),
        Mux(skip == 2, new[0], new[1]),
    ]
