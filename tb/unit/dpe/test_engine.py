# SPDX-License-Identifier: Apache-2.0
"""The dot-product engine: MML commands against the golden model, with models of its neighbours."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import pytest

from hw.arch.commands import NEVER, Opcode, decode, encode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.config.checks import ConfigError
from hw.config.element import DpeConfig
from hw.iface.pe import (
    BankState,
    CbAcquire,
    CbDone,
    CbGrant,
    Completion,
    TrapReport,
    UnitStatus,
    bank_row_layout,
    row_lead,
)
from hw.pe.dpe import DotProductEngine
from sim.golden.address import Buffer
from sim.golden.dpe import DpeModel, Row
from tb.common.coverage import cover_wrap
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, numpy_rng, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, Pauses, check_equal

ADDRESS_WIDTH = 9
RE_LATENCY = 6
BANKS = 4
CB_A, CB_B = 1, 5


class LsReadModel:
    """One read slot of local memory: grants with pauses, answers after its latency."""

    def __init__(self, bench: "EngineBench", name: str, pauses: Pauses) -> None:
        self.bench, self.dut, self.name, self.pauses = bench, bench.dut, name, pauses
        self.rng = python_rng(name)
        self.answers: deque[int | None] = deque([None] * (bench.ls_latency - 1))
        self.granted: list[int] = []
        self.set("response__valid", 0)

    def set(self, signal: str, value: int) -> None:
        getattr(self.dut, f"{self.name}__{signal}").value = value

    def get(self, signal: str) -> int:
        return int(getattr(self.dut, f"{self.name}__{signal}").value)

    def sample(self, cycle: int) -> None:
        """Take a granted request, move the answers on."""
        granted = None
        if self.get("request__valid") and self.get("request__ready"):
            granted = self.get("request__payload")
            self.granted.append(granted)
        self.answers.append(granted)

    def drive(self) -> None:
        """Answer the oldest request; grant or not."""
        address = self.answers.popleft()
        self.set("response__valid", int(address is not None))
        word = self.rng.getrandbits(8 * self.bench.k_bytes)
        error = self.rng.getrandbits(self.bench.k_bytes)
        if address is not None:
            word = int.from_bytes(self.bench.memory[address].tobytes(), "little")
            error = self.bench.errors.get(address, 0)
        self.set("response__payload", word | error << 8 * self.bench.k_bytes)
        self.set("request__ready", int(not self.pauses(self.rng)))

    def reset(self) -> None:
        """Forget what is under way."""
        self.answers = deque([None] * (self.bench.ls_latency - 1))


class CbModel:
    """One operand's port into the CB table: grants in order, with pauses."""

    def __init__(self, bench: "EngineBench", name: str, buffer: Buffer, pauses: Pauses) -> None:
        self.bench, self.dut, self.name, self.buffer = bench, bench.dut, name, buffer
        self.pauses = pauses
        self.rng = python_rng(name)
        self.asked: list[tuple[int, int, int]] = []
        self.done: list[tuple[int, int]] = []
        self.grant: int | None = None
        for signal in ("grant__valid", "acquire__ready", "done__ready"):
            getattr(self.dut, f"{name}__{signal}").value = 0

    def port(self, signal: str) -> Any:
        return getattr(self.dut, f"{self.name}__{signal}")

    def sample(self, cycle: int) -> None:
        """Accept an acquire and a report."""
        if int(self.port("acquire__valid").value) and int(self.port("acquire__ready").value):
            asked = unpack(CbAcquire, self.port("acquire__payload").value.to_unsigned())
            self.asked.append((asked["cb"], asked["extent"], asked["advance"]))
            if self.buffer.pointer + asked["extent"] > self.buffer.depth:
                cover_wrap("dpe", self.name)
            self.grant = pack(
                CbGrant,
                {
                    "base": self.buffer.base,
                    "depth": self.buffer.depth,
                    "pointer": self.buffer.pointer,
                },
            )
            self.buffer.pointer = (self.buffer.pointer + asked["advance"]) % self.buffer.depth
        if int(self.port("done__valid").value) and int(self.port("done__ready").value):
            done = unpack(CbDone, self.port("done__payload").value.to_unsigned())
            self.done.append((done["cb"], done["advance"]))

    def drive(self) -> None:
        """Grant what was accepted."""
        self.port("grant__valid").value = int(self.grant is not None)
        self.port("grant__payload").value = self.grant or 0
        self.grant = None
        self.port("acquire__ready").value = int(not self.pauses(self.rng))
        self.port("done__ready").value = int(not self.pauses(self.rng))

    def reset(self) -> None:
        """Forget a grant."""
        self.grant = None


class ReductionModel:
    """Bank states and the row stream, as the reduction engine keeps them."""

    def __init__(self, bench: "EngineBench") -> None:
        self.bench, self.dut = bench, bench.dut
        self.shape = bank_row_layout(bench.columns, BANKS, bench.columns)
        self.states = [BankState.FREE] * BANKS
        self.rows: list[Row] = []
        self.lead = row_lead(bench.with_fp)
        self.without_values: deque[tuple[int, dict]] = deque()
        self.cycles: list[int] = []
        self.row_cycle: dict[tuple[int, int], int] = {}
        self.drains: list[tuple[int, int, BankState]] = []
        self.hold_full = False
        self.may_trap = False
        self.drive()

    def sample(self, cycle: int) -> None:
        """Follow visits and rows; check what the engine must not do."""
        trap = unpack(TrapReport, self.dut.control__trap.value.to_unsigned())
        in_reset = int(self.dut.rst.value)
        assert self.may_trap or in_reset or not trap["valid"], f"trap {trap}"
        for when, bank, state in [d for d in self.drains if d[0] <= cycle]:
            self.states[bank] = state
            self.drains.remove((when, bank, state))
        if int(self.dut.banks__visit.value):
            self._visit(int(self.dut.banks__bank.value), int(self.dut.banks__last.value))
        if int(self.dut.rows__valid.value):
            self._row(unpack(self.shape, self.dut.rows__payload.value.to_unsigned()), cycle)
        if self.without_values and self.without_values[0][0] == cycle - self.lead:
            self._values(self.without_values.popleft()[1])

    def _visit(self, bank: int, last: int) -> None:
        assert self.states[bank] in (BankState.FREE, BankState.READY, BankState.OPEN), (
            f"visit of bank {bank} in state {self.states[bank]}"
        )
        self.states[bank] = BankState.CLOSING if last else BankState.OPEN

    def _row(self, row: dict, cycle: int) -> None:
        place = row["bank"], row["row"]
        assert cycle - self.row_cycle.get(place, -RE_LATENCY) >= RE_LATENCY, f"hazard at {place}"
        self.row_cycle[place] = cycle
        self.without_values.append((cycle, row))
        self.cycles.append(cycle)
        if row["close"]:
            assert self.states[row["bank"]] is BankState.CLOSING
            if row["done"]:
                self.drains.append((cycle + RE_LATENCY, row["bank"], BankState.FULL))
                if not self.hold_full:
                    self.drains.append(
                        (cycle + RE_LATENCY + self.bench.columns, row["bank"], BankState.FREE)
                    )
            else:
                self.drains.append((cycle + RE_LATENCY, row["bank"], BankState.READY))

    def _values(self, row: dict) -> None:
        """The row that came `lead` cycles ago has its values now."""
        values = unpack(self.shape, self.dut.rows__payload.value.to_unsigned())["values"]
        self.rows.append(
            Row(
                bank=row["bank"],
                row=row["row"],
                values=tuple(values),
                is_float=bool(row["is_float"]),
                overwrite=bool(row["overwrite"]),
                close=bool(row["close"]),
                done=bool(row["done"]),
            )
        )

    def drive(self) -> None:
        """Show the states."""
        self.dut.banks__states.value = sum(
            state.value << 3 * bank for bank, state in enumerate(self.states)
        )

    def reset(self) -> None:
        """All banks are free."""
        self.states = [BankState.FREE] * BANKS
        self.drains.clear()
        self.row_cycle.clear()
        self.without_values.clear()


@dataclass
class Job:
    """One command and what must come of it."""

    fields: dict[str, int]
    rows: list[Row]
    n_steps: int


class EngineBench:
    """The engine with all its neighbours."""

    def __init__(self, dut: Any, ls: str = "none", cb: str = "none") -> None:
        parameters = bench_parameters()
        self.dut = dut
        self.columns, self.k_bytes = parameters["columns"], parameters["k_bytes"]
        self.latency, self.with_fp = parameters["latency"], parameters["with_fp"]
        self.ls_latency = parameters["ls_latency"]
        self.rng = numpy_rng("engine")
        self.memory = self.rng.integers(0, 256, (1 << ADDRESS_WIDTH, self.k_bytes)).astype(np.uint8)
        self.errors: dict[int, int] = {}
        self.model = DpeModel(columns=self.columns, k_bytes=self.k_bytes, banks=BANKS)
        units = (self.k_bytes << ADDRESS_WIDTH) // 64
        self.buffers = {
            CB_A: Buffer(base=units // 8, depth=units // 2 - 1),
            CB_B: Buffer(base=units // 8 + units // 2, depth=3 * units // 8 - 1),
        }
        self.units = units
        self.bench = Bench(dut)
        self.commands = self.bench.source("control__command")
        self.completions = self.bench.sink("control__completion", Completion)
        dut.control__halt.value = 0
        self.ls = {
            name: LsReadModel(self, f"ls_{name}", BACK_PRESSURE[ls][1]()) for name in ("a", "b")
        }
        self.cb = {}
        for name, cb_id in (("a", CB_A), ("b", CB_B)):
            buffer = Buffer(base=self.buffers[cb_id].base, depth=self.buffers[cb_id].depth)
            self.cb[name] = CbModel(self, f"cb_{name}", buffer, BACK_PRESSURE[cb][1]())
        self.re = ReductionModel(self)
        for agent in (*self.ls.values(), *self.cb.values(), self.re):
            self.bench.add(agent)
        self.asked: dict[str, list] = {"a": [], "b": []}
        self.feeds: dict[str, deque[bytes]] = {"a": deque(), "b": deque()}
        self.rows: list[Row] = []

    def send(self, **fields: int) -> Job:
        """Queue an MML and compute what it must do."""
        fields.setdefault("tag", int(self.rng.integers(1 << 16)))
        data = encode(Opcode.MML, a_cb=CB_A, b_cb=CB_B, **fields)
        values = decode(data)[1]
        result = self.model.mml(values, self.memory, self.buffers, self.feeds)
        for name, cb_id, steps in (("a", CB_A, result.steps_a), ("b", CB_B, result.steps_b)):
            self.asked[name] += [(cb_id, step.extent, step.advance) for step in steps]
        self.rows += result.rows
        self.commands.send(int.from_bytes(data, "little"))
        return Job(values, result.rows, len(result.steps_a) + len(result.steps_b))

    async def finish(self, jobs: list[Job], limit: int = 3000) -> None:
        """Wait for all commands, then compare everything."""
        got = await self.completions.receive(len(jobs), idle_limit=limit)
        check_equal([item["tag"] for item in got], [job.fields["tag"] for job in jobs], "tag")
        await self.bench.until(lambda: int(self.dut.control__idle.value), limit=200)
        check_equal(self.re.rows, self.rows, "row")
        for name, cb in self.cb.items():
            check_equal(cb.asked, self.asked[name], f"acquire of {name}")
            check_equal(
                cb.done,
                [(cb_id, advance) for cb_id, _, advance in self.asked[name] if advance],
                f"report of {name}",
            )

    def status(self) -> dict:
        """What triage sees."""
        return unpack(UnitStatus, self.dut.control__status.value.to_unsigned())


def gemm_fields(
    bench: EngineBench,
    *,
    m_tiles: int,
    n_tiles: int,
    k_steps: int,
    blocks: int = 1,
    fmt: Format = Format.INT8,
    **more: int,
) -> dict[str, int]:
    """The nest of a K-outer GEMM; every K step is a CB step of A and of B."""
    n = bench.columns
    words = n * bench.k_bytes // 64
    return {
        "count0": n,
        "count1": m_tiles,
        "count2": n_tiles,
        "count3": k_steps,
        "count4": blocks,
        "a_stride0": 1,
        "a_stride1": n,
        "a_step_level": 3,
        "a_adv_level": 3,
        "a_need": m_tiles * words,
        "a_adv": m_tiles * words,
        "b_stride0": 1,
        "b_stride2": n,
        "b_step_level": 3,
        "b_adv_level": 3,
        "b_need": n_tiles * words,
        "b_adv": n_tiles * words,
        "bank_stride1": 1,
        "bank_stride2": m_tiles,
        "held_level": 2,
        "k_level": 3,
        "m_level": 1,
        "n_level": 2,
        "a_format": fmt,
        "b_format": fmt,
        "init": 1,
        "done": 1,
        **more,
    }


@cocotb.test()
async def k_outer_gemm_matches_the_golden_model(dut: object) -> None:
    """Two by two tiles in four banks, with tails of M, N and K, both layouts of B."""
    bench = EngineBench(dut, ls=bench_parameters()["ls"], cb=bench_parameters()["cb"])
    await bench.bench.start()
    jobs = []
    formats = [Format.INT8, Format.UINT8] + [Format.FP16, Format.BF16] * bench.with_fp
    for fmt in formats:
        for by_row in (0, 1):
            size = fmt.n_bytes
            tails = {
                "k_tail": int(bench.rng.integers(1, bench.k_bytes // size + 1)) * size,
                "m_tail": int(bench.rng.integers(1, bench.columns + 1)),
                "n_tail": int(bench.rng.integers(1, bench.columns + 1)),
            }
            jobs.append(
                bench.send(
                    **gemm_fields(
                        bench,
                        m_tiles=2,
                        n_tiles=2,
                        k_steps=3,
                        blocks=2,
                        fmt=fmt,
                        by_row=by_row,
                        **tails,
                    )
                )
            )
    await bench.finish(jobs)


@cocotb.test()
async def bank_major_gemm_matches_the_golden_model(dut: object) -> None:
    """K innermost: one bank over all K, a new held block for every visit."""
    bench = EngineBench(dut, ls=bench_parameters()["ls"], cb=bench_parameters()["cb"])
    await bench.bench.start()
    n, jobs = bench.columns, []
    words = n * bench.k_bytes // 64
    for m_tail in (0, 1, 3):
        jobs.append(
            bench.send(
                count0=n,
                count1=4,
                count2=2,
                count3=2,
                a_stride0=1,
                a_stride1=n,
                a_stride2=0,
                a_step_level=2,
                a_need=4 * words,
                b_stride0=1,
                b_stride1=n,
                b_stride2=4 * n,
                b_step_level=1,
                b_adv_level=2,
                b_need=words,
                b_adv=4 * words,
                bank_stride2=1,
                bank_stride3=2,
                held_level=1,
                k_level=1,
                m_level=2,
                m_tail=m_tail,
                init=1,
                done=1,
            )
        )
    await bench.finish(jobs)


@cocotb.test()
async def short_visits_of_one_bank_keep_the_latency_of_the_reduction(dut: object) -> None:
    """Visits of 1 to 7 rows again and again to one bank: the bench checks every distance."""
    bench = EngineBench(dut)
    await bench.bench.start()
    jobs = [
        bench.send(
            count0=rows,
            count1=9,
            a_stride0=1,
            a_step_level=5,
            a_need=8,
            b_stride0=1,
            b_step_level=5,
            b_need=8,
            held_level=5,
            k_level=1,
            init=1,
            done=0 + (rows == 7),
        )
        for rows in (1,)
    ]
    for rows in (2, 3, 5, 7):
        jobs.append(
            bench.send(
                count0=rows,
                count1=9,
                a_stride0=1,
                a_step_level=5,
                a_need=8,
                b_stride0=1,
                b_step_level=5,
                b_need=8,
                held_level=5,
                k_level=1,
                init=0,
                done=int(rows == 7),
            )
        )
    await bench.finish(jobs)


@cocotb.test()
async def random_commands_match_the_golden_model(dut: object) -> None:
    """Random nests, strides, offsets, levels and tails, several commands queued."""
    bench = EngineBench(dut, ls=bench_parameters()["ls"], cb=bench_parameters()["cb"])
    await bench.bench.start()
    jobs = [bench.send(**random_fields(bench)) for _ in range(40)]
    await bench.finish(jobs)


def random_fields(bench: EngineBench) -> dict[str, int]:
    """A legal MML: banks are all closed at its end, and offsets stay inside the buffers."""
    rng = bench.rng
    counts = [int(rng.integers(1, bench.columns + 1)), *(int(x) for x in rng.integers(1, 4, 4))]
    formats = tuple(Format(int(x)) for x in rng.integers(0, 2, 2))
    if bench.with_fp and rng.random() < 0.5:
        formats = tuple(Format(int(x)) for x in rng.integers(2, 4, 2))
    size = formats[0].n_bytes
    held_level, k_level = int(rng.integers(1, 6)), int(rng.integers(0, 5))
    fields = {f"bank_stride{level}": int(rng.integers(16)) for level in range(k_level + 1, 5)}
    # Below the level that walks K every visit has a bank of its own.
    n_banks = 1
    for level in range(1, k_level):
        counts[level] = min(counts[level], BANKS // n_banks)
        fields[f"bank_stride{level}"] = n_banks
        n_banks *= counts[level]
    fields |= {f"count{level}": count for level, count in enumerate(counts)}
    for prefix, low in (("a_", 1), ("b_", held_level)):
        fields |= operand_fields(rng, prefix, low, bench)
    fields |= {
        "bank": int(rng.integers(BANKS)),
        "held_level": held_level,
        "k_level": k_level,
        "m_level": int(rng.integers(5)),
        "n_level": int(rng.integers(5)),
        "k_tail": int(rng.integers(bench.k_bytes // size + 1)) * size,
        "m_tail": int(rng.integers(counts[0] + 1)),
        "n_tail": int(rng.integers(bench.columns + 1)),
        "a_format": formats[0],
        "b_format": formats[1],
        "by_row": int(rng.integers(2)),
        "init": 1,
        "done": 1,
    }
    return fields


def operand_fields(rng: np.random.Generator, prefix: str, low: int, bench: EngineBench) -> dict:
    """A random operand whose addresses lie inside a third of local memory."""
    step_level = int(rng.integers(low, 6))
    reach = (bench.buffers[CB_B].depth * 64 // bench.k_bytes - bench.columns) // 16
    fields = {
        f"{prefix}stride{level}": int(rng.integers(0, max(reach // 2, 1))) for level in range(1, 5)
    }
    adv_level = int(rng.choice([NEVER, *range(step_level, 6)]))
    return fields | {
        f"{prefix}stride0": int(rng.integers(1, 3)),
        f"{prefix}offset": int(rng.integers(reach)),
        f"{prefix}step_level": step_level,
        f"{prefix}adv_level": adv_level,
        f"{prefix}need": int(rng.integers(1, 9)),
        f"{prefix}adv": int(rng.integers(0, 5)),
    }


@cocotb.test()
async def a_row_every_cycle_once_it_runs(dut: object) -> None:
    """2x2 tiles, K-outer: first row and all others come when the formula says."""
    if bench_parameters()["ls"] != "none" or bench_parameters()["cb"] != "none":
        return
    bench = EngineBench(dut)
    await bench.bench.start()
    start = bench.bench.cycle
    job = bench.send(**gemm_fields(bench, m_tiles=2, n_tiles=2, k_steps=6))
    await bench.finish([job])
    taken = bench.commands.cycles[0]
    n_rows = len(job.rows)
    first = bench.re.cycles[0] - taken
    assert first == bench.columns + 9 + bench.ls_latency + bench.latency, first
    assert bench.re.cycles[-1] - bench.re.cycles[0] == n_rows - 1
    assert start <= taken


@cocotb.test()
async def the_next_command_follows_without_a_gap(dut: object) -> None:
    """Its operands are read ahead: rows of two commands for different banks, one every cycle."""
    if bench_parameters()["ls"] != "none" or bench_parameters()["cb"] != "none":
        return
    bench = EngineBench(dut)
    await bench.bench.start()
    fields = gemm_fields(bench, m_tiles=2, n_tiles=1, k_steps=3)
    jobs = [bench.send(**fields, bank=bank) for bank in (0, 2)]
    await bench.finish(jobs)
    assert bench.re.cycles[-1] - bench.re.cycles[0] == 12 * bench.columns - 1


@cocotb.test()
async def a_held_block_a_visit_costs_no_bubble(dut: object) -> None:
    """With as many rows as beats the next block is always there in time."""
    if bench_parameters()["ls"] != "none" or bench_parameters()["cb"] != "none":
        return
    bench = EngineBench(dut)
    await bench.bench.start()
    n = bench.columns
    words = n * bench.k_bytes // 64
    job = bench.send(
        count0=n,
        count1=10,
        a_stride0=1,
        a_step_level=5,
        a_need=words,
        b_stride0=1,
        b_stride1=n // 2,
        b_step_level=2,
        b_need=8 * words,
        held_level=1,
        k_level=1,
        init=1,
        done=1,
    )
    await bench.finish([job])
    assert bench.re.cycles[-1] - bench.re.cycles[0] == 10 * n - 1


@cocotb.test()
async def a_full_bank_holds_the_next_visit(dut: object) -> None:
    """Nothing is drained: the second block waits, and the status says for which bank."""
    bench = EngineBench(dut)
    await bench.bench.start()
    bench.re.hold_full = True
    job = bench.send(**gemm_fields(bench, m_tiles=2, n_tiles=2, k_steps=1, blocks=2))
    await bench.bench.wait(30 * bench.columns)
    check_equal(bench.re.rows, job.rows[: 4 * bench.columns], "row")
    status = bench.status()
    assert (status["state"], status["bank"]) == (State.WAIT_BANK, 0)
    assert status["tag"] == job.fields["tag"] and status["opcode"] == Opcode.MML
    assert not int(dut.control__idle.value)


@cocotb.test()
async def an_address_outside_traps(dut: object) -> None:
    """Beyond the circular buffer: LS_RANGE with the buffer; the engine halts and settles."""
    bench = EngineBench(dut)
    for prefix, cb in (("a", CB_A), ("b", CB_B)):
        bench = EngineBench(dut) if prefix == "a" else bench
        if prefix == "a":
            await bench.bench.start()
        depth_words = bench.buffers[cb].depth * 64 // bench.k_bytes
        fields = gemm_fields(bench, m_tiles=1, n_tiles=1, k_steps=1, tag=7)
        job = {**fields, f"{prefix}_offset": depth_words - 2}
        bench.re.may_trap = True
        bench.commands.send(
            int.from_bytes(encode(Opcode.MML, a_cb=CB_A, b_cb=CB_B, **job), "little")
        )
        await bench.bench.until(lambda: int(dut.control__trap.value) & 1, limit=200)
        trap = unpack(TrapReport, dut.control__trap.value.to_unsigned())
        assert (trap["cause"], trap["info"], trap["tag"]) == (Trap.LS_RANGE, cb, 7)
        await bench.bench.until(lambda: int(dut.control__idle.value), limit=50)
        assert bench.status()["state"] == State.HALTED
        await bench.bench.reset()


@cocotb.test()
async def wrong_parity_traps_only_in_bytes_that_count(dut: object) -> None:
    """Errors beyond the K tail and in zeroed columns are ignored; one inside traps."""
    bench = EngineBench(dut)
    await bench.bench.start()
    base_a, base_b = (bench.buffers[cb].base * 64 // bench.k_bytes for cb in (CB_A, CB_B))
    for word in range(bench.columns):
        bench.errors[base_a + word] = bench.errors[base_b + word] = 1 << (bench.k_bytes - 1)
    fields = gemm_fields(bench, m_tiles=1, n_tiles=1, k_steps=1, by_row=1)
    await bench.finish([bench.send(**fields, k_tail=bench.k_bytes - 1)])
    bench.errors = {base_a + bench.buffers[CB_A].pointer * 64 // bench.k_bytes + 2: 2}
    bench.re.may_trap = True
    bench.send(**fields, tag=9)
    await bench.bench.until(lambda: int(dut.control__trap.value) & 1, limit=200)
    trap = unpack(TrapReport, dut.control__trap.value.to_unsigned())
    assert (trap["cause"], trap["tag"]) == (Trap.LS_PARITY, 9)
    assert trap["info"] == next(iter(bench.errors)) * bench.k_bytes


@cocotb.test()
async def halt_stops_and_reset_starts_anew(dut: object) -> None:
    """Halt in the middle: idle soon, no further row; after a reset the next command is right."""
    bench = EngineBench(dut, ls="sink")
    await bench.bench.start()
    bench.send(**gemm_fields(bench, m_tiles=2, n_tiles=2, k_steps=2))
    await bench.bench.until(lambda: len(bench.re.rows) > 10, limit=2000)
    dut.control__halt.value = 1
    await bench.bench.until(lambda: int(dut.control__idle.value), limit=20)
    n_rows = len(bench.re.rows)
    await bench.bench.wait(50)
    assert len(bench.re.rows) == n_rows and int(dut.control__idle.value)
    await bench.bench.reset()
    dut.control__halt.value = 0
    for name, cb_id in (("a", CB_A), ("b", CB_B)):
        bench.buffers[cb_id].pointer = bench.cb[name].buffer.pointer = 0
        bench.cb[name].asked.clear()
        bench.cb[name].done.clear()
        bench.asked[name].clear()
    bench.rows.clear()
    bench.re.rows.clear()
    await bench.finish([bench.send(**gemm_fields(bench, m_tiles=2, n_tiles=1, k_steps=2))])


CONFIGS = {"tiny": (8, 8, True, 2), "odd": (16, 8, True, 3), "int_only": (8, 8, False, 3)}
"""Columns, bytes of a word, floating point, and the latency of local memory."""


@pytest.mark.parametrize(
    "config, ls, cb",
    (
        ("tiny", "none", "none"),
        ("tiny", "sink", "none"),
        ("tiny", "both", "both"),
        ("odd", "none", "sink"),
        ("int_only", "none", "none"),
    ),
)
def test_dot_product_engine(config: str, ls: str, cb: str) -> None:
    """Build the engine of one tile and run the tests above under one back-pressure."""
    columns, k_bytes, with_fp, ls_latency = CONFIGS[config]
    engine = DotProductEngine(
        config=DpeConfig(columns=columns, k_bytes=k_bytes, with_fp=with_fp),
        banks=BANKS,
        address_width=ADDRESS_WIDTH,
        re_latency=RE_LATENCY,
    )
    run_bench(
        engine,
        name=f"dpe_{config}",
        test_module=__name__,
        parameters={
            "columns": columns,
            "k_bytes": k_bytes,
            "with_fp": with_fp,
            "latency": engine.latency,
            "ls_latency": ls_latency,
            "ls": ls,
            "cb": cb,
        },
    )


def test_wrong_parameters_are_refused() -> None:
    """A tile that cannot be built, and a reduction without latency."""
    with pytest.raises(ConfigError, match="dpe.columns is 12"):
        DotProductEngine(
            config=DpeConfig(columns=12, k_bytes=8), banks=4, address_width=9, re_latency=6
        )
    with pytest.raises(ValueError, match="re_latency is 1; it must be at least 2."):
        DotProductEngine(
            config=DpeConfig(columns=8, k_bytes=8), banks=4, address_width=9, re_latency=1
        )
