# SPDX-License-Identifier: Apache-2.0
"""Options that choose what is recorded of a grid: what they mean, and what is refused."""

from pathlib import Path

import pytest

from hw.config import PRESETS
from sw.cli.places import parse_place, parse_places
from sw.cli.recording import chosen_trace, chosen_waves
from tb.unit.sw.refusals import gemm_error

TINY = PRESETS["tiny"]


def test_places_are_rows_and_columns() -> None:
    """Would break if the two were swapped."""
    assert parse_place("--x", "1,0", TINY) == (1, 0)
    assert parse_place("--x", "2,1", PRESETS["odd"]) == (2, 1)
    assert parse_places("--x", "0,1:1,1", TINY) == {(0, 1), (1, 1)}
    assert len(parse_places("--x", "all", PRESETS["odd"])) == 6


def test_an_element_is_an_instance() -> None:
    """Would break if the waveform were of another tile, or of all."""
    waves = chosen_waves(Path("w.fst"), 5, 9, (1, 0))
    assert waves is not None
    assert (waves.path, waves.scope, waves.first, waves.last) == (Path("w.fst"), "tile1_0", 5, 9)
    waves = chosen_waves(Path("w.fst"), None, None, None)
    assert waves is not None
    assert (waves.scope, waves.first, waves.last > 2**40) == ("", 0, True)


def test_a_window_of_a_trace() -> None:
    """Without options everything of the default elements."""
    trace = chosen_trace(TINY, Path("t"), 7, 9, "1,1")
    assert (trace.first, trace.last, trace.elements) == (7, 9, {(1, 1)})
    trace = chosen_trace(TINY, None, None, None, None)
    assert (trace.first, trace.last > 2**40, trace.elements) == (0, True, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--trace-from", "3"), "--trace-from needs --grid; one element is recorded as a whole."),
        (("--wave-element", "0,0"), "--wave-element needs --grid; one element is recorded as a"),
        (("--grid", "--trace-to", "3"), "--trace-to needs --trace, the file to write."),
        (("--grid", "--wave-to", "3"), "--wave-to needs --waves, the file to write."),
        (
            ("--grid", "--trace", "t", "--trace-from", "9", "--trace-to", "9"),
            "--trace-to is 9; it must be above --trace-from (9).",
        ),
        (
            ("--grid", "--waves", "w", "--wave-from", "9", "--wave-to", "8"),
            "--wave-to is 8; it must be at least --wave-from (9).",
        ),
        (
            ("--grid", "--waves", "w", "--wave-element", "2,0"),
            "--wave-element names element 2,0; tiny has rows 0 to 1 and columns 0 to 1.",
        ),
        (
            ("--grid", "--trace", "t", "--trace-elements", "0,0;1,1"),
            "--trace-elements is '0,0;1,1'; an element is named by row and column, as 0,1.",
        ),
        (("--grid", "--trace", "c.npy"), "Two outputs have the same name"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    options: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one sentence, before anything is built or run."""
    error = gemm_error(options, tmp_path, capsys, monkeypatch)
    assert sentence in " ".join(error.split())
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
