# SPDX-License-Identifier: Apache-2.0
"""Other forms of a bench's design: with mutants in it, or synthesised for an FPGA.

`MUTANTS=n` puts n mutants (Yosys `mutate`) into every design, behind one number; `MUTANT=i` is the
number that is alive, 0 for none, so one build serves all of them. `MUTATE_NAME` limits this to the
bench of that name. `NETLIST=ecp5` runs benches on the netlist of LUTs and flip-flops that Yosys
makes for a Lattice ECP5.
"""

import functools
import importlib.metadata
import os
import re
import tempfile
from pathlib import Path

from amaranth.lib import wiring

from hw.generate import emit_verilog
from tb.common.mutant_choice import Netlist

__all__ = ["MUTANT_PORT", "design_verilog", "simulator_arguments", "verilator_arguments"]

MUTANT_PORT = "mutant"
_MUTANT_BITS = 12
_MUTATE_SEED = 1
# Not the models of library cells. Write ports of memory macros have data bits that no mask ever
# enables, and a clock gate is so small that most of its mutants stop everything.
_DESIGN = "* sram_1rw_* %d sram_1r1w_* %d clock_gate %d"
_CELL_NAMES = ("LUT2", "LUT4", "L6MUX21", "PFUMX", "CCU2C", "TRELLIS_FF", "TRELLIS_DPR16X4")
# Found without loading it, since other packages may not be loaded after it in one process.
_CELLS = Path(str(importlib.metadata.distribution("pyosys").locate_file("pyosys/share/ecp5")))


def design_verilog(component: wiring.Component, *, name: str) -> str:
    """Verilog of `component` in the form that the environment asks for."""
    n_mutants = int(os.environ.get("MUTANTS", "0"))
    if n_mutants and os.environ.get("MUTATE_NAME", name) == name:
        return _with_mutants(component, name, n_mutants)
    if os.environ.get("NETLIST") == "ecp5":
        return _ecp5_netlist(component, name)
    return emit_verilog(component, name=name)


def simulator_arguments() -> list[str]:
    """Arguments that choose the mutant."""
    mutant = os.environ.get("MUTANT", "")
    return [f"+{MUTANT_PORT}={mutant}"] if mutant else []


def verilator_arguments() -> tuple[str, ...]:
    """A variant is not written to be read, and a mutant may well close a loop: no warning stops."""
    is_variant = os.environ.get("MUTANTS") or os.environ.get("NETLIST")
    return ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-SPECIFYIGN") if is_variant else ()


def _with_mutants(component: wiring.Component, name: str, n_mutants: int) -> str:
    """All mutants at once: each is active when the top's `mutant` holds its number."""
    # Without constant and unused bits, in which a mutant would change nothing.
    prepare = ("proc", "opt", "wreduce", "opt", "memory_collect")
    with tempfile.TemporaryDirectory() as folder:
        chosen, netlist = Path(folder, "mutants.txt"), Path(folder, "prepared.il")
        choose = f"mutate -list {n_mutants} -seed {_MUTATE_SEED} -o {chosen} {_DESIGN}"
        emit_verilog(component, name=name, passes=(*prepare, f"write_rtlil {netlist}", choose))
        prepared = Netlist.read(netlist.read_text())
        lines = [
            line for line in chosen.read_text().splitlines() if not prepared.changes_nothing(line)
        ]
    switch = f"mutate -ctrl {MUTANT_PORT} {_MUTANT_BITS}"
    mutants = tuple(
        line.replace("mutate", f"{switch} {number}", 1) for number, line in enumerate(lines, 1)
    )
    text = emit_verilog(component, name=name, passes=(*prepare, *mutants))
    return _mutant_from_argument(text, name) + _as_comments(lines)


def _mutant_from_argument(text: str, top: str) -> str:
    """The top's mutant number comes from the simulator's command line in place of a port."""
    match = re.search(rf"^module {re.escape(top)}\(.*?^endmodule\n", text, re.DOTALL | re.MULTILINE)
    assert match is not None, f"There is no module {top} in the Verilog."
    module = re.sub(rf", {MUTANT_PORT}\b", "", match[0], count=1)
    declaration = rf"  input \[\d+:0\] {MUTANT_PORT};\n  wire \[(\d+):0\] {MUTANT_PORT};\n"
    source = (
        rf"  reg [\1:0] {MUTANT_PORT};" + "\n"
        rf'  initial if (!$value$plusargs("{MUTANT_PORT}=%d", {MUTANT_PORT})) {MUTANT_PORT} = 0;'
        "\n"
    )
    return text[: match.start()] + re.sub(declaration, source, module) + text[match.end() :]


def _as_comments(lines: list[str]) -> str:
    """What each number stands for, for whoever looks at a survivor."""
    return "".join(f"// mutant {number}: {line}\n" for number, line in enumerate(lines, 1))


def _ecp5_netlist(component: wiring.Component, name: str) -> str:
    """LUTs, carries and flip-flops, with the vendor cells' models behind them.

    Block RAMs and multipliers are made of the same cells, since the open library has no complete
    simulation models of the hard ones.
    """
    synthesise = f"synth_ecp5 -nobram -nodsp -noabc9 -top {name}"
    text = emit_verilog(component, name=name, clock_gating=False, passes=(synthesise,))
    return text + _ecp5_cells()


@functools.cache
def _ecp5_cells() -> str:
    """Models of the cells that such a netlist has, without their timing."""
    files = ("cells_sim.v", "ccu2c_sim.vh", "common_sim.vh")
    text = "\n".join((_CELLS / file).read_text() for file in files)
    text = re.sub(r"^\s*specify\b.*?^\s*endspecify\n", "", text, flags=re.DOTALL | re.MULTILINE)
    modules = re.findall(r"^module \w+\b.*?^endmodule\n", text, re.DOTALL | re.MULTILINE)
    return "\n".join(text for text in modules if re.match(r"module (\w+)", text)[1] in _CELL_NAMES)
