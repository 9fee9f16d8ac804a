"""Image files by Pillow, decoded when they are read: any size, always as RGB, of known formats, with an upper size.

An image's identity is the content of its file. EXIF orientation is not applied (torchvision does not, and networks are
trained so), transparency is dropped, 16-bit grey becomes 8-bit, and of several frames the first is taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile

from kernelscope.datasets.examples import Examples
from kernelscope.datasets.inputs import Hash, look_over
from kernelscope.datasets.preprocess import usual
from kernelscope.datasets.whole_images import require_plausible, require_rows, to_decode
from kernelscope.errors import UnreadableInput, encodable, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernelscope.datasets.splitting import Choose

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
MOST_PIXELS = 89_478_485  #: Pillow's own limit for a warning; here it is the end
LARGEST_FILE = 2**29
STRIP_ROWS = 256  #: converted at once
_ONE_AT_A_TIME = threading.RLock()  #: what Pillow is told holds for the whole process
FIX = "replace it, or pass --skip-unreadable"


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files below one folder, by position.

    Attributes:
        paths: relative to ``root``, as bytes of one length: half the memory of text.
    """

    name: str
    root: Path
    paths: np.ndarray

    def path(self, position: int) -> Path:
        return self.root / os.fsdecode(self.paths[position])

    def look(self, position: int, *, decode: bool = False) -> tuple[Hash, tuple[int, int]]:
        """The hash of a file and its image's size, from its header alone; with ``decode``, it is seen to be whole."""
        path = self.path(position)
        content = read_bytes(path)
        size = opened(content, path).size
        if decode:
            decoded(content, path)
        return hashlib.blake2b(content, digest_size=16), size

    def item(self, position: int) -> tuple[Hash, np.ndarray]:
        path = self.path(position)
        content = read_bytes(path)
        return hashlib.blake2b(content, digest_size=16), decoded(content, path)


def image_files(name: str, root: Path, paths: list[str]) -> ImageFiles:
    """Files by their paths relative to ``root``."""
    return ImageFiles(name, root, np.array([os.fsencode(path) for path in paths], dtype=np.bytes_))


def image_examples(
    source: ImageFiles,
    labels: list[int] | None,
    *,
    split: str,
    classes: tuple[str, ...],
    skip_unreadable: bool,
    choose: Choose | None = None,
) -> Examples:
    """All images of a source, or those that are chosen; those that will be skipped must be decoded to be known.

    Raises:
        UnreadableInput: an image that cannot be read, unless it is skipped.
    """
    sizes: set[tuple[int, int]] = set()

    def content(position: int) -> Hash:
        found, size = source.look(position, decode=skip_unreadable)
        if len(sizes) < 2:
            sizes.add(size)
        return found

    known = None if labels is None else np.array(labels, np.int64)
    positions = range(len(source.paths)) if choose is None else choose(known, len(source.paths)).tolist()
    seen = look_over(source, positions, content, skip_unreadable=skip_unreadable, noun="image")
    return Examples(
        name=source.name,
        split=split,
        inputs=seen.inputs,
        labels=None if known is None else known[seen.inputs.positions],
        ids=seen.ids,
        classes=() if labels is None else tuple(map(encodable, classes)),
        preprocess=usual((3, 1, 1), np.dtype(np.uint8), one_size=len(sizes) == 1),
        notes=seen.notes,
    )


def read_bytes(path: Path) -> bytes:
    """A regular file's content.

    Raises:
        UnreadableInput: missing, no regular file, empty or very large.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= LARGEST_FILE:
            what = f"has {found.st_size:,} bytes" if stat.S_ISREG(found.st_mode) else "is no regular file"
            raise UnreadableInput(f"image {named(path)} {what}; {FIX}")
        return path.read_bytes()
    except UnreadableInput:
        raise
    except OSError as error:
        raise UnreadableInput(f"image {named(path)} cannot be read ({error.strerror}); {FIX}") from error


def opened(content: bytes, path: Path) -> ImageFile.ImageFile:
    """The image, its header read and its size within bounds, not yet decoded.

    Raises:
        UnreadableInput: another format, a damaged header, too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    except Exception as error:  # the door to a stranger's file: decoders fail in many ways
        raise _broken(path, error) from error
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path)
    return image


def decoded(content: bytes, path: Path) -> np.ndarray:
    """RGB, shape ``(3, h, w)`` uint8.

    Raises:
        UnreadableInput: as :func:`opened`, and truncated or of a kind of pixels that has no range.
    """
    image = opened(content, path)
    try:
        with _strictly(), warnings.catch_warnings(), _silently(image.format == "TIFF"):
            warnings.simplefilter("ignore")
            require_plausible(image, len(content))
            if (ended := to_decode(content)) is not content:
                image = opened(ended, path)
            image.load()
            require_rows(content, image)
            return rgb(image)
    except (MemoryError, UnreadableInput):
        raise
    except Exception as error:
        raise _broken(path, error) from error


@contextlib.contextmanager
def _strictly() -> Iterator[None]:
    """Files that end early are errors, whatever the program around has told Pillow."""
    with _ONE_AT_A_TIME:
        lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient


@contextlib.contextmanager
def _silently(by_libtiff: bool) -> Iterator[None]:
    """Without what libtiff prints of a damaged file; it writes to the process's stderr itself."""
    try:
        kept = os.dup(2) if by_libtiff else -1
    except OSError:  # there is no stderr
        kept = -1
    if kept < 0:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def rgb(image: Image.Image) -> np.ndarray:
    """A Pillow image as ``(3, h, w)`` uint8.

    Raises:
        ValueError: pixels of a kind that has no range, such as floats.
    """
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint32) // 257).astype(np.uint8)  # Pillow would cut off at 255
        return np.repeat(grey[None], 3, axis=0)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no range")
    out = np.empty((3, image.height, image.width), np.uint8)
    for top in range(0, image.height, STRIP_ROWS):  # a converted image beside the first one would double its memory
        strip = image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height)))
        if strip.mode in ("P", "PA") or "transparency" in strip.info:
            strip = strip.convert("RGBA")
        out[:, top : top + STRIP_ROWS] = np.asarray(strip.convert("RGB")).transpose(2, 0, 1)
    return out


def named(path: Path) -> str:
    """The end of a path, which identifies it better than its beginning."""
    text = one_line(str(path), 1000)
    return text if len(text) <= 60 else f"…{text[-59:]}"


def _broken(path: Path, error: Exception) -> UnreadableInput:
    reason = "is no image of a known format" if type(error).__name__ == "UnidentifiedImageError" else ""
    return UnreadableInput(f"image {named(path)} {reason or f'cannot be decoded ({one_line(str(error), 40)})'}; {FIX}")


def _too_large(path: Path) -> UnreadableInput:
    return UnreadableInput(f"image {named(path)} has over {MOST_PIXELS // 10**6} million pixels; {FIX}")
