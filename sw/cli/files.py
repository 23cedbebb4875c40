# SPDX-License-Identifier: Apache-2.0
"""What several verbs share: files of arrays, waves that the environment asks for, outputs that are
checked before the work."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sw.errors import UserError
from sw.files import check_writable
from sw.runtime.simulated import Waves

__all__ = ["check_folder", "check_outputs", "load_array", "waves_wanted"]


def load_array(path: Path, name: str) -> NDArray[Any]:
    """The array in a `.npy` file; `name` is for messages.

    Raises
    ------
    UserError
        If the file holds no single array of numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{name} ({path}) is not a .npy file of numbers.") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{name} ({path}) is an archive of arrays; it must be one .npy array.")
    return array


def waves_wanted() -> Waves | None:
    """What WAVES, WAVES_FROM, WAVES_TO and WAVES_SCOPE ask to be recorded."""
    if os.environ.get("WAVES", "0") in ("", "0"):
        return None
    return Waves(
        path=Path("dump.fst"),
        scope=os.environ.get("WAVES_SCOPE", ""),
        first=_cycle("WAVES_FROM", 0),
        last=_cycle("WAVES_TO", 2**62),
    )


def _cycle(name: str, otherwise: int) -> int:
    text = os.environ.get(name) or str(otherwise)
    if not text.isdecimal():
        raise UserError(f"{name} is {text!r}; it must be a number of cycles.")
    return int(text)


def check_outputs(
    targets: Sequence[Path | None], inputs: Sequence[Path | None], page: Path | None = None
) -> None:
    """Find what cannot be written before the work, not after it.

    `page` is a target whose folder will be made, and is looked at by `check_folder`.

    Raises
    ------
    UserError, OSError
        If two have the same name, one would replace an input, or one cannot be written.
    """
    wanted = [target for target in targets if target is not None]
    sources = [source for source in inputs if source is not None]
    for target in wanted:
        check_writable(target)
    wanted += [] if page is None else [page]
    for target in wanted:
        if target.is_file() and any(target.samefile(source) for source in sources):
            raise UserError(f"{target} is an input too; give the output a name of its own.")
    taken: set[Path] = set()
    for target in wanted:
        if target.resolve() in taken and (target.is_file() or not target.exists()):
            raise UserError(f"Two outputs have the same name, {target}; give them different ones.")
        taken.add(target.resolve())
    for target in wanted:
        if page is not None and target.resolve() in page.resolve().parents:
            raise UserError(f"{target} cannot be an output and the folder of {page.name} too.")


def check_folder(folder: Path, name: str, option: str) -> None:
    """Find before the work that no file `name` can be written in a folder, which may be made.

    Raises
    ------
    UserError, OSError
        If `folder`, which `option` gives, is a file, or lies in one, or nothing can be written
        there.
    """
    whole = folder.absolute()
    there = next(path for path in (folder, *whole.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{option} is {folder}, but {there} is a file; it must be a folder.")
    missing = [path for path in (whole, *whole.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / name)
    except FileNotFoundError:  # in /proc nobody can make one, and this is what it says
        what = "folder can be made at" if missing else "file can be made in"
        raise UserError(f"No {what} {folder}.") from None
    finally:
        for path in missing:  # work that fails leaves nothing behind
            if path.exists():
                path.rmdir()
