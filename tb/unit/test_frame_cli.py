# SPDX-License-Identifier: Apache-2.0
"""The `mtia` command: faults are one sentence, and output files are whole or absent."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.config import PRESETS, ConfigError
from sim.verilate import BuildError
from sw.cli.app import main
from sw.cli.signals import Ended, ends_by_signal
from sw.errors import UserError, describe
from sw.files import atomic_path, write_atomic, write_folder

ROOT = Path(__file__).resolve().parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    code = main(list(arguments))
    return code, *capsys.readouterr()


def test_configs_lists_every_member(capsys: pytest.CaptureFixture[str]) -> None:
    """A member that the table leaves out could not be found."""
    code, out, err = run(capsys, "configs")
    assert (code, err) == (0, "")
    assert all(name in out for name in PRESETS)


def test_configs_json_is_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read every field from it."""
    _, out, _ = run(capsys, "configs", "--json")
    assert json.loads(out) == {name: member.to_dict() for name, member in PRESETS.items()}


def test_doctor_json_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With an empty PATH the missing tools are faults, each with a remedy, and the code is 1."""
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, _ = run(capsys, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert code == 1
    for name in ("g++", "make", "perl"):
        assert findings[name]["state"] == "fault"
        assert findings[name]["remedy"] == f"sudo apt-get install {name}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "mtia: There is no verb 'nothing'; there are asm, compare,"),
        (["config"], "Did you mean 'configs'?"),
        (["configs", "--nothing"], "mtia configs: No such option: --nothing."),
        (["configs", "tinny"], "Did you mean 'tiny'?"),
    ],
)
def test_wrong_usage_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """One line on stderr, nothing on stdout, a code that is not 0."""
    code, out, err = run(capsys, *arguments)
    assert code != 0
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("A is 3-D; it must be 2-D."), "A is 3-D; it must be 2-D."),
        (ConfigError("rows is 0."), "rows is 0."),
        (OSError(errno.ENOSPC, "x", "/a/b"), "The disk is full: /a/b."),
        (BuildError("g++ failed: fatal error: No space left on device"), "The disk is full; "),
        (PermissionError(errno.EACCES, "x", "/a"), "No permission: /a."),
        (KeyboardInterrupt(), "Interrupted"),
    ],
)
def test_fault_has_a_sentence(error: BaseException, sentence: str) -> None:
    """Faults of the user and of the machine are told, not traced."""
    assert (describe(error) or "").startswith(sentence)


def test_a_signal_is_an_exception_unless_it_is_ignored() -> None:
    """`nohup` ignores one, and means it; afterwards all is as before."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(Ended, match="Ended by SIGTERM") as caught, ends_by_signal():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.exit_code == 143
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_of_others_has_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer takes a KeyboardInterrupt for itself, and says nothing."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sw.cli.verbs.configs.command", interrupted)
    code, out, err = run(capsys, "configs")
    assert (code, out) == (130, "")
    assert err == "mtia: Interrupted; nothing was left half-written.\n"


class _Dying:
    """A signal comes while it goes: Python ignores what is raised then."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)
        time.sleep(0)


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C ends Python, also where these tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_python_loses_comes_again(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if a run went on after Ctrl-C, or the next Ctrl-C did not end it either."""
    begin = time.monotonic()
    with pytest.raises(Ended) as caught, ends_by_signal():
        dying = [_Dying(number), _Dying(number)]
        dying.clear()
        while time.monotonic() < begin + 10:
            pass
    assert time.monotonic() < begin + 5
    assert caught.value.exit_code == 128 + number
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("heard")
def test_nothing_disturbs_the_putting_away() -> None:
    """Neither more signals nor the one that began it."""
    done = False
    with pytest.raises(Ended), ends_by_signal():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            for _ in range(5):
                time.sleep(0.06)
                os.kill(os.getpid(), signal.SIGINT)
            done = True
    assert done and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_own_bugs_keep_their_traceback() -> None:
    """A sentence would hide where a bug is."""
    assert describe(AssertionError("bug")) is None
    assert describe(ValueError("bug")) is None


def test_reader_that_leaves_early_is_no_error() -> None:
    """`mtia configs --json | head -1` prints nothing on stderr."""
    command = f"{sys.executable} -m sw.cli configs --json | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_file_is_absent_after_a_fault(tmp_path: Path) -> None:
    """The old file stays as it was, and no temporary file stays."""
    target = tmp_path / "C.npy"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["C.npy"]


def test_devices_pipes_and_links_are_written_through(tmp_path: Path) -> None:
    """A rename by root would put a file in place of /dev/null, and any rename one of a link."""
    pipe, link, behind = tmp_path / "pipe", tmp_path / "link", tmp_path / "behind"
    os.mkfifo(pipe)
    link.symlink_to(behind)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(pipe, "through")
        assert os.read(reader, 99) == b"through" and pipe.is_fifo()
    finally:
        os.close(reader)
    write_atomic(link, "new")
    assert link.is_symlink() and behind.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["behind", "link", "pipe"]


def test_full_disk_names_the_users_file(tmp_path: Path) -> None:
    """Not the temporary one."""
    target = tmp_path / "C.npy"
    with pytest.raises(OSError, match=r"C\.npy") as caught, atomic_path(target) as path:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
    assert describe(caught.value) == f"The disk is full: {target}."
    assert os.listdir(tmp_path) == []


def test_folder_changes_only_as_a_whole(tmp_path: Path) -> None:
    """If one of the files cannot be written, none is."""
    (tmp_path / "b.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_folder(tmp_path, {"a.v": "new", "b.json": "new"})
    assert os.listdir(tmp_path) == ["b.json"]
    write_folder(tmp_path / "other", {"a.v": "new", "b.json": b"new"})
    assert sorted(os.listdir(tmp_path / "other")) == ["a.v", "b.json"]


def test_missing_folder_is_told_first(tmp_path: Path) -> None:
    """Before hours of work, not after."""
    with pytest.raises(FileNotFoundError) as caught:
        write_atomic(tmp_path / "no" / "C.npy", "x")
    assert describe(caught.value) == f"There is no such file or folder: {tmp_path / 'no'}."


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("/proc/x", "No folder can be made at /proc/x."),
        ("{}/file", "--output is {0}/file, but {0}/file is a file; it must be a folder."),
    ],
)
def test_rtl_looks_at_its_folder_first(
    tmp_path: Path,
    folder: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Would break if it were found only when all is generated."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("sw.cli.verbs.rtl.rtl_files", None)
    code, _, err = run(capsys, "rtl", "--config", "tiny", "-o", folder.format(tmp_path))
    assert (code, err) == (1, f"mtia: {sentence.format(tmp_path)}\n")
