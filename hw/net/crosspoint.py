# SPDX-License-Identifier: Apache-2.0
"""A switch with a queue at every crossing, so that no flit waits for another one's target."""

from collections.abc import Collection
from typing import Any

from amaranth.hdl import Module, ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.arbiter import RoundRobinArbiter
from hw.lib.elastic import SkidBuffer, StreamFifo

__all__ = ["CrosspointSwitch"]


class CrosspointSwitch(wiring.Component):
    """Carries flits from inputs to the outputs that they name.

    Operation: a flit enters the queue of its crossing; each output serves the queues that lead to
    it in turn. A flit for a full output holds up others of its input only once its queue is full,
    and never those of another input. Order is kept between one input and one output.

    Timing: latency 2; one flit per cycle at every input and output, min(1, depth / 2) through one
    crossing. An input that waits for an output sees at most one flit of each other input go first
    for each one of its own. Combinational path from `target` to `ready` of the same input only.

    Parameters
    ----------
    shape : shape of a flit.
    n_inputs, n_outputs : ports, 1 to 64 inputs.
    crossings : pairs of input and output that exist; all by default.
    depth : flits that wait in a crossing.

    Members
    -------
    i : In(stream.Signature(shape)).array(n_inputs), flits.
    target : In(n_outputs).array(n_inputs), one-hot, where the flit at each input wants to go; one
        for which there is no crossing waits for ever.
    o : Out(stream.Signature(shape)).array(n_outputs), flits.

    Raises: ValueError when a parameter is out of range, a crossing is of no such ports, or an input
    or an output has no crossing.
    """

    latency = 2
    """Cycles from a transfer at `i` to the first cycle in which the flit is at `o`."""

    def __init__(
        self,
        *,
        shape: ShapeLike,
        n_inputs: int,
        n_outputs: int,
        crossings: Collection[tuple[int, int]] | None = None,
        depth: int = 2,
    ) -> None:
        pairs = {(a, b) for a in range(n_inputs) for b in range(n_outputs)}
        if not pairs:
            raise ValueError(
                f"CrosspointSwitch needs inputs and outputs, not {n_inputs!r} and {n_outputs!r}."
            )
        if depth < 1:
            raise ValueError(f"CrosspointSwitch depth must be at least 1 flit, not {depth!r}.")
        self.crossings = sorted(pairs if crossings is None else set(crossings))
        for pair in self.crossings:
            if pair not in pairs:
                raise ValueError(f"CrosspointSwitch has no crossing of ports {pair!r}.")
        for what, at, n_ports in (("input", 0, n_inputs), ("output", 1, n_outputs)):
            missing = set(range(n_ports)) - {pair[at] for pair in self.crossings}
            if missing:
                raise ValueError(f"CrosspointSwitch {what} {min(missing)} has no crossing.")
        self.shape, self.depth = shape, depth
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        flits = stream.Signature(shape)
        super().__init__(
            {
                "i": In(flits).array(n_inputs),
                "target": In(n_outputs).array(n_inputs),
                "o": Out(flits).array(n_outputs),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        queues = {}
        for a, b in self.crossings:
            queue = StreamFifo(shape=self.shape, depth=self.depth)
            m.submodules[f"queue{a}_{b}"] = queues[a, b] = queue
            m.d.comb += [
                queue.i.valid.eq(self.i[a].valid & self.target[a][b]),
                queue.i.payload.eq(self.i[a].payload),
            ]
            with m.If(self.target[a][b]):
                m.d.comb += self.i[a].ready.eq(queue.i.ready)
        for b in range(self.n_outputs):
            self._elaborate_output(m, b, [queue for (_, to), queue in queues.items() if to == b])
        return m

    def _elaborate_output(self, m: Module, number: int, queues: list[StreamFifo]) -> None:
        """The queues that lead to an output take turns."""
        arbiter = RoundRobinArbiter(shape=self.shape, n_inputs=len(queues))
        stage = SkidBuffer(shape=self.shape)
        m.submodules[f"arbiter{number}"], m.submodules[f"stage{number}"] = arbiter, stage
        for port, queue in zip(arbiter.i, queues, strict=True):
            wiring.connect(m, queue.o, port)
        wiring.connect(m, arbiter.o, stage.i)
        wiring.connect(m, stage.o, wiring.flipped(self.o[number]))
