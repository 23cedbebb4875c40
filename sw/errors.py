# SPDX-License-Identifier: Apache-2.0
"""Faults that a user can cause or cure, told in one sentence."""

import errno
import os

from hw.config import ConfigError
from sim.compiled.simulator import AccessError
from sim.toolchain import ToolchainError
from sim.verilate import BuildError

__all__ = ["UserError", "describe"]


class UserError(Exception):
    """Something the user can change; the message is one sentence that says what is wrong."""


_SAID_WELL = (UserError, ConfigError, ToolchainError, AccessError)

_OS_SENTENCES = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EACCES: "No permission",
    errno.EPERM: "No permission",
    errno.EROFS: "The file system is read-only",
    errno.ENOENT: "There is no such file or folder",
    errno.ENOTDIR: "A part of the path is not a folder",
    errno.EISDIR: "This is a folder, not a file",
    errno.EMFILE: "Too many files are open",
    errno.ENOMEM: "The machine has not enough memory",
}


def describe(error: BaseException) -> str | None:
    """One sentence for a fault of the user's or of the machine's; None for a fault of ours."""
    if isinstance(error, _SAID_WELL):
        return str(error)
    if isinstance(error, BuildError):
        if os.strerror(errno.ENOSPC) in str(error):
            return f"{_OS_SENTENCES[errno.ENOSPC]}; free some space and run it again."
        return str(error)
    if isinstance(error, MemoryError):
        return f"{_OS_SENTENCES[errno.ENOMEM]}."
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted; nothing was left half-written."
    if isinstance(error, OSError) and error.errno is not None:
        name = f": {os.fspath(error.filename)}" if error.filename else ""
        return f"{_OS_SENTENCES.get(error.errno, os.strerror(error.errno))}{name}."
    return None
