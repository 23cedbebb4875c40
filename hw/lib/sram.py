# SPDX-License-Identifier: Apache-2.0
"""The SRAM wrapper: every large memory of the chip is one of the two components of this file.

What stands behind the ports depends on where the design goes:

* Verilog (`hw.generate.emit_verilog`): an instance of a module named after the shape, for example
  `sram_1rw_d4096_w256_l8`, whose behavioural text has no initial contents. It simulates fast, FPGA
  tools infer block RAM from it, and a standard-cell flow leaves the text out and supplies macros
  of the same names (`SramShape.parse` reads the sizes back, `SramShape.black_box` writes stubs).
* Amaranth's simulator, proofs, and synthesis through Amaranth: `amaranth.lib.memory.Memory`.

`EnableInserter` and `ResetInserter` do not reach into the emitted module; gate the memory's own
enables instead. Contents at power-on are undefined. Verilator starts them at zero with `--x-initial
fast` and at random with `--x-initial unique` and `+verilator+rand+reset+2 +verilator+seed+N`.
"""

import re
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import current_emission

__all__ = ["DualPortSram", "Sram", "SramShape"]


@dataclass(frozen=True, kw_only=True)
class SramShape:
    """Size and ports of one SRAM: what a memory compiler has to be told.

    Parameters
    ----------
    n_ports : 1 for one port that reads or writes (1RW), 2 for a read and a write port (1R1W).
    depth : number of words.
    width : bits of a word.
    lane_width : bits that one bit of the write mask covers.
    keeps_old : a read of a word in the cycle in which it is written gives what was there before;
        False: it gives anything.

    Raises: ValueError for sizes that no such memory can have.
    """

    n_ports: int
    depth: int
    width: int
    lane_width: int
    keeps_old: bool = True

    def __post_init__(self) -> None:
        if self.n_ports not in (1, 2):
            raise ValueError(f"SRAM n_ports must be 1 or 2, not {self.n_ports!r}.")
        if self.depth < 2:
            raise ValueError(f"SRAM depth must be at least 2 words, not {self.depth!r}.")
        if self.width < 1:
            raise ValueError(f"SRAM width must be at least 1 bit, not {self.width!r}.")
        if self.lane_width < 1 or self.width % self.lane_width:
            raise ValueError(
                f"SRAM lane_width must divide the width of {self.width} bits, "
                f"which {self.lane_width!r} does not."
            )

    @property
    def n_lanes(self) -> int:
        """Bits of the write mask."""
        return self.width // self.lane_width

    @property
    def addr_width(self) -> int:
        """Bits of an address."""
        return (self.depth - 1).bit_length()

    @property
    def n_bits(self) -> int:
        """Capacity in bits."""
        return self.depth * self.width

    @property
    def module_name(self) -> str:
        """Name of the Verilog module, which holds all sizes."""
        ports = "1rw" if self.n_ports == 1 else "1r1w"
        suffix = "" if self.keeps_old else "_x"
        return f"sram_{ports}_d{self.depth}_w{self.width}_l{self.lane_width}{suffix}"

    @classmethod
    def parse(cls, module_name: str) -> "SramShape | None":
        """The shape that a module name stands for, or None if it names no SRAM."""
        match = re.fullmatch(r"sram_(1rw|1r1w)_d(\d+)_w(\d+)_l(\d+)(_x)?", module_name)
        if match is None:
            return None
        depth, width, lane_width = map(int, match.groups()[1:4])
        return cls(
            n_ports=1 if match[1] == "1rw" else 2,
            depth=depth,
            width=width,
            lane_width=lane_width,
            keeps_old=match[5] is None,
        )

    def verilog(self) -> str:
        """Behavioural Verilog module, without initial contents."""
        body = _SINGLE_PORT_BODY if self.n_ports == 1 else _DUAL_PORT_BODY
        words = {
            "width": self.width,
            "last": self.depth - 1,
            "lane": self.lane_width,
            "n_lanes": self.n_lanes,
            # Without it Yosys builds a bypass around block RAM, of a flip-flop for every bit.
            "check": "" if self.keeps_old else "(* no_rw_check *) ",
        }
        if self.n_ports == 1 and _is_deep(self):
            words["part"] = min(_BLOCK_BITS // self.depth, self.lane_width)
            body = f"`ifdef VERILATOR\n{body}`else\n{_DEEP_BODY}`endif\n"
        return f"{self._header()}\n{body % words}endmodule\n"

    def black_box(self) -> str:
        """Verilog stub for a flow that supplies a macro of this name."""
        return f"(* blackbox *)\n{self._header()}\nendmodule\n"

    def _header(self) -> str:
        word, mask, addr = self.width - 1, self.n_lanes - 1, self.addr_width - 1
        if self.n_ports == 1:
            ports = ["input en", f"input [{addr}:0] addr"]
        else:
            ports = ["input r_en", f"input [{addr}:0] r_addr", f"input [{addr}:0] w_addr"]
        ports = [
            "input clk",
            *ports,
            f"input [{mask}:0] w_mask",
            f"input [{word}:0] w_data",
            f"output reg [{word}:0] r_data",
        ]
        return f"module {self.module_name}(\n  " + ",\n  ".join(ports) + "\n);"


# Verilator keeps a pending write per lane for every non-blocking one and looks at all of them in
# every cycle. A blocking one is right as well, since only this block looks at the memory. Most
# writes are of whole words, which the simulator then copies at once.
_WRITE_LANES = """\
`ifdef VERILATOR
      /* verilator lint_off BLKSEQ */
      if (&w_mask) mem[{addr}] = w_data;
      else for (lane = 0; lane < %(n_lanes)d; lane = lane + 1)
        if (w_mask[lane])
          mem[{addr}][lane * %(lane)d +: %(lane)d] = w_data[lane * %(lane)d +: %(lane)d];
      /* verilator lint_on BLKSEQ */
`else
      for (lane = 0; lane < %(n_lanes)d; lane = lane + 1)
        if (w_mask[lane])
          mem[{addr}][lane * %(lane)d +: %(lane)d] <= w_data[lane * %(lane)d +: %(lane)d];
`endif
"""

_SINGLE_PORT_BODY = (
    """\
  reg [%(width)d-1:0] mem [0:%(last)d];
  integer lane;
  always @(posedge clk)
    if (en) begin
      if (w_mask == 0) r_data <= mem[addr];
      else
"""
    + _WRITE_LANES.format(addr="addr")
    + """\
    end
"""
)

_DUAL_PORT_BODY = (
    """\
  %(check)sreg [%(width)d-1:0] mem [0:%(last)d];
  integer lane;
  always @(posedge clk) begin
    if (r_en) r_data <= mem[r_addr];
    if (w_mask != 0)
"""
    + _WRITE_LANES.format(addr="w_addr")
    + """\
  end
"""
)


# As block RAMs of the full depth, side by side. Left to themselves tools take fewer and wider ones,
# and a multiplexer of several lookup tables for each bit behind them.
_BLOCK_BITS = 1 << 14
_DEEP_BODY = """\
  genvar part;
  generate
    for (part = 0; part < %(width)d; part = part + %(part)d) begin : parts
      reg [%(part)d-1:0] mem [0:%(last)d];
      always @(posedge clk)
        if (en) begin
          if (w_mask == 0) r_data[part +: %(part)d] <= mem[addr];
          else if (w_mask[part / %(lane)d]) mem[addr] <= w_data[part +: %(part)d];
        end
    end
  endgenerate
"""


def _is_deep(shape: SramShape) -> bool:
    """Whether a block RAM of this depth is narrower than a byte, and lanes consist of such."""
    part = _BLOCK_BITS // shape.depth
    return 1 <= part <= 4 and shape.lane_width % part == 0


class _SramBase(wiring.Component):
    """What both wrappers share: the shape as public attributes and the choice of what is behind."""

    def __init__(
        self,
        *,
        n_ports: int,
        width: int,
        depth: int,
        lane_width: int | None,
        ports: Any,
        keeps_old: bool = True,
    ) -> None:
        self.shape = SramShape(
            n_ports=n_ports,
            depth=depth,
            width=width,
            lane_width=width if lane_width is None else lane_width,
            keeps_old=keeps_old,
        )
        self.width = width
        self.depth = depth
        self.lane_width = self.shape.lane_width
        self.n_lanes = self.shape.n_lanes
        super().__init__(ports(self.shape))

    def elaborate(self, platform: Any) -> Module:
        emission = current_emission()
        if emission is None:
            return self._elaborate_memory()
        m = Module()
        emission.add_verilog(self.shape.module_name, self.shape.verilog())
        connections = {
            f"{'i' if member.flow is In else 'o'}_{name}": getattr(self, name)
            for name, member in self.signature.members.items()
        }
        m.submodules.macro = Instance(self.shape.module_name, i_clk=ClockSignal(), **connections)
        return m

    def _elaborate_memory(self) -> Module:
        """The Amaranth memory that stands for the SRAM outside of emitted Verilog."""
        m = Module()
        m.submodules.mem = mem = memory.Memory(shape=self.width, depth=self.depth, init=[])
        read, write = mem.read_port(), mem.write_port(granularity=self.lane_width)
        m.d.comb += [
            write.data.eq(self.w_data),
            self.r_data.eq(read.data),
        ]
        self._connect_memory(m, read, write)
        return m

    def _connect_memory(self, m: Module, read: Any, write: Any) -> None:
        raise NotImplementedError


class Sram(_SramBase):
    """Memory with one port that reads or writes a word per cycle (1RW).

    Operation: in a cycle with `en` high, an all-zero `w_mask` reads `addr`; any other mask writes
    the lanes whose mask bit is set and leaves the other lanes of the word as they are. Without
    `en` nothing happens. Contents are undefined until written; `addr` beyond the last word reads
    undefined data and writes nowhere.

    Timing: `r_data` shows the word in the cycle after the read and holds it until the cycle after
    the next read, through writes and idle cycles. One access per cycle. No combinational path.

    Parameters
    ----------
    width : bits of a word.
    depth : number of words.
    lane_width : bits per write mask bit; the whole word when None.

    Members
    -------
    en : In(1), access in this cycle.
    w_mask : In(n_lanes), lanes to write; zero reads.
    addr : In(range(depth)), word to access.
    w_data : In(width), data to write.
    r_data : Out(width), word of the latest read.

    Raises: ValueError when a size is not positive or lanes do not divide the word.
    """

    def __init__(self, *, width: int, depth: int, lane_width: int | None = None) -> None:
        super().__init__(
            n_ports=1,
            width=width,
            depth=depth,
            lane_width=lane_width,
            ports=lambda shape: {
                "en": In(1),
                "w_mask": In(shape.n_lanes),
                "addr": In(shape.addr_width),
                "w_data": In(shape.width),
                "r_data": Out(shape.width),
            },
        )

    def _connect_memory(self, m: Module, read: Any, write: Any) -> None:
        m.d.comb += [
            read.addr.eq(self.addr),
            write.addr.eq(self.addr),
            read.en.eq(self.en & (self.w_mask == 0)),
        ]
        with m.If(self.en):
            m.d.comb += write.en.eq(self.w_mask)


class DualPortSram(_SramBase):
    """Memory with a read port and a write port, each one word per cycle (1R1W).

    Operation: `r_en` reads `r_addr`; a `w_mask` other than zero writes its lanes at `w_addr`. A
    read and a write of the same word in one cycle read the old word, or with `keeps_old` False
    anything. Contents are undefined until written.

    Timing: `r_data` shows the word in the cycle after the read and holds it until the cycle after
    the next read. One read and one write per cycle. No combinational path.

    Parameters
    ----------
    width : bits of a word.
    depth : number of words.
    lane_width : bits per write mask bit; the whole word when None.
    keeps_old : False where no word is ever read while it is written: FPGAs do that for nothing.

    Members
    -------
    r_en : In(1), read in this cycle.
    r_addr : In(range(depth)), word to read.
    w_addr : In(range(depth)), word to write.
    w_mask : In(n_lanes), lanes to write; zero writes nothing.
    w_data : In(width), data to write.
    r_data : Out(width), word of the latest read.

    Raises: ValueError when a size is not positive or lanes do not divide the word.
    """

    def __init__(
        self, *, width: int, depth: int, lane_width: int | None = None, keeps_old: bool = True
    ) -> None:
        super().__init__(
            n_ports=2,
            width=width,
            depth=depth,
            lane_width=lane_width,
            keeps_old=keeps_old,
            ports=lambda shape: {
                "r_en": In(1),
                "r_addr": In(shape.addr_width),
                "w_addr": In(shape.addr_width),
                "w_mask": In(shape.n_lanes),
                "w_data": In(shape.width),
                "r_data": Out(shape.width),
            },
        )

    def _connect_memory(self, m: Module, read: Any, write: Any) -> None:
        m.d.comb += [
            read.addr.eq(self.r_addr),
            read.en.eq(self.r_en),
            write.addr.eq(self.w_addr),
            write.en.eq(self.w_mask),
        ]
