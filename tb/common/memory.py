# SPDX-License-Identifier: Apache-2.0
"""Agents for memory ports: models of a memory behind them, and AXI helpers."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from cocotbext.axi import AxiBus, AxiMaster, AxiRam

from hw.iface.memory import MemoryReadPort, MemoryWritePort
from tb.common.seeds import python_rng
from tb.common.stream import Bench, Pauses, always

__all__ = ["AxiMonitor", "MemoryModel", "axi_master", "axi_pauses", "axi_ram", "payload_shapes"]

_CHANNELS = {
    "aw": ("id", "addr", "len", "size", "burst"),
    "ar": ("id", "addr", "len", "size", "burst"),
    "w": ("data", "strb", "last"),
    "b": ("id", "resp"),
    "r": ("id", "data", "resp", "last"),
}
"""Signals of each AXI4 channel, without valid and ready."""


def payload_shapes(port: MemoryReadPort | MemoryWritePort) -> tuple[Any, Any]:
    """Shapes of a memory port's requests and responses."""
    streams = (port.members[name].signature for name in ("request", "response"))
    request, response = (stream.members["payload"].shape for stream in streams)
    return request, response


class MemoryModel:
    """A memory behind one read and one write port of the device; answers late and in any order.

    `data` holds the bytes, `bad` and `poisoned` the addresses of lines that answer so (in both: as
    lines on which a group does not agree); `reads` and `writes` list the addresses asked for. While
    `may_answer` is false for a request its answer waits.
    """

    def __init__(
        self,
        bench: Bench,
        name: str,
        *,
        link_bytes: int,
        tag_width: int,
        n_positions: int = 0,
        size: int,
        base: int = 0,
        latency: int = 6,
        shuffle: bool = True,
        read: str = "read",
        write: str = "write",
        pauses: Pauses | None = None,
    ) -> None:
        self.link_bytes, self.base = link_bytes, base
        self.data = bytearray(python_rng(f"memory {name}").randbytes(size))
        self.bad: set[int] = set()
        self.poisoned: set[int] = set()
        self.may_answer: Callable[[dict[str, int]], bool] = lambda _: True
        self.reads: list[int] = []
        self.writes: list[int] = []
        self._latency, self._shuffle = latency, shuffle
        self._rng = python_rng(f"answers {name}")
        self._pending: dict[str, list[tuple[int, Any]]] = {"read": [], "write": []}
        self._streams: dict[str, tuple[Any, Any]] = {}
        parameters = {"link_bytes": link_bytes, "tag_width": tag_width}
        for kind, path, port in (
            ("read", read, MemoryReadPort(**parameters, n_positions=n_positions)),
            ("write", write, MemoryWritePort(**parameters)),
        ):
            if bench.port(f"{path}__request__valid") is None:
                continue
            request, response = payload_shapes(port)
            self._streams[kind] = (
                bench.sink(f"{path}__request", request, pauses or always()),
                bench.source(f"{path}__response", response),
            )
        self._seen = dict.fromkeys(self._streams, 0)
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Take new requests; answer those whose time has come."""
        for kind, (sink, source) in self._streams.items():
            pending = self._pending[kind]
            for item in sink.items[self._seen[kind] :]:
                late = self._rng.randint(0, self._latency) if self._shuffle else 0
                pending.append((cycle + self._latency + late, item))
            self._seen[kind] = len(sink.items)
            due = [entry for entry in pending if entry[0] <= cycle and self.may_answer(entry[1])]
            for entry in due:
                pending.remove(entry)
                source.send(self._read(entry[1]) if kind == "read" else self._write(entry[1]))

    def drive(self) -> None:
        """The streams drive themselves."""

    def reset(self) -> None:
        """Forget what is under way."""
        for kind in self._streams:
            self._pending[kind].clear()

    def _offset(self, request: dict[str, int]) -> int:
        assert request["address"] % self.link_bytes == 0, f"{request['address']:#x} is no line"
        offset = request["address"] - self.base
        assert 0 <= offset < len(self.data), f"{request['address']:#x} lies outside the memory"
        return offset

    def _read(self, request: dict[str, int]) -> dict[str, int]:
        offset, address = self._offset(request), request["address"]
        self.reads.append(address)
        line = self.data[offset : offset + self.link_bytes]
        return {
            "data": int.from_bytes(line, "little"),
            "tag": request["tag"],
            "error": int(address in self.bad),
            "poison": int(address in self.poisoned),
        }

    def _write(self, request: dict[str, int]) -> dict[str, int]:
        offset, address = self._offset(request), request["address"]
        self.writes.append(address)
        new = request["data"].to_bytes(self.link_bytes, "little")
        if address not in self.bad:
            for index in range(self.link_bytes):
                if request["strobe"] >> index & 1:
                    self.data[offset + index] = new[index]
        return {"tag": request["tag"], "error": int(address in self.bad)}


class AxiMonitor:
    """Watches channels that the device drives and fails the test on a broken rule of AXI4.

    What is offered stays until it is taken; no burst crosses 4 KB; `wlast` ends every burst's data.
    """

    def __init__(self, bench: Bench, port: str, *, manager: bool) -> None:
        self._pins = {
            channel: [bench.dut[f"{port}__{channel}{name}"] for name in ("valid", "ready", *names)]
            for channel, names in _CHANNELS.items()
            if (channel in ("aw", "ar", "w")) == manager
        }
        self._held: dict[str, list[int]] = {}
        self._asked: list[int] = []  # beats of bursts whose data has not ended
        self._sent: list[int] = []  # beats of data whose address has not come
        self._beat = 0
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Check every channel that offers something."""
        for channel, (valid, ready, *payload) in self._pins.items():
            held = self._held.pop(channel, None)
            if not int(valid.value):
                assert held is None, f"{channel}valid fell before the transfer, in cycle {cycle}"
                continue
            values = [int(pin.value) for pin in payload]
            assert held in (None, values), f"{channel} changed while it waited, in cycle {cycle}"
            if int(ready.value):
                self._check(channel, dict(zip(_CHANNELS[channel], values, strict=True)))
            else:
                self._held[channel] = values

    def _check(self, channel: str, item: dict[str, int]) -> None:
        """Rules about what was transferred."""
        if channel in ("aw", "ar"):
            n_beats, size = item["len"] + 1, 1 << item["size"]
            first = item["addr"] // size * size
            assert first // 4096 == (first + n_beats * size - 1) // 4096, "a burst crosses 4 KB"
        if channel == "aw":
            self._asked.append(item["len"] + 1)
        if channel == "w":
            self._beat += 1
            if item["last"]:
                self._sent.append(self._beat)
                self._beat = 0
        while self._asked and self._sent:
            asked, sent = self._asked.pop(0), self._sent.pop(0)
            assert asked == sent, f"a burst of {asked} beats had wlast at beat {sent}"

    def drive(self) -> None:
        """A monitor drives nothing."""

    def reset(self) -> None:
        """A reset may take back what was offered."""
        self._held.clear()
        self._asked.clear()
        self._sent.clear()
        self._beat = 0


def axi_master(bench: Bench, name: str, **options: Any) -> AxiMaster:
    """An AXI manager that drives the device's subordinate port `name`."""
    bus = AxiBus.from_prefix(bench.dut, name, bus_separator="__")
    AxiMonitor(bench, name, manager=False)
    return AxiMaster(bus, bench.dut["clk"], bench.dut["rst"], **options)


def axi_ram(bench: Bench, name: str, *, size: int) -> AxiRam:
    """A memory behind the device's manager port `name`."""
    bus = AxiBus.from_prefix(bench.dut, name, bus_separator="__")
    AxiMonitor(bench, name, manager=True)
    return AxiRam(bus, bench.dut["clk"], bench.dut["rst"], size=size)


def axi_pauses(label: str, share: float) -> Iterator[int]:
    """Endless pauses for one channel: in `share` of the cycles."""
    rng = random.Random(python_rng(label).random())
    while True:
        yield int(rng.random() < share)
