"""Data sets on the command line: the same examples for every network, or one line that says why not."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kernelscope.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kernelscope.datasets.sources import load as load_data
from kernelscope.networks import zoo

SHAPES = "shapes(size=12,classes=4,n=64,difficulty=0.1)"


def checkpoint(folder: Path, name: str, *, data=None, channels=3, shape=(3, 12, 12), preprocess=None, seed=0) -> Path:
    """An untrained network as a training run would save it."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = zoo.build("resnet8x0.25", num_classes=4, in_channels=channels)
    save_checkpoint(
        folder / name,
        Checkpoint(
            arch="resnet8x0.25",
            arch_kwargs={"num_classes": 4, "in_channels": channels},
            state_dict=net.state_dict(),
            layers={},
            input={"shape": list(shape), "layout": "NCHW"},
            preprocess=preprocess or [{"op": "scale", "by": 1 / 255}],
            classes=list("abcd"),
            data=data or {"name": SHAPES, "split": "test", "n": 16, "seed": 0, "order_sha256": None},
            metrics={},
            training={},
            versions={},
            created="",
        ),
    )
    return folder / name


@pytest.fixture
def pair(tmp_path):
    checkpoint(tmp_path, "t.pt")
    checkpoint(tmp_path, "s.pt", seed=1)
    return "--teacher", "t.pt", "--student", "s.pt"


def refused(result, code, piece):
    assert result[0] == code, result[2]
    lines = result[2].strip().splitlines()
    assert len(lines) == 1 and len(lines[0]) <= 200 and piece in lines[0], result[2]


def write_images(folder: Path):
    """The training images of SHAPES as files by class."""
    whole = load_data(SHAPES, "train")
    for number, (image, label) in enumerate(zip(whole.inputs, whole.labels)):
        place = folder / "abcd"[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{number:03d}.png")
    return whole


def pairs(result):
    assert result[0] == 0, result[2]
    return json.loads(result[1])["pairs"]


def test_checkpoints_name_their_own_shapes(run, pair):
    report = pairs(run("measure", *pair, "--json"))[0]
    assert (report["n"], report["split"]) == (16, f"{load_data(SHAPES, 'test').name}/test")
    assert report["order_sha256"] == load_data(SHAPES, "test").order_sha256


def test_the_same_images_in_every_form_give_the_same_numbers(run, pair, tmp_path):
    whole = write_images(tmp_path / "images")
    np.save("x.npy", whole.inputs.transpose(0, 2, 3, 1))
    (tmp_path / "their_images.py").write_text(
        "from kernelscope.datasets.sources import load\n"
        f"whole = load({SHAPES!r}, 'train')\n"
        "def stream():\n    return (x for x in whole.inputs)\n"
    )
    losses = {}
    for data in ([SHAPES, "--split", "train"], ["x.npy"], ["their_images:stream", "--n", "64"], ["folder:images"]):
        report = pairs(run("measure", *pair, "--data", *data, "--json"))[0]
        assert report["n"] == 64
        losses[data[0]] = report["transfer_loss"]
    sys.modules.pop("their_images", None)
    order = np.argsort(whole.labels, kind="stable")  # a folder has class after class
    assert order[1] == 4 and losses["folder:images"] == pytest.approx(losses["x.npy"], rel=1e-5)
    assert losses["their_images:stream"] == pytest.approx(losses[SHAPES], rel=1e-6)


def test_sets_in_another_order_are_paired_by_their_ids(run, pair, tmp_path):
    whole = load_data(SHAPES, "train")
    order = np.random.default_rng(0).permutation(64)
    np.savez("a.npz", x=whole.inputs, y=whole.labels)
    np.savez("b.npz", x=whole.inputs[order], y=whole.labels[order])
    for name in "ab":
        assert run("extract", f"{'ts'['ab'.index(name)]}.pt", "--data", f"{name}.npz", "--out", f"{name}.h5")[0] == 0
    refused(run("measure", "--teacher", "a.h5", "--student", "b.h5"), 4, "pass --align ids to pair them")
    aligned = pairs(run("measure", "--teacher", "a.h5", "--student", "b.h5", "--align", "ids", "--json"))
    straight = pairs(run("measure", *pair, "--data", "a.npz", "--json"))
    assert aligned[0]["transfer_loss"] == pytest.approx(straight[0]["transfer_loss"], rel=1e-5)


def test_one_unreadable_image_is_named_or_dropped_from_both_sides(run, pair, tmp_path):
    write_images(tmp_path / "images")
    (tmp_path / "images" / "b" / "001.png").write_text("no image")
    words = ("measure", *pair, "--data", "folder:images", "--json")
    refused(run(*words), 3, "b/001.png is no image of a known format; replace it, or pass --skip-unreadable")
    for report in pairs(run(*words, "--skip-unreadable")):
        assert report["n"] == 63
        notes = [note for note in report["notes"] if "unreadable" in note]
        assert len(notes) == 1 and "b/001.png" in notes[0]
    assert run("extract", "t.pt", "--data", "folder:images", "--skip-unreadable", "--out", "t.h5")[0] == 0
    report = pairs(run("measure", "--teacher", "t.h5", "--student", "t.h5", "--json"))[0]
    assert report["n"] == 63 and any("b/001.png" in note for note in report["notes"])


def test_networks_that_need_different_inputs_are_told_so(run, tmp_path):
    checkpoint(tmp_path, "t.pt")
    checkpoint(tmp_path, "s.pt", channels=1, shape=(1, 8, 8))
    words = ("measure", "--teacher", "t.pt", "--student", "s.pt", "--data", SHAPES)
    refused(run(*words), 4, "s.pt takes inputs of (1, 8, 8) and shapes(")
    reshaped = [{"op": "resize", "size": 8}, {"op": "channels", "to": 1}, {"op": "scale", "by": 1 / 255}]
    assert run("extract", "t.pt", "--data", SHAPES, "--out", "t.h5")[0] == 0
    assert run("extract", "s.pt", "--data", SHAPES, "--preprocess", json.dumps(reshaped), "--out", "s.h5")[0] == 0
    assert pairs(run("measure", "--teacher", "t.h5", "--student", "s.h5", "--json"))[0]["n"] == 16
    checkpoint(tmp_path, "u.pt", channels=1, shape=(1, 8, 8), preprocess=reshaped)
    assert pairs(run("measure", "--teacher", "t.pt", "--student", "u.pt", "--data", SHAPES, "--json"))[0]["n"] == 16


def test_operations_given_take_the_place_of_every_networks_own(run, pair):
    words = ("measure", *pair, "--json")
    own = pairs(run(*words))[0]["transfer_loss"]
    same = pairs(run(*words, "--preprocess", '[{"op": "scale", "by": 0.00392156862745098}]'))[0]["transfer_loss"]
    other = pairs(run(*words, "--preprocess", '[{"op": "scale", "by": 0.02}]'))[0]["transfer_loss"]
    assert same == own != other
    for text in ("nonsense", "{}", '[{"op": "rotate"}]'):
        refused(run(*words, "--preprocess", text), 2, "--preprocess is not a JSON list of operations")


def test_a_checkpoint_cannot_have_code_run(run, tmp_path):
    (tmp_path / "evil.py").write_text("open('ran', 'w')\ndata = []\n")
    for number, name in enumerate(("evil:data", "os:listdir(path='.')")):
        path = checkpoint(tmp_path, f"{number}.pt", data={"name": name, "split": "all", "order_sha256": "0" * 64})
        refused(run("measure", "--teacher", path.name, "--student", path.name), 2, "names code as its data")
    assert not (tmp_path / "ran").exists()


def test_files_that_a_checkpoint_names_are_used_only_if_they_are_those(run, tmp_path):
    whole = write_images(tmp_path / "images")
    stated = load_data("folder:images")
    data = {"name": "folder:images", "split": "all", "seed": 0, "order_sha256": stated.order_sha256}
    for name, changes in (("a", {}), ("b", {"order_sha256": None}), ("c", {"order_sha256": "0" * 64})):
        checkpoint(tmp_path, f"{name}.pt", data={**data, **changes})
    assert pairs(run("measure", "--teacher", "a.pt", "--student", "a.pt", "--json"))[0]["n"] == whole.n
    refused(run("measure", "--teacher", "b.pt", "--student", "b.pt"), 2, "without its fingerprint; pass --data")
    refused(run("measure", "--teacher", "c.pt", "--student", "c.pt"), 4, "evaluated on other examples")
    moved = {**data, "name": str(tmp_path / "images")}
    checkpoint(tmp_path, "d.pt", data={**moved, "name": f"folder:{tmp_path / 'images'}"})
    assert pairs(run("measure", "--teacher", "a.pt", "--student", "d.pt", "--json"))[0]["n"] == whole.n


@pytest.mark.parametrize(
    ("data", "code", "piece"),
    [
        ("folder:empty", 3, "holds no images"),
        ("folder:nowhere", 3, "does not exist"),
        ("folder:", 2, "names no folder; write folder:DIR"),
        ("cifar10:empty", 3, "holds neither cifar-10-batches-bin"),
        ("tiny-imagenet:empty", 3, "has no folder train"),
        ("empty/x.npy", 3, "does not exist"),
        ("flder:empty", 2, "cannot be imported"),
        ("cifar11:empty", 2, "cannot be imported"),
        ("shape", 2, "did you mean shapes"),
        ("cifar10", 2, "did you mean cifar10:DIR"),
        ("a b c", 2, "unknown data set 'a b c'; there is digits, shapes, cifar10:DIR"),
        ("shapes(size=3)", 2, "shapes takes size from 8 to 512, not 3"),
        ("digits(size=3)", 2, "it takes none"),
    ],
)
def test_data_that_are_not_there_are_one_line(data, code, piece, run, pair, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(run("measure", *pair, "--data", data), code, piece)


def test_training_on_images_of_its_own(run, tmp_path):
    write_images(tmp_path / "images")
    words = ("train", "--arch", "resnet8x0.25", "--epochs", "1", "--quiet")
    resize = '[{"op": "resize", "size": [10, 10]}, {"op": "scale", "by": 0.004}]'
    assert run(*words, "--data", "folder:images", "--preprocess", resize, "--out", "t.pt")[0] == 0
    made = load_checkpoint(tmp_path / "t.pt")
    assert made.input["shape"] == [3, 10, 10] and made.classes == ["a", "b", "c", "d"]
    assert made.preprocess == json.loads(resize) and made.data["name"] == "folder:images"
    kda = ("--method", "kda", "--teacher", "t.pt", "--out", "s.pt")
    assert run(*words, "--data", "folder:images", *kda)[0] == 0  # a teacher of other inputs than the student
    np.save("x.npy", np.zeros((40, 3, 8, 8), np.uint8))
    refused(run(*words, "--data", "x.npy", "--out", "no.pt"), 2, "x.npy has no labels; training needs them")


def test_training_on_images_of_different_sizes(run, tmp_path):
    write_images(tmp_path / "images")
    path = tmp_path / "images" / "a" / "000.png"
    Image.open(path).resize((20, 15)).save(path)
    words = ("train", "--arch", "resnet8x0.25", "--epochs", "1", "--quiet", "--data", "folder:images")
    sizes = [{"op": "resize", "size": 10}, {"op": "center_crop", "size": 10}, {"op": "scale", "by": 0.004}]
    assert run(*words, "--preprocess", json.dumps(sizes), "--out", "t.pt")[0] == 0
    assert load_checkpoint(tmp_path / "t.pt").input["shape"] == [3, 10, 10]
    kda = ("--method", "kda", "--teacher", "t.pt", "--preprocess", json.dumps(sizes))
    code, _, err = run(*words, *kda, "--out", "s.pt")
    assert code == 0, err
    assert pairs(run("measure", "--teacher", "t.pt", "--student", "s.pt", "--json"))[0]["n"] == 16
