# SPDX-License-Identifier: Apache-2.0
"""The address generator against plain nested loops: addresses, steps, grants, and its rate."""

import random
from dataclasses import asdict, replace
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout
from cocotb.utils import get_sim_time

from hw.arch.commands import LEVELS, NEVER
from hw.iface.pe import CbRole
from hw.lib.address_generator import AddressGenerator, address_layout, nest_layout
from hw.lib.loop_nest import LoopOffset
from sim.golden.address import Buffer, Nest, walk
from tb.common.cb_table import CbPortModel, CbState
from tb.common.payload import pack
from tb.common.runner import CLOCK_PERIOD_NS, run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, always, check_equal, sometimes

BUILDS = {
    "bytes": {"address_width": 14, "unit_bytes": 1, "role": CbRole.PRODUCER, "stride_width": 20},
    "words": {"address_width": 11, "unit_bytes": 8, "role": CbRole.CONSUMER, "stride_width": 16},
    "lines": {"address_width": 8, "unit_bytes": 64, "role": CbRole.CONSUMER, "stride_width": 16},
    "held": {
        "address_width": 11,
        "unit_bytes": 8,
        "role": CbRole.CONSUMER,
        "stride_width": 16,
        "staged": True,
        "held": True,
    },
    "announced": {
        "address_width": 14,
        "unit_bytes": 1,
        "role": CbRole.CONSUMER,
        "stride_width": 20,
        "announced": True,
    },
}
LS_BYTES = 1 << 14


class Announced(wiring.Component):
    """A generator that is shown every nest for a cycle before the nest is valid to it."""

    def __init__(self, generator: AddressGenerator) -> None:
        self.generator = generator
        super().__init__(generator.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.generator = inner = self.generator
        for name in ("acquire", "grant", "addresses"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(inner, name))
        shown = Signal()
        m.d.sync += shown.eq(self.nest.valid & ~self.nest.ready)
        m.d.comb += [
            inner.nest.payload.eq(self.nest.payload),
            inner.nest.valid.eq(self.nest.valid & shown),
            self.nest.ready.eq(inner.nest.ready & shown),
            inner.stop.eq(self.stop),
            self.busy.eq(inner.busy),
            self.waiting.eq(inner.waiting),
        ]
        return m


def random_nest(rng: random.Random, units: int, depth: int) -> Nest:
    """A nest that stays inside its buffer, with corners in every field."""
    room = depth * units
    counts, strides, low, high = [], [], 0, 0
    for _ in range(LEVELS):
        count = rng.choice((1, 1, 2, 3, rng.randint(1, 6)))
        left = room - 1 - (high - low)
        reach = left // max(count - 1, 1)
        stride = rng.choice((0, 1, -1, reach, -reach, rng.randint(-reach, reach)))
        stride = max(-reach, min(reach, stride))
        low, high = low + min(0, stride * (count - 1)), high + max(0, stride * (count - 1))
        counts.append(count)
        strides.append(stride)
    step_level = rng.randint(0, LEVELS)
    inner = rng.randint(0, 1)
    tail_level = rng.randint(0, 7)
    return Nest(
        counts=tuple(counts),
        strides=tuple(strides),
        offset=rng.choice((-low, room - 1 - high, rng.randint(-low, room - 1 - high))),
        cb=rng.randrange(64),
        step_level=step_level,
        adv_level=rng.choice((NEVER, rng.randint(step_level, 6))),
        need=rng.choice((0, 1, 0xFFFF, rng.randrange(1 << 16))),
        adv=rng.choice((1, depth, rng.randint(1, depth))),
        tail_level=tail_level,
        tail_inner=inner,
        tail_count=rng.choice((0, 0, rng.randint(1, counts[inner]))),
        # Steps differ in the tail only if the tail consists of whole steps.
        tail_adv=rng.choice((0, rng.randint(1, depth))) * (step_level <= tail_level < LEVELS),
    )


def far_nest(rng: random.Random, depth: int) -> Nest:
    """A nest that leaves its buffer on both sides, and stays inside the sums' width."""
    near = replace(random_nest(rng, 1, depth), tail_adv=0)
    return replace(
        near,
        counts=tuple(min(count, 3) for count in near.counts),
        strides=tuple(rng.choice((1, -1, rng.randint(-4096, 4096))) for _ in range(LEVELS)),
        offset=rng.choice((0, 1, rng.randrange(64), rng.randrange(1 << 14))),
        tail_count=0,
    )


def corner_nests(rng: random.Random, width: int, depth: int) -> list[Nest]:
    """Nests that come to plus and minus every power of two, by each level's stride once."""
    nests = []
    for bit in range(width - 1):
        for goal in (1 << bit, -1 << bit):
            level, stride = rng.randrange(LEVELS), rng.randint(-64, 64)
            offset = goal - stride
            if offset < 0 or rng.random() < 0.3:
                offset, stride = 0, goal
            nest = Nest(
                counts=tuple(1 + (at == level) for at in range(LEVELS)),
                strides=tuple(stride * (at == level) for at in range(LEVELS)),
                offset=offset,
                cb=rng.randrange(64),
                step_level=rng.choice((0, LEVELS)),
                adv=depth,
            )
            nests.append(nest)
    return nests


def expected(
    nests: list[Nest], buffers: dict[int, CbState], unit_bytes: int, address_width: int
) -> tuple[list, list]:
    """What the generator has to ask, and to say; an address outside is not compared."""
    acquires, addresses = [], []
    units = 64 // unit_bytes
    copies = {cb: Buffer(base=state.base, depth=state.depth) for cb, state in buffers.items()}
    for nest in nests:
        for step in walk(nest, copies[nest.cb], unit_bytes):
            acquires.append((nest.cb, step.extent, step.advance))
            for n, address in enumerate(step.addresses):
                inside = 0 <= nest.relative(address.index) < copies[nest.cb].depth * units
                inside = inside and address.address < 1 << address_width
                addresses.append(
                    {
                        "address": address.address if inside else None,
                        "outside": int(not inside),
                        "last": address.last,
                        "step_first": int(n == 0),
                        "step_end": int(n == len(step.addresses) - 1),
                        "advance": step.advance,
                        "cb": nest.cb,
                        "base": copies[nest.cb].base,
                        "depth": copies[nest.cb].depth,
                    }
                )
    return acquires, addresses


class Setting:
    """The generator with its table, its source of nests and its sink of addresses."""

    def __init__(
        self, dut: Any, *, eager: bool, for_source: Any = None, for_sink: Any = None
    ) -> None:
        self.build = BUILDS[bench_parameters()["build"]]
        self.held, self.staged = (self.build.get(name, False) for name in ("held", "staged"))
        self.units = 64 // self.build["unit_bytes"]
        self.bench = Bench(dut)
        dut.stop.value = 0
        self.buffers: dict[int, CbState] = {}
        self.table = CbPort(self.bench, self.buffers, eager, for_source)
        nests = nest_layout(self.build["stride_width"])
        addresses = address_layout(self.build["address_width"])
        self.nests = self.bench.source("nest", nests, for_source or always())
        self.addresses = self.bench.sink("addresses", addresses, for_sink or always())
        if self.staged:
            self.bench.add(Room(dut, for_sink or always()))

    def make_buffers(self, rng: random.Random) -> None:
        """64 buffers anywhere in local memory, overlapping as they like."""
        for cb in range(64):
            depth = rng.choice((1, 2, 3, 8, rng.randint(1, LS_BYTES // 64)))
            self.buffers[cb] = CbState(base=rng.randint(0, LS_BYTES // 64 - depth), depth=depth)

    def nest(self, rng: random.Random) -> Nest:
        """A random nest over one of the buffers."""
        nest = random_nest(rng, self.units, 1)
        return replace(random_nest(rng, self.units, self.buffers[nest.cb].depth), cb=nest.cb)

    async def check(self, nests: list[Nest]) -> None:
        """Walk the nests and compare everything."""
        acquires, addresses = expected(
            nests, self.buffers, self.build["unit_bytes"], self.build["address_width"]
        )
        n_before = len(self.table.acquires)
        self.nests.send_all(asdict(nest) for nest in nests)
        found = await self.addresses.receive(len(addresses))
        found = [item | ({"address": None} if item["outside"] else {}) for item in found]
        check_equal(found, addresses, "address")
        asked = [(a["cb"], a["extent"], a["advance"]) for a in self.table.acquires[n_before:]]
        check_equal(asked, acquires, "acquire")
        assert {a["role"] for a in self.table.acquires} == {self.build["role"]}


class Room:
    """Tells a staged generator whether there is room, with pauses."""

    def __init__(self, dut: Any, pauses: Any) -> None:
        self.dut, self.pauses, self.rng = dut, pauses, python_rng("room")
        self.reset()

    def sample(self, cycle: int) -> None:
        """Addresses go to the sink."""

    def drive(self) -> None:
        """Decide for the next cycle."""
        self.dut.room.value = int(not self.pauses(self.rng))

    def reset(self) -> None:
        """No room."""
        self.dut.room.value = 0


class CbPort(CbPortModel):
    """The generator's half of a CB port, granted after a random delay."""

    def __init__(self, bench: Bench, buffers: dict, eager: bool, pauses: Any) -> None:
        super().__init__(bench, "", buffers, pauses=pauses, eager=eager)

    def _allows(self) -> bool:
        return not self._pauses(self._rng)


@cocotb.test()
async def addresses_equal_nested_loops(dut: Any) -> None:
    """Random nests give the addresses, flags and acquires of plain loops."""
    for_source, for_sink = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    rng = python_rng("nests")
    setting = Setting(dut, eager=False, for_source=for_source(), for_sink=for_sink())
    setting.make_buffers(rng)
    await setting.bench.start()
    await setting.check([setting.nest(rng) for _ in range(60)])


@cocotb.test()
async def one_address_per_cycle(dut: Any) -> None:
    """Steps of n addresses take max(n, 3) cycles when granted at once, the first comes after 5.

    Staged, they take max(n, 4) cycles. A held nest is taken the cycle before its last address then,
    and `next_nest_follows` tells when it begins.
    """
    setting = Setting(dut, eager=True)
    for n in (1, 2, 3, 4, 7):
        setting.buffers[5] = CbState(base=0, depth=20)
        await setting.bench.reset() if n > 1 else await setting.bench.start()
        nest = Nest(
            counts=(n, 1, 4, 3, 1),
            strides=(1, 0, 0, 0, 0),
            cb=5,
            step_level=2,
            need=1,
            adv_level=2,
            adv=3,
        )
        n_before = len(setting.addresses.cycles)
        await setting.check([nest])
        cycles = setting.addresses.cycles[n_before:]
        taken = setting.nests.cycles[-1]
        assert cycles[-1] == taken + 1 if setting.held else cycles[0] == taken + 5
        assert cycles[-1] - cycles[0] == 11 * max(n, 3 + setting.staged) + n - 1


@cocotb.test()
async def next_nest_follows(dut: Any) -> None:
    """From a nest's last address to the first of the next pass 5 cycles, staged 6."""
    setting = Setting(dut, eager=True)
    setting.buffers[1] = CbState(base=0, depth=4)
    await setting.bench.start()
    nest = Nest(counts=(4, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0), cb=1, step_level=1)
    await setting.check([nest] * 2)
    assert setting.addresses.cycles[4] - setting.addresses.cycles[3] == 5 + setting.staged


@cocotb.test()
async def stop_drops_everything(dut: Any) -> None:
    """Under stop at most the step asked for is acquired; afterwards the generator is as new."""
    rng = python_rng("stop")
    setting = Setting(dut, eager=False, for_source=sometimes(0.6))
    setting.make_buffers(rng)
    await setting.bench.start()
    for n_cycles in range(24):
        nest = setting.nest(rng)
        setting.nests.send(asdict(replace(nest, counts=(2, 2, 2, 2, 2))))
        await setting.bench.until(lambda: dut.busy.value)
        await setting.bench.wait(n_cycles)
        dut.stop.value = 1
        await setting.bench.wait(1)
        n_acquires = len(setting.table.acquires)
        await setting.bench.until(lambda: not dut.acquire__valid.value)
        await setting.bench.wait(3)
        assert len(setting.table.acquires) <= n_acquires + 1
        assert not dut.busy.value and not dut.addresses__valid.value
        for state in setting.buffers.values():
            state.claim = state.reserve = 0
        setting.addresses._n_taken = len(setting.addresses.items)
        setting.nests.reset()  # one that is held is still there
        dut.stop.value = 0
        await setting.check([setting.nest(rng)])


@cocotb.test()
async def outside_is_marked(dut: Any) -> None:
    """An address before or behind the buffer, or behind local memory, is marked."""
    setting = Setting(dut, eager=True)
    units = setting.units
    top = (1 << setting.build["address_width"]) // units
    setting.buffers[2] = CbState(base=top - 4, depth=4)
    setting.buffers[3] = CbState(base=top - 4, depth=8)
    await setting.bench.start()
    for cb, offset, stride, marks in (
        (2, 1, -1, (0, 0, 1, 1)),
        (2, 4 * units - 2, 1, (0, 0, 1, 1)),
        (3, 4 * units - 1, 1, (0, 1, 1, 1)),
    ):
        nest = Nest(
            counts=(4, 1, 1, 1, 1), strides=(stride, 0, 0, 0, 0), offset=offset, cb=cb, step_level=1
        )
        setting.nests.send(asdict(nest))
        found = await setting.addresses.receive(4)
        assert tuple(item["outside"] for item in found) == marks


@cocotb.test()
async def nests_that_leave_the_buffer_are_marked(dut: Any) -> None:
    """A sum that loses its sign, or a bit, on the way would pass for an address inside."""
    rng = python_rng("far")
    setting = Setting(dut, eager=True)
    setting.make_buffers(rng)
    await setting.bench.start()
    nests = [far_nest(rng, 8) for _ in range(40)]
    nests += corner_nests(rng, setting.build["stride_width"], 1)
    nests = [replace(nest, adv=rng.randint(1, setting.buffers[nest.cb].depth)) for nest in nests]
    await setting.check(nests)


@cocotb.test()
async def long_counts_take_their_time(dut: Any) -> None:
    """Each level counts near to 2^16, in both walks: a wrong high bit would end it at another time.

    No agent looks on, so that these many cycles pass quickly.
    """
    build = BUILDS[bench_parameters()["build"]]
    shape = nest_layout(build["stride_width"])
    Clock(dut.clk, CLOCK_PERIOD_NS, unit="ns").start()
    dut.nest__valid.value = dut.stop.value = 0
    staged = build.get("staged", False)
    room = dut.room if staged else dut.addresses__ready
    room.value = dut.acquire__ready.value = dut.grant__valid.value = 1
    dut.grant__payload.value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0

    async def cycles_of(**fields: Any) -> float:
        dut.nest__payload.value = pack(shape, asdict(Nest(strides=(0,) * LEVELS, **fields)))
        dut.nest__valid.value = 1
        await RisingEdge(dut.clk)
        begin = get_sim_time("ns")
        await with_timeout(FallingEdge(dut.nest__ready), 300_000 * CLOCK_PERIOD_NS, "ns")
        dut.nest__valid.value = 0
        await with_timeout(FallingEdge(dut.busy), 300_000 * CLOCK_PERIOD_NS, "ns")
        await RisingEdge(dut.clk)
        return (get_sim_time("ns") - begin) / CLOCK_PERIOD_NS

    for step_level, pace in ((LEVELS, 1), (0, 3 + staged)):
        for level in range(LEVELS):
            short, long = [
                await cycles_of(
                    counts=tuple(count if at == level else 1 for at in range(LEVELS)),
                    step_level=step_level,
                )
                for count in (4, 0xFFF3)
            ]
            assert long - short == pace * (0xFFF3 - 4), (step_level, level)


@cocotb.test()
async def impossible_extents_stay_impossible(dut: Any) -> None:
    """A negative start, or a sum beyond 16 bits, asks for more than any buffer holds."""
    setting = Setting(dut, eager=True)
    setting.buffers[2] = CbState(base=0, depth=4)
    await setting.bench.start()
    for offset, stride, need in ((0, -1, 5), (64 * setting.units, 0, 0xFFFF)):
        strides = (stride, 0, 0, 0, 0)
        nest = Nest(counts=(2, 1, 1, 1, 1), strides=strides, offset=offset, cb=2, need=need)
        setting.nests.send(asdict(nest))
        await setting.addresses.receive(2)
        assert setting.table.acquires[-1]["extent"] == 0xFFFF


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
@pytest.mark.parametrize("build", BUILDS)
def test_address_generator(build: str, back_pressure: str) -> None:
    """All properties, for operands in bytes, words and lines, nests held, and shown beforehand."""
    generator = AddressGenerator(**BUILDS[build])
    run_bench(
        Announced(generator) if generator.announced else generator,
        name=f"address_generator_{build}",
        test_module=__name__,
        parameters={"build": build, "back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "addresses_equal_nested_loops",
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unit_bytes": 3}, "unit_bytes must be a power of two from 1 to 64, not 3"),
        ({"unit_bytes": 128}, "unit_bytes must be a power of two from 1 to 64, not 128"),
        ({"address_width": 0}, "address_width must be from 1 to 19 bits"),
        ({"address_width": 20}, "address_width must be from 1 to 19 bits"),
        ({"stride_width": 23}, "stride_width must be from 2 to 22 bits"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, int], sentence: str) -> None:
    """Each wrong parameter has its sentence."""
    with pytest.raises(ValueError, match=sentence):
        AddressGenerator(**BUILDS["bytes"] | change)


def test_loop_offset_refuses_narrow_offsets() -> None:
    """An offset needs a sign."""
    with pytest.raises(ValueError, match="offset_width must be 2 bits or more, not 1"):
        LoopOffset(offset_width=1)
