# SPDX-License-Identifier: Apache-2.0
"""The model of the SRAM against plain dictionaries and the rules of SECDED in words."""

from sim.golden.sram import SramModel
from tb.common.seeds import python_rng

LINE = 16


def test_memory_without_faults_is_a_dictionary_of_bytes() -> None:
    """Strobes must select exactly their bytes."""
    rng = python_rng("golden sram")
    model, plain = SramModel(size_bytes=256), dict.fromkeys(range(256), 0)
    for _ in range(500):
        address = rng.randrange(256 // LINE) * LINE
        data, strobe = rng.randbytes(LINE), rng.getrandbits(LINE)
        model.write(address, data, strobe)
        plain |= {address + i: data[i] for i in range(LINE) if strobe >> i & 1}
        address = rng.randrange(256 // LINE) * LINE
        answer = model.read(address, LINE)
        assert answer.data == bytes(plain[address + i] for i in range(LINE))
        assert not answer.poison and answer.corrected == 0


def test_one_wrong_bit_is_corrected_and_two_are_not() -> None:
    """The rules of the slice, one by one."""
    model = SramModel(size_bytes=64)
    model.write(0, bytes(range(LINE)), 0xFFFF)
    model.inject(8, (71,))
    answer = model.read(0, LINE)
    assert (answer.corrected, answer.poison, answer.data) == (1, False, bytes(range(LINE)))
    model.inject(8, (3,))
    answer = model.read(0, LINE)
    assert (answer.corrected, answer.poison, answer.lost) == (0, True, (False, True))
    model.write(0, bytes(LINE), 0x0100)
    assert model.read(0, LINE).poison, "a partial write must not hide the loss"
    model.write(0, bytes(LINE), 0xFF00)
    assert model.read(0, LINE).data == bytes(range(8)) + bytes(8)
    assert not model.read(0, LINE).poison


def test_a_partial_write_corrects_in_place_and_a_second_fault_cancels_the_first() -> None:
    """One bit inverted twice is right; a corrected word may take a new single fault."""
    model = SramModel(size_bytes=64)
    model.inject(0, (5,))
    model.inject(0, (5,))
    assert model.read(0, LINE).corrected == 0
    model.inject(0, (5,))
    model.write(0, bytes(LINE), 1)
    model.inject(0, (6,))
    answer = model.read(0, LINE)
    assert (answer.corrected, answer.poison) == (1, False)
