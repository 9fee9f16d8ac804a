"""Train a small teacher and a KDA student on the embedded digits, and ask what the student inherited."""

import tempfile
from pathlib import Path

import kernelscope as ks
from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.distill.recipe import Recipe

with tempfile.TemporaryDirectory() as folder:
    teacher_file, student_file = Path(folder) / "teacher.pt", Path(folder) / "student.pt"
    teacher = ks.train(Recipe(arch="resnet8", epochs=4))
    save_checkpoint(teacher_file, teacher.last)
    student = ks.train(Recipe(arch="resnet8x0.5", method="kda(weight=0.2)", epochs=4), teacher=ks.load(teacher_file))
    save_checkpoint(student_file, student.last)
    report = ks.measure(teacher=teacher_file, student=student_file, cache=False)
    print(report)
