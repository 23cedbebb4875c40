# SPDX-License-Identifier: Apache-2.0
"""SCALE-Sim in an environment of its own, and a record of what it counted.

It needs NumPy 1, so it cannot live in the project's environment. Results are kept by what was
asked for and by the versions of `requirements.txt`: a second call runs nothing.
"""

import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.config import ChipConfig
from scripts.grid_products import Product, bytes_per_cycle
from scripts.peers.arrays import Mapping
from sw.errors import UserError
from sw.files import write_folder

__all__ = ["Figures", "Record", "ScaleSim", "environment", "memory_job"]

_HERE = Path(__file__).resolve().parent
_BUILD = _HERE.parents[1] / "build"
_FOLDER = _BUILD / "scalesim-venv"
_RECORD = _BUILD / "scalesim-cycles.json"
_REQUIREMENTS = _HERE / "requirements.txt"

_MOST_CELLS = 50_000_000
"""Of a schedule, cycles x columns; 8 bytes each, three such matrices, each copied."""
_MOST_REQUESTS = 6_000_000
"""Through the memory model, cycles x (rows + 2 columns): about half a minute."""
_MOST_SECONDS = 600
_BUFFERS = (3, 3, 2)
"""Shares of local memory in eighths: A, B, C."""


@dataclass(frozen=True)
class Figures:
    """What SCALE-Sim says of one product on one arrangement, in the dataflow that is best."""

    arrays: str
    dataflow: str
    split: tuple[int, int]
    cycles: int
    """Of the array, whose operands are always there."""
    by_formula: bool
    """The schedule was too long to be made."""
    with_memory: int | None
    """From the first byte that is fetched to the last one written; None: not run."""
    stalls: int | None


class Record:
    """What was counted before, in a file."""

    def __init__(self, path: Path = _RECORD) -> None:
        self._path = path
        self._versions = _REQUIREMENTS.read_text().split("\n", 1)[1]
        self._found: dict[str, dict[str, int] | None] = {}
        if path.is_file():
            kept = json.loads(path.read_text())
            if kept.get("versions") == self._versions:
                self._found = kept["found"]

    def __contains__(self, job: dict[str, Any]) -> bool:
        return json.dumps(job) in self._found

    def __getitem__(self, job: dict[str, Any]) -> dict[str, int] | None:
        return self._found[json.dumps(job)]

    def add(self, job: dict[str, Any], result: dict[str, int] | None) -> None:
        """Keep a result; None: it took too long."""
        self._found[json.dumps(job)] = result
        text = json.dumps({"versions": self._versions, "found": self._found}, indent=1)
        write_folder(self._path.parent, {self._path.name: text + "\n"})


class ScaleSim:
    """Runs it where the record does not know."""

    def __init__(self, record: Record, python: Path) -> None:
        self._record, self._python = record, python

    def figures(self, mappings: list[Mapping], config: ChipConfig, product: Product) -> Figures:
        """The best of some mappings; its memory model runs the best one, if that is short."""
        short = [mapping for mapping in mappings if _is_short(mapping)]
        schedules = self._run([_schedule_job(mapping) for mapping in short])
        counted = dict(zip(short, schedules, strict=True))
        cycles = {
            mapping: found["cycles"] if (found := counted.get(mapping)) else mapping.cycles
            for mapping in mappings
        }
        best = min(mappings, key=lambda mapping: cycles[mapping])
        arrays = best.arrays
        whole = None
        requests = cycles[best] * (arrays.rows + 2 * arrays.cols)
        if arrays.count == 1 and requests <= _MOST_REQUESTS:
            (whole,) = self._run([memory_job(best, config, product)])
        return Figures(
            arrays=arrays.name,
            dataflow=best.dataflow,
            split=best.split,
            cycles=cycles[best],
            by_formula=counted.get(best) is None,
            with_memory=None if whole is None else whole["with_prefetch"],
            stalls=None if whole is None else whole["stalls"],
        )

    def _run(self, jobs: list[dict[str, Any]]) -> list[dict[str, int] | None]:
        """From the record, or by one worker; None: all together took too long."""
        missing = [job for job in jobs if job not in self._record]
        if missing:
            for job, result in zip(missing, self._work(missing), strict=True):
                self._record.add(job, result)
        return [self._record[job] for job in jobs]

    def _work(self, jobs: list[dict[str, Any]]) -> list[dict[str, int] | None]:
        try:
            done = subprocess.run(
                [self._python, _HERE / "worker.py"],
                input=json.dumps(jobs),
                capture_output=True,
                text=True,
                timeout=_MOST_SECONDS * len(jobs),
            )
        except subprocess.TimeoutExpired:
            return [None] * len(jobs)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"SCALE-Sim failed: {last}")
        return [json.loads(line) for line in done.stdout.splitlines()]


def _is_short(mapping: Mapping) -> bool:
    return mapping.cycles * max(mapping.arrays.rows, mapping.arrays.cols) <= _MOST_CELLS


def _schedule_job(mapping: Mapping) -> dict[str, Any]:
    arrays = mapping.arrays
    return {
        "rows": arrays.rows, "cols": arrays.cols,
        "dataflow": mapping.dataflow, "part": list(mapping.part),
    }  # fmt: skip


def memory_job(mapping: Mapping, config: ChipConfig, product: Product) -> dict[str, Any]:
    """With all local memory and all bandwidth, for one array.

    SCALE-Sim has an interface for each of A, B and C, and words of one byte. So buffers and
    bandwidths count values, not bytes, and the bandwidth is shared as the bytes that SCALE-Sim
    fetches are: with the padding to whole folds. Of many small arrays each would get a word or two
    per cycle, which says nothing.
    """
    m, n, k = _padded(mapping)
    out = 4 if product.out is None else product.out.n_bytes
    sizes = (product.fmt.n_bytes, product.fmt.n_bytes, out)
    n_bytes = [values * size for values, size in zip((m * k, k * n, m * n), sizes, strict=True)]
    bandwidth = bytes_per_cycle(config, product)
    local = config.n_pes * config.pe.ls.size_bytes // 1024
    return _schedule_job(mapping) | {
        "buffers": [
            max(local * part // 8 // size, 1) for part, size in zip(_BUFFERS, sizes, strict=True)
        ],
        "bandwidth": [
            max(round(bandwidth * part / sum(n_bytes) / size), 1)
            for part, size in zip(n_bytes, sizes, strict=True)
        ],
    }


def _padded(mapping: Mapping) -> tuple[int, int, int]:
    """M, N and K as whole folds have them."""
    m, n, k = mapping.part
    rows, cols = mapping.arrays.rows, mapping.arrays.cols

    def whole(size: int, side: int) -> int:
        return -(-size // side) * side

    if mapping.dataflow == "os":
        return whole(m, rows), whole(n, cols), k
    if mapping.dataflow == "ws":
        return m, whole(n, cols), whole(k, rows)
    return whole(m, cols), n, whole(k, rows)


def environment(folder: Path = _FOLDER) -> Path:
    """The interpreter that has SCALE-Sim; the environment is made if there is none.

    Raises
    ------
    UserError
        If its packages cannot be had.
    """
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = _REQUIREMENTS.read_text()
    if done.is_file() and done.read_text() == wanted:
        return python
    shown = folder.relative_to(_BUILD.parent) if folder.is_relative_to(_BUILD.parent) else folder
    print(f"SCALE-Sim: installing its pinned packages into {shown} (once)", flush=True)
    try:
        venv.create(folder, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"SCALE-Sim needs an environment of its own: {error}.") from None
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    command += ["--no-deps", "--only-binary", ":all:", "-r", _REQUIREMENTS]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"SCALE-Sim could not be installed for Python {sys.version_info.major}."
            f"{sys.version_info.minor}; pip says: {last}."
        )
    done.write_text(wanted)
    return python
