"""Train a small teacher and a KDA student on the embedded digits, and ask what the student inherited."""

import tempfile
from pathlib import Path

import kernelscope as ks

with tempfile.TemporaryDirectory() as folder:
    teacher_file, student_file = Path(folder) / "teacher.pt", Path(folder) / "student.pt"
    ks.train(ks.recipe(arch="resnet8", epochs=4)).save(teacher_file)
    student = ks.recipe(arch="resnet8x0.5", method="kda(weight=0.2)", epochs=4)
    ks.train(student, teacher=ks.load(teacher_file)).save(student_file)
    report = ks.measure(teacher=teacher_file, student=student_file, cache=False)
    print(report)
