"""Every detector again, transcribed from its paper: row by row, in float64, nothing clever.

A bank is any object with ``features``, ``logits``, ``weight``, ``bias`` and ``labels``. Scores are
larger for stranger rows, so where a paper's score is larger for known ones, it is negated.
"""

import math

import numpy as np


def _softmax(z):
    weights = [math.exp(value - max(z)) for value in z]
    return [weight / sum(weights) for weight in weights]


def _log_sum_exp(z):
    return max(z) + math.log(math.fsum(math.exp(value - max(z)) for value in z))


def _rows(features, logits):
    return zip(np.asarray(features, float), np.asarray(logits, float), strict=True)


def msp(bank, features, logits):
    """Hendrycks and Gimpel (2017)."""
    return [1 - max(_softmax(z)) for _, z in _rows(features, logits)]


def max_logit(bank, features, logits):
    """Hendrycks et al. (2022)."""
    return [-max(z) for _, z in _rows(features, logits)]


def energy(bank, features, logits):
    """Liu et al. (2020), equation 4 with T = 1."""
    return [-_log_sum_exp(z) for _, z in _rows(features, logits)]


def gen(bank, features, logits):
    """Liu, Lochman and Zach (2023): gamma .1, the 100 most probable classes."""
    scores = []
    for _, z in _rows(features, logits):
        top = sorted(_softmax(z), reverse=True)[:100]
        scores.append(sum(p**0.1 * (1 - p) ** 0.1 for p in top))
    return scores


def grad_norm(bank, features, logits):
    """Huang, Geng and Li (2021): the gradient matrix itself, its entries' absolute values summed."""
    scores = []
    for h, z in _rows(features, logits):
        p = _softmax(z)
        gradient = [[(p_c - 1 / len(p)) * value for value in h] for p_c in p]
        scores.append(-sum(abs(entry) for row in gradient for entry in row))
    return scores


def _means(features, labels):
    return {
        c: sum(h for h, label in zip(features, labels, strict=True) if label == c)
        / sum(label == c for label in labels)
        for c in sorted(set(labels.tolist()))
    }


def _distance(h, mean, precision):
    return float((h - mean) @ precision @ (h - mean))


def mahalanobis(bank, features, logits):
    """Lee et al. (2018), equations 1 and 2."""
    h_bank = np.asarray(bank.features, float)
    means = _means(h_bank, bank.labels)
    covariance = np.zeros((h_bank.shape[1],) * 2)
    for h, label in zip(h_bank, bank.labels, strict=True):
        covariance += np.outer(h - means[label], h - means[label]) / len(h_bank)
    precision = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
    return [
        min(_distance(h, mean, precision) for mean in means.values())
        for h, _ in _rows(features, logits)
    ]


def relative_mahalanobis(bank, features, logits):
    """Ren et al. (2021), equation 3."""
    h_bank = np.asarray(bank.features, float)
    mean = sum(h_bank) / len(h_bank)
    covariance = sum(np.outer(h - mean, h - mean) for h in h_bank) / len(h_bank)
    precision = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
    return [
        within - _distance(h, mean, precision)
        for within, (h, _) in zip(
            mahalanobis(bank, features, logits), _rows(features, logits), strict=True
        )
    ]


def _unit(h):
    return h / math.sqrt(sum(h**2))


def knn(bank, features, logits):
    """Sun et al. (2022): the 50th nearest."""
    h_bank = [_unit(h) for h in np.asarray(bank.features, float)]
    return [
        sorted(math.sqrt(sum((_unit(h) - other) ** 2)) for other in h_bank)[49]
        for h, _ in _rows(features, logits)
    ]


def nnguide(bank, features, logits):
    """Park, Jung and Teoh (2023): 10 neighbours."""
    guides = [(_unit(h), _log_sum_exp(z)) for h, z in _rows(bank.features, bank.logits)]
    scores = []
    for h, z in _rows(features, logits):
        guidance = sorted((s * float(_unit(h) @ g) for g, s in guides), reverse=True)[:10]
        scores.append(-_log_sum_exp(z) * sum(guidance) / 10)
    return scores


def vim_probability(bank, features, logits):
    """Wang et al. (2022): the probability of the virtual class; principal space of half the width."""
    weight, bias = np.asarray(bank.weight, float), np.asarray(bank.bias, float)
    origin = -np.linalg.pinv(weight) @ bias
    centred = np.asarray(bank.features, float) - origin
    # Right singular vectors of the centred features are the eigenvectors of their second moments.
    _, _, directions = np.linalg.svd(centred, full_matrices=True)
    principal = directions[: centred.shape[1] // 2]

    def residual(x):
        return math.sqrt(sum((x - sum((x @ axis) * axis for axis in principal)) ** 2))

    top = sum(max(z) for z in np.asarray(bank.logits, float))
    alpha = top / sum(residual(x) for x in centred)
    scores = []
    for h, z in _rows(features, logits):
        virtual = alpha * residual(h - origin)
        scores.append(_softmax([*z, virtual])[-1])
    return scores


def _energy_of(h, bank):
    return -_log_sum_exp(
        [float(np.dot(w, h)) + b for w, b in zip(bank.weight, bank.bias, strict=True)]
    )


def react(bank, features, logits):
    """Sun, Guo and Li (2021): clipped at the 90th percentile of the bank's activations."""
    threshold = np.percentile(np.asarray(bank.features, float), 90)
    return [
        _energy_of([min(value, threshold) for value in h], bank) for h, _ in _rows(features, logits)
    ]


def _pruned(h, percentile):
    """Djurisic et al. (2023): what stays, the sum before and after."""
    kept = len(h) - round(len(h) * percentile / 100)
    threshold = sorted(h, reverse=True)[kept - 1]
    pruned = [value if value >= threshold else 0.0 for value in h]
    return pruned, sum(h), sum(pruned)


def ash_p(bank, features, logits):
    """Algorithm 1."""
    return [_energy_of(_pruned(h, 60)[0], bank) for h, _ in _rows(features, logits)]


def ash_b(bank, features, logits):
    """Algorithm 2."""
    scores = []
    for h, _ in _rows(features, logits):
        pruned, before, _ = _pruned(h, 65)
        number = sum(value != 0 for value in pruned)
        shaped = [before / number if value != 0 else 0.0 for value in pruned]
        scores.append(_energy_of(shaped, bank))
    return scores


def ash_s(bank, features, logits):
    """Algorithm 3."""
    scores = []
    for h, _ in _rows(features, logits):
        pruned, before, after = _pruned(h, 90)
        scores.append(_energy_of([value * math.exp(before / after) for value in pruned], bank))
    return scores


def scale(bank, features, logits):
    """Xu et al. (2024): 85 %."""
    scores = []
    for h, _ in _rows(features, logits):
        _, before, after = _pruned(h, 85)
        scores.append(_energy_of([value * math.exp(before / after) for value in h], bank))
    return scores


def she(bank, features, logits):
    """Zhang et al. (2023), equations 9 and 10."""
    patterns = {}
    for c in range(len(bank.weight)):
        chosen = [
            h
            for (h, z), label in zip(_rows(bank.features, bank.logits), bank.labels, strict=True)
            if label == c and int(np.argmax(z)) == c
        ]
        patterns[c] = sum(chosen) / len(chosen)
    return [-float(h @ patterns[int(np.argmax(z))]) for h, z in _rows(features, logits)]


def fdbd(bank, features, logits):
    """Liu and Qin (2024)."""
    mean = np.mean(np.asarray(bank.features, float), axis=0)
    weight = np.asarray(bank.weight, float)
    scores = []
    for h, z in _rows(features, logits):
        best = int(np.argmax(z))
        distances = [
            abs(z[best] - z[c]) / math.sqrt(sum((weight[best] - weight[c]) ** 2))
            for c in range(len(z))
            if c != best
        ]
        scores.append(-sum(distances) / len(distances) / math.sqrt(sum((h - mean) ** 2)))
    return scores


REFERENCES = {
    "msp": msp,
    "max_logit": max_logit,
    "energy": energy,
    "gen": gen,
    "grad_norm": grad_norm,
    "mahalanobis": mahalanobis,
    "relative_mahalanobis": relative_mahalanobis,
    "knn": knn,
    "nnguide": nnguide,
    "react": react,
    "ash_p": ash_p,
    "ash_b": ash_b,
    "ash_s": ash_s,
    "scale": scale,
    "she": she,
    "fdbd": fdbd,
}
"""All but ViM, whose paper's score saturates: it is compared through its log-odds."""
