"""Networks that predict the parameters of a distribution over distributions.

``N`` rows, ``C`` classes, ``T`` targets.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from uncertain import checks
from uncertain.baselines.softmax import class_indices, logits_of
from uncertain.fit import Batch
from uncertain.predictive import DirichletCategorical, StudentTMarginal
from uncertain.predictive.standardisation import checked_standardisation, standardisation


class EvidentialClassification(nn.Module):
    r"""A Dirichlet whose concentration is one plus the network's evidence for each class.

    .. math:: \alpha = 1 + \mathrm{softplus}(z), \qquad p \sim \mathrm{Dir}(\alpha), \qquad
              L = \sum_c (y_c - \bar p_c)^2 + \frac{\bar p_c (1 - \bar p_c)}{A + 1}
                  + \lambda\, \mathrm{KL}(\mathrm{Dir}(\tilde\alpha) \| \mathrm{Dir}(1))

    with :math:`A = \sum_c \alpha_c`, :math:`\bar p = \alpha / A` and :math:`\tilde\alpha = y +
    (1 - y) \alpha`: the expected squared error, and a pull of the evidence for wrong classes to zero.

    **Known defects.** Its "epistemic" part is what the loss makes it, not a posterior's: the
    minimum over all functions does not shrink with more data, and it depends on
    :math:`\lambda` (Bengs, Hüllermeier and Waegeman 2022; Jürgens et al. 2024). Here
    :math:`\lambda` is constant (the paper anneals it over the first ten epochs), so that the
    objective is a function of the batch alone. Probabilities stay away from 0 and 1.

    Args:
        network: From inputs to raw evidence (N, C).
        regularisation: :math:`\lambda`, at least 0.

    References:
        M. Sensoy, L. Kaplan and M. Kandemir, "Evidential deep learning to quantify classification
        uncertainty", 2018, equation 5 and section 4; V. Bengs, E. Hüllermeier and W. Waegeman,
        "Pitfalls of epistemic uncertainty quantification through loss minimisation", 2022.

    Example:
        >>> predictor = EvidentialClassification(nn.Linear(3, 4))
        >>> predictor(torch.zeros(5, 3)).concentration.shape
        torch.Size([5, 4])
    """

    def __init__(self, network: nn.Module, *, regularisation: float = 0.1) -> None:
        super().__init__()
        checks.check_range("regularisation", regularisation, 0)
        self.network = network
        self.regularisation = regularisation

    def forward(self, x: Any) -> DirichletCategorical:
        """Return the Dirichlet categorical of each row.

        Raises:
            TypeError: Where the network returns no floating tensor.
            ValueError: Where its outputs do not have shape (N, C).
        """
        return DirichletCategorical(1 + F.softplus(logits_of(self.network(x))))

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean of the expected squared error and the regulariser."""
        alpha = 1 + F.softplus(logits_of(self.network(batch.x)))
        y = F.one_hot(class_indices(batch.y), alpha.shape[1]).to(alpha)
        whole = alpha.sum(-1, keepdim=True)
        mean = alpha / whole
        error = ((y - mean).square() + mean * (1 - mean) / (whole + 1)).sum(-1)
        return batch.mean(error + self.regularisation * _divergence_from_flat(y + (1 - y) * alpha))


class EvidentialRegression(nn.Module):
    r"""A normal inverse gamma over mean and noise, whose parameters are a network's outputs.

    .. math:: \mu \mid \sigma^2 \sim N(\gamma, \sigma^2 / \nu), \quad
              \sigma^2 \sim \Gamma^{-1}(\alpha, \beta)
              \quad\Rightarrow\quad
              y \sim t_{2\alpha}\bigl(\gamma, \tfrac{\beta (1 + \nu)}{\nu \alpha}\bigr), \qquad
              L = -\log p(y) + \lambda\, |y - \gamma|\, (2 \nu + \alpha)

    in standardised targets; predictions are in y's units, and their parts are those of
    :class:`~uncertain.predictive.StudentTMarginal`.

    **Known defects.** The likelihood alone does not tell :math:`\nu` from :math:`\beta`: without the
    regulariser, noise and ignorance can be exchanged at no loss, so the split is decided by
    :math:`\lambda` and by the optimiser (Meinert, Gawlikowski and Lavin 2023). Where a prediction is
    poor for lack of data, the regulariser still lowers the evidence only as far as the network's
    interpolation goes.

    Args:
        network: From inputs to (N, 4 T): T locations, then T raw values each of :math:`\nu`,
            :math:`\alpha` and :math:`\beta`.
        loc: () or (T,), the target's centre; () means one target without an axis of its own.
        scale: Of the same shape, the target's spread, above 0.
        regularisation: :math:`\lambda`, at least 0.

    Raises:
        ValueError: Where shapes differ or a scale is not above 0.

    References:
        A. Amini et al., "Deep evidential regression", 2020, equations 7 to 9; N. Meinert,
        J. Gawlikowski and A. Lavin, "The unreasonable effectiveness of deep evidential regression",
        2023.

    Example:
        >>> y = torch.tensor([10.0, 20.0, 30.0])
        >>> predictor = EvidentialRegression.from_data(nn.Linear(2, 4), y)
        >>> dist = predictor(torch.zeros(5, 2))
        >>> bool((dist.df > 2).all()), dist.batch_shape
        (True, torch.Size([5]))
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        regularisation: float = 0.01,
    ) -> None:
        super().__init__()
        centre, spread = checked_standardisation(loc, scale)
        checks.check_range("regularisation", regularisation, 0)
        self.network = network
        self.regularisation = regularisation
        self.register_buffer("loc", centre)
        self.register_buffer("scale", spread)

    @classmethod
    def from_data(
        cls,
        network: nn.Module,
        y: Float[Tensor, " N"] | Float[Tensor, "N T"],
        *,
        regularisation: float = 0.01,
    ) -> EvidentialRegression:
        """Standardise by the mean and standard deviation of training targets.

        Args:
            network: From inputs to (N, 4 T).
            y: (N,) or (N, T) training targets.
            regularisation: As for the class.

        Raises:
            ValueError: Where targets are missing, not finite, or all the same.
        """
        loc, scale = standardisation(y)
        return cls(network, loc=loc, scale=scale, regularisation=regularisation)

    def forward(self, x: Any) -> Distribution:
        """Return a ``StudentTMarginal`` a row, or an ``Independent`` one over T targets.

        Raises:
            TypeError: Where the network returns no floating tensor.
            ValueError: Where it does not have shape (N, 4 T).
        """
        gamma, nu, alpha, beta = self._outputs(x)
        spread = self.scale.to(gamma)
        loc, noise = self.loc.to(gamma) + spread * gamma, spread * (beta / alpha).sqrt()
        dist = StudentTMarginal(2 * alpha, loc, noise / nu.sqrt(), noise)
        if self.loc.ndim:
            return Independent(dist, 1)
        return StudentTMarginal(2 * alpha[:, 0], loc[:, 0], dist.latent_scale[:, 0], noise[:, 0])

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean of the negative log-likelihood and the evidence regulariser.

        In nats and in y's units; the error in the regulariser is in standardised units.
        """
        gamma, nu, alpha, beta = self._outputs(batch.x)
        spread = self.scale.to(gamma)
        y = ((batch.y - self.loc) / self.scale).to(gamma).reshape(gamma.shape)
        error = y - gamma
        # Of Amini et al., equation 8, in a form that does not cancel for a large alpha.
        omega = 2 * beta * (1 + nu)
        nll = (
            0.5 * (torch.pi / nu).log()
            - alpha * omega.log()
            + (alpha + 0.5) * (error.square() * nu + omega).log()
            + torch.lgamma(alpha)
            - torch.lgamma(alpha + 0.5)
            + spread.log()
        )
        penalty = error.abs() * (2 * nu + alpha)
        return batch.mean((nll + self.regularisation * penalty).sum(-1))

    def _outputs(self, x: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return gamma, nu, alpha and beta, of shape (N, T) each, in standardised units."""
        output = self.network(x)
        if not isinstance(output, Tensor) or not output.is_floating_point():
            what = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise TypeError(f"`network` should return a floating tensor (N, 4 T), got {what}.")
        targets = self.loc.numel()
        checks.check_shape("network(x)", output, ("N", 4 * targets), hint="four a target")
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        gamma, nu, alpha, beta = output.split(targets, dim=1)
        # Away from 0 by more than rounding: the likelihood is unbounded there.
        small = 1e-4
        return (
            gamma,
            F.softplus(nu) + small,
            1 + small + F.softplus(alpha),
            F.softplus(beta) + small,
        )


def _divergence_from_flat(alpha: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """Return KL(Dir(alpha), Dir(1)), in nats."""
    flat = torch.ones_like(alpha)
    one, other = torch.distributions.Dirichlet(alpha), torch.distributions.Dirichlet(flat)
    return torch.distributions.kl_divergence(one, other)
