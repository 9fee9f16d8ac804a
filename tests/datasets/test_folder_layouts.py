"""Image folders as people have them: splits in any case, what systems leave, files of other kinds, doubtful names."""

import shutil

import pytest

from kernelscope.datasets.sources import load
from kernelscope.errors import UnreadableInput
from tests.datasets.foreign_layouts import images, save, write_folder


@pytest.mark.parametrize(
    ("train", "other"),
    [("Train", "Test"), ("TRAINING", "Testing"), ("training", "Validation"), ("train", "VAL"), ("Train", "valid"),
     ("train", "dev"), ("train", "Eval")],
)  # fmt: skip
def test_splits_are_known_whatever_their_case(train, other, tmp_path):
    write_folder(tmp_path / train, per_class=10)
    write_folder(tmp_path / other, per_class=2, seed=1)
    test = load(f"folder:{tmp_path}")
    assert (test.n, test.classes, test.notes) == (6, ("cat", "dog", "eel"), ())
    assert load(f"folder:{tmp_path}", "train").n in (27, 30)


def test_a_split_without_classes_has_no_labels_unless_another_has_them(tmp_path):
    write_folder(tmp_path / "train", per_class=10)
    for number, image in enumerate(images(4, 16, seed=2)):
        save(image, tmp_path / "Test" / f"{number}.png")
    test = load(f"folder:{tmp_path}")
    assert (test.n, test.labels) == (4, None)
    write_folder(tmp_path / "val", per_class=1, seed=1)
    test = load(f"folder:{tmp_path}")
    assert test.n == 3 and test.labels.tolist() == [0, 1, 2]
    assert test.notes == ("folders beside those of the splits were passed over: Test",)


@pytest.mark.parametrize("names", [("val", "Valid"), ("train", "Train"), ("test", "Testing")])
def test_two_folders_of_one_split_are_refused(names, tmp_path):
    for name in ("train", "test", *names):
        write_folder(tmp_path / name, per_class=2)
    with pytest.raises(UnreadableInput, match=f"has {' and '.join(sorted(names))}, which may both be its"):
        load(f"folder:{tmp_path}")


def test_classes_that_differ_in_case_alone_are_refused(tmp_path):
    write_folder(tmp_path, classes=("Cat", "cat", "dog"))
    with pytest.raises(UnreadableInput, match="has the folders Cat and cat, which differ only in case"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize("names", [("train",), ("val", "test")])
def test_splits_of_which_one_is_missing_are_no_classes(names, tmp_path):
    for name in names:
        write_folder(tmp_path / name, per_class=2)
    with pytest.raises(UnreadableInput, match=f"has {' and '.join(sorted(names, reverse=True))} alone.*; name one, f"):
        load(f"folder:{tmp_path}")
    assert load(f"folder:{tmp_path / names[0]}").n == 6


def test_what_systems_leave_is_no_class_and_no_image(tmp_path):
    write_folder(tmp_path)
    image = tmp_path / "cat" / "0.png"
    for name in ("__MACOSX", ".ipynb_checkpoints", ".git", "@eaDir", "$RECYCLE.BIN", "cat/.ipynb_checkpoints",
                 "dog/@eaDir"):  # fmt: skip
        (tmp_path / name).mkdir()
        shutil.copy(image, tmp_path / name / "0.png")
    shutil.copy(image, tmp_path / "dog" / "._0.png")
    shutil.copy(image, tmp_path / "._0.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "cat" / name).write_text("x")
    whole = load(f"folder:{tmp_path}")
    assert (whole.n, whole.classes, whole.notes) == (18, ("cat", "dog", "eel"), ())


def test_files_of_other_kinds_are_counted_and_empty_classes_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "fox").mkdir()
    (tmp_path / "cat" / "x.avif").write_text("x")
    assert load(f"folder:{tmp_path}").notes[0] == "1 file of unknown kind (.avif) was passed over"
    for name in ("notes.TXT", "cat/boxes.txt", "dog/labels.json", "LICENSE"):
        (tmp_path / name).write_text("x")
    whole = load(f"folder:{tmp_path}")
    assert whole.n == 18 and whole.classes == ("cat", "dog", "eel", "fox")
    assert whole.notes[0].startswith("5 files of unknown kind (.txt, ") and whole.notes[0].endswith(" passed over")
    assert whole.notes[1] == "class folders without an image: fox"
    assert load(f"folder:{tmp_path}", "test").notes == whole.notes


def test_folders_that_hold_only_folders_are_told(tmp_path):
    for name in ("seg_test", "seg_train"):
        write_folder(tmp_path / name / name, per_class=2)
    (note,) = load(f"folder:{tmp_path}").notes
    assert note.startswith("classes are the folders seg_test, seg_train, which hold only folders")
