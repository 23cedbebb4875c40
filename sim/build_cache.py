# SPDX-License-Identifier: Apache-2.0
"""A cache of build results, keyed by content and never half-written.

An entry is a folder. It is built under a temporary name and renamed when complete, so its
existence alone says that it is whole: an interrupted build or a full disk leaves nothing that a
later run could mistake for a result.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["BuildCache", "content_key"]

_KEY_LENGTH = 16
_TEMPORARY = ".tmp-"
_LOCK = ".lock-"


def content_key(*parts: str | bytes) -> str:
    """Hash of some texts, in which the borders between them count too."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:_KEY_LENGTH]


class BuildCache:
    """Folders under `root` that were each built once for their key.

    Several processes may use one cache at a time: whoever needs an entry that is being built waits
    for it. The lock dies with the process that holds it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, name: str, key: str, build: Callable[[Path], None]) -> Path:
        """The entry for `name` and `key`, which `build(folder)` fills if it does not exist yet.

        Whatever `build` raises passes through, after its folder was removed.
        """
        entry = self.root / f"{name}-{key}"
        if not entry.is_dir():
            with self._locked(entry.name):
                if not entry.is_dir():
                    self._build(entry, build)
        with contextlib.suppress(OSError):
            os.utime(entry)  # `prune` drops what was used longest ago
        return entry

    def entries(self) -> list[Path]:
        """Complete entries, the one used last in front."""
        if not self.root.is_dir():
            return []
        found = [p for p in self.root.iterdir() if p.is_dir() and not p.name.startswith(".")]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def prune(self, *, keep_bytes: int) -> list[Path]:
        """Drop left-over temporary folders, then entries used longest ago until the rest fits."""
        for leftover in self.root.glob(f"{_TEMPORARY}*"):
            self._drop(leftover.name.removeprefix(_TEMPORARY).rpartition(".")[0], leftover)
        dropped: list[Path] = []
        total = 0
        for entry in self.entries():
            total += sum(p.stat().st_size for p in entry.rglob("*") if p.is_file())
            if total > keep_bytes:
                self._drop(entry.name, entry)
                dropped.append(entry)
        return dropped

    def _build(self, entry: Path, build: Callable[[Path], None]) -> None:
        """Build under a temporary name, then rename. The caller holds the lock."""
        for leftover in self.root.glob(f"{_TEMPORARY}{entry.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = self.root / f"{_TEMPORARY}{entry.name}.{uuid.uuid4().hex[:8]}"
        try:
            temporary.mkdir(parents=True)
            build(temporary)
            temporary.rename(entry)
        except BaseException:  # also on Ctrl-C
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _drop(self, lock_name: str, folder: Path) -> None:
        """Remove a folder, unless somebody is building it right now."""
        with contextlib.suppress(BlockingIOError), self._locked(lock_name, wait=False):
            # A rename first, so that an interrupted removal leaves no damaged entry.
            doomed = folder.with_name(f"{_TEMPORARY}{lock_name}.{uuid.uuid4().hex[:8]}")
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the lock of one entry."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / f"{_LOCK}{name}", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
