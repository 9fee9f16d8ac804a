"""Measure features you have in memory: what a student shares with its teacher, and what a fix would repair."""

import numpy as np

import kernelscope as ks

rng = np.random.default_rng(0)
classes = rng.integers(0, 10, 3000)
teacher = np.maximum(3 * rng.standard_normal((10, 64))[classes] + rng.standard_normal((3000, 64)), 0)
students = {
    "a rotation of the teacher": teacher @ np.linalg.qr(rng.standard_normal((64, 64)))[0],
    "the teacher at 0.3 of its scale": 0.3 * teacher,
    "the teacher through a linear map": teacher @ rng.standard_normal((64, 64)) / 8,
    "its first 16 features": teacher[:, :16],
    "another network": np.maximum(rng.standard_normal((3000, 64)), 0),
}
print(f"{'student':<34}{'loss':>9}{'scaled':>9}{'head':>9}{'floor':>9}{'chance':>9}")
for name, features in students.items():
    report = ks.measure(teacher=teacher, student=features, labels=classes)
    ladder = report.ladder
    numbers = (report.transfer_loss, ladder.scaled, ladder.head, ladder.width_floor, report.null.transfer_loss)
    print(f"{name:<34}" + "".join(f"{value:>9.3f}" for value in numbers))
