"""Predictions that come as draws or as quantiles, from methods that have no density to give."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from uncertain.checks import check_range, check_shape


class Empirical(Distribution):
    r"""The distribution that puts mass 1/S on each of S values.

    Its cdf is a step function and its quantile the smallest value whose cdf reaches the level. It
    has no density: `log_prob` and `entropy` raise, and CRPS is the score to use.

    Args:
        samples: (\*batch, S), in y's unit, in any order.
        is_sample: Whether the values are draws from a prediction that was never written down (at
            least two): the variance then divides by S - 1 and the CRPS takes its fair form, both
            unbiased for the law drawn from. By default the values *are* the prediction.
        validate_args: As for every torch distribution; ``None`` follows torch's setting.

    Raises:
        ValueError: Where a value is NaN or infinite, or there are too few.

    Example:
        >>> y = Empirical(torch.tensor([4.0, 1.0, 2.0, 3.0]))
        >>> y.cdf(torch.tensor(2.5)), y.icdf(torch.tensor(0.5)), y.variance
        (tensor(0.5000), tensor(2.), tensor(1.2500))
    """

    arg_constraints = {"samples": constraints.real_vector}  # noqa: RUF012  torch's own form
    support = constraints.real

    def __init__(
        self,
        samples: Float[Tensor, "*batch S"],
        *,
        is_sample: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        least = 2 if is_sample else 1
        if samples.ndim == 0 or samples.shape[-1] < least:
            raise ValueError(
                f"`samples` should end in an axis of at least {least} values, got shape "
                f"{tuple(samples.shape)}."
            )
        self.samples = samples
        self.is_sample = is_sample
        super().__init__(samples.shape[:-1], validate_args=validate_args)
        if self._validate_args and not torch.isfinite(samples).all():
            raise ValueError("`samples` should be finite, got infinite values.")

    def expand(self, batch_shape: Size | Sequence[int], _instance: Any = None) -> "Empirical":
        """Return the distribution with a larger batch shape, without copying its values."""
        samples = self.samples.expand(*batch_shape, -1)
        new = Empirical(samples, is_sample=self.is_sample, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean of the values."""
        return self.samples.mean(-1)

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """The variance of the values, divided by S; by S - 1 where they are draws."""
        return self.samples.var(-1, correction=int(self.is_sample))

    def sample(self, sample_shape: Size | Sequence[int] = ()) -> Tensor:
        r"""Draw from the values with replacement: (\*sample_shape, \*batch)."""
        shape = self._extended_shape(Size(sample_shape))
        count = self.samples.shape[-1]
        picked = torch.randint(count, (*shape, 1), device=self.samples.device)
        values = self.samples.detach().expand(*shape, count)
        return values.gather(-1, picked).squeeze(-1)

    def cdf(self, value: Tensor) -> Tensor:
        """Share of the values at or below ``value``, which broadcasts against the batch."""
        if self._validate_args:
            self._validate_sample(value)
        return (self.samples <= value.unsqueeze(-1)).to(self.samples.dtype).mean(-1)

    def icdf(self, value: Tensor) -> Tensor:
        """Smallest of the values whose cdf is at least ``value``, in [0, 1]; differentiable."""
        if self._validate_args:
            check_range("value", value.detach().cpu(), 0, 1)
        ordered, count = self.samples.sort(-1).values, self.samples.shape[-1]
        # A level k/S computed in floats may lie an ulp above: it still means the k-th value.
        exact = value.to(torch.float64) * count
        whole = exact.round()
        near = (exact - whole).abs() <= 4 * count * torch.finfo(value.dtype).eps
        rank = torch.where(near, whole, exact.ceil()).long().clamp(1, count) - 1
        shape = torch.broadcast_shapes(rank.shape, self.batch_shape)
        ordered = ordered.expand(*shape, count)
        return ordered.gather(-1, rank.expand(shape).unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Undefined: a finite set of values has no density.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Empirical.log_prob` is undefined, a set of values has no density: "
            "score it by CRPS, or fit a family to it."
        )

    def entropy(self) -> Tensor:
        """Undefined: a finite set of values has no density.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Empirical.entropy` is undefined, a set of values has no density: "
            "take its `variance`, or fit a family to it."
        )


class Quantiles(Distribution):
    r"""A prediction known only at some levels: between them its quantile function is linear.

    Nothing is assumed about the tails: levels outside [levels[0], levels[-1]] are refused by
    `icdf`, the cdf beyond the outermost values takes its limits 0 and 1, and mean, variance,
    density and samples, which all need the tails, raise.

    Args:
        levels: (Q,), strictly increasing in (0, 1), common to the batch.
        values: (\*batch, Q), in y's unit, not decreasing along Q.
        validate_args: As for every torch distribution; ``None`` follows torch's setting.

    Raises:
        ValueError: Where shapes disagree, levels do not increase, or quantiles cross.

    Example:
        >>> y = Quantiles(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([[-1.0, 0.0, 2.0]]))
        >>> y.icdf(torch.tensor(0.7)), y.cdf(torch.tensor([1.0]))
        (tensor([1.]), tensor([0.7000]))
    """

    arg_constraints = {"values": constraints.real_vector}  # noqa: RUF012  torch's own form
    support = constraints.real

    def __init__(
        self,
        levels: Float[Tensor, " Q"],
        values: Float[Tensor, "*batch Q"],
        *,
        validate_args: bool | None = None,
    ) -> None:
        check_shape("levels", levels, ("Q",))
        if values.ndim == 0 or values.shape[-1] != len(levels):
            raise ValueError(
                f"`values` should end in an axis of {len(levels)}, one for each level, got shape "
                f"{tuple(values.shape)}."
            )
        self.levels = levels
        self.values = values
        super().__init__(values.shape[:-1], validate_args=validate_args)
        if self._validate_args:
            self._check()

    def _check(self) -> None:
        check_range("levels", self.levels.cpu(), 0, 1, open_low=True, open_high=True)
        if (self.levels.diff() <= 0).any():
            raise ValueError(f"`levels` should increase strictly, got {self.levels.tolist()}.")
        crossed = (self.values.diff(dim=-1) < 0).any(-1)
        if crossed.any():
            raise ValueError(
                f"`values` should not decrease from one level to the next, got {int(crossed.sum())} "
                f"of {crossed.numel()} rows with crossing quantiles: sort them along the last axis."
            )

    def expand(self, batch_shape: Size | Sequence[int], _instance: Any = None) -> "Quantiles":
        """Return the distribution with a larger batch shape, without copying its values."""
        new = Quantiles(self.levels, self.values.expand(*batch_shape, -1), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def cdf(self, value: Tensor) -> Tensor:
        """Level of ``value`` by linear interpolation; 0 below all quantiles and 1 above.

        Where several levels share a value (an atom), the largest of them: the cdf is continuous
        from the right.
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        values = self.values.expand(*shape, -1).contiguous()
        y = value.to(values.dtype).expand(shape).unsqueeze(-1).contiguous()
        levels = self.levels.to(values.dtype)
        upper = torch.searchsorted(values, y, right=True).clamp(1, max(len(levels) - 1, 1))
        level = _line(values, levels.expand_as(values), y, upper)
        level = level.masked_fill(y < values[..., :1], 0).masked_fill(y > values[..., -1:], 1)
        return level.squeeze(-1)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantile at a level within the given ones, by linear interpolation; differentiable.

        Raises:
            ValueError: Where a level lies outside [levels[0], levels[-1]].
        """
        levels = self.levels.to(self.values.dtype)
        check_range(
            "value",
            value.detach().cpu(),
            float(levels[0]),
            float(levels[-1]),
            hint="nothing is known beyond the outermost levels",
        )
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        q = value.to(levels.dtype).expand(shape).unsqueeze(-1).contiguous()
        upper = torch.searchsorted(levels, q).clamp(1, max(len(levels) - 1, 1))
        values = self.values.expand(*shape, -1)
        return _line(levels.expand_as(values), values, q, upper).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Undefined: the density in the tails is unknown.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Quantiles.log_prob` is undefined, its tails are unknown: "
            "score it by CRPS or the interval score."
        )

    def entropy(self) -> Tensor:
        """Undefined: the density in the tails is unknown.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Quantiles.entropy` is undefined, its tails are unknown: take the width of an interval."
        )

    @property
    def mean(self) -> Tensor:
        """Undefined: it depends on the tails.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Quantiles.mean` is undefined, its tails are unknown: take the median, `icdf` at 0.5."
        )

    @property
    def variance(self) -> Tensor:
        """Undefined: it depends on the tails.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Quantiles.variance` is undefined, its tails are unknown: take the width of an interval."
        )

    def sample(self, sample_shape: Size | Sequence[int] = ()) -> Tensor:
        """Undefined: draws would need the tails.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "`Quantiles.sample` is undefined, its tails are unknown: draw levels inside the given "
            "ones and pass them to `icdf`."
        )


def _line(x: Tensor, f: Tensor, at: Tensor, upper: Tensor) -> Tensor:
    """Value at ``at`` of the line through knots ``upper - 1`` and ``upper`` of (x, f)."""
    last = x.shape[-1] - 1
    upper = upper.clamp(max=last)
    lower = (upper - 1).clamp(min=0)
    low, high = x.gather(-1, lower), x.gather(-1, upper)
    gap = high - low
    share = torch.where(gap > 0, (at - low) / gap.where(gap > 0, 1), 1)
    return torch.lerp(f.gather(-1, lower), f.gather(-1, upper), share)
