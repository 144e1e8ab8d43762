"""What people disagree on is noise that can be seen: the entropy of several raters' answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks


def rating_entropy(counts: ArrayLike) -> NDArray[np.float64]:
    r"""Return the entropy of each row's ratings, less the bias of few raters.

    .. math:: \hat H = -\sum_c \frac{n_c}{n} \log \frac{n_c}{n} + \frac{k - 1}{2 n},

    with k the classes that were chosen at all: Miller's correction, so that rows with few raters do
    not look agreed upon. At most log C.

    Args:
        counts: (N, C) how many raters chose each class; at least two a row.

    Returns:
        (N,) nats.

    Raises:
        ValueError: Wrong shape, negative or fractional counts, or a row with fewer than two raters.

    References:
        Miller, Note on the bias of information estimates, Information Theory in Psychology (1955).

    Example:
        >>> rating_entropy([[20, 0, 0], [10, 10, 0]]).round(3)
        array([0.   , 0.718])
    """
    n = np.asarray(counts, dtype=np.float64)
    checks.check_shape("counts", n, ("N", "C"))
    checks.check_range("counts", n, 0)
    if (n != np.floor(n)).any():
        raise ValueError("`counts` should be whole numbers of raters, got fractions.")
    raters = n.sum(axis=1)
    if len(n) and raters.min() < 2:
        raise ValueError(
            f"`counts` should have at least 2 raters a row, got {raters.min():g} in row "
            f"{int(raters.argmin())}: one rater never disagrees."
        )
    p = n / raters[:, None]
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    entropy = np.maximum(-(p * logs).sum(axis=1), 0.0)
    bias = (np.count_nonzero(n, axis=1) - 1) / (2 * raters)
    corrected: NDArray[np.float64] = np.minimum(entropy + bias, np.log(n.shape[1]))
    return corrected
