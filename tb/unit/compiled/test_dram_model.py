# SPDX-License-Identifier: Apache-2.0
"""The DRAM model of the compiled simulator: latency, rate, rows, refresh, order, contents."""

import dataclasses
import itertools

import pytest

from hw.config import PRESETS
from sim.compiled.dram import DramTiming, channel_rate, lpddr5
from tb.common.seeds import python_rng
from tb.unit.compiled.dram_bench import DEPTH, LINE, Run, build_dram_bench, rate_of, stream

MEMBER = PRESETS["mtia100"]
BEATS = LINE // MEMBER.dram.bytes_per_cycle
RATE = MEMBER.dram.total_bytes_per_cycle / MEMBER.dram.channels  # bytes per cycle of a channel
PLAIN, LPDDR5 = DramTiming(), lpddr5(MEMBER.clock_mhz)
JITTER = {
    "plain": dataclasses.replace(PLAIN, jitter=200),
    "lpddr5": dataclasses.replace(LPDDR5, jitter=200),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a list of line offsets on a channel of `mtia100`; gives the cycle and order of ends."""
    return build_dram_bench(MEMBER, tmp_path_factory.mktemp("dram"))


def test_the_total_is_dealt_to_the_channels() -> None:
    """16 channels of `mtia100` carry 220 bytes per cycle; members with one channel, all of it."""
    assert channel_rate(MEMBER) * MEMBER.dram.channels == 220 * 1024
    for name in ("tiny", "fpga", "mtia100-pe"):
        dram = PRESETS[name].dram
        assert channel_rate(PRESETS[name]) == dram.bytes_per_cycle * 1024


def test_without_banks_latency_and_rate_are_all(run: Run) -> None:
    """A single line after the latency; a stream, and random lines alike, at the rate, in order."""
    (end,), _ = run([0], PLAIN)
    assert end == PLAIN.latency + BEATS - 1
    lines = python_rng("dram").sample(range(1 << 16), 3000)
    for offsets in (stream(3000), [LINE * line for line in lines]):
        ends, order = run(offsets, PLAIN)
        assert order == sorted(order)
        assert rate_of(ends) == pytest.approx(RATE, rel=0.005)
    half = dataclasses.replace(PLAIN, bytes_per_1024_cycles=channel_rate(MEMBER) // 2)
    assert rate_of(run(stream(1000), half)[0]) == pytest.approx(RATE / 2, rel=0.005)


def test_a_line_waits_for_its_row(run: Run) -> None:
    """A closed row is opened while the address is on its way; another row costs both times."""
    calm = dataclasses.replace(LPDDR5, refresh_every=0)
    (first,), _ = run([0], calm)
    assert first == calm.latency + BEATS - 1 > calm.activate
    other_row = calm.row_bytes * calm.banks
    slow = dataclasses.replace(calm, activate=200, precharge=100)
    ends, _ = run([0, other_row], slow, depth=1)
    # The second address comes a cycle after the end of the first line.
    assert ends[1] - ends[0] == 1 + slow.precharge + slow.activate + BEATS


def test_streams_reach_nearly_the_rate(run: Run) -> None:
    """The next row is opened while one is read, and refresh of a bank hides behind the others."""
    for writes in (0, 1):
        ends, _ = run(stream(20_000), LPDDR5, writes=[writes] * 20_000)
        print(f"{'writes' if writes else 'reads'}: {rate_of(ends) / RATE:.3f} of the rate")
        assert 0.95 < rate_of(ends) / RATE <= 1.001


def test_rows_of_one_bank_cost_their_opening(run: Run) -> None:
    """One line of each row: nothing overlaps in one bank, nearly all in sixteen."""
    calm = dataclasses.replace(LPDDR5, refresh_every=0)
    pitch = calm.row_bytes * calm.banks
    ends, _ = run([pitch * index for index in range(500)], calm)
    per_line = calm.precharge + calm.activate
    # Opening begins when the line before has left, whose beats come on top.
    assert per_line < LINE / rate_of(ends) <= per_line + BEATS + 2
    ends, _ = run([(pitch + calm.row_bytes) * index for index in range(500)], calm)
    assert rate_of(ends) > 0.9 * RATE
    rng = python_rng("rows")
    scattered = [LINE * rng.randrange(1 << 20) for _ in range(3000)]
    assert 0.6 * RATE < rate_of(run(scattered, LPDDR5)[0]) < RATE


def test_an_open_row_goes_first_but_nobody_starves(run: Run) -> None:
    """A line of an open row overtakes one whose row is closed, which is read soon all the same."""
    slow = dataclasses.replace(LPDDR5, refresh_every=0, activate=60, precharge=60)
    hits = [offset % slow.row_bytes for offset in stream(400)]
    # Two rows of another bank: the second is opened while lines of the open row pass.
    rows = [slow.row_bytes, slow.row_bytes * (1 + slow.banks)]
    _, order = run([rows[0], *hits[:9], rows[1], *hits[9:]], slow)
    assert 10 < order[10] < 10 + DEPTH
    # Another row of the same bank: it waits for those before it, not for those behind.
    _, order = run([*hits[:10], slow.row_bytes * slow.banks, *hits[10:]], slow)
    assert order[10] == 10


def test_refresh_takes_its_share(run: Run) -> None:
    """A bank that is refreshed gives nothing; a stream inside one bank feels all of its own."""
    inside = [offset % LPDDR5.row_bytes for offset in stream(20_000)]
    calm = dataclasses.replace(LPDDR5, refresh_every=0)
    period = LPDDR5.refresh_every * LPDDR5.banks  # from one refresh of the bank to the next
    lost = (LPDDR5.refresh_takes + LPDDR5.activate) / period
    share = rate_of(run(inside, LPDDR5)[0]) / rate_of(run(inside, calm)[0])
    assert share == pytest.approx(1 - lost, abs=0.01)


@pytest.mark.parametrize(
    "timing",
    [PLAIN, LPDDR5, *JITTER.values()],
    ids=["plain", "lpddr5", "plain, late", "lpddr5, late"],
)
def test_reads_see_acknowledged_writes(run: Run, timing: DramTiming) -> None:
    """The bench checks each byte; here on few lines, read while others are written."""
    rng = python_rng("mixed")
    lines = [rng.randrange(1 << 14) for _ in range(3000)]
    written: set[int] = set()
    writes = []
    for line in lines:
        is_new = line not in written and rng.random() < 0.3
        writes.append(int(is_new))
        written |= {line} if is_new else set()
    # One at a time, so that what a read must see is known.
    run([LINE * line for line in lines], timing, writes=writes, depth=1)


def test_reads_and_writes_share_the_bus(run: Run) -> None:
    """Half of each: together nearly the rate, less for turning round."""
    n = 8000
    offsets = [offset + (1 << 28) * (index % 2) for index, offset in enumerate(stream(n))]
    ends, _ = run(offsets, LPDDR5, writes=[index % 2 for index in range(n)])
    print(f"mixed: {rate_of(ends) / RATE:.3f} of the rate")
    assert 0.7 < rate_of(ends) / RATE <= 1.01


@pytest.mark.parametrize("name", JITTER)
@pytest.mark.parametrize("write", [0, 1], ids=["reads", "writes"])
def test_late_answers_come_in_any_order_and_all_come(run: Run, name: str, write: int) -> None:
    """Each line once, with its own bytes; single ones between the latency and the jitter later."""
    timing, n = JITTER[name], 2000
    _, order = run(stream(n), timing, writes=[write] * n)
    assert sorted(order) == list(range(n))
    assert sum(place != index for index, place in enumerate(order)) > n // 2
    ends, _ = run([0] * 300, timing, writes=[write] * 300, depth=1)
    took = [end - before for before, end in itertools.pairwise(ends)]
    assert max(took) - min(took) > timing.jitter // 2


def test_a_late_write_is_seen_when_it_is_acknowledged(run: Run) -> None:
    """Not when its data has come, as without jitter: of lines that are written and read at once
    some are read as they were, which the bench takes for wrong."""
    offsets = [LINE * (index // 2) for index in range(400)]
    writes = [1 - index % 2 for index in range(400)]
    run(offsets, PLAIN, writes=writes)
    with pytest.raises(AssertionError, match="wrong data"):
        run(offsets, dataclasses.replace(JITTER["plain"], latency=20), writes=writes)
