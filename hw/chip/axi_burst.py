# SPDX-License-Identifier: Apache-2.0
"""Takes an AXI4 burst apart into its beats, and says where each goes."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS, CONTROL, DRAM, SRAM
from hw.chip.crossbar import exists, in_window
from hw.iface.axi import AxiBurst

__all__ = ["BurstWalker", "Target", "beat_layout", "burst_layout"]

_PAGE_BITS = 12  # a burst never crosses 4 KB, so only these bits of its address move
_CONTROL_SIZE = 2  # AXI's code for beats of 4 bytes
_LARGEST_SIZE = 7  # and for beats of 128 bytes


class Target(enum.Enum, shape=2):
    """Where a beat goes."""

    MEMORY = 0
    CONTROL = 1
    REFUSED = 2
    """SLVERR: the chip does not know how to do this."""
    NOWHERE = 3
    """DECERR: nothing is there."""


def burst_layout(id_width: int) -> data.StructLayout:
    """What an address channel carries."""
    return data.StructLayout(
        {"id": id_width, "addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2}
    )


def beat_layout(id_width: int) -> data.StructLayout:
    """One beat: its address (of the first byte), where it goes, whether it ends the burst."""
    return data.StructLayout({"id": id_width, "address": ADDRESS_BITS, "target": Target, "last": 1})


class BurstWalker(wiring.Component):
    """Turns each burst into its beats.

    Operation: the address of every beat after the first is aligned to the beat's size. Only INCR
    bursts are known (a single beat may be of any kind); others, beats wider than `data_bytes`, and
    accesses to control registers that are not 4 bytes wide are REFUSED, beat by beat.

    Timing: the first beat stands at `beat` 1 cycle after the burst was taken; one beat per cycle,
    burst after burst without a gap. Combinational path from `beat.ready` to `burst.ready`.

    Parameters
    ----------
    id_width : bits of an ID.
    data_bytes : bytes of the widest beat.
    sram_bytes, dram_bytes, local_bytes : how much of each memory exists.
    control_bytes : how much of the control region exists, a power of two.
    rows, columns : elements that have a local memory.

    Members
    -------
    burst : In(stream.Signature(burst_layout(id_width))).
    beat : Out(stream.Signature(beat_layout(id_width))).

    Raises: ValueError when one of the memories ends inside a page of 4096 bytes.
    """

    def __init__(
        self,
        *,
        id_width: int,
        data_bytes: int,
        sram_bytes: int,
        dram_bytes: int,
        local_bytes: int,
        control_bytes: int,
        rows: int = 1,
        columns: int = 1,
    ) -> None:
        amounts = {"sram": sram_bytes, "dram": dram_bytes, "local": local_bytes}
        for name, amount in (amounts | {"control": control_bytes}).items():
            if amount % (1 << _PAGE_BITS):
                raise ValueError(f"{name}_bytes is {amount}; it must be a multiple of 4096.")
        self.id_width, self.control_bytes = id_width, control_bytes
        self.size = data_bytes.bit_length() - 1
        self.sizes = ((SRAM, sram_bytes), (DRAM, dram_bytes))
        self.windows = {"rows": rows, "columns": columns, "size_bytes": local_bytes}
        super().__init__(
            {
                "burst": In(stream.Signature(burst_layout(id_width))),
                "beat": Out(stream.Signature(beat_layout(id_width))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        now = Signal(self.burst.payload.shape())  # the burst, at the beat that is offered
        # The same for all beats, as no memory ends inside a page: found as the burst comes.
        target = Signal(Target)
        valid = Signal()
        m.d.comb += [
            self.beat.valid.eq(valid),
            self.beat.payload.id.eq(now.id),
            self.beat.payload.address.eq(now.addr),
            self.beat.payload.target.eq(target),
            self.beat.payload.last.eq(now.len == 0),
            self.burst.ready.eq(~valid | (self.beat.ready & self.beat.payload.last)),
        ]
        with m.If(self.burst.ready):
            m.d.sync += valid.eq(self.burst.valid)
            with m.If(self.burst.valid):
                m.d.sync += [
                    now.eq(self.burst.payload),
                    target.eq(self._target(self.burst.payload)),
                ]
        with m.Elif(self.beat.ready):
            page = now.addr[:_PAGE_BITS]
            inside = Cat(now.size > bit for bit in range(_LARGEST_SIZE))  # bits below the beat's
            m.d.sync += [now.len.eq(now.len - 1), page.eq((page | inside) + 1)]
        return m

    def _target(self, burst: Any) -> Value:
        """Where the beats of a burst go."""
        shared = [exists(burst.addr, *size) for size in self.sizes]
        memory = Cat(*shared, in_window(burst.addr, **self.windows)).any()
        control = exists(burst.addr, CONTROL, self.control_bytes)
        steps = (burst.burst == AxiBurst.INCR.value) | (burst.len == 0)
        known = steps & (burst.size <= self.size)
        return Mux(
            ~(memory | control),
            Target.NOWHERE,
            Mux(
                ~known | (control & (burst.size != _CONTROL_SIZE)),
                Target.REFUSED,
                Mux(control, Target.CONTROL, Target.MEMORY),
            ),
        )
