# SPDX-License-Identifier: Apache-2.0
"""A bitstream from a placed and routed chip."""

import tempfile
from pathlib import Path

from sw.synth.nextpnr import PlacementError, find_packer
from sw.synth.placement import Placement

__all__ = ["BITSTREAM_FILES", "bitstream"]

_NAME = "chip"
BITSTREAM_FILES = (f"{_NAME}.config", f"{_NAME}.bit")


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
        config, bit = (Path(folder) / name for name in BITSTREAM_FILES)
        config.write_text(text)
        arguments = ["--compress", *BITSTREAM_FILES]
        code, output = find_packer().run(arguments, Path(folder))
        if code != 0:
            raise PlacementError(f"ecppack refuses the configuration: {output.strip()[-300:]}")
        bits = bit.read_bytes()
    return dict(zip(BITSTREAM_FILES, (text, bits), strict=True))
