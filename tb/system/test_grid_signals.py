# SPDX-License-Identifier: Apache-2.0
"""Signals between the elements of a chip: order with memory, every counter, errors and aborts."""

import random
from collections.abc import Iterator

import pytest

from hw.arch.commands import Opcode
from hw.arch.csr import HOST_PLACE, DebugSpace
from hw.config import PRESETS
from sw.errors import UserError
from sw.runtime.chip import JobError, JobHang
from sw.runtime.grid import Grid, Message, Place
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, python_rng
from tb.system.grid_bench import LISTS, commands, copies
from tb.system.litmus import Litmus, Program, delay, fetch, read, write

CONFIG = PRESETS["tiny"]
N_SEEDS = 24
_SIGNALS, _WAITS = 3, 5  # counters


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def signal(sender: Place, to: Place, counter: int) -> dict[str, int]:
    """The signal fields of a command."""
    row, column = ((b - a) % 16 for a, b in zip(sender, to, strict=True))
    return {"signal_en": 1, "signal_counter": counter, "signal_row": row, "signal_col": column}


def wait(counter: int, value: int) -> Program:
    """Go on when a counter has come so far."""
    return [(Opcode.WAIT, {"counter": counter, "value": value})]


def places(grid: Grid) -> list[Place]:
    """All elements."""
    return [(row, column) for row in range(grid.config.rows) for column in range(grid.config.cols)]


def counts(grid: Grid, place: Place) -> list[int]:
    """An element's counters; they stay what they are until its next job starts."""
    read, n_counters = grid.element(place).debug_word, grid.config.pe.cp.counters
    return [read(DebugSpace.COUNTER, counter, 0) for counter in range(n_counters)]


def message(run: Litmus, *, of_write: bool) -> int:
    """x is written and a signal sent; who waits for that reads x: what it finds."""
    sender, receiver = run.places[:2]
    told = signal(sender, receiver, _SIGNALS)
    opcode, fields = write(run.x)[0]
    writes: Program = [(opcode, {**fields, **told})]
    if not of_write:
        writes = [*write(run.x), (Opcode.SIGNAL, told)]
    run.start([[*delay(run.rng), *fetch(1), *writes], [*wait(_SIGNALS, 1), *read(run.x)]])
    return run.finish([0, 1])[1][0]


def test_what_a_signal_tells_of_is_there(grid: Grid) -> None:
    """A write's signal comes after its acknowledgement, so who waits for it sees the write."""
    seen = {message(Litmus(grid, python_rng(f"signal {n}")), of_write=True) for n in range(N_SEEDS)}
    assert seen == {1}


def test_a_signal_without_its_write_may_come_before_it(grid: Grid) -> None:
    """SIGNAL waits for nobody's acknowledgement; would break if the test above could not fail."""
    seen = [message(Litmus(grid, python_rng(f"signal {n}")), of_write=False) for n in range(60)]
    assert 0 in seen


def exchange(grid: Grid, rng: random.Random) -> None:
    """All signal all others, in rounds: a round begins when all of the one before have come."""
    everybody, n_counters = places(grid), grid.config.pe.cp.counters
    programs: dict[Place, Program] = {place: [] for place in everybody}
    due = {place: [0] * n_counters for place in everybody}
    for _ in range(rng.randint(2, 5)):
        for sender in everybody:
            for _ in range(rng.randint(0, 25)):
                to, counter = rng.choice(everybody), rng.randrange(n_counters)
                programs[sender].append((Opcode.SIGNAL, signal(sender, to, counter)))
                due[to][counter] += 1
        for place in everybody:
            for counter, value in enumerate(due[place]):
                programs[place] += wait(counter, value)
    grid.run_job(LISTS, {place: commands(*program) for place, program in programs.items()})
    assert {place: counts(grid, place) for place in everybody} == due


def test_every_signal_counts_once(grid: Grid) -> None:
    """A lost one would be waited for until the watchdog; one too many shows in the end."""
    for number in range(12):
        exchange(grid, python_rng(f"exchange {number}"))


def test_who_waits_for_a_signal_is_named(grid: Grid) -> None:
    """Waiting for one more than were sent ends in a hang that says so."""
    first, last = places(grid)[0], places(grid)[-1]
    n = 9
    sends: Program = [(Opcode.SIGNAL, signal(first, last, _SIGNALS))] * n
    lists = {place: commands() for place in places(grid)}
    lists |= {first: commands(*sends), last: commands(*wait(_SIGNALS, n))}
    grid.run_job(LISTS, lists)
    lists[last] = commands(*wait(_SIGNALS, n + 1))
    with pytest.raises(JobHang, match=rf"until counter {_SIGNALS} reaches {n + 1}; it is {n}\n"):
        grid.run_job(LISTS, lists, stall_limit=2_000)
    exchange(grid, python_rng("after a hang"))


@pytest.mark.parametrize("row_column", [(CONFIG.rows, 0), (0, CONFIG.cols), (15, 14)])
def test_a_signal_for_nobody_traps(grid: Grid, row_column: Place) -> None:
    """The sentence names sender, tag and place; the others go on, the chip is usable."""
    sender = places(grid)[1]
    nowhere = (Opcode.SIGNAL, {"tag": 77, **signal(sender, row_column, 1)})
    lists = {place: commands() for place in places(grid)}
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, lists | {sender: commands(nowhere, *wait(2, 1))})
    row, column = (value % 16 for value in row_column)
    assert str(error.value).endswith(
        "CP trapped (tag 77): the signal is for an element that is not there"
        f" (row {row}, column {column})."
    )
    assert f"({sender[0]}, {sender[1]})" in str(error.value)
    exchange(grid, python_rng("after a trap"))


def test_signals_of_an_aborted_job_do_not_count_in_the_next(grid: Grid) -> None:
    """All elements send as fast as they can when the job is aborted; the next one begins at once,
    and a counter that nobody signals in it stays at 0."""
    everybody, rng = places(grid), python_rng("abort")
    for _ in range(6):
        storm = {
            place: commands(
                *[(Opcode.SIGNAL, signal(place, rng.choice(everybody), _SIGNALS))] * 400,
                *wait(_WAITS, 1),
            )
            for place in everybody
        }
        grid.start(LISTS, storm)
        grid.port.run(rng.randint(100, 700))
        grid.abort(everybody)
        with pytest.raises(JobError, match="aborted"):
            grid.wait(0, everybody)
        quiet = {place: commands(*wait(_WAITS, 1)) for place in everybody}
        first = everybody[0]
        late: Program = [(Opcode.SIGNAL, signal(first, to, _WAITS)) for to in everybody]
        grid.run_job(LISTS, quiet | {first: commands(*late, *wait(_WAITS, 1))})
        assert [counts(grid, place)[_SIGNALS] for place in everybody] == [0] * len(everybody)


def test_messages_reach_the_host(grid: Grid) -> None:
    """From every element, with its place; the host answers with a signal, and the job goes on."""
    for place in places(grid):
        hello = (Opcode.SIGNAL, signal(place, HOST_PLACE, 7))
        lists = dict.fromkeys(places(grid), commands()) | {
            place: commands(hello, *wait(_WAITS, 2), (Opcode.SIGNAL, signal(place, HOST_PLACE, 9)))
        }
        grid.start(LISTS, lists)
        grid.port.run(400)
        assert grid.messages() == [Message(place, 7)]
        for _ in range(2):
            assert grid.register("GRID_DONE") == 0
            grid.signal([place], _WAITS)
        grid.wait(0, places(grid))
        assert grid.messages() == [Message(place, 9)]
    grid.signal(places(grid), _WAITS)  # nobody has a job
    exchange(grid, python_rng("after messages"))


def test_a_message_does_not_end_a_job(grid: Grid) -> None:
    """Its interrupt is not the job's, nor a hang's; would break if who waits for a job took any
    interrupt for its own."""
    sender = places(grid)[0]
    early = (Opcode.SIGNAL, signal(sender, HOST_PLACE, 3))
    busy = copies(0x1000, 0x2000, 16, 20)
    grid.set_register("MAILBOX_IRQ", 1)
    grid.run_job(LISTS, dict.fromkeys(places(grid), commands()) | {sender: commands(early, *busy)})
    assert grid.messages() == [Message(sender, 3)]
    grid.set_register("MAILBOX_IRQ", 0)


def test_the_host_signals_only_what_is_there(grid: Grid) -> None:
    """One sentence for each wrong request."""
    n_counters = CONFIG.pe.cp.counters
    for where, counter, words in (
        ([(0, 0)], n_counters, f"Counters are 0 to {n_counters - 1}, not {n_counters}"),
        ([(0, 0)], -1, "Counters are 0 to"),
        ([(0, CONFIG.cols)], 1, "There is no element"),
        ([(-1, 0)], 1, "There is no element"),
        ([(0, 0), (1, 1)], 1, "all elements that some rows and columns share"),
    ):
        with pytest.raises(UserError, match=words):
            grid.signal(where, counter)


def test_a_signal_that_waited_at_the_end_is_not_of_the_next_job(grid: Grid) -> None:
    """One kind of signals meets the end of a job, the other kind comes first in the next: it counts
    once, and nothing else does. Would break if the choice between both outlived the job."""
    sender, receiver = places(grid)[0], places(grid)[-1]
    for number in range(12):
        lists = dict.fromkeys(places(grid), commands())
        storm = [(Opcode.SIGNAL, signal(sender, receiver, 4))] * (20 + number)
        grid.start(LISTS, lists | {sender: commands(*storm)})
        for _ in range(3):
            grid.signal([receiver], 6)
        grid.wait(0, places(grid))
        grid.start(LISTS, lists | {receiver: commands(*wait(_WAITS, 1))})
        grid.port.run(100 + number)
        grid.signal([receiver], _WAITS)
        grid.wait(0, places(grid))
        found = counts(grid, receiver)
        assert (found[4], found[6], found[_WAITS]) == (0, 0, 1)


def start_queued(grid: Grid, first: bytes, second: bytes) -> None:
    """Start job 2 on two elements of a row, of which the second works for job 1 for long."""
    sender, receiver = places(grid)[:2]
    grid.start(LISTS, {receiver: commands(*copies(0x1000, 0x2000, 16, 60))}, job=1)
    grid.start(LISTS + 0x4000, {sender: first, receiver: second}, job=2)


def test_a_signal_for_a_job_that_is_queued_is_lost(grid: Grid) -> None:
    """Its sender ends, and who waits hangs: would break, for the better, if signals were kept."""
    sender, receiver = places(grid)[:2]
    tells = (Opcode.SIGNAL, signal(sender, receiver, _SIGNALS))
    start_queued(grid, commands(tells), commands(*wait(_SIGNALS, 1)))
    grid.port.run(500)
    assert grid.register("JOB1_PENDING") == 1, "the job before must last"
    assert grid.register("JOB2_PENDING") == 1, "the sender's part ends"
    grid.wait(1, [receiver])
    with pytest.raises(JobHang, match=f"until counter {_SIGNALS} reaches 1; it is 0"):
        grid.wait(2, [sender, receiver], stall_limit=2_000)
    exchange(grid, python_rng("after a lost signal"))


def test_who_was_queued_says_hello(grid: Grid) -> None:
    """The other one signals when it has heard that; as documented for jobs that are queued."""
    sender, receiver = places(grid)[:2]
    tells = (Opcode.SIGNAL, signal(sender, receiver, _SIGNALS))
    hello = (Opcode.SIGNAL, signal(receiver, sender, _WAITS))
    start_queued(grid, commands(*wait(_WAITS, 1), tells), commands(hello, *wait(_SIGNALS, 1)))
    grid.wait(1, [receiver])
    grid.wait(2, [sender, receiver])
    assert counts(grid, receiver)[_SIGNALS] == counts(grid, sender)[_WAITS] == 1


def test_the_host_is_where_queued_jobs_meet(grid: Grid) -> None:
    """Both say that they run, whoever is late, and go on when the host has heard it."""
    sender, receiver = places(grid)[:2]
    lists = []
    for one, other in ((sender, receiver), (receiver, sender)):
        here = (Opcode.SIGNAL, signal(one, HOST_PLACE, 7))
        tells = (Opcode.SIGNAL, signal(one, other, _SIGNALS))
        lists.append(commands(here, *wait(_WAITS, 1), tells, *wait(_SIGNALS, 1)))
    start_queued(grid, *lists)
    heard: list[Message] = []
    while len(heard) < 2:
        grid.port.run(200)
        heard += grid.messages()
    assert heard == [Message(sender, 7), Message(receiver, 7)]
    for place in (sender, receiver):
        grid.signal([place], _WAITS)
    grid.wait(1, [receiver])
    grid.wait(2, [sender, receiver])
    assert counts(grid, receiver)[_SIGNALS] == counts(grid, sender)[_SIGNALS] == 1


def test_lost_messages_are_told(grid: Grid) -> None:
    """A host that does not read keeps nobody waiting; it is told once."""
    sender = places(grid)[0]
    sends: Program = [(Opcode.SIGNAL, signal(sender, HOST_PLACE, n % 8)) for n in range(20)]
    grid.run_job(LISTS, dict.fromkeys(places(grid), commands()) | {sender: commands(*sends)})
    with pytest.raises(UserError, match="lost"):
        grid.messages()
    assert [message.counter for message in grid.messages()] == [n % 8 for n in range(16)]


def test_sub_grids_have_signals_of_their_own(grid: Grid) -> None:
    """Two jobs at once, whose elements signal each other, and those of the other job: those are of
    another run, so they count nowhere."""
    rows = [[place for place in places(grid) if place[0] % 2 == part] for part in (0, 1)]
    for number, (mine, others) in enumerate((rows, rows[::-1])):
        lists = {}
        for place in mine:
            program: Program = [(Opcode.SIGNAL, signal(place, to, 1)) for to in others] * 5
            program += [(Opcode.SIGNAL, signal(place, to, 1)) for to in mine] * 7
            lists[place] = commands(*program, *wait(1, 7 * len(mine)))
        grid.start(LISTS + 0x4000 * number, lists, job=number)
    for number, mine in enumerate(rows):
        grid.wait(number, mine)
        assert [counts(grid, place)[1] for place in mine] == [7 * len(mine)] * len(mine)
