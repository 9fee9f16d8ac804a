"""Tiny plans: two recipes on a few digits, in seconds."""

from kernelscope.distill.recipe import recipe
from kernelscope.paper.jobs import Job, Learning, checkpoint_of
from kernelscope.paper.running import Workers
from kernelscope.paper.scenes import Images

DIGITS = Images("digits", "digits", "digits")
PLAN = """
methods = ["ce", "kda(weight=0.1)"]
seeds = [0, 1]
epochs = 1
batch_size = 256
data = {name = "digits"}
teacher = {file = "teacher.pt"}
student = [{arch = "mlpx0.25"}]
"""


def train(jobs, folder, **options):
    with Workers(folder, **options) as workers:
        return workers.train(jobs)


def teacher_job():
    return Job("tiny", "teacher", "ce", "teacher", recipe(arch="resnet8x0.5", epochs=2), DIGITS)


def student_jobs(folder, *methods, seeds=(0,), **changes):
    """Of the teacher of :func:`teacher_job`, trained in ``folder``."""
    teacher = teacher_job()
    learning = Learning(teacher.key, checkpoint_of(folder, teacher), "resnet8x0.5")
    changes = {"arch": "resnet8x0.25", "epochs": 1, "batch_size": 256, **changes}
    return [
        Job("tiny", "S1", method, "figure", recipe(method=method, seed=seed, **changes), DIGITS, learning)
        for method in methods
        for seed in seeds
    ]
