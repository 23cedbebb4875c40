# SPDX-License-Identifier: Apache-2.0
"""A bitstream from a placed and routed chip."""

import tempfile
from pathlib import Path

from sw.synth.placement import Placement, PlacementError, run_tool

__all__ = ["bitstream"]

_NAME = "chip"


def bitstream(placement: Placement) -> dict[str, str | bytes]:
    """The device's configuration as text and as bits, by file name.

    Raises
    ------
    PlacementError
        When the packer refuses the configuration.
    """
    assert placement.text_config is not None
    text = placement.text_config.read_text()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{_NAME}.config").write_text(text)
        arguments = ["--compress", f"{_NAME}.config", f"{_NAME}.bit"]
        code, output = run_tool("ecppack", arguments, Path(folder), lambda line: None)
        if code != 0:
            raise PlacementError(f"ecppack refuses the configuration: {output.strip()[-300:]}")
        bits = (Path(folder) / f"{_NAME}.bit").read_bytes()
    return {f"{_NAME}.config": text, f"{_NAME}.bit": bits}
