# SPDX-License-Identifier: Apache-2.0
"""Signals that ask a program to end, as an exception that lets everything be put away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Ended", "ends_by_signal"]

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal wants the program to end; as Ctrl-C it is no `Exception`."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        """What a shell shows for a program that a signal ended."""
        super().__init__(f"Ended by {signal.Signals(number).name}; nothing was left half-written.")


@contextmanager
def ends_by_signal() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP raise `Ended`, once.

    A signal that is ignored stays so: `nohup` wants that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            if before[number] is signal.SIG_DFL:
                signal.signal(number, _raise)
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])


def _raise(number: int, _frame: FrameType | None) -> None:
    """Begin to end; a terminal that goes away sends its signal more than once."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Ended(number)
