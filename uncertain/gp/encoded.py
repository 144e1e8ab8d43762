"""Any process of this package on rows with categories and gaps.

``N`` rows, ``D`` columns as given, ``E`` columns once encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain.fit import Batch
from uncertain.gp.encoding import Columns, Impute

_OF_FITTING = ("fitting_plan", "hold_noise")


class EncodedInputs(nn.Module):
    """A model that is asked with rows as they come, and sees them through its columns.

    Categories become one column a level, which have relevances of their own; gaps are filled by
    ``columns.impute``, the same way in training and prediction.

    Args:
        model: Of encoded rows.
        columns: The encoding.

    Example:
        >>> from uncertain.gp import ThinDeepGP
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.stack([torch.rand(30, generator=g), torch.arange(30) % 3], 1)
        >>> y = x[:, 0] + (x[:, 1] == 2)
        >>> points = Columns.from_data(x, categorical=[1])(x)[:9]
        >>> def make(x, y):
        ...     return ThinDeepGP.from_data(x, y, inducing_points=points)
        >>> model = EncodedInputs.from_data(make, x, y, categorical=[1])
        >>> model(x[:4]).batch_shape, model.input_relevance(x).shape
        (torch.Size([4]), torch.Size([2]))
    """

    def __init__(self, model: nn.Module, columns: Columns) -> None:
        super().__init__()
        self.model, self.columns = model, columns

    @classmethod
    def from_data(
        cls,
        make: Callable[[Tensor, Tensor], nn.Module],
        x: Any,
        y: Float[Tensor, "N ..."],
        *,
        categorical: Sequence[int] = (),
        impute: Impute | None = None,
        indicate: bool = False,
    ) -> EncodedInputs:
        """Start a model from rows with categories and gaps.

        Args:
            make: From encoded inputs and targets to a model: ``ThinDeepGP.from_data``, say.
            x: (N, D), a tensor or an array; of objects where it holds names.
            y: (N,) or (N, T) targets.
            categorical: Which columns hold categories.
            impute: Fills gaps; see :class:`Columns`.
            indicate: Whether columns with gaps get one that says where.

        Raises:
            TypeError, ValueError: For rows that can not be encoded, or that the model refuses.
        """
        columns = Columns.from_data(x, categorical=categorical, impute=impute, indicate=indicate)
        return cls(make(columns(x), y), columns)

    def forward(self, x: Any) -> Distribution:
        """Return the model's prediction for (N, D) rows."""
        predicted: Distribution = self.model(self.columns(x))
        return predicted

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the model's objective; the batch holds rows as they come, or encoded ones.

        Encoding all rows once, ``model.columns(x)``, and training ``model.model`` on them is
        cheaper, and the only way for rows with names.
        """
        found: Tensor = self._inner().objective(batch._replace(x=self.columns(batch.x)))
        return found

    def condition(
        self, x: Any, y: Float[Tensor, "N ..."], weight: Float[Tensor, " N"] | None = None
    ) -> None:
        """Set the model's posterior for these rows, where it has one that lags; else do nothing."""
        if callable(getattr(self.model, "condition", None)):
            self._inner().condition(self.columns(x), y, weight)

    def latent(self, x: Any) -> Distribution:
        """Return the model's latent for (N, D) rows."""
        found: Distribution = self._inner().latent(self.columns(x))
        return found

    def relevance(self, x: Any = None) -> Float[Tensor, " Q"]:
        """Return the model's relevance of its latent rows."""
        found: Tensor = self._inner().relevance(None if x is None else self.columns(x))
        return found

    def input_relevance(self, x: Any) -> Float[Tensor, " D"]:
        r"""Return how far, in the latent, rows are apart that differ in one column as given.

        :math:`\frac1N \sum_n \mathrm{tr}(G_{bb}(x_n) C_{bb})` with G the local metric, C the
        covariance of encoded rows, and b the places of a column: half the mean square of the distance,
        as far as it is linear, between two rows of which one takes that column from another row.
        What says where a column has gaps counts as that column.

        Args:
            x: (N, D) rows to average over, at least two.

        Returns:
            (D,) numbers of at least 0.
        """
        rows = self.columns(x)
        return grouped_relevance(self._inner().local_metric(rows), rows, self.columns.groups())

    def _inner(self) -> Any:
        return self.model

    def __getattr__(self, name: str) -> Any:
        # How it wants to be fitted is the model's to say, or not to.
        own = super().__getattr__
        if name in _OF_FITTING:
            return getattr(own("model"), name)
        try:
            return own(name)
        except AttributeError as error:
            if name == "model" or not hasattr(own("model"), name):
                raise
            raise AttributeError(
                f"{type(self).__name__} has no `{name}`, its model has: ask "
                f"`model.model.{name}` with rows as `model.columns(x)`."
            ) from error


def grouped_relevance(
    metric: Float[Tensor, "N E E"], rows: Float[Tensor, "N E"], groups: Sequence[Sequence[int]]
) -> Float[Tensor, " D"]:
    """Return the mean trace of the metric times the covariance of rows, group by group.

    Example:
        >>> rows = torch.tensor([[0.0, 0.0], [2.0, 1.0]])
        >>> grouped_relevance(torch.eye(2).expand(2, 2, 2), rows, [[0], [1]])
        tensor([1.0000, 0.2500])
    """
    average, spread = metric.detach().mean(0), rows.detach().T.cov(correction=0)
    spread = spread.reshape(average.shape).to(average)
    both = average * spread
    each = [both[list(group)][:, list(group)].sum() for group in groups]
    return torch.stack(each).clamp(min=0)
