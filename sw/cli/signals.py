# SPDX-License-Identifier: Apache-2.0
"""Signals that ask a program to end, as an exception that lets everything be put away."""

import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Ended", "ends_by_signal"]

_SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""What ends a program, and what each does unless somebody has chosen otherwise."""

_AGAIN_SECONDS = 0.1
"""Python loses what is raised in a `__del__`, and elaboration has many: then it is raised again."""


class Ended(BaseException):
    """A signal wants the program to end; it is no `Exception`, as Ctrl-C is none."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        """What a shell shows for a program that a signal ended."""
        name = signal.Signals(number).name
        what = "Interrupted" if number == signal.SIGINT else f"Ended by {name}"
        super().__init__(f"{what}; nothing was left half-written.")


@contextmanager
def ends_by_signal() -> Iterator[None]:
    """Inside the block Ctrl-C, SIGTERM and SIGHUP raise `Ended`, again and again until it leaves
    the block, but never while it is on its way: what is put away then is put away in peace.

    A signal that is ignored stays so: `nohup` wants that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    ending = _Ending()
    taken = [number for number, usual in _SIGNALS.items() if signal.getsignal(number) == usual]
    before = {number: signal.signal(number, ending.begin) for number in taken}
    ending.tell_others, sys.unraisablehook = sys.unraisablehook, ending.tell_lost
    try:
        yield
    finally:
        ending.stop()
        sys.unraisablehook = ending.tell_others
        for number, handler in before.items():
            signal.signal(number, handler)


class _Ending:
    """A wish to end, and the exception that is on its way for it."""

    def __init__(self) -> None:
        self.tell_others = sys.unraisablehook
        """Told of exceptions of others that Python loses."""
        self._number = 0
        self._on_its_way: Callable[[], object] = lambda: None
        self._alarm: Any = None

    def begin(self, number: int, _frame: FrameType | None) -> None:
        """A signal came; a terminal that goes away sends its own more than once."""
        if not self._number:
            self._alarm = signal.signal(signal.SIGALRM, self._again)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
        self._number = number
        _hush()
        self._again()

    def stop(self) -> None:
        """Raise no more."""
        self._on_its_way = lambda: self
        if self._number:
            _hush()  # again: a block that was left may have put back what was said before it
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm)

    def tell_lost(self, lost: "sys.UnraisableHookArgs") -> None:
        """Say nothing of our own one, which will come again."""
        if not isinstance(lost.exc_value, Ended):
            self.tell_others(lost)

    def _again(self, *_: object) -> None:
        """Raise, unless what was raised is on its way: as long as it lives somebody holds it."""
        if self._on_its_way() is None:
            raise self._new()  # no name may hold it here: its traceback has this frame

    def _new(self) -> Ended:
        error = Ended(self._number)
        self._on_its_way = weakref.ref(error)
        return error


def _hush() -> None:
    """No Amaranth warnings of a design that will never be finished, to the end of the process."""
    warnings.filterwarnings("ignore", ".* created but never used$")
