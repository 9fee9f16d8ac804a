"""Augmentation shifts and mirrors each image on its own, and a generator repeats it."""

import pytest
import torch

from kernelscope.datasets.augment import resized_crop, shift_and_flip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def image_batch(n=200, channels=2, height=4, width=5):
    return torch.arange(1.0, 1 + n * channels * height * width).reshape(n, channels, height, width)


def shifted(image, down, right, mirrored):
    """One image moved pixel by pixel, zeros coming in."""
    _, height, width = image.shape
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                out[:, y, x] = image[:, y + down, x + right]
    return out.flip(-1) if mirrored else out


def moves_of(before, after, pad, flip):
    """For each image every (down, right, mirrored) that explains it."""
    choices = [
        (down, right, mirrored)
        for down in range(-pad, pad + 1)
        for right in range(-pad, pad + 1)
        for mirrored in ((False, True) if flip else (False,))
    ]
    return [[c for c in choices if torch.equal(shifted(b, *c), a)] for b, a in zip(before, after)]


@pytest.mark.parametrize(("pad", "flip"), [(1, False), (2, True), (0, True)])
def test_each_image_is_shifted_by_at_most_pad_and_mirrored_only_if_asked(pad, flip):
    before = image_batch()
    found = moves_of(before, shift_and_flip(before, generator(), pad, flip), pad, flip)
    assert all(len(moves) == 1 for moves in found)
    kinds = (2 * pad + 1) ** 2 * (2 if flip else 1)
    assert len({moves[0] for moves in found}) > 0.9 * kinds  # 200 images need not show all 50


def test_every_shift_is_equally_likely():
    n = 20_000
    before = torch.zeros(n, 1, 3, 3)
    before[:, 0, 1, 1] = 1  # one bright pixel tells the shift
    after = shift_and_flip(before, generator(), pad=1, flip=False)
    counts = after.sum(0).flatten()
    expected = n / 9
    assert int(counts.sum()) == n
    assert float(((counts - expected) ** 2 / expected).sum()) < 26.1  # chi-squared, 8 degrees, 0.1 %


def test_about_half_are_mirrored():
    before = image_batch(n=4000, channels=1, height=1, width=2)
    mirrored = (shift_and_flip(before, generator(), pad=0, flip=True) != before).flatten(1).any(1)
    assert abs(float(mirrored.float().mean()) - 0.5) < 4 * 0.5 / 4000**0.5


def test_the_same_generator_repeats_the_same_augmentation():
    x = image_batch()
    first, again, other = (shift_and_flip(x, generator(seed), pad=1, flip=True) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_global_generator_is_not_used_and_the_images_stay():
    x = image_batch(n=8)
    before, state = x.clone(), torch.random.get_rng_state()
    shift_and_flip(x, generator(), pad=1, flip=True).zero_()
    assert torch.equal(x, before) and torch.equal(state, torch.random.get_rng_state())


def test_without_padding_and_mirroring_nothing_changes():
    x = image_batch(n=8)
    assert torch.equal(shift_and_flip(x, generator(), pad=0, flip=False), x)


def test_a_resized_crop_is_a_part_of_the_image_scaled_up():
    x = torch.linspace(0, 1, 32)[None, None, None, :].expand(200, 1, 32, 32).contiguous()  # grey value = column
    out = resized_crop(x, torch.Generator().manual_seed(0), flip=False)
    assert out.shape == x.shape
    spans = (out[:, 0, :, -1] - out[:, 0, :, 0]).mean(1)  # the share of the width that is left
    assert 0.2 < spans.min() < 0.45 and 0.9 < spans.max() <= 1.001
    assert out.min() >= 0 and out.max() <= 1
    steps = out[:, 0, 0].diff(dim=1)
    assert (steps >= -1e-5).all() and ((steps.amax(1) - steps[:, 8:24].mean(1)) < 0.02).all()


def test_resized_crops_are_drawn_from_the_generator_alone_and_differ():
    x = torch.rand(8, 3, 16, 16)
    one, two = (resized_crop(x, torch.Generator().manual_seed(3), flip=True) for _ in range(2))
    other = resized_crop(x, torch.Generator().manual_seed(4), flip=True)
    assert torch.equal(one, two) and not torch.equal(one, other)
    copies = resized_crop(x[:1].expand(8, -1, -1, -1).contiguous(), torch.Generator(), flip=True)
    assert len({tuple(image.flatten().tolist()) for image in copies}) == 8
