# SPDX-License-Identifier: Apache-2.0
"""Multicast reads cannot lock, whatever the order in which members issue them: all states of it.

And the two ways that do lock, as a check that the exploration would show it.
"""

import pytest

from tb.formal.multicast_protocol import N_GROUPS, Coalescing, Groups, State, explore


def test_explicit_groups_deliver_every_line() -> None:
    """No state is stuck, no move leads back: so all that was issued arrives, in any order of moves,
    and at each member that noted it."""
    found = explore(Groups())
    assert not found.stuck, found.way
    assert found.n_states > 50_000


@pytest.mark.slow
def test_explicit_groups_deliver_line_after_line() -> None:
    """Two lines of each group, the second issued while others still wait for the first."""
    found = explore(Groups(n_lines=2, deliver_first=True))
    assert not found.stuck, found.way
    assert found.n_states > 500_000


@pytest.mark.parametrize("n_entries", [1, 2])
def test_requests_that_meet_by_address_lock(n_entries: int) -> None:
    """The table is full of lines whose other members' requests are behind those of lines that find
    no place in it: each waits for another, for ever."""
    found = explore(Coalescing(n_entries=n_entries, deliver_first=True), until_stuck=True)
    state = found.stuck[0]
    half = [mask for mask in state.waiting if mask in (0b01, 0b10)]
    assert len(half) == n_entries, "lines that have a place wait for a member"
    assert all(state.lanes[near] >= 0 for near in (0, 2)), "and both lanes are held up"
    assert not any(state.done)
    assert replay(Coalescing(n_entries=n_entries), found.way) == state


@pytest.mark.slow
def test_requests_that_meet_by_address_need_a_place_for_each_group() -> None:
    """One less than there are groups locks; as many as there are do not: a place of each group."""
    kwargs = {"deliver_first": True}
    assert explore(Coalescing(n_entries=N_GROUPS - 1, **kwargs), until_stuck=True).stuck
    assert not explore(Coalescing(n_entries=N_GROUPS, **kwargs)).stuck


def test_groups_that_share_room_lock() -> None:
    """An element with room for one line in all, taken by the line of one group, never notes the
    other group's, which its fellow waits for: room belongs to a group, or members keep an order."""
    found = explore(Groups(shared_room=True))
    assert found.stuck
    for state in found.stuck:
        assert sum(state.issued) == N_GROUPS and not any(state.released)


def test_looking_at_deliveries_first_finds_the_same_ends() -> None:
    """The shorter exploration leaves out no state that is stuck."""
    every = explore(Groups(shared_room=True))
    fewer = explore(Groups(shared_room=True, deliver_first=True))
    assert set(every.stuck) == set(fewer.stuck)
    assert fewer.n_states < every.n_states


def replay(protocol: Groups, way: list[str]) -> State:
    """The state that some moves lead to."""
    state = State()
    for name in way:
        state = dict(protocol.moves(state))[name]
    return state
