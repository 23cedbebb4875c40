# SPDX-License-Identifier: Apache-2.0
"""The memories of the accumulator banks, or what stands for them in Verilator.

As in local memory (`hw.pe.ls.array`): readers and writers never meet in a bank, so all banks act
like one memory with many ports, which takes Verilator far less time than selections of whole rows
before and behind each bank. The emitted Verilog holds both; where `VERILATOR` is defined the one
memory counts. Amaranth's simulator, proofs and synthesis see the banks, and the bench runs on both.
"""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.lib.emit_once import EmitOnce, current_emission
from hw.pe.re.banks import READERS, WRITERS, AccumulatorBanks, banks_signature

__all__ = ["AccumulatorArray", "array_verilog"]


class AccumulatorArray(wiring.Component):
    """Accumulator banks; see the module's docstring for their form in Verilator.

    Operation: as `AccumulatorBanks`.

    Parameters
    ----------
    banks, rows, columns : sizes.
    one_memory : False keeps the banks in Verilator too.

    Members: see `banks_signature`.
    """

    def __init__(
        self,
        *,
        banks: int,
        rows: int,
        columns: int,
        one_memory: bool = True,
    ) -> None:
        self.sizes = {"banks": banks, "rows": rows, "columns": columns}
        self.one_memory = one_memory
        super().__init__(banks_signature(**self.sizes))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        emission = current_emission()
        if emission is None or not self.one_memory:
            m.submodules.banks = banks = AccumulatorBanks(**self.sizes)
            wiring.connect(m, wiring.flipped(self), banks)
            return m
        suffix = "x".join(str(size) for size in self.sizes.values())
        banks = EmitOnce(AccumulatorBanks, key=f"re_banks_{suffix}", **self.sizes)
        banks._MustUse__used = True  # its instance is in the text
        emission.add_shared(banks)
        name = f"re_array_{suffix}"
        emission.add_verilog(name, array_verilog(name, banks.key, **self.sizes))
        ports = {
            f"{'i' if member.flow is In else 'o'}_{'__'.join(map(str, path))}": value
            for path, member, value in self.signature.flatten(self)
        }
        m.submodules.array = Instance(
            name, i_clk=ClockSignal(), i_rst=ResetSignal(allow_reset_less=True), **ports
        )
        return m


def array_verilog(name: str, banks_module: str, *, banks: int, rows: int, columns: int) -> str:
    """Verilog module `name`: one memory in Verilator, an instance of `banks_module` elsewhere.

    Reads come first in the one block, so they see what was there before the writes of their cycle.
    """
    signature = banks_signature(banks=banks, rows=rows, columns=columns)
    ports = [("input", 1, "clk"), ("input", 1, "rst")]
    for port, member in signature.members.items():
        kind = "input" if member.flow is In else "output reg"
        ports.append((kind, member.shape if isinstance(member.shape, int) else None, port))
    index = {"bank": (banks - 1).bit_length(), "row": (rows - 1).bit_length()}
    header = []
    for kind, width, port in ports:
        bits = index[port.rpartition("_")[2]] if width is None else width
        header.append(f"{kind} [{bits - 1}:0] {port}")
    texts = {
        "row": 32 * columns,
        "columns": columns,
        "last": banks * rows - 1,
        "parity": ", ".join(f"^data[{32 * i} +: 32]" for i in reversed(range(columns))),
    }
    lines = [f"module {name}(\n  " + ",\n  ".join(header) + "\n);", "`ifdef VERILATOR"]
    lines.append(_STORAGE % texts)
    lines += [_READ % {"user": user} for user in READERS]
    lines += [_WRITE % {"user": user} for user in WRITERS]
    lines += ["  end", "`else", f"  {banks_module} banks("]
    lines += [",\n".join(f"    .{port}({port})" for _, _, port in ports), "  );", "`endif"]
    lines.append("endmodule")
    return "\n".join(lines) + "\n"


_STORAGE = """\
  // verilator lint_off BLKSEQ
  reg [%(row)d-1:0] values [0:%(last)d];
  reg [%(columns)d-1:0] check [0:%(last)d];

  function automatic [%(columns)d-1:0] word_parity(input [%(row)d-1:0] data);
    word_parity = {%(parity)s};
  endfunction

  always @(posedge clk) begin"""

_READ = """\
    if (%(user)s_en) begin
      %(user)s_data <= values[{%(user)s_bank, %(user)s_row}];
      %(user)s_parity <= check[{%(user)s_bank, %(user)s_row}];
    end"""

_WRITE = """\
    if (%(user)s_en) begin
      values[{%(user)s_bank, %(user)s_row}] = %(user)s_data;
      check[{%(user)s_bank, %(user)s_row}] = word_parity(%(user)s_data) ^ inject;
    end"""
