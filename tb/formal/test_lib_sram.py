# SPDX-License-Identifier: Apache-2.0
"""Proofs of the SRAM wrappers: what was written, lane by lane, is what is read."""

import pytest
from amaranth.hdl import Signal
from amaranth.lib import wiring

from hw.lib.sram import DualPortSram, Sram
from tb.formal.common import Proof

SHAPES = {"w4_l2_d4": (4, 2, 4), "w3_l1_d3": (3, 1, 3), "w2_l2_d2": (2, 2, 2)}
"""Width, lane width and depth of each memory proved."""


class WatchedLane:
    """What one lane of one word must hold, and what the next read of it must show."""

    def __init__(
        self,
        proof: Proof,
        dut: wiring.Component,
        r_en: Signal,
        r_addr: Signal,
        w_en: Signal,
        w_addr: Signal,
    ) -> None:
        m, lane_width = proof.m, dut.lane_width
        self.addr = proof.constant(range(dut.depth), "watched_addr")
        proof.assume(self.addr < dut.depth)
        lane = proof.constant(range(max(dut.n_lanes, 2)), "watched_lane")
        proof.assume(lane < dut.n_lanes)
        self.content = Signal(lane_width)
        self.written = Signal()
        self.expected = Signal(lane_width)
        self.expects = Signal()
        self.shown = dut.r_data.word_select(lane, lane_width)
        with m.If(w_en & (w_addr == self.addr) & dut.w_mask.bit_select(lane, 1)):
            m.d.sync += [
                self.content.eq(dut.w_data.word_select(lane, lane_width)),
                self.written.eq(1),
            ]
        with m.If(r_en):
            m.d.sync += [
                self.expects.eq((r_addr == self.addr) & self.written),
                self.expected.eq(self.content),
            ]
        proof.check(~self.expects | (self.shown == self.expected), "reads what was written")
        proof.reach(
            self.expects & self.written & (self.content != self.expected), "overwritten", cycles=7
        )


@pytest.mark.parametrize("name", SHAPES)
def test_single_port_reads_what_was_written(name: str) -> None:
    """Each lane of each word keeps what was written last, and shows it until the next read."""
    width, lane_width, depth = SHAPES[name]
    proof = Proof(f"sram_1rw_{name}")
    dut = proof.add(Sram(width=width, depth=depth, lane_width=lane_width))
    proof.assume(dut.addr < depth)
    writes = dut.w_mask.any()
    WatchedLane(proof, dut, dut.en & ~writes, dut.addr, dut.en & writes, dut.addr)
    idle = proof.started & proof.past(~(dut.en & ~writes))
    proof.check(
        ~idle | (dut.r_data == proof.past(dut.r_data, "r_data_past")), "output holds without a read"
    )
    proof.prove()


@pytest.mark.parametrize("name", SHAPES)
def test_dual_port_reads_the_old_word(name: str) -> None:
    """As with one port; a read in the cycle of a write shows the word from before it."""
    width, lane_width, depth = SHAPES[name]
    proof = Proof(f"sram_1r1w_{name}")
    dut = proof.add(DualPortSram(width=width, depth=depth, lane_width=lane_width))
    proof.assume((dut.r_addr < depth) & (dut.w_addr < depth))
    watched = WatchedLane(proof, dut, dut.r_en, dut.r_addr, dut.w_mask.any(), dut.w_addr)
    same_cycle = dut.r_en & dut.w_mask.any() & (dut.r_addr == dut.w_addr)
    proof.reach(proof.past(same_cycle) & watched.expects, "read and write meet", cycles=7)
    proof.prove()
