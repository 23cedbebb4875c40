# SPDX-License-Identifier: Apache-2.0
"""Save files for GTKWave: names for values, units first, floats as numbers."""

import subprocess
from pathlib import Path

import pytest
from vcd import VCDWriter

from sim.waves import fsm_names, has_instance, write_save_file

RTLIL = """
module \\chip.reader
  attribute \\enum_base_type "State"
  attribute \\enum_value_0 "IDLE"
  attribute \\enum_value_1 "READ_LINE"
  wire width 1 \\fsm_state
  wire width 4 \\other
end
"""


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    """A small waveform with a unit's status and a state machine."""
    path = tmp_path / "dump.vcd"
    with path.open("w") as file, VCDWriter(file, timescale="1 ns") as writer:
        for scope, name, width in (
            ("chip.reader", "fsm_state", 1),
            ("chip.pe.dpe", "control__status.state", 4),
            ("chip.pe.dpe", "control__status.opcode", 8),
            ("chip.pe.dpe", "fp32_valid", 1),
            ("chip.pe.dpe", "o__valid", 1),
        ):
            writer.register_var(scope, name, "wire", size=width, init=0)
    return path


def test_fsm_names_are_read_from_the_netlist() -> None:
    """Would break if state names got lost, or stuck to the wrong wire."""
    assert fsm_names(RTLIL) == {("chip.reader", "fsm_state"): {0: "IDLE", 1: "READ_LINE"}}


def test_states_and_opcodes_have_names(waves: Path) -> None:
    """Would break if the viewer showed numbers where the architecture has names."""
    save = write_save_file(waves, enumerations=fsm_names(RTLIL)).read_text()
    folder = waves.parent / "translate"
    assert "42 MML" in (folder / "opcode.txt").read_text()
    assert "2 WAIT_CB_DATA" in (folder / "state.txt").read_text()
    assert "1 READ_LINE" in (folder / "chip_reader_fsm_state.txt").read_text()
    units = save[save.index("-units") : save.rindex("-units")]
    assert "{dpe state} chip.pe.dpe.control__status.state[3:0]" in units
    assert f"{folder / 'state.txt'}" in units
    assert "chip.pe.dpe.o__valid" in save


@pytest.mark.parametrize(("text", "value"), [("3C00", "1"), ("3FC00000", "1.5"), ("x", "x")])
def test_the_filter_shows_floats(waves: Path, text: str, value: str) -> None:
    """Would break if GTKWave's filter process misread a bit pattern."""
    write_save_file(waves)
    program = waves.parent / "translate" / "float.py"
    run = subprocess.run([program], input=text + "\n", capture_output=True, text=True, check=True)
    assert run.stdout.strip() == value


VERILOG = """
module top(clk);
  \\top.pe  pe (
    .clk(clk)
  );
endmodule
module \\top.pe (clk);
  engine dpe (
    .clk(clk)
  );
endmodule
module engine(clk);
endmodule
"""


@pytest.mark.parametrize(
    ("path", "exists"),
    [("", True), ("pe", True), ("pe.dpe", True), ("dpe", False), ("pe.dpe.x", False)],
)
def test_instances_are_known_by_their_path(path: str, exists: bool) -> None:
    """Would break if a mistyped scope reached Verilator, which aborts over it."""
    assert has_instance(VERILOG, "top", path) is exists
