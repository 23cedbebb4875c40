# SPDX-License-Identifier: Apache-2.0
"""Signal lanes of a small grid: each signal once to the element that is meant, in its run only."""

import itertools
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.arch.commands import Opcode
from hw.arch.csr import HOST_PLACE
from hw.arch.traps import Trap, trap_sentence
from hw.arch.units import Unit
from hw.grid.mailbox import Mailbox
from hw.grid.signal_flits import message_layout
from hw.grid.signal_guard import SignalGuard
from hw.grid.signal_node import RunPhase, SignalNode
from hw.grid.signal_switch import SignalSwitch
from hw.iface.pe import Completion
from tb.common.coverage import cover_trap
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, StreamMonitor, check_equal
from tb.unit.grid.passing import Passing

ROWS, COLUMNS = 2, 3
PLACES = list(itertools.product(range(ROWS), range(COLUMNS)))
PREPARES, WORKS = 1, 2
_RUNS = itertools.count()


class Signals(wiring.Component):
    """The nodes of all elements, between their lanes and the switch; one row may be left out."""

    def __init__(self, *, has_spare_row: bool) -> None:
        self.has_spare_row = has_spare_row
        ports: dict[str, Any] = {
            "left_out": In(4),
            "host": Out(stream.Signature(message_layout())),
        }
        for row, column in PLACES:
            ports |= {
                f"sent{row}_{column}": In(stream.Signature(Completion)),
                f"received{row}_{column}": Out(stream.Signature(Completion)),
                f"rung{row}_{column}": In(stream.Signature(5)),
                f"phase{row}_{column}": In(RunPhase),
                f"passing{row}_{column}": Out(2),
            }
        super().__init__(ports)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.switch = switch = SignalSwitch(
            rows=ROWS, n_positions=COLUMNS, has_spare_row=self.has_spare_row
        )
        wiring.connect(m, switch.host, wiring.flipped(self.host))
        if self.has_spare_row:
            m.d.comb += switch.left_out.eq(self.left_out)
        for lane in range(ROWS + self.has_spare_row):
            nodes = [SignalNode(n_positions=COLUMNS) for _ in range(COLUMNS)]
            down, up = switch.down[lane], switch.up[lane]
            for column, node in enumerate(nodes):
                m.submodules[f"node{lane}_{column}"] = node
                wiring.connect(m, down, node.down_i)
                wiring.connect(m, node.up_o, up)
                down, up = node.down_o, node.up_i
                m.d.comb += [
                    node.here.eq(1 << column),
                    node.position.eq(column),
                    node.weight.eq(COLUMNS - 1 - column),
                    node.heard.eq(1),
                ]
                for row in range(ROWS):
                    self._connect(m, lane, row, column, node)
            m.d.comb += down.ready.eq(1)
        return m

    def _connect(self, m: Module, lane: int, row: int, column: int, node: SignalNode) -> None:
        """A node of a row of tiles is that of a used row."""
        sent = getattr(self, f"sent{row}_{column}")
        received = getattr(self, f"received{row}_{column}")
        rung = getattr(self, f"rung{row}_{column}")
        here = (row + (~(self.left_out > row) if self.has_spare_row else 0)) == lane
        with m.If(here):
            m.d.comb += [
                node.sent.valid.eq(sent.valid),
                node.sent.payload.eq(sent.payload),
                sent.ready.eq(node.sent.ready),
                node.rung.valid.eq(rung.valid),
                node.rung.payload.eq(rung.payload),
                rung.ready.eq(node.rung.ready),
                received.valid.eq(node.received.valid),
                received.payload.eq(node.received.payload),
                node.received.ready.eq(received.ready),
                node.phase.eq(getattr(self, f"phase{row}_{column}")),
                getattr(self, f"passing{row}_{column}").eq(node.passing),
            ]


class Device:
    """The lanes, and elements that the test plays."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("signals")
        self.run = python_rng(f"run {next(_RUNS)}").randrange(1, 255)
        source, sink = BACK_PRESSURE[pauses]
        self.sent = {
            at: self.bench.source(f"sent{at[0]}_{at[1]}", Completion, source()) for at in PLACES
        }
        self.received = {
            at: self.bench.sink(f"received{at[0]}_{at[1]}", Completion, sink()) for at in PLACES
        }
        self.rung = {
            at: self.bench.source(f"rung{at[0]}_{at[1]}", unsigned(5), source()) for at in PLACES
        }
        self.host = self.bench.sink("host", message_layout())
        dut["left_out"].value = bench_parameters()["left_out"]
        for at in PLACES:
            self.phase(at, self.run, WORKS)

    def phase(self, at: tuple[int, int], run: int, state: int) -> None:
        """What an element is doing."""
        self.dut[f"phase{at[0]}_{at[1]}"].value = run | state << 8

    def signal(self, at: tuple[int, int], counter: int | None = None) -> dict[str, int]:
        """A signal for an element, of a random counter."""
        number = self.rng.randrange(32) if counter is None else counter
        place = {"signal_row": at[0], "signal_col": at[1]}
        return {"tag": self.rng.getrandbits(16), "signal_en": 1, "signal_counter": number, **place}


def counters(items: list[dict[str, Any]]) -> list[int]:
    """Counters of signals, in order."""
    return [item["signal_counter"] for item in items]


@cocotb.test()
async def each_signal_arrives_once(dut: Any) -> None:
    """All elements signal all others at once; order is kept between any two that have a counter
    range of their own. Each is counted once where it enters and where it leaves the lanes."""
    device = Device(dut, bench_parameters()["back_pressure"])
    pins = {(row, column): dut[f"passing{row}_{column}"] for row, column in PLACES}
    passing = Passing(device.bench, pins, ("sent", "received"))
    await device.bench.start()
    expected: dict[tuple[int, int], list[int]] = {at: [] for at in PLACES}
    for number, sender in enumerate(PLACES):
        for _ in range(60):
            to = device.rng.choice(PLACES)
            signal = device.signal(to, number * 5 + device.rng.randrange(5))
            device.sent[sender].send(signal)
            expected[to].append(signal["signal_counter"])
    for at in PLACES:
        found = counters(await device.received[at].receive(len(expected[at])))
        for number in range(len(PLACES)):
            of_one = [[c for c in some if c // 5 == number] for some in (found, expected[at])]
            check_equal(*of_one, f"signal of {PLACES[number]} at {at}")
    await device.bench.wait(30)
    bare = {"tag": 0, "signal_en": 1, "signal_row": 0, "signal_col": 0}
    for sink in device.received.values():
        assert all({**item, **bare} == item for item in sink.items)
    assert sum(len(sink.items) for sink in device.received.values()) == 60 * len(PLACES)
    counted = {(at, "sent"): 60 for at in PLACES}
    assert passing.counts == counted | {(at, "received"): len(expected[at]) for at in PLACES}


@cocotb.test()
async def the_host_hears_who_has_signalled(dut: Any) -> None:
    """Sender and counter of each signal for it, whatever goes to elements meanwhile; would break if
    a row were that of a tile."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    expected = {}
    for sender in PLACES:
        for_host = [device.signal(HOST_PLACE) for _ in range(20)]
        expected[sender] = counters(for_host)
        for signal in for_host:
            device.sent[sender].send(device.signal(device.rng.choice(PLACES)), signal)
    told = await device.host.receive(20 * len(PLACES))
    for row, column in PLACES:
        found = [m["counter"] for m in told if (m["row"], m["column"]) == (row, column)]
        check_equal(found, expected[row, column], f"message of {row}, {column}")


@cocotb.test()
async def the_host_signals_whoever_has_a_job(dut: Any) -> None:
    """Beside elements that signal; kept while a job is about to start, dropped without one."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    for at, state in zip(PLACES, (0, PREPARES, WORKS, WORKS, PREPARES, 0), strict=True):
        device.phase(at, device.run, state)
        device.rung[at].send_all(range(10))
    device.sent[1, 0].send_all([device.signal((0, 2), 16 + n) for n in range(10)])
    both = counters(await device.received[0, 2].receive(20))
    check_equal([n for n in both if n < 16], range(10))
    check_equal([n for n in both if n >= 16], range(16, 26))
    assert counters(await device.received[1, 0].receive(10)) == list(range(10))
    await device.bench.wait(40)
    for at in PLACES:
        device.phase(at, device.run, WORKS)
    for at in ((0, 1), (1, 1)):
        assert counters(await device.received[at].receive(10)) == list(range(10))
    await device.bench.wait(20)
    assert not device.received[0, 0].items and not device.received[1, 2].items


@cocotb.test()
async def latency_and_rate_are_the_documented_ones(dut: Any) -> None:
    """(h + 1) + 2 + (g + 1) cycles; a signal per cycle from each row and to each row."""
    device, n = Device(dut), 40
    await device.bench.start()
    for sender, to in itertools.product(PLACES, repeat=2):
        device.sent[sender].send(device.signal(to))
        await device.received[to].receive(1)
        took = device.received[to].cycles[-1] - device.sent[sender].cycles[-1]
        assert took == (sender[1] + 1) + SignalSwitch.latency + (to[1] + 1)
    for sender in PLACES:
        device.sent[sender].send_all([device.signal((1 - sender[0], 2))] * n)
    for to in ((0, 2), (1, 2)):
        await device.received[to].receive(COLUMNS * n)
        cycles = device.received[to].cycles[-COLUMNS * n :]
        assert cycles[-1] - cycles[0] == COLUMNS * n - 1


@cocotb.test()
async def signals_of_other_runs_disappear(dut: Any) -> None:
    """Those of a failed job, at an element that works for another one, that prepares for another
    one, or that rests."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    for step, state in ((1, WORKS), (-1, WORKS), (1, PREPARES), (0, 0), (1, 0)):
        device.phase((1, 1), device.run + step, state)
        others = [at for at in PLACES if at != (1, 1)]
        for sender in others:
            device.sent[sender].send_all([device.signal((1, 1))] * 9)
        for sender in others:
            await device.sent[sender].drained()
        await device.bench.wait(60)
        device.phase((1, 1), device.run, WORKS)
        await device.bench.wait(20)
        assert not device.received[1, 1].items
    device.sent[0, 0].send(device.signal((1, 1), 7))
    assert counters(await device.received[1, 1].receive(1)) == [7]


@cocotb.test()
async def what_waits_at_the_end_of_a_job_is_gone(dut: Any) -> None:
    """A signal that the element has not taken when its job ends, of the host or of another element,
    counts in no other job; would break if the choice between the two outlived the job."""
    device, held = Device(dut), [True]
    at, sender = (1, 2), (0, 0)
    device.received[at]._pauses = lambda rng: held[0]
    await device.bench.start()
    for of_host in (True, False, True):
        n_found, held[0] = len(device.received[at].items), True
        if of_host:
            device.rung[at].send(3)
        else:
            device.sent[sender].send(device.signal(at, 3))
        await device.bench.wait(20)
        device.phase(at, device.run, 0)
        StreamMonitor.reset(device.received[at])  # valid falls, as the element is reset
        await device.bench.wait(3)
        held[0] = False
        device.phase(at, device.run, WORKS)
        if of_host:
            device.sent[sender].send(device.signal(at, 7))
        else:
            device.rung[at].send(7)
        await device.bench.wait(30)
        assert counters(device.received[at].items[n_found:]) == [7]


@cocotb.test()
async def signals_wait_for_an_element_that_prepares(dut: Any) -> None:
    """And are all there once its job runs; those between other rows pass meanwhile."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.bench.start()
    device.phase((0, 1), device.run, PREPARES)
    device.sent[1, 0].send_all([device.signal((0, 1), number) for number in range(12)])
    await device.bench.wait(60)
    assert not device.received[0, 1].items
    device.sent[0, 0].send_all([device.signal((1, 2), number) for number in range(12)])
    assert counters(await device.received[1, 2].receive(12)) == list(range(12))
    device.phase((0, 1), device.run, WORKS)
    assert counters(await device.received[0, 1].receive(12)) == list(range(12))


@cocotb.test()
async def reset_in_the_middle_drops_what_is_on_its_way(dut: Any) -> None:
    """Then signals pass."""
    device = Device(dut)
    await device.bench.start()
    device.phase((0, 2), device.run, PREPARES)
    device.sent[1, 1].send_all([device.signal((0, 2))] * 9)
    await device.bench.wait(20)
    await device.bench.reset()
    device.phase((0, 2), device.run, WORKS)
    await device.bench.wait(20)
    assert not device.received[0, 2].items
    device.sent[1, 1].send(device.signal((0, 2), 3))
    assert counters(await device.received[0, 2].receive(1)) == [3]


@pytest.mark.parametrize("left_out", [None, 1])
@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_signals(back_pressure: str, left_out: int | None) -> None:
    """Under one kind of pauses; without a spare row, and with the one in the middle left out."""
    run_signals(back_pressure, left_out)


@pytest.mark.parametrize("left_out", [0, 2])
def test_an_outer_row_is_left_out(left_out: int) -> None:
    """It moves lanes, which pauses do not see."""
    run_signals("none", left_out)


def run_signals(back_pressure: str, left_out: int | None) -> None:
    """All tests on one kind of lanes."""
    run_bench(
        Signals(has_spare_row=left_out is not None),
        name=f"grid_signals{'' if left_out is None else '_spare'}",
        test_module=__name__,
        parameters={"back_pressure": back_pressure, "left_out": left_out or 0},
    )


def simulate(design: Any, bench: Any) -> None:
    """Run a bench."""
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_signals_for_nobody_trap_and_disappear() -> None:
    """Every place of 16 x 16 that the grid has passes, any other one is taken at once; the first is
    kept as the error."""
    guard = SignalGuard(rows=ROWS, columns=COLUMNS)

    async def bench(context: Any) -> None:
        for row, column in itertools.product(range(16), repeat=2):
            exists = (row, column) in [*PLACES, HOST_PLACE]
            fields = {"signal_row": row, "signal_col": column, "tag": 300 + row}
            context.set(guard.i.payload, fields)
            for valid, ready in itertools.product((0, 1), repeat=2):
                context.set(guard.i.valid, valid)
                context.set(guard.o.ready, ready)
                assert context.get(guard.o.valid) == (valid and exists)
                assert context.get(guard.i.ready) == (ready or not exists)
                await context.tick()
            if (row, column) <= (0, COLUMNS - 1):
                assert not context.get(guard.trap.valid)
        trap = context.get(guard.trap)
        assert (trap.valid, trap.cause, trap.unit) == (1, Trap.NO_ELEMENT, Unit.CP)
        assert trap.opcode == Opcode.SIGNAL
        cover_trap(trap.as_bits())
        assert trap_sentence(trap.cause, trap.unit, trap.opcode, trap.tag, trap.info) == (
            "CP trapped (tag 300): the signal is for an element that is not there (row 0,"
            f" column {COLUMNS})."
        )

    simulate(guard, bench)


def test_a_halting_element_has_no_second_error() -> None:
    """What was wrong before is what is told; would break if a signal that was still on its way to
    nobody took its place."""
    guard = SignalGuard(rows=ROWS, columns=COLUMNS)

    async def bench(context: Any) -> None:
        context.set(guard.i.payload, {"signal_row": ROWS, "tag": 9})
        context.set(guard.i.valid, 1)
        context.set(guard.halt, 1)
        assert context.get(guard.i.ready)
        await context.tick()
        assert not context.get(guard.trap.valid)
        context.set(guard.halt, 0)
        await context.tick()
        assert context.get(guard.trap.valid)

    simulate(guard, bench)


def test_messages_beyond_those_that_are_kept_are_lost_and_said_to_be() -> None:
    """In order, each once; `lost` stays until it is cleared; none waits at the door."""
    mailbox = Mailbox()

    async def bench(context: Any) -> None:
        messages = [{"counter": n, "column": n % 16, "row": 15 - n % 16} for n in range(20)]
        assert context.get(mailbox.shown) == 0
        for message in messages:
            assert context.get(mailbox.i.ready)
            context.set(mailbox.i.payload, message)
            context.set(mailbox.i.valid, 1)
            await context.tick()
        context.set(mailbox.i.valid, 0)
        for message in messages[: Mailbox.DEPTH]:
            word = message["counter"] | message["column"] << 8 | message["row"] << 16
            assert context.get(mailbox.shown) == word | 1 << 30 | 1 << 31
            context.set(mailbox.pop, 1)
            await context.tick()
            context.set(mailbox.pop, 0)
        assert context.get(mailbox.shown) == 1 << 30 and not context.get(mailbox.waits)
        context.set(mailbox.clear, 1)
        await context.tick()
        assert context.get(mailbox.shown) == 0

    simulate(mailbox, bench)


def test_no_position_is_refused() -> None:
    """Nobody could be meant."""
    with pytest.raises(ValueError) as error:
        SignalNode(n_positions=0)
    assert str(error.value) == "SignalNode n_positions must be at least 1, not 0."
