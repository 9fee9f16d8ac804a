"""Rows: to JSON and back, and damaged ones."""

import numpy as np
import pytest

from kernelscope.errors import UnreadableInput
from kernelscope.paper.rows import Row, packed, read

RIGHT = np.array([True, False, True, True, False, True, True, True, False, True])
ROW = Row(
    key="0a1b",
    scene="first",
    role="S1",
    arch="resnet8",
    system="kda",
    method="kda(weight=0.1)",
    seed=0,
    epochs=2,
    top1=0.7,
    correct=packed(RIGHT),
    test_images=len(RIGHT),
    layers={"embedding": {"raw": 0.25}},
)


def test_a_row_comes_back_from_its_file_as_it_was(tmp_path):
    ROW.save(tmp_path / "row.json")
    assert read(tmp_path / "row.json") == ROW
    assert (read(tmp_path / "row.json").right() == RIGHT).all()


def test_a_row_with_a_number_that_is_none_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Row(**{**vars(ROW), "top1": float("nan")}).save(tmp_path / "row.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"[" * 100_000, b'{"format": "kernelscope.row"}', b"\xff", ROW.to_json().encode()[:-40]],
    ids=["empty", "cut", "list", "deep", "bare", "no-text", "torn"],
)
def test_a_damaged_row_is_one_line(tmp_path, content):
    (tmp_path / "row.json").write_bytes(content)
    with pytest.raises(UnreadableInput, match=r"row\.json") as told:
        read(tmp_path / "row.json")
    assert len(str(told.value)) <= 200


@pytest.mark.parametrize("wrong", ['"seed": "0"', '"correct": "zz"', '"top1": NaN', '"mood": 1'])
def test_a_row_with_a_value_of_another_kind_is_refused(tmp_path, wrong):
    key = wrong.split(":")[0]
    text = ROW.to_json()
    kept = ", ".join(part for part in text.strip()[1:-1].split(", ") if not part.startswith(key))
    (tmp_path / "row.json").write_text(f"{{{kept}, {wrong}}}")
    with pytest.raises(UnreadableInput, match="no row"):
        read(tmp_path / "row.json")
