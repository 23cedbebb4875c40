# SPDX-License-Identifier: Apache-2.0
"""The trace port: it shows what units report, and every change of a circular buffer."""

import cocotb

from hw.arch.commands import Opcode, encode
from hw.arch.units import State
from hw.iface.pe import CbAcquire, CbDone, CbRole
from hw.iface.trace import BufferTrace, UnitTrace
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import python_rng
from tb.unit.cp.device import Device, command_processor


class BufferEvents:
    """Collects (cb, fill, depth) of every cycle in which the port shows a change."""

    def __init__(self, device: Device) -> None:
        self.seen: list[tuple[int, int, int]] = []
        port = device.bench.port
        self.valid = port("trace__buffer__valid")
        self.payload = port("trace__buffer__payload")
        device.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Look at this cycle."""
        if self.valid.value:
            item = unpack(BufferTrace, int(self.payload.value))
            self.seen.append((item["cb"], item["fill"], item["depth"]))

    def drive(self) -> None:
        """Nothing to drive."""

    def reset(self) -> None:
        """Nothing to forget."""


@cocotb.test()
async def units_are_shown_in_the_same_cycle(dut: object) -> None:
    """State, opcode and tag of every unit, at random; a trace that lags would not add up."""
    device = Device(dut)
    await device.bench.start()
    rng = python_rng("trace")
    for _ in range(50):
        for unit in device.units.values():
            unit.state = rng.choice(list(State))
            unit.tag, unit.opcode = rng.getrandbits(16), rng.choice(list(Opcode))
        await device.bench.wait(2)
        for unit, model in device.units.items():
            shown = unpack(UnitTrace, int(device.bench.port(f"trace__units__{unit:d}").value))
            assert shown == {"state": model.state, "opcode": model.opcode, "tag": model.tag}


@cocotb.test()
async def every_move_of_a_buffer_is_shown(dut: object) -> None:
    """Set-up, reserve, commit, claim and release; fill is what is committed and not released."""
    device = Device(dut)
    bench, events = device.bench, BufferEvents(device)
    await bench.start()
    device.send(0, encode(Opcode.CB, cb=8, base=3, depth=5))
    await bench.wait(6)

    async def acquire(port: str, role: CbRole, advance: int) -> None:
        request = {"cb": 8, "role": role, "extent": advance, "advance": advance}
        await move(port, "acquire", pack(CbAcquire, request))

    async def done(port: str, role: CbRole, advance: int) -> None:
        await move(port, "done", pack(CbDone, {"cb": 8, "role": role, "advance": advance}))

    async def move(port: str, stream: str, payload: int) -> None:
        bench.port(f"cb_{port}__{stream}__payload").value = payload
        bench.port(f"cb_{port}__{stream}__valid").value = 1
        await bench.until(lambda: bench.port(f"cb_{port}__{stream}__ready").value, 10)
        bench.port(f"cb_{port}__{stream}__valid").value = 0
        await bench.wait(2)

    await acquire("fi_in_row", CbRole.PRODUCER, 4)
    await done("fi_in_row", CbRole.PRODUCER, 3)
    await acquire("dpe_a", CbRole.CONSUMER, 2)
    await done("fi_in_row", CbRole.PRODUCER, 1)
    await done("dpe_a", CbRole.CONSUMER, 2)
    assert events.seen == [(8, fill, 5) for fill in (0, 0, 3, 3, 4, 2)]


def test_trace() -> None:
    """The trace port shows what happens, and when."""
    run_bench(command_processor(), name="command_processor", test_module=__name__)
