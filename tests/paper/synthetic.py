"""Rows of students that nobody trained, drawn from a seed with known differences between systems."""

import math
import zlib

import numpy as np

from kernelscope.paper.plan import Plan, Study, plan
from kernelscope.paper.rows import Row, packed

#: accuracy and raw loss at the embedding of each system, plausible ones
TRUTH = {
    "ce": (0.70, 0.50), "kda": (0.76, 0.28), "kda_random": (0.75, 0.29), "kda_two": (0.76, 0.27),
    "kda_whitened": (0.72, 0.70), "kda_conv3": (0.71, 0.48), "kda_conv4": (0.73, 0.42), "kda_logits": (0.76, 0.32),
    "combo": (0.78, 0.26), "kd": (0.80, 0.49), "at": (0.74, 0.40), "rkd": (0.79, 0.33), "running": (0.80, 0.23),
    "full_kernel": (0.80, 0.25), "running_rkd": (0.82, 0.22),
}  # fmt: skip
EPOCHS = 6


def student(
    scene: str = "first",
    role: str = "S1",
    system: str = "kda",
    seed: int = 0,
    *,
    top1: float | None = None,
    loss: float | None = None,
    sd: float = 0.01,
    images: int = 2000,
    draw: int = 0,
    purpose: str = "figure",
    method: str | None = None,
) -> Row:
    """One student: its own noise on top of its system's accuracy and loss."""
    names = f"{scene} {role} {system} {method} {seed} {draw} {purpose}"
    rng = np.random.default_rng(zlib.crc32(names.encode()))
    top1 = (TRUTH[system][0] if top1 is None else top1) + sd * rng.standard_normal()
    loss = (TRUTH[system][1] if loss is None else loss) * math.exp(sd * rng.standard_normal())
    difficulty = np.random.default_rng([draw, images]).random(images)  # the same images for all
    right = difficulty + 0.05 * rng.standard_normal(images) < top1
    trajectory = [
        {"epoch": e, "layers": {"embedding": point(loss * (1 + 2 / e), rng), "logits": point(1.5 * loss, rng)}}
        for e in range(1, EPOCHS + 1)
    ]
    return Row(
        key=f"{zlib.crc32(names.encode()):08x}",
        scene=scene,
        role=role,
        arch="resnet8",
        system=system,
        method=method or f"{system}(weight=0.1)",
        seed=seed,
        epochs=EPOCHS,
        purpose=purpose,
        seconds=3.0 + rng.random(),
        top1=float(right.mean()),
        top1_best=float(right.mean()),
        teacher_top1=0.9,
        agreement=float(right.mean()) - 0.02,
        flips=1 - float(right.mean()) - 0.05,
        training_ce=float(0.9 - right.mean() + 0.02 * rng.random()),
        validation_top1=[top1 * e / EPOCHS for e in range(1, EPOCHS + 1)],
        trajectory=trajectory,
        layers={"embedding": final(loss, top1, rng), "logits": final(1.5 * loss, top1, rng)},
        correct=packed(right),
        test_images=images,
    )


def point(loss: float, rng: np.random.Generator) -> dict:
    """One epoch of a trajectory."""
    return {
        "n": 480, "landmarks": 48, "transfer_loss": loss, "scaled": 0.9 * loss,
        "estimate": 0.3 * loss * math.exp(0.01 * rng.standard_normal()), "expanded_estimate": 0.93 * loss,
        "norm_teacher": 100.0, "norm_student": 90.0, "min_eigenvalue_teacher": 0.03, "min_eigenvalue_student": 0.005,
        "theorem2": None,
        "bounds": {
            "theorem2": 900 * loss, "theorem2_frobenius": 2 * loss, "corollary1": 3 * loss, "corollary2": 9 * loss,
            "corollary1_paper": 1e5, "corollary2_paper": 1e6, "class_centres_lower": 0.93 * loss,
            "class_centres_upper": 1.1 * loss,
        },
    }  # fmt: skip


def final(loss: float, top1: float, rng: np.random.Generator) -> dict:
    """A layer's numbers on the test images."""
    end = point(loss, rng)
    bounds = {
        name: {
            "value": 100 * value, "over_truth": value / loss, "holds": True, "vacuous": name.endswith("_paper"),
            "assumption": "the smallest eigenvalue of W is 0.005" if name.endswith("_paper") else None,
        }
        for name, value in end["bounds"].items()
    }  # fmt: skip
    return end | {
        "n": 2000, "raw": loss, "scaled": 0.9 * loss, "centred": 0.85 * loss, "head": 0.5 - 0.4 * top1,
        "head_held_out": 0.55 - 0.4 * top1, "width_floor": 0.05, "neighbours": top1 - 0.4 + 0.002 * rng.random(),
        "neighbours_chance": 0.005, "cka_debiased": 1 - loss, "norm_difference": 100 * loss, "partial_norm": 3.0,
        "bounds": bounds, "claims": {"lemma1": lemma(0.7, 0.8)},
    }  # fmt: skip


def lemma(printed: float, corrected: float) -> dict:
    """Lemma 1 as an audit has it, from its largest left side over right side."""
    sides = {"right": 1.0, "slack": None, "vacuous": False, "formula": ""}
    said = [sides | {"left": left, "holds": left <= 1} for left in (printed, corrected)]
    return {"name": "lemma1", "about": "Lemma 1", "printed": said[0], "corrected": said[1], "assumption": None}


def study(figures: tuple[str, ...] = (), *, searched: int = 0, draw: int = 0, sd: float = 0.01) -> Study:
    """Every student of some figures, and ``searched`` students of the search beside them."""
    made: Plan = plan(figures)
    rows = [
        student(cell.scene, cell.role, cell.system, seed, draw=draw, sd=sd)
        for cell in made.cells
        for seed in made.seeds
    ]
    for scene in made.scenes:
        rows += [
            student(
                scene.key, "S1", system, 100, purpose="search", method=f"{system}(weight={n})", draw=draw, sd=4 * sd
            )
            for n in range(searched)
            for system in ("kda", "kd", "rkd")
        ]
        rows.append(student(scene.key, "teacher", "ce", 1000, top1=0.9, purpose="teacher"))
    return Study(made, tuple(rows), {scene.key: {} for scene in made.scenes})
