"""An image whose rows are missing is unreadable, not black; and one that is whole is read, whatever wrote it."""

import io
import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from kernelscope.datasets.image_files import decoded
from kernelscope.errors import UnreadableInput

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(1, 256, (64, 48, 3)).astype(np.uint8)
HERE = Path("image")


def encoded(pixels=PIXELS, kind="JPEG", **options):
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(data, width=48, height=64, interlaced=0):
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(chunk(b"IDAT", part) for part in data) + chunk(b"IEND", b"")


def tiff(strips, whole=4):
    """Plain rows in strips of 16, of which the first few are there."""
    parts = [bytes(range(1, 145)) * 16] * strips
    body, places = b"II*\0\0\0\0\0", []
    for part in parts:
        places.append(len(body))
        body += part
    offsets, counts, bits = len(body), len(body) + 4 * strips, len(body) + 8 * strips
    body += struct.pack(f"<{strips}I", *places) + struct.pack(f"<{strips}I", *map(len, parts))
    body += struct.pack("<3H", 8, 8, 8)
    entries = [
        (256, 4, 1, 48), (257, 4, 1, 16 * whole), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, strips, offsets), (277, 3, 1, 3), (278, 4, 1, 16), (279, 4, strips, counts),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + directory


ROW = b"\0" + bytes(range(1, 145))
GOOD = {kind: encoded(kind=kind) for kind in ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")}
PACKED = {name: encoded(kind="TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")}
FIRST = encoded(progressive=True)
MISSING = {
    "PNG, data that end after 30 of 64 rows": png([zlib.compress(ROW * 30)]),
    "PNG, in several pieces": png([zlib.compress(ROW * 63)[:20], zlib.compress(ROW * 63)[20:]]),
    "PNG, the last byte": png([zlib.compress((ROW * 64)[:-1])]),
    "PNG, in passes": png([zlib.compress(ROW * 60)], interlaced=1),
    "PNG, nothing": png([zlib.compress(b"")]),
    "JPEG, an early end": GOOD["JPEG"][:1500] + b"\xff\xd9",
    "JPEG, an early end and more behind": GOOD["JPEG"][:1500] + b"\xff\xd9" + bytes(3000),
    "JPEG, progressive, an end in its first scan": FIRST[: FIRST.index(b"\xff\xda") + 200] + b"\xff\xd9",
    "TIFF, two of four strips": tiff(2),
    "PPM, text": b"P3 48 64 255 " + b"7 " * 5000,
    **{f"{kind}, half of it": content[: len(content) // 2] for kind, content in GOOD.items()},
    **{f"TIFF {name}, data that are zeros": content[:700] + bytes(len(content)) for name, content in PACKED.items()},
}


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("case", MISSING)
def test_an_image_whose_rows_are_missing_is_unreadable(case, lenient, monkeypatch, capfd):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    with pytest.raises(UnreadableInput) as caught:
        decoded(MISSING[case], HERE)
    assert str(caught.value).isprintable() and ImageFile.LOAD_TRUNCATED_IMAGES is lenient
    assert capfd.readouterr() == ("", "")


def test_images_that_are_whole_are_read():
    for content in (*GOOD.values(), *PACKED.values(), FIRST, tiff(4), png([zlib.compress(ROW * 64)])):
        reference = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(decoded(content, HERE), reference)


SIDES = [(1, 1), (7, 9), (8, 8), (17, 33), (64, 48), (200, 3)]
DRAWN = {
    "noise": lambda h, w: RNG.integers(0, 256, (h, w, 3)),
    "white": lambda h, w: np.full((h, w, 3), 255),
    "black": lambda h, w: np.zeros((h, w, 3)),
}


@pytest.mark.parametrize("drawn", DRAWN)
def test_no_jpeg_that_is_whole_is_taken_for_cut(drawn):
    """Its mark of the end is cut off before it is decoded, so whatever a decoder looks ahead must not matter."""
    ways = itertools.product(SIDES, ("RGB", "L", "CMYK"), (5, 95), (0, 2), (False, True), (0, 2))
    for (height, width), mode, quality, subsampling, optimized, restart in ways:
        image = Image.fromarray(DRAWN[drawn](height, width).astype(np.uint8)).convert(mode)
        more = {"subsampling": subsampling} if mode == "RGB" else {}
        more |= {"restart_marker_blocks": restart} if restart else {}
        content = encoded(image, quality=quality, optimize=optimized, **more)
        reference = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)
        for ended in (content, content + b"what some cameras write behind"):
            np.testing.assert_array_equal(decoded(ended, HERE), reference)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_that_is_black_and_whole_is_read(mode, interlaced):
    image = Image.new(mode, (19, 13))
    content = encoded(image, "PNG")
    if interlaced:  # Pillow writes none: seven passes of nothing but filter bytes and zeros
        passes = ((3, 2), (2, 2), (5, 2), (5, 4), (10, 4), (9, 7), (19, 6))
        bits = {"1": 1, "L": 8, "LA": 16, "P": 8, "RGB": 24, "RGBA": 32}[mode]
        if mode == "P":
            pytest.skip("its palette has fewer bits")
        data = b"".join(bytes(rows * (1 + (columns * bits + 7) // 8)) for columns, rows in passes)
        start = bytearray(content[16:29])
        start[12] = 1
        content = content[:8] + chunk(b"IHDR", bytes(start)) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    assert not decoded(content, HERE).any()


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_texts_that_inflate_without_end_are_refused_or_left(kind):
    packed = zlib.compress(bytes(10**8))
    body = {"zTXt": b"a\0\0" + packed, "iTXt": b"a\0\1\0\0\0" + packed, "iCCP": b"a\0\0" + packed}[kind]
    content = png([zlib.compress(ROW * 64)])
    content = content[:33] + chunk(kind.encode(), body) + content[33:]
    try:
        assert decoded(content, HERE).shape == (3, 64, 48)
    except UnreadableInput as error:
        assert str(error).isprintable()
