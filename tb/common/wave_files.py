# SPDX-License-Identifier: Apache-2.0
"""Writes GTKWave's save file beside each bench's waveform, with the names of its FSM states."""

from hw.lib.emit_once import emission, module_rtlil
from sim.waves import fsm_names, write_save_file
from tb.common.runner import BenchRun

__all__ = ["write_for_bench"]


def write_for_bench(run: BenchRun) -> None:
    """Hook for `tb.common.runner.add_wave_hook`."""
    if run.waves is None or not run.waves.is_file():
        return
    with emission() as collected:
        top, _domains = module_rtlil(run.component, name=run.name)
    names = fsm_names("\n".join([*collected.rtlil.values(), top]))
    write_save_file(run.waves, enumerations=names)
