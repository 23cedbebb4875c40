# SPDX-License-Identifier: Apache-2.0
"""The SRAM wrappers, both as emitted Verilog in Verilator and as Amaranth memories."""

import random
import time
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.generate import emit_verilog
from hw.lib.sram import DualPortSram, Sram, SramShape
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import Bench

SHAPES = {
    "bytes": (32, 24, 8),  # width, depth, lane width; a depth that is no power of two
    "word": (72, 16, 72),
    "bits": (5, 2, 1),
    "line": (256, 64, 8),
}


class Rack(wiring.Component):
    """One memory of each shape side by side, so that one build tests them all."""

    def __init__(self, kind: type[Sram] | type[DualPortSram]) -> None:
        self.memories = {
            name: kind(width=width, depth=depth, lane_width=lane)
            for name, (width, depth, lane) in SHAPES.items()
        }
        super().__init__({name: Out(dut.signature) for name, dut in self.memories.items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, dut in self.memories.items():
            m.submodules[name] = dut
            port = getattr(self, name)
            for member, shape in dut.signature.members.items():
                inner, outer = getattr(dut, member), getattr(port, member)
                m.d.comb += inner.eq(outer) if shape.flow is In else outer.eq(inner)
        return m


class MemoryModel:
    """Contents and output of one memory; None is what may be anything."""

    def __init__(self, name: str) -> None:
        self.width, self.depth, self.lane = SHAPES[name]
        self.n_lanes = self.width // self.lane
        self.lanes: list[list[int | None]] = [[None] * self.n_lanes for _ in range(self.depth)]
        self.shown: list[int | None] = [None] * self.n_lanes

    def read(self, addr: int) -> None:
        self.shown = list(self.lanes[addr])

    def write(self, addr: int, mask: int, data: int) -> None:
        for lane in range(self.n_lanes):
            if mask >> lane & 1:
                self.lanes[addr][lane] = data >> lane * self.lane & (1 << self.lane) - 1

    def check(self, r_data: int) -> int:
        """Compare what the memory shows; the number of lanes that were known."""
        for lane, wanted in enumerate(self.shown):
            found = r_data >> lane * self.lane & (1 << self.lane) - 1
            assert wanted in (None, found), f"lane {lane}: found {found:#x}, expected {wanted:#x}"
        return sum(lane is not None for lane in self.shown)


def random_mask(rng: random.Random, n_lanes: int) -> int:
    """No lane, all lanes, one lane, or any."""
    return rng.choice(
        (0, (1 << n_lanes) - 1, 1 << rng.randrange(n_lanes), rng.getrandbits(n_lanes))
    )


def single_port_inputs(rng: random.Random, model: MemoryModel) -> dict[str, int]:
    """One random cycle of a 1RW memory, applied to the model."""
    values = {
        "en": int(rng.random() < 0.8),
        "addr": rng.randrange(model.depth),
        "w_mask": random_mask(rng, model.n_lanes),
        "w_data": rng.getrandbits(model.width),
    }
    if values["en"] and values["w_mask"]:
        model.write(values["addr"], values["w_mask"], values["w_data"])
    elif values["en"]:
        model.read(values["addr"])
    return values


def dual_port_inputs(rng: random.Random, model: MemoryModel) -> dict[str, int]:
    """One random cycle of a 1R1W memory, often with both ports on one word."""
    r_addr = rng.randrange(model.depth)
    values = {
        "r_en": int(rng.random() < 0.8),
        "r_addr": r_addr,
        "w_addr": rng.choice((r_addr, rng.randrange(model.depth))),
        "w_mask": random_mask(rng, model.n_lanes),
        "w_data": rng.getrandbits(model.width),
    }
    if values["r_en"]:
        model.read(r_addr)
    model.write(values["w_addr"], values["w_mask"], values["w_data"])
    return values


INPUTS = {"single": single_port_inputs, "dual": dual_port_inputs}
KINDS: dict[str, Any] = {"single": Sram, "dual": DualPortSram}


@cocotb.test()
async def random_accesses_show_what_was_written(dut: Any) -> None:
    """Random reads, lane writes and idle cycles in every memory of the rack."""
    inputs = INPUTS[bench_parameters()["kind"]]
    bench, rng = Bench(dut), python_rng("sram")
    models = {name: MemoryModel(name) for name in SHAPES}
    n_known = dict.fromkeys(SHAPES, 0)
    await bench.start()
    for _ in range(1500):
        for name, model in models.items():
            for port, value in inputs(rng, model).items():
                dut[f"{name}__{port}"].value = value
        await bench.wait(1)
        await cocotb.triggers.ReadOnly()
        for name, model in models.items():
            n_known[name] += model.check(int(dut[f"{name}__r_data"].value))
        await cocotb.triggers.Timer(1, unit="ns")
    assert min(n_known.values()) > 200


@cocotb.test()
async def contents_at_start_depend_on_the_seed(dut: Any) -> None:
    """Unwritten words are random, so that no test can rely on zeros."""
    if bench_parameters()["kind"] != "single":
        return
    bench = Bench(dut)
    await bench.start()
    dut["line__en"].value, dut["line__w_mask"].value = 1, 0
    words = set()
    for addr in range(32):
        dut["line__addr"].value = addr
        await bench.wait(1)
        await cocotb.triggers.ReadOnly()
        words.add(int(dut["line__r_data"].value))
        await cocotb.triggers.Timer(1, unit="ns")
    assert len(words) == 32


@pytest.mark.parametrize("kind", KINDS)
def test_emitted_memory(kind: str) -> None:
    """The Verilog behind the wrapper, in Verilator."""
    run_bench(
        Rack(KINDS[kind]),
        name=f"sram_{kind}",
        test_module=__name__,
        parameters={"kind": kind},
    )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_amaranth_memory_does_the_same(kind: str, name: str) -> None:
    """What proofs and synthesis see obeys the same model."""
    width, depth, lane_width = SHAPES[name]
    dut = KINDS[kind](width=width, depth=depth, lane_width=lane_width)
    rng, model = python_rng(f"memory {kind} {name}"), MemoryModel(name)

    async def testbench(ctx: Any) -> None:
        for _ in range(600):
            for port, value in INPUTS[kind](rng, model).items():
                ctx.set(getattr(dut, port), value)
            await ctx.tick()
            model.check(ctx.get(dut.r_data))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def test_module_name_tells_the_shape() -> None:
    """Names and shapes go both ways, so that a flow can list the macros it needs."""
    for n_ports in (1, 2):
        shape = SramShape(n_ports=n_ports, depth=4096, width=256, lane_width=8)
        assert SramShape.parse(shape.module_name) == shape
        assert f"module {shape.module_name}(" in shape.black_box()
    assert SramShape.parse("sram_1rw_d4096_w256_l8").n_bits == 1 << 20
    assert SramShape.parse("clock_gate") is None
    text = emit_verilog(Rack(Sram), name="rack")
    for width, depth, lane in SHAPES.values():
        assert text.count(f"module sram_1rw_d{depth}_w{width}_l{lane}(") == 1


def test_verilog_of_a_huge_memory_is_short() -> None:
    """128 MB in one array: emitted at once, without a line per word."""
    start = time.perf_counter()
    text = emit_verilog(Sram(width=576, depth=1 << 21, lane_width=72), name="huge")
    assert len(text) < 3000
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 8, "depth": 1}, "SRAM depth must be at least 2 words, not 1."),
        ({"width": 0, "depth": 8}, "SRAM width must be at least 1 bit, not 0."),
        (
            {"width": 20, "depth": 8, "lane_width": 8},
            "SRAM lane_width must divide the width of 20 bits, which 8 does not.",
        ),
        (
            {"width": 20, "depth": 8, "lane_width": 0},
            "SRAM lane_width must divide the width of 20 bits, which 0 does not.",
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_sizes_are_refused(kind: str, arguments: dict[str, int], message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        KINDS[kind](**arguments)
    assert str(error.value) == message


def test_bad_number_of_ports_is_refused() -> None:
    """Two kinds exist."""
    with pytest.raises(ValueError, match=r"^SRAM n_ports must be 1 or 2, not 3\.$"):
        SramShape(n_ports=3, depth=4, width=4, lane_width=4)
