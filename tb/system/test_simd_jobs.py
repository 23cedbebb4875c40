# SPDX-License-Identifier: Apache-2.0
"""Epilogues, kernels and networks on the RTL of `tiny`, compiled: every bit as the functional
simulator's, and as their definition."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import PRESETS
from sw.cli.app import main
from sw.runtime import ops
from sw.runtime.chip import Chip
from sw.runtime.functional import FunctionalChip
from sw.runtime.gemm import Finish, prepare_gemm, run_gemm
from sw.runtime.infer import LayerRun, run_network
from sw.runtime.network import Network, save_network
from sw.runtime.simulated import simulated_chip
from tb.common.seeds import bench_seed, numpy_rng
from tb.unit.sw.epilogue import expected, operands
from tb.unit.sw.networks import small_network

CONFIG = PRESETS["tiny"]
I8, U8, F16, B16, I32, F32 = (
    Format.INT8, Format.UINT8, Format.FP16, Format.BF16, Format.INT32, Format.FP32,
)  # fmt: skip


@pytest.fixture
def chip() -> Iterator[Chip]:
    """A fresh chip in the build with assertions; what nothing initialises comes from the seed."""
    device, _ = simulated_chip(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def bias_of(rng: np.random.Generator, n: int, fmt: Format) -> np.ndarray:
    """Moderate values of the accumulator's format."""
    if fmt is I32:
        return rng.integers(-(1 << 15), 1 << 15, n).astype(np.int32)
    return rng.standard_normal(n).astype(np.float32)


@pytest.mark.parametrize(
    ("formats", "steps"),
    [
        ((I8, I8), {"out": I8, "scale": 0.002}),
        ((U8, I8), {"out": U8, "scale": 0.001, "bias": True, "relu": True}),
        ((I8, I8), {"out": I8, "scale": "columns", "bias": True}),
        ((I8, I8), {"out": U8, "scale": "columns"}),
        ((I8, U8), {"bias": True, "relu": True}),
        ((I8, I8), {"out": F32, "scale": 0.01, "bias": True}),
        ((I8, I8), {"out": B16, "scale": "columns", "relu": True}),
        ((F16, F16), {"out": F16, "bias": True, "relu": True}),
        ((F16, F16), {"out": I8, "scale": 9.0}),
        ((B16, B16), {"bias": True}),
    ],
)
def test_epilogues(chip: Chip, formats: tuple[Format, Format], steps: dict[str, Any]) -> None:
    """Would break if RTL, planner and definition disagreed in a bit, for whole and ragged tiles."""
    rng = numpy_rng(f"{formats}{steps}")
    for shape in ((16, 16, 24), (33, 21, 19)):
        a, b = operands(rng, shape, *formats)
        values = dict(steps)
        if values.pop("bias", False):
            values["bias"] = bias_of(rng, shape[1], formats[0].accumulator)
        if values.get("scale") == "columns":
            values["scale"] = (rng.random(shape[1]) * 0.01).astype(np.float32)
        finish = Finish(**values)
        run = run_gemm(chip, prepare_gemm(CONFIG, a, b, finish=finish))
        wanted = expected(a, b, *formats, CONFIG.pe.dpe.chunk, finish)
        assert run.c.dtype == wanted.dtype and run.c.tobytes() == wanted.tobytes()


def test_activations(chip: Chip) -> None:
    """Would break if a table function of the RTL and of the golden model differed behind a GEMM."""
    rng = numpy_rng("activations")
    a, b = operands(rng, (17, 9, 12), I8, I8)
    for function in (Function.SIGMOID, Function.TANH, Function.GELU, Function.SILU):
        finish = Finish(out=F16, scale=2.0**-13, activation=function)
        job = prepare_gemm(CONFIG, a, b, finish=finish)
        wanted = run_gemm(FunctionalChip(CONFIG), job).c
        assert run_gemm(chip, job).c.tobytes() == wanted.tobytes()


def _table(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((40, 12)).astype(np.float32)


KERNELS: dict[str, Callable[[Chip, np.random.Generator], ops.OpRun]] = {
    "softmax": lambda chip, rng: ops.softmax(chip, _table(rng), F16),
    "layernorm": lambda chip, rng: ops.layernorm(chip, _table(rng)),
    "quantize": lambda chip, rng: ops.quantize(chip, _table(rng)),
    "add a row": lambda chip, rng: ops.elementwise(chip, "add", _table(rng), _table(rng)[0]),
    "times a column": lambda chip, rng: ops.elementwise(
        chip, "mul", _table(rng), _table(rng)[:, :1].copy()
    ),
    "exp": lambda chip, rng: ops.elementwise(chip, "exp", _table(rng), out=B16),
    "pooling": lambda chip, rng: ops.pooling(
        chip, _table(rng), rng.integers(0, 40, (11, 7)).astype(np.int32),
        rng.standard_normal((11, 7)).astype(np.float32),
    ),
    "transpose": lambda chip, rng: ops.transpose(chip, _table(rng).astype(np.float16)),
}  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels(chip: Chip, kernel: str) -> None:
    """Would break if a command list meant something else to the RTL than to the model."""
    runs = [KERNELS[kernel](device, numpy_rng(kernel)) for device in (chip, FunctionalChip(CONFIG))]
    for name in runs[1].results:
        assert runs[0].results[name].tobytes() == runs[1].results[name].tobytes()


def _compare(tmp_path: Path, network: Network | None = None) -> tuple[int, dict[str, Any]]:
    """`mtia compare` on the small network or another: exit code and report."""
    save_network(tmp_path / "net.npz", network or small_network())
    arguments = ["compare", str(tmp_path / "net.npz"), "--config", "tiny"]
    code = main([*arguments, "--json", str(tmp_path / "report.json")])
    return code, json.loads((tmp_path / "report.json").read_text())


def test_compare_finds_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Would break if RTL and functional simulator differed in any layer, or the report were not
    what the page promises."""
    code, report = _compare(tmp_path)
    assert code == 0 and report["mismatches"] == 0 and report["inputs"] == 6
    assert [layer["layer"] for layer in report["layers"]] == ["first", "second", "third"]
    for layer in report["layers"]:
        assert layer["cycles"] > 0 and layer["first_mismatch"] is None
        assert 0 <= layer["mean_error"] <= layer["max_error"]
    shown = capsys.readouterr().out
    assert "equal" in shown and "SQNR" in shown


def test_compare_takes_any_name_and_numbers_without_end(tmp_path: Path) -> None:
    """Would break if a name were read as markup, or a report with an infinity were no JSON."""
    network = small_network()
    trained = np.full(network.layers[0].shape, np.nan)
    first = dataclasses.replace(network.layers[0], name="[red]x[/y]", float_weights=trained)
    layers = (first, *network.layers[1:])
    code, report = _compare(tmp_path, dataclasses.replace(network, layers=layers))
    assert code == 0 and report["layers"][0]["layer"] == "[red]x[/y]"
    assert report["layers"][0]["max_error"] is None


def test_compare_tells_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if a wrong device passed: one changed bit gives exit code 1, and its place."""

    def faulty(chip: Chip, *arguments: Any, **options: Any) -> list[LayerRun]:
        runs = run_network(chip, *arguments, **options)
        if chip.device == "rtl":
            output = runs[1].output.copy()
            output[3, 2] ^= 1
            runs[1] = LayerRun(runs[1].layer, output, runs[1].perf)
        return runs

    monkeypatch.setattr("sw.cli.verbs.compare.run_network", faulty)
    code, report = _compare(tmp_path)
    assert code == 1 and report["mismatches"] == 1
    assert report["layers"][1]["first_mismatch"] == [3, 2]
    assert "1 differ, first 3, 2" in capsys.readouterr().out
