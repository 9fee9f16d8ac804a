"""Maps on disk: what is read is what was written, and nothing else is taken for a map."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import kernelscope as ks
from kernelscope.errors import KernelscopeError, UnreadableInput, UsageError
from kernelscope.features.query_map import write_map
from kernelscope.kernels.similarity.query_maps import QueryMap

RNG = np.random.default_rng(2)
FULL = QueryMap("linear", RNG.standard_normal((5, 3)), RNG.standard_normal(5), RNG.standard_normal(3))
LOW = QueryMap("low rank", RNG.standard_normal((5, 2)), FULL.before, FULL.after, RNG.standard_normal((2, 3)))
QUERIES = RNG.standard_normal((7, 5))


@pytest.mark.parametrize("found", [FULL, LOW], ids=["full", "low"])
@pytest.mark.parametrize("name", ["m.safetensors", "m.npy"])
def test_a_map_that_is_read_does_what_the_written_one_did(found, name, tmp_path):
    write_map(tmp_path / name, found, "cosine")
    np.testing.assert_allclose(ks.load_map(tmp_path / name)(QUERIES), found(QUERIES), rtol=1e-4, atol=1e-5)
    if name == "m.npy":
        M = np.load(tmp_path / name)
        np.testing.assert_allclose(QUERIES @ M[:-1] + M[-1], found(QUERIES), rtol=1e-4, atol=1e-5)


def test_other_files_are_no_maps(tmp_path):
    np.save(tmp_path / "ints.npy", np.ones((3, 3), np.int64))
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    np.save(tmp_path / "row.npy", np.ones((1, 3)))
    save_file({"A": np.ones((2, 2), np.float32)}, tmp_path / "weights.safetensors")
    shapes = {"A": np.ones((2, 2), np.float32), "before": np.ones(3, np.float32), "after": np.ones(2, np.float32)}
    save_file(shapes, tmp_path / "shapes.safetensors", {"format": "kernelscope.map"})
    (tmp_path / "noise.safetensors").write_bytes(RNG.bytes(200))
    for path in tmp_path.iterdir():
        with pytest.raises(UnreadableInput, match="is no map"):
            ks.load_map(path)
    with pytest.raises(KernelscopeError):
        ks.load_map(tmp_path / "missing.npy")
    with pytest.raises(UsageError, match=r"ends in \.safetensors or \.npy"):
        write_map(tmp_path / "map.pt", FULL, "cosine")


def test_a_damaged_map_is_one_line(tmp_path):
    write_map(tmp_path / "m.safetensors", LOW, "dot")
    whole = (tmp_path / "m.safetensors").read_bytes()
    for _ in range(200):
        content = bytearray(whole)
        content[RNG.integers(len(content))] ^= 1 << int(RNG.integers(8))
        (tmp_path / "d.safetensors").write_bytes(bytes(content[: RNG.integers(1, len(content) + 1)]))
        try:
            ks.load_map(tmp_path / "d.safetensors")
        except UnreadableInput as error:
            assert "\n" not in str(error)
