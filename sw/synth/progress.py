# SPDX-License-Identifier: Apache-2.0
"""What the flow is doing, and since when: one line that changes, or plain lines in a log, a line a
minute."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

__all__ = ["Progress"]

_SHOWN_AFTER = 1.0
_REFRESH = 0.5
_LOG_EVERY = 60.0


class Progress:
    """Shows the phase in work and its time; on a console that is no terminal, a line a phase, and
    of a long one a line a minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._phase, self._detail, self._begin, self._shown = "", "", 0.0, 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Work on `name` inside the block; its time is printed at the end."""
        self._phase, self._detail, self._begin = name, "", time.monotonic()
        self._status = self._console.status(self._text())
        with self._status:
            yield
        self._status = None
        seconds = time.monotonic() - self._begin
        if seconds >= _SHOWN_AFTER:
            self._console.print(f"[dim]{name}: {_clock(seconds)}[/]", highlight=False)

    def detail(self, text: str) -> None:
        """What the phase does right now."""
        now = time.monotonic()
        if self._status is None:
            return
        if not self._console.is_terminal:
            if now - max(self._shown, self._begin) >= _LOG_EVERY:
                self._detail, self._shown = text, now
                self._console.print(f"[dim]{self._text()}[/]", highlight=False)
        elif text != self._detail or now - self._shown > _REFRESH:
            self._detail, self._shown = text, now
            self._status.update(self._text())

    def _text(self) -> str:
        elapsed = _clock(time.monotonic() - self._begin)
        detail = f": {self._detail}" if self._detail else ""
        return f"{self._phase}{detail} ({elapsed})"


def _clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
