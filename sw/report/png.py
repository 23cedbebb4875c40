# SPDX-License-Identifier: Apache-2.0
"""Shares as a picture in one colour: the more, the less the page shines through."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["shade_uri"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH, _RGBA = 8, 6


def shade_uri(shares: NDArray[np.float64], colour: tuple[int, int, int]) -> str:
    """A PNG of one pixel for each share (0 to 1) as a `data:` address; rows go down.

    Opacity stands for the share, so the picture is right on light and on dark ground.
    """
    height, width = shares.shape
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(255 * np.clip(shares, 0, 1))
    filtered = b"".join(b"\0" + row.tobytes() for row in pixels)  # each row unfiltered
    head = struct.pack(">IIBBBBB", width, height, _DEPTH, _RGBA, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(filtered, 9)), (b"IEND", b"")
    data = _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Length, kind, content, check sum."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )
