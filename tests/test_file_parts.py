"""What follows colons is a part of a file, unless a file is called so."""

from pathlib import Path

import pytest

from kernelscope.file_parts import split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t.ckpt::state_dict_ema", ("t.ckpt", "state_dict_ema")),
        ("t.ckpt::model/ema::x:y", ("t.ckpt", "model/ema::x:y")),
        ("t.ckpt::", ("t.ckpt", "")),
        ("f.h5:group/layer.1:0", ("f.h5", "group/layer.1:0")),
        ("f.h5::group", ("f.h5", "group")),
        ("folder::teacher", ("folder", "teacher")),
        ("two::names/t.pt::ema", ("two::names/t.pt", "ema")),
        ("b:c.npy", ("b:c.npy", None)),
        ("missing.pt::key", ("missing.pt", "key")),
        ("missing.h5:rows", ("missing.h5", "rows")),
        ("missing.parquet:column", ("missing.parquet", "column")),
        ("shards:part*.npy", ("shards:part*.npy", None)),
        ("folder:images", ("folder:images", None)),
        ("torchvision:resnet18", ("torchvision:resnet18", None)),
        ("pkg.mod:factory", ("pkg.mod:factory", None)),
        ("missing.pt", ("missing.pt", None)),
        ("::key", ("::key", None)),
        ("", (".", None)),
        ("a\0.pt::b", ("a\0.pt", "b")),
    ],
)
def test_a_part_is_split_from_the_file_before_it(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    for name in ("t.ckpt", "f.h5", "b:c.npy"):
        Path(name).touch()
    for name in ("folder", "two::names"):
        Path(name).mkdir()
    Path("two::names/t.pt").touch()
    file, part = split(text)
    assert (str(file), part) == expected
    assert split(Path(text)) == (file, part)


def test_a_file_with_colons_in_its_name_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.ckpt").touch()
    Path("t.ckpt::ema").touch()
    assert split("t.ckpt::ema") == (Path("t.ckpt::ema"), None)
