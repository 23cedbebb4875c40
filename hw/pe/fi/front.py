# SPDX-License-Identifier: Apache-2.0
"""What the engines in and out have in common: the way from runs to lines, and its traps."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from hw.arch.traps import Trap
from hw.pe.fi.control import EngineControl
from hw.pe.fi.geometry import FiGeometry, LineKind
from hw.pe.fi.runs import RunSource
from hw.pe.fi.splitter import LineSplitter

__all__ = ["connect_runs", "elaborate_faults", "refusal"]


def connect_runs(m: Module, source: RunSource, splitter: LineSplitter) -> None:
    """Runs go on to be cut into lines; one that must not be moved stays: the engine stops.

    What an engine that has stopped still cuts goes nowhere.
    """
    run = source.runs
    passes = ~run.payload.wrong
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
    failures: list[tuple[Value, data.View]],
) -> None:
    """The engine's trap: a failure of a line (the first one counts), or a run."""
    run, fault = source.runs.payload, engine.fault
    wrong_run = Signal()
    m.d.comb += [
        wrong_run.eq(source.runs.valid & run.wrong & ~engine.stop),
        engine.fault_valid.eq(wrong_run),
        fault.cause.eq(run.cause),
        fault.indexed.eq(run.kind != LineKind.PLAIN),
        fault.tag.eq(run.tag),
        fault.info.eq(run.address),
    ]
    for failed, failure in reversed(failures):
        with m.If(failed):
            m.d.comb += [engine.fault_valid.eq(1), fault.eq(failure)]


def refusal(line: data.View, geometry: FiGeometry) -> dict[str, Value]:
    """What the guard's refusal of a line means, as fields of `fault_layout`."""
    return {
        "cause": Value.cast(Trap.MEMORY_RANGE),
        "indexed": line.kind != LineKind.PLAIN,
        "tag": line.tag,
        "info": line.place.line << geometry.link_log2,
    }
