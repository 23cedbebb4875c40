# SPDX-License-Identifier: Apache-2.0
"""The reduction engine between models of all its neighbours."""

from typing import Any

import cocotb
import numpy as np
import pytest

from hw.arch.commands import COMMANDS, Destination, Opcode, Source
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.config.checks import ConfigError
from hw.config.element import ReConfig
from hw.iface.pe import BankState, CbAcquire
from hw.pe.re import ReductionEngine
from hw.pe.re.combiner import RowCombiner
from tb.common.payload import unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, always, bursts, sometimes
from tb.unit.re.agents import (
    BUFFER_UNITS,
    FIRST_UNIT,
    IN_CB,
    OUT_CB,
    SHAPE,
    SHAPES,
    ReBench,
    device,
)
from tb.unit.re.plans import BANK_UNITS, ROW_WORDS, Plan, random_drain

PARAMETERS = bench_parameters()
FORMATS = (Format.INT32, Format.FP32) if PARAMETERS.get("with_fp") else (Format.INT32,)
ROW_CYCLES, DRAIN_OVERHEAD, PRELOAD_OVERHEAD, SERIAL_OVERHEAD = (
    (2, 12, 15, 5) if PARAMETERS.get("row_in_memory") else (1, 10, 13, 4)
)
needs_links = cocotb.test(skip=not PARAMETERS.get("with_links"))


def _block(first: int, n_banks: int, **more: int) -> dict[str, int]:
    """A DRAIN of whole banks, one behind the other."""
    return {
        "count0": SHAPE.rows,
        "count1": n_banks,
        "bank": first,
        "bank_stride1": 1,
        "stride0": ROW_WORDS,
        "cb": OUT_CB,
        "step_level": 1,
        "adv_level": 1,
        "need": BANK_UNITS,
        "adv": BANK_UNITS,
    } | more


def _fill(plan: Plan, fmt: Format, fields: dict[str, int], n_visits: int, **more: bool) -> None:
    """Visits of all banks of a DRAIN, in turn."""
    banks = [
        (fields["bank"] + index * fields["bank_stride1"]) % SHAPE.banks
        for index in range(fields["count1"])
    ]
    for visit in range(n_visits):
        for bank in banks:
            plan.visit(bank, SHAPE.rows, fmt, first=visit == 0, last=visit == n_visits - 1, **more)


async def _random_work(re: ReBench, label: str, n: int, **fixed: Any) -> Plan:
    """Queue random visits, preloads and drains."""
    rng = python_rng(label)
    plan = Plan(re, label)
    for _ in range(n):
        fmt = rng.choice(FORMATS)
        fields = random_drain(rng, **{k: v(rng) for k, v in fixed.items()})
        preloaded = rng.random() < 0.4
        if preloaded:
            fields["bank_stride1"] = 1
            banks = [(fields["bank"] + i) % SHAPE.banks for i in range(fields["count1"])]
            plan.preload(banks, fmt)
        _fill(plan, fmt, fields, rng.randint(1, 3), preloaded=preloaded)
        plan.drain(fmt, fields)
    return plan


@cocotb.test()
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def rows_come_out_as_the_model_says(dut: object, back_pressure: str) -> None:
    """Random visits, preloads and drains to local memory, under all pauses, to the last bit."""
    rows, others = BACK_PRESSURE[back_pressure]
    re = ReBench(dut, rows=rows(), ls=others, cb=others)
    await re.bench.start()
    plan = await _random_work(re, f"memory {back_pressure}", 12)
    await plan.finish()
    tags = [item["tag"] for item in re.completions.items]
    assert len(tags) == plan.n_commands


@cocotb.test()
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def minimum_and_maximum_of_each_row(dut: object, back_pressure: str) -> None:
    """MINMAX stores the pair of each row, NaN and signed zeros included."""
    rows, others = BACK_PRESSURE[back_pressure]
    re = ReBench(dut, rows=rows(), ls=others, cb=others)
    await re.bench.start()
    plan = await _random_work(re, f"minmax {back_pressure}", 8, minmax=lambda rng: 1)
    await plan.finish()


@needs_links
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def neighbours_add_and_take_rows(dut: object, back_pressure: str) -> None:
    """Own plus incoming, from north and west, to memory, south, east and the SIMD engine."""
    rows, others = BACK_PRESSURE[back_pressure]
    re = ReBench(dut, rows=rows(), ls=others, cb=others, link=others)
    await re.bench.start()
    plan = await _random_work(
        re,
        f"links {back_pressure}",
        14,
        source=lambda rng: rng.choice(list(Source)).value,
        destination=lambda rng: rng.choice(list(Destination)).value,
        minmax=lambda rng: rng.random() < 0.2,
    )
    await plan.finish()
    for name, source in re.sources.items():
        await source.drained()
        assert source.items, f"{name} was never used"


@cocotb.test(skip=not PARAMETERS.get("with_se"))
@cocotb.parametrize(back_pressure=list(BACK_PRESSURE))
async def the_simd_engine_takes_rows(dut: object, back_pressure: str) -> None:
    """Rows and pairs go to the SIMD engine, in turn with others that go to local memory."""
    rows, others = BACK_PRESSURE[back_pressure]
    re = ReBench(dut, rows=rows(), ls=others, cb=others, link=others)
    await re.bench.start()
    plan = await _random_work(
        re,
        f"simd {back_pressure}",
        10,
        destination=lambda rng: rng.choice((Destination.LS, Destination.SE)).value,
        minmax=lambda rng: rng.random() < 0.3,
    )
    await plan.finish()


@cocotb.test()
async def a_row_may_come_again_after_latency(dut: object) -> None:
    """Visits of `latency` rows at full rate: each row comes again as early as it may."""
    re = ReBench(dut)
    await re.bench.start()
    plan = Plan(re, "again")
    n_rows = re.latency
    for fmt in FORMATS:
        for visit in range(6):
            plan.visit(1, n_rows, fmt, first=visit == 0, last=visit == 5)
        plan.drain(fmt, _block(1, 1, count0=n_rows))
        await plan.finish()
        sent = re.dpe.row_cycles[-6 * n_rows :]
        assert sent[-1] - sent[0] == 6 * n_rows - 1


@cocotb.test()
async def drain_takes_the_cycles_documented(dut: object) -> None:
    """All banks leave without a gap: a row per cycle, or per two where the register is scarce."""
    re = ReBench(dut)
    re.cb_out.eager = True
    await re.bench.start()
    plan = Plan(re, "rate")
    fields = _block(0, SHAPE.banks)
    _fill(plan, Format.INT32, fields, 1)
    await re.bench.until(lambda: all(s is BankState.FULL for s in re.dpe.states()))
    plan.drain(Format.INT32, fields)
    await re.complete(1)
    n_rows = SHAPE.banks * SHAPE.rows
    for slot in re.slots:
        assert slot.cycles[-1] - slot.cycles[0] == ROW_CYCLES * (n_rows - 1)
    took = re.completions.cycles[0] - re.commands.cycles[0]
    assert took == ROW_CYCLES * n_rows + DRAIN_OVERHEAD
    await plan.finish()


@cocotb.test()
async def minimum_takes_the_cycles_documented(dut: object) -> None:
    """A row per cycle, or as many as values count and some more, whether all count or not."""
    re = ReBench(dut)
    re.cb_out.eager = True
    await re.bench.start()
    plan = Plan(re, "minmax rate")
    for n_tail in (0, SHAPE.columns - 1):
        re.forget_writes()
        fields = _block(0, 1, minmax=1, n_level=1, n_tail=n_tail)
        _fill(plan, Format.INT32, fields, 1)
        plan.drain(Format.INT32, fields)
        await re.complete(plan.n_commands)
        n_valid = n_tail or SHAPE.columns
        each = n_valid + SERIAL_OVERHEAD if PARAMETERS["serial"] else 1
        assert re.slots[0].cycles[-1] - re.slots[0].cycles[0] == each * (SHAPE.rows - 1)


@cocotb.test()
async def preload_takes_the_cycles_documented(dut: object) -> None:
    """One bank: words of a row, then rows (without FP all words of each), then a constant."""
    re = ReBench(dut)
    re.cb_in.eager = True
    await re.bench.start()
    plan = Plan(re, "preload")
    plan.preload([1], Format.INT32)
    await re.complete(1)
    took = re.completions.cycles[0] - re.commands.cycles[0]
    n_writes = SHAPE.rows * (1 if PARAMETERS["with_fp"] else ROW_WORDS)
    assert took == ROW_WORDS + n_writes + PRELOAD_OVERHEAD
    assert re.dpe.states()[1] is BankState.READY


@cocotb.test()
async def drain_overlaps_accumulation(dut: object) -> None:
    """While banks drain in turn the DPE fills others, both at a row a cycle."""
    re = ReBench(dut)
    await re.bench.start()
    plan = Plan(re, "overlap")
    n_rounds, n_visits = 6, 3 * ROW_CYCLES
    for index in range(n_rounds):
        fields = _block(index % SHAPE.banks, 1)
        _fill(plan, Format.INT32, fields, n_visits)
        plan.drain(Format.INT32, fields)
    await plan.re.complete(n_rounds)
    sent = re.dpe.row_cycles
    assert sent[-1] - sent[0] == n_rounds * n_visits * SHAPE.rows - 1, "a drain held up the DPE"
    drained = re.slots[0].cycles
    assert drained[0] < sent[-1] - 2 * SHAPE.rows
    both = set(drained) & set(sent)
    assert len(both) >= (n_rounds - 1) * SHAPE.rows
    await plan.finish()


@cocotb.test()
async def a_step_is_reported_when_its_words_have_moved(dut: object) -> None:
    """Commit never comes before the last word of the step, release never before the last answer."""
    re = ReBench(dut, ls=bursts, cb=sometimes)
    commits, releases = re.bench.monitor("cb_out__done"), re.bench.monitor("cb_in__done")
    await re.bench.start()
    plan = Plan(re, "reports")
    n_rounds = 5
    for _ in range(n_rounds):
        banks = list(range(SHAPE.banks))
        plan.preload(banks, Format.INT32, adv_level=1, stride1=0, adv=-(-4 * SHAPE.columns // 64))
        fields = _block(0, SHAPE.banks)
        _fill(plan, Format.INT32, fields, 1, preloaded=True)
        plan.drain(Format.INT32, fields)
    await re.complete(plan.n_commands)
    n_steps = n_rounds * SHAPE.banks
    assert len(commits.cycles) == len(releases.cycles) == n_steps
    for step in range(n_steps):
        last_word = max(slot.cycles[(step + 1) * SHAPE.rows - 1] for slot in re.slots)
        assert commits.cycles[step] > last_word
        last_read = re.reader.requests.cycles[(step + 1) * ROW_WORDS - 1]
        assert releases.cycles[step] > last_read + 2
    await plan.finish()


@cocotb.test()
async def banks_walk_through_their_states(dut: object) -> None:
    """Free, open, closing, full, draining, free; with preload filling and ready."""
    re = ReBench(dut, cb=sometimes)
    await re.bench.start()
    plan = Plan(re, "states")
    seen: list[BankState] = []

    async def watch() -> None:
        while True:
            state = re.dpe.states()[1]
            if not seen or seen[-1] is not state:
                seen.append(state)
            await re.bench.wait(1)

    task = cocotb.start_soon(watch())
    plan.preload([1], Format.INT32)
    plan.visit(1, 3, Format.INT32, first=True, last=False, preloaded=True)
    plan.visit(1, 3, Format.INT32, first=False, last=True, done=False)
    plan.visit(1, 3, Format.INT32, first=True, last=True, preloaded=True)
    plan.drain(Format.INT32, _block(1, 1, count0=3))
    await plan.finish()
    task.cancel()
    names = [state.name for state in seen]
    assert names == [
        "FREE",
        "FILLING",
        "READY",
        "OPEN",
        "CLOSING",
        "READY",
        "CLOSING",
        "FULL",
        "DRAINING",
        "FREE",
    ]


@cocotb.test()
async def status_names_the_cause_of_a_stall(dut: object) -> None:
    """Each kind of waiting shows in `status`, with the command's opcode, tag, CB and bank."""
    re = ReBench(dut, link=lambda: lambda rng: True)
    await re.bench.start()
    plan = Plan(re, "status")

    async def shows(state: State, opcode: Opcode) -> None:
        await re.bench.until(lambda: re.status()["state"] == state, 200)
        await re.bench.wait(20)
        status = re.status()
        assert (status["state"], status["opcode"]) == (state, opcode), status

    re.buffers[OUT_CB].depth = 1
    plan.drain(Format.INT32, _block(1, 1, tag=77))
    await shows(State.WAIT_CB_ROOM, Opcode.DRAIN)
    assert re.status()["tag"] == 77 and re.status()["cb"] == OUT_CB
    re.buffers[OUT_CB].depth = BUFFER_UNITS
    await shows(State.WAIT_BANK, Opcode.DRAIN)
    assert re.status()["bank"] == 1
    for slot in re.slots:
        slot._pauses = lambda rng: True
    plan.visit(1, SHAPE.rows, Format.INT32, first=True, last=True)
    await shows(State.WAIT_LS, Opcode.DRAIN)
    re.forget_writes()
    for slot in re.slots:
        slot._pauses = always()
    await re.complete(1)
    if PARAMETERS["with_links"]:
        plan.visit(1, SHAPE.rows, Format.INT32, first=True, last=True)
        plan.drain(Format.INT32, _block(1, 1, source=1))
        await shows(State.WAIT_NEIGHBOUR, Opcode.DRAIN)
    assert re.status()["steps"] == 1
    assert State.IDLE in re.seen_states and State.BUSY in re.seen_states


@cocotb.test()
async def reset_and_halt_in_the_middle(dut: object) -> None:
    """Halt ends with idle while writes wait their turn; after a reset everything works."""
    re = ReBench(dut, ls=bursts, cb=sometimes)
    await re.bench.start()
    rng = python_rng("halt")
    for round_ in range(6):
        plan = await _random_work(re, f"halt {round_}", 4)
        await re.bench.wait(rng.randrange(20, 300))
        if round_ % 3:
            dut["control__halt"].value = 1
            await re.bench.wait(2)
            n_written = sum(len(slot.items) for slot in re.slots)
            await re.bench.until(lambda: re.idle, 300)
            more = sum(len(slot.items) for slot in re.slots) - n_written
            assert more <= 3 * len(re.slots), f"{more} words written after halt"
            await re.bench.wait(20)
            assert re.idle and not re.commands.ready
            assert re.status()["state"] == State.HALTED
        await re.bench.reset()
        dut["control__halt"].value = 0
        re.start_buffers()
        re.completions.items.clear()
        re.forget_writes()
        assert all(state is BankState.FREE for state in re.dpe.states())
    plan = await _random_work(re, "after reset", 4)
    await plan.finish()


async def _traps(re: ReBench, cause: Trap, opcode: Opcode, info: int) -> None:
    """The engine traps, and behaves as under halt."""
    await re.bench.until(lambda: re.trap()["valid"], 500)
    trap = re.trap()
    assert (trap["cause"], trap["opcode"], trap["info"]) == (cause, opcode, info), trap
    await re.bench.until(lambda: re.idle, 100)
    await re.bench.wait(10)
    assert re.trap() == trap and not re.commands.ready


@cocotb.test()
async def wrong_parity_of_an_accumulator_traps(dut: object) -> None:
    """When it is drained, and when it is added to; a bank that is overwritten does not trap."""
    re = ReBench(dut)
    for fmt in FORMATS:
        await (re.bench.start() if fmt is FORMATS[0] else re.bench.reset())
        plan = Plan(re, f"parity {fmt}")
        dut["inject"].value = 1
        plan.visit(1, 2, fmt, first=True, last=False)
        await re.bench.until(lambda: re.dpe.idle)
        await re.bench.wait(re.latency)
        dut["inject"].value = 0
        assert re.trap()["valid"] == 0
        plan.visit(1, 2, fmt, first=False, last=True)
        await _traps(re, Trap.ACCUMULATOR_PARITY, Opcode.MML, 1)
    await re.bench.reset()
    plan = Plan(re, "drain parity")
    dut["inject"].value = 1
    plan.visit(1, 2, Format.INT32, first=True, last=True)
    await re.bench.until(lambda: re.dpe.states()[1] is BankState.FULL)
    dut["inject"].value = 0
    plan.drain(Format.INT32, _block(1, 1, count0=2))
    await _traps(re, Trap.ACCUMULATOR_PARITY, Opcode.DRAIN, 1)


@cocotb.test()
async def wrong_parity_of_local_memory_traps(dut: object) -> None:
    """A byte of the preloaded row with wrong parity."""
    re = ReBench(dut)
    await re.bench.start()
    plan = Plan(re, "ls parity")
    plan.preload([1], Format.INT32)
    first = re.buffers[IN_CB].base + FIRST_UNIT
    re.reader.wrong[first * 64 // SHAPE.word_bytes + 1] = 2
    await _traps(re, Trap.LS_PARITY, Opcode.PRELOAD, 1)


@cocotb.test()
async def addresses_outside_trap(dut: object) -> None:
    """A buffer that reaches beyond local memory, for both directions."""
    re = ReBench(dut)
    top = (SHAPE.word_bytes << SHAPE.address_width) // 64
    for opcode, cb in ((Opcode.DRAIN, OUT_CB), (Opcode.PRELOAD, IN_CB)):
        await (re.bench.start() if opcode is Opcode.DRAIN else re.bench.reset())
        re.buffers[cb].base = top - 1 - FIRST_UNIT
        plan = Plan(re, "outside")
        if opcode is Opcode.DRAIN:
            # The row that begins in the last word.
            plan.drain(Format.INT32, _block(1, 1, offset=64 // SHAPE.word_bytes - 1))
            plan.visit(1, SHAPE.rows, Format.INT32, first=True, last=True)
        else:
            plan.preload([1], Format.INT32, offset=64 // SHAPE.word_bytes)
        await _traps(re, Trap.LS_RANGE, opcode, 1)
        assert not any(slot.items for slot in re.slots)


@cocotb.test()
async def a_step_before_its_buffer_asks_for_what_no_buffer_holds(dut: object) -> None:
    """A negative start that lost its sign would be granted."""
    re = ReBench(dut)
    await re.bench.start()
    re.command(Opcode.DRAIN, **_block(0, 2, stride1=-1, need=1, adv=1))

    def extent() -> int:
        return unpack(CbAcquire, int(dut["cb_out__acquire__payload"].value))["extent"]

    await re.bench.until(lambda: dut["cb_out__acquire__valid"].value and extent() != 1, 200)
    assert extent() == 0xFFFF


@cocotb.test(skip=bool(PARAMETERS.get("with_links")))
async def a_link_that_is_not_there_traps(dut: object) -> None:
    """An engine without neighbours refuses commands that need them."""
    re = ReBench(dut)
    destinations = (1, 2) if PARAMETERS["with_se"] else (1, 2, 3)
    for name, values in (("destination", destinations), ("source", (1, 2))):
        for value in values:
            first = (name, value) == ("destination", 1)
            await (re.bench.start() if first else re.bench.reset())
            re.command(Opcode.DRAIN, **_block(0, 1, **{name: value}))
            offset = COMMANDS[Opcode.DRAIN].field(name).offset
            await _traps(re, Trap.ILLEGAL_FIELD, Opcode.DRAIN, offset)


@pytest.mark.parametrize("variant", ["tiny", "tiny_banks", "tiny_integers", "wide", "narrow_alone"])
def test_reduction_engine(variant: str) -> None:
    """The engine of `tiny` in both forms, one without links and FP, and other words.

    All but the first compare the values of a row one by one.
    """
    with_fp = variant != "tiny_integers"
    with_links = with_fp and variant != "narrow_alone"
    with_se = variant != "narrow_alone"
    shape = variant.partition("_")[0]
    one_memory = variant != "tiny_banks"
    engine = device(
        SHAPES[shape],
        with_fp=with_fp,
        with_links=with_links,
        with_se=with_se,
        one_memory=one_memory,
        fast_minmax=variant == "tiny",
    )
    assert engine.latency == (6 if with_fp else 3)
    run_bench(
        engine,
        name=f"re_{variant}",
        test_module=__name__,
        parameters={
            "shape": shape,
            "with_fp": with_fp,
            "with_links": with_links,
            "with_se": with_se,
            "latency": engine.latency,
            "serial": not engine.config.fast_minmax,
            "row_in_memory": engine.drain.row_in_memory,
        },
    )


def test_latencies_are_those_documented() -> None:
    """At most eight rows, so that the smallest tile needs no stall."""
    assert device(SHAPES["tiny"]).latency <= 8
    assert RowCombiner.latency == 4


def test_wrong_constructor_arguments_are_refused() -> None:
    """One sentence for each."""
    good = {
        "config": ReConfig(banks=4),
        "columns": 8,
        "tile_rows": 8,
        "word_bytes": 8,
        "address_width": 11,
    }
    for name, value, sentence in (
        ("config", ReConfig(banks=3), "re.banks is 3; it must be 2, 4, 8 or 16."),
        ("columns", 6, "columns is 6; it must be a power of two, at least 2."),
        ("tile_rows", 0, "tile_rows is 0; it must be a power of two, at least 2."),
        ("word_bytes", 3, "word_bytes is 3; it must be 4 or more and divide a row of 32 bytes."),
    ):
        with pytest.raises((ValueError, ConfigError), match=sentence):
            ReductionEngine(**(good | {name: value}))


def test_model_against_python_numbers() -> None:
    """Sums modulo 2^32, minimum and maximum by Python's own comparison."""
    from sim.golden.re import add_rows, min_max

    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 1 << 32, (2, 50, 8), dtype=np.uint32)
    expected = [
        [(int(x) + int(y)) % 2**32 for x, y in zip(*rows, strict=True)]
        for rows in zip(a, b, strict=True)
    ]
    assert add_rows(a, b, Format.INT32).tolist() == expected

    def signed(value: int) -> int:
        return value - (value >> 31 << 32)

    for row, pair in zip(a, min_max(a, Format.INT32, 5), strict=True):
        numbers = [signed(int(v)) for v in row[:5]]
        assert [signed(int(v)) for v in pair] == [min(numbers), max(numbers)]
    floats = np.array([[0.0, -0.0, 1.5, -2.0], [0.0, -0.0, -0.0, 0.0], [1, np.nan, 2, 3]], "<f4")
    pairs = min_max(floats.view(np.uint32), Format.FP32, 4)
    assert pairs.tolist() == [
        [0xC0000000, 0x3FC00000],
        [0x80000000, 0x00000000],
        [0x7FC00000, 0x7FC00000],
    ]
    assert min_max(floats.view(np.uint32), Format.FP32, 1)[2].tolist() == [0x3F800000] * 2
