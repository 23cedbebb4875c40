# SPDX-License-Identifier: Apache-2.0
"""What README.md says to paste."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sw.cli.app import main

README = Path(__file__).resolve().parents[3] / "README.md"


def commands(program: str) -> list[list[str]]:
    """Arguments of the lines that call a program of the environment, without their comments."""
    lines = (line.strip() for line in README.read_text().splitlines())
    return [
        shlex.split(line, comments=True)[1:]
        for line in lines
        if line.startswith(f".venv/bin/{program} ")
    ]


def test_the_first_products_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would break if operands of the examples were missing, or did not fit together. The device is
    the functional one, to which only what needs the RTL is added by hand."""
    monkeypatch.chdir(tmp_path)
    for arguments in commands("python"):
        subprocess.run([sys.executable, *arguments], check=True, timeout=100)
    examples = commands("mtia")
    assert examples[0][:3] == ["gemm", "A.npy", "B.npy"]
    ran = 0
    for arguments in examples:
        only_rtl = {"--grid", "--report", "--trace", "compare", "synth", "doctor"}
        if not only_rtl & set(arguments):
            assert main([*arguments, "--device", "functional"]) == 0
            ran += 1
    assert ran >= 4
    a, b = (np.load(f"{name}.npy").astype(np.int32) for name in "AB")
    assert np.array_equal(np.load("C.npy"), a @ b)
