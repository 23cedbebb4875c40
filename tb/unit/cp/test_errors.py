# SPDX-License-Identifier: Apache-2.0
"""The command processor when things go wrong: traps, halt, abort; and what one looks at."""

import cocotb

from hw.arch.commands import COMMANDS, QUAD_BITS, Opcode, encode
from hw.arch.csr import COUNTERS, DebugSpace
from hw.arch.traps import Trap
from hw.arch.units import State, Unit
from hw.iface.pe import CbAcquire, CbDone, CbRole, TrapReport
from hw.pe.cp.counter_file import EVENTS, STATE_COUNTERS, event_bits, event_name
from hw.pe.cp.processor import CB_PORT_UNITS, SOURCES
from sim.golden.command_processor import illegal
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import python_rng
from tb.unit.cp.device import Device, command_processor
from tb.unit.cp.programs import LIMITS, RandomProgram, random_fault, random_long

NOP = encode(Opcode.NOP)
N_FAULTS = 1500


def job(opcode: Opcode = Opcode.MML, **header: int) -> bytes:
    """Some legal long command."""
    return encode(opcode, **random_long(python_rng(f"job {opcode}"), opcode, **header))


async def halted(device: Device) -> dict[str, int]:
    """Wait for the trap, then for rest; nothing is taken in between."""
    bench = device.bench
    await bench.until(lambda: device.read_trap()["valid"], 60)
    await bench.wait(1)
    n_taken = [len(source.items) for source in device.sources]
    await bench.until(lambda: device.dut.quiet.value, 200)
    assert not any(unit.running for unit in device.units.values())
    assert [len(source.items) for source in device.sources] == n_taken
    return device.read_trap()


@cocotb.test()
async def every_wrong_field_traps(dut: object) -> None:
    """Random wrong commands, mostly at the edges: cause, lowest wrong field, opcode and tag."""
    device = Device(dut)
    await device.bench.start()
    rng = python_rng("faults")
    seen = set()
    for n in range(N_FAULTS):
        data = random_fault(rng)
        source = n % len(SOURCES)
        if n % 3 == 0:
            device.send(source, NOP)
        device.send(source, data)
        await device.bench.until(lambda: device.read_trap()["valid"], 20)
        trap = device.read_trap()
        cause, info = illegal(data, LIMITS)
        assert (trap["cause"], trap["info"]) == (cause, info), f"{data.hex()}: {trap}"
        assert trap["unit"] == Unit.CP and trap["opcode"] == data[0]
        assert trap["tag"] == int.from_bytes(data[1:3], "little")
        seen.add((data[0], info))
        await device.bench.reset()
    fields = {
        (opcode, field.offset) for opcode, command in COMMANDS.items() for field in command.fields
    }
    missed = {(Opcode(o).name, i) for o, i in fields if (o, i) not in seen}
    print(
        f"{len(seen & fields)} of the fields were the reason of a trap; the others may hold "
        f"anything or were not met: {sorted(missed)}"
    )
    assert len(seen & fields) > 60


@cocotb.test()
async def legal_commands_never_trap(dut: object) -> None:
    """Legal commands of every opcode, with extreme values, go to their units unchanged."""
    device = Device(dut)
    await device.bench.start()
    rng = python_rng("legal")
    program = RandomProgram(rng, 0)
    device.send(0, *program.generate(400), rng=rng)
    await device.sources[0].drained()
    await device.bench.wait(5)
    assert not device.read_trap()["valid"] and device.trap is None


@cocotb.test()
async def empty_context_traps(dut: object) -> None:
    """RUN of a context that was never stored; after a reset also of one that was."""
    device = Device(dut)
    await device.bench.start()
    stored = job(Opcode.DMA_OUT, store=1, context=4)
    for before in ((), (stored,), (stored, encode(Opcode.RUN, ctx=4))):
        device.send(0, *before, encode(Opcode.RUN, ctx=5, tag=77))
        trap = await halted(device)
        assert (trap["cause"], trap["info"], trap["tag"]) == (Trap.CONTEXT_EMPTY, 5, 77)
        await device.bench.reset()
    device.send(0, encode(Opcode.RUN, ctx=4))
    assert (await halted(device))["info"] == 4
    for context in range(LIMITS.contexts):
        await device.bench.reset()
        empty = (context + 1) % LIMITS.contexts
        stored = job(Opcode.DMA_OUT, store=1, context=context)
        device.send(0, stored, encode(Opcode.RUN, ctx=context), encode(Opcode.RUN, ctx=empty))
        trap = await halted(device)
        assert (trap["cause"], trap["info"]) == (Trap.CONTEXT_EMPTY, empty)


@cocotb.test()
async def what_run_moves_is_checked(dut: object) -> None:
    """A delta that makes a stored command illegal traps with that command's opcode and field."""
    device = Device(dut)
    await device.bench.start()
    field = COMMANDS[Opcode.SCATTER].field("mem_addr")
    fields = {"mode": 1, "count0": 4, "mem_addr": 1 << 20, "row_pitch": 4}
    for delta, keep in ((1, 0), (6, 1), (-3, 0)):
        stored = encode(Opcode.SCATTER, **fields, store=1, context=2, tag=3)
        fine = encode(Opcode.RUN, ctx=2, mem_delta=-8, keep=1)
        wrong = encode(Opcode.RUN, ctx=2, mem_delta=delta, keep=keep, tag=0x77)
        device.send(0, stored, fine, fine, wrong, NOP)
        trap = await halted(device)
        assert trap == {
            "valid": 1,
            "cause": Trap.ILLEGAL_FIELD,
            "unit": Unit.CP,
            "opcode": Opcode.SCATTER,
            "tag": 0x77,
            "info": field.offset,
        }
        assert device.trap == (Trap.ILLEGAL_FIELD, field.offset)
        await device.bench.reset()


@cocotb.test()
async def trap_of_a_unit_halts_all(dut: object) -> None:
    """Each unit's report appears as it is; queues are emptied; the first report stays."""
    device = Device(dut)
    bench = device.bench
    await bench.start()
    for unit, model in device.units.items():
        for other in device.units.values():
            other.times = (30,)
        device.send(1, *[job(opcode) for opcode in (Opcode.MML, Opcode.DRAIN, Opcode.DMA_OUT)] * 4)
        await bench.wait(20)
        report = {"cause": Trap.LS_PARITY, "opcode": 0x42, "tag": unit + 9, "info": 0x80001234}
        model.raise_trap(**report)
        await bench.wait(2)
        late = device.units[Unit.DPE if unit is not Unit.DPE else Unit.FI_OUT]
        late.raise_trap(cause=Trap.LS_RANGE, opcode=1, tag=1, info=1)
        trap = await halted(device)
        assert trap == {"valid": 1, "unit": unit, **report}
        for queue in device.units:
            word = await device.read_debug(DebugSpace.UNIT, queue, 0)
            assert word >> 24 == 0, "a queue is not empty after the halt"
        await bench.reset()
        device.send(1, job(), encode(Opcode.END, status=5))
        await bench.until(lambda: device.done, 200)
        assert not device.read_trap()["valid"]
        await bench.reset()


@cocotb.test()
async def lowest_unit_wins_a_tie(dut: object) -> None:
    """Of two reports in one cycle that of the lower unit code is kept."""
    device = Device(dut)
    await device.bench.start()
    for unit in (Unit.RE, Unit.FI_IN_COL, Unit.DPE):
        device.units[unit].raise_trap(cause=Trap.MEMORY_ERROR, opcode=0, tag=0, info=unit)
    assert (await halted(device))["unit"] == Unit.FI_IN_COL


@cocotb.test()
async def buffer_faults_name_unit_and_command(dut: object) -> None:
    """A fault at a CB port is reported with the unit behind it and the command it runs."""
    device = Device(dut)
    bench = device.bench
    await bench.start()
    for port_id, unit in CB_PORT_UNITS.items():
        name = port_id.name.lower()
        device.units[unit].tag, device.units[unit].opcode = 0x700 + unit, 0x42
        await bench.wait(2)
        request = {"cb": 9, "role": CbRole.CONSUMER, "extent": 1, "advance": 1}
        bench.port(f"cb_{name}__acquire__payload").value = pack(CbAcquire, request)
        bench.port(f"cb_{name}__acquire__valid").value = 1
        trap = await halted(device)
        assert trap == {
            "valid": 1,
            "cause": Trap.CB_UNINITIALISED,
            "unit": unit,
            "opcode": 0x42,
            "tag": 0x700 + unit,
            "info": 9,
        }
        bench.port(f"cb_{name}__acquire__valid").value = 0
        await bench.reset()
    device.send(0, encode(Opcode.CB, cb=9, base=0, depth=4))
    await bench.wait(6)
    bench.port("cb_fi_out__done__payload").value = pack(
        CbDone, {"cb": 9, "role": CbRole.CONSUMER, "advance": 1}
    )
    bench.port("cb_fi_out__done__valid").value = 1
    trap = await halted(device)
    assert (trap["cause"], trap["unit"], trap["info"]) == (Trap.CB_UNDERFLOW, Unit.FI_OUT, 9)
    bench.port("cb_fi_out__done__valid").value = 0
    await bench.reset()
    device.send(0, encode(Opcode.CB, cb=8, base=3, depth=4))
    await bench.wait(6)
    bench.port("cb_fi_in_row__acquire__payload").value = pack(
        CbAcquire, {"cb": 8, "role": CbRole.PRODUCER, "extent": 3, "advance": 2}
    )
    bench.port("cb_fi_in_row__acquire__valid").value = 1
    await bench.until(lambda: bench.port("cb_fi_in_row__acquire__ready").value, 10)
    bench.port("cb_fi_in_row__acquire__valid").value = 0
    await bench.wait(2)
    words = [await device.read_debug(DebugSpace.CB, 8, word) for word in range(5)]
    assert words == [3 | 4 << 16, 2, 0, 1 | 1 << 15 | Unit.FI_IN_ROW << 8, 2 << 16]
    device.send(0, encode(Opcode.CB, cb=8, base=3, depth=4, tag=0xABC))
    trap = await halted(device)
    assert trap == {
        "valid": 1,
        "cause": Trap.CB_BUSY,
        "unit": Unit.CP,
        "opcode": Opcode.CB,
        "tag": 0xABC,
        "info": 8,
    }


@cocotb.test()
async def abort_in_the_middle(dut: object) -> None:
    """An abort at any moment of random programs comes to rest, and after reset all works again."""
    device = Device(dut)
    bench = device.bench
    await bench.start()
    rng = python_rng("abort")
    for n in range(12):
        for i in range(3):
            program = RandomProgram(python_rng(f"abort {n} {i}"), i)
            device.send(i, *program.generate(60), rng=rng)
        await bench.wait(rng.randrange(5, 120))
        dut.wqe_idle.value = 0
        dut.halt_request.value = 1
        await bench.wait(rng.choice((1, 3)))
        dut.halt_request.value = 0
        await bench.wait(60)
        assert not dut.quiet.value, "quiet although the work-queue engine is not idle"
        assert dut.wqe_halt.value
        dut.wqe_idle.value = 1
        trap = await halted(device)
        assert (trap["cause"], trap["unit"]) == (Trap.ABORTED, Unit.CP)
        await bench.reset()
        device.send(0, job(), encode(Opcode.END, status=n))
        await bench.until(lambda: device.done, 300)
        assert device.done == [n]
        await bench.reset()


@cocotb.test()
async def trap_of_the_work_queue_engine(dut: object) -> None:
    """The engine's report halts the element, on account of the command processor."""
    device = Device(dut)
    await device.bench.start()
    report = {"valid": 1, "cause": Trap.LIST_OVERRUN, "opcode": 0, "tag": 0, "info": 0x40}
    dut.wqe_trap.value = pack(TrapReport, report)
    assert await halted(device) == report | {"unit": Unit.CP}
    dut.wqe_trap.value = 0


@cocotb.test()
async def debug_port_shows_what_waits(dut: object) -> None:
    """Unit words, queue heads, waiting sources and bank states, as laid out in hw.arch.csr."""
    device = Device(dut)
    bench = device.bench
    await bench.start()
    dpe = device.units[Unit.DPE]
    dpe.pauses = lambda rng: True
    dpe.state, dpe.tag, dpe.opcode = State.WAIT_BANK, 0x1234, Opcode.MML
    device.send(0, *[job(tag=n) for n in range(6)])
    fence = encode(Opcode.FENCE, units=1 << Unit.DPE, tag=0xBEEF)
    device.send(2, fence)
    dut.bank_states.value = 4 | 2 << 3 | 6 << 9
    await bench.wait(20)
    assert await device.read_debug(DebugSpace.UNIT, Unit.DPE, 0) == (
        State.WAIT_BANK | 3 << 8 | 2 << 16 | 4 << 24
    )
    assert await device.read_debug(DebugSpace.UNIT, Unit.DPE, 1) == 0x1234 | Opcode.MML << 16
    assert await device.read_debug(DebugSpace.UNIT, Unit.DPE, 2) == 0
    head = [await device.read_debug(DebugSpace.QUEUE, Unit.DPE, word) for word in range(17)]
    assert b"".join(word.to_bytes(4, "little") for word in head) == job(tag=0) + bytes(4)
    assert await device.read_debug(DebugSpace.QUEUE, Unit.RE, 0) == 0
    assert await device.read_debug(DebugSpace.SOURCE, 0, 0) == 1 | Opcode.MML << 8 | 4 << 16
    assert await device.read_debug(DebugSpace.SOURCE, 1, 0) == 0
    quad = [await device.read_debug(DebugSpace.SOURCE, 2, word) for word in range(5)]
    assert quad[0] == 1 | Opcode.FENCE << 8 | 0xBEEF << 16
    assert sum(word << 32 * i for i, word in enumerate(quad[1:])) == int.from_bytes(fence, "little")
    assert len(fence) == QUAD_BITS // 8
    assert [await device.read_debug(DebugSpace.BANK, bank, 0) for bank in range(5)] == [
        4,
        2,
        0,
        6,
        0,
    ]
    assert await device.read_debug(0x55, 0, 0) == 0


class CounterModel:
    """Drives random states and events, and counts what the device saw."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.rng = python_rng("counters")
        self.totals = dict.fromkeys((counter.name for counter in COUNTERS), 0)
        self.frozen: dict[str, int] | None = None
        port = device.bench.port
        self.events = {
            name: port(event_name(name)) for name in EVENTS if not name.startswith("cp.")
        }
        self.controls = {
            name: port(name) for name in ("counter_enable", "counter_clear", "snapshot")
        }
        self.running = True
        device.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Count this cycle."""
        enable, clear, snapshot = (int(pin.value) for pin in self.controls.values())
        if snapshot:
            self.frozen = dict(self.totals)
        if clear:
            self.totals, self.frozen = dict.fromkeys(self.totals, 0), None
        elif enable:
            self.totals["cycles"] += 1
            for name, pin in self.events.items():
                self.totals[name] += int(pin.value)
            for unit, model in self.device.units.items():
                state = State(int(model.pins["status"].value) & 15)
                name = f"{unit.name.lower()}.{state.name.lower()}"
                if name in STATE_COUNTERS:
                    self.totals[name] += 1

    def drive(self) -> None:
        """New states, events and controls."""
        rng, cycle = self.rng, self.device.bench.cycle
        for unit in self.device.units.values():
            unit.state = rng.choice(list(State))
        for name, pin in self.events.items():
            most = (1 << event_bits(name)) - 1
            pin.value = rng.choice((0, 0, 1, most // 4, most))
        self.controls["counter_enable"].value = int(self.running and cycle % 50 > 5)
        self.controls["counter_clear"].value = int(self.running and rng.random() < 0.002)
        self.controls["snapshot"].value = int(self.running and rng.random() < 0.02)

    def reset(self) -> None:
        """All counters are zero."""
        self.totals = dict.fromkeys(self.totals, 0)
        self.frozen = None


@cocotb.test()
async def counters_are_exact_in_every_snapshot(dut: object) -> None:
    """All counters against sums in Python, frozen at random times, with clears and pauses."""
    device = Device(dut)
    model = CounterModel(device)
    await device.bench.start()
    n_nonzero = 0
    for n_cycles in (120, 120, 7, 900, 300, 2):
        model.running = True
        await device.bench.wait(n_cycles)
        model.running = False
        await device.bench.wait(3)
        expected = model.totals if model.frozen is None else model.frozen
        for index, counter in enumerate(COUNTERS):
            if not counter.name.startswith("cp."):
                seen = await device.read_counter(index)
                assert seen == expected[counter.name], (
                    f"{counter.name}: found {seen}, expected {expected[counter.name]}"
                )
                n_nonzero += seen != 0
    assert n_nonzero > 100


@cocotb.test()
async def issued_and_short_commands_are_counted(dut: object) -> None:
    """Commands that units get, and those run here, in their own counters; progress moves."""
    device = Device(dut)
    bench = device.bench
    await bench.start()
    dut.counter_enable.value = 1
    progress = int(dut.progress.value)
    device.send(
        0,
        NOP,
        job(store=1, context=1),
        encode(Opcode.RUN, ctx=1),
        job(),
        NOP,
        job(Opcode.DRAIN),
        encode(Opcode.FENCE),
    )
    await device.sources[0].drained()
    await bench.wait(5)
    names = [counter.name for counter in COUNTERS]
    assert await device.read_counter(names.index("cp.commands")) == 3
    assert await device.read_counter(names.index("cp.short_commands")) == 4
    assert int(dut.progress.value) - progress == 7
    rest = int(dut.progress.value)
    await bench.wait(20)
    assert int(dut.progress.value) == rest, "progress without work"
    device.units[Unit.RE].state = State.BUSY
    await bench.wait(12)  # two on the way here
    assert 8 <= int(dut.progress.value) - rest <= 10


def test_errors() -> None:
    """Traps, halt, abort, debug port and performance counters."""
    run_bench(command_processor(), name="command_processor", test_module=__name__)
