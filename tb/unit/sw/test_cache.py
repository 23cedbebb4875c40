# SPDX-License-Identifier: Apache-2.0
"""Caches as the runtime sees them: what it writes, and what it says when something is wrong."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hw.arch.address_map import DRAM
from hw.arch.cache import CacheOp
from hw.config import PRESETS, ChipConfig, ConfigError
from hw.config.override import overridden
from sw.errors import UserError
from sw.runtime.cache import Caches
from sw.runtime.grid_gemm import prepare_grid_gemm
from tb.unit.sw.refusals import gemm_error

TINY = PRESETS["tiny"]
NONE = overridden(TINY, ["sram.cache_ways=0"])


class Page:
    """Registers that keep what is written; the status is a list of answers."""

    def __init__(self, *status: int) -> None:
        self.status, self.written = list(status), list[tuple[str, int]]()

    def set_register(self, name: str, value: int) -> None:
        """Keep it."""
        self.written.append((name, value))

    def register(self, name: str) -> int:
        """The next answer, or what was written last."""
        if name == "CACHE_STATUS":
            return self.status.pop(0)
        return dict(self.written)[name]


def caches(page: Page, config: ChipConfig = TINY) -> Caches:
    """What is under test."""
    return Caches(page, config)  # pyright: ignore[reportArgumentType]


def test_a_range_goes_out_to_whole_lines() -> None:
    """All lines that it touches, then the command, then waiting until the cache rests."""
    page = Page(1, 1, 0)
    caches(page).range("invalidate", DRAM.base + 3 * 16 + 5, 40)
    assert page.written == [
        ("CACHE_FIRST", 3),
        ("CACHE_LAST", 5),
        ("CACHE_COMMAND", CacheOp.INVALIDATE),
    ]
    assert not page.status


@pytest.mark.parametrize(
    ("op", "address", "n_bytes", "words"),
    [
        ("clean", DRAM.base, 16, "A cache can flush, invalidate, drop, prefetch, not 'clean'."),
        ("flush", DRAM.base - 16, 16, "are no range of DRAM"),
        ("flush", DRAM.base, 0, "0 bytes from .* are no range of DRAM"),
        ("flush", DRAM.base, TINY.dram.size_bytes + 1, "are no range of DRAM"),
        ("drop", DRAM.base + 8, 16, "do not begin and end with a line of 16 bytes"),
        ("drop", DRAM.base, 24, "do not begin and end with a line of 16 bytes"),
    ],
)
def test_what_cannot_be_is_refused(op: str, address: int, n_bytes: int, words: str) -> None:
    """Before any register is written."""
    page = Page()
    with pytest.raises(UserError, match=words):
        caches(page).range(op, address, n_bytes)
    assert not page.written


def test_ways_are_those_that_were_built() -> None:
    """None is always possible; what SRAM remains follows."""
    page = Page(0)
    caches(page).set_ways(3)
    assert page.written == [("CACHE_WAYS", 3)]
    assert caches(page).scratchpad_bytes() == TINY.sram.size_bytes * 5 // 8
    for n_ways in (-1, 9):
        with pytest.raises(UserError, match=f"tiny has slices of 8 ways.* not {n_ways} ways"):
            caches(Page()).set_ways(n_ways)
    without = Page()
    caches(without, NONE).set_ways(0)
    assert not without.written
    assert caches(without, NONE).scratchpad_bytes() == TINY.sram.size_bytes
    with pytest.raises(UserError, match="tiny has no cache, not 1 ways"):
        caches(without, NONE).set_ways(1)
    with pytest.raises(UserError, match="tiny has no cache"):
        caches(without, NONE).range("flush", DRAM.base, 16)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cache-ways", "3"), "--cache-ways needs --grid; a chip of one element has no cache."),
        (("--grid", "--cache-ways", "9"), "of which 0 to 8 may be cache, not 9 ways."),
        (("--grid", "--cache-ways", "-1"), "of which 0 to 8 may be cache, not -1 ways."),
        (("--grid", "--cache-ways", "8", "--place", "sram"), "has 0 in SRAM beside 8 ways of"),
        (("--grid", "--cache-ways", "few"), "Invalid value for '--cache-ways'"),
    ],
)
def test_ways_that_the_command_line_refuses(
    options: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one sentence, before anything is built."""
    error = gemm_error(options, tmp_path, capsys, monkeypatch)
    assert sentence in " ".join(error.split()) and error.count("\n") == 1


def test_operands_keep_out_of_ways_that_are_cache() -> None:
    """What is too large for the rest of the SRAM goes to DRAM; a half of it is there still."""
    a, b = np.ones((256, 300), np.int8), np.ones((300, 16), np.int8)
    memories = [prepare_grid_gemm(TINY, a, b, cache_ways=ways).spot.memory for ways in (0, 4, 6, 8)]
    assert memories == ["sram", "sram", "dram", "dram"]


@pytest.mark.parametrize(
    ("status", "words"), [(2, "SRAM has lost a word"), (6, "lost a word"), (4, "DRAM refused")]
)
def test_lines_that_did_not_arrive_are_told_once(status: int, words: str) -> None:
    """The sticky bits are cleared."""
    page = Page(1 | status, status, 0)
    with pytest.raises(UserError, match=words):
        caches(page).range("flush", DRAM.base, 16)
    assert page.written[-1] == ("CACHE_STATUS", 0)
    caches(page).set_ways(0)


@pytest.mark.parametrize(
    ("member", "change", "words"),
    [
        ("tiny", "sram.cache_ways=3", "it must be 0 or a power of two from 2 to 16"),
        ("tiny", "sram.cache_ways=1", "it must be 0 or a power of two from 2 to 16"),
        ("tiny", "sram.cache_ways=32", "it must be 0 or a power of two from 2 to 16"),
        ("fpga", "sram.cache_ways=8", "a chip with one element has no cache"),
    ],
)
def test_members_that_cannot_be_built(member: str, change: str, words: str) -> None:
    """With the sentence that says why."""
    with pytest.raises(ConfigError, match=words):
        overridden(PRESETS[member], [change])


def test_each_way_has_two_lines() -> None:
    """Less is no set."""
    sram = dataclasses.replace(TINY.sram, size_bytes=4 * 16 * 8)
    with pytest.raises(ConfigError, match="must be at most 4, so that each way of a slice of 8"):
        dataclasses.replace(TINY, sram=sram).validate()


def test_a_member_without_a_cache_is_what_it_was() -> None:
    """Its digest, which is in the hardware, was taken before there were caches."""
    assert NONE.digest() == "d9486853" != TINY.digest()
    assert PRESETS["fpga"].digest() == "977a22b6"
