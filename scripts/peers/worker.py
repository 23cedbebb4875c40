# SPDX-License-Identifier: Apache-2.0
"""Runs SCALE-Sim; the interpreter is the one of its environment, which has nothing of the project.

Reads a list of jobs in JSON, writes a line of JSON for each as soon as it is done. With
`bandwidth` a job goes through SCALE-Sim's memory model, a Python loop over every request; without
it only the array's schedule is made, by the same classes, and its length is the cycles.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scalesim.compute.systolic_compute_is import systolic_compute_is  # type: ignore
from scalesim.compute.systolic_compute_os import systolic_compute_os  # type: ignore
from scalesim.compute.systolic_compute_ws import systolic_compute_ws  # type: ignore
from scalesim.scale_config import scale_config  # type: ignore
from scalesim.scale_sim import scalesim  # type: ignore

_ARRAYS = {"os": systolic_compute_os, "ws": systolic_compute_ws, "is": systolic_compute_is}
_OFFSETS = (0, 100_000_000, 200_000_000)
"""Of A, B and C; no product here has as many values."""
_CONFIG = """\
[general]
run_name = run
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = {buffers[0]}
FilterSramSzkB = {buffers[1]}
OfmapSramSzkB = {buffers[2]}
IfmapOffset = {offsets[0]}
FilterOffset = {offsets[1]}
OfmapOffset = {offsets[2]}
Bandwidth = {bandwidth[2]}
Dataflow = {dataflow}
MemoryBanks = 1
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = {bandwidth[0]}
IfmapSRAMBankNum = 1
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = {bandwidth[1]}
FilterSRAMBankNum = 1
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = USER
UseRamulatorTrace = False
"""


def _schedule(job: dict[str, Any]) -> dict[str, int]:
    """The array alone."""
    config = scale_config()
    config.array_rows, config.array_cols, config.df = job["rows"], job["cols"], job["dataflow"]
    config.valid_conf_flag = True
    m, n, k = job["part"]
    shapes = ((m, k), (k, n), (m, n))
    a, b, c = (
        np.arange(rows * cols, dtype=float).reshape(rows, cols) + offset
        for (rows, cols), offset in zip(shapes, _OFFSETS, strict=True)
    )
    array = _ARRAYS[job["dataflow"]]()
    array.set_params(config_obj=config, ifmap_op_mat=a, filter_op_mat=b, ofmap_op_mat=c)
    array.create_demand_matrices()
    return {"cycles": array.ofmap_demand_matrix.shape[0] - 1}


def _whole(job: dict[str, Any]) -> dict[str, int]:
    """The array and its memories, as SCALE-Sim's command does it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.cfg").write_text(_CONFIG.format(offsets=_OFFSETS, **job))
        shape = ",".join(map(str, job["part"]))
        (folder / "gemm.csv").write_text(f"Layer, M, N, K,\ngemm,{shape},\n")
        (folder / "layout.csv").write_text("Layer name,\n")
        simulator = scalesim(
            save_disk_space=True,
            verbose=False,
            config=str(folder / "run.cfg"),
            topology=str(folder / "gemm.csv"),
            layout=str(folder / "layout.csv"),
            input_type_gemm=True,
        )
        simulator.run_scale(top_path=name)
        lines = (folder / "run" / "COMPUTE_REPORT.csv").read_text().splitlines()
    values = dict(zip(_cells(lines[0]), _cells(lines[1]), strict=True))
    return {
        "with_prefetch": int(float(values["Total Cycles (incl. prefetch)"])),
        "cycles": int(float(values["Total Cycles"])),
        "stalls": int(float(values["Stall Cycles"])),
    }


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip(",").split(",")]


def main() -> None:
    """All jobs of standard input."""
    for job in json.load(sys.stdin):
        with contextlib.redirect_stdout(sys.stderr):
            result = _whole(job) if "bandwidth" in job else _schedule(job)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
