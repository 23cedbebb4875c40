# SPDX-License-Identifier: Apache-2.0
"""The command processor: programs on its model, order, waiting, contexts, signals, and speed."""

from typing import Any

import cocotb
import pytest

from hw.arch.commands import Opcode, encode
from hw.arch.csr import DebugSpace
from hw.arch.units import UNITS_OF_OPCODE, Unit
from hw.config.presets import get_config
from hw.iface.pe import Completion
from hw.pe.cp.limits import ALL_UNITS, CheckLimits
from hw.pe.cp.processor import CommandProcessor
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, always, check_equal
from tb.unit.cp.device import Device, check_limits, command_processor
from tb.unit.cp.programs import LIMITS, RandomProgram, random_long

NOP = encode(Opcode.NOP)


def job(opcode: Opcode = Opcode.MML, **header: int) -> bytes:
    """Some legal long command."""
    return encode(opcode, **random_long(python_rng(f"job {opcode}"), opcode, **header))


async def finish(device: Device, status: int = 7) -> None:
    """End the job when all sources have sent everything, and compare what is left behind."""
    for source in device.sources:
        await source.drained()
    await device.arriving.drained()
    device.send(2, encode(Opcode.END, status=status))
    await device.bench.until(lambda: device.done, 4000)
    assert device.done == [status]
    await device.bench.wait(2)
    for counter in range(LIMITS.counters):
        seen = await device.read_debug(DebugSpace.COUNTER, counter, 0)
        assert seen == device.model.counters.get(counter, 0), f"counter {counter}"
    assert device.remote_seen == device.expected_remote
    assert device.trap is None and not device.read_trap()["valid"]


@cocotb.test()
async def random_programs_match_the_model(dut: object) -> None:
    """Three random programs at once: units get the right commands, nothing goes too early."""
    for_sources, for_sinks = BACK_PRESSURE[bench_parameters().get("back_pressure", "none")]
    device = Device(dut, source_pauses=for_sources(), remote_pauses=for_sinks())
    for unit in device.units.values():
        unit.pauses = for_sinks()
    device.place = (5, 14)
    dut.row.value, dut.col.value = device.place
    await device.bench.start()
    rng = python_rng("programs")
    programs = [RandomProgram(python_rng(f"program {i}"), i) for i in range(3)]
    for i, program in enumerate(programs):
        device.send(i, *program.generate(250), rng=rng)
    for _ in range(40):
        device.arriving.send(
            {
                "tag": rng.getrandbits(16),
                "signal_en": 1,
                "signal_counter": rng.randrange(8),
                "signal_row": rng.randrange(16),
                "signal_col": rng.randrange(16),
            }
        )
    await finish(device, status=rng.getrandbits(32))
    assert all(unit.n_taken > 10 for unit in device.units.values())


@cocotb.test()
async def one_command_a_cycle(dut: object) -> None:
    """Short commands: one in two cycles of one source, one per cycle of three; long ones while a
    queue has room, else as fast as the memory of the queues gives them to one unit."""
    device = Device(dut)
    await device.bench.start()
    n = 30
    device.send(0, *[NOP] * n)
    await device.sources[0].drained()
    cycles = device.sources[0].cycles
    assert cycles[-1] - cycles[0] == 2 * (n - 1)
    for i in range(3):
        device.send(i, *[NOP] * n)
    for source in device.sources:
        await source.drained()
    cycles = sorted(sum((source.cycles[-n:] for source in device.sources), []))
    assert cycles[-1] - cycles[0] == 3 * n - 1
    check_equal(device.order[-9:], [0, 1, 2] * 3 if device.order[-9] == 0 else device.order[-9:])
    counts = [device.order[n:-6].count(i) for i in range(3)]
    assert max(counts) - min(counts) <= 1  # each source had its turn
    dpe = device.units[Unit.DPE]
    dpe.times = (1,)
    start = len(device.sources[1].cycles)
    device.send(1, *[job()] * n)
    await device.sources[1].drained()
    cycles = device.sources[1].cycles[start:]
    assert cycles[4] - cycles[0] == 8
    assert cycles[-1] - cycles[4] <= 6 * (n - 5)
    # Latency: the unit sees a command three cycles after the source gave it.
    await device.bench.until(lambda: not dpe.open)
    device.send(1, job())
    await device.sources[1].drained()
    await device.bench.until(lambda: int(dpe.pins["command__valid"].value), 5)
    assert device.bench.cycle - 1 - device.sources[1].cycles[-1] == 3
    await finish(device)


@cocotb.test()
async def a_waiting_source_does_not_hold_up_others(dut: object) -> None:
    """FENCE, WAIT, END and a full queue each stop their own source only."""
    device = Device(dut)
    await device.bench.start()
    dpe = device.units[Unit.DPE]
    for blocker in (
        encode(Opcode.FENCE, units=1 << Unit.DPE),
        encode(Opcode.WAIT, counter=3, value=1),
        encode(Opcode.END),
        job(),
    ):
        dpe.stuck = True
        first = [job()] * (2 + 4 if blocker == job() else 1)
        device.send(0, *first, blocker)
        await device.bench.wait(20)
        device.send(1, *[NOP] * 5, job(Opcode.DRAIN), encode(Opcode.FENCE, units=1 << Unit.RE))
        await device.sources[1].drained()
        assert len(device.sources[0].items) % (len(first) + 1) == len(first) or device.done
        assert device.sources[0].valid, "the blocked command went on"
        dpe.stuck = False
        device.send(1, encode(Opcode.SIGNAL, signal_counter=3))
        await device.sources[0].drained()
        device.send(1, encode(Opcode.FENCE), encode(Opcode.SET_COUNTER, counter=3, value=0))
        await device.sources[1].drained()
        await device.bench.reset()
        for source in device.sources:
            source.items.clear()
            source.cycles.clear()


@cocotb.test()
async def a_fence_waits_for_any_number_of_commands_in_a_queue(dut: object) -> None:
    """One, two, ... and a full queue, before a unit that takes nothing and says that it is idle."""
    device = Device(dut)
    await device.bench.start()
    for opcode, units in UNITS_OF_OPCODE.items():
        for column, unit in enumerate(units):
            command = job(opcode, **({"column": column} if len(units) > 1 else {}))
            fence = encode(Opcode.FENCE, units=1 << unit)
            for n in range(1, 5):
                device.units[unit].pauses = lambda rng: True
                device.send(0, *[command] * n, fence)
                await device.bench.wait(16)
                assert device.sources[0].valid, "the FENCE went on"
                device.units[unit].pauses = always()
                await device.sources[0].drained()
                await device.bench.until(lambda unit=unit: not device.units[unit].open)


@cocotb.test()
async def a_counter_is_seen_by_the_next_command(dut: object) -> None:
    """WAIT right behind SET_COUNTER or SIGNAL of its source sees the new value, modulo 2^32."""
    device = Device(dut)
    await device.bench.start()

    def setter(value: int) -> bytes:
        return encode(Opcode.SET_COUNTER, counter=9, value=value)

    def waiter(value: int) -> bytes:
        return encode(Opcode.WAIT, counter=9, value=value)

    device.send(
        0,
        setter(50),
        waiter(50),
        setter(0xFFFFFFFF),
        waiter(0xFFFFFFF0),
        encode(Opcode.SIGNAL, signal_counter=9),
        waiter(0),
        setter(100),
        waiter(100),
        setter(3),
        waiter(4),  # the value before would do, the new one does not
    )
    await device.bench.wait(60)
    assert len(device.sources[0].items) == 9 and device.sources[0].valid
    device.send(1, encode(Opcode.NOP, signal_en=1, signal_counter=9))
    await finish(device)


@cocotb.test()
async def signals_of_units_pass_a_stream_of_counter_commands(dut: object) -> None:
    """Counter commands in every cycle leave turns to the signals of units and of others."""
    device = Device(dut)
    await device.bench.start()
    device.send(0, *[encode(Opcode.SIGNAL, signal_counter=1)] * 60)
    device.send(
        1,
        job(signal_en=1, signal_counter=2, signal_row=0, signal_col=0),
        encode(Opcode.WAIT, counter=2, value=1),
    )
    device.arriving.send(
        {"tag": 0, "signal_en": 1, "signal_counter": 4, "signal_row": 3, "signal_col": 1}
    )
    await device.sources[1].drained()
    assert len(device.sources[0].items) < 60
    await finish(device)


@cocotb.test()
async def remote_signals_wait_without_blocking_local_ones(dut: object) -> None:
    """While the network takes nothing, local signals and arriving ones still count."""
    device = Device(dut, remote_pauses=lambda rng: blocked)
    blocked = True
    await device.bench.start()
    remote = {"signal_en": 1, "signal_counter": 5, "signal_row": 0, "signal_col": 15}
    device.send(0, *[job(Opcode.DMA_OUT, **remote)] * 12)
    device.send(1, *[encode(Opcode.SIGNAL, **remote)] * 4)
    await device.bench.wait(100)
    device.send(
        2,
        job(signal_en=1, signal_counter=6, signal_row=0, signal_col=0),
        encode(Opcode.WAIT, counter=6, value=1),
        encode(Opcode.SIGNAL, signal_counter=6),
        encode(Opcode.WAIT, counter=7, value=1),
    )
    device.arriving.send(
        {"tag": 0, "signal_en": 1, "signal_counter": 7, "signal_row": 0, "signal_col": 1}
    )
    await device.sources[2].drained()
    device.send(2, encode(Opcode.END))
    await device.bench.wait(60)
    assert device.sources[2].valid, "END went on with signals undelivered"
    blocked = False
    await device.bench.until(lambda: device.done)
    assert sum(device.remote_seen.values()) == 16
    await finish_again(device)


async def finish_again(device: Device) -> None:
    """A second END of the same job list."""
    device.done.clear()
    await finish(device)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_processor(back_pressure: str) -> None:
    """Programs run as on the model under all pauses; order, waiting and speed as documented."""
    run_bench(
        command_processor(),
        name="command_processor",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "random_programs_match_the_model",
    )


def test_layout_of_completion_is_shared() -> None:
    """The model's header fields are those of the hardware's completion."""
    fields = {"tag": 1, "signal_en": 1, "signal_counter": 2, "signal_row": 3, "signal_col": 4}
    assert pack(Completion, fields) == 1 | 1 << 16 | 2 << 17 | 3 << 22 | 4 << 26


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"queue_depth": 1}, "queue_depth must be at least 2 commands, not 1"),
        ({"counters": 64}, "counters must be from 2 to 32, not 64"),
        ({"contexts": 32}, "contexts must be from 2 to 16, not 32"),
        ({"programs": 32}, "programs must be from 2 to 16, not 32"),
        ({"units": (Unit.CP,)}, "units must not name CP"),
    ],
)
def test_wrong_parameters_are_refused(change: dict[str, Any], sentence: str) -> None:
    """A size that a part cannot have is refused in one sentence."""
    depth = change.get("queue_depth", 4)
    sizes = {name: value for name, value in change.items() if name != "queue_depth"}
    with pytest.raises(ValueError, match=sentence):
        CommandProcessor(limits=CheckLimits(**vars(LIMITS) | sizes), queue_depth=depth)


def test_limits_follow_the_configuration() -> None:
    """The tiny element has the limits that these benches use."""
    assert CheckLimits.of(get_config("tiny").pe, ALL_UNITS) == check_limits(LIMITS)
