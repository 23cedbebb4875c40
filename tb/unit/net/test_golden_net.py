# SPDX-License-Identifier: Apache-2.0
"""The models of the network against second sources."""

import pytest

from hw.net import flits
from sim.golden.net import HASH_BITS, CollectorModel, Note, Release, line_hash
from tb.common.seeds import python_rng

WIDTH = 40


def hash_by_parity(number: int) -> int:
    """Second source: bit b of the hash is the parity of every eighth bit from b on."""
    bits = [sum(number >> at & 1 for at in range(b, WIDTH, HASH_BITS)) & 1 for b in range(8)]
    return sum(bit << at for at, bit in enumerate(bits))


def test_hash_is_the_parity_of_every_eighth_bit() -> None:
    """A bit of the address that no bit of the hash looks at would let two lines pass as one."""
    rng = python_rng("hash")
    assert HASH_BITS == flits.HASH_BITS
    for address in [rng.getrandbits(WIDTH) for _ in range(300)]:
        assert line_hash(address) == hash_by_parity(address)
        assert all(line_hash(address ^ 1 << bit) != line_hash(address) for bit in range(WIDTH))


@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_release_is_at_the_last_arrival_whatever_the_order(n_members: int) -> None:
    """Second source: the k-th read goes with the last of itself and the k-th notes of all, unless
    one of these means something else: then they are refused."""
    rng, mask = python_rng("collector model"), (1 << n_members) - 1
    for _ in range(50):
        model, arrived = CollectorModel(n_members, 2), [0] * (n_members + 1)
        events = [who for who in range(n_members + 1) for _ in range(4)]
        rng.shuffle(events)
        wrong = rng.randrange(4) if rng.random() < 0.5 else None
        for who in events:
            at = arrived[who]
            arrived[who] += 1
            if who == n_members:
                model.read(1, 64 * at, at, mask)
            else:
                changed = who == 0 and at == wrong
                model.note(who, Note(line_hash(64 * at) ^ changed, at, 0))
            gone = range(min(arrived))
            expected = [Release(1, 64 * line, line, mask) for line in gone if line != wrong]
            assert model.released == [[], expected]
            assert model.refused == [[wrong] if wrong in gone else []] * n_members


def test_members_that_failed_are_waited_for_no_more() -> None:
    """Each note is answered once; others' groups are as before."""
    model = CollectorModel(3, 2)

    def note(position: int, line: int, leader: int) -> None:
        model.note(position, Note(line_hash(64 * line), line, leader))

    model.read(0, 64, 1, 0b011)
    model.read(1, 128, 2, 0b100)
    note(0, 1, 0)
    model.fail(0b010)
    assert model.refused == [[1], [], []]
    note(1, 5, 0)
    assert model.refused == [[1], [5], []]
    model.fail(0b001)
    note(1, 6, 0)
    note(0, 6, 0)  # the leader's own note waits for its read
    assert model.refused == [[1], [5, 6], []]
    model.read(0, 384, 6, 0b011)
    assert model.refused == [[1, 6], [5, 6], []]
    model.fail(0)
    note(2, 2, 2)
    model.read(0, 192, 3, 0b011)
    for position in range(2):
        note(position, 3, 0)
    assert model.released == [[Release(0, 192, 3, 0b011)], [Release(1, 128, 2, 0b100)]]
