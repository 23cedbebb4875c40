# SPDX-License-Identifier: Apache-2.0
"""Traces of the RTL: what the file says adds up to what the hardware counted."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from hw.arch.commands import Opcode, decode, encode
from hw.arch.csr import COUNTERS
from hw.arch.units import State, Unit
from hw.config import PRESETS
from sim.trace import TraceLog
from sim.trace.activity import buffer_samples
from sim.trace.reader import read_trace
from sim.trace.writer import write_trace
from sw.runtime.chip import Chip, JobHang
from sw.runtime.gemm import GemmJob, prepare_gemm, run_gemm
from sw.runtime.simulated import simulated_chip
from sw.runtime.tracing import recorded
from tb.common.seeds import bench_seed, numpy_rng

CONFIG = PRESETS["tiny"]


@pytest.fixture
def chip() -> Iterator[Chip]:
    """A fresh chip in the build with assertions."""
    device, _ = simulated_chip(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def product() -> GemmJob:
    """A product that keeps every unit waiting for others now and then."""
    rng = numpy_rng("trace")
    a = rng.integers(-128, 128, (40, 64)).astype(np.int8)
    b = rng.integers(-128, 128, (64, 24)).astype(np.int8)
    return prepare_gemm(CONFIG, a, b)


def decoded(path: Path) -> tuple[Counter[str], set[str], dict[str, list[int]]]:
    """Cycles of `UNIT.STATE`, names of outermost slices, and values of the counters; only with
    Perfetto's classes, without our reader."""
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    names: dict[int, str] = {}
    tracks: dict[int, str] = {}
    stacks: dict[int, list[tuple[str, int]]] = {}
    cycles: Counter[str] = Counter()
    commands: set[str] = set()
    fills: dict[str, list[int]] = {}
    for packet in trace.packet:
        names |= {item.iid: item.name for item in packet.interned_data.event_names}
        event, uuid = packet.track_event, packet.track_event.track_uuid
        if packet.HasField("track_descriptor"):
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor.name
        elif event.type == TrackEvent.TYPE_COUNTER:
            fills.setdefault(tracks[uuid], []).append(event.counter_value)
        elif event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stacks.setdefault(uuid, []).append((names[event.name_iid], packet.timestamp))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            name, start = stacks[uuid].pop()
            if stacks[uuid]:
                cycles[f"{tracks[uuid]}.{name}"] += packet.timestamp - start
            else:
                commands.add(f"{tracks[uuid]} {name}")
    assert not any(stacks.values())
    return cycles, commands, fills


def test_trace_adds_up_to_the_counters(chip: Chip, tmp_path: Path) -> None:
    """A lost change, a lag or a doubled cycle would show in some state of some unit."""
    path, job = tmp_path / "gemm.pftrace", product()
    run_gemm(chip, job)  # a job before the trace must leave nothing in it
    with recorded(chip, path):
        run = run_gemm(chip, job)
    cycles, commands, fills = decoded(path)
    trace = read_trace(path)
    n_states = 0
    for unit in Unit:
        for state in State:
            name = f"{unit.name.lower()}.{state.name.lower()}"
            if name in {counter.name for counter in COUNTERS}:
                counted = run.perf["counters"][name]
                assert cycles[f"{unit.name}.{state.name}"] == counted, name
                assert trace.total(unit.name, state) == counted, name
                n_states += counted > 0
    assert n_states > 12 and cycles["DPE.BUSY"] > 0
    assert commands == {
        "FI_IN_ROW dma_in", "FI_IN_COL dma_in", "FI_OUT dma_out", "DPE mml", "RE drain",
    }  # fmt: skip
    assert all(min(values) >= 0 and values[-1] == 0 for values in fills.values())
    share = cycles["DPE.BUSY"] / run.job.cycles
    assert share == pytest.approx(run.perf["counters"]["dpe.busy"] / run.job.cycles)
    assert trace.name == "tiny" and "one nanosecond is one cycle" in trace.description
    begin, end = trace.span
    assert 0 < end - begin <= run.job.cycles


def test_commands_carry_their_tags(chip: Chip, tmp_path: Path) -> None:
    """A command in the trace can be found in the list, and is one slice with the right tag to its
    end, also while the next one is on its way."""
    path, job = tmp_path / "gemm.pftrace", product()
    with recorded(chip, path):
        run_gemm(chip, job)
    data, tags, place = bytes(job.plan.commands), {}, 0
    while place < len(data):
        command, fields = decode(data[place:])
        place += command.bits // 8
        tags[fields["tag"]] = command.name
    commands = read_trace(path).commands
    assert sum(map(len, commands.values())) > 6
    for unit, pieces in commands.items():
        found = [piece.tag for piece in pieces]
        assert len(set(found)) == len(found), f"{unit}: a command appears twice: {pieces}"
        assert all(tags[piece.tag] in (piece.name, "run") for piece in pieces)


def test_buffers_stay_within_their_depth(chip: Chip, tmp_path: Path) -> None:
    """Fill is never above the depth, moves at every hand-over, and ends at 0."""
    log = TraceLog("tiny")
    chip.port.record(log)
    job = product()
    run_gemm(chip, job)
    chip.port.record(None)
    samples = list(buffer_samples(log))
    set_up = {s.cb: s.depth for s in samples}
    data, place, wanted = bytes(job.plan.commands), 0, {}
    while place < len(data):
        command, fields = decode(data[place:])
        place += command.bits // 8
        if command.opcode is Opcode.CB:
            wanted[fields["cb"]] = fields["depth"]
    assert set_up == wanted
    assert all(0 <= sample.fill <= sample.depth for sample in samples)
    assert {cb: max(s.fill for s in samples if s.cb == cb) > 0 for cb in wanted} == dict.fromkeys(
        wanted, True
    )
    last = {s.cb: s.fill for s in samples}
    assert set(last.values()) == {0}
    n = log.events.size
    run_gemm(chip, job)
    assert log.events.size == n, "the device went on recording"
    write_trace(log, tmp_path / "log.pftrace")
    assert read_trace(tmp_path / "log.pftrace").fills.keys() == {f"CB {cb} fill" for cb in wanted}


def test_a_run_that_fails_is_written(chip: Chip, tmp_path: Path) -> None:
    """One looks at a trace above all when a job hangs."""
    path = tmp_path / "hang.pftrace"
    commands = encode(Opcode.CB, cb=3, base=0, depth=4) + encode(
        Opcode.DMA_OUT, cb=3, count0=8, stride0=8, step_level=1, need=1, tag=77
    )
    with pytest.raises(JobHang), recorded(chip, path):
        chip.run_job(0x20000, commands + encode(Opcode.END), stall_limit=1000)
    trace = read_trace(path)
    assert [(piece.name, piece.tag) for piece in trace.commands["FI_OUT"]] == [("dma_out", 77)]
    assert trace.states["FI_OUT"][-1].name in (State.WAIT_CB_DATA.name, State.HALTED.name)
