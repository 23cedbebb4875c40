# SPDX-License-Identifier: Apache-2.0
"""What a log shows of long work."""

import io
import time

import pytest
from rich.console import Console

from sw.synth.progress import Progress


def test_a_log_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would break if a log said nothing for the hour in which a chip is routed, or said all."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    text = io.StringIO()
    progress = Progress(Console(file=text, width=80))
    with progress.phase("place"):
        for second in range(0, 150, 10):
            now = 100.0 + second
            progress.detail(f"{second} arcs left")
    assert text.getvalue().splitlines() == [
        "place: 60 arcs left (1 min 00 s)",
        "place: 120 arcs left (2 min 00 s)",
        "place: 2 min 20 s",
    ]
