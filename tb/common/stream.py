# SPDX-License-Identifier: Apache-2.0
"""Clock, reset and stream agents for cocotb tests.

One coroutine, `Bench`, wakes once a cycle, right at the rising edge: it first shows all agents the
values that the edge took, then lets them drive the next cycle. Whoever waits for an agent goes on
after that. So every agent samples and drives at one fixed phase.

Every stream is watched by a `StreamMonitor`, which fails the test when a rule is broken:

1. an item is transferred in a cycle with both valid and ready;
2. valid, once high, stays high until then;
3. so does the payload;
4. valid never waits for ready (the bench flips ready inside a cycle and expects no answer).
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import cocotb
from cocotb.clock import Clock
from cocotb.handle import LogicArrayObject, LogicObject
from cocotb.triggers import Event, ReadOnly, RisingEdge, SimTimeoutError, Timer, with_timeout

from hw.arch.commands import LONG_BITS
from hw.arch.units import Unit
from tb.common.coverage import cover_command, cover_state, cover_trap
from tb.common.payload import pack, unpack
from tb.common.runner import CLOCK_PERIOD_NS
from tb.common.seeds import python_rng

__all__ = [
    "BACK_PRESSURE",
    "Agent",
    "Bench",
    "Pauses",
    "StreamMonitor",
    "StreamSink",
    "StreamSource",
    "always",
    "bursts",
    "check_equal",
    "sometimes",
]

Pauses = Callable[[random.Random], bool]
"""Asked once a cycle; True holds the agent back in that cycle."""

_PROBE_SHARE = 1 / 32
_IDLE_LIMIT = 5_000
_STATE_BITS = 0xF  # the low bits of a unit's status
_STATE_EVERY = 4  # cycles between looks at it, since looking takes time


def always() -> Pauses:
    """Never pause."""
    return lambda rng: False


def sometimes(share: float = 0.5) -> Pauses:
    """Pause in this share of the cycles, each cycle for itself."""
    return lambda rng: rng.random() < share


def bursts(run: int = 8, pause: int = 8) -> Pauses:
    """Alternate between runs and pauses of random length up to these."""
    state = {"paused": False, "left": 0}

    def step(rng: random.Random) -> bool:
        if state["left"] == 0:
            state["paused"] = not state["paused"]
            state["left"] = rng.randint(1, pause if state["paused"] else run)
        state["left"] -= 1
        return bool(state["paused"])

    return step


BACK_PRESSURE: Mapping[str, tuple[Callable[[], Pauses], Callable[[], Pauses]]] = {
    "none": (always, always),
    "source": (sometimes, always),
    "sink": (always, sometimes),
    "both": (sometimes, bursts),
}
"""The four crossings of pauses: name to (for the source, for the sink)."""


class Agent(Protocol):
    """What `Bench` calls each cycle."""

    def sample(self, cycle: int) -> None:
        """Look at the values that the rising edge took."""

    def drive(self) -> None:
        """Set inputs for the cycle that begins."""

    def reset(self) -> None:
        """Forget the past: the device is being reset."""


class StreamMonitor:
    """Watches one stream of the device and fails the test on a broken rule.

    `items` and `cycles` hold what was transferred, and when.
    """

    def __init__(self, bench: "Bench", name: str, shape: Any = None) -> None:
        self.name = name
        self.shape = shape
        self.items: list[Any] = []
        self.cycles: list[int] = []
        self.transferred = Event()
        self._dut = bench.dut
        self._payload = bench.port(f"{name}__payload")
        self._valid = bench.port(f"{name}__valid")
        self._ready = bench.port(f"{name}__ready")
        self._held: int | None = None
        self._is_command = self._payload is not None and len(self._payload) == LONG_BITS
        bench.add(self)

    @property
    def valid(self) -> bool:
        """Level of valid; a stream without that port is always valid."""
        return self._valid is None or _bits(self._valid) == 1

    @property
    def ready(self) -> bool:
        """Level of ready; a stream without that port is always ready."""
        return self._ready is None or _bits(self._ready) == 1

    @property
    def payload(self) -> int:
        """Bits of the payload."""
        return 0 if self._payload is None else _bits(self._payload)

    def sample(self, cycle: int) -> None:
        """Check rules 2 and 3, and record a transfer."""
        valid = self.valid
        if self._held is not None:
            assert valid, f"{self.name}: valid fell before the transfer, in cycle {cycle}"
            assert self.payload == self._held, (
                f"{self.name}: payload changed before the transfer, in cycle {cycle}: "
                f"{self._held:#x} became {self.payload:#x}"
            )
        self._held = None
        if not valid:
            return
        bits = self.payload
        if self.ready:
            self.items.append(bits if self.shape is None else unpack(self.shape, bits))
            self.cycles.append(cycle)
            self.transferred.set()
            if self._is_command:
                cover_command(bits.to_bytes(LONG_BITS // 8, "little"))
        else:
            self._held = bits

    def drive(self) -> None:
        """A monitor drives nothing."""

    def reset(self) -> None:
        """A reset may take back what was offered."""
        self._held = None


class StreamSource(StreamMonitor):
    """Feeds an input stream of the device from a queue, with pauses."""

    def __init__(
        self, bench: "Bench", name: str, shape: Any = None, pauses: Pauses | None = None
    ) -> None:
        super().__init__(bench, name, shape)
        self._queue: deque[int] = deque()
        self._pauses = pauses or always()
        self._rng = python_rng(f"source {name}")
        self._offering = False
        self._reset_pins()

    def send(self, *values: Any) -> None:
        """Queue items; they leave as the device takes them."""
        self.send_all(values)

    def send_all(self, values: Iterable[Any]) -> None:
        """Queue many items."""
        for value in values:
            self._queue.append(int(value) if self.shape is None else pack(self.shape, value))

    async def drained(self, idle_limit: int = _IDLE_LIMIT) -> None:
        """Wait until the device has taken everything."""
        while self._queue or self._offering:
            await _progress(self, idle_limit, f"{len(self._queue)} items still to send")

    def sample(self, cycle: int) -> None:
        super().sample(cycle)
        if self._offering and self._held is None:
            self._offering = False

    def drive(self) -> None:
        if self._offering or self._valid is None:
            return
        if self._queue and not self._pauses(self._rng):
            if self._payload is not None:
                self._payload.value = self._queue.popleft()
            else:
                self._queue.popleft()
            if not self._driven:
                self._valid.value = 1
                self._driven = True
            self._offering = True
        elif self._driven:
            self._valid.value = 0
            self._driven = False
            if self._payload is not None:  # nobody may look at it
                self._payload.value = self._rng.getrandbits(len(self._payload))

    def reset(self) -> None:
        super().reset()
        self._queue.clear()
        self._offering = False
        self._reset_pins()

    def _reset_pins(self) -> None:
        self._driven = False
        if self._valid is not None:
            self._valid.value = 0
        if self._payload is not None:
            self._payload.value = 0


class StreamSink(StreamMonitor):
    """Takes an output stream of the device, with pauses, and probes rule 4."""

    def __init__(
        self, bench: "Bench", name: str, shape: Any = None, pauses: Pauses | None = None
    ) -> None:
        super().__init__(bench, name, shape)
        self._pauses = pauses or always()
        self._rng = python_rng(f"sink {name}")
        self._n_taken = 0
        self._driven = False
        if self._ready is not None:
            self._ready.value = 0
            bench.add_probe(self)

    async def receive(self, n: int, idle_limit: int = _IDLE_LIMIT) -> list[Any]:
        """The next `n` items, in order."""
        goal = self._n_taken + n
        while len(self.items) < goal:
            await _progress(self, idle_limit, f"{len(self.items) - self._n_taken} of {n} items")
        self._n_taken = goal
        return self.items[goal - n : goal]

    def drive(self) -> None:
        if self._ready is not None:
            ready = not self._pauses(self._rng)
            if ready != self._driven:
                self._ready.value = int(ready)
                self._driven = ready

    def reset(self) -> None:
        super().reset()
        self._n_taken = len(self.items)

    def wants_probe(self) -> bool:
        """Whether to probe in this cycle."""
        return self._rng.random() < _PROBE_SHARE

    def flip_ready(self) -> None:
        """Invert ready for a moment between two edges."""
        if self._ready is not None:
            self._driven = not self._driven
            self._ready.value = int(self._driven)


class Bench:
    """Clock, reset, cycle counter and the agents of one device.

    ::

        bench = Bench(dut)
        source = bench.source("i", Operand, pauses=sometimes())
        sink = bench.sink("o", Result)
        await bench.start()
        source.send({"a": 1, "b": 2})
        check_equal(await sink.receive(1), [{"y": 2}])
    """

    def __init__(self, dut: Any, *, clock: str = "clk", reset: str = "rst") -> None:
        self.dut = dut
        self.cycle = 0
        self._clock = self.port(clock)
        self._reset = self.port(reset)
        self._agents: list[Agent] = []
        self._probes: list[StreamSink] = []
        self._tick = Event()
        self._rng = python_rng("bench")
        self._statuses = self._find_statuses()
        self._trap = self.port("trap")  # of an element, or of its list reader
        if self._clock is None:
            raise ValueError(f"The device has no clock port '{clock}'.")

    def _find_statuses(self) -> list[tuple[Unit, Any, Any]]:
        """Status and trap ports of the units that the device consists of."""
        top = str(getattr(self.dut, "_name", "")).split("_")[0].upper()
        names = {unit: unit.name.lower() for unit in Unit}
        if top in Unit.__members__:
            names = {Unit[top]: "control"}
        found = [
            (unit, self.port(f"{name}__status"), self.port(f"{name}__trap"))
            for unit, name in names.items()
        ]
        return [item for item in found if None not in item]

    def port(self, name: str) -> Any:
        """Handle of a port, or None if the device has none of that name."""
        try:
            return self.dut[name]
        except (AttributeError, KeyError):
            return None

    def add(self, agent: Agent) -> None:
        """Call an agent each cycle, after those added before."""
        self._agents.append(agent)

    def add_probe(self, sink: StreamSink) -> None:
        """Probe rule 4 on this sink now and then."""
        self._probes.append(sink)

    def source(self, name: str, shape: Any = None, pauses: Pauses | None = None) -> StreamSource:
        """Drive the input stream `name`."""
        return StreamSource(self, name, shape, pauses)

    def sink(self, name: str, shape: Any = None, pauses: Pauses | None = None) -> StreamSink:
        """Take the output stream `name`."""
        return StreamSink(self, name, shape, pauses)

    def monitor(self, name: str, shape: Any = None) -> StreamMonitor:
        """Watch the stream `name`, which somebody else drives."""
        return StreamMonitor(self, name, shape)

    async def start(self, reset_cycles: int = 2) -> None:
        """Start the clock and reset the device."""
        Clock(self._clock, CLOCK_PERIOD_NS, unit="ns").start()
        cocotb.start_soon(self._run())
        await self.reset(reset_cycles)

    async def reset(self, n_cycles: int = 2) -> None:
        """Hold reset for some cycles; agents forget what was under way."""
        if self._reset is not None:
            self._reset.value = 1
        for agent in self._agents:  # what reset takes back at once breaks no rule
            agent.reset()
        for _ in range(n_cycles):
            await self.wait(1)
            for agent in self._agents:
                agent.reset()
        if self._reset is not None:
            self._reset.value = 0

    async def wait(self, n_cycles: int) -> None:
        """Wait for some rising edges."""
        for _ in range(n_cycles):
            self._tick.clear()
            await self._tick.wait()

    async def until(self, condition: Callable[[], Any], limit: int = _IDLE_LIMIT) -> int:
        """Wait until `condition()` holds at a rising edge; the number of cycles it took."""
        for n_cycles in range(limit):
            if condition():
                return n_cycles
            await self.wait(1)
        raise AssertionError(f"The awaited condition did not come in {limit} cycles.")

    async def _run(self) -> None:
        """Every cycle: sample, drive, wake whoever waits, sometimes probe."""
        edge = RisingEdge(self._clock)
        while True:
            await edge
            for agent in self._agents:
                agent.sample(self.cycle)
            self.cycle += 1
            for agent in self._agents:
                agent.drive()
            self._tick.set()
            if self.cycle % _STATE_EVERY == 0:
                for unit, status, trap in self._statuses:
                    cover_state(unit, _bits(status) & _STATE_BITS)
                    cover_trap(_bits(trap))
                if self._trap is not None:
                    cover_trap(_bits(self._trap))
            probed = [sink for sink in self._probes if sink.wants_probe()]
            if probed:
                await self._probe(probed)

    async def _probe(self, sinks: list[StreamSink]) -> None:
        """Flip ready in the middle of the cycle; valid and payload must not answer."""
        await Timer(CLOCK_PERIOD_NS // 5, unit="ns")
        await ReadOnly()
        before = [(sink.valid, sink.valid and sink.payload) for sink in sinks]
        await Timer(1, unit="ns")
        for sink in sinks:
            sink.flip_ready()
        await ReadOnly()
        after = [(sink.valid, sink.valid and sink.payload) for sink in sinks]
        await Timer(1, unit="ns")
        for sink in sinks:
            sink.flip_ready()
        for sink, old, new in zip(sinks, before, after, strict=True):
            assert old == new, f"{sink.name}: valid or payload waits for ready"


def check_equal(found: Iterable[Any], expected: Iterable[Any], what: str = "item") -> None:
    """Compare two lists; the message names the first items that differ."""
    found, expected = list(found), list(expected)
    wrong = [i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b]
    lines = [f"{what} {i}: found {found[i]}, expected {expected[i]}" for i in wrong[:4]]
    if len(found) != len(expected):
        lines.append(f"found {len(found)} {what}s, expected {len(expected)}")
    more = f" ({len(wrong)} differ)" if len(wrong) > 4 else ""
    assert not lines, "; ".join(lines) + more


def _bits(handle: LogicArrayObject | LogicObject) -> int:
    """A signal as an unsigned number."""
    # Not `handle.value`: an object for each read of each signal would take most of a run's time.
    return int(handle._handle.get_signal_val_binstr(), 2)


async def _progress(stream: StreamMonitor, idle_limit: int, what: str) -> None:
    """Wait for the next transfer; a long silence fails the test with a sentence."""
    stream.transferred.clear()
    # Simulated time is the limit, since the clock never stops by itself.
    try:
        await with_timeout(stream.transferred.wait(), idle_limit * CLOCK_PERIOD_NS, "ns")
    except SimTimeoutError:
        message = f"{stream.name}: no transfer in {idle_limit} cycles, with {what}"
        raise AssertionError(message) from None
