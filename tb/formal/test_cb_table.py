# SPDX-License-Identifier: Apache-2.0
"""Proofs of the circular-buffer table: no overflow, no underflow, no early grant, nobody forgotten.

Two ports (either may produce or consume, on either buffer), two buffers, up to three units of room:
every interleaving of set-ups, acquires and dones, right and wrong ones.
"""

from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.lib import data

from hw.arch.traps import Trap
from hw.iface.pe import CbRole
from hw.pe.cp.cb_table import CircularBufferTable
from tb.formal.common import Proof

N_UNITS = 3
N_PORTS = 2
BOUND = 2 * N_PORTS + 2
"""Cycles within which a done, or an acquire that could be granted, is taken; both are reached."""


def add_table(name: str) -> tuple[Proof, CircularBufferTable, Signal]:
    """A table whose users obey the stream rules, and a buffer to watch."""
    proof = Proof(name)
    dut = proof.add(
        CircularBufferTable(n_cbs=2, n_units=N_UNITS, owners=(0, 1)),
        driven=("peek_cb",),
    )
    watched = proof.constant(1, "watched")
    proof.m.d.comb += dut.peek_cb.eq(watched)
    for i, port in enumerate(dut.ports):
        for what, request in (("acquire", port.acquire), ("done", port.done)):
            waits = proof.past(request.valid & ~request.ready, f"{what}{i}_waits")
            payload = Value.cast(request.payload)
            kept = proof.past(payload, f"{what}{i}_kept")
            proof.assume(~waits | (request.valid & (payload == kept)))
            proof.assume(request.payload.cb < 2)
    setup = dut.setup.payload
    proof.assume(setup.cb < 2)
    proof.assume((setup.depth != 0) & (setup.base + setup.depth <= N_UNITS))
    return proof, dut, watched


def is_producer(payload: data.View) -> Value:
    """Whether a request is about the producer's side."""
    return payload.role == CbRole.PRODUCER


def moves(dut: CircularBufferTable, watched: Signal, stream: str, producer: bool) -> Value:
    """How far this cycle's transfers move a pointer of the watched buffer; faults move none."""
    total: Value = Value.cast(0)
    for port in dut.ports:
        request = getattr(port, stream)
        here = (
            request.valid
            & request.ready
            & (request.payload.cb == watched)
            & (is_producer(request.payload) == producer)
            & ~dut.fault.valid
        )
        total = total | Mux(here, request.payload.advance[:2], 0)
    return total


def one_operation(dut: CircularBufferTable) -> Value:
    """At most one transfer takes place."""
    bits = Cat(
        *(stream.valid & stream.ready for port in dut.ports for stream in (port.acquire, port.done))
    )
    return (bits & (bits - 1)[: len(bits)]) == 0


def test_pointers_keep_their_order() -> None:
    """release <= claim <= commit <= reserve <= release + depth, by the transfers alone."""
    proof, dut, watched = add_table("cb_table_order")
    m, row = proof.m, dut.peek
    pointers = {name: Signal(4, name=name) for name in ("reserve", "commit", "claim", "release")}
    sources = {
        "reserve": ("acquire", True),
        "commit": ("done", True),
        "claim": ("acquire", False),
        "release": ("done", False),
    }
    # A set-up takes effect two cycles after it was taken.
    taken = proof.past(dut.setup.valid & (dut.setup.payload.cb == watched), "setup_taken")
    comes = proof.past(taken, "setup_comes")
    takes_place = comes & ~dut.fault.valid
    for name, pointer in pointers.items():
        with m.If(takes_place):
            m.d.sync += pointer.eq(0)
        with m.Else():
            m.d.sync += pointer.eq(pointer + moves(dut, watched, *sources[name]))
    pending = (pointers["reserve"] - pointers["commit"])[:4]
    filled = (pointers["commit"] - pointers["claim"])[:4]
    held = (pointers["claim"] - pointers["release"])[:4]
    with m.If(dut.peek_valid):
        proof.check(pending == row.pending, "pending is reserve to commit")
        proof.check(filled == row.filled, "filled is commit to claim")
        proof.check(held == row.held, "held is claim to release")
        proof.check(row.room + row.pending + row.filled + row.held == row.depth, "sum is depth")
        proof.check((row.depth != 0) & (row.base + row.depth <= N_UNITS), "stays where it is")
        proof.check((row.reserve < row.depth) & (row.claim < row.depth), "pointers inside")
        between = row.claim + row.pending + row.filled
        proof.check(
            (row.reserve == between) | (row.reserve + row.depth == between), "reserve leads claim"
        )
    proof.check(one_operation(dut), "one operation a cycle")
    proof.reach(
        dut.peek_valid & (row.pending != 0) & (row.filled != 0) & (row.held != 0),
        "all amounts at once",
        cycles=24,
    )
    proof.prove()


def test_grants_only_what_is_there() -> None:
    """An acquire is taken only with enough data (room); the grant follows with the right place."""
    proof, dut, watched = add_table("cb_table_grants")
    row = dut.peek
    for i, port in enumerate(dut.ports):
        request, grant = port.acquire.payload, port.grant.payload
        producer = is_producer(request)
        taken = port.acquire.valid & port.acquire.ready
        here = taken & (request.cb == watched)
        amount = Mux(producer, row.room, row.filled)
        user = Mux(producer, row.producer.as_value(), row.consumer.as_value())
        mine = ~user[0] | (user[1:] == i) | row.shared
        proof.check(
            ~here
            | (dut.peek_valid & (request.extent <= amount) & (request.advance <= amount) & mine),
            f"port {i} early",
        )
        proof.check(~taken | ~dut.halt, f"port {i} under halt")
        was_taken = proof.past(taken, f"taken{i}")
        was_here = proof.past(here, f"here{i}")
        place = proof.past(
            Cat(row.base, row.depth, Mux(producer, row.reserve, row.claim)), f"place{i}"
        )
        proof.check(port.grant.valid == was_taken, f"port {i} grant")
        proof.check(
            ~was_here | (Cat(grant.base[:2], grant.depth[:2], grant.pointer[:2]) == place),
            f"port {i} place",
        )
        proof.reach(was_here & (grant.pointer == 2), f"port {i} at 2", cycles=20)
    proof.prove()


def count_waiting(proof: Proof, dut: CircularBufferTable, waits: Value, name: str) -> Signal:
    """Cycles without a set-up that somebody has waited in a row."""
    n = Signal(5, name=name)
    with proof.m.If(~waits):
        proof.m.d.sync += n.eq(0)
    # A set-up takes its turn in the cycle behind the one in which it comes.
    with proof.m.Elif(~proof.past(dut.setup.valid, f"{name}_setup") & (n != 31)):
        proof.m.d.sync += n.eq(n + 1)
    return n


def test_dones_are_taken_in_time() -> None:
    """A done never waits longer than the documented bound, whatever else happens."""
    proof, dut, _watched = add_table("cb_table_dones")
    for i, port in enumerate(dut.ports):
        n = count_waiting(proof, dut, port.done.valid & ~port.done.ready, f"done{i}_waits")
        proof.check(n < BOUND, f"port {i}")
        proof.reach(n == BOUND - 1, f"port {i} slow", cycles=16)
    proof.prove()


def test_a_step_that_could_start_is_not_forgotten() -> None:
    """An acquire that waited for data (room) is granted soon after that is there, and stays."""
    proof, dut, watched = add_table("cb_table_wakes")
    row = dut.peek
    for i, port in enumerate(dut.ports):
        request = port.acquire.payload
        amount = Mux(is_producer(request), row.room, row.filled)
        could = (
            port.acquire.valid
            & dut.peek_valid
            & (request.cb == watched)
            & ~dut.halt
            & (request.extent <= amount)
            & (request.advance <= amount)
        )
        n = count_waiting(
            proof, dut, could & ~port.acquire.ready & ~dut.fault.valid, f"acquire{i}_waits"
        )
        proof.check(n < BOUND, f"port {i}")
        proof.reach(n == BOUND - 1, f"port {i} slow", cycles=16)
    proof.prove()


def test_a_fault_changes_nothing() -> None:
    """A wrong operation leaves the row as it is; each cause means what it says."""
    proof, dut, watched = add_table("cb_table_faults")
    row = Value.cast(dut.peek)
    fault = dut.fault
    before = proof.past(Cat(row, dut.peek_valid), "row_before")
    faulty = proof.past(fault.valid & (fault.cb == watched), "faulty")
    proof.check(~faulty | (Cat(row, dut.peek_valid) == before), "row stays")
    here = fault.valid & (fault.cb == watched)
    proof.check(
        ~here | ((fault.cause == Trap.CB_UNINITIALISED) == ~dut.peek_valid), "uninitialised"
    )
    proof.check(
        ~here
        | (fault.cause != Trap.CB_BUSY)
        | (fault.setup & ((dut.peek.pending != 0) | (dut.peek.held != 0))),
        "busy",
    )
    proof.check(~here | (fault.cause != Trap.CB_SHARED) | ~dut.peek.shared, "shared")
    for cause in (
        Trap.CB_UNINITIALISED,
        Trap.CB_BUSY,
        Trap.CB_SHARED,
        Trap.CB_TOO_SMALL,
        Trap.CB_UNDERFLOW,
    ):
        proof.reach(here & (fault.cause == cause), cause.name, cycles=16)
    proof.prove()
