# SPDX-License-Identifier: Apache-2.0
"""Proofs of the switch with queues at its crossings."""

import pytest
from amaranth.hdl import Cat, Mux, Signal

from hw.net.crosspoint import CrosspointSwitch
from tb.formal.common import Proof
from tb.formal.follow import assume_source, check_sink, follow

N = 2


def add_switch(name: str, depth: int) -> tuple[Proof, CrosspointSwitch]:
    """Two inputs and two outputs; a flit tells by its upper bit which input it came from."""
    proof = Proof(f"{name}_{depth}")
    dut = proof.add(CrosspointSwitch(shape=2, n_inputs=N, n_outputs=N, depth=depth))
    for index, (port, target) in enumerate(zip(dut.i, dut.target, strict=True)):
        assume_source(proof, f"i{index}", port, target)
        proof.assume((target == 1) | (target == 2))
        proof.assume(port.payload[1] == index)
    return proof, dut


@pytest.mark.parametrize("depth", [1, 2])
def test_each_pair_of_ports_keeps_its_order(depth: int) -> None:
    """No flit is lost, doubled, changed, or comes out at another output, for any of the pairs."""
    proof, dut = add_switch("crosspoint_order", depth)
    a, b = proof.constant(1, "a"), proof.constant(1, "b")
    capacity = depth + 2  # in its queue and behind it
    put = Cat(port.valid & port.ready & dut.target[at][1] for at, port in enumerate(dut.i))
    put = Mux(b, put, Cat(port.valid & port.ready for port in dut.i) & ~put)
    got = [port.valid & port.ready & (port.payload[1] == a) for port in dut.o]
    followed = follow(
        proof,
        "pair",
        put=put.bit_select(a, 1),
        word_in=Mux(a, dut.i[1].payload, dut.i[0].payload),
        got=Mux(b, got[1], got[0]),
        word_out=Mux(b, dut.o[1].payload, dut.o[0].payload),
        capacity=capacity,
    )
    proof.reach(followed.n_held == capacity, "full", cycles=10)
    proof.prove()


def test_outputs_obey_the_stream_rules() -> None:
    """An offered flit stays, whatever else comes."""
    proof, dut = add_switch("crosspoint_stream_rules", 1)
    for index, port in enumerate(dut.o):
        check_sink(proof, f"o{index}", port)
    proof.prove()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_stalled_output_holds_up_no_other(depth: int) -> None:
    """While output 0 takes nothing for ever, and output 1 everything, a flit for output 1 waits at
    its input as long as it would otherwise: for one flit of the other input and one of its own."""
    proof, dut = add_switch("crosspoint_stalled", depth)
    proof.assume(~dut.o[0].ready & dut.o[1].ready)
    for index, port in enumerate(dut.i):
        waits = port.valid & ~port.ready & dut.target[index][1]
        n_waits = Signal(range(4), name=f"n_waits{index}")
        proof.m.d.sync += n_waits.eq(Mux(waits, n_waits + 1, 0))
        proof.check(n_waits + waits <= 2, f"input {index} is served in time")
    blocked = dut.i[0].valid & ~dut.i[0].ready & dut.target[0][0]
    proof.reach(blocked & dut.i[1].ready & dut.i[1].valid, "full towards output 0", cycles=12)
    proof.prove()
