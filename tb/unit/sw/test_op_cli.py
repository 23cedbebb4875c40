# SPDX-License-Identifier: Apache-2.0
"""`mtia op` on the functional device: results, and one sentence for everything that cannot be."""

import json
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from sw.cli.app import main

X = np.linspace(-3, 3, 24, dtype=np.float32).reshape(4, 6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some arrays."""
    arrays = {
        "x": X,
        "row": X[0],
        "wide": np.zeros((4, 7), np.float32),
        "double": X.astype(np.float64),
        "table": np.arange(80, dtype=np.float32).reshape(10, 8),
        "lists": np.array([[0, 9, 3], [1, 1, 1]], np.int32),
        "number": np.float32(2),
        "column": X[:, :1],
        "text": np.array([["a"] * 3] * 2),
        "huge": np.full((2, 3), 1e300),
        "half": X.astype(ml_dtypes.bfloat16).view("V2"),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def op(*arguments: str) -> int:
    """Exit code of `mtia op` on the functional model of `tiny`."""
    return main(["op", *arguments, "-o", "y.npy", "--config", "tiny", "--device", "functional"])


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("add", "x.npy", "--with", "row.npy"), X + X[0]),
        (("max", "x.npy", "--with", "x.npy"), X),
        (("relu", "x.npy"), np.maximum(X, 0)),
        (("square", "x.npy", "--out", "fp16"), (X * X).astype(np.float16)),
        (("copy", "half.npy"), X.astype(ml_dtypes.bfloat16).astype(np.float32)),
        (("transpose", "x.npy"), X.T),
        (("pool", "table.npy", "--with", "lists.npy"),
         np.arange(80).reshape(10, 8)[[[0, 9, 3], [1, 1, 1]]].sum(1).astype(np.float32)),
    ],
)  # fmt: skip
def test_results(folder: Path, arguments: tuple[str, ...], wanted: np.ndarray) -> None:
    """Would break if an option reached another operation than it belongs to."""
    assert op(*arguments) == 0
    result = np.load("y.npy")
    assert result.dtype == wanted.dtype and np.array_equal(result, wanted)


@pytest.mark.parametrize(
    "arguments",
    [
        ("relu", "x.npy", "--json", "x.npy"),
        ("add", "x.npy", "--with", "row.npy", "--json", "row.npy"),
        ("quantize", "x.npy", "--scales", "x.npy"),
        ("relu", "y.npy"),
    ],
    ids=" ".join,
)
def test_no_output_is_written_over_an_input(
    folder: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if an operand were lost without a word."""
    np.save("y.npy", X)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert op(*arguments) != 0
    error = capsys.readouterr().err.strip()
    assert "is an input too" in error and len(error.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_quantize_writes_scales_and_figures(folder: Path) -> None:
    """Would break if the second result or the figures were lost."""
    assert op("quantize", "x.npy", "--scales", "s.npy", "--json", "p.json") == 0
    steps = X / np.load("s.npy")
    assert np.abs(np.load("y.npy") - steps).max() <= 0.5 + 1e-4
    figures = json.loads(Path("p.json").read_text())
    assert figures["operation"] == "quantize" and figures["cycles"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("mix", "x.npy"), "There is no operation mix"),
        (("add", "x.npy"), "add needs a second array"),
        (("exp", "x.npy", "--with", "x.npy"), "--with does not go with exp"),
        (("softmax", "x.npy", "--weights", "x.npy"), "--weights does not go with softmax"),
        (("softmax", "x.npy", "--scales", "s.npy"), "--scales does not go with softmax"),
        (("add", "x.npy", "--with", "wide.npy"), "B has shape"),
        (("exp", "double.npy"), "does not know float64"),
        (("pool", "table.npy", "--with", "x.npy"), "it must hold int32"),
        (("exp", "missing.npy"), "no such file"),
        (("softmax", "x.npy", "--out", "double"), "--out"),
        (("quantize", "x.npy", "--out", "fp16"), "--out does not go with quantize"),
        (("transpose", "x.npy", "--out", "fp16"), "--out does not go with transpose"),
        (("add", "number.npy", "--with", "row.npy"), r"X has shape \(\)"),
        (("add", "column.npy", "--with", "number.npy"), r"B has shape \(\)"),
        (("pool", "table.npy", "--with", "lists.npy", "--weights", "row.npy"), "The weights have"),
        (
            ("pool", "table.npy", "--with", "lists.npy", "--weights", "text.npy"),
            "must hold float32",
        ),
        (
            ("pool", "table.npy", "--with", "lists.npy", "--weights", "huge.npy"),
            "do not fit float32",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    """Would break if a fault gave a traceback, several lines, or an output file, or if it were
    found only when a simulator is built."""
    monkeypatch.setattr("sw.cli.verbs.op.open_device", None)
    assert op(*arguments) != 0
    error = capsys.readouterr().err.strip()
    assert re.search(sentence, error) and len(error.splitlines()) == 1, error
    assert not Path("y.npy").exists()
