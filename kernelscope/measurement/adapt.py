"""``adapt``: may the student's queries use the teacher's index, as they are or through a map, and which map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import devices
from kernelscope.errors import Mismatch, UsageError, by_name
from kernelscope.features.query_map import require_map_path, write_map
from kernelscope.features.request import Progress, Request, taking
from kernelscope.kernels.row_views import Normalised
from kernelscope.kernels.rows import require_finite, take_rows
from kernelscope.kernels.similarity.query_maps import QueryMap, fitted
from kernelscope.kernels.similarity.retrieval import Documents, Similarity, mean_recall, ratio, unit_rows
from kernelscope.measurement.inputs import Given, open_inputs
from kernelscope.measurement.layer_choice import LayerChoice
from kernelscope.measurement.layer_pairs import Correspondence, LayerPair, matches
from kernelscope.report.adaptation import ENOUGH, Adaptation, Share, Way

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

QUERIES = 2_000  #: held out where none are given
LEAST_ROWS = 40
REEMBEDDED = "re-embedded"
FITTED_ROWS = 50_000  #: at most, drawn; at least four for each of the student's features where there are so many


@by_name
@devices.faults()
def adapt(
    *,
    teacher: Any,
    student: Any,
    teacher_queries: Any = None,
    student_queries: Any = None,
    out: str | os.PathLike[str] | None = None,
    k: int = 10,
    similarity: Similarity = "cosine",
    queries: int | None = None,
    rank: int | None = None,
    enough: float = ENOUGH,
    data: Any = None,
    split: str | None = None,
    limit: int | None = None,
    n: int | None = None,
    skip_unreadable: bool = False,
    preprocess: list[dict[str, Any]] | None = None,
    align: str | None = None,
    layers: str | Sequence[str] | None = None,
    teacher_layers: str | Sequence[str] | None = None,
    student_layers: str | Sequence[str] | None = None,
    pairs: str | None = None,
    pool: str = "auto",
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    batch_size: int = 256,
    cache: bool = True,
    accuracy_check: bool = True,
    teacher_arch: str | None = None,
    teacher_arch_kwargs: dict[str, Any] | None = None,
    student_arch: str | None = None,
    student_arch_kwargs: Any = None,
    progress: Progress | None = None,
) -> Adaptation:
    """Recall of student queries in the teacher's index: as they are, after a rotation, a linear map, one of low rank.

    The teacher's index holds its features of all rows (documents). Some rows are held out as queries; maps are fitted
    on others, and judged on the queries alone. What can be had is what embedding all documents again with the student
    would find.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((400, 16))
        >>> rotation = np.linalg.qr(rng.standard_normal((16, 16)))[0]
        >>> ks.adapt(teacher=X, student=X @ rotation, queries=100, out="map.npy").answer
        'yes'

    Args:
        teacher, student: features of the same documents, or networks; see
            :func:`kernelscope.measurement.measure.measure`.
        teacher_queries, student_queries: features of queries that are not documents (another prompt, another tower), of
            the same queries in the same order; then maps are fitted on documents and judged on these.
        out: where to write the best map, ``.safetensors`` or ``.npy``; see :func:`kernelscope.load_map`.
        k: documents wanted for each query. similarity: ``cosine``, ``dot`` or ``euclidean``.
        queries: how many rows are held out by ``seed``, where no queries are given; by default 2,000.
        rank: of the map of low rank; by default it is chosen on rows held out.
        enough: share of re-embedding's recall from which the index may stay.

    The other arguments are those of :func:`kernelscope.measurement.measure.measure`.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    asked = dict(locals())
    if out is not None:
        require_map_path(out)
    if (teacher_queries is None) != (student_queries is None):
        raise UsageError("queries of one network alone were given; pass --teacher-queries and --student-queries")
    if teacher_queries is not None and queries is not None:
        raise UsageError(f"--queries {queries} rows are held out where none are given; drop it or --teacher-queries")
    pair = _only_pair(_pairs(asked, teacher, student))
    apart = None if teacher_queries is None else _only_pair(_pairs(asked, teacher_queries, student_queries))
    held, rows = _drawn(pair, queries or QUERIES, seed, apart=apart is not None)
    X_S, X_T = (Normalised(X) if similarity == "cosine" else X for X in (pair.student, pair.teacher))
    maps = fitted(X_S, X_T, rows, rank)
    recall = _recalls(apart, pair, held, similarity, k, device, maps)
    again = recall.pop(REEMBEDDED)
    ways = tuple(
        Way(each.kind, None if each.B is None else each.rank, Share(*mean_recall(own)), _share_of(own, again))
        for each, own in zip(maps, recall.values())
    )
    found = Adaptation(
        teacher=pair.names["teacher"],
        student=pair.names["student"],
        teacher_layer=pair.names["teacher_layer"],
        student_layer=pair.names["student_layer"],
        documents=pair.teacher.shape[0],
        queries=len(again),
        fitted_on=len(rows),
        k=k,
        similarity=similarity,
        enough=enough,
        reembedded=Share(*mean_recall(again)),
        ways=ways,
        notes=pair.notes,
    )
    if out is not None:
        write_map(out, next(each for each in maps if each.kind == found.best.kind), similarity)
    return found


def _pairs(asked: dict[str, Any], teacher: Any, student: Any) -> list[LayerPair]:
    """Layers of both networks over the same rows."""
    arch = {role: (asked[f"{role}_arch"], asked[f"{role}_arch_kwargs"]) for role in ("teacher", "student")}
    given = Given.of(
        teacher,
        student,
        teacher_arch=arch["teacher"],
        student_arch=arch["student"],
        choice=taking(LayerChoice, asked),
    )
    matched = matches(open_inputs(given, taking(Request, asked)), taking(Correspondence, asked))
    return [pair for match in matched for pair in match.pairs()]


def _only_pair(pairs: list[LayerPair]) -> LayerPair:
    """The layers that are embeddings: the only ones, else those of that name."""
    named = [pair for pair in pairs if pair.names["student_layer"] == "embedding"]
    found = pairs if len(pairs) == 1 else named
    if len(found) != 1:
        raise UsageError(f"{len(pairs)} pairs of layers, and an index is of one; name it with --layers or --pairs")
    for role in ("teacher", "student"):
        require_finite(getattr(found[0], role), f"{role} features")
    return found[0]


def _drawn(pair: LayerPair, queries: int, seed: int, *, apart: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows held out as queries (none where queries are ``apart``), and rows that maps are fitted on, ascending."""
    n, d = pair.student.shape
    if n < LEAST_ROWS:
        raise Mismatch(f"{n} documents leave too few to fit a map on and to judge it by; give {LEAST_ROWS} at least")
    order = np.random.default_rng(seed).permutation(n)
    held = 0 if apart else min(queries, n // 4)
    fit = order[held : held + max(FITTED_ROWS, 4 * d)]
    return np.sort(order[:held]), np.sort(fit)


def _recalls(
    apart: LayerPair | None,
    pair: LayerPair,
    held: np.ndarray,
    similarity: Similarity,
    k: int,
    device: str,
    maps: Sequence[QueryMap],
) -> dict[str, np.ndarray]:
    """Of each query, the recall by kind of map, and of re-embedding."""
    documents, again = (Documents(X, similarity, k=k, device=device) for X in (pair.teacher, pair.student))
    of, rows = (pair, held) if apart is None else (apart, np.arange(apart.teacher.shape[0]))
    parts: dict[str, list[np.ndarray]] = {REEMBEDDED: [], **{each.kind: [] for each in maps}}
    step = min(documents.tile, again.tile)
    for start in range(0, len(rows), step):
        asked = rows[start : start + step]
        own = asked if apart is None else None
        Q_T, Q_S = take_rows(of.teacher, asked), take_rows(of.student, asked)
        truth = documents.search(Q_T, own)
        parts[REEMBEDDED].append(documents.recalls(truth, again.search(Q_S, own), len(asked)))
        scaled = unit_rows(Q_S) if similarity == "cosine" else Q_S
        for each in maps:
            parts[each.kind].append(documents.recalls(truth, documents.search(each(scaled), own), len(asked)))
    return {kind: np.concatenate(found) for kind, found in parts.items()}


def _share_of(own: np.ndarray, again: np.ndarray) -> Share | None:
    found = ratio(own, again)
    return None if found is None else Share(*found)
