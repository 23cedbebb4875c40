# SPDX-License-Identifier: Apache-2.0
"""The models of the network against second sources."""

import pytest

from hw.net import flits
from sim.golden.net import HASH_BITS, CollectorModel, Release, line_hash
from tb.common.seeds import python_rng

WIDTH = 46  # of an address and a tag of 6 bits


def hash_by_parity(number: int) -> int:
    """Second source: bit b of the hash is the parity of every eighth bit from b on."""
    bits = [sum(number >> at & 1 for at in range(b, WIDTH, HASH_BITS)) & 1 for b in range(8)]
    return sum(bit << at for at, bit in enumerate(bits))


def test_hash_is_the_parity_of_every_eighth_bit() -> None:
    """A bit of the address that no bit of the hash looks at would let two lines pass as one."""
    rng = python_rng("hash")
    assert HASH_BITS == flits.HASH_BITS
    for number in [rng.getrandbits(WIDTH) for _ in range(300)]:
        address, tag = number & (1 << 40) - 1, number >> 40
        assert line_hash(address, tag) == hash_by_parity(number)
        for bit in range(WIDTH):
            other = number ^ 1 << bit
            assert line_hash(other & (1 << 40) - 1, other >> 40) != line_hash(address, tag)


@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_release_is_at_the_last_arrival_whatever_the_order(n_members: int) -> None:
    """Second source: the k-th read goes with the last of itself and the k-th notes of all."""
    rng, mask = python_rng("collector model"), (1 << n_members) - 1
    for _ in range(50):
        model, arrived = CollectorModel(n_members, 2), [0] * (n_members + 1)
        events = [who for who in range(n_members + 1) for _ in range(4)]
        rng.shuffle(events)
        wrong = rng.randrange(4) if rng.random() < 0.5 else None
        for who in events:
            at, before = arrived[who], min(arrived)
            arrived[who] += 1
            if who == n_members:
                gone = model.read(1, 64 * at, at, mask)
            else:
                gone = model.note(who, line_hash(64 * at, at) ^ (who == 0 and at == wrong))
            expected = [
                Release(1, 64 * line, line, mask, line == wrong)
                for line in range(before, min(arrived))
            ]
            assert gone == expected


def test_cleared_member_is_waited_for_no_more() -> None:
    """Its notes go, its reads go without it and are marked, others' are as before."""
    model = CollectorModel(3, 2)
    model.read(0, 64, 1, 0b011)
    model.read(1, 128, 2, 0b100)
    model.note(0, line_hash(64, 1))
    assert model.clear(0b010) == [Release(0, 64, 1, 0b001, True)]
    assert model.note(1, 5) == []
    assert model.clear(0) == []
    assert model.note(2, line_hash(128, 2)) == [Release(1, 128, 2, 0b100, False)]
    model.read(0, 192, 3, 0b011)
    model.note(0, line_hash(192, 3))
    assert model.note(1, line_hash(192, 3)) == [Release(0, 192, 3, 0b011, False)]
