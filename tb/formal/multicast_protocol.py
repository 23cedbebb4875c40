# SPDX-License-Identifier: Apache-2.0
"""Every state of multicast reads on a grid of 2 x 2 elements with places for one flit each.

Each element belongs to two groups, those of its row and of its column, and leads one of them. It
issues the lines of both in any order. Requests of a row share its lane, of two hops; then comes one
slice for all; the answers of each group have a lane of two hops. Every register and every queue
holds one flit. A member has room for one line of each group.

Two ways are modelled in which requests become one read:

* `Groups`: as built. The leader alone asks, members note that they have room; both wait in places
  of their group (`hw.net.collector`).
* `Coalescing`: each member asks, the first request of a line waits in a table of the side, where
  the others join it by its address.

A move carries one line one step further. All moves go on from each other in every order that there
is, which includes all that hardware may do at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Coalescing", "Exploration", "Groups", "State", "explore"]

MEMBERS = ((0, 1), (2, 3), (0, 2), (1, 3))
"""Elements, row by row, of the groups of row 0, row 1, column 0, column 1; nearest first."""
LEADERS = (1, 0, 0, 1)
"""Which of its members leads each group; each element leads one."""
N_GROUPS, N_ELEMENTS = 4, 4
SLOTS = tuple((group, member) for group in range(N_GROUPS) for member in range(2))
ELEMENT_OF = tuple(MEMBERS[group][member] for group, member in SLOTS)
EMPTY = -1


class State(NamedTuple):
    """Where every line is. Tuples by slot have 2 * group + member as index."""

    issued: tuple[int, ...] = (0,) * 8
    """Lines that each member has reserved room for, by slot."""
    sent: tuple[int, ...] = (0,) * 8
    """Lines that each member has asked for, by slot."""
    done: tuple[int, ...] = (0,) * 8
    """Lines that each member has received, by slot."""
    lanes: tuple[int, ...] = (EMPTY,) * N_ELEMENTS
    """Slot whose request is in the hop of an element; odd elements are farther from the side."""
    waiting: tuple[int, ...] = (0,) * N_GROUPS
    """What waits at the side for each group: reads in its queue, or who has joined, as bits."""
    released: tuple[int, ...] = (0,) * N_GROUPS
    """Lines of each group that have gone to memory."""
    request: int = EMPTY
    """Group whose read is at the slice."""
    response: int = EMPTY
    """Group whose answer is at the slice."""
    down: tuple[int, ...] = (0,) * 8
    """Members for whom the answer in a hop is, one bit each, by slot."""


Move = tuple[str, State]


def put(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    """The tuple with one value changed."""
    return (*values[:at], value, *values[at + 1 :])


def add(values: tuple[int, ...], at: int, by: int = 1) -> tuple[int, ...]:
    """The tuple with one value counted up."""
    return put(values, at, values[at] + by)


@dataclass(frozen=True)
class Groups:
    """Explicit groups, as built.

    Parameters
    ----------
    n_lines : lines of each group.
    shared_room : whether an element has room for one line in all, not for one of each group.
    deliver_first : whether a delivery that is possible is the only move looked at. A delivery needs
        nothing but its flit, and takes nothing that another move needs, so it can come before any
        that it waits beside; the states in which all ends are the same, those between fewer.
    """

    n_lines: int = 1
    shared_room: bool = False
    deliver_first: bool = False

    def moves(self, state: State) -> Iterator[Move]:
        """All that can happen next."""
        if self.deliver_first and (delivery := next(self._deliver(state), None)):
            yield delivery
            return
        yield from self._deliver(state)
        yield from self._issue(state)
        yield from self._send(state)
        yield from self._pass_requests(state)
        yield from self._release(state)
        yield from self._answer(state)

    def asks(self, slot: int) -> bool:
        """Whether a member sends requests at all: the leader does."""
        return LEADERS[slot // 2] == slot % 2

    def arrive(self, state: State, slot: int) -> tuple[int, ...] | None:
        """What waits at the side once a request has come there, nothing if it has no place."""
        group = slot // 2
        return None if state.waiting[group] else put(state.waiting, group, 1)

    def complete(self, state: State, group: int) -> bool:
        """Whether a read may go: all have noted."""
        noted = min(state.issued[2 * group : 2 * group + 2]) > state.released[group]
        return state.waiting[group] == 1 and noted

    def _has_room(self, state: State, slot: int) -> bool:
        """Whether a member can take one more line of a group."""
        used = [slot]
        if self.shared_room:
            element = ELEMENT_OF[slot]
            used = [other for other, whose in enumerate(ELEMENT_OF) if whose == element]
        return all(state.issued[at] == state.done[at] for at in used)

    def _issue(self, state: State) -> Iterator[Move]:
        """A member reserves room, and notes it."""
        for slot, issued in enumerate(state.issued):
            if issued < self.n_lines and self._has_room(state, slot):
                yield f"issue {slot}", state._replace(issued=add(state.issued, slot))

    def _send(self, state: State) -> Iterator[Move]:
        """A member sends the request of a line that it has room for."""
        for slot, element in enumerate(ELEMENT_OF):
            owes = self.asks(slot) and state.sent[slot] != state.issued[slot]
            if owes and state.lanes[element] == EMPTY:
                lanes = put(state.lanes, element, slot)
                yield f"send {slot}", state._replace(sent=add(state.sent, slot), lanes=lanes)

    def _pass_requests(self, state: State) -> Iterator[Move]:
        """A request goes one hop on, or from the first hop to its place at the side."""
        for near in (0, 2):
            first, second = state.lanes[near : near + 2]
            if first == EMPTY and second != EMPTY:
                lanes = put(put(state.lanes, near, second), near + 1, EMPTY)
                yield f"hop {second}", state._replace(lanes=lanes)
            elif first != EMPTY and (waiting := self.arrive(state, first)) is not None:
                lanes = put(state.lanes, near, EMPTY)
                yield f"arrive {first}", state._replace(lanes=lanes, waiting=waiting)

    def _release(self, state: State) -> Iterator[Move]:
        """A read goes to the slice when everybody is there."""
        for group in range(N_GROUPS):
            if state.request == EMPTY and self.complete(state, group):
                yield (
                    f"release {group}",
                    state._replace(
                        waiting=put(state.waiting, group, 0),
                        released=add(state.released, group),
                        request=group,
                    ),
                )

    def _answer(self, state: State) -> Iterator[Move]:
        """The slice answers; the answer enters its lane, and goes on to the second hop."""
        if state.request != EMPTY and state.response == EMPTY:
            yield "read", state._replace(request=EMPTY, response=state.request)
        if state.response != EMPTY and not state.down[2 * state.response]:
            down = put(state.down, 2 * state.response, 0b11)
            yield "answer", state._replace(response=EMPTY, down=down)
        for first in range(0, len(SLOTS), 2):
            if state.down[first] & 0b10 and not state.down[first + 1]:
                down = put(put(state.down, first, state.down[first] & 1), first + 1, 0b10)
                yield f"onward {first}", state._replace(down=down)

    def _deliver(self, state: State) -> Iterator[Move]:
        """A member takes the answer that is in its hop: its room has been there since it noted."""
        for slot, (_group, member) in enumerate(SLOTS):
            if state.down[slot] >> member & 1:
                down = put(state.down, slot, state.down[slot] & ~(1 << member))
                yield f"deliver {slot}", state._replace(down=down, done=add(state.done, slot))


@dataclass(frozen=True)
class Coalescing(Groups):
    """Requests that find each other by address, in a table of `n_entries` lines."""

    n_entries: int = 2

    def asks(self, slot: int) -> bool:
        return True

    def arrive(self, state: State, slot: int) -> tuple[int, ...] | None:
        group, member = SLOTS[slot]
        full = sum(mask != 0 for mask in state.waiting) == self.n_entries
        if full and not state.waiting[group]:
            return None
        return add(state.waiting, group, 1 << member)

    def complete(self, state: State, group: int) -> bool:
        return state.waiting[group] == 0b11


@dataclass
class Exploration:
    """What was found."""

    n_states: int
    n_moves: int
    stuck: list[State]
    """States in which nothing can happen though lines are missing."""
    way: list[str]
    """Moves that lead to the first of them."""


def explore(protocol: Groups, *, until_stuck: bool = False) -> Exploration:
    """Look at every state that can be reached, or as many as show one that is stuck.

    Each move must lead one step further than any way to its state was before, so that there is no
    endless run; then whatever does not get stuck delivers every line.

    Raises: AssertionError when a move leads back, or a line comes to a member without room for it.
    """
    finished = (protocol.n_lines,) * 8
    level, parents = [State()], {State(): (0, None, "")}
    found, n_level = Exploration(1, 0, [], []), 0
    while level and not (until_stuck and found.stuck):
        behind, n_level = [], n_level + 1
        for state in level:
            n_before = found.n_moves
            for name, after in protocol.moves(state):
                found.n_moves += 1
                if (known := parents.get(after)) is None:
                    assert all(map(int.__le__, after.done, after.issued)), f"no room: {after}"
                    parents[after] = (n_level, state, name)
                    behind.append(after)
                else:
                    assert known[0] == n_level, f"a move leads back: {state} to {after}"
            if found.n_moves == n_before and state.done != finished:
                found.stuck.append(state)
        level = behind
    found.n_states = len(parents)
    at = found.stuck[0] if found.stuck else None
    while at is not None:
        _, before, name = parents[at]
        found.way, at = [name, *found.way] if before else found.way, before
    return found
