# SPDX-License-Identifier: Apache-2.0
"""Reads that an element shares with others: tags on which all agree, room, waiting, faults."""

from collections import Counter
from typing import Any

import cocotb
import pytest

from hw.arch.commands import NEVER, Opcode
from hw.arch.csr import N_GROUPS
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.iface.multicast import groups_layout
from hw.pe.fi.geometry import Sharing
from hw.pe.fi.room import SharedRoom
from tb.common.cb_table import CbState
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import always, sometimes
from tb.unit.fi.programs import Region, random_dma
from tb.unit.fi.setting import MEMORY_BASE, MEMORY_SIZE, SIZES, Setting, fabric_interface
from tb.unit.fi.test_fabric_faults import quiet, return_to_reset, rows

SHARING = Sharing(n_positions=3, n_lines=4)
GROUPS = {
    "row": [0b110, 0b100, 0b011, 0b111],
    "column": [0b011, 0b011, 0b110, 0b001],
    "row_here": 0b100,
    "column_here": 0b001,
}
"""Row group 2 and column group 2 are of others."""
MINE = {"fi_in_row": (0, 1, 3), "fi_in_col": (0, 1, 3)}
LANES = ("fi_in_row", "fi_in_col")
HALF = MEMORY_SIZE // 2
BASES = {"fi_in_row": MEMORY_BASE, "fi_in_col": MEMORY_BASE + HALF}


class Partners:
    """The other members, who check that this one says what they would say."""

    def __init__(self, setting: Setting) -> None:
        self.memory = setting.memory
        self.asked, self.answered = setting.memory._streams["read"]
        self.n_shared: Counter[tuple[str, int]] = Counter()
        self.open: dict[str, dict[int, int]] = {name: {} for name in LANES}
        self.n_seen = self.n_answered = 0
        setting.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Follow requests and answers."""
        for item in self.answered.items[self.n_answered :]:
            for lines in self.open.values():
                lines.pop(item["tag"], None)
        self.n_answered = len(self.answered.items)
        for item in self.asked.items[self.n_seen :]:
            self._check(item)
        self.n_seen = len(self.asked.items)

    def _check(self, item: dict[str, int]) -> None:
        """A shared line has the next place of its engine's ring, and shares it with its group."""
        name = LANES[item["address"] >= BASES["fi_in_col"]]
        lines = self.open[name]
        if not item["multicast"]:
            assert item["tag"] < SIZES["tiny"]["reads_in_flight"]
            assert not lines, f"{name} sends a line of its own while it shares"
            return
        group, index = item["group"], LANES.index(name)
        place = self.n_shared[name, group] % SHARING.n_lines
        self.n_shared[name, group] += 1
        assert item["column"] == index
        assert item["mask"] == GROUPS["column" if index else "row"][group]
        expected = SIZES["tiny"]["reads_in_flight"] + SHARING.n_lines * index + place
        assert item["tag"] == expected and item["tag"] not in lines
        assert set(lines.values()) <= {group}, f"{name} shares with two groups at once"
        lines[item["tag"]] = group

    def drive(self) -> None:
        """Drives nothing."""

    def reset(self) -> None:
        """Knows nothing any more."""
        self.n_shared.clear()


def make(dut: Any, **options: Any) -> Setting:
    """A buffer for each engine; the groups are set."""
    buffers = {
        "fi_in_row": {1: CbState(base=0, depth=60)},
        "fi_in_col": {2: CbState(base=64, depth=60)},
        "fi_out": {3: CbState(base=128, depth=4, reserve=4, commit=4)},
    }
    setting = Setting(dut, buffers=buffers, sharing=SHARING, **options)
    setting.bench.port("groups").value = pack(groups_layout(SHARING.n_positions), GROUPS)
    setting.partners = Partners(setting)
    return setting


def hold(setting: Setting, *addresses: int) -> set[int]:
    """Shared lines of these engines, named by their bases, wait while they are in the set."""
    held = set(addresses)
    setting.memory.may_answer = lambda request: (
        not (request["multicast"] and request["address"] & ~(HALF - 1) in held)
    )
    return held


@cocotb.test()
async def random_programs_land_and_agree(dut: Any) -> None:
    """Commands of own and of several groups on both engines, the others' consent at any time."""
    rng = python_rng("multicast program")
    setting = make(dut, pauses=lambda: sometimes(0.3) if bench_parameters()["slow"] else always())
    await setting.bench.start()
    consent = python_rng("consent")
    setting.memory.may_answer = lambda request: not request["multicast"] or consent.random() < 0.2
    for tag in range(0, 90, 3):
        # A round ends when all is complete: the next one may use the same bytes again.
        for name in LANES:
            cb, state = next(iter(setting.buffers[name].items()))
            places = {"cb": cb, "depth": state.depth, "word_bytes": setting.word_bytes}
            for number in range(3):
                region = Region(base=BASES[name], size=HALF)
                job = random_dma(rng, **places, region=region, writes=False)
                group = rng.choice((None, *MINE[name]))
                setting.engines[name].send(job, tag + number, group=group)
                if job.nest.adv_level == NEVER:
                    break  # the next one would overwrite it
        for name in LANES:
            await setting.engines[name].done()
    assert len(setting.partners.n_shared) == sum(map(len, MINE.values()))


@cocotb.test()
async def a_ring_gives_its_rate(dut: Any) -> None:
    """n_lines / (L + 6) lines per cycle, L cycles from a request to its answer."""
    for latency in (0, 3, 20):
        setting = make(dut, eager=True, latency=latency, shuffle=False)
        await setting.bench.start()
        requests, answers = setting.memory._streams["read"]
        setting.engines["fi_in_row"].send(rows(1, n_rows=24), 1, group=0)
        await setting.engines["fi_in_row"].done()
        whole = answers.cycles[0] - requests.cycles[0]
        n, cycles = SHARING.n_lines, requests.cycles
        period = max(n, whole + 6)
        assert cycles[n * 16] - cycles[n * 4] == 12 * period, (latency, whole)
        return_to_reset(setting)


@cocotb.test()
async def who_waits_for_others_holds_up_nobody(dut: Any) -> None:
    """While the row's group does not answer, the column's engine goes on, shared or not; and the
    row's own next command waits for its place in the order."""
    for group in (None, 0):
        setting = make(dut)
        await setting.bench.start()
        held = hold(setting, BASES["fi_in_row"])
        setting.engines["fi_in_row"].send(rows(1), 1, group=0)
        setting.engines["fi_in_row"].send(rows(1), 2)
        await setting.bench.wait(60)
        assert len(setting.memory.reads) == 0
        assert setting.status("fi_in_row")["state"] == State.WAIT_TAGS
        for tag in range(3):
            setting.engines["fi_in_col"].send(rows(2, address=BASES["fi_in_col"]), tag, group=group)
        await setting.engines["fi_in_col"].done()
        assert not setting.engines["fi_in_row"].completions.items
        held.clear()
        await setting.engines["fi_in_row"].done()
        return_to_reset(setting)


@cocotb.test()
async def groups_and_disagreement_trap(dut: Any) -> None:
    """A command of a group of others, and a line on which the members do not agree."""
    for name, cb in zip(LANES, (1, 2), strict=True):
        setting = make(dut)
        await setting.bench.start()
        setting.engines[name].send(rows(cb, address=BASES[name]), 77, group=2)
        await trapped(setting, name, Trap.MULTICAST_GROUP, 2)
        assert not setting.memory.reads
        return_to_reset(setting)
        setting = make(dut)
        await setting.bench.start()
        wrong = BASES[name] + 16 * 9
        setting.memory.bad.add(wrong)
        setting.memory.poisoned.add(wrong)
        other, other_cb = ("fi_in_col", 2) if name == "fi_in_row" else ("fi_in_row", 1)
        setting.engines[other].send(rows(other_cb, address=BASES[other]), 5, group=0)
        setting.engines[name].send(rows(cb, address=BASES[name]), 77, group=0)
        await trapped(setting, name, Trap.MULTICAST_MISMATCH, wrong & 0xFFFF_FFFF)
        await setting.engines[other].done()
        return_to_reset(setting)


async def trapped(setting: Setting, name: str, cause: Trap, info: int) -> None:
    """The engine shows this trap, completes nothing, and turns idle."""
    await setting.bench.until(lambda: setting.trap(name)["valid"], 1000)
    expected = {"valid": 1, "cause": cause, "opcode": Opcode.DMA_IN, "tag": 77, "info": info}
    assert setting.trap(name) == expected
    await setting.bench.until(lambda: setting.idle(name), 500)
    assert not setting.engines[name].completions.items


@cocotb.test()
async def halt_waits_for_every_answer(dut: Any) -> None:
    """A line that was noted is answered, sooner or later; until then the engine is not idle."""
    for n_cycles in (9, 12, 20, 60):
        setting = make(dut)
        await setting.bench.start()
        held = hold(setting, *BASES.values())
        for name, cb in zip(LANES, (1, 2), strict=True):
            setting.engines[name].send(rows(cb, address=BASES[name]), 1, group=3)
        await setting.bench.wait(n_cycles)
        for name in LANES:
            dut[f"{name}__halt"].value = 1
        await setting.bench.wait(40)
        requests = setting.memory._streams["read"][0]
        n_asked = len(requests.items)
        assert setting.idle("fi_in_row") == (n_asked == 0)
        held.clear()
        await quiet(setting, *LANES)
        assert len(requests.items) == n_asked
        for name in LANES:
            dut[f"{name}__halt"].value = 0
        return_to_reset(setting)


@cocotb.test()
async def counting_begins_anew_after_a_reset(dut: Any) -> None:
    """The first line of a group has the first place again, whatever was on its way."""
    for n_cycles in (8, 15, 25):
        setting = make(dut)
        await setting.bench.start()
        hold(setting, *BASES.values())
        setting.engines["fi_in_row"].send(rows(1), 1, group=0)
        await setting.bench.wait(n_cycles)
        return_to_reset(setting)
        again = make(dut)
        await again.bench.start(reset_cycles=4)
        again.engines["fi_in_row"].send(rows(1), 2, group=0)
        await again.engines["fi_in_row"].done()
        assert again.partners.n_shared["fi_in_row", 0] == 32
        return_to_reset(again)


RANDOM = "random_programs_land_and_agree"


@pytest.mark.parametrize("slow", [False, True])
def test_multicast(slow: bool) -> None:
    """All of it without pauses, random programs with."""
    run_bench(
        fabric_interface("tiny", SHARING),
        name="fabric_interface_shared",
        test_module=__name__,
        parameters={"slow": slow},
        testcase=RANDOM if slow else None,
    )


def test_impossible_sizes_are_refused() -> None:
    """Each with its own sentence."""
    for arguments, sentence in (
        ({"n_positions": 1, "n_lines": 4}, "Sharing n_positions must be 2 to 16, not 1."),
        ({"n_positions": 3, "n_lines": 3},
         "Sharing n_lines must be a power of two from 2 to 64, not 3."),
    ):  # fmt: skip
        with pytest.raises(ValueError) as error:
            Sharing(**arguments)
        assert str(error.value) == sentence
    with pytest.raises(ValueError, match=r"^SharedRoom n_places must be a power of two, at least"):
        SharedRoom(n_places=6)
    assert N_GROUPS == len(GROUPS["row"])
