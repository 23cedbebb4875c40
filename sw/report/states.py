# SPDX-License-Identifier: Apache-2.0
"""States of units in groups, each with one colour, and the words for them."""

from hw.arch.units import State

__all__ = ["COLOURS", "GROUPS", "WORDS"]

GROUPS: tuple[tuple[str, str, tuple[State, ...]], ...] = (
    ("c-busy", "works", (State.BUSY,)),
    ("c-cb", "waits for data or room", (State.WAIT_CB_DATA, State.WAIT_CB_ROOM)),
    (
        "c-bank",
        "waits for a bank, held block or neighbour",
        (State.WAIT_BANK, State.WAIT_HELD, State.WAIT_NEIGHBOUR),
    ),
    ("c-ls", "waits for local memory", (State.WAIT_LS,)),
    ("c-mem", "waits for shared memory", (State.WAIT_MEMORY, State.WAIT_TAGS)),
)
"""Class of the colour, name, states."""

COLOURS: dict[State, str] = {state: colour for colour, _, states in GROUPS for state in states}
"""Class of the colour of each state."""

WORDS: dict[State, str] = {
    State.BUSY: "works",
    State.WAIT_CB_DATA: "waits for data",
    State.WAIT_CB_ROOM: "waits for room",
    State.WAIT_BANK: "waits for a bank",
    State.WAIT_LS: "waits for local memory",
    State.WAIT_MEMORY: "waits for shared memory",
    State.WAIT_TAGS: "waits for tags",
    State.WAIT_HELD: "waits for the held block",
    State.WAIT_NEIGHBOUR: "waits for a neighbour",
}
"""What each state that counters know is called on the page."""
