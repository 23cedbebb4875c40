# SPDX-License-Identifier: Apache-2.0
"""`mtia gemm` refuses bad input in one sentence, before it builds or writes anything."""

import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from sw.cli.app import main
from sw.errors import UserError
from sw.runtime.gemm import as_operand

INT8 = np.arange(12, dtype=np.int8).reshape(3, 4)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of `mtia gemm`."""
    code = main(["gemm", *arguments, "--config", "tiny"])
    return code, capsys.readouterr().err.strip()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Some operands."""
    arrays = {
        "a": INT8,
        "b": INT8.T,
        "half": INT8.T.astype(np.float16),
        "double": INT8.astype(np.float64),
        "fraction": INT8 + 0.5,
        "cube": np.zeros((2, 2, 2), np.int8),
        "empty": np.zeros((0, 4), np.int8),
        "halves": INT8.astype(np.float16),
        "row": np.zeros(4, np.int32),
        "floats": np.zeros(3),
        "long": np.full(3, 1 << 31),
        "text": np.array([["x"]]),
        "huge": np.zeros((9000, 9000), np.int8),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "noise.npy").write_bytes(b"not an array")
    return {path.stem: str(path) for path in tmp_path.iterdir()} | {"out": str(tmp_path / "c.npy")}


@pytest.mark.parametrize(
    ("a", "b", "options", "sentence"),
    [
        ("a", "a", (), "A must have as many columns as B has rows"),
        ("a", "half", (), "INT8 and FP16 cannot be multiplied"),
        ("double", "b", (), r"it must hold int8, uint8, float16 or bfloat16"),
        ("fraction", "b", ("--dtype", "int8"), "values that do not fit int8"),
        ("cube", "b", (), "it must be a matrix"),
        ("empty", "b", (), "at least one row and column"),
        ("text", "b", ("--dtype", "int8"), "not a number type"),
        ("noise", "b", (), "is not a .npy file"),
        ("missing", "b", (), "no such file"),
        ("huge", "huge", ("--place", "sram"), "need .* bytes; tiny has"),
        ("a", "b", ("--scale", "0.5"), "An int32 result is the sum itself"),
        ("a", "b", ("--out", "int32", "--activation", "gelu"), "An int32 result is the sum"),
        ("a", "b", ("--out", "int8", "--activation", "gelu"), "needs a result of fp32, fp16"),
        ("a", "b", ("--out", "fp32", "--activation", "silu", "--relu"), "exclude each other"),
        ("a", "b", ("--out", "int8", "--scale", "nan"), "The scale is nan; it must be a finite"),
        ("a", "b", ("--out", "int8", "--scale", "1e60"), "it must be a finite FP32 number"),
        ("a", "b", ("--out", "int8", "--scale", "much"), "it must be a number or a .npy file"),
        ("a", "b", ("--out", "int8", "--scale", "row.npy"), "no such file"),
        ("halves", "half", ("--out", "int32"), "Floating-point operands do not give int32"),
        ("a", "b", ("--bias", "{row}"), r"The bias has shape \(4,\); it must be a vector of 3"),
        ("a", "b", ("--bias", "{floats}"), "The bias holds float64; it must hold int32"),
        ("a", "b", ("--bias", "{long}"), "The bias has values that do not fit int32"),
        ("a", "b", ("--bias", "missing.npy"), "no such file"),
        ("a", "b", ("--out", "float"), "--out"),
    ],
)
def test_bad_input_is_one_sentence(
    a: str,
    b: str,
    options: tuple[str, ...],
    sentence: str,
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Would break if a fault gave a traceback, several lines, or an output file."""
    paths = (files.get(a, f"{a}.npy"), files.get(b, f"{b}.npy"))
    chosen = [option.format_map(files) for option in options]
    code, error = run(capsys, *paths, "-o", files["out"], *chosen)
    assert code != 0
    assert len(error.splitlines()) == 1
    assert re.search(sentence, error), error
    assert not Path(files["out"]).exists()


def test_unwritable_output_is_found_before_the_work(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if a long simulation ended in an error about the output's folder."""
    code, error = run(capsys, files["a"], files["b"], "-o", "/nowhere/c.npy")
    assert code != 0 and "/nowhere" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "options", [("-o", "/proc/c.npy"), ("-o", "."), ("-o", "c", "--json", "c")]
)
def test_outputs_that_cannot_be_are_refused(
    options: tuple[str, ...], files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if a folder, a protected place or one name for two files passed."""
    code, error = run(capsys, files["a"], files["b"], *options)
    assert code != 0 and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("-o", "{a}"),
        ("-o", "{b}"),
        ("-o", "{row}", "--bias", "{row}"),
        ("-o", "{floats}", "--scale", "{floats}", "--out", "int8"),
        ("-o", "{out}", "--json", "{a}"),
        ("-o", "{link}"),
    ],
    ids=" ".join,
)
def test_no_output_is_written_over_an_input(
    options: tuple[str, ...], files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if an operand were lost without a word, also through another name of its file."""
    link = Path(files["a"]).with_name("link.npy")
    link.symlink_to(files["a"])
    before = {path: path.read_bytes() for path in link.parent.iterdir()}
    names = files | {"link": str(link)}
    chosen = [option.format_map(names) for option in options]
    code, error = run(capsys, files["a"], files["b"], *chosen, "--device", "functional")
    assert code != 0 and "is an input too" in error and len(error.splitlines()) == 1
    assert {path: path.read_bytes() for path in link.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--threads", "4"), "--threads needs --grid"),
        (("--threads", "1"), "--threads needs --grid"),
        (("--no-multicast",), "--no-multicast needs --grid"),
        (("--cache-ways", "0"), "--cache-ways needs --grid"),
    ],
)
def test_options_of_a_grid_are_refused_without_one(
    options: tuple[str, ...],
    sentence: str,
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Would break if an option did nothing without a word."""
    fixed = ("-o", files["out"], "--device", "functional")
    code, error = run(capsys, files["a"], files["b"], *fixed, *options)
    assert code != 0 and sentence in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(("name", "text"), [("WAVES_FROM", "abc"), ("WAVES_TO", "-1")])
def test_a_wave_window_is_a_number_of_cycles(
    name: str,
    text: str,
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would break if a wrong window were a traceback."""
    monkeypatch.setenv("WAVES", "1")
    monkeypatch.setenv(name, text)
    code, error = run(capsys, files["a"], files["b"], "-o", files["out"])
    assert code != 0 and name in error and len(error.splitlines()) == 1


def test_bfloat16_arrives_as_a_two_byte_void() -> None:
    """Would break if bfloat16 written by ml_dtypes could not be read back."""
    array = np.ones((2, 2), ml_dtypes.bfloat16)
    assert as_operand(array.view("V2"), None, "A").dtype == np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([[300]], "int8"), ([[-1]], "uint8"), ([[1e6]], "float16"), ([[np.nan]], "int8")],
)
def test_conversion_refuses_what_does_not_fit(values: list[list[float]], dtype: str) -> None:
    """Would break if --dtype changed values silently."""
    with pytest.raises(UserError):
        as_operand(np.array(values), dtype, "A")


def test_conversion_keeps_what_fits() -> None:
    """Would break if --dtype refused exact values, or infinities that were there before."""
    assert as_operand(np.array([[1.0, -128.0]]), "int8", "A").tolist() == [[1, -128]]
    assert np.isinf(as_operand(np.array([[np.inf, 1.0]]), "float16", "A")[0, 0])


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        (1 + 2**-8 + 2**-40, 1 + 2**-7),
        (1 + 2**-8, 1.0),
        (1 + 3 * 2**-8 - 2**-40, 1 + 2**-7),
        (-1 - 2**-8 - 2**-40, -1 - 2**-7),
        (3.0, 3.0),
    ],
)
def test_bfloat16_is_rounded_once(value: float, nearest: float) -> None:
    """Would break if a double were rounded to single precision before."""
    assert float(as_operand(np.array([[value]]), "bfloat16", "A")[0, 0]) == nearest


def test_bfloat16_keeps_infinities_and_refuses_overflow() -> None:
    """Would break if rounding to odd touched what is no number, or hid an overflow."""
    kept = as_operand(np.array([[np.inf, np.nan, 0.0]]), "bfloat16", "A").astype(np.float64)[0]
    assert np.isinf(kept[0]) and np.isnan(kept[1]) and kept[2] == 0
    with pytest.raises(UserError):
        as_operand(np.array([[1e300]]), "bfloat16", "A")


def test_all_options_of_the_epilogue(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would break if an option did not reach the device, or bfloat16 results could not be read."""
    monkeypatch.chdir(tmp_path)
    sums = INT8.astype(np.int32) @ INT8.T.astype(np.int32)
    bias, scales = np.array([-9, 0, 7], np.int32), np.array([0.5, 0.25, 0.1], np.float32)
    np.save("bias.npy", bias)
    np.save("scales.npy", scales)
    start = ["gemm", files["a"], files["b"], "-o", "c.npy", "--config", "tiny"]
    start += ["--device", "functional", "--bias", "bias.npy"]
    real = np.maximum(sums + bias, 0).astype(np.float32)
    assert main([*start, "--relu", "--out", "uint8", "--scale", "0.3"]) == 0
    wanted = np.clip(np.rint(real * np.float32(0.3)), 0, 255)
    assert np.load("c.npy").dtype == np.uint8 and np.array_equal(np.load("c.npy"), wanted)
    arguments = ["--activation", "relu", "--out", "bf16", "--scale", "scales.npy"]
    assert main([*start, *arguments]) == 0
    result = np.load("c.npy")
    assert result.dtype == np.dtype("V2")
    assert np.array_equal(
        result.view(ml_dtypes.bfloat16), (real * scales).astype(ml_dtypes.bfloat16)
    )
