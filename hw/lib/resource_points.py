# SPDX-License-Identifier: Apache-2.0
"""Components of the library whose resource figures are worth knowing."""

from hw.lib.arbiter import AgedPriority, PriorityArbiter, RoundRobin, RoundRobinArbiter
from hw.lib.counters import EventCounters
from hw.lib.credit import CreditCounter
from hw.lib.ecc import SecdedDecoder, SecdedEncoder
from hw.lib.elastic import PingPongBuffer, PipeStage, SkidBuffer, StreamFifo
from hw.lib.sram import DualPortSram, Sram

__all__ = ["RESOURCE_POINTS"]

_EVENTS = tuple(f"event{index}" for index in range(16))

RESOURCE_POINTS = {
    "PipeStage, 64 bits": lambda: PipeStage(shape=64),
    "SkidBuffer, 64 bits": lambda: SkidBuffer(shape=64),
    "PingPongBuffer, 64 bits": lambda: PingPongBuffer(shape=64),
    "StreamFifo, 64 bits x 16": lambda: StreamFifo(shape=64, depth=16),
    "StreamFifo, 64 bits x 512, block": lambda: StreamFifo(shape=64, depth=512, block=True),
    "RoundRobin, 8": lambda: RoundRobin(n_requests=8),
    "AgedPriority, 8, limit 15": lambda: AgedPriority(n_requests=8, age_limit=15),
    "RoundRobinArbiter, 4 x 64 bits": lambda: RoundRobinArbiter(shape=64, n_inputs=4),
    "PriorityArbiter, 4 x 64 bits": lambda: PriorityArbiter(shape=64, n_inputs=4, age_limit=15),
    "SecdedEncoder": SecdedEncoder,
    "SecdedDecoder": SecdedDecoder,
    "CreditCounter, 32": lambda: CreditCounter(limit=32),
    "EventCounters, 16": lambda: EventCounters(names=_EVENTS),
    "Sram, 1024 x 64, bytes": lambda: Sram(width=64, depth=1024, lane_width=8),
    "DualPortSram, 1024 x 64, bytes": lambda: DualPortSram(width=64, depth=1024, lane_width=8),
}
"""Name to a function that makes the component, for `scripts/resources.py`."""
