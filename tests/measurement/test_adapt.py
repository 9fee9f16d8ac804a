"""``adapt``: the recall is that of every similarity computed, and the answer is right where one knows it."""

import json

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import Mismatch, NumericalError, UsageError
from kernelscope.report.adaptation import Adaptation, Share, Way

N, D = 1_200, 16
RNG = np.random.default_rng(3)
TEACHER = (RNG.standard_normal((N, D)) * np.exp(-np.arange(D) / 6)).astype(np.float32)
ROTATED = TEACHER @ np.linalg.qr(RNG.standard_normal((D, D)))[0].astype(np.float32)
STUDENTS = {
    "itself": (TEACHER, "yes", "as they are"),
    "rotated": (ROTATED + np.float32(3), "yes", "rotation"),
    "wider": (TEACHER @ RNG.standard_normal((D, 24)).astype(np.float32), "yes", "linear"),
    "shuffled": (RNG.permutation(TEACHER), "no", None),
    "unrelated": (RNG.standard_normal((N, 9)), "no", None),
    "folded": (np.abs(TEACHER) * 2, "no", None),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_the_answer_is_right_where_it_is_known(name):
    student, answer, kind = STUDENTS[name]
    found = ks.adapt(teacher=TEACHER, student=student, queries=250)
    assert found.answer == answer, str(found)
    assert kind is None or found.best.kind == kind
    assert found.verdict.startswith(answer)
    assert found.queries == 250 and found.fitted_on == N - 250
    assert all(way.recall.interval[0] <= way.recall.value <= way.recall.interval[1] for way in found.ways)


def test_recall_is_that_of_every_similarity_computed():
    found = ks.adapt(teacher=TEACHER, student=ROTATED, queries=250, seed=5, similarity="dot", k=7)
    held = np.sort(np.random.default_rng(5).permutation(N)[:250])

    def best(queries, documents):
        scores = queries.astype(float) @ documents.astype(float).T
        scores[np.arange(250), held] = -np.inf
        return np.argsort(-scores, axis=1)[:, :7]

    truth = best(TEACHER[held], TEACHER)
    for rows, share in (
        (best(ROTATED[held], TEACHER), found.ways[0].recall),
        (best(ROTATED[held], ROTATED), found.reembedded),
    ):
        recall = np.mean([len(set(a) & set(b)) / 7 for a, b in zip(truth, rows)])
        assert share.value == pytest.approx(recall, abs=1e-12)


def test_queries_that_are_no_documents_are_judged_apart():
    queries = RNG.standard_normal((300, D)).astype(np.float32)
    W = RNG.standard_normal((D, 20)).astype(np.float32)
    options = {"teacher": TEACHER, "student": TEACHER @ W, "teacher_queries": queries}
    found = ks.adapt(**options, student_queries=queries @ W, similarity="euclidean")
    assert (found.answer, found.queries, found.fitted_on) == ("yes", 300, N)
    other = ks.adapt(**options, student_queries=RNG.permutation(queries) @ W, similarity="euclidean")
    assert other.answer == "no"


def test_the_map_that_is_written_is_the_one_that_is_named(tmp_path):
    found = ks.adapt(teacher=TEACHER, student=ROTATED + np.float32(3), out=tmp_path / "m.npy", similarity="euclidean")
    assert found.best.kind == "rotation"
    np.testing.assert_allclose(ks.load_map(tmp_path / "m.npy")(ROTATED[:9] + 3), TEACHER[:9], atol=1e-3)


def test_the_json_has_what_the_contract_promises(tmp_path):
    found = ks.adapt(teacher=TEACHER, student=TEACHER, queries=100)
    read = json.loads(found.save(tmp_path / "a.json").read_text())
    assert (read["format"], read["answer"], read["best"]) == ("kernelscope.adapt", "yes", "as they are")
    assert read["ways"][0]["recall"]["value"] == 1


def an_answer(recall, again, share):
    return Adaptation("t", "s", "e", "e", 9, 9, 9, 10, "cosine", 0.95, again, (Way("linear", None, recall, share),))


@pytest.mark.parametrize(
    ("recall", "again", "share", "answer", "words"),
    [
        ((0.9, 0.88, 0.92), (0.92, 0.9, 0.94), (0.98, 0.96, 1.0), "yes", "may use the teacher's index"),
        ((0.9, 0.88, 0.92), (0.95, 0.9, 0.97), (0.95, 0.93, 0.97), "open", "do not tell"),
        ((0.7, 0.68, 0.72), (0.95, 0.9, 0.97), (0.74, 0.7, 0.8), "no", "embed all documents again"),
        ((0.1, 0.08, 0.12), (0.1, 0.08, 0.12), (1.0, 0.97, 1.1), "no", "would not do either"),
        ((0.0, 0.0, 0.1), (0.0, 0.0, 0.1), None, "no", "would not do either"),
    ],
)
def test_a_verdict_says_what_its_intervals_carry(recall, again, share, answer, words):
    shares = [None if each is None else Share(each[0], each[1:]) for each in (recall, again, share)]
    found = an_answer(*shares)
    assert found.answer == answer
    assert words in found.verdict


def test_what_cannot_be_done_is_one_line():
    with pytest.raises(Mismatch, match="20 documents leave too few"):
        ks.adapt(teacher=TEACHER[:20], student=TEACHER[:20])
    with pytest.raises(UsageError, match="queries of one network alone"):
        ks.adapt(teacher=TEACHER, student=TEACHER, teacher_queries=TEACHER)
    with pytest.raises(UsageError, match="rows are held out where none are given"):
        ks.adapt(teacher=TEACHER, student=TEACHER, teacher_queries=TEACHER, student_queries=TEACHER, queries=9)
    with pytest.raises(UsageError, match="2 pairs of layers, and an index is of one"):
        ks.adapt(teacher={"a": TEACHER, "b": TEACHER}, student={"a": TEACHER, "b": TEACHER})
    broken = TEACHER.copy()
    broken[7, 3] = np.nan
    with pytest.raises(NumericalError, match="student features hold 1 NaN or infinite values, first in row 7"):
        ks.adapt(teacher=TEACHER, student=broken)
    with pytest.raises(UsageError, match="no place for a map"):
        ks.adapt(teacher=TEACHER, student=TEACHER, out="map.pt")


def test_the_command_says_the_same(run, tmp_path):
    np.save("t.npy", TEACHER)
    np.save("s.npy", ROTATED)
    words = ("adapt", "--teacher", "t.npy", "--student", "s.npy", "--queries", "200", "--out", "m.safetensors")
    code, out, err = run(*words)
    assert code == 0, err
    assert "yes: student queries may use the teacher's index" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    code, _, err = run(*words)
    assert code == 2 and "m.safetensors" in err
    code, out, _ = run(*words, "--overwrite", "--json")
    assert json.loads(out)["best"] == "rotation"
