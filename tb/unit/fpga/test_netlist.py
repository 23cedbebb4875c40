# SPDX-License-Identifier: Apache-2.0
"""Names and lines of what is in a netlist."""

import json
from pathlib import Path
from typing import Any

from hw.fpga.netlist import TOP
from sw.synth.netlist import Name, Netlist


def _netlist(folder: Path, nets: dict[str, str], cells: dict[str, Any]) -> Netlist:
    """A netlist of nets with their lines, and cells."""
    names = {
        name: {"bits": [2 + index], "attributes": {"src": source}}
        for index, (name, source) in enumerate(nets.items())
    }
    module = {"cells": cells, "netnames": names}
    (folder / "netlist.json").write_text(json.dumps({"modules": {TOP: module}}))
    (folder / "design.il").write_text("")
    return Netlist(folder / "netlist.json", folder / "design.il")


def test_elements_of_arrays_keep_their_lines(tmp_path: Path) -> None:
    """Their index is part of the name, and no bit of anything."""
    netlist = _netlist(tmp_path, {"failed[0]": "hw/x.py:7", "plain": "hw/x.py:9"}, {})
    assert netlist.net("failed[0]_LUT4_D_Z") == Name("failed[0]", "hw/x.py:7", exact=False)
    assert netlist.net("plain[3]_LUT4_D_Z") == Name("plain[3]", "hw/x.py:9", exact=False)


def test_what_is_in_a_hand_written_module_has_the_line_of_its_instance(tmp_path: Path) -> None:
    """The innermost one that Amaranth knows: a module may be made of others."""

    def scope(source: str) -> dict[str, Any]:
        return {"type": "$scopeinfo", "connections": {}, "attributes": {"cell_src": source}}

    cells = {"a": scope("hw/a.py:1"), "a.b": scope("hw/b.py:2"), "a.b.c": scope("design.v:3.1")}
    netlist = _netlist(tmp_path, {"a.b.c.x": "design.v:4.5-4.9"}, cells)
    assert netlist.net("a.b.c.x") == Name("a.b.c.x", "hw/b.py:2")
