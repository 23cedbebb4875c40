# SPDX-License-Identifier: Apache-2.0
"""The build cache: built once per content, never half-written, and a changed flag builds anew."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sim.build_cache import BuildCache, content_key
from sim.toolchain import find_toolchain
from sim.verilate import BuildError, VerilatorJob, verilate

ROOT = Path(__file__).resolve().parents[2]
COUNTER = (
    "module counter(input clk, output reg [3:0] n); always @(posedge clk) n <= n + 1; endmodule\n"
)
MAIN = "#include <Vtop.h>\nint main() { Vtop top; return 0; }\n"


def hidden(root: Path) -> list[str]:
    """Left-over temporary folders."""
    return [path.name for path in root.iterdir() if path.name.startswith(".tmp")]


def test_same_content_builds_once(tmp_path: Path) -> None:
    """A second request of the same key must not build."""
    cache, built = BuildCache(tmp_path), []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "result").write_text("done")

    first, second = (cache.get("unit", "key", build) for _ in range(2))
    assert first == second
    assert (first / "result").read_text() == "done"
    assert len(built) == 1


def test_key_sees_where_parts_end() -> None:
    """Moving text from one part to the next must change the key."""
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key("ab") == content_key(b"ab")


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_build_leaves_nothing(tmp_path: Path, fault: BaseException) -> None:
    """After a full disk or Ctrl-C the next request builds again, and works."""
    cache = BuildCache(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise fault

    with pytest.raises(type(fault)):
        cache.get("unit", "key", fail)
    assert hidden(tmp_path) == []
    assert cache.entries() == []
    entry = cache.get("unit", "key", lambda folder: (folder / "whole").touch())
    assert [path.name for path in entry.iterdir()] == ["whole"]


def start_build(root: Path, body: str) -> subprocess.Popen[str]:
    """Another process that requests the entry `unit-key`."""
    script = f"""
        import time
        from pathlib import Path
        from sim.build_cache import BuildCache
        def build(folder):
            print("begin", flush=True)
            {body}
        print(BuildCache(Path({str(root)!r})).get("unit", "key", build), flush=True)
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def test_killed_build_is_cleared_and_built_again(tmp_path: Path) -> None:
    """A process killed in the middle leaves no entry and no lock; its folder goes away."""
    process = start_build(tmp_path, '(folder / "half").touch(); time.sleep(60)')
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    cache = BuildCache(tmp_path)
    assert cache.entries() == []
    entry = cache.get("unit", "key", lambda folder: (folder / "whole").touch())
    assert [path.name for path in entry.iterdir()] == ["whole"]
    assert hidden(tmp_path) == []


def test_two_processes_build_once(tmp_path: Path) -> None:
    """Who comes second waits for the first and takes its result."""
    body = '(folder / "whole").touch(); time.sleep(0.5)'
    outputs = [p.communicate()[0] for p in [start_build(tmp_path, body) for _ in range(2)]]
    assert sum(output.count("begin") for output in outputs) == 1
    assert all(output.endswith("unit-key\n") for output in outputs)


def test_prune_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    """The newest entries stay as long as they fit."""
    cache = BuildCache(tmp_path)
    for index, name in enumerate("abc"):
        entry = cache.get(name, "key", lambda folder: (folder / "data").write_bytes(bytes(100)))  # type: ignore[arg-type]
        os.utime(entry, (index, index))
    cache.get("a", "key", lambda folder: None)  # used just now
    dropped = cache.prune(keep_bytes=250)
    assert [path.name for path in dropped] == ["b-key"]
    assert {path.name for path in cache.entries()} == {"a-key", "c-key"}


def counter_job(folder: Path, **changes: object) -> VerilatorJob:
    """A small program to build."""
    main = folder / "main.cpp"
    main.write_text(MAIN)
    values = {
        "name": "counter",
        "top": "counter",
        "files": {"counter.v": COUNTER},
        "cxx_sources": (main,),
    }
    return VerilatorJob(**{**values, **changes})  # type: ignore[arg-type]


def test_flags_sources_and_tools_are_in_the_key(tmp_path: Path) -> None:
    """Each thing that changes the result changes the key; nothing else does."""
    tools = find_toolchain()
    key = counter_job(tmp_path).key(tools)
    assert counter_job(tmp_path).key(tools) == key
    assert counter_job(tmp_path, args=("--assert",)).key(tools) != key
    assert counter_job(tmp_path, make_args=("OPT_FAST=-O1",)).key(tools) != key
    assert counter_job(tmp_path, files={"counter.v": COUNTER + "\n"}).key(tools) != key
    (tmp_path / "other").mkdir()
    assert counter_job(tmp_path / "other").key(tools) == key


def test_program_is_built_once_and_runs(tmp_path: Path) -> None:
    """The second request takes no time, since it builds nothing."""
    cache = BuildCache(tmp_path / "cache")
    program = verilate(counter_job(tmp_path), cache)
    assert subprocess.run([program]).returncode == 0
    begin = time.monotonic()
    assert verilate(counter_job(tmp_path), cache) == program
    assert time.monotonic() - begin < 1


def test_wrong_verilog_is_told_with_its_line(tmp_path: Path) -> None:
    """The first complaint of the tool reaches the user, and nothing stays behind."""
    job = counter_job(tmp_path, files={"counter.v": COUNTER.replace("n + 1", "m + 1")})
    with pytest.raises(BuildError, match=r"counter\.v:1:\d+: .*m"):
        verilate(job, BuildCache(tmp_path / "cache"))
    assert hidden(tmp_path / "cache") == []
