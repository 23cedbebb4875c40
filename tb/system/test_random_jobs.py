# SPDX-License-Identifier: Apache-2.0
"""Random jobs over all units leave the same bytes on the RTL and on the functional simulator."""

import random
from collections.abc import Iterator

import pytest

from hw.config import PRESETS, ChipConfig
from sw.runtime.chip import Chip
from sw.runtime.device import DeviceName, open_device
from tb.common.seeds import bench_seed
from tb.system.random_chains import CHAINS, random_job
from tb.system.random_jobs import RandomJob

TINY, FPGA = PRESETS["tiny"], PRESETS["fpga"]


def build(config: ChipConfig) -> Iterator[Chip]:
    """The build with assertions; what nothing initialises comes from the seed."""
    chip = open_device(DeviceName.RTL, config, test=True, seed=bench_seed())
    yield chip
    chip.port.close()


@pytest.fixture(scope="module")
def rtl() -> Iterator[Chip]:
    """The member with all units."""
    yield from build(TINY)


@pytest.fixture(scope="module")
def small() -> Iterator[Chip]:
    """The member that leaves out what it can."""
    yield from build(FPGA)


def results(chip: Chip, job: RandomJob) -> tuple[int, list[bytes]]:
    """Status of the job, and what it wrote."""
    for address, data in job.inputs:
        chip.port.write(address, data)
    result = chip.run_job(job.list_address, job.commands)
    return result.status, [chip.port.read(address, size) for address, size in job.outputs]


def compare(
    rtl: Chip, label: str, kinds: tuple[str, ...], n_jobs: int, config: ChipConfig = TINY
) -> None:
    """Run random jobs on both devices; compare memory, and what both count."""
    for number in range(n_jobs):
        job = random_job(config, random.Random(f"{bench_seed()}/{label}/{number}"), kinds=kinds)
        functional = open_device(DeviceName.FUNCTIONAL, config)
        assert results(functional, job) == results(rtl, job), (number, job.chains)
        counted, found = functional.counters(), rtl.counters()
        known = {name: value for name, value in counted.items() if value is not None}
        assert known == {name: found[name] for name in known}, (number, job.chains)


@pytest.mark.parametrize("chain", CHAINS)
def test_one_kind_of_chain(rtl: Chip, chain: str) -> None:
    """Would break if a unit of the RTL disagreed with its golden model, in any legal command."""
    compare(rtl, chain, (chain,), 4)


def test_all_kinds_together(rtl: Chip) -> None:
    """Would break if units that work side by side disturbed each other."""
    compare(rtl, "all", (), 8)


def test_the_member_without_floats(small: Chip) -> None:
    """Would break if a unit needed something that this member leaves out."""
    compare(small, "small", (), 8, FPGA)


@pytest.mark.slow
def test_many(rtl: Chip) -> None:
    """Would break in a rarer combination."""
    compare(rtl, "many", (), 200)
