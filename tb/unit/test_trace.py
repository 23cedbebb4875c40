# SPDX-License-Identifier: Apache-2.0
"""Trace files: what is written is read again, and measured exactly."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw.arch.commands import Opcode
from hw.arch.units import State, Unit
from sim.trace import EVENT, TraceLog, TraceSource
from sim.trace.reader import Slice, read_trace
from sim.trace.writer import write_trace
from tb.common.seeds import python_rng


def example() -> TraceLog:
    """Two commands of one unit, one without a command, a buffer, an open end."""
    log = TraceLog("tiny", time_unit="step")
    log.buffer(3, 5, 0, 8)
    log.unit(10, Unit.DPE, State.WAIT_CB_DATA, Opcode.MML, 7)
    log.unit(14, Unit.DPE, State.BUSY, Opcode.MML, 7)
    log.unit(20, Unit.DPE, State.BUSY, Opcode.MML, 8)
    log.buffer(21, 5, 6, 8)
    log.unit(25, Unit.DPE, State.IDLE)
    log.unit(30, Unit.SE, State.HALTED)
    log.end(40)
    return log


def test_file_says_what_the_log_says(tmp_path: Path) -> None:
    """Names, tags, times, states, counters, description."""
    write_trace(example(), tmp_path / "t.pftrace")
    trace = read_trace(tmp_path / "t.pftrace")
    assert trace.name == "tiny" and "one nanosecond is one step" in trace.description
    assert trace.commands["DPE"] == [Slice("mml", 10, 20, 7), Slice("mml", 20, 25, 8)]
    assert trace.states["DPE"] == [
        Slice("WAIT_CB_DATA", 10, 14),
        Slice("BUSY", 14, 20),
        Slice("BUSY", 20, 25),
    ]
    assert trace.commands["SE"] == [] and trace.states["SE"] == [Slice("HALTED", 30, 40)]
    assert trace.fills == {"CB 5 fill": [(3, 0), (21, 6)]}
    assert trace.span == (10, 40) and trace.total("DPE", State.BUSY) == 11


def test_shares_of_windows_are_exact(tmp_path: Path) -> None:
    """Windows that cut states anywhere, against cycle-by-cycle counting."""
    rng, log, by_cycle = python_rng("shares"), TraceLog("x"), []
    for time in range(300):
        state = rng.choice((State.IDLE, State.BUSY, State.BUSY, State.WAIT_LS))
        log.unit(time, Unit.RE, state, Opcode.DRAIN, rng.randrange(3))
        by_cycle.append(state is State.BUSY)
    log.end(300)
    write_trace(log, tmp_path / "t.pftrace")
    trace = read_trace(tmp_path / "t.pftrace")
    edges = np.array([0, 1, 7, 50, 51, 200, 300], np.float64)
    expected = [
        np.mean(by_cycle[int(a) : int(b)]) for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    assert trace.shares("RE", State.BUSY, edges) == pytest.approx(expected, abs=1e-12)
    assert trace.shares("MLU", State.BUSY, edges).tolist() == [0] * 6
    assert trace.total("RE", State.BUSY) == sum(by_cycle)


def test_events_of_a_device_and_calls_mix() -> None:
    """Arrays that a device recorded keep their place between events of calls."""
    log = TraceLog("x")
    log.unit(1, Unit.DPE, State.BUSY, Opcode.MML)
    log.add(np.array([(5, int(State.BUSY), int(Unit.RE))], EVENT))
    log.unit(6, Unit.DPE, State.IDLE)
    log.unit(7, Unit.DPE, State.IDLE)  # nothing new
    assert log.events["time"].tolist() == [1, 5, 6]
    with pytest.raises(ValueError, match="An event at 4 follows one at 7"):
        log.unit(4, Unit.DPE, State.BUSY)


def test_empty_log_is_a_file(tmp_path: Path) -> None:
    """A run in which no unit did anything."""
    write_trace(TraceLog("x"), tmp_path / "t.pftrace")
    trace = read_trace(tmp_path / "t.pftrace")
    assert trace.states == {} and trace.span == (0, 0)


def test_noise_is_no_trace(tmp_path: Path) -> None:
    """One sentence, not protobuf's error."""
    (tmp_path / "noise").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="noise is not a trace file"):
        read_trace(tmp_path / "noise")


def test_picture_is_drawn(tmp_path: Path) -> None:
    """A lane for each unit that did something; an empty trace too. In a process of its own, since
    matplotlib cannot be loaded behind Yosys, which other tests load."""
    for log in (example(), TraceLog("x")):
        write_trace(log, tmp_path / "t.pftrace")
        command = [sys.executable, "-m", "sim.trace.picture", "t.pftrace", "-o", "t.png"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_only_what_records_is_a_source() -> None:
    """`recorded` refuses a device by this."""
    assert not isinstance(object(), TraceSource)
