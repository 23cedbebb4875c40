# SPDX-License-Identifier: Apache-2.0
"""Traces: what each unit of an element did and how full its circular buffers were, over time.

A device fills a `TraceLog`, event by event: the compiled simulator with its cycles, the functional
simulator, which knows no cycles, with its steps. `sim.trace.writer` makes a file for Perfetto's
viewer of it, `sim.trace.reader` reads such a file again, `sim.trace.picture` draws it. These three
load large packages, so they are named where they are needed.
"""

from sim.trace.log import EVENT, TraceLog, TraceSource

__all__ = ["EVENT", "TraceLog", "TraceSource"]
