r"""The most probable matrix, with f integrated out exactly, and how uncertain it is.

Given h the rows of y are jointly normal, and h is linear in the whitened values of W. So the expected
curvature of the log density in h has a closed form: with :math:`\Sigma` the covariance of the rows,
K its part without the noise and :math:`V^q_{nm} = -(h_{nq} - h_{mq}) K_{nm}`,

.. math:: F_{nq,mr} = (\Sigma^{-1})_{nm} (V^q \Sigma^{-1} V^{r\top})_{nm}
          + (V^q \Sigma^{-1})_{nm} (V^r \Sigma^{-1})_{mn}.

Damped Newton steps with it go in a few tens of steps where descents that see slopes alone need
thousands: directions that the data know a hundred times better than others lie side by side here.

``N`` rows, ``Q`` latent dimensions, ``K`` whitened values of a latent row, ``P`` numbers in all,
Q (K + 1) + 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.kernels import unit_kernel
from uncertain.gp.likelihoods import SMALLEST_NOISE
from uncertain.gp.limits import Limit

_HYPER = "hidden.log_variance", "log_amplitude", "log_noise"
_DAMPING, _LEAST, _MOST = 1e-2, 1e-6, 1e6
_ENOUGH, _SLOW, _TRIES = 0.05, 3, 8


class Place(NamedTuple):
    """What is looked for.

    Attributes:
        values: (Q, K), whitened.
        log_variance: (Q,), of the matrix' rows.
        log_amplitude: Of the variance of f.
        log_noise: Of the variance of the noise, less 1e-6.
    """

    values: Float[Tensor, "Q K"]
    log_variance: Float[Tensor, " Q"]
    log_amplitude: Float[Tensor, ""]
    log_noise: Float[Tensor, ""]

    def flat(self) -> Float[Tensor, " P"]:
        """Return all numbers in a row: a latent row's values with its variance, then the other two."""
        rows = torch.cat([self.values, self.log_variance[:, None]], 1)
        return torch.cat([rows.flatten(), self.log_amplitude[None], self.log_noise[None]])

    def at(self, flat: Float[Tensor, " P"]) -> Place:
        """Return another place of the same shape."""
        rows = flat[:-2].view(len(self.values), -1)
        return Place(rows[:, :-1], rows[:, -1], flat[-2], flat[-1])


def _place(values: Tensor, log_variance: float, log_amplitude: float, log_noise: float) -> Place:
    full = values.new_full((len(values),), log_variance)
    return Place(values, full, values.new_tensor(log_amplitude), values.new_tensor(log_noise))


class Density:
    """The log density of a place given the data, up to a constant.

    Values are standard normal beforehand; the logarithms of variances are normal, too.

    Args:
        design: (Q, N, K), what values are multiplied by to give h at variance 1.
        y: (N,), standardised.
        priors: Normal, by the model's names: :func:`uncertain.gp.usual_priors`.
    """

    def __init__(
        self,
        design: Float[Tensor, "Q N K"],
        y: Float[Tensor, " N"],
        priors: Mapping[str, Any],
    ) -> None:
        self.design, self.y = design, y
        width, _, count = design.shape
        given = [priors[name] for name in _HYPER]
        middle, deviation = ([float(getattr(each, k)) for each in given] for k in ("loc", "scale"))
        zeros, ones = y.new_zeros(width, count), y.new_ones(width, count)
        self.centre = _place(zeros, *middle).flat()
        self.precision = _place(ones, *deviation).flat() ** -2

    def latent(self, place: Place) -> Float[Tensor, "N Q"]:
        """Return h."""
        unit = (self.design @ place.values[..., None])[..., 0].T
        return unit * (0.5 * place.log_variance).exp()

    def value(self, place: Place) -> float:
        """Return the density; minus infinity where rounding leaves none."""
        seen = self._seen(place)
        return -math.inf if seen is None else seen.value

    def curved(
        self, place: Place
    ) -> tuple[float, Float[Tensor, " P"], Float[Tensor, "P P"]] | None:
        """Return the density, its slope, and minus its expected curvature; or none where there is none."""
        seen = self._seen(place)
        if seen is None:
            return None
        h, kernel, inverse = seen.h, seen.kernel, torch.cholesky_inverse(seen.factor)
        slope = 0.5 * (seen.pull.outer(seen.pull) - inverse)
        flow = slope * kernel
        # What h and the logarithm of a variance do to h: (Q, N, K + 1).
        size = (0.5 * place.log_variance).exp()[:, None, None]
        moves = torch.cat([self.design * size, 0.5 * h.T[..., None]], 2)
        spread = place.log_noise.exp()
        by_h = 2 * (flow @ h - flow.sum(1)[:, None] * h)
        gradient = torch.cat(
            [
                torch.einsum("qnk,nq->qk", moves, by_h).flatten(),
                flow.sum()[None],
                (spread * slope.diagonal().sum())[None],
            ]
        )
        from_prior = self.precision * (place.flat() - self.centre)
        curvature = _information(moves, h, kernel, inverse, spread) + self.precision.diag()
        return seen.value, gradient - from_prior, curvature

    def _seen(self, place: Place) -> _Seen | None:
        h = self.latent(place)
        kernel = place.log_amplitude.exp() * unit_kernel(h, h)
        noise = place.log_noise.exp() + SMALLEST_NOISE
        factor, info = torch.linalg.cholesky_ex(kernel + noise * torch.eye(len(h)).to(h))
        if bool(info != 0) or not bool(factor.isfinite().all()):
            return None
        pull = torch.cholesky_solve(self.y[:, None], factor)[:, 0]
        fit = 0.5 * (self.y @ pull) + factor.diagonal().log().sum()
        prior = 0.5 * (self.precision * (place.flat() - self.centre).square()).sum()
        return _Seen(-float(fit + prior), h, kernel, factor, pull)


class _Seen(NamedTuple):
    value: float
    h: Tensor
    kernel: Tensor
    factor: Tensor
    pull: Tensor


def _information(
    moves: Tensor, h: Tensor, kernel: Tensor, inverse: Tensor, spread: Tensor
) -> Float[Tensor, "P P"]:
    """Return the expected information of the rows on all numbers of a place."""
    width, _, count = moves.shape
    # How the kernel changes with h, and by the covariance.
    change = [(h[:, q] - h[:, q, None]) * kernel for q in range(width)]
    solved = [each @ inverse for each in change]
    rows = moves.new_zeros(width, count, width, count)
    for q in range(width):
        for r in range(q + 1):
            known = inverse * (solved[q] @ change[r].mT) + solved[q] * solved[r].mT
            block = moves[q].mT @ known @ moves[r]
            rows[q, :, r], rows[r, :, q] = block, block.mT
    scaled, noisy = inverse @ kernel, inverse * spread
    found = moves.new_zeros(width * count + 2, width * count + 2)
    found[:-2, :-2] = rows.view(width * count, -1)
    for place, both in enumerate((scaled @ inverse, noisy @ inverse), start=-2):
        sums = torch.stack([(both * each).sum(1) for each in change])
        found[:-2, place] = found[place, :-2] = torch.einsum("qnk,qn->qk", moves, sums).flatten()
    found[-2, -2] = 0.5 * (scaled * scaled.mT).sum()
    found[-1, -1] = 0.5 * (noisy * noisy.mT).sum()
    found[-2, -1] = found[-1, -2] = 0.5 * (scaled * noisy.mT).sum()
    return found


def climb(density: Density, place: Place, *, steps: int, limit: Limit) -> tuple[Place, float]:
    """Go uphill by damped Newton steps, until three in a row gain next to nothing.

    Args:
        density: Of places.
        place: Where to start.
        steps: How many at most.
        limit: Where it ends, so do they.

    Returns:
        Where it ended, and the density there: minus infinity where there is none at the start.
    """
    now, damping, slow = density.curved(place), _DAMPING, 0
    for _ in range(steps):
        if now is None or slow == _SLOW or limit.over:
            break
        value, slope, curvature = now
        for _ in range(_TRIES):
            damped = curvature + damping * curvature.diagonal().diag()
            move = torch.linalg.solve(damped, slope)
            tried = place.at(place.flat() + move)
            gained = density.value(tried) - value
            if gained > 0:
                break
            damping = min(4 * damping, _MOST)
        else:
            break
        share = gained / float(slope @ move - 0.5 * move @ curvature @ move)
        damping = max(damping * (0.3 if share > 0.5 else 1.0 if share > 0.2 else 2.0), _LEAST)
        slow = slow + 1 if gained < _ENOUGH else 0
        place, now = tried, density.curved(tried)
    return place, -math.inf if now is None else now[0]
