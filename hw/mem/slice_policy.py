# SPDX-License-Identifier: Apache-2.0
"""Decides, cycle by cycle, who uses the array of an SRAM slice."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SlicePolicy"]


class _Turn(enum.Enum, shape=1):
    """Who goes first when both want the array."""

    READ = 0
    WRITE = 1


class SlicePolicy(wiring.Component):
    """At most one array access per cycle, and at most one write into the combining line.

    Operation: reads and writes take turns when both want the array. A read of the held line first
    has it merged, and nothing new is held until that read was served, so that no stream of partial
    writes can keep a reader waiting. A merge is a read of the line (`fetch`), whose bytes fill what
    is not held when they come (`filled`), and then a write; others use the array between. A fault
    is injected in the same way, while nothing is held. Faults and clearing go before all others.

    Timing: all outputs answer in the same cycle (combinational paths). `merge` and `inject_write`
    come in the cycle after `filled`.

    Members
    -------
    read_valid, read_hit, read_room : In(1), a read waits; for the held line; there is room for what
        is read.
    write_valid, write_hit, write_whole, write_room : In(1), a write waits; for the held line;
        covers only whole words; its acknowledgement has room.
    held, expired : In(1), state of the combining line.
    filled : In(1), pulse: the fetched line, or the fault's line, is there.
    inject_valid, clear, clear_last : In(1), a fault waits; pulse: clear; the last line is cleared
        now.
    read_go, write_go, take : Out(1), the read, the write goes to the array; the write is held.
    fetch, merge : Out(1), the held line is read; is written, and no longer held.
    inject_read, inject_write : Out(1), the fault's line is read; is written.
    clear_go, clearing : Out(1), a line is cleared; clearing is wanted or under way.
    fetching, injecting : Out(1), since the cycle after `fetch` or `inject_read`; the latter.
    storing, zeroing : Out(1), `merge` or `inject_write`, and `clear_go`, from registers of their
        own, as so many bits of data are selected by them.
    """

    def __init__(self) -> None:
        inputs = (
            "read_valid",
            "read_hit",
            "read_room",
            "write_valid",
            "write_hit",
            "write_whole",
            "write_room",
            "held",
            "expired",
            "filled",
            "inject_valid",
            "clear",
            "clear_last",
        )
        outputs = (
            "read_go",
            "write_go",
            "take",
            "fetch",
            "merge",
            "inject_read",
            "inject_write",
            "clear_go",
            "clearing",
            "fetching",
            "injecting",
            "storing",
            "zeroing",
        )
        super().__init__({name: In(1) for name in inputs} | {name: Out(1) for name in outputs})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for_reader = Signal()  # somebody waits for the line being merged: hold nothing new
        clear_wanted = Signal()
        write_ready, partial, free = Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.held & ~self.fetching & ~self.inject_valid),
            write_ready.eq(self.write_valid & self.write_room),
            partial.eq(write_ready & ~self.write_whole),
            self.clearing.eq(clear_wanted | self.clear),
        ]
        with m.If(self.clear):
            m.d.sync += clear_wanted.eq(1)
        m.d.sync += self.storing.eq(0)
        with m.FSM(name="state"):
            with m.State("SERVE"):
                with m.If(self.filled):
                    m.d.sync += self.storing.eq(1)
                    m.next = "STORE"
                with m.Elif(clear_wanted & ~self.fetching):
                    m.d.sync += self.zeroing.eq(1)
                    m.next = "CLEAR"
                with m.If(~clear_wanted):
                    m.d.comb += self.take.eq(
                        ((write_ready & self.write_hit) | (partial & free)) & ~self.filled
                    )
                    self._elaborate_serve(m, for_reader, write_ready, partial)
            with m.State("STORE"):
                m.d.comb += [
                    self.merge.eq(~self.injecting),
                    self.inject_write.eq(self.injecting),
                    self.take.eq(partial & ~for_reader & ~self.injecting),
                ]
                m.d.sync += [self.fetching.eq(0), self.injecting.eq(0)]
                m.next = "SERVE"
            with m.State("CLEAR"):
                m.d.comb += self.clear_go.eq(1)
                with m.If(self.clear_last):
                    m.d.sync += [clear_wanted.eq(0), self.zeroing.eq(0)]
                    m.next = "SERVE"
        return m

    def _elaborate_serve(
        self, m: Module, for_reader: Signal, write_ready: Signal, partial: Signal
    ) -> None:
        """Choose the array's user when it is in no sequence."""
        turn = Signal(_Turn)
        may_fetch, reads, direct, conflict = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            may_fetch.eq(self.read_room & ~self.fetching),
            # Whether it is for the held line decides what it does, not whether it has its turn: so
            # no write waits for that comparison. One whose line is being merged lets others go.
            reads.eq(self.read_valid & self.read_room & ~(self.fetching & for_reader)),
            direct.eq(write_ready & self.write_whole & ~self.write_hit),
            conflict.eq(partial & ~self.write_hit & self.held & may_fetch),
        ]
        with m.If(self.inject_valid):
            with m.If(may_fetch):
                m.d.comb += [self.fetch.eq(self.held), self.inject_read.eq(~self.held)]
        with m.Elif(reads & ((turn == _Turn.READ) | ~(direct | conflict))):
            m.d.comb += [
                self.fetch.eq(self.read_hit & ~self.fetching),
                self.read_go.eq(~self.read_hit),
            ]
            # The turn stays with a read that only got its line merged.
            m.d.sync += turn.eq(self.read_go)
        with m.Elif(direct):
            m.d.comb += self.write_go.eq(1)
            m.d.sync += turn.eq(_Turn.READ)
        with m.Elif(conflict):
            m.d.comb += self.fetch.eq(1)
            m.d.sync += turn.eq(_Turn.READ)
        with m.Elif(self.expired & may_fetch):
            m.d.comb += self.fetch.eq(1)
        with m.If(self.fetch | self.inject_read):
            m.d.sync += [
                self.fetching.eq(1),
                self.injecting.eq(self.inject_read),
                for_reader.eq(self.inject_valid | (self.read_valid & self.read_hit)),
            ]
