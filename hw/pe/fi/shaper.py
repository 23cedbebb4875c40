# SPDX-License-Identifier: Apache-2.0
"""A leaky bucket that limits how many lines a second leave."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.limits import RateLimit
from hw.lib.compare import not_below

__all__ = ["LimitTerms", "Shaper"]

_PERIOD_LOG2 = 8  # rates are in bytes per 2^8 cycles
_LEVEL_BITS = 16 + _PERIOD_LOG2


class LimitTerms(data.Struct):
    """What follows of a limit alone, in registers so that no sum waits for another one."""

    full: unsigned(_LEVEL_BITS)
    full_and_line: unsigned(_LEVEL_BITS + 1)
    full_and_rate: unsigned(_LEVEL_BITS + 1)
    gain: unsigned(16)
    gain_less_line: signed(_LEVEL_BITS + 1)


class Shaper(wiring.Component):
    """Says when the next line may leave, so that a rate holds.

    Operation: a bucket gains `rate` / 256 bytes in each cycle, up to `burst` bytes (a line at
    least); a line needs a full line's bytes in it and takes them, whatever part of it is in use. A
    rate of 0 is no limit, and keeps the bucket full.

    Timing: in any n cycles in a row at most burst + n * rate / 256 bytes leave. A source that
    always has a line sends min(1, rate / (256 * line_bytes)) lines per cycle if the burst is at
    least line_bytes + rate / 256; with less, gains run over and lines come a whole number of cycles
    apart. `may_go` depends on registers only: that a limit is given counts two cycles later,
    that it is lifted one.

    Parameters
    ----------
    line_bytes : what one line takes.

    Members
    -------
    limit : In(RateLimit), rate and burst.
    went : In(1), a line leaves in this cycle; only while `may_go`.
    may_go : Out(1), a line may leave.
    level : Out(24), what is in the bucket, in bytes / 256.
    terms : Out(LimitTerms), what follows of the limit of the cycle before.

    Raises: ValueError for a line that no bucket could hold.
    """

    def __init__(self, *, line_bytes: int) -> None:
        if not 1 <= line_bytes < 1 << 16:
            raise ValueError(f"Shaper line_bytes must be from 1 to 65535, not {line_bytes!r}.")
        self.line_bytes = line_bytes
        super().__init__(
            {
                "limit": In(RateLimit),
                "went": In(1),
                "may_go": Out(1),
                "level": Out(_LEVEL_BITS),
                "terms": Out(LimitTerms),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = self.line_bytes << _PERIOD_LOG2
        rate, level = self.limit.rate, self.level
        unlimited, terms, full = Signal(), self.terms, self.terms.full
        # The bucket before what left in the cycle before, and before it runs over: so `went`,
        # which comes late, meets no adder.
        gained, took = Signal(len(level) + 1), Signal()
        runs_over, coming = Signal(), Signal.like(gained)
        one, two = Signal(), Signal()  # so many lines are in `gained`
        limit = Signal.like(level)
        m.d.comb += [
            limit.eq(
                Mux(self.limit.burst < self.line_bytes, line, self.limit.burst << _PERIOD_LOG2)
            ),
            runs_over.eq(Mux(took, gained > terms.full_and_line, gained > full)),
            level.eq(Mux(runs_over, full, gained - Mux(took, line, 0))),
            coming.eq(
                Mux(
                    unlimited | runs_over,
                    terms.full_and_rate,
                    gained + Mux(took, terms.gain_less_line, terms.gain),
                )
            ),
            self.may_go.eq(unlimited | Mux(took, two, one)),
        ]
        m.d.sync += [
            unlimited.eq(rate == 0),
            full.eq(limit),
            terms.full_and_line.eq(limit + line),
            terms.full_and_rate.eq(limit + rate),
            terms.gain.eq(rate),
            terms.gain_less_line.eq(rate - line),
            gained.eq(coming),
            one.eq(_reaches(coming, line)),
            two.eq(_reaches(coming, 2 * line)),
            took.eq(self.went & (rate != 0)),
        ]
        return m


def _reaches(value: Value, bound: int) -> Value:
    """`value >= bound`; of a power of two without an adder."""
    if bound & (bound - 1):
        return not_below(value, bound)
    return value[bound.bit_length() - 1 :].any()
