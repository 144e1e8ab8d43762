"""What distance detectors cost, beside scikit-learn and faiss-cpu: float32 features, one thread.

Bank: 1e5 x 512 features after a ReLU, 10 classes; 1e4 queries. With --quick 1e3 and 50.

knn_seconds
    CPU seconds of ``KNN.fit`` and its call, the distance to the 50th neighbour of rows of length 1.
knn_ratio_vs_sklearn, knn_ratio_vs_faiss
    CPU time of scikit-learn's brute-force ``NearestNeighbors`` and of faiss's ``IndexFlatL2`` (where it
    is installed), normalisation included, over ours.
knn_extra_mib
    How far one fit and call raise the process's peak memory; the float32 copy of the bank is 195 MiB.
knn_largest_gap
    The largest difference of our distances from scikit-learn's.
mahalanobis_seconds
    CPU seconds of ``Mahalanobis.fit`` and its call.
mahalanobis_ratio_vs_sklearn
    CPU time of scikit-learn's ``EmpiricalCovariance`` of the centred rows, in float64 as ours is, and
    its ``mahalanobis`` to each of the class means, over ours.
mahalanobis_extra_mib, mahalanobis_largest_gap
    As for kNN; the gap is relative.
"""

from __future__ import annotations

import statistics
from importlib.util import find_spec

import harness
import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from uncertain.evaluation import Collected
from uncertain.evaluation.detectors import KNN, Mahalanobis

K, CLASSES, WIDTH = 50, 10, 512
Array = NDArray[np.float32]


def features(rows: int, seed: int) -> Array:
    """Return features with a cluster a class, as after a ReLU."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, WIDTH)).astype(np.float32)
    noise = rng.standard_normal((rows, WIDTH), dtype=np.float32)
    found: Array = np.maximum(centres[np.arange(rows) % CLASSES] + noise, 0)
    return found


def unit(x: Array) -> Array:
    """Return rows of length 1."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True).astype(np.float32)
    scaled: Array = x / lengths
    return scaled


def sklearn_knn(bank: Array, queries: Array) -> Array:
    """Return the distance to the k-th neighbour by scikit-learn."""
    search = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(unit(bank))
    found: Array = search.kneighbors(unit(queries))[0][:, -1]
    return found


def faiss_knn(bank: Array, queries: Array) -> Array:
    """Return the same by faiss."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(WIDTH)
    index.add(unit(bank))
    squared: Array = index.search(unit(queries), K)[0][:, -1]
    found: Array = np.sqrt(squared)
    return found


def sklearn_mahalanobis(bank: Array, queries: Array) -> NDArray[np.float64]:
    """Return the squared distance to the nearest class mean by scikit-learn."""
    labels = np.arange(len(bank)) % CLASSES
    means = np.stack([bank[labels == c].mean(axis=0, dtype=np.float64) for c in range(CLASSES)])
    fitted = EmpiricalCovariance(assume_centered=True).fit(bank - means[labels])
    distances = [fitted.mahalanobis(queries - mean) for mean in means]
    nearest: NDArray[np.float64] = np.min(distances, axis=0)
    return nearest


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Time both distances against the peers."""
    rows, asked = (1_000, 50) if quick else (100_000, 10_000)
    bank, queries = features(rows, 1), features(asked, 2)
    kept = Collected(
        bank,
        bank[:, :CLASSES],
        np.eye(CLASSES, WIDTH, dtype=np.float32),
        np.zeros(CLASSES, dtype=np.float32),
        labels=np.arange(rows) % CLASSES,
    )

    def knn() -> NDArray[np.float64]:
        return KNN.fit(kept, k=K)(queries)

    def mahalanobis() -> NDArray[np.float64]:
        return Mahalanobis.fit(kept)(queries)

    figures.add("knn_extra_mib", harness.peak_extra_memory(knn))
    figures.add("mahalanobis_extra_mib", harness.peak_extra_memory(mahalanobis))
    theirs = sklearn_mahalanobis(bank, queries)
    figures.add("mahalanobis_largest_gap", float(np.abs(mahalanobis() / theirs - 1).max()))
    figures.add("knn_largest_gap", float(np.abs(knn() - sklearn_knn(bank, queries)).max()))
    candidates = {"ours": knn, "sklearn": lambda: sklearn_knn(bank, queries)}
    if find_spec("faiss"):
        candidates["faiss"] = lambda: faiss_knn(bank, queries)
    _compare(figures, "knn", harness.interleave(candidates, rounds=5))
    times = harness.interleave(
        {"ours": mahalanobis, "sklearn": lambda: sklearn_mahalanobis(bank, queries)}, rounds=5
    )
    _compare(figures, "mahalanobis", times)


def _compare(figures: harness.Figures, name: str, times: dict[str, list[float]]) -> None:
    ours = times.pop("ours")
    figures.add(f"{name}_seconds", statistics.median(ours), "s")
    for peer, theirs in times.items():
        figures.add(f"{name}_ratio_vs_{peer}", harness.ratio(theirs, ours).value)


if __name__ == "__main__":
    harness.main(__doc__, measure)
