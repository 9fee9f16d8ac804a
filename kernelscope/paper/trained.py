"""What was trained and what it cost, in a few lines; methods, weights and failed students in tables."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from kernelscope.paper import words
from kernelscope.paper.layout import Table
from kernelscope.paper.plan import FIGURES, Cell
from kernelscope.paper.scenes import SEARCH_SEED
from kernelscope.report.digits import percent
from kernelscope.version import __version__

if TYPE_CHECKING:
    from kernelscope.paper.findings import Findings


def facts(found: Findings) -> list[tuple[str, str]]:
    """What was trained, on what, and what it cost."""
    study = found.study
    plan, rows = study.plan, study.rows
    of = {purpose: [row for row in rows if row.purpose == purpose] for purpose in ("teacher", "figure", "search")}
    seconds, threads = sum(row.seconds or 0.0 for row in rows), sorted({row.threads for row in rows})
    figures_asked = "all" if plan.figures == tuple(FIGURES) else " ".join(plan.figures)
    command = f"kernelscope reproduce {figures_asked} --size {plan.size} --seeds {','.join(map(str, plan.seeds))}"
    counts = f"{len(of['figure'])} for figures, {len(of['search'])} to find weights, {len(of['teacher'])} to teach"
    said = [
        ("Command", command),
        ("Networks", f"{counts}; {sum(row.failed is not None for row in rows)} failed"),
    ]
    for scene in plan.scenes:
        teacher = study.teacher(scene.key)
        top1 = "" if teacher is None or teacher.top1 is None else f" ({percent(teacher.top1)})"
        roles = dict.fromkeys(cell.role for cell in plan.cells if cell.scene == scene.key)
        students = ", ".join(words.student(plan, scene.key, role) for role in roles)
        rest = f"{scene.epochs} epochs, batches of {scene.batch_size}"
        said.append(
            (
                f"Scene {scene.key!r}",
                f"{words.scene(plan, scene.key)}; {scene.teacher}{top1} teaches {students}; {rest}",
            )
        )
    images = sorted({row.test_images for row in of["figure"] if row.test_images})
    said += [
        ("Test images", ", ".join(f"{count:,}" for count in images)),
        ("Seeds", f"{', '.join(map(str, plan.seeds))}; {SEARCH_SEED} for weights"),
        ("Time", f"{seconds / 60:.0f} CPU minutes in processes of {', '.join(map(str, threads))} thread"),
        ("With", f"kernelscope {__version__}, torch {version('torch')}, numpy {version('numpy')}"),
    ]
    return [(term, text) for term, text in said if text]


def appendix(found: Findings) -> list[Table]:
    """Methods as they were written, weights tried and chosen, failed students."""
    study = found.study
    methods = {Cell(r.scene, r.role, r.system): r.method for r in study.rows if r.purpose == "figure"}
    recipes = tuple((f"{c.scene} {c.role}", words.system(c.system), method) for c, method in methods.items())
    made = [Table("Methods", ("student", "system", "method"), recipes)]
    tried = tuple(
        (
            f"{scene} {system}",
            ", ".join(
                f"{options}: {'failed' if top1 is None else percent(top1)}" for options, top1 in of["tried"].items()
            ),
            str(of["chosen"]),
        )
        for scene, by_system in study.weights.items()
        for system, of in by_system.items()
    )
    if tried:
        caption = "Weights tried on held-out training images, S1, another seed; S2 and S3 take what was chosen"
        made.append(Table(caption, ("searched", "accuracy of each", "chosen"), tried))
    failed = tuple(
        (row.key, f"{row.scene} {row.role} {words.system(row.system)}, seed {row.seed}", row.failed)
        for row in study.rows
        if row.failed is not None
    )
    if failed:
        made.append(Table("Students that failed", ("key", "student", "reason"), failed))
    return made
