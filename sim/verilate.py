# SPDX-License-Identifier: Apache-2.0
"""Verilog and C++ to a compiled simulator, through the build cache.

Verilator's own runtime library takes longer to compile than a small unit, so its objects are kept
in the cache too and shared by all builds with the same flags.
"""

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.build_cache import BuildCache, content_key
from sim.toolchain import Toolchain, find_toolchain

__all__ = ["BuildError", "VerilatorJob", "verilate", "verilate_part"]

_FULL_DISK_BYTES = 1 << 20


class BuildError(RuntimeError):
    """A build failed; the message names the tool, its first complaint and its log."""


@dataclass(frozen=True, kw_only=True)
class VerilatorJob:
    """Everything that decides what a build results in."""

    name: str
    """Name of the result, and of its entry in the cache."""
    top: str
    """Top module."""
    files: Mapping[str, str]
    """File name to text: Verilog (`.v`), control files (`.vlt`, given first) and anything else to
    leave beside the result."""
    args: tuple[str, ...] = ()
    """Arguments for Verilator. Flags for the C++ compiler go behind `-CFLAGS`."""
    cxx_sources: tuple[Path, ...] = ()
    """C++ to compile and link; its content is part of the key."""
    cxx_depends: tuple[Path, ...] = ()
    """Headers whose content is part of the key."""
    make_args: tuple[str, ...] = ()
    """Arguments for make on what Verilator wrote, such as `OPT_FAST=-O1`."""
    prefix: str = "Vtop"
    """Name of the model's class."""
    parts: tuple[Path, ...] = ()
    """What `verilate_part` gave, to compile against and link."""

    def with_parts(self) -> tuple[str, ...]:
        """Arguments for Verilator with those that link the parts, which are copied beside."""
        libraries = [part.name for part in self.parts if part.suffix == ".a"]
        if not libraries:
            return self.args
        return *self.args, "-LDFLAGS", " ".join(f"../{name}" for name in libraries)

    def key(self, toolchain: Toolchain) -> str:
        """Hash of all of it and of the tools."""
        sources = [*self.cxx_sources, *self.cxx_depends]
        return content_key(
            self.top,
            *(part for item in sorted(self.files.items()) for part in item),
            "args",
            *self.args,
            "make",
            *self.make_args,
            "sources",
            *(path.read_bytes() for path in sources),
            *((self.prefix,) if self.prefix != "Vtop" else ()),
            *(f"{path.parent.name}/{path.name}" for path in self.parts),  # named by content
            toolchain.identity,
        )


def verilate(
    job: VerilatorJob,
    cache: BuildCache,
    *,
    n_threads: int = 2,
    on_build: Callable[[], None] = lambda: None,
) -> Path:
    """Path of the executable that `job` describes, built if the cache does not have it; then
    `on_build` is called first.

    Raises
    ------
    BuildError
        When Verilator or the C++ compiler refuses.
    """
    toolchain = find_toolchain()

    def build(folder: Path) -> None:
        on_build()
        objects = _translate(job, toolchain, folder)
        store = _runtime_objects(job, toolchain, cache, objects, n_threads)
        for path in store.iterdir():
            shutil.copy(path, objects / path.name)  # now newer than the makefile: make skips it
        _run_make(job, toolchain, objects, job.name, n_threads=n_threads)
        (objects / job.name).rename(folder / job.name)
        shutil.rmtree(objects)
        for part in job.parts:
            (folder / part.name).unlink()

    return cache.get(job.name, job.key(toolchain), build) / job.name


def verilate_part(
    job: VerilatorJob,
    cache: BuildCache,
    *,
    n_threads: int = 2,
    on_build: Callable[[], None] = lambda: None,
) -> tuple[Path, Path]:
    """Header and static library of a model that others link, see `VerilatorJob.parts`.

    Raises
    ------
    BuildError
        As `verilate`.
    """
    toolchain = find_toolchain()
    names = f"{job.prefix}.h", f"lib{job.prefix}.a"

    def build(folder: Path) -> None:
        on_build()
        objects = _translate(job, toolchain, folder)
        _run_make(job, toolchain, objects, names[1], n_threads=n_threads)
        for name in names:
            (objects / name).rename(folder / name)
        shutil.rmtree(objects)

    folder = cache.get(job.name, job.key(toolchain), build)
    return folder / names[0], folder / names[1]


def _translate(job: VerilatorJob, toolchain: Toolchain, folder: Path) -> Path:
    """Files of the job in `folder`, C++ and makefile in the folder that this returns."""
    for name, text in job.files.items():
        (folder / name).write_text(text)
    for part in job.parts:
        shutil.copy(part, folder / part.name)
    _run_verilator(job, toolchain, folder)
    return folder / "obj"


def _run_verilator(job: VerilatorJob, toolchain: Toolchain, folder: Path) -> None:
    """Translate the Verilog to C++ in `folder/obj`."""
    by_kind = sorted(job.files, key=lambda name: (not name.endswith(".vlt"), name))
    sources = [name for name in by_kind if name.endswith((".vlt", ".v", ".sv"))]
    command = [
        toolchain.verilator,
        "--cc",
        *(("--exe", "-o", job.name) if job.cxx_sources else ()),
        "--prefix",
        job.prefix,
        "--top-module",
        job.top,
        "--Mdir",
        "obj",
        *job.with_parts(),
        *(str(path.resolve()) for path in job.cxx_sources),
        *sources,
    ]
    _run(command, toolchain, folder, folder / "verilator.log")


def _runtime_objects(
    job: VerilatorJob, toolchain: Toolchain, cache: BuildCache, objects: Path, n_threads: int
) -> Path:
    """Folder with the objects of Verilator's runtime for the flags of this job."""
    classes = (objects / f"{job.prefix}_classes.mk").read_text()
    switches = re.findall(r"^VM_\w+ = .*$", classes, flags=re.MULTILINE)
    section = classes.partition("VM_GLOBAL_FAST")[2]
    names = [f"{name}.o" for name in re.findall(r"^\t?\s+(\w+) \\$", section, flags=re.MULTILINE)]
    makefile = (objects / f"{job.prefix}.mk").read_text()
    flags = re.findall(r"^VM_USER_CFLAGS = \\\n(?:.+\\\n)*", makefile, flags=re.MULTILINE)
    key = content_key(*switches, *names, *flags, *job.make_args, toolchain.identity)

    def build(folder: Path) -> None:
        _run_make(job, toolchain, objects, *names, n_threads=n_threads)
        for name in names:
            shutil.copy(objects / name, folder / name)

    return cache.get("verilator-runtime", key, build)


def _run_make(
    job: VerilatorJob, toolchain: Toolchain, objects: Path, *goals: str, n_threads: int
) -> None:
    """Compile goals of the makefile that Verilator wrote."""
    command = ["make", f"-j{n_threads}", "-f", f"{job.prefix}.mk", *job.make_args, *goals]
    _run(command, toolchain, objects, objects.parent / "make.log")


def _run(command: Sequence[str], toolchain: Toolchain, folder: Path, log: Path) -> None:
    """Run one tool; its output goes to a log, and its first complaint into the error."""
    with log.open("a") as output:
        run = subprocess.run(
            command, cwd=folder, env=toolchain.environment, stdout=output, stderr=subprocess.STDOUT
        )
    if run.returncode != 0:
        if shutil.disk_usage(folder).free < _FULL_DISK_BYTES:  # the log itself may be cut
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        text = log.read_text(errors="replace")
        wrong = [line for line in text.splitlines() if re.search(r"%Error|%Warning|rror:", line)]
        reason = "\n".join(wrong[:5]) or text[-500:]
        raise BuildError(f"{os.path.basename(command[0])} failed: {reason}")
