# SPDX-License-Identifier: Apache-2.0
"""The functional simulator behind the interface that all devices have."""

import json
from pathlib import Path

import numpy as np
import pytest

from hw.arch.traps import Trap
from hw.config import PRESETS
from sim.trace.activity import buffer_samples, unit_spans
from sim.trace.log import TraceLog, TraceSource
from sw.cli.app import main
from sw.errors import UserError
from sw.runtime.chip import Chip, JobError, JobHang
from sw.runtime.device import DeviceName, open_device
from sw.runtime.limits import AddressRange
from sw.runtime.simulated import Waves
from tb.unit.functional.lists import DATA, List

CONFIG = PRESETS["tiny"]
LIST = 0x20000


def chip() -> Chip:
    """A functional chip with some data."""
    made = open_device(DeviceName.FUNCTIONAL, CONFIG)
    made.port.write(DATA, bytes(range(256)))
    return made


def copy_to(address: int) -> bytes:
    """A job that copies two units."""
    return List().cb(1, 0, 4).load(1, 2).store(1, 2, mem_addr=address).end()


def test_a_job_moves_what_the_host_wrote() -> None:
    """Would break if host and job saw different memories, or cycles were invented."""
    device = chip()
    result = device.run_job(LIST, copy_to(0x4000))
    assert device.port.read(0x4000, 128) == bytes(range(128))
    assert (result.status, result.cycles, result.harness_cycles) == (0, None, None)
    counters = device.counters()
    assert counters["fi.read_bytes"] == counters["fi.write_bytes"] == 128
    assert counters["cycles"] is None and counters["cp.commands"] == 2


def test_local_memory_is_seen_through_its_window() -> None:
    """Would break if the host's way into local memory went elsewhere."""
    device = chip()
    device.run_job(LIST, copy_to(0x4000))
    assert device.read_local(64, 64) == bytes(range(64, 128))
    device.write_local(0, b"abcd")
    assert device.read_local(0, 4) == b"abcd"


def test_errors_are_sentences() -> None:
    """Would break if a trap, a hang or a broken rule were another exception, or two lines long."""
    device = chip()
    with pytest.raises(
        JobError, match=r"dma_out \(tag 1\): the circular buffer was never"
    ) as error:
        device.run_job(LIST, List().cb(1, 0, 4).store(2).end())
    assert error.value.cause is Trap.CB_UNINITIALISED
    with pytest.raises(JobHang, match="FI_OUT +waits for data in CB 1"):
        device.run_job(LIST, List().cb(1, 0, 4).store(1).end())
    with pytest.raises(JobError, match="which neither host nor job has written") as error:
        device.run_job(LIST, List().cb(1, 0, 4).load(1, mem_addr=0x8000).store(1).end())
    assert error.value.cause is Trap.NONE


@pytest.mark.parametrize(("first", "last"), [(0x4000, 0x40FF), (0x4100, 0x41FF)])
def test_ranges_confine_a_job(first: int, last: int) -> None:
    """Would break if a job wrote outside its ranges."""
    device = chip()
    size = last + 1 - first
    readable = AddressRange(address=DATA, n_bytes=256, may_write=False)
    writable = AddressRange(address=first, n_bytes=size, may_read=False)
    device.set_ranges([writable, readable])
    if first == 0x4000:
        device.run_job(LIST, copy_to(0x4000))
        return
    with pytest.raises(JobError) as error:
        device.run_job(LIST, copy_to(0x4000))
    assert error.value.cause is Trap.MEMORY_RANGE


def test_activity_can_be_recorded() -> None:
    """Would break if a trace missed a unit, a wait, or a buffer's fill."""
    device, log = chip(), TraceLog("tiny", time_unit="step")
    assert isinstance(device.port, TraceSource)
    device.port.record(log)
    device.run_job(LIST, copy_to(0x4000))
    device.port.record(None)
    assert {span.unit.name for span in unit_spans(log)} == {"FI_IN_ROW", "FI_OUT"}
    assert max(sample.fill for sample in buffer_samples(log)) == 2


def test_waves_are_refused() -> None:
    """Would break if a wish for waves were silently ignored."""
    with pytest.raises(UserError, match="waves need --device rtl"):
        open_device(DeviceName.FUNCTIONAL, CONFIG, waves=Waves(path=Path("x.fst")))


def test_the_command_line_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would break if `--device functional` gave other bits, or invented figures."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    a, b = rng.integers(-128, 128, (2, 20, 20)).astype(np.int8)
    np.save("a.npy", a)
    np.save("b.npy", b)
    arguments = ["gemm", "a.npy", "b.npy", "-o", "c.npy", "--config", "tiny", "--json", "p.json"]
    assert main([*arguments, "--device", "functional"]) == 0
    assert np.array_equal(np.load("c.npy"), a.astype(np.int32) @ b)
    perf = json.loads(Path("p.json").read_text())
    assert perf["device"] == "functional" and perf["cycles"] is None
    assert perf["utilisation"] is None and perf["bytes"]["stored"] == 1600
