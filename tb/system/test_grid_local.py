# SPDX-License-Identifier: Apache-2.0
"""Local memory of elements from outside: the host, the DMA engine, other elements; under load,
across jobs and aborts, and where nothing is."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.address_map import PE_WINDOW_BYTES, SRAM, window_base
from hw.arch.commands import Opcode, ScatterMode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.config import PRESETS
from hw.grid.geometry import REMOTE_SLOTS
from sim.compiled.simulator import AccessError, CompiledSimulator
from sim.golden.indexed import add_row
from sw.errors import UserError
from sw.kernels.gemm import GemmProblem, plan_gemm
from sw.runtime.chip import JobError
from sw.runtime.grid import Grid, Place
from sw.runtime.limits import AddressRange
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, numpy_rng, python_rng
from tb.system.grid_bench import LISTS, check_product, commands, copies
from tb.system.litmus import Program
from tb.system.test_grid_signals import places, signal, wait

CONFIG = PRESETS["tiny"]
LINE, WORD, LS_BYTES = CONFIG.pe.link_bytes, CONFIG.pe.ls.word_bytes, CONFIG.pe.ls.size_bytes
HIGH = LS_BYTES // 2
"""What jobs here leave alone in their own element's local memory."""
_SIGNALS = 3
INT8 = np.dtype(np.int8)


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    for place in places(device):
        device.write_local(place, 0, bytes(LS_BYTES))  # gives every byte a parity
    yield device
    device.port.close()


def window(place: Place, at: int = 0) -> int:
    """Address of a byte of a local memory."""
    return window_base(*place) + at


def rests(grid: Grid) -> dict[Place, bytes]:
    """Lists that do nothing."""
    return dict.fromkeys(places(grid), commands())


def run(cb: int, address: int, n_bytes: int, **fields: int) -> dict[str, int]:
    """Fields of a DMA command that moves one run of whole words as one step."""
    units = -(-n_bytes // 64)
    return {"cb": cb, "mem_addr": address, "count0": n_bytes, "stride0": WORD, "step_level": 1,
            "need": units, "adv": units, "adv_level": 1, **fields}  # fmt: skip


def move(source: int, target: int, n_bytes: int, *, base: int = 0, **fields: int) -> Program:
    """Fetch bytes into a buffer and store them from there; `fields` are of the store."""
    return [
        (Opcode.CB, {"cb": 1, "base": base, "depth": -(-n_bytes // 64)}),
        (Opcode.DMA_IN, run(1, source, n_bytes)),
        (Opcode.DMA_OUT, run(1, target, n_bytes, **fields)),
    ]


def test_the_host_reads_and_writes_while_jobs_run(grid: Grid) -> None:
    """Each byte of each element's is its own, at any alignment; would break if a window led to
    another element, or an access waited for the job."""
    rng = python_rng("host")
    size = LS_BYTES - HIGH
    images = {place: bytearray(rng.randbytes(size)) for place in places(grid)}
    for place, image in images.items():
        grid.write_local(place, HIGH, bytes(image))
    busy = {place: commands(*copies(0x1000, 0x2000, 16, 400)) for place in places(grid)}
    grid.start(LISTS, busy)
    for _ in range(60):
        place, n_bytes = rng.choice(places(grid)), rng.choice((1, 3, 8, 16, 100, 300))
        at = rng.randrange(size - n_bytes)
        images[place][at : at + n_bytes] = new = rng.randbytes(n_bytes)
        grid.write_local(place, HIGH + at, new)
        other, at = rng.choice(places(grid)), rng.randrange(size - 64)
        assert grid.read_local(other, HIGH + at, 64) == images[other][at : at + 64]
    assert grid.register("GRID_DONE") & 1 == 0, "the job must last"
    grid.wait(0, places(grid))
    for place, image in images.items():
        assert grid.read_local(place, HIGH, size) == image


def test_the_dma_engine_reaches_local_memory(grid: Grid) -> None:
    """There and back, and between two elements by the host's memory."""
    assert isinstance(grid.port, CompiledSimulator)
    for number, place in enumerate(places(grid)):
        data = python_rng(f"dma {place}").randbytes(0x800 + 3 * number)
        grid.port.write_host_memory(0x5000, data)
        grid.copy_in(0x5000, window(place, HIGH), len(data))
        assert grid.read_local(place, HIGH, len(data)) == data
        grid.copy_out(window(place, HIGH), 0x9000, len(data))
        assert grid.port.read_host_memory(0x9000, len(data)) == data
    with pytest.raises(UserError, match="chip"):
        grid.copy_in(0x5000, window((CONFIG.rows, 0)), LINE)


def test_what_a_signal_tells_of_is_in_local_memory(grid: Grid) -> None:
    """An element writes into each other one and signals it; who has heard that stores its own
    local memory. Would break if an acknowledgement came before the write is seen."""
    rng, n_bytes = python_rng("signals"), 0x100
    for sender, receiver in itertools.permutations(places(grid), 2):
        data = rng.randbytes(n_bytes)
        grid.port.write(SRAM.base + 0x1000, data)
        lists = rests(grid)
        told = signal(sender, receiver, _SIGNALS)
        at = HIGH + 64 * rng.randrange(8)
        lists[sender] = commands(*move(SRAM.base + 0x1000, window(receiver, at), n_bytes, **told))
        out = run(1, SRAM.base + 0x2000, n_bytes, need=0, adv=0)  # the data is simply there
        lists[receiver] = commands(
            *wait(_SIGNALS, 1),
            (Opcode.CB, {"cb": 1, "base": at // 64, "depth": n_bytes // 64}),
            (Opcode.DMA_OUT, out),
        )
        grid.run_job(LISTS, lists)
        assert grid.port.read(SRAM.base + 0x2000, n_bytes) == data, (sender, receiver)


def test_a_product_of_operands_in_other_elements(grid: Grid) -> None:
    """An element stores A and B in two others and signals a third, which multiplies them and leaves
    the product in the first one."""
    (first, second, third, last), rng = places(grid), numpy_rng("product")
    m, n, k = 12, 24, 40
    a, b = (rng.integers(-128, 128, shape, dtype=np.int8) for shape in ((m, k), (k, n)))
    for at, operand in ((0x1000, a), (0x3000, b)):
        grid.port.write(SRAM.base + at, operand.tobytes())
    problem = GemmProblem(
        m=m, n=n, k=k, a_format=Format.INT8, b_format=Format.INT8,
        a_address=window(second, HIGH), b_address=window(third, HIGH),
        c_address=window(first, HIGH + 0x1000), a_pitch=k, b_pitch=n, c_pitch=4 * n,
    )  # fmt: skip
    lists = rests(grid)
    told = signal(first, last, _SIGNALS)
    lists[first] = commands(
        *move(SRAM.base + 0x1000, window(second, HIGH), a.nbytes, **told),
        (Opcode.FENCE, {}),
        *move(SRAM.base + 0x3000, window(third, HIGH), b.nbytes, **told),
    )
    waits = commands(*wait(_SIGNALS, 2))
    plan = bytes(plan_gemm(CONFIG.pe, problem).commands)
    lists[last] = waits[: len(waits) - len(commands())] + plan
    grid.run_job(LISTS, lists)
    found = np.frombuffer(grid.read_local(first, HIGH + 0x1000, 4 * m * n), np.int32)
    assert np.array_equal(found.reshape(m, n), a.astype(np.int32) @ b.astype(np.int32))


def test_all_write_to_all_at_once(grid: Grid) -> None:
    """Every element to every local memory, its own too, while the host reads and writes; nothing is
    lost or elsewhere. Would break if one that waits kept answers of others waiting."""
    rng, everybody, n_bytes = python_rng("storm"), places(grid), 0x200
    for _ in range(3):
        sources = {place: rng.randbytes(n_bytes) for place in everybody}
        lists = {}
        for number, place in enumerate(everybody):
            source = SRAM.base + 0x1000 + n_bytes * number
            grid.port.write(source, sources[place])
            program: Program = []
            for to in rng.sample(everybody, len(everybody)) * 2:
                if program:
                    program.append((Opcode.FENCE, {}))
                program += move(source, window(to, HIGH + n_bytes * number), n_bytes)
            lists[place] = commands(*program)
        grid.start(LISTS, lists)
        last = LS_BYTES - 0x100
        for place in everybody:
            data = rng.randbytes(0x100)
            grid.write_local(place, last, data)
            assert grid.read_local(place, last, 0x100) == data
        grid.wait(0, everybody)
        for place in everybody:
            found = grid.read_local(place, HIGH, n_bytes * len(everybody))
            assert found == b"".join(sources[one] for one in everybody), place


def test_rows_are_gathered_and_added_in_another_element(grid: Grid) -> None:
    """GATHER and SCATTER with a table in a local memory."""
    rng, (first, *_, last) = numpy_rng("table"), places(grid)
    n_rows, n_table, row_bytes = 40, 16, 64
    table = rng.integers(-(2**31), 2**31, (n_table, row_bytes // 4), dtype=np.int32)
    indices = rng.integers(0, n_table, n_rows).astype(np.uint32)
    lists_at, plain = SRAM.base + 0x1000, SRAM.base + 0x2000
    grid.port.write(lists_at, indices.tobytes())
    grid.write_local(last, HIGH, table.tobytes())
    units = -(-4 * n_rows // 64)
    row = {"cb": 2, "count0": row_bytes, "count1": n_rows, "stride0": WORD, "step_level": 1,
           "adv_level": 1, "need": 1, "adv": 1}  # fmt: skip
    indexed = {**row, "mem_addr": window(last, HIGH), "row_pitch": row_bytes, "index_cb": 1,
               "index_limit": n_table, "index_need": units, "index_adv": units}  # fmt: skip
    begin: Program = [
        (Opcode.CB, {"cb": 1, "base": 0, "depth": units}),
        (Opcode.CB, {"cb": 2, "base": units, "depth": 8}),
        (Opcode.DMA_IN, run(1, lists_at, 4 * n_rows, column=1)),
    ]
    lists = rests(grid)
    walk = {**row, "mem_addr": plain, "mem_stride1": row_bytes}
    lists[first] = commands(*begin, (Opcode.GATHER, indexed), (Opcode.DMA_OUT, walk))
    grid.run_job(LISTS, lists)
    assert grid.port.read(plain, n_rows * row_bytes) == table[indices].tobytes()
    add = {**indexed, "mode": int(ScatterMode.ADD), "format": int(Format.INT32)}
    lists[first] = commands(*begin, (Opcode.SCATTER, add), (Opcode.DMA_IN, walk))
    grid.run_job(LISTS, lists)
    expected = [one.tobytes() for one in table]
    for index in indices:
        expected[index] = add_row(expected[index], table[index].tobytes(), Format.INT32)
    assert grid.read_local(last, HIGH, table.nbytes) == b"".join(expected)


def test_accesses_survive_resets_of_who_is_asked(grid: Grid) -> None:
    """Others and the host read and write an element's local memory while its jobs end, fail and are
    aborted, and it asks them: no answer is lost, which would be waited for for ever."""
    (first, *_, last), rng = places(grid), python_rng("resets")
    data = rng.randbytes(0x400)
    grid.write_local(last, HIGH, data)
    around = copies(window(last, HIGH), window(last, HIGH + 0x400), 16, 250)
    grid.start(LISTS, {first: commands(*around)})
    own = commands(*copies(window(first, HIGH), window(last, LS_BYTES - 0x100), 4, 2))
    bad = b"\x3f" + bytes(63)
    for number in range(16):
        kind = number % 4
        lists = {last: (own, bad, commands(*wait(5, 1)), commands())[kind]}
        grid.start(LISTS + 0x4000, lists, job=1)
        if kind == 3:
            grid.start(LISTS + 0x8000, lists, job=2)
        at = rng.randrange(0x300)
        assert grid.read_local(last, HIGH + at, 0x100) == data[at : at + 0x100]
        if kind == 2:
            grid.abort([last], 1)
        if kind in (1, 2):
            with pytest.raises(JobError):
                grid.wait(1, [last])
        else:
            grid.wait(1, [last])
            if kind == 3:
                grid.wait(2, [last])
        grid.write_local(last, HIGH + at, data[at : at + 70])
    assert grid.register("GRID_DONE") & 1 == 0, "the other element's job must last"
    grid.wait(0, [first])
    assert grid.read_local(last, HIGH, 0x800) == 2 * data


def test_abort_with_accesses_in_flight(grid: Grid) -> None:
    """All elements copy between windows of all when the job is aborted; the next one is right."""
    rng, everybody = python_rng("abort"), places(grid)
    for _ in range(6):
        lists = {}
        for place in everybody:
            source, target = rng.choice(everybody), rng.choice(everybody)
            lists[place] = commands(*copies(window(source, HIGH), window(target, HIGH), 32, 200))
        grid.start(LISTS, lists)
        grid.port.run(rng.randint(100, 700))
        grid.abort(everybody)
        with pytest.raises(JobError, match="aborted"):
            grid.wait(0, everybody)
        check_product(grid, (9, 20, 33), INT8)


@pytest.mark.parametrize("reads", [True, False], ids=["read", "write"])
def test_what_is_not_there_traps(grid: Grid, reads: bool) -> None:
    """Behind local memory, of an element that is not there, or all of the region; the host is
    refused too, and the chip goes on."""
    element = places(grid)[1]
    fine = SRAM.base + 0x1000
    for address in (
        window((1, 0), LS_BYTES),
        window((1, 1), PE_WINDOW_BYTES - LINE),
        window((0, CONFIG.cols)),
        window((CONFIG.rows, 0)),
        window((15, 15)),
        window((0, 0), 1 << 32),
    ):
        ends = (address, fine) if reads else (fine, address)
        with pytest.raises(JobError) as error:
            grid.run_job(LISTS, rests(grid) | {element: commands(*move(*ends, LINE))})
        assert error.value.cause == Trap.MEMORY_ERROR
        assert f"({element[0]}, {element[1]})" in str(error.value)
        with pytest.raises(AccessError, match="DECERR"):
            grid.port.read(address, LINE) if reads else grid.port.write(address, bytes(LINE))
    with pytest.raises(UserError, match="There is no element"):
        grid.read_local((CONFIG.rows, 0), 0, LINE)
    check_product(grid, (9, 20, 33), INT8)


def test_ranges_hold_for_windows(grid: Grid) -> None:
    """A job that may not write a window traps, and nothing is written there."""
    (first, *_, last), fine = places(grid), SRAM.base + 0x1000
    grid.write_local(last, HIGH, bytes(256))
    grid.port.write(fine, b"\x11" * 256)
    allowed = AddressRange(address=window(first), n_bytes=LS_BYTES)
    grid.set_ranges([first], [AddressRange(address=fine, n_bytes=256), allowed])
    lists = {first: commands(*move(fine, window(first, HIGH), 256))}
    grid.run_job(LISTS, lists)
    assert grid.read_local(first, HIGH, 256) == b"\x11" * 256
    lists = {first: commands(*move(fine, window(last, HIGH), 256))}
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, lists)
    assert error.value.cause == Trap.MEMORY_RANGE
    grid.set_ranges(places(grid))
    assert grid.read_local(last, HIGH, 256) == bytes(256)


def test_a_shared_read_of_a_window_is_refused(grid: Grid) -> None:
    """By each member's tap, so that none waits for another one."""
    row = [(0, column) for column in range(CONFIG.cols)]
    fetch = run(1, window((1, 0), HIGH), LINE, multicast=1)
    program: Program = [(Opcode.CB, {"cb": 1, "base": 0, "depth": 1}), (Opcode.DMA_IN, fetch)]
    for place in row:
        grid.element(place).set_register("MULTICAST0", (1 << CONFIG.cols) - 1)
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, {place: commands(*program) for place in row})
    assert error.value.cause == Trap.MEMORY_ERROR
    check_product(grid, (9, 20, 33), INT8)


def latency(asker: Place, place: Place) -> int:
    """Cycles of a read of a line, as docs/grid.md has them."""
    return 16 + 2 * (asker[1] + place[1])


def cycles_of(grid: Grid, asker: Place, place: Place, n_lines: int, *, reads: bool) -> int:
    """Cycles of a job that moves lines between an element and a window."""
    n_bytes = LINE * n_lines
    fields = run(1, window(place, HIGH), n_bytes)
    begin: Program = [(Opcode.CB, {"cb": 1, "base": 0, "depth": -(-n_bytes // 64)})]
    if reads:
        program = [*begin, (Opcode.DMA_IN, fields)]
    else:
        program = [*begin, (Opcode.DMA_OUT, {**fields, "need": 0, "adv": 0})]
    grid.run_job(LISTS, {asker: commands(*program)})
    return grid.job_cycles()


def test_a_line_takes_what_the_formula_says(grid: Grid) -> None:
    """Each tile between costs two cycles, at either end, for reads and writes alike."""
    for reads in (True, False):
        nearest = cycles_of(grid, (0, 0), (0, 0), 1, reads=reads)
        for asker, place in itertools.product(places(grid), repeat=2):
            took = cycles_of(grid, asker, place, 1, reads=reads) - nearest
            # The job's list comes from memory, of which the way has its own distances.
            own = cycles_of(grid, asker, (0, 0), 1, reads=reads) - nearest
            assert took - own == latency(asker, place) - latency(asker, (0, 0))


def test_bandwidth_is_a_line_in_two_cycles_or_the_slots(grid: Grid) -> None:
    """Of one element: eight lines per latency, at most half of one per cycle. Of reads `tiny` has
    eight under way itself, and keeps each for five cycles more."""
    n = 96
    assert CONFIG.pe.fi.reads_in_flight == REMOTE_SLOTS
    for asker, place in (((0, 0), (1, 0)), ((1, 1), (0, 0)), ((0, 1), (1, 1)), ((1, 0), (1, 0))):
        for reads in (True, False):
            ends = [cycles_of(grid, asker, place, n * i, reads=reads) for i in (1, 2)]
            took = ends[1] - ends[0]
            period = latency(asker, place) + (5 if reads else -2)
            expected = max(2 * n, n * period // REMOTE_SLOTS)
            # Accesses to the own window and the engine meet in local memory.
            slack = 4 if asker == place else 0
            assert expected <= took <= expected + slack, (asker, place, reads, took, expected)
