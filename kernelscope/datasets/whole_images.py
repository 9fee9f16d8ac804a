"""Whether an image file holds all rows that it declares; decoders give the missing ones as black or grey, silently.

Pillow tells of a file that ends early, once it is told to. It does not tell of a PNG whose compressed data end early,
of a JPEG whose end is marked early, nor of a TIFF without some of its strips.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

#: pixels that any file may have; beyond them a byte may stand for no more of them than deflate's best. Where a format
#: needs no byte for a plain area (WebP, and fax codes in TIFF) this is all that bounds what a few bytes become.
FREE_PIXELS, PIXELS_PER_BYTE = 2**24, 1_032
#: first column and row, and steps, of the seven passes of an interlaced PNG
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  #: by a PNG's kind of colour
PIECE = 2**20
#: in the data of a scan a marker is what is neither a stuffed byte, a restart nor a filling
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SCAN, _END, _PROGRESSIVE = 0xDA, 0xD9, 0xC2
AHEAD = bytes(16)  #: a decoder looks so far ahead


def require_plausible(image: ImageFile, length: int) -> None:
    """The header alone may not claim what ``length`` bytes cannot hold.

    Raises:
        ValueError: too many pixels for so few bytes, or parts that leave some of them out.
    """
    pixels = image.width * image.height
    if pixels > FREE_PIXELS + PIXELS_PER_BYTE * length:
        raise ValueError(f"{length:,} bytes cannot hold {pixels / 1e6:,.0f} million pixels")
    boxes = [tile[1] or (0, 0, *image.size) for tile in image.tile]
    if boxes and sum((right - left) * (bottom - top) for left, top, right, bottom in boxes) < pixels:
        raise ValueError("it lacks some of its rows")


def to_decode(content: bytes) -> bytes:
    """The same file, with a JPEG's mark of its end cut off: a decoder that still needs data then finds none.

    A JPEG in several scans needs its mark. Where one is cut short, later scans are missing and details with them, but
    no rows; where the first one is, that is seen here.

    Raises:
        ValueError: a progressive JPEG of one scan.
    """
    if not content.startswith(b"\xff\xd8"):
        return content
    at, progressive = 2, False
    while at + 4 <= len(content):
        marker = content[at + 1]
        if content[at] != 0xFF or marker == 0xFF:
            at += 1
            continue
        progressive |= marker == _PROGRESSIVE
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _SCAN:
            end = _MARKER.search(content, at)
            if end is None or content[end.start() + 1] != _END:
                return content
            if progressive:
                raise ValueError("image file is truncated after its first scan")
            return content[: end.start()] + AHEAD
    return content


def require_rows(content: bytes, image: ImageFile) -> None:
    """A PNG whose last row came out empty, or in passes, holds it.

    Raises:
        ValueError: rows are missing.
    """
    if image.format == "PNG" and (content[28:29] != b"\0" or not np.asarray(image)[-1].any()):
        expected, found = _png_bytes(content), _inflated(content)
        if found < expected:
            raise ValueError(f"image file is truncated: {found:,} bytes of pixels, expected {expected:,}")


def _png_bytes(content: bytes) -> int:
    """How many bytes a PNG's pixels have, with one before every row."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    bits = content[24] * SAMPLES[content[25]]
    passes = ADAM7 if content[28] else ((0, 0, 1, 1),)
    sides = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sides if columns > 0 and rows > 0)


def _inflated(content: bytes) -> int:
    """How many bytes a PNG's data inflate to; no more than a piece of them is kept."""
    stream, total, at = zlib.decompressobj(), 0, 8
    while at + 8 <= len(content) and not stream.eof:
        length = int.from_bytes(content[at : at + 4], "big")
        left = content[at + 8 : at + 8 + length] if content[at + 4 : at + 8] == b"IDAT" else b""
        while left and not stream.eof:
            total += len(stream.decompress(left, PIECE))
            left = stream.unconsumed_tail
        at += 12 + length
    return total + len(stream.flush())
