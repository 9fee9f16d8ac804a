"""Tiny plans: two recipes on a few digits, in seconds."""

import numpy as np

from kernelscope.datasets.sources import load
from kernelscope.distill.recipe import recipe
from kernelscope.paper.jobs import Job, Learning, checkpoint_of
from kernelscope.paper.scenes import Images


def few_digits(folder):
    """A file of 400 digits, of which 270 are trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = load("digits", "train").head(400)
    np.savez(folder / "few.npz", x=15 * examples.inputs, y=examples.labels)  # 0 … 16 as pixels
    return Images(*[str(folder / "few.npz")] * 3)


def teacher_job(images):
    return Job("tiny", "teacher", "ce", "teacher", recipe(arch="mlp", epochs=8, batch_size=32), images)


def student_jobs(images, folder, *methods, seeds=(0,), **changes):
    """Of the teacher of :func:`teacher_job`, trained in ``folder``."""
    teacher = teacher_job(images)
    learning = Learning(teacher.key, checkpoint_of(folder, teacher), "mlp")
    changes = {"arch": "mlpx0.25", "epochs": 3, "batch_size": 32, **changes}
    return [
        Job("tiny", "S1", method, "figure", recipe(method=method, seed=seed, **changes), images, learning)
        for method in methods
        for seed in seeds
    ]
