# SPDX-License-Identifier: Apache-2.0
"""What is said while a simulator is built."""

from collections.abc import Callable

from rich.console import Console

__all__ = ["build_teller"]


def build_teller(console: Console, name: str, show: Callable[[str], None]) -> Callable[[str], None]:
    """What a build of member `name` tells of itself: on a terminal to `show`, elsewhere, where
    nothing moves, one line when it begins."""
    if console.is_terminal:
        return show
    lines = iter([f"building the simulator of {name} (minutes, once)"])

    def say(_stage: str) -> None:
        for line in lines:  # the first time
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return say
