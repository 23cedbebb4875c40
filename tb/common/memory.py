# SPDX-License-Identifier: Apache-2.0
"""Agents for memory ports: models of a memory behind them, and AXI helpers."""

import random
from collections.abc import Iterator
from typing import Any

from cocotbext.axi import AxiBus, AxiMaster, AxiRam

from hw.iface.memory import MemoryReadPort, MemoryWritePort
from tb.common.seeds import python_rng
from tb.common.stream import Bench, Pauses, always

__all__ = ["MemoryModel", "axi_master", "axi_pauses", "axi_ram", "payload_shapes"]


def payload_shapes(port: MemoryReadPort | MemoryWritePort) -> tuple[Any, Any]:
    """Shapes of a memory port's requests and responses."""
    streams = (port.members[name].signature for name in ("request", "response"))
    request, response = (stream.members["payload"].shape for stream in streams)
    return request, response


class MemoryModel:
    """A memory behind one read and one write port of the device; answers late and in any order.

    `data` holds the bytes, `bad` and `poisoned` the addresses of lines that answer so; `reads` and
    `writes` list the addresses asked for.
    """

    def __init__(
        self,
        bench: Bench,
        name: str,
        *,
        link_bytes: int,
        tag_width: int,
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
        self.reads: list[int] = []
        self.writes: list[int] = []
        self._latency, self._shuffle = latency, shuffle
        self._rng = python_rng(f"answers {name}")
        self._pending: dict[str, list[tuple[int, Any]]] = {"read": [], "write": []}
        self._streams: dict[str, tuple[Any, Any]] = {}
        parameters = {"link_bytes": link_bytes, "tag_width": tag_width}
        for kind, path, port in (
            ("read", read, MemoryReadPort(**parameters)),
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
            due = [entry for entry in pending if entry[0] <= cycle]
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


def axi_master(bench: Bench, name: str, **options: Any) -> AxiMaster:
    """An AXI manager that drives the device's subordinate port `name`."""
    bus = AxiBus.from_prefix(bench.dut, name, bus_separator="__")
    return AxiMaster(bus, bench.dut["clk"], bench.dut["rst"], **options)


def axi_ram(bench: Bench, name: str, *, size: int) -> AxiRam:
    """A memory behind the device's manager port `name`."""
    bus = AxiBus.from_prefix(bench.dut, name, bus_separator="__")
    return AxiRam(bus, bench.dut["clk"], bench.dut["rst"], size=size)


def axi_pauses(label: str, share: float) -> Iterator[int]:
    """Endless pauses for one channel: in `share` of the cycles."""
    rng = random.Random(python_rng(label).random())
    while True:
        yield int(rng.random() < share)
