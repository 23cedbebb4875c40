# SPDX-License-Identifier: Apache-2.0
"""Runs a program and follows what it prints."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["run_lines"]


def run_lines(
    arguments: Sequence[str],
    folder: Path,
    on_line: Callable[[str], None] | None = None,
    on_start: Callable[[subprocess.Popen[str]], None] | None = None,
) -> tuple[int, list[str]]:
    """Run a program in `folder`; its exit code, and all lines that it printed on both channels.

    `on_line` sees each line when it appears. The program ends with whoever waits for it; a thread
    that waits is never interrupted, so who runs this in one gets the program by `on_start`.
    """
    lines: list[str] = []
    with subprocess.Popen(
        arguments,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            if on_start is not None:
                on_start(process)
            for line in process.stdout:
                lines.append(line)
                if on_line is not None:
                    on_line(line.rstrip())
        except BaseException:  # also on Ctrl-C
            process.kill()
            raise
    return process.returncode, lines
