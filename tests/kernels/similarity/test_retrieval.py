"""Recall in an index against every similarity computed, ties shared; and its interval over queries."""

import numpy as np
import pytest

from kernelscope.errors import UsageError
from kernelscope.kernels.similarity.retrieval import SIMILARITIES, Documents, mean_recall, ratio

RNG = np.random.default_rng(1)
X = RNG.standard_normal((1500, 8)) * np.exp(RNG.standard_normal((1500, 1)))


def places(queries, similarity, k, own=None):
    """Every similarity; what share of a place each document has."""
    unit = [Y / np.linalg.norm(Y, axis=1, keepdims=True) for Y in (queries, X)]
    scores = {
        "cosine": unit[0] @ unit[1].T,
        "dot": queries @ X.T,
        "euclidean": -((queries[:, None] - X[None]) ** 2).sum(-1),
    }[similarity]
    if own is not None:
        scores[np.arange(len(own)), own] = -np.inf
    return np.argsort(-scores, axis=1)[:, :k]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("k", [1, 10])
def test_what_is_found_is_what_every_similarity_computed_gives(similarity, k):
    documents, queries = Documents(X, similarity, k=k), RNG.standard_normal((90, 8))
    found = documents.search(queries)
    rows = [set((found.keys[found.keys // 1500 == q] % 1500).tolist()) for q in range(90)]
    assert rows == [set(each) for each in places(queries, similarity, k).tolist()]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_a_document_does_not_find_itself(similarity):
    own = np.array([3, 700, 1499])
    documents = Documents(X, similarity, k=5)
    found = documents.search(X[own], own)
    rows = [set((found.keys[found.keys // 1500 == q] % 1500).tolist()) for q in range(3)]
    assert rows == [set(each) for each in places(X[own], similarity, 5, own).tolist()]


def test_recall_is_the_share_that_both_find_and_ties_share_it():
    documents = Documents(X, "euclidean", k=10)
    queries = X[:50] + 0.3 * RNG.standard_normal((50, 8))
    truth, other = documents.search(X[:50] + 0.01), documents.search(queries)
    expected = [
        len(set(a) & set(b)) / 10
        for a, b in zip(places(X[:50] + 0.01, "euclidean", 10).tolist(), places(queries, "euclidean", 10).tolist())
    ]
    assert documents.recalls(truth, other, 50).tolist() == pytest.approx(expected)
    same = Documents(np.ones((100, 3)) + np.arange(100)[:, None] // 50, "euclidean", k=10)
    tied = same.search(np.ones((2, 3)))
    assert same.recalls(tied, tied, 2).tolist() == pytest.approx([1, 1])


def test_the_interval_over_queries_covers_the_mean_of_all():
    covered = 0
    everything = RNG.beta(0.5, 0.3, 100_000)
    for _ in range(300):
        low, high = mean_recall(RNG.choice(everything, 200))[1]
        covered += low <= everything.mean() <= high
    assert covered >= 276  # of 300 at 95 %: below that once in 200 runs
    assert mean_recall(np.ones(100)) == (1.0, (0.97, 1.0))


def test_a_ratio_of_recalls_pairs_the_queries():
    to = RNG.uniform(0.2, 1, 500)
    value, (low, high) = ratio(0.9 * to, to)
    assert value == pytest.approx(0.9) and high - low <= 2 * 3 / 500 + 1e-12
    assert ratio(to, np.zeros(500)) is None


def test_more_documents_than_there_are_and_unknown_similarities_are_refused():
    with pytest.raises(UsageError, match="1500 of 1500 documents"):
        Documents(X, "cosine", k=1500)
    with pytest.raises(UsageError, match="similarity 'angle' is not one of cosine, dot, euclidean"):
        Documents(X, "angle", k=3)
