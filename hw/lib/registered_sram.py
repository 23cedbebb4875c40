# SPDX-License-Identifier: Apache-2.0
"""A memory with a register at its output, which an FPGA's block RAM has for nothing.

Synthesis tools put such a register into the fabric, a flip-flop for each bit, and time the slow
output of the block RAM in front of it. So this wrapper names the block where the emission's target
has one (`Emission.target`); everywhere else it is `DualPortSram` and a register.
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import current_emission
from hw.lib.sram import DualPortSram

__all__ = ["RegisteredSram", "ecp5_block"]

ECP5_BLOCK_WIDTH = 36
"""Bits of a word of the ECP5's DP16KD with a port for writes and one for reads."""
ECP5_BLOCK_DEPTH = 512
"""Words of it."""
_QUARTER = 9
"""Bits of a word that are written together."""


class RegisteredSram(wiring.Component):
    """Memory with a read port, a write port, and a register behind what was read.

    Operation: `r_en` reads `r_addr`, or zeros with `r_zero`; `o_en` takes what was read last into
    the register. Lanes of `w_mask` are written at `w_addr`, but not of a word that is read, or
    that was read last and will be taken. Contents are undefined until written. Nothing is reset,
    and no enable of the parent's clock domain is heard.

    Timing: what is read in a cycle can be taken from the next cycle on, and is in `r_data` the
    cycle after that. One read and one write per cycle.

    Parameters
    ----------
    width : bits of a word.
    depth : number of words.
    lane_width : bits for each bit of the write mask.

    Members
    -------
    r_en, r_zero : In(1), read.
    r_addr : In(range(depth)), word to read.
    o_en : In(1), take what was read.
    w_mask : In(width // lane_width), lanes to write.
    w_addr : In(range(depth)), word to write.
    w_data : In(width), data to write.
    r_data : Out(width), the register.

    Raises: ValueError when a size is not positive or lanes do not divide the word.

    Resources: on an ECP5, for up to 256 words and lanes of up to 36 bits, one DP16KD for each lane,
    or for 4 lanes of up to 9 bits; zeros are words behind the others, which are never written.
    """

    def __init__(self, *, width: int, depth: int, lane_width: int) -> None:
        self._plain = DualPortSram(width=width, depth=depth, lane_width=lane_width, keeps_old=False)
        self.width = width
        self.depth = depth
        self.lane_width = lane_width
        super().__init__(
            {
                "r_en": In(1),
                "r_zero": In(1),
                "r_addr": In(range(depth)),
                "o_en": In(1),
                "w_mask": In(width // lane_width),
                "w_addr": In(range(depth)),
                "w_data": In(width),
                "r_data": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        emission = current_emission()
        fits = 2 << (self.depth - 1).bit_length() <= ECP5_BLOCK_DEPTH
        if emission is None or emission.target != "ecp5" or not fits:
            self._elaborate_plain(m)
        elif self.lane_width > ECP5_BLOCK_WIDTH:
            self._elaborate_plain(m)
        else:
            self._elaborate_blocks(m)
        return m

    def _elaborate_plain(self, m: Module) -> None:
        """A memory, and a register in the fabric."""
        m.submodules.memory = memory = self._plain
        zero = Signal(reset_less=True)
        register = Signal(self.width, reset_less=True)
        m.d.comb += [
            memory.r_en.eq(self.r_en & ~self.r_zero),
            memory.r_addr.eq(self.r_addr),
            memory.w_mask.eq(self.w_mask),
            memory.w_addr.eq(self.w_addr),
            memory.w_data.eq(self.w_data),
            self.r_data.eq(register),
        ]
        with m.If(self.r_en):
            m.d.sync += zero.eq(self.r_zero)
        with m.If(self.o_en):
            m.d.sync += register.eq(Mux(zero, 0, memory.r_data))

    def _elaborate_blocks(self, m: Module) -> None:
        """Blocks of one lane each, or of four that are narrow.

        Their clock enable stays high, since it may hold the output register as well; what was read
        stays at hand because its address does.
        """
        self._plain._MustUse__used = True  # the blocks are in its place
        kept = Signal(len(self.r_addr) + 1, reset_less=True)
        address = Signal.like(kept)
        m.d.comb += address.eq(Mux(self.r_en, Cat(self.r_addr, self.r_zero), kept))
        m.d.sync += kept.eq(address)
        narrow = self.lane_width <= _QUARTER
        n_lanes, pitch = (4, _QUARTER) if narrow else (1, self.lane_width)
        for first in range(0, len(self.w_mask), n_lanes):
            lanes = range(first, min(first + n_lanes, len(self.w_mask)))
            writes = self.w_mask[first : first + len(lanes)]
            words = {}
            for port in ("w_data", "r_data"):
                words[port] = Signal(pitch * len(lanes), name=f"{port}{first}")
                for number, lane in enumerate(lanes):
                    inner = words[port][pitch * number : pitch * number + self.lane_width]
                    outer = getattr(self, port).word_select(lane, self.lane_width)
                    m.d.comb += inner.eq(outer) if port == "w_data" else outer.eq(inner)
            m.submodules[f"block{first}"] = ecp5_block(
                clk=ClockSignal(),
                read=address,
                o_en=self.o_en,
                writes=writes.any(),
                quarters=writes if narrow else Const(-1, 4),
                write=Cat(self.w_addr, Const(0, 1)),
                **words,
            )


def ecp5_block(
    *,
    clk: Any,
    read: Value,
    o_en: Any,
    writes: Any,
    quarters: Value,
    write: Value,
    w_data: Any,
    r_data: Value,
) -> Instance:
    """A DP16KD of 512 words of 36 bits: port A writes, port B reads through the output register.

    A word's upper half goes in and comes out at port B's data, its lower half at port A's. The low
    four bits of the write address are enables of the word's quarters.
    """
    pins: dict[str, Any] = {
        "p_DATA_WIDTH_A": 36,
        "p_DATA_WIDTH_B": 36,
        "p_REGMODE_A": "OUTREG",
        "p_REGMODE_B": "OUTREG",
        "p_RESETMODE": "SYNC",
        "p_ASYNC_RESET_RELEASE": "SYNC",
        "p_CSDECODE_A": "0b000",
        "p_CSDECODE_B": "0b000",
        "p_CLKAMUX": "CLKA",
        "p_CLKBMUX": "CLKB",
        "p_GSR": "AUTO",
        "i_WEA": Const(1, 1),
        "i_CEA": writes,
        "i_WEB": Const(0, 1),
        "i_CEB": Const(1, 1),
    }
    for port in "AB":
        pins |= {f"i_CLK{port}": clk, f"i_OCE{port}": o_en, f"i_RST{port}": Const(0, 1)}
        pins |= {f"i_CS{port}{bit}": Const(0, 1) for bit in range(3)}
    places = {
        "A": Cat(quarters, Const(0, 1 + 4 - len(quarters)), write),
        "B": Cat(Const(0, 5), read),
    }
    for port, place in places.items():
        for bit in range(14):
            pins[f"i_AD{port}{bit}"] = place[bit] if bit < len(place) else Const(0, 1)
    half = ECP5_BLOCK_WIDTH // 2
    for bit in range(ECP5_BLOCK_WIDTH):
        pin = f"{'BA'[bit < half]}{bit % half}"
        pins[f"i_DI{pin}"] = w_data[bit] if bit < len(w_data) else Const(0, 1)
        if bit < len(r_data):
            pins[f"o_DO{pin}"] = r_data[bit]
    return Instance("DP16KD", **pins)
