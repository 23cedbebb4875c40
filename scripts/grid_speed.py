# SPDX-License-Identifier: Apache-2.0
"""How much faster the compiled simulator is with more threads."""

from collections.abc import Callable

from sim.compiled.simulator import CompiledSimulator

__all__ = ["thread_rates"]

_TURNS = 2
"""Each number of threads runs so often, in turns; the best counts, since other jobs only slow a
run down."""


def thread_rates(
    port: CompiledSimulator, threads: int, run: Callable[[], float]
) -> dict[int, float]:
    """Thousand cycles per second with one thread, and with `threads`, which remain set.

    `run` does the same work each time, and gives its rate.
    """
    rates = {1: 0.0, threads: 0.0}
    for _ in range(_TURNS):
        for number in rates:
            port.set_threads(number)
            rates[number] = max(rates[number], run())
    return rates
