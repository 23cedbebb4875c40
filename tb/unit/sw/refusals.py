# SPDX-License-Identifier: Apache-2.0
"""What tests share that give `mtia gemm` options which it refuses."""

from pathlib import Path

import numpy as np
import pytest

from sw.cli.app import main

__all__ = ["gemm_error"]


def gemm_error(
    options: tuple[str, ...],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """What `mtia gemm a.npy a.npy` in `folder` says on `tiny`; that it fails is checked."""
    monkeypatch.chdir(folder)
    np.save("a.npy", np.ones((4, 4), np.int8))
    assert main(["gemm", "a.npy", "a.npy", "-o", "c.npy", "--config", "tiny", *options]) != 0
    return capsys.readouterr().err
