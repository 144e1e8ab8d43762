"""Noise as an out-of-distribution partner: the easiest one, kept to catch what is broken."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from uncertain import checks
from uncertain.data.dataset import Split
from uncertain.data.draws import normal, uniform

Kind = Literal["uniform", "gaussian", "pixel_shuffled"]


def noise(like: Split, *, kind: Kind = "uniform", seed: int = 0) -> Split:
    """Return as many noise images as ``like`` has rows, in its shape and type.

    ``uniform`` draws every value from [0, 1]. ``gaussian`` draws from a normal with the mean and
    deviation of ``like``'s own row, cut off to [0, 1], so the overall brightness gives little away.
    ``pixel_shuffled`` puts each row's own pixels in another order (all channels of a pixel together),
    so every statistic that ignores places is the same to the last bit.

    A model that can't tell these from its training data has failed; one that can has shown little.

    Args:
        like: Whose images are matched, in [0, 1].
        kind: Which noise.
        seed: Another seed gives other noise; a row's noise depends on its id and the seed alone.

    Returns:
        Unlabelled rows with the row ids of ``like``; the groups are ``like``'s, as rows made from
        the copies of one image are not independent of it.

    Raises:
        ValueError: The kind is unknown or the inputs are not images.

    Example:
        >>> from uncertain.data import load
        >>> digits = load("digits").test
        >>> shuffled = noise(digits, kind="pixel_shuffled")
        >>> bool((shuffled.x.flatten(1).sort().values == digits.x.flatten(1).sort().values).all())
        True
    """
    checks.check_choice("kind", kind, ("uniform", "gaussian", "pixel_shuffled"))
    checks.check_shape("like.x", like.x, ("N", "channels", "H", "W"))
    x: Tensor = like.x[:]
    if len(x) == 0:
        return Split(x, None, like.row_ids, like.groups)
    keys = torch.from_numpy(np.ascontiguousarray(like.row_ids)).to(x.device)
    values = x[0].numel()
    if kind == "uniform":
        made = uniform(keys, values, seed=seed, stream=11).reshape(x.shape).to(x.dtype)
    elif kind == "gaussian":
        made = _matched(x, normal(keys, values, seed=seed, stream=12).reshape(x.shape))
    else:
        order = uniform(keys, values // x.shape[1], seed=seed, stream=13).argsort()
        made = x.flatten(2).gather(2, order[:, None].expand(-1, x.shape[1], -1)).reshape(x.shape)
    return Split(made, None, like.row_ids, like.groups)


def _matched(x: Tensor, draws: Tensor) -> Tensor:
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    deviation = x.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (mean + deviation * draws.to(x.dtype)).clamp(0, 1)
