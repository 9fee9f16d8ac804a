"""TF32 is off wherever features or kernels are formed, and afterwards as it was."""

import numpy as np
import pytest
import torch

from kernelscope.activations.undisturbed import rows_of
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.features.extraction import extract
from kernelscope.kernels.full_precision import full_precision

Settings = tuple[str, bool]


def settings() -> Settings:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture(params=[("high", True), ("highest", False)])
def asked(request):
    before = settings()
    torch.set_float32_matmul_precision(request.param[0])
    torch.backends.cudnn.allow_tf32 = request.param[1]
    yield request.param
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


class Watching(torch.nn.Linear):
    """Notes torch's settings whenever it runs."""

    seen: list[Settings]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(settings())
        return super().forward(x)


def test_settings_are_as_they_were_also_after_an_exception(asked):
    with pytest.raises(ZeroDivisionError), full_precision():
        assert settings() == ("highest", False)
        1 / 0  # noqa: B018
    assert settings() == asked


def test_networks_run_in_full_precision_whatever_was_asked_for(asked, tmp_path):
    network = Watching(4, 3).eval()
    network.seen = []
    inputs = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    examples = Examples("rows", "test", inputs, None, example_ids(inputs), preprocess=[])
    extract(loaded_module(network, name="network"), examples, layers="logits", out=tmp_path / "f.h5").close()
    rows_of(network, [torch.from_numpy(inputs)], ["logits"], name="network")
    assert set(network.seen) == {("highest", False)}
    assert settings() == asked
