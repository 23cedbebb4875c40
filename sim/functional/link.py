# SPDX-License-Identifier: Apache-2.0
"""Rows and words that go from unit to unit without local memory in between."""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.functional.operand import Receiving, Waiting

__all__ = ["Link"]


class Link:
    """A queue of rows between two units.

    The hardware has no room here; a few rows cost nothing, and save resuming units row by row.

    Parameters
    ----------
    sender, receiver : str
        For the sentences of those that wait.
    capacity : int
        Rows from which on the sender waits.
    """

    def __init__(self, sender: str, receiver: str, capacity: int) -> None:
        self._sender, self._receiver = sender, receiver
        self._room = capacity
        self._blocks: deque[NDArray[Any]] = deque()
        self._held = 0
        self.moves = 0
        """Changes whenever something goes in or out."""

    def send(self, rows: NDArray[Any]) -> Waiting:
        """Put rows in."""
        while self._held >= self._room:
            yield f"waits until the {self._receiver} takes its rows"
        self._blocks.append(rows)
        self._held += len(rows)
        self.moves += 1

    def receive(self, n_rows: int) -> Receiving:
        """Take `n_rows` rows out."""
        if n_rows > self._room:
            self._room = n_rows
            self.moves += 1  # the sender can go on
        while self._held < n_rows:
            yield f"waits for rows of the {self._sender}"
        self.moves += 1
        self._held -= n_rows
        parts: list[NDArray[Any]] = []
        while n_rows:
            block = self._blocks.popleft()
            if len(block) > n_rows:
                self._blocks.appendleft(block[n_rows:])
            parts.append(block[:n_rows])
            n_rows -= len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
