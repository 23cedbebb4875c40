# SPDX-License-Identifier: Apache-2.0
"""What the engines in and out have in common: the way from runs to lines, and its traps."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from hw.arch.traps import Trap
from hw.pe.fi.control import EngineControl
from hw.pe.fi.geometry import FiGeometry, LineKind
from hw.pe.fi.runs import RunSource
from hw.pe.fi.splitter import LineSplitter

__all__ = ["connect_runs", "elaborate_faults"]


def connect_runs(m: Module, source: RunSource, splitter: LineSplitter, stop: Value) -> None:
    """Runs go on to be cut into lines; one that must not be moved stays: the engine stops."""
    run = source.runs
    passes = (run.payload.cause == Trap.NONE) & ~stop
    m.d.comb += [
        splitter.runs.payload.eq(run.payload),
        splitter.runs.valid.eq(run.valid & passes),
        run.ready.eq(splitter.runs.ready & passes),
    ]


def elaborate_faults(
    m: Module,
    engine: EngineControl,
    source: RunSource,
    *,
    refused: Value,
    line: data.View,
    failures: list[tuple[Value, data.View]],
    geometry: FiGeometry,
) -> None:
    """The engine's trap: a failure of its own (the first one counts), a refused line, or a run."""
    run, fault = source.runs.payload, engine.fault
    wrong_run, wrong_line = Signal(), Signal()
    m.d.comb += [
        wrong_run.eq(source.runs.valid & (run.cause != Trap.NONE) & ~engine.stop),
        wrong_line.eq(refused & ~engine.stop),
        engine.fault_valid.eq(wrong_run | wrong_line),
        fault.cause.eq(run.cause),
        fault.indexed.eq(run.kind != LineKind.PLAIN),
        fault.tag.eq(run.tag),
        fault.info.eq(run.address),
    ]
    with m.If(wrong_line):
        m.d.comb += [
            fault.cause.eq(Trap.MEMORY_RANGE),
            fault.indexed.eq(line.kind != LineKind.PLAIN),
            fault.tag.eq(line.tag),
            fault.info.eq(line.place.line << geometry.link_log2),
        ]
    for failed, failure in reversed(failures):
        with m.If(failed):
            m.d.comb += [engine.fault_valid.eq(1), fault.eq(failure)]
