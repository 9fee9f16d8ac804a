"""The demo's four recipes: one teacher, and three students with the same initial weights and order of examples."""

from __future__ import annotations

from kernelscope.distill.recipe import Recipe

STUDENTS = {
    "ce": "ce",
    # weight 1 beside cross-entropy: at the field's usual 9 : 1 this small student's loss at the embedding grows further
    "kd": "kd(T=4,weight=1)",
    # the authors' 0.04 belongs to batches of 256 with 100 classes; their term grows as √(batch · classes)
    "kda": "kda(weight=0.2)",
}


def demo_recipes(seed: int = 0) -> dict[str, Recipe]:
    """Recipes by file name: ``teacher`` first, then the students of :data:`STUDENTS`."""
    teacher = Recipe(arch="resnet20", method="ce", epochs=30, batch_size=64, lr=0.1, pad=1, seed=seed)
    students = {
        name: Recipe(arch="resnet8", method=method, epochs=30, batch_size=64, lr=0.1, pad=1, seed=seed)
        for name, method in STUDENTS.items()
    }
    return {"teacher": teacher, **students}
