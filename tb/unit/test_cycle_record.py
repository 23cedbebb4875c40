# SPDX-License-Identifier: Apache-2.0
"""The record of cycles: a row that moves needs a reason."""

import json
from pathlib import Path

import pytest

from scripts.cycle_record import check_cycles


def test_a_moved_row_fails_until_a_reason_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would break if a slower design passed unnoticed, or a reason were lost."""
    record = tmp_path / "cycles.json"
    monkeypatch.delenv("ACCEPT", raising=False)
    assert check_cycles({"a": 1000, "b": 500}, record=record) == 0
    assert check_cycles({"a": 1010, "b": 500}, record=record) == 0, "one percent is noise"
    assert check_cycles({"a": 1011}, record=record) == 1
    assert json.loads(record.read_text())["a"]["cycles"] == 1000
    monkeypatch.setenv("ACCEPT", "deeper pipeline")
    assert check_cycles({"a": 1011}, record=record) == 0
    assert json.loads(record.read_text())["a"] == {"cycles": 1011, "reason": "deeper pipeline"}
