# SPDX-License-Identifier: Apache-2.0
"""A row that is left out: control lanes, masks, the way of a reduction link past its tiles."""

import itertools
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.arch.csr import ELEMENT_REGISTERS, GRID_REGISTERS, N_JOBS, PAGE_BITS, ControlPage
from hw.grid.control import GridControl
from hw.grid.control_flits import Report
from hw.grid.link_pass import LinkPass
from hw.grid.spare_row import RowMap, spread_rows
from tb.common.seeds import python_rng

ROWS, POSITIONS = 3, 4
COLUMNS = 2


def simulate(design: Any, bench: Any, *, has_clock: bool = True) -> None:
    """Run a bench."""
    simulator = Simulator(design)
    if has_clock:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def left(left_out: int) -> list[int]:
    """Rows of tiles that are used, in order."""
    return [row for row in range(ROWS + 1) if row != left_out]


@pytest.mark.parametrize("left_out", range(ROWS + 1))
def test_lanes_of_used_rows_are_those_of_the_tiles_that_are_left(left_out: int) -> None:
    """Accesses, reports and progress, with random flits; would break if the row that is left out
    got an access, were heard, or kept its lane waiting."""
    row_map, rng = RowMap(rows=ROWS, n_positions=POSITIONS), python_rng("row map")

    async def bench(context: Any) -> None:
        context.set(row_map.left_out, left_out)
        for _ in range(50):
            valid = [rng.getrandbits(1) for _ in range(ROWS)]
            ready = [rng.getrandbits(1) for _ in range(ROWS + 1)]
            data = [rng.getrandbits(32) for _ in range(ROWS + 1)]
            said = [rng.getrandbits(1) for _ in range(ROWS + 1)]
            moved = [rng.getrandbits(POSITIONS) for _ in range(ROWS + 1)]
            for row in range(ROWS + 1):
                context.set(row_map.down[row].ready, ready[row])
                context.set(row_map.moved[row], moved[row])
                context.set(row_map.up[row].valid, said[row])
                context.set(
                    row_map.up[row].payload,
                    {"data": data[row], "position": 1, "kind": Report.ENDED, "job": 2, "failed": 1},
                )
            for used in range(ROWS):
                access = {"data": data[used], "mask": 5, "offset": 4, "is_read": 1}
                context.set(row_map.used_down[used].payload, access)
                context.set(row_map.used_down[used].valid, valid[used])
                context.set(row_map.used_up[used].ready, ready[used])
            for used, row in enumerate(left(left_out)):
                assert context.get(row_map.down[row].valid) == valid[used]
                assert context.get(row_map.down[row].payload.data) == data[used]
                assert context.get(row_map.used_down[used].ready) == ready[row]
                assert context.get(row_map.used_up[used].valid) == said[row]
                assert context.get(row_map.used_up[used].payload.data) == data[row]
                assert context.get(row_map.up[row].ready) == ready[used]
                assert context.get(row_map.used_moved[used]) == moved[row]
            assert not context.get(row_map.down[left_out].valid)
            assert context.get(row_map.up[left_out].ready)

    simulate(row_map, bench, has_clock=False)


@pytest.mark.parametrize("left_out", range(ROWS + 1))
def test_a_mask_of_used_rows_is_one_of_tiles(left_out: int) -> None:
    """Every mask; would break if a group had another member, or one that is left out."""
    m, mask, row, found = Module(), Signal(ROWS), Signal(4), Signal(ROWS + 1)
    m.d.comb += found.eq(spread_rows(mask, row))

    async def bench(context: Any) -> None:
        context.set(row, left_out)
        for members in range(1 << ROWS):
            context.set(mask, members)
            rows = left(left_out)
            expected = sum(1 << rows[used] for used in range(ROWS) if members >> used & 1)
            assert context.get(found) == expected

    simulate(m, bench, has_clock=False)


@pytest.mark.parametrize("pauses", [0, 0.5, 0.9])
def test_rows_pass_a_tile_once_and_in_order(pauses: float) -> None:
    """At each end as the link's rules say; a row has left its sender exactly when its receiver has
    it. Without pauses a row needs two cycles."""
    past, rng, n = LinkPass(columns=COLUMNS), python_rng(f"pass {pauses}"), 60
    rows = [[rng.getrandbits(32) for _ in range(COLUMNS)] for _ in range(n)]

    async def bench(context: Any) -> None:
        sent: list[list[int]] = []
        found: list[list[int]] = []
        valid, cycles = False, 0
        while len(found) < n:
            valid = valid or rng.random() >= pauses
            context.set(past.i.valid, valid)
            context.set(past.i.payload, rows[len(sent)] if valid else [0] * COLUMNS)
            context.set(past.o.ready, rng.random() >= pauses)
            gone = valid and context.get(past.i.ready)
            come = context.get(past.o.valid) and context.get(past.o.ready)
            assert gone == come
            if gone:
                found.append([context.get(past.o.payload[at]) for at in range(COLUMNS)])
                sent.append(rows[len(sent)])
                valid = False
            await context.tick()
            cycles += 1
        assert found == rows
        assert pauses or cycles == 2 * n

    simulate(past, bench)


def test_a_row_that_its_sender_withdraws_is_gone() -> None:
    """Whenever it is; would break if a job found a row of another one that was aborted."""
    for waits, quiet in itertools.product(range(1, 4), (1, 2)):
        past = LinkPass(columns=COLUMNS)

        async def bench(
            context: Any, past: LinkPass = past, waits: int = waits, quiet: int = quiet
        ) -> None:
            context.set(past.i.payload, [1, 2])
            context.set(past.i.valid, 1)
            for _ in range(waits):
                await context.tick()
            assert context.get(past.o.valid)
            context.set(past.i.valid, 0)
            for _ in range(quiet):
                await context.tick()
            assert not context.get(past.o.valid)
            context.set(past.i.payload, [3, 4])
            context.set(past.i.valid, 1)
            context.set(past.o.ready, 1)
            await context.tick()
            assert context.get(past.o.valid) and context.get(past.i.ready)
            assert [context.get(past.o.payload[at]) for at in range(COLUMNS)] == [3, 4]

        simulate(past, bench)


def test_a_row_is_left_out_before_the_first_job_only() -> None:
    """The last one at first, then what was written last, if it is there; would break if a job saw
    two maps, or a start that was refused fixed the row."""
    control = GridControl(
        rows=ROWS,
        columns=2,
        n_positions=POSITIONS,
        config_id=1,
        count_width=4,
        n_sides=1,
        has_spare_row=True,
    )
    write, row_of = control.port.write, GRID_REGISTERS["GRID_LEFT_OUT"].offset
    start = ControlPage.SELECTED << PAGE_BITS | ELEMENT_REGISTERS["JOB_START"].offset

    async def bench(context: Any) -> None:
        async def send(offset: int, value: int) -> None:
            context.set(write.payload, {"offset": offset, "data": value})
            context.set(write.valid, 1)
            await context.tick()
            context.set(write.valid, 0)
            await context.tick().repeat(3)

        async def left_out() -> int:
            context.set(control.port.read.payload, row_of)
            context.set(control.port.read.valid, 1)
            while not context.get(control.port.read.ready):
                await context.tick()
            await context.tick()
            context.set(control.port.read.valid, 0)
            while not context.get(control.port.answer.valid):
                await context.tick()
            found = context.get(control.port.answer.payload)
            await context.tick()
            assert found == context.get(control.left_out)
            return found

        assert await left_out() == ROWS
        for written, kept in ((0, 0), (ROWS + 1, 0), (1 << 31, 0), (2, 2)):
            await send(row_of, written)
            assert await left_out() == kept
        await send(start, 1 | N_JOBS << 8)
        assert not context.get(control.has_started)
        await send(row_of, 1)
        assert await left_out() == 1
        await send(start, 1)
        assert context.get(control.has_started)
        await send(row_of, 2)
        assert await left_out() == 1

    simulate(control, bench)


def test_bad_parameters_are_refused() -> None:
    """Each with its own sentence."""
    for make, message in (
        (lambda: LinkPass(columns=0), "LinkPass columns must be at least 1, not 0."),
        (lambda: RowMap(rows=16, n_positions=16), "RowMap rows must be 1 to 16, not 17."),
    ):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == message
