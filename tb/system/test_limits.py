# SPDX-License-Identifier: Apache-2.0
"""What the runtime says about ranges, rates and local memory, in the compiled simulator."""

from collections.abc import Callable, Iterator

import pytest

from hw.arch.address_map import DRAM, SRAM
from hw.arch.commands import Opcode
from hw.arch.traps import Trap
from hw.config import PRESETS
from sim.compiled import AccessError
from sw.errors import UserError
from sw.kernels.command_list import CommandList
from sw.runtime.chip import Chip, JobError
from sw.runtime.limits import AddressRange, range_values, rate_values
from sw.runtime.simulated import simulated_chip
from tb.common.seeds import bench_seed, python_rng
from tb.system.programs import Copy, copy_list

CONFIG = PRESETS["tiny"]
WORD, LS_BYTES = CONFIG.pe.ls.word_bytes, CONFIG.pe.ls.size_bytes
LIST, SOURCE, TARGET = SRAM.base + 0x100, SRAM.base + 0x2000, DRAM.base + 0x3000
SIZE = 0x400


@pytest.fixture
def chip() -> Iterator[Chip]:
    """A fresh chip in the build with assertions; what nothing initialises comes from the seed."""
    device, _ = simulated_chip(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def copy(chip: Chip, n_bytes: int = SIZE, target: int = TARGET) -> int:
    """Run a copy; the job's cycles."""
    job = Copy(source=SOURCE, target=target, run_bytes=n_bytes)
    return chip.run_job(LIST, copy_list([job], WORD)).cycles or 0


def test_a_job_outside_its_ranges_traps_and_touches_nothing_there(chip: Chip) -> None:
    """Memory outside stays as it was, the message says why, and the next job is right."""
    data, guard = python_rng("data").randbytes(SIZE), b"\x5a" * SIZE
    chip.port.write(SOURCE, data)
    chip.port.write(TARGET, guard)
    ranges = [
        AddressRange(address=SOURCE, n_bytes=SIZE, may_write=False),
        AddressRange(address=TARGET, n_bytes=0x200, may_read=False),
    ]
    chip.set_ranges(ranges)
    with pytest.raises(JobError, match="FI_OUT trapped in dma_out .*outside the address") as error:
        copy(chip)
    assert error.value.cause == Trap.MEMORY_RANGE
    assert chip.port.read(TARGET + 0x200, SIZE - 0x200) == guard[0x200:]
    copy(chip, 0x200)
    assert chip.port.read(TARGET, 0x200) == data[:0x200]
    with pytest.raises(JobError, match="outside the address ranges"):
        copy(chip, 0x100, target=SOURCE)
    assert chip.port.read(SOURCE, SIZE) == data
    chip.set_ranges()
    copy(chip)
    assert chip.port.read(TARGET, SIZE) == data


def test_rates_make_a_job_slower_and_nothing_else(chip: Chip) -> None:
    """A byte per cycle for 1 KB takes 1 K cycles and little more; without limit far fewer."""
    data = python_rng("data").randbytes(SIZE)
    chip.port.write(SOURCE, data)
    free = copy(chip)
    for limits in ({"read": (256, 0)}, {"write": (256, 0)}):
        chip.set_rates(**limits)
        assert SIZE - 16 <= copy(chip) <= SIZE + free
        assert chip.port.read(TARGET, SIZE) == data
    chip.set_rates()
    assert copy(chip) == free < SIZE // 2


def test_local_memory_is_read_and_written_by_the_host(chip: Chip) -> None:
    """What the host put there a job sends to memory; what a job put there the host reads."""
    data = python_rng("local").randbytes(LS_BYTES)
    chip.write_local(0, data)
    assert chip.read_local(77, 100) == data[77:177]
    commands = CommandList()
    commands.add(Opcode.CB, cb=1, base=0, depth=LS_BYTES // 64)
    commands.add(Opcode.DMA_OUT, cb=1, mem_addr=TARGET, count0=LS_BYTES, stride0=WORD)
    commands.add(Opcode.END)
    chip.run_job(LIST, bytes(commands))
    assert chip.port.read(TARGET, LS_BYTES) == data
    fresh = python_rng("fresh").randbytes(SIZE)
    chip.port.write(SOURCE, fresh)
    copy(chip, 0x300)
    assert chip.read_local(0, 0x300) == fresh[:0x300]
    with pytest.raises(AccessError, match="DECERR"):
        chip.read_local(LS_BYTES, 16)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: AddressRange(address=100, n_bytes=256), "multiple of 256 bytes, which 0x64 is"),
        (lambda: AddressRange(address=0, n_bytes=0), "is empty or leaves the 40-bit"),
        (lambda: AddressRange(address=1 << 40, n_bytes=256), "is empty or leaves the 40-bit"),
        (
            lambda: range_values([AddressRange(address=0, n_bytes=256)] * 5),
            "at most 4 address ranges, not 5",
        ),
        (lambda: rate_values((1 << 16, 0), (0, 0)), "A rate is from 0 to 65535, not 65536"),
        (lambda: rate_values((0, 0), (0, -1)), "A burst is from 0 to 65535, not -1"),
    ],
)
def test_impossible_limits_are_refused(make: Callable[[], object], sentence: str) -> None:
    """One sentence says what is possible."""
    with pytest.raises(UserError, match=sentence):
        make()
