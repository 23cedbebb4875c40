# SPDX-License-Identifier: Apache-2.0
"""Traces of a grid: which elements and cycles they hold, what they say of lanes and links."""

from pathlib import Path

import numpy as np

from hw.arch.commands import Opcode
from hw.arch.traffic import LANE_KINDS, side_shapes
from hw.arch.units import State, Unit
from hw.config import PRESETS
from sim.trace.grid_log import LANE_TRACK, GridTraceLog, Place, default_elements
from sim.trace.log import BUFFER_TRACK, EVENT, buffer_value, unit_value
from sim.trace.reader import ElementTrace, Slice, read_processes, read_trace
from sim.trace.writer import write_trace
from tb.common.seeds import numpy_rng
from tb.system.grid_bench import small_grid

TINY = PRESETS["tiny"]
BUSY = unit_value(State.BUSY, Opcode.MML, 7)
WAITS = unit_value(State.WAIT_LS, Opcode.MML, 7)
HOSTS = {
    side: {f"{kind}.{at}": f"{kind} host" for kind in kinds}
    for side, at, kinds in (
        ("W", 3, (*LANE_KINDS, "ask", "told", "received")),
        ("E", 3, LANE_KINDS),
        ("N", 2, LANE_KINDS),
        ("S", 2, LANE_KINDS),
    )
}
"""Counters of the host's lanes of three rows and two columns, and their tracks' names."""


def events(*items: tuple[int, int, int]) -> np.ndarray:
    """Records as the simulator gives them: time, value, track."""
    return np.array(list(items), EVENT)


def written(log: GridTraceLog, folder: Path) -> dict[str, ElementTrace]:
    """What the file of a log says, by process."""
    write_trace(log, folder / "t.pftrace")
    return {process.name: process for process in read_processes(folder / "t.pftrace")}


def test_each_element_is_a_process(tmp_path: Path) -> None:
    """Would break if units of two elements came to one track, or tags and fills got lost."""
    log = GridTraceLog(TINY, elements=[(1, 0), (0, 1)])
    for element in range(4):
        base = 128 * element
        log.add(
            events(
                (10 + element, BUSY, base + Unit.DPE),
                (12 + element, buffer_value(element, 8), base + BUFFER_TRACK + 5),
                (20, 0, base + Unit.DPE),
            )
        )
    log.end(30)
    found = written(log, tmp_path)
    assert list(found) == ["element 0,1", "element 1,0"]
    for number, process in zip((1, 2), found.values(), strict=True):
        assert process.commands == {"DPE": [Slice("mml", 10 + number, 20, 7)]}
        assert process.fills == {"CB 5 fill": [(12 + number, number)]}
        assert "one nanosecond is one cycle" in process.description
    assert read_trace(tmp_path / "t.pftrace") == found["element 0,1"]


def test_a_window_cuts_what_lasts_over_its_edges(tmp_path: Path) -> None:
    """Random states against a slow count, in batches that the window's edges cut; would break if a
    state before the window were lost in it, or one behind it were shown."""
    rng, first, last = numpy_rng("window"), 100, 260
    times = np.sort(rng.integers(0, 400, 120))
    values = rng.choice([0, BUSY, WAITS], 120)
    by_cycle = np.zeros(400, np.int64)
    for time, value in zip(times, values, strict=True):
        by_cycle[time:] = value
    log = GridTraceLog(TINY, elements=[(0, 0)], first=first, last=last)
    for batch in np.array_split(np.arange(120), 7):
        log.add(events(*((times[i], values[i], Unit.DPE) for i in batch)))
    log.end(400)
    process = written(log, tmp_path)["element 0,0"]
    assert first <= process.span[0] and process.span[1] <= last
    for value, state in ((BUSY, State.BUSY), (WAITS, State.WAIT_LS)):
        assert process.total("DPE", state) == (by_cycle[first:last] == value).sum() > 0


def test_lanes_have_their_names(tmp_path: Path) -> None:
    """A record on every track of a grid that is not square; would break if a lane, a memory or the
    host were called as another one, or one were left out."""
    config = small_grid(3, 2, slices=8, channels=4)
    shapes = side_shapes(rows=3, columns=2, n_slices=8, has_cache=config.sram.cache_ways > 0)
    names = [(shape, index, name) for shape in shapes for index, name in enumerate(shape.counters)]
    links = [(row, way, column) for row in range(3) for way in range(2) for column in range(2)]
    tracks = [shape.number * 256 + index for shape, index, _ in names]
    tracks += [1024 + row * 64 + way * 32 + column for row, way, column in links]
    log = GridTraceLog(config, elements=[])
    log.add(events(*((0, 1 + i | (i % 2) << 16, LANE_TRACK + t) for i, t in enumerate(tracks))))
    log.add(events(*((64, 0, LANE_TRACK + track) for track in tracks)))
    log.end(100)
    found = written(log, tmp_path)
    assert list(found) == ["side W", "side E", "side N", "side S", "reduction links"]
    for i, (shape, _, counter) in enumerate(names):
        fills = found[f"side {shape.name}"].fills
        name = HOSTS.get(shape.name, {}).get(counter, counter.replace(".", " "))
        assert fills[name] == [(0, 1 + i), (64, 0)]
        assert fills.get(f"{name} waits") == ([(0, 1), (64, 0)] if i % 2 else None)
    for i, (row, way, column) in enumerate(links, len(names)):
        name = f"{row},{column} {('south', 'east')[way]}"
        assert found["reduction links"].fills[name] == [(0, 1 + i), (64, 0)]


def test_a_large_grid_shows_a_chain_and_all_heads() -> None:
    """All elements as long as they are few."""
    assert default_elements(TINY) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    chosen: set[Place] = default_elements(PRESETS["mtia100"])
    assert chosen == {(0, i) for i in range(8)} | {(i, 0) for i in range(8)}
