# SPDX-License-Identifier: Apache-2.0
"""`mtia gemm --report`: windows are exact, the page stands alone and shows the run's numbers."""

import base64
import dataclasses
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

import numpy as np
import pytest

from hw.arch.traffic import HOST_EVENTS
from hw.arch.units import State, Unit
from hw.config import PRESETS
from sim.trace.grid_log import LANE_TRACK
from sim.trace.log import EVENT, TeeLog, TraceLog, unit_value
from sw.cli.files import check_folder
from sw.errors import UserError
from sw.report.activity import N_UNITS, Activity, ActivityLog
from sw.report.page import PAGE_NAME, report_page, write_report
from sw.report.png import shade_uri
from sw.report.roofs import roofline
from sw.report.svg import bytes_text, ticks
from tb.common.seeds import numpy_rng
from tb.system.grid_bench import small_grid
from tb.unit.sw.refusals import gemm_error
from tb.unit.sw.report_page import made_up, number, read_page

TINY = PRESETS["tiny"]
RUNS = {
    "element": made_up(TINY, is_grid=False),
    "element, DRAM": made_up(TINY, is_grid=False, place="dram"),
    "grid": made_up(TINY, is_grid=True),
    "grid, B in DRAM": made_up(TINY, is_grid=True, place="weights"),
    "grid, cached": made_up(TINY, is_grid=True, place="dram", cache_ways=3),
    "64 elements": made_up(PRESETS["mtia100"], is_grid=True, cycles=100_000, place="dram"),
    "short": made_up(PRESETS["fpga"], is_grid=False, cycles=4),
}


def slow_fold(events: np.ndarray, n_elements: int, end: int) -> np.ndarray:
    """Cycle by cycle: the state of each element's unit, by another way than the fold's."""
    states = np.zeros((n_elements, N_UNITS, end), np.int64)
    for time, value, track in events.tolist():
        if track % 128 < N_UNITS:
            states[track // 128, track % 128, time:] = value & 0xF
    return states


def windows_of(activity: Activity, states: np.ndarray, origin: int) -> np.ndarray:
    """`activity.cycles` as `slow_fold` has it."""
    edges = origin + activity.edges
    counts = [
        [(states[..., a:b] == state).sum(axis=2) for a, b in zip(edges, edges[1:], strict=False)]
        for state in range(len(State))
    ]
    return np.array(counts).transpose(2, 3, 0, 1)


@pytest.mark.parametrize("end", [300, 512, 513, 5000])
def test_windows_are_exact(end: int) -> None:
    """Random changes in random batches, over and under the most windows; would break if a state
    were counted in the wrong window, twice, or not over the edge of a batch."""
    rng = numpy_rng(f"windows {end}")
    n_events, n_elements, start = 400, 3, 40
    events = np.zeros(n_events, EVENT)
    events["time"] = np.sort(rng.integers(start, start + end, n_events))
    events["track"] = 128 * rng.integers(0, n_elements, n_events) + rng.choice(
        [*range(N_UNITS), 64, 70], n_events
    )
    events["value"] = rng.integers(0, State.HALTED + 1, n_events) | 77 << 4
    last = start + end
    log = ActivityLog("x", n_elements=n_elements)
    for batch in np.split(events, np.sort(rng.integers(0, n_events, 7))):
        log.add(batch)
    log.end(last)
    activity, states = log.activity(), slow_fold(events, n_elements, last)
    at_work = np.flatnonzero((states != State.IDLE).any(axis=(0, 1)))
    origin, length = int(at_work[0]), int(at_work[-1] + 1 - at_work[0])
    assert activity.length == length
    assert activity.cycles.shape[-1] <= 512
    expected = windows_of(activity, states, origin)
    assert np.array_equal(activity.cycles[:, :, 1:], expected[:, :, 1:])


def test_events_go_to_a_trace_too() -> None:
    """Would break if `--trace` beside `--report` gave an empty file, or a lane's record counted as
    a unit's."""
    fold, kept = ActivityLog("x", n_elements=1), TraceLog("x")
    log = TeeLog([kept, fold])
    log.add(np.array([(5, unit_value(State.BUSY, 1, 2), Unit.DPE)], EVENT))
    log.add(np.array([(6, unit_value(State.WAIT_LS, 0, 0), LANE_TRACK + Unit.DPE)], EVENT))
    log.unit(7, Unit.DPE, State.WAIT_LS)
    log.end(9)
    assert kept.events.size == 3 and log.events.size == fold.events.size == 0
    assert kept.last_time == fold.last_time == 9
    assert fold.activity().total(0, Unit.DPE, State.BUSY) == 2
    assert fold.activity().total(0, Unit.DPE, State.WAIT_LS) == 2


def test_lanes_and_memories_are_where_they_belong() -> None:
    """By hand, for `tiny`; would break if a lane, or the host's, were shown in another's place."""
    run = RUNS["grid"]
    page = read_page(report_page(run))
    lanes = {tuple(row[:2]): row[2:] for row in page.tables["lanes"][1:]}
    assert page.tables["lanes"][0] == ["side", "what", "lane 0", "lane 1", "host"]
    assert len(lanes) == 16
    assert lanes["W", "reads, to the side"] == ["0", "1", "2"]
    assert lanes["S", "acknowledgements, into the grid"] == ["309", "310", "311"]
    line = lanes["E", "lines, into the grid"]
    assert line == [bytes_text(16 * n) for n in (103, 104, 105)]
    memories = page.tables["memories"][1:]
    assert [row[:2] for row in memories] == [[side, "0"] for side in "WENS"]
    assert memories[2][2:] == [bytes_text(16 * n) for n in (212, 213, 214, 215)]
    corners = {tuple(row[:2]): row[2:] for row in page.tables["corners"][1:]}
    assert len(corners) == 8 and corners["W", "shared reads"] == ["20"]
    assert corners["S", "lines for those that came"] == [bytes_text(16 * 321)]
    others = {row[0]: row[1:] for row in page.tables["row-lanes"]}
    assert others["what"] == ["row 0", "row 1", "host"] and len(others) == 9
    assert others["requests for local memories, to W"] == ["22", "23", "24"]
    assert others["signals, to W"] == ["32", "33", ""]
    assert others["their answers, and ends of jobs"] == ["39", "40", ""]
    assert page.tables["host"][1:] == [
        ["reads of the host", "41"], ["writes of the host", "42"],
        ["lines read by its DMA engine", "43"], ["lines written by its DMA engine", "44"],
        ["lines of the host's memory that it read", "45"],
        ["lines of the host's memory that it wrote", "46"],
    ]  # fmt: skip
    assert page.tables["bytes"][1][1] == bytes_text(16 * (12 + 112 + 212 + 312))
    text = report_page(run)
    assert "to the south" in text and "to the east" not in text
    quiet = {place: dict.fromkeys(counts, 0) for place, counts in run.traffic.elements.items()}
    still = dataclasses.replace(run.traffic, elements=quiet)
    assert "They carried nothing" in report_page(dataclasses.replace(run, traffic=still))
    silent = dict(run.traffic.sides["W"]) | dict.fromkeys(HOST_EVENTS, 0)
    still = dataclasses.replace(run.traffic, sides={**run.traffic.sides, "W": silent})
    assert "They asked for nothing" in report_page(dataclasses.replace(run, traffic=still))


def test_lanes_of_another_shape_leave_gaps() -> None:
    """W of `odd` has three lanes, its columns two: cells are missing, not shifted."""
    page = read_page(report_page(made_up(PRESETS["odd"], is_grid=True)))
    assert page.tables["lanes"][0][2:] == ["lane 0", "lane 1", "lane 2", "host"]
    assert {row[0] for row in page.tables["lanes"][1:]} == {
        "W",
        "E",
    } and "corners" not in page.tables
    wide = read_page(report_page(made_up(small_grid(3, 2, slices=8, channels=4), is_grid=True)))
    rows = {row[0]: row for row in wide.tables["lanes"][1:] if row[1].startswith("reads")}
    assert rows["N"][2:] == ["200", "201", "", "202"] and rows["W"][2:] == ["0", "1", "2", "3"]
    assert [row[:2] for row in wide.tables["memories"][1:3]] == [["W", "0"], ["W", "1"]]


def test_caches_are_those_of_their_channels() -> None:
    """By hand; would break if a slice without a channel, or one of another side, were shown."""
    page = read_page(report_page(RUNS["grid, cached"]))
    # W counts flits of three lanes and four kinds, then four accesses, then what its cache does.
    assert page.tables["caches"][1:] == [
        ["0", "W 0", "33", "16", "17", "48.5\N{NO-BREAK SPACE}%", "18", bytes_text(18 * 16)]
    ]
    assert page.cell("summary", "cache of DRAM") == "3 of 8 ways of each SRAM slice"
    assert [row[0] for row in page.tables["bytes"][1:]] == ["SRAM", "cached DRAM"]
    many_text = report_page(made_up(PRESETS["mtia100"], is_grid=True, cache_ways=8))
    many = read_page(many_text)
    rows = many.tables["caches"][1:]
    assert [row[1] for row in rows[:5]] == ["W 0", "E 0", "N 0", "S 0", "W 1"]
    assert [row[0] for row in rows] == [*(str(n) for n in range(16)), "all"]
    assert number(rows[-1][3]) == sum(number(row[3]) for row in rows[:-1])
    assert "SRAM and cached DRAM 1,024 B/cycle" in many_text, "the same bandwidth, one line"
    off = read_page(report_page(RUNS["grid"]))
    assert "caches" not in off.tables
    assert off.cell("summary", "cache of DRAM") == "0 of 8 ways of each SRAM slice"


def test_a_cache_that_nobody_asked_has_no_hit_rate() -> None:
    """A product in SRAM leaves all counters of caches at 0."""
    run = RUNS["grid, cached"]
    sides = {side: dict.fromkeys(counts, 0) for side, counts in run.traffic.sides.items()}
    quiet = dataclasses.replace(run, traffic=dataclasses.replace(run.traffic, sides=sides))
    assert read_page(report_page(quiet)).cell("caches", "0", 5) == "none"


@pytest.mark.parametrize("name", RUNS)
def test_page_stands_alone(name: str) -> None:
    """Would break if the page asked the network for anything, or a drawing were no XML."""
    page = read_page(text := report_page(RUNS[name]))
    assert all(address.startswith("data:") for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "@import" not in text and "url(http" not in text
    body = text.removeprefix("<!doctype html>\n")
    for part in body.split("<svg ")[1:]:
        ElementTree.fromstring("<svg " + part[: part.index("</svg>")] + "</svg>")
    assert "prefers-color-scheme: dark" in text
    assert "nan" not in body.split("</style>")[1]


@pytest.mark.parametrize("name", RUNS)
def test_page_shows_the_run(name: str) -> None:
    """Would break if a number of the summary were of something else."""
    run = RUNS[name]
    page, cycles = read_page(report_page(run)), run.figures["cycles"]
    assert number(page.cell("summary", "cycles")) == cycles
    assert number(page.cell("summary", "ideal cycles")) == cycles // 4
    assert number(page.cell("summary", "of peak")) == 25.0
    speed = run.config.pe.dpe.macs_per_cycle() * run.n_elements / 4
    assert number(page.cell("summary", "MAC per cycle")) == speed
    assert number(page.cell("units", "DPE", 1)) == 25.0
    assert number(page.cell("units", "DPE", 2)) == 25.0
    assert number(page.cell("units", "DPE", -1)) == 50.0
    ways = {row[0]: number(row[2]) for row in page.tables["ways"][1:]}
    line = run.config.pe.link_bytes
    if run.is_grid:
        ports = "memory ports of all elements"
        assert ways == {
            f"{ports}, reads": 30 * line * run.n_elements,
            f"{ports}, writes": 10 * line * run.n_elements,
        }
    else:
        assert ways["SRAM, reads"] == 31 * line
        assert ways["DRAM channel, writes"] == 8
        assert ways["memory port, reads"] == 30 * line


def test_roofs_are_those_of_the_configuration() -> None:
    """By hand, for `tiny`; would break if one element were given the bandwidth of all slices."""
    grid, element = roofline(RUNS["grid"]), roofline(RUNS["element, DRAM"])
    assert [(s.name, s.bytes_per_cycle) for s in grid.slopes] == [("SRAM", 64), ("DRAM", 8)]
    assert [(s.name, s.bytes_per_cycle) for s in element.slopes] == [("SRAM", 16), ("DRAM", 8)]
    assert (grid.peak, element.peak) == (256, 64)
    assert element.n_bytes == 40 * 16
    assert element.intensity == 64 * 250 / 640
    assert element.roof == 64 and element.limit == "the multipliers"
    lines = sum(100 * side + n for side in range(4) for n in (12, 13))
    assert grid.n_bytes == lines * 16, "a line that elements share counts once"
    apart = roofline(RUNS["grid, B in DRAM"])
    assert (apart.used.name, apart.n_bytes) == ("DRAM", (lines + 2 * 8) * 16)
    assert roofline(dataclasses.replace(RUNS["grid"], traffic=None)).n_bytes == 4 * 40 * 16
    cached = roofline(RUNS["grid, cached"])
    assert [s.bytes_per_cycle for s in cached.slopes] == [64, 8, 16]
    assert (cached.used.name, cached.n_bytes) == ("cached DRAM", apart.n_bytes)
    more = dataclasses.replace(element, intensity=4.0)
    assert more.roof == 32 and more.limit == "DRAM bandwidth"


def test_page_tells_when_records_and_counters_differ() -> None:
    """Would break if a page passed that contradicts itself."""
    run = RUNS["grid"]
    assert not run.differences()
    assert "agree in every cycle" in report_page(run)
    wrong = {**run.counters, (1, 0): {**run.counters[1, 0], "dpe.busy": 7}}
    page = report_page(dataclasses.replace(run, counters=wrong))
    assert "differ: DPE.BUSY of element (1, 0)." in page


def test_an_element_without_work_is_blank() -> None:
    """A small product leaves elements out; would break if their old counters were shown."""
    run = RUNS["grid"]
    some = dataclasses.replace(run, counters={(0, 0): run.counters[0, 0]})
    assert some.port_bytes("read") == 30 * 16
    assert "1 of 4" in report_page(some)


def test_shades_are_a_png() -> None:
    """Decoded by hand; would break if rows or opacity were mixed up."""
    shares = np.array([[0.0, 0.5, 1.0], [1.5, 0.2, 0.0]])
    data = base64.b64decode(shade_uri(shares, (1, 2, 3)).split(",")[1])
    assert data[16:24] == bytes((0, 0, 0, 3, 0, 0, 0, 2))
    at = data.index(b"IDAT")
    pixels = zlib.decompress(data[at + 4 : at + 4 + int.from_bytes(data[at - 4 : at])])
    assert [row[0] for row in (pixels[:13], pixels[13:])] == [0, 0]
    assert list(pixels[4:13:4]) == [0, 128, 255]
    assert list(pixels[17:26:4]) == [255, 51, 0]


def test_small_texts() -> None:
    """Units and round numbers, at their limits."""
    texts = [bytes_text(n).replace("\N{NO-BREAK SPACE}", " ") for n in (0, 1023, 1024, 102400)]
    assert texts == ["0 B", "1,023 B", "1.0 KiB", "100 KiB"]
    assert ticks(3) == [0, 1, 2, 3]
    assert ticks(1234) == [0, 500, 1000]


def test_page_is_written_whole(tmp_path: Path) -> None:
    """In a folder that is made, and again over the old page."""
    for _ in range(2):
        path = write_report(RUNS["element"], tmp_path / "a" / "b")
        assert path.read_text().endswith("</html>\n")
        assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    check_folder(tmp_path / "a" / "b", PAGE_NAME, "--report")
    check_folder(tmp_path / "new" / "folder", PAGE_NAME, "--report")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]  # a look leaves nothing


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("/proc/x", "No folder can be made at /proc/x."),
        ("/proc/x/y", "No folder can be made at /proc/x/y."),
        ("/proc", "No file can be made in /proc."),
    ],
)
def test_a_folder_is_tried_not_asked(folder: str, sentence: str) -> None:
    """Would break if permissions were read, of which the superuser has all: in /proc nobody can
    make a file, which a run would find out at its end."""
    with pytest.raises(UserError, match=f"^{sentence}$"):
        check_folder(Path(folder), PAGE_NAME, "--report")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--report", "a.npy"), "--report is a.npy, but a.npy is a file; it must be a folder."),
        (("--report", "a.npy/x"), "--report is a.npy/x, but {}/a.npy is a file; it must be"),
        (("--report", "."), "index.html"),
        (("--report", "x", "--device", "functional"), "--report needs --device rtl"),
        (("--report", "c.npy"), "c.npy cannot be an output and the folder of index.html too."),
        (("--report", "c.npy/x"), "c.npy cannot be an output and the folder of index.html too."),
        (("--report", "old", "--json", "old/index.html"), "Two outputs have the same name, old/"),
        (("--report", "old", "--bias", "old/index.html"), "index.html is an input too"),
    ],
)
def test_a_page_that_cannot_be_is_refused(
    options: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one sentence, before anything is built or run."""
    (tmp_path / "index.html").mkdir()
    (tmp_path / "old").mkdir()
    with (tmp_path / "old" / "index.html").open("wb") as file:
        np.save(file, np.zeros(4, np.float32))
    error = gemm_error(options, tmp_path, capsys, monkeypatch)
    assert sentence.format(tmp_path) in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "index.html", "old"]
