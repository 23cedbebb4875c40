# SPDX-License-Identifier: Apache-2.0
"""A chip whose tile is a model of its own behaves as the same chip in one model."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest
import pywellen

from sim.build_cache import BuildCache
from sim.compiled.tiles import TileSplit, split_tiles
from sim.toolchain import has_fst_headers
from sim.verilate import VerilatorJob, verilate, verilate_part
from tb.common.seeds import python_rng

HERE = Path(__file__).resolve().parent
HARNESS = HERE.parents[2] / "sim" / "compiled"
N_TILES = 3


def ports(*declared: tuple[str, str, str]) -> str:
    """Ports as Yosys writes them: direction, kind, and name with its range, in two statements."""
    return "\n".join(f"  {way} {name};\n  {kind} {name};" for way, kind, name in declared)


ADD_PORTS = ports(
    ("input", "wire", "[23:0] a"), ("input", "wire", "[23:0] b"), ("output", "wire", "[23:0] sum")
)
TILE_PORTS = ports(
    ("input", "wire", "clk"), ("input", "wire", "rst"), ("input", "wire", "[3:0] place"),
    ("input", "wire", "[23:0] x_i"), ("output", "reg", "[23:0] x_o"),
    ("input", "wire", "[99:0] wide__i"), ("output", "reg", "[99:0] wide__o"),
    ("input", "wire", "ready_i"), ("output", "wire", "ready_o"),
)  # fmt: skip
# Registered data from tile to tile, a wide one too, and `ready` that passes all tiles at once.
TILE = rf"""
module \tile.add (a, b, sum);
{ADD_PORTS}
  assign sum = a + b;
endmodule

module tile(clk, rst, place, x_i, x_o, wide__i, wide__o, ready_i, ready_o);
{TILE_PORTS}
  wire [23:0] sum;
  assign ready_o = ready_i ^ x_o[0];
  \tile.add  \adder  (
    .a(x_i),
    .b({{20'h0, place}}),
    .sum(sum)
  );
  always @(posedge clk) begin
    if (rst) begin x_o <= 0; wide__o <= 0; end
    else begin
      if (ready_i) x_o <= sum ^ wide__i[99:76];
      wide__o <= {{wide__i[98:0], ready_o}};
    end
  end
endmodule
"""


def chip_text() -> str:
    """The chip: tiles in a row, data from the first to the last, `ready` back."""
    tiles = "".join(
        f"""
  tile tile0_{i}(
    .clk(clk),
    .rst(rst),
    .place(4'd{3 * i + 1}),
    .x_i(x{i}),
    .x_o(x{i + 1}),
    .wide__i(w{i}),
    .wide__o(w{i + 1}),
    .ready_i(r{i + 1}),
    .ready_o(r{i})
  );"""
        for i in range(N_TILES)
    )
    nets = ", ".join(f"x{i}" for i in range(N_TILES + 1))
    wide = ", ".join(f"w{i}" for i in range(N_TILES + 1))
    ready = ", ".join(f"r{i}" for i in range(N_TILES + 1))
    return f"""{TILE}
module mtia_chip(clk, rst, x, ready, y, taken);
  input clk;
  input rst;
  input [6:0] x;
  input ready;
  output [23:0] y;
  output taken;
  wire [23:0] {nets};
  wire [99:0] {wide};
  wire {ready};
  assign x0 = {{17'h0, x}};
  assign w0 = w{N_TILES} ^ {{r0, 99'h5}};
  assign r{N_TILES} = ready;
  assign y = x{N_TILES};
  assign taken = r0;{tiles}
endmodule
"""


def split(text: str) -> TileSplit:
    """Cut the chip."""
    return split_tiles(text, top="mtia_chip", tile="tile", clock="clk")


ARGS = ("-Wno-WIDTH", "-CFLAGS", f"-fPIC -I.. -I{HARNESS}")
QUICK = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")


def build(cache: BuildCache, *, is_split: bool, trace: bool = False) -> ctypes.CDLL:
    """The chip in one of its forms."""
    args = (*(("--trace-fst",) if trace else ()), *ARGS)
    text, ports, parts = chip_text(), "", ()
    if is_split:
        cut = split(text)
        tile = VerilatorJob(
            name="tile",
            top="tile",
            prefix="Vtile",
            files={"tile.v": cut.tile},
            args=args,
            make_args=QUICK,
        )
        text, ports = cut.shell, cut.header("mtia_chip")
        parts = verilate_part(tile, cache)
    job = VerilatorJob(
        name="chip.so",
        top="mtia_chip",
        files={"chip.v": text, "chip_ports.h": "#pragma once\n" + ports},
        args=(*args, "-LDFLAGS", "-shared"),
        cxx_sources=(HERE / "chip_bench.cpp",),
        make_args=QUICK,
        parts=parts,
    )
    return ctypes.CDLL(str(verilate(job, cache)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[int]]:
    """Runs both forms of the chip on inputs; gives the outputs of each cycle."""
    cache = BuildCache(tmp_path_factory.mktemp("tiles"))
    forms = {"flat": build(cache, is_split=False), "split": build(cache, is_split=True)}

    def call(form: str, inputs: bytes, threads: int = 1) -> list[int]:
        outputs = (ctypes.c_uint32 * len(inputs))()
        forms[form].chip_run(threads, len(inputs), inputs, outputs)
        return list(outputs)

    return call


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_split_is_flat_in_every_cycle(run: Callable[..., list[int]], threads: int) -> None:
    """Would break if a value came a cycle late, or `ready` stopped at the first tile."""
    inputs = python_rng(f"tiles{threads}").randbytes(3000)
    flat = run("flat", inputs)
    assert len(set(flat)) > 1000
    assert run("split", inputs, threads) == flat


@pytest.mark.skipif(not has_fst_headers(), reason="Verilator's FST writer needs two headers")
def test_a_waveform_holds_what_was_asked_for(tmp_path: Path) -> None:
    """Would break if one tile could not be looked at alone, or the chip around it was missing."""
    library = build(BuildCache(tmp_path / "cache"), is_split=True, trace=True)
    for scope, there, absent in (
        ("tile0_1.adder", {"tile0_1.tile.adder.sum"}, {"tile0_1.tile.x_o", "TOP.mtia_chip.y"}),
        ("tile0_1", {"tile0_1.tile.adder.sum", "tile0_1.tile.x_o"}, {"tile0_0.tile.x_o"}),
        ("", {"tile0_0.tile.x_o", "tile0_2.tile.x_o", "TOP.mtia_chip.y"}, set()),
    ):
        path = tmp_path / "dump.fst"
        library.chip_trace(str(path).encode(), scope.encode(), 20)
        found = {var.full_name for var in pywellen.Waveform(str(path)).all_vars()}
        assert there <= found, found
        assert not absent & found


def test_the_tile_takes_along_what_it_needs() -> None:
    """Would break if a change of the chip built the tile anew, or a module were in neither."""
    cut = split(chip_text())
    assert r"module \tile.add" in cut.tile and "mtia_chip" not in cut.tile
    assert r"\tile.add" not in cut.shell and "module mtia_chip" in cut.shell
    assert cut.places == ("tile0_0", "tile0_1", "tile0_2")
    assert "clk" not in cut.inputs and cut.outputs == ("x_o", "wide__o", "ready_o")


def test_a_chip_without_tiles_is_refused() -> None:
    """Would break if the harness were built for no tile, or missed one below another module."""
    sentence = "Module 'tile' must have instances in module 'mtia_chip', and there only."
    lonely = "module mtia_chip(clk);\n  input clk;\nendmodule\n"
    hidden = "module row(clk);\n  input clk;\n  tile tile0_9(\n    .clk(clk)\n  );\nendmodule\n"
    below = chip_text().replace("\nmodule mtia_chip", f"\n{hidden}\nmodule mtia_chip")
    below = below.replace("  tile tile0_0(", "  row more(\n    .clk(clk)\n  );\n  tile tile0_0(")
    for text in (lonely, below):
        with pytest.raises(ValueError) as error:
            split(text)
        assert str(error.value) == sentence
