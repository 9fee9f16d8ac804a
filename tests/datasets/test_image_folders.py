"""Image folders and Tiny-ImageNet: the files' own pixels in ImageFolder's order; a doubtful image is named."""

import hashlib
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, features

from kernelscope.datasets.folder import folder
from kernelscope.datasets.reading import Reading
from kernelscope.datasets.sources import load
from kernelscope.datasets.tiny_imagenet import tiny_imagenet
from kernelscope.errors import Mismatch, UnreadableInput
from tests.datasets.foreign_layouts import images, save, write_folder, write_tiny_imagenet


def test_a_folder_is_its_images_in_the_order_of_names(tmp_path):
    x, y = write_folder(tmp_path)
    whole = load(f"folder:{tmp_path}")
    assert (whole.split, whole.n, whole.classes) == ("all", 18, ("cat", "dog", "eel"))
    np.testing.assert_array_equal(whole.raw(np.arange(18)), x)
    assert whole.labels.tolist() == y.tolist()
    content = (tmp_path / "dog" / "2.png").read_bytes()
    expected = hashlib.blake2b(content + (0).to_bytes(8, "little"), digest_size=16).digest()
    assert bytes(whole.ids[8]) == expected
    assert [operation["op"] for operation in whole.preprocess] == ["scale", "normalize"]
    assert whole.batch(3, 7).shape == (4, 3, 16, 16)


def test_splits_are_drawn_where_a_folder_has_none(tmp_path):
    write_folder(tmp_path, per_class=20)
    parts = [load(f"folder:{tmp_path}", split) for split in ("train", "validation", "test")]
    assert [part.n for part in parts] == [39, 6, 15]
    assert len({bytes(i) for part in parts for i in part.ids}) == 60
    assert [np.bincount(part.labels).tolist() for part in parts] == [[13] * 3, [2] * 3, [5] * 3]
    again = load(f"folder:{tmp_path}", "test", seed=1)
    assert again.n == 15 and again.order_sha256 != parts[2].order_sha256


def test_splits_of_its_own_are_taken_as_they_are(tmp_path):
    x, _ = write_folder(tmp_path / "train", per_class=10)
    x_val, y_val = write_folder(tmp_path / "val", classes=("cat", "eel"), seed=1)
    test = load(f"folder:{tmp_path}")
    np.testing.assert_array_equal(test.raw(np.arange(test.n)), x_val)
    assert test.labels.tolist() == (2 * y_val).tolist() and test.classes == ("cat", "dog", "eel")
    train, validation = (load(f"folder:{tmp_path}", split) for split in ("train", "validation"))
    assert (train.n, validation.n) == (27, 3)
    assert {i.tobytes() for p in (train, validation) for i in p.raw(np.arange(p.n))} == {i.tobytes() for i in x}
    write_folder(tmp_path / "test", seed=2)
    assert load(f"folder:{tmp_path}").n == 18 and load(f"folder:{tmp_path}", "train").n == 30
    write_folder(tmp_path / "test", classes=("fox",), seed=2)
    with pytest.raises(UnreadableInput, match="class fox that training has not"):
        load(f"folder:{tmp_path}")


def test_images_without_classes_have_no_labels(tmp_path):
    for number, image in enumerate(images(4, 8)):
        save(image, tmp_path / f"{number}.png")
    assert load(f"folder:{tmp_path}").labels is None
    save(images(1, 8)[0], tmp_path / "cat" / "x.png")
    with pytest.raises(UnreadableInput, match="4 images beside its class folders"):
        load(f"folder:{tmp_path}")


def test_images_of_different_sizes_are_resized_and_cropped(tmp_path):
    for number, size in enumerate([(20, 30), (40, 25), (300, 260)]):
        picture = np.full((3, *size), number * 50, np.uint8)
        save(picture, tmp_path / "a" / f"{number}.png")
    whole = folder(tmp_path).split()
    assert [operation["op"] for operation in whole.preprocess][:2] == ["resize", "center_crop"]
    assert whole.batch(0, 3).shape == (3, 3, 224, 224)
    assert [image.shape for image in whole.raw(np.arange(3))] == [(3, 20, 30), (3, 40, 25), (3, 300, 260)]
    with pytest.raises(Mismatch, match=r"images of \(3, 20, 30\) and \(3, 40, 25\) do not make a batch"):
        whole.batch(0, 3, [])


def test_every_mode_becomes_rgb(tmp_path):
    colours = images(1, 8)[0].transpose(1, 2, 0)
    made = {
        "rgb.png": Image.fromarray(colours),
        "grey.png": Image.fromarray(colours[..., 0]),
        "alpha.png": Image.fromarray(np.dstack([colours, np.full((8, 8), 90, np.uint8)])),
        "palette.png": Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE),
        "deep.png": Image.fromarray(colours[..., 0].astype(np.uint16) * 257),
        "black.png": Image.fromarray(colours[..., 0] > 100),
        "cmyk.tif": Image.fromarray(colours).convert("CMYK"),
        "bitmap.bmp": Image.fromarray(colours),
        "map.ppm": Image.fromarray(colours),
    }
    if features.check("webp"):
        made["lossless.webp"] = Image.fromarray(colours)
    for name, picture in made.items():
        picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    whole = folder(tmp_path).split()
    found = dict(zip(sorted(made), whole.raw(np.arange(whole.n))))
    channels = colours.transpose(2, 0, 1)
    for name in (
        "rgb.png",
        "alpha.png",
        "bitmap.bmp",
        "map.ppm",
        *(["lossless.webp"] if "lossless.webp" in made else []),
    ):
        np.testing.assert_array_equal(found[name], channels, err_msg=name)
    for name in ("grey.png", "deep.png"):
        np.testing.assert_array_equal(found[name], np.repeat(channels[:1], 3, axis=0), err_msg=name)
    assert set(np.unique(found["black.png"])) <= {0, 255}


def test_orientation_is_not_applied(tmp_path):
    picture = Image.fromarray(images(1, 8)[0].transpose(1, 2, 0)[:, :5])
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    assert folder(tmp_path).split().raw(np.arange(1)).shape == (1, 3, 8, 5)


def broken(tmp_path):
    """Unreadable images by what is wrong with them."""
    good = tmp_path / "good.png"
    save(images(1, 24)[0], good)
    content = good.read_bytes()
    save(images(1, 24)[0], tmp_path / "good.jpg")
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    floats = tmp_path / "floats.tiff"
    Image.fromarray(np.ones((4, 4), np.float32)).save(floats)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n"
    return {
        "truncated": (content[: len(content) // 2], "truncated"),
        "truncated jpeg": ((tmp_path / "good.jpg").read_bytes()[:-60], "truncated"),
        "text": (b"hello", "no image of a known format"),
        "empty": (b"", "has 0 bytes"),
        "bomb": (bomb, "over 89 million pixels"),
        "postscript": (postscript, "no image of a known format"),
        "floats": (floats.read_bytes(), "mode F"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "no image"),
    }


BROKEN = ["truncated", "truncated jpeg", "text", "empty", "bomb", "postscript", "floats", "lfs"]


@pytest.mark.parametrize("kind", BROKEN)
def test_one_unreadable_image_among_many_is_named_or_skipped(kind, tmp_path):
    content, piece = broken(tmp_path)[kind]
    root = tmp_path / "images"
    x, y = write_folder(root, size=24)
    (root / "dog" / "3.png").write_bytes(content)
    with pytest.raises(UnreadableInput, match=piece) as caught:
        whole = folder(root).split()
        whole.batch(0, whole.n)
    assert "dog/3.png" in str(caught.value) and "skip_unreadable=True" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 170
    rest = load(f"folder:{root}", reading=Reading(skip_unreadable=True))
    kept = np.arange(18) != 9
    np.testing.assert_array_equal(rest.raw(np.arange(17)), x[kept])
    assert rest.labels.tolist() == y[kept].tolist()
    assert rest.notes[0].startswith("1 unreadable images were left out, first: image ") and "dog/3.png" in rest.notes[0]


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UnreadableInput, match=r"holds no images|does not exist"):
            load(f"folder:{root}")
    (tmp_path / "cat").mkdir()
    with pytest.raises(UnreadableInput, match="holds no images"):
        load(f"folder:{tmp_path}")
    (tmp_path / "cat" / "x.png").write_text("x")
    with pytest.raises(UnreadableInput, match="no readable image"):
        load(f"folder:{tmp_path}", reading=Reading(skip_unreadable=True))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnreadableInput, match="is not a folder"):
        load(f"folder:{tmp_path / 'file'}")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    write_folder(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with pytest.raises(UnreadableInput, match=r"pipe\.png is no regular file"):
        load(f"folder:{tmp_path}")


def test_a_file_that_changes_while_it_is_used_is_noticed(tmp_path):
    write_folder(tmp_path)
    whole = load(f"folder:{tmp_path}")
    save(images(1, 16, seed=9)[0], tmp_path / "cat" / "4.png")
    whole.batch(0, 4)
    with pytest.raises(Mismatch, match="gives another example 4 than it gave before"):
        whole.batch(4, 8)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    write_folder(tmp_path / "few", per_class=10, size=64)
    write_folder(tmp_path / "many", per_class=80, size=64)
    peaks = []
    for name in ("few", "many"):
        tracemalloc.start()
        whole = load(f"folder:{tmp_path / name}")
        for start in range(0, whole.n, 8):
            whole.batch(start, start + 8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 210 * 1000 < peaks[0] + 210 * 3 * 64 * 64 / 10  # a thousand bytes an image at most


def test_tiny_imagenet_is_read_in_its_own_layout(tmp_path):
    chosen = write_tiny_imagenet(tmp_path, per_class=10)
    root = tmp_path / "tiny-imagenet-200"
    test = tiny_imagenet(tmp_path).split()
    assert test.classes == tuple(sorted(test.classes)) and len(test.classes) == 3
    names = sorted(chosen, reverse=True)  # the order of the annotations
    assert [test.classes[label] for label in test.labels] == [chosen[name] for name in names]
    for row, name in enumerate(names):
        with Image.open(root / "val" / "images" / name) as picture:
            np.testing.assert_array_equal(test.raw(np.array([row]))[0], np.asarray(picture).transpose(2, 0, 1))
    train, validation = (load(f"tiny-imagenet:{root}", split) for split in ("train", "validation"))
    assert (train.n, validation.n, test.n) == (27, 3, 6)
    assert not {bytes(i) for i in train.ids} & {bytes(i) for i in validation.ids}


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        ("val_0.JPEG\tn00000000\t0\t0\t9\t9", "class 'n00000000', none of the 3 in train"),
        ("../../train/x.JPEG\tn10000000", "names '../../train/x.JPEG', which is not in images"),
        ("val_0.JPEG\tn10000000\nval_0.JPEG\tn10000000", "names 'val_0.JPEG', which is not in images"),
        ("val_0.JPEG", "class ''"),
        ("val_0.JPEG\tn10000000", "leaves out 5 images"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(line, piece, tmp_path):
    write_tiny_imagenet(tmp_path)
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text(line + "\n")
    with pytest.raises(UnreadableInput, match=piece.replace(".", r"\.")):
        tiny_imagenet(tmp_path).split()


def test_a_folder_that_is_no_tiny_imagenet_is_refused(tmp_path):
    with pytest.raises(UnreadableInput, match="has no folder train"):
        tiny_imagenet(tmp_path)
    write_tiny_imagenet(tmp_path)
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UnreadableInput, match=r"val_annotations\.txt is missing"):
        tiny_imagenet(tmp_path).split()
