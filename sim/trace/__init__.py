# SPDX-License-Identifier: Apache-2.0
"""Traces: what each unit of an element did and how full its circular buffers were, over time.

A device fills a `TraceLog`, event by event: the compiled simulator with its cycles, the functional
simulator, which knows no cycles, with its steps. `write_trace` makes a file for Perfetto's viewer
of it, `read_trace` reads such a file again, `sim.trace.picture` draws it.
"""

from sim.trace.log import EVENT, TraceLog, TraceSource
from sim.trace.reader import ElementTrace, Slice, read_trace
from sim.trace.writer import write_trace

__all__ = [
    "EVENT",
    "ElementTrace",
    "Slice",
    "TraceLog",
    "TraceSource",
    "read_trace",
    "write_trace",
]
