# SPDX-License-Identifier: Apache-2.0
"""The circular-buffer table against the pointer model, its traps, and its promises about time."""

import random

import cocotb
import pytest

from hw.arch.traps import Trap
from hw.iface.pe import CbAcquire, CbDone, CbGrant, CbRole
from hw.pe.cp.cb_table import CbFault, CbSetup, CircularBufferTable
from sim.golden.cb import CbError, CbTableModel, Grant
from tb.common.payload import unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal

OWNERS = (0, 1, 4, 4, 5)
N_CBS, N_UNITS = 8, 256
N_PORTS = len(OWNERS)
BOUND = 2 * N_PORTS + 2


class Table:
    """The device with one agent per port, and the model beside it that checks every operation."""

    def __init__(self, dut: object, back_pressure: str = "none") -> None:
        pauses, _ = BACK_PRESSURE[back_pressure]
        self.dut = dut
        self.bench = bench = Bench(dut)
        self.model = CbTableModel()
        self.acquires = [
            bench.source(f"ports__{i}__acquire", CbAcquire, pauses()) for i in range(N_PORTS)
        ]
        self.dones = [bench.source(f"ports__{i}__done", CbDone, pauses()) for i in range(N_PORTS)]
        self.grants = [bench.monitor(f"ports__{i}__grant", CbGrant) for i in range(N_PORTS)]
        self.setups = bench.source("setup", CbSetup)
        self.faults: list[dict] = []
        self.expected: dict[int, Grant] = {}
        self.waits = dict.fromkeys(range(N_PORTS), 0)
        self.done_waits = dict.fromkeys(range(N_PORTS), 0)
        self.halt = False
        dut.halt.value = 0
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Compare what happened in this cycle with the model."""
        if self.dut.rst.value:
            return
        for port, grant in enumerate(self.grants):
            granted = grant.cycles[-1:] == [cycle]
            assert granted == (port in self.expected), f"port {port}: grant {granted} in {cycle}"
            if granted:
                assert Grant(**grant.items[-1]) == self.expected[port], f"port {port} in {cycle}"
        self.expected = {}
        n_operations = 0
        for port in range(N_PORTS):
            n_operations += self._sample_acquire(port, cycle) + self._sample_done(port, cycle)
        assert n_operations <= 1
        if fault := unpack(CbFault, int(self.dut.fault.value)):
            if fault["valid"]:
                self.faults.append(fault)
        if self.setups.cycles[-1:] == [cycle]:
            self._setup(self.setups.items[-1])

    def _setup(self, item: dict) -> None:
        try:
            self.model.setup(
                item["cb"], base=item["base"], depth=item["depth"], shared=bool(item["shared"])
            )
        except CbError:
            pass

    def _sample_acquire(self, port: int, cycle: int) -> bool:
        """A taken acquire must be grantable; one that could be granted must not wait long."""
        source = self.acquires[port]
        if source.cycles[-1:] == [cycle]:
            grant = self._ask(port, source.items[-1])
            assert not self.dut.halt.value, f"port {port}: granted in {cycle} under halt"
            assert grant is not None, f"port {port}: granted in {cycle} without data or room"
            self.expected[port] = grant
            self.waits[port] = 0
            return True
        self.waits[port] += source.valid and not self.halt and self._could(port, source.payload)
        assert self.waits[port] <= BOUND, f"port {port}: could be granted, is not"
        return False

    def _ask(self, port: int, item: dict) -> Grant | None:
        return self.model.acquire(
            item["cb"],
            producer=item["role"] == CbRole.PRODUCER,
            extent=item["extent"],
            advance=item["advance"],
            unit=OWNERS[port],
        )

    def _could(self, port: int, bits: int) -> bool:
        item = unpack(CbAcquire, bits)
        buffer = self.model.buffers.get(item["cb"])
        if buffer is None:
            return False
        amount = buffer.room if item["role"] == CbRole.PRODUCER else buffer.filled
        return max(item["extent"], item["advance"]) <= amount

    def _sample_done(self, port: int, cycle: int) -> bool:
        source = self.dones[port]
        if source.cycles[-1:] == [cycle]:
            item = source.items[-1]
            try:
                self.model.done(
                    item["cb"], producer=item["role"] == CbRole.PRODUCER, advance=item["advance"]
                )
            except CbError:
                pass
            self.done_waits[port] = 0
            return True
        self.done_waits[port] += source.valid
        assert self.done_waits[port] <= BOUND, f"port {port}: a done waits too long"
        return False

    def drive(self) -> None:
        """The table drives nothing."""

    def reset(self) -> None:
        """All buffers are gone."""
        self.model.buffers.clear()
        self.expected = {}

    def set_up(self, cb: int, base: int, depth: int, *, shared: int = 0, tag: int = 0) -> None:
        """Send a CB command."""
        self.setups.send({"cb": cb, "shared": shared, "base": base, "depth": depth, "tag": tag})

    def acquire(self, port: int, cb: int, role: CbRole, extent: int, advance: int) -> None:
        """Ask for a step."""
        self.acquires[port].send({"cb": cb, "role": role, "extent": extent, "advance": advance})

    def done(self, port: int, cb: int, role: CbRole, advance: int) -> None:
        """Report a step's data as moved."""
        self.dones[port].send({"cb": cb, "role": role, "advance": advance})


class RandomUser:
    """Makes steps on its buffers for ever, and reports them done in order after random times."""

    def __init__(self, table: Table, port: int, role: CbRole, cbs: list[int]) -> None:
        self.table, self.port, self.role, self.cbs = table, port, role, cbs
        self.rng = python_rng(f"user {port}")
        self.open: list[tuple[int, int, int]] = []  # cycle, cb, advance
        self.group: dict[int, int] = dict.fromkeys(cbs, 0)  # offset of the next step in its group
        self.n_sent = self.n_seen = self.n_done = 0
        table.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Note what was granted, and report it done some time later."""
        items = self.table.acquires[self.port].items
        for item in items[self.n_seen :]:
            if item["advance"]:
                self.open.append(
                    (cycle + self.rng.choice((0, 1, 3, 20)), item["cb"], item["advance"])
                )
        self.n_seen = len(items)
        while self.open and self.open[0][0] <= cycle:
            _, cb, advance = self.open.pop(0)
            self.table.done(self.port, cb, self.role, advance)
            self.n_done += 1

    def drive(self) -> None:
        """Keep one acquire waiting."""
        if self.n_sent > self.n_seen:
            return
        cb = self.rng.choice(self.cbs)
        buffer = self.table.model.buffers[cb]
        step = self.rng.randint(1, max(1, buffer.depth // 4))
        start = self.group[cb]
        ends = start + step > buffer.depth // 2 - step or self.rng.random() < 0.5
        extent = min(start + step, max(1, buffer.depth // 2))
        self.group[cb] = 0 if ends else extent
        self.table.acquire(self.port, cb, self.role, extent, extent if ends else 0)
        self.n_sent += 1

    def reset(self) -> None:
        """Nothing is under way after a reset."""
        self.open.clear()
        self.n_sent = self.n_seen = len(self.table.acquires[self.port].items)


@cocotb.test()
async def random_users_match_the_model(dut: object) -> None:
    """Every grant has the model's pointer, none comes early, none comes late."""
    parameters = bench_parameters()
    table = Table(dut, parameters.get("back_pressure", "none"))
    await table.bench.start()
    rng = python_rng(f"setups {parameters}")
    depths = rng.sample((1, 3, 7, 37, 100, 128, 200, N_UNITS - 1), N_CBS)
    for cb, depth in enumerate(depths):
        table.set_up(cb, rng.randrange(N_UNITS), depth)
    await table.setups.drained()
    # One side walks one buffer only, else two units could wait for each other for ever.
    writes, reads = (
        (([0, 1], [2]), ([0], [1], [2]))
        if parameters.get("fan_out", True)
        else (([3], [4], [5]), ([3, 4], [5]))
    )
    places = rng.sample(range(N_CBS), N_CBS)
    sides = [(CbRole.PRODUCER, cbs) for cbs in writes] + [(CbRole.CONSUMER, cbs) for cbs in reads]
    users = [
        RandomUser(table, port, role, [places[cb] for cb in cbs])
        for port, (role, cbs) in enumerate(sides)
    ]
    await table.bench.wait(4000)
    assert not table.faults
    for user in users:
        assert user.n_seen > 60 and user.n_done > 40, f"port {user.port}: only {user.n_seen} steps"


@cocotb.test()
async def every_wrong_operation_is_reported(dut: object) -> None:
    """Each cause is reported once, with its unit and buffer, and the buffer keeps its state."""
    table = Table(dut)
    bench = table.bench
    consumer, producer = CbRole.CONSUMER, CbRole.PRODUCER

    async def expect(cause: Trap, unit: int | None, cb: int, tag: int = 0) -> None:
        await bench.until(lambda: table.faults, 40)
        fault = table.faults[0]
        assert fault["cause"] == cause and fault["cb"] == cb
        assert (fault["setup"], fault["tag"]) == (1, tag) if unit is None else fault["unit"] == unit
        await bench.reset()
        table.faults.clear()

    await bench.start()
    table.acquire(2, 5, consumer, 1, 1)
    await expect(Trap.CB_UNINITIALISED, 4, 5)
    table.done(1, 3, producer, 1)
    await expect(Trap.CB_UNINITIALISED, 1, 3)
    for extent, advance in ((9, 0), (1, 9), (0xFFFF, 0), (257, 1)):
        table.set_up(1, 10, 8)
        await table.setups.drained()
        table.acquire(4, 1, producer, extent, advance)
        await expect(Trap.CB_TOO_SMALL, 5, 1)
    for role in CbRole:
        table.set_up(2, 0, 4)
        table.set_up(3, 0, 4)
        await table.setups.drained()
        table.done(3, 2, role, 1)
        await expect(Trap.CB_UNDERFLOW, 4, 2)
    table.set_up(2, 0, 4)
    await table.setups.drained()
    table.acquire(0, 2, producer, 2, 2)
    await bench.until(lambda: table.acquires[0].items and not table.acquires[0].valid, 20)
    table.done(0, 2, producer, 3)
    await expect(Trap.CB_UNDERFLOW, 0, 2)
    table.set_up(2, 0, 4)
    await table.setups.drained()
    table.acquire(0, 2, producer, 1, 1)
    await bench.wait(8)
    table.acquire(1, 2, producer, 1, 1)
    await expect(Trap.CB_SHARED, 1, 2)
    table.set_up(2, 0, 4)
    await table.setups.drained()
    table.acquire(0, 2, producer, 1, 1)
    await bench.wait(8)
    table.set_up(2, 0, 4, tag=0xBEEF)
    await expect(Trap.CB_BUSY, None, 2, 0xBEEF)


@cocotb.test()
async def shared_buffer_serves_two_units(dut: object) -> None:
    """A buffer declared shared lets two units consume; set-up again is allowed when all is done."""
    table = Table(dut)
    await table.bench.start()
    table.set_up(2, 7, 4, shared=1)
    await table.setups.drained()
    table.acquire(0, 2, CbRole.PRODUCER, 4, 4)
    await table.acquires[0].drained()
    table.done(0, 2, CbRole.PRODUCER, 4)
    await table.dones[0].drained()
    for port in (1, 2, 4):
        table.acquire(port, 2, CbRole.CONSUMER, 1, 1)
        await table.acquires[port].drained()
        table.done(port, 2, CbRole.CONSUMER, 1)
        await table.dones[port].drained()
    await table.bench.wait(4)
    table.set_up(2, 9, 3)
    await table.bench.wait(4)
    assert not table.faults
    table.acquire(0, 2, CbRole.PRODUCER, 3, 0)
    await table.acquires[0].drained()
    await table.bench.wait(2)
    assert table.grants[0].items[-1] == {"base": 9, "depth": 3, "pointer": 0}


@cocotb.test()
async def one_grant_a_cycle(dut: object) -> None:
    """Latency 3 to the grant; a port alone gets a grant in 3 cycles, all together one a cycle."""
    table = Table(dut)
    bench = table.bench
    await bench.start()
    for port in range(N_PORTS):
        table.set_up(port, 0, 4)
    await table.setups.drained()
    await bench.wait(3)
    start = bench.cycle
    table.acquire(0, 0, CbRole.PRODUCER, 1, 0)
    await table.acquires[0].drained()
    await bench.wait(2)
    first_valid = start + 1  # the source drives it after the edge of the cycle `start`
    check_equal(
        [table.acquires[0].cycles[-1], table.grants[0].cycles[-1]],
        [first_valid + 2, first_valid + 3],
        "cycle",
    )
    n = 20
    for _ in range(n):
        table.acquire(0, 0, CbRole.PRODUCER, 1, 0)
    await table.acquires[0].drained()
    cycles = table.acquires[0].cycles[-n:]
    assert cycles[-1] - cycles[0] == 3 * (n - 1)
    for port in range(N_PORTS):
        for _ in range(n):
            table.acquire(port, port, CbRole.PRODUCER, 4, 0)
    for source in table.acquires:
        await source.drained()
    cycles = sorted(cycle for source in table.acquires for cycle in source.cycles[-n:])
    assert cycles[-1] - cycles[0] == N_PORTS * n - 1


@cocotb.test()
async def halt_grants_nothing_but_takes_dones(dut: object) -> None:
    """Under halt an acquire waits, a done goes through, a set-up too."""
    table = Table(dut)
    bench = table.bench
    await bench.start()
    table.set_up(0, 0, 8)
    await table.setups.drained()
    table.acquire(0, 0, CbRole.PRODUCER, 4, 4)
    await table.acquires[0].drained()
    table.halt = True
    dut.halt.value = 1
    n = len(table.acquires[1].items)
    table.acquire(0, 0, CbRole.PRODUCER, 1, 1)
    table.acquire(2, 0, CbRole.CONSUMER, 4, 4)
    table.done(0, 0, CbRole.PRODUCER, 4)
    await table.dones[0].drained()
    await bench.wait(30)
    assert len(table.acquires[2].items) == n and len(table.acquires[0].items) == 1
    assert table.model.buffers[0].filled == 4
    # Halt in every moment of an acquire's way: it is granted before, or never.
    for delay in range(5):
        dut.halt.value = 0
        await bench.reset()
        table.set_up(0, 0, 8)
        await table.setups.drained()
        table.acquire(0, 0, CbRole.PRODUCER, 1, 0)
        await bench.wait(delay)
        dut.halt.value = 1
        await bench.wait(10)


@cocotb.test()
async def set_ups_pass_under_load(dut: object) -> None:
    """A set-up per cycle is taken whatever the ports do, and a buffer shows it when looked at."""
    table = Table(dut)
    bench = table.bench
    await bench.start()
    rng = random.Random(7)
    rows = [(rng.randrange(256), rng.randrange(1, 256)) for _ in range(N_CBS)]
    table.set_up(0, 1, 1)
    await bench.wait(3)
    table.acquire(0, 0, CbRole.PRODUCER, 1, 1)
    table.acquire(2, 0, CbRole.CONSUMER, 1, 1)
    await bench.wait(5)
    for cb in range(1, N_CBS):
        table.set_up(cb, *rows[cb])
    table.done(0, 0, CbRole.PRODUCER, 1)
    await table.setups.drained()
    await table.dones[0].drained()
    assert table.setups.cycles[-1] - table.setups.cycles[1] == N_CBS - 2
    await table.acquires[2].drained()
    layout = CircularBufferTable(n_cbs=N_CBS, n_units=N_UNITS, owners=OWNERS).peek.shape()
    for cb in range(1, N_CBS):
        dut.peek_cb.value = cb
        await bench.wait(2)
        row = unpack(layout, int(dut.peek.value))
        assert (row["base"], row["depth"], row["room"]) == (rows[cb][0], rows[cb][1], rows[cb][1])
        assert dut.peek_valid.value == 1


@cocotb.test()
async def a_set_up_makes_its_buffer_alone(dut: object) -> None:
    """A number decoded wrongly would make another buffer valid, or none."""
    table = Table(dut)
    bench = table.bench
    await bench.start()
    order = python_rng("order").sample(range(N_CBS), N_CBS)
    for n, cb in enumerate(order):
        table.set_up(cb, cb, 1)
        await table.setups.drained()
        await bench.wait(3)
        for other in range(N_CBS):
            dut.peek_cb.value = other
            await bench.wait(2)
            assert dut.peek_valid.value == (other in order[: n + 1]), (cb, other)


@pytest.mark.parametrize("fan_out", [True, False])
@pytest.mark.parametrize("back_pressure", ["none", "source"])
def test_table(back_pressure: str, fan_out: bool) -> None:
    """The table follows the model under all pauses, and keeps its promises about time."""
    run_bench(
        CircularBufferTable(n_cbs=N_CBS, n_units=N_UNITS, owners=OWNERS),
        name="cb_table",
        test_module=__name__,
        parameters={"back_pressure": back_pressure, "fan_out": fan_out},
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_cbs": 1}, "n_cbs must be from 2 to 64, not 1"),
        ({"n_units": 8193}, "n_units must be from 1 to 8192"),
        ({"owners": ()}, "owners must name 1 to 32 ports, not 0"),
    ],
)
def test_wrong_parameters_are_refused(arguments: dict, sentence: str) -> None:
    """A size out of range is refused in one sentence."""
    with pytest.raises(ValueError, match=sentence):
        CircularBufferTable(**({"n_cbs": 4, "n_units": 64, "owners": (0,)} | arguments))
