# SPDX-License-Identifier: Apache-2.0
"""Output files that are either written whole or not at all.

Devices, pipes and links are written through: a rename would put a file in their place.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["atomic_path", "check_writable", "write_atomic", "write_folder"]


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A path to write to, renamed to `target` when the block ends without an error.

    ::

        with atomic_path(Path("C.npy")) as path:
            numpy.save(path, result)
    """
    with _atomic_paths([target]) as (path,):
        yield path


def write_atomic(target: Path, content: str | bytes) -> None:
    """Write one file whole or not at all."""
    with atomic_path(target) as path:
        _write(path, content)


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into `folder`, which is created; when one cannot be written none changes."""
    folder.mkdir(parents=True, exist_ok=True)
    with _atomic_paths([folder / name for name in files]) as paths:
        for path, content in zip(paths, files.values(), strict=True):
            _write(path, content)


@contextlib.contextmanager
def _atomic_paths(targets: list[Path]) -> Iterator[list[Path]]:
    """Temporary names beside the targets, renamed together at the end."""
    # The suffix stays, because some writers append their own to a name without it.
    mark = f".{uuid.uuid4().hex[:8]}"
    paths = [
        target if _is_through(target) else target.with_name(f".{target.stem}{mark}{target.suffix}")
        for target in targets
    ]
    renamed = [
        (path, target) for path, target in zip(paths, targets, strict=True) if path != target
    ]
    try:
        for target in targets:
            check_writable(target)
        yield paths
        for path, target in renamed:
            path.replace(target)
    except OSError as error:
        for path, target in renamed:
            if error.filename is not None and os.fspath(error.filename) == os.fspath(path):
                error.filename = os.fspath(target)  # the name that the user knows
        raise
    finally:
        for path, _ in renamed:
            path.unlink(missing_ok=True)


def _is_through(target: Path) -> bool:
    """Whether `target` must keep being what it is, as /dev/null or a pipe."""
    return target.is_symlink() or (target.exists() and not target.is_file())


def check_writable(target: Path) -> None:
    """Fail before the work, not after it."""
    if target.is_dir():
        raise IsADirectoryError(21, "Is a directory", os.fspath(target))
    if _is_through(target):
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(13, "Permission denied", os.fspath(target))
        return
    folder = target.parent
    if not folder.exists():
        raise FileNotFoundError(2, "No such file or directory", os.fspath(folder))
    # Tried, not asked: the superuser has all permissions, also where no file can be made.
    probe = folder / f".{uuid.uuid4().hex}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        error.filename = os.fspath(folder)
        raise


def _write(path: Path, content: str | bytes) -> None:
    """Write text as UTF-8, and bytes as they are."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
