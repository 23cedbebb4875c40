# SPDX-License-Identifier: Apache-2.0
"""Proofs of a row that is left out: which lanes go where, and rows that pass its tiles."""

from amaranth.hdl import Cat, Mux, Signal, Value

from hw.grid.link_pass import LinkPass
from hw.grid.spare_row import ROW_BITS, RowMap, spread_rows, used_rows
from tb.formal.common import Proof

ROWS, POSITIONS = 3, 2


def same(source: object, target: object) -> Value:
    """One stream is the other, in both directions."""
    return (
        (source.valid == target.valid)
        & (source.ready == target.ready)
        & (Value.cast(source.payload) == Value.cast(target.payload))
    )


def test_each_used_row_has_one_row_of_tiles() -> None:
    """Used rows keep their order and meet no row twice; the one that is left out gets nothing,
    waits for nobody and is not heard. Would break if two rows answered on one lane."""
    proof = Proof("row_map")
    dut = proof.add(RowMap(rows=ROWS, n_positions=POSITIONS))
    proof.assume(dut.left_out <= ROWS)
    for row in range(ROWS + 1):
        is_left_out = dut.left_out == row
        used = Mux(dut.left_out < row, row - 1, row)  # rows above it that are there
        for number in range(ROWS):
            is_it = ~is_left_out & (used == number)
            name = f"row {number} of tiles {row}"
            proof.check(~is_it | same(dut.used_down[number], dut.down[row]), f"down: {name}")
            proof.check(~is_it | same(dut.up[row], dut.used_up[number]), f"up: {name}")
            moved = dut.used_moved[number] == dut.moved[row]
            proof.check(~is_it | moved, f"moved: {name}")
        proof.check(~is_left_out | ~dut.down[row].valid, f"no access: {row}")
        proof.check(~is_left_out | dut.up[row].ready, f"never held up: {row}")
    proof.reach(
        (dut.left_out == 1) & Cat(up.valid & up.ready for up in dut.used_up).all(),
        "all rows report around one",
        cycles=2,
    )
    proof.prove()


def test_a_mask_is_spread_without_loss() -> None:
    """Rows of a mask are found again behind the map, none is added, none is the one left out."""
    proof = Proof("row_masks")
    mask, left_out = proof.free(ROWS, "mask"), proof.free(ROW_BITS, "left_out")
    proof.assume(left_out <= ROWS)
    spread = Signal(ROWS + 1)
    proof.m.d.comb += spread.eq(spread_rows(mask, left_out))
    proof.check(Cat(used_rows(list(spread), left_out)) == mask, "found again")
    proof.check(~spread.bit_select(left_out, 1), "not the one that is left out")
    proof.reach(spread == 0b1101, "all but one", cycles=2)
    proof.prove()


def add_link_pass(name: str) -> tuple[Proof, LinkPass]:
    """A way past a tile, whose sender keeps its row as it is until it is taken or disappears."""
    proof = Proof(name)
    dut = proof.add(LinkPass(columns=1))
    waits = proof.past(dut.i.valid & ~dut.i.ready, "waits")
    kept = Value.cast(dut.i.payload) == proof.past(dut.i.payload, "row")
    proof.assume(~(waits & dut.i.valid) | kept)
    return proof, dut


def test_a_row_leaves_its_sender_when_its_receiver_has_it() -> None:
    """Each row that leaves is the one that arrives, in that cycle, and none arrives else, but in
    the cycle in which its sender withdraws it; later a row that is withdrawn is gone. Would break
    if a job found a row of another one, or a command ended whose row nobody took."""
    proof, dut = add_link_pass("link_pass")
    leaves, arrives = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    withdrawn = ~dut.i.valid & proof.past(dut.i.valid & ~dut.i.ready, "waited")
    proof.check(~leaves | arrives, "nothing leaves that does not arrive")
    proof.check(~arrives | leaves | withdrawn, "nothing arrives that does not leave")
    same_row = Value.cast(dut.o.payload) == Value.cast(dut.i.payload)
    proof.check(~dut.o.valid | ~dut.i.valid | same_row, "the row is the sender's")
    proof.check(~dut.o.valid | dut.i.valid | withdrawn, "a row that is withdrawn is gone")
    n_passed = Signal(2)
    proof.m.d.sync += n_passed.eq(n_passed + (leaves & (n_passed != 3)))
    proof.reach(n_passed == 2, "two rows", cycles=8)
    proof.reach(withdrawn & (n_passed == 1), "withdrawn behind another", cycles=8)
    proof.prove()


def test_a_row_is_shown_in_time_and_stays() -> None:
    """In the second cycle for which it waits, and until it is taken or withdrawn."""
    proof, dut = add_link_pass("link_pass_in_time")
    waits = proof.past(dut.i.valid & ~dut.i.ready, "waited")
    proof.check(~waits | dut.o.valid, "shown one cycle later")
    proof.check(~dut.o.valid | waits, "only then")
    stalled = proof.past(dut.o.valid & ~dut.o.ready & dut.i.valid, "stalled")
    proof.check(~stalled | dut.o.valid, "stays")
    kept = Value.cast(dut.o.payload) == proof.past(dut.o.payload, "shown_row")
    proof.check(~(stalled & dut.i.valid) | kept, "does not change")
    proof.reach(dut.o.valid & proof.past(dut.o.valid, "shown"), "the receiver waits", cycles=6)
    proof.prove()
