# SPDX-License-Identifier: Apache-2.0
"""The command processor's circular-buffer table as a unit sees it, for benches of units."""

from dataclasses import dataclass
from typing import Any

from hw.iface.pe import CbAcquire, CbDone, CbGrant, CbRole
from tb.common.coverage import cover_wrap
from tb.common.payload import pack, unpack
from tb.common.seeds import python_rng
from tb.common.stream import Bench, Pauses, always

__all__ = ["CbPortModel", "CbState"]


@dataclass(kw_only=True)
class CbState:
    """One circular buffer; positions count 64-byte units from its set-up and never wrap."""

    base: int
    depth: int
    reserve: int = 0
    commit: int = 0
    claim: int = 0
    release: int = 0

    def allows(self, *, producer: bool, extent: int) -> bool:
        """Whether a step of this extent may start."""
        if producer:
            return self.reserve + extent - self.release <= self.depth
        return self.claim + extent <= self.commit

    def grant(self, *, producer: bool, advance: int) -> int:
        """Move the grant pointer; return where it was, wrapped."""
        if producer:
            self.reserve += advance
            return (self.reserve - advance) % self.depth
        self.claim += advance
        return (self.claim - advance) % self.depth

    def done(self, *, producer: bool, advance: int) -> None:
        """Move the done pointer, which may not pass the grant pointer."""
        if producer:
            self.commit += advance
            assert self.commit <= self.reserve, "commit passed reserve"
        else:
            self.release += advance
            assert self.release <= self.claim, "release passed claim"


class CbPortModel:
    """Serves one `CbPort` of the device from a dictionary of buffers that several ports may share.

    A step is granted when its buffer allows it; with `eager` every acquire is granted in the cycle
    in which it comes, whatever the buffer holds. `name` is empty for a device that has `acquire`
    and `grant` at its top. `acquires` and `dones` hold what was transferred.
    """

    def __init__(
        self,
        bench: Bench,
        name: str,
        buffers: dict[int, CbState],
        *,
        pauses: Pauses | None = None,
        eager: bool = False,
    ) -> None:
        self.name = name
        self._top = str(getattr(bench.dut, "_name", ""))
        self.buffers = buffers
        self.eager = eager
        self._pauses = pauses or always()
        self._rng = python_rng(f"cb table {name}")
        prefix = f"{name}__" if name else ""
        self._acquire = bench.monitor(f"{prefix}acquire", CbAcquire)
        self._done = None
        if bench.port(f"{prefix}done__valid") is not None:
            self._done = bench.monitor(f"{prefix}done", CbDone)
        self._in_reset = bench.port("rst")
        self._pins = {
            pin: bench.port(f"{prefix}{pin}")
            for pin in ("acquire__ready", "grant__valid", "grant__payload", "done__ready")
        }
        self.reset()
        bench.add(self)

    @property
    def acquires(self) -> list[dict[str, Any]]:
        """Every granted acquire, in order."""
        return self._acquire.items

    @property
    def dones(self) -> list[dict[str, Any]]:
        """Every report, in order."""
        return [] if self._done is None else self._done.items

    def sample(self, cycle: int) -> None:
        """Move the pointers as the last edge asked for."""
        if self._in_reset.value:  # what comes before the first reset is random
            self.reset()
            return
        for item in self.dones[self._n_dones :]:
            producer = item["role"] is CbRole.PRODUCER
            self.buffers[item["cb"]].done(producer=producer, advance=item["advance"])
        self._n_dones = len(self.dones)
        self._grant = None
        for item in self.acquires[self._n_acquires :]:
            state = self.buffers[item["cb"]]
            producer = item["role"] is CbRole.PRODUCER
            pointer = state.grant(producer=producer, advance=item["advance"])
            if pointer + item["extent"] > state.depth:
                cover_wrap(self._top, self.name)
            self._grant = {"base": state.base, "depth": state.depth, "pointer": pointer}
        self._n_acquires = len(self.acquires)

    def drive(self) -> None:
        """Answer the acquire that was taken, and take the next if its buffer allows it."""
        self._pins["grant__valid"].value = int(self._grant is not None)
        if self._grant is not None:
            self._pins["grant__payload"].value = pack(CbGrant, self._grant)
        self._pins["acquire__ready"].value = int(self.eager or self._allows())
        if self._done is not None:
            self._pins["done__ready"].value = int(not self._pauses(self._rng))

    def reset(self) -> None:
        """Forget what was asked; the buffers stay as they are."""
        self._grant: dict[str, int] | None = None
        self._n_acquires, self._n_dones = len(self.acquires), len(self.dones)
        for pin in ("acquire__ready", "grant__valid", "done__ready"):
            if self._pins[pin] is not None:
                self._pins[pin].value = 0

    def _allows(self) -> bool:
        """Whether the acquire that waits may go; seen in the cycle before, it still waits."""
        if not self._acquire.valid or self._acquire.ready or self._pauses(self._rng):
            return False
        item = unpack(CbAcquire, self._acquire.payload)
        producer = item["role"] is CbRole.PRODUCER
        return self.buffers[item["cb"]].allows(producer=producer, extent=item["extent"])
