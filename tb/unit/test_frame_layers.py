# SPDX-License-Identifier: Apache-2.0
"""The layer checker: finds each kind of forbidden import, and lets the allowed ones pass."""

from pathlib import Path

import pytest

from scripts.check_layers import RULES, forbidden_imports

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("hw/arch/a.py", "import hw.config"),
        ("hw/config/a.py", "from hw.pe.dpe import X"),
        ("hw/pe/a.py", "from sim.golden import dot"),
        ("hw/pe/a.py", "from tb.common import runner"),
        ("hw/a.py", "import sw.errors as e"),
        ("sim/golden/a.py", "from hw.generate import emit_verilog"),
        ("sim/golden/a.py", "from hw import num"),
        ("sim/golden/a.py", "from ..verilate import verilate"),
        ("sim/a.py", "import tb"),
        ("sw/kernels/a.py", "from hw.pe import x"),
        ("sw/cli/a.py", "def late():\n    import tb.common"),
    ],
)
def test_forbidden_import_is_found(tmp_path: Path, path: str, line: str) -> None:
    """A layer that could reach upwards would make its checks worthless."""
    target = tmp_path / path
    target.parent.mkdir(parents=True)
    target.write_text(f"{line}\n")
    (fault,) = forbidden_imports(tmp_path)
    assert fault.startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("hw/config/a.py", "from hw.arch.formats import Format"),
        ("hw/config/a.py", "from hw import arch"),
        ("hw/pe/a.py", "import hw.config\nimport amaranth"),
        ("sim/golden/a.py", "from hw.config import PRESETS\nfrom .dot import dot"),
        ("sim/a.py", "from hw.generate import emit_verilog"),
        ("sw/cli/a.py", "from hw.generate import emit_verilog"),
        ("tb/a.py", "import hw, sim, sw"),
        ("hw/pe/a.py", "import simulator, hwdata"),
    ],
)
def test_allowed_import_passes(tmp_path: Path, path: str, line: str) -> None:
    """A name that only starts like a folder of ours is none of ours."""
    target = tmp_path / path
    target.parent.mkdir(parents=True)
    target.write_text(f"{line}\n")
    assert forbidden_imports(tmp_path) == []


def test_the_project_obeys() -> None:
    """The rules hold here and now, and none of them names a folder that does not exist."""
    assert forbidden_imports(ROOT) == []
    assert all((ROOT / name.replace(".", "/")).is_dir() for name in RULES)
