# SPDX-License-Identifier: Apache-2.0
"""The memory array of local memory: a crossbar and banks, or what stands for them in Verilator.

Sixteen banks that each select among a dozen words of 256 bits take Verilator longer to simulate
than everything around them, and over a minute to build. But slots that were granted never meet in
a bank, so all of it acts like one memory with many ports. The emitted Verilog holds both: where
`VERILATOR` is defined the one memory below, elsewhere (synthesis, other simulators) the crossbar.
Amaranth's simulator and proofs see the crossbar, and the bench of local memory runs on both.
"""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.config.element import LsConfig
from hw.lib.emit_once import EmitOnce, current_emission
from hw.pe.ls.crossbar import LsCrossbar, array_signature

__all__ = ["LsArray", "array_verilog"]


class LsArray(wiring.Component):
    """Banks of local memory, seen from slots that never ask for the same bank in one cycle.

    Operation: see the module's docstring; both forms are alike cycle by cycle.

    Timing: reads take two cycles; see `array_signature`.

    Parameters
    ----------
    config : sizes.
    n_reads, n_writes : slots.
    one_memory : False keeps the crossbar in Verilator too.

    Members: see `array_signature`.
    """

    def __init__(
        self, *, config: LsConfig, n_reads: int, n_writes: int, one_memory: bool = True
    ) -> None:
        self.config = config
        self.n_reads = n_reads
        self.n_writes = n_writes
        self.one_memory = one_memory
        super().__init__(array_signature(config, n_reads, n_writes))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sizes = {"config": self.config, "n_reads": self.n_reads, "n_writes": self.n_writes}
        emission = current_emission()
        if emission is None or not self.one_memory:
            m.submodules.crossbar = crossbar = LsCrossbar(**sizes)
            wiring.connect(m, wiring.flipped(self), crossbar)
            return m
        suffix = (
            f"{self.config.banks}x{self.config.word_bytes}b_{self.config.words}"
            f"_r{self.n_reads}_w{self.n_writes}{'' if self.config.parity else '_plain'}"
            f"{'_two_port' if self.config.two_port else ''}"
        )
        crossbar = EmitOnce(LsCrossbar, key=f"ls_crossbar_{suffix}", **sizes)
        crossbar._MustUse__used = True  # its instance is in the text
        emission.add_shared(crossbar)
        name = f"ls_array_{suffix}"
        emission.add_verilog(name, array_verilog(name, crossbar.key, **sizes))
        ports = {
            f"{'i' if member.flow is In else 'o'}_{'__'.join(map(str, path))}": value
            for path, member, value in self.signature.flatten(self)
        }
        m.submodules.array = Instance(
            name, i_clk=ClockSignal(), i_rst=ResetSignal(allow_reset_less=True), **ports
        )
        return m


def array_verilog(
    name: str, crossbar: str, *, config: LsConfig, n_reads: int, n_writes: int
) -> str:
    """Verilog module `name`: one memory in Verilator, an instance of module `crossbar` elsewhere.

    Reads come first in the one block, and are a cycle late, so they see what was there before the
    writes of their own cycle's successor. The parity of a word is kept in the form in which it
    costs least to compare, a number of `chunk` bits per chunk of bytes, and a bit per byte is made
    from it only where it is wrong.
    """
    word, mask = 8 * config.word_bytes, config.word_bytes
    chunk = 8 * min(8, config.word_bytes)
    address_width = (config.words - 1).bit_length()
    ports = [("input", 1, "clk"), ("input", 1, "rst"), ("input", mask, "inject")]
    for i in range(n_reads):
        ports += [("input", config.banks, f"r_bank__{i}")]
        ports += [("input", address_width, f"r_address__{i}"), ("output reg", word, f"r_data__{i}")]
        ports += [("output reg", mask, f"r_error__{i}")]
    for i in range(n_writes):
        ports += [("input", config.banks, f"w_bank__{i}")]
        ports += [("input", address_width, f"w_address__{i}"), ("input", word, f"w_data__{i}")]
        ports += [("input", mask, f"w_mask__{i}")]
    header = ",\n  ".join(f"{kind} [{width - 1}:0] {port}" for kind, width, port in ports)
    texts = {
        "chunk": chunk,
        "word": word,
        "mask": mask,
        "address": address_width,
        "last": config.words - 1,
        "ones": f"{{{chunk // 8}{{8'h01}}}}",
        "fold": " | ".join(
            f"(bit_per_byte(data[{chunk * i} +: {chunk}]) << {i})" for i in range(word // chunk)
        ),
    }
    lines = [f"module {name}(\n  {header}\n);", "`ifdef VERILATOR", _STORAGE % texts]
    if config.parity:
        lines.append(_PARITY % texts)
    lines.append(_STORE % texts if config.parity else _STORE_PLAIN % texts)
    for i in range(n_reads):
        lines.append(f"  reg reading{i};\n  reg [{address_width - 1}:0] r_address_q{i};")
        lines.append(f"  reg [{word - 1}:0] r_word{i};\n  reg [{chunk - 1}:0] r_wrong{i};")
    lines.append("  always @(posedge clk) begin")
    for i in range(n_reads):
        lines.append(_READ % {"i": i})
        lines.append(_CHECK % {"i": i} if config.parity else f"      r_error__{i} <= 0;")
        lines.append(_READ_END % {"i": i})
    for i in range(n_writes):
        lines.append(f"    if (w_bank__{i} != 0) store(w_address__{i}, w_data__{i}, w_mask__{i});")
    lines += ["  end", "`else", f"  {crossbar} crossbar("]
    lines += [",\n".join(f"    .{port}({port})" for _, _, port in ports), "  );", "`endif"]
    lines.append("endmodule")
    return "\n".join(lines) + "\n"


_STORAGE = """\
  // verilator lint_off BLKSEQ
  reg [%(word)d-1:0] mem [0:%(last)d];

  function automatic [%(word)d-1:0] bits_of(input [%(mask)d-1:0] bytes);
    /*verilator no_inline_task*/
    integer i;
    for (i = 0; i < %(mask)d; i = i + 1) bits_of[8 * i +: 8] = {8{bytes[i]}};
  endfunction
"""

_PARITY = """\
  reg [%(chunk)d-1:0] parity [0:%(last)d];

  function automatic [%(chunk)d-1:0] bit_per_byte(input [%(chunk)d-1:0] data);
    reg [%(chunk)d-1:0] x;
    begin
      x = data ^ (data >> 4);
      x = x ^ (x >> 2);
      bit_per_byte = (x ^ (x >> 1)) & %(ones)s;
    end
  endfunction

  // Parity of byte b of chunk c in bit 8 * b + c.
  function automatic [%(chunk)d-1:0] word_parity(input [%(word)d-1:0] data);
    word_parity = %(fold)s;
  endfunction

  function automatic [%(chunk)d-1:0] by_chunk(input [%(mask)d-1:0] bytes);
    /*verilator no_inline_task*/
    integer i;
    begin
      by_chunk = 0;
      for (i = 0; i < %(mask)d; i = i + 1)
        by_chunk[8 * (i %% (%(chunk)d / 8)) + i / (%(chunk)d / 8)] = bytes[i];
    end
  endfunction

  function automatic [%(mask)d-1:0] by_byte(input [%(chunk)d-1:0] bits);
    /*verilator no_inline_task*/
    integer i;
    for (i = 0; i < %(mask)d; i = i + 1)
      by_byte[i] = bits[8 * (i %% (%(chunk)d / 8)) + i / (%(chunk)d / 8)];
  endfunction
"""

_STORE = """\
  task automatic store(
    input [%(address)d-1:0] address, input [%(word)d-1:0] data, input [%(mask)d-1:0] mask);
    if (&mask & ~|inject) begin
      mem[address] = data;
      parity[address] = word_parity(data);
    end else begin
      mem[address] = (mem[address] & ~bits_of(mask)) | (data & bits_of(mask));
      parity[address] = (parity[address] & ~by_chunk(mask))
        | ((word_parity(data) ^ by_chunk(inject)) & by_chunk(mask));
    end
  endtask
"""

_STORE_PLAIN = """\
  task automatic store(
    input [%(address)d-1:0] address, input [%(word)d-1:0] data, input [%(mask)d-1:0] mask);
    if (&mask) mem[address] = data;
    else mem[address] = (mem[address] & ~bits_of(mask)) | (data & bits_of(mask));
  endtask
"""

_READ = """\
    if (reading%(i)d) begin
      r_word%(i)d = mem[r_address_q%(i)d];
      r_data__%(i)d <= r_word%(i)d;"""

_CHECK = """\
      r_wrong%(i)d = word_parity(r_word%(i)d) ^ parity[r_address_q%(i)d];
      r_error__%(i)d <= 0;
      if (r_wrong%(i)d != 0) r_error__%(i)d <= by_byte(r_wrong%(i)d);"""

_READ_END = """\
    end
    reading%(i)d = r_bank__%(i)d != 0;
    if (reading%(i)d) r_address_q%(i)d = r_address__%(i)d;"""
