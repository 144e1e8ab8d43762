"""Banks of features as a small network has them: after a ReLU, one cluster a class, some units dead."""

import numpy as np

from uncertain.evaluation import Collected

CLASSES, WIDTH = 4, 12


def bank(rows=120, *, dtype=np.float64, dead=2):
    """Training rows; the first ``dead`` units never fire."""
    return _rows(rows, seed=0, dtype=dtype, dead=dead, shift=0.0)


def queries(rows=40, *, dtype=np.float64, dead=2, shift=0.5):
    """Other rows of the same network, every second one strange: moved along all units."""
    return _rows(rows, seed=1, dtype=dtype, dead=dead, shift=shift)


def _rows(rows, *, seed, dtype, dead, shift):
    weight, bias = _last_layer()
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % CLASSES)
    noise = rng.normal(size=(rows, WIDTH)) + shift * (np.arange(rows) % 2)[:, None]
    features = np.maximum(2.5 * (weight[labels] > 0.5) + noise, 0)
    features[:, :dead] = 0
    features = features.astype(dtype)
    logits = features.astype(np.float64) @ weight.T + bias
    return Collected(features, logits.astype(dtype), weight, bias, labels=labels)


def between(rows):
    """Rows half as active, of two classes at once."""
    weight, bias = _last_layer()
    rng = np.random.default_rng(3)
    pairs = np.stack([rng.permutation(CLASSES)[:2] for _ in range(rows)])
    centres = 1.2 * (weight[pairs] > 0.5).sum(axis=1)
    features = np.maximum(centres + rng.normal(size=(rows, WIDTH)), 0)
    features[:, :2] = 0
    return Collected(features, features @ weight.T + bias, weight, bias)


def _last_layer():
    rng = np.random.default_rng(2)
    own = np.repeat(np.arange(CLASSES), 2)[None] == np.arange(CLASSES)[:, None]
    weight = np.pad(np.where(own, 1.0, -0.4), ((0, 0), (2, 2)))
    return weight + 0.1 * rng.normal(size=weight.shape), 0.1 * rng.normal(size=CLASSES)
