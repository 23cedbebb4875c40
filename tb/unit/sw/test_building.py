# SPDX-License-Identifier: Apache-2.0
"""Who waits minutes for a simulator learns why, and who does not wait reads nothing."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hw.config import get_config
from sim.compiled.build import build_simulator
from sw.cli.building import build_teller


@pytest.mark.parametrize(
    ("is_terminal", "written", "shown"),
    [(False, "building the simulator of tiny (minutes, once)\n", []), (True, "", ["a", "b"])],
)
def test_a_pipe_gets_one_line(is_terminal: bool, written: str, shown: list[str]) -> None:
    """Would break if a log showed nothing for minutes, or a terminal a line too many."""
    stages: list[str] = []
    console = Console(file=io.StringIO(), force_terminal=is_terminal)
    say = build_teller(console, "tiny", stages.append)
    say("a")
    say("b")
    assert isinstance(console.file, io.StringIO)
    assert (console.file.getvalue(), stages) == (written, shown)


class _Cache:
    """Has everything, or nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, _name: str, _key: str, build: Callable[[Path], None]) -> Path:
        """The folder, if there is one."""
        if self._folder is None:
            build(Path("nowhere"))
        assert self._folder is not None
        return self._folder


def test_only_a_build_is_told_of(tmp_path: Path) -> None:
    """Would break if every run said that it builds."""
    (tmp_path / "mtia_chip.v").touch()
    (tmp_path / "seconds.json").write_text("1.0")
    stages: list[str] = []
    full: Any = _Cache(tmp_path)
    assert build_simulator(get_config("tiny"), full, progress=stages.append).from_cache
    assert stages == []

    def stop(stage: str) -> None:
        raise InterruptedError(stage)

    empty: Any = _Cache(None)
    with pytest.raises(InterruptedError, match="Verilog of tiny"):
        build_simulator(get_config("tiny"), empty, progress=stop)
