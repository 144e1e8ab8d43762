r"""A deformation that is one function of finitely many numbers, so that all rows can be drawn together.

``N`` rows, ``D`` inputs, ``M`` inducing points.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.gp.deformation import Deformation


class ProjectedDeformation(Deformation):
    r"""Inputs bent around one lengthscale each, :math:`h(x) = (\operatorname{diag}(c) + W(x))\, x`.

    W is the :class:`Deformation` of mean zero, projected onto its inducing points: what these leave
    unexplained is left out,

    .. math:: W_{qd}(x) = s_q\, \alpha_q(x)^\top v_{qd}, \qquad v_{qd} \sim N(m_{qd}, S_q),

    and W falls back to 0 far from them. So a draw of v is a draw of h at all rows together. There is
    one latent row an input; :math:`c_d` is the inverse of its lengthscale where nothing bends. A full
    matrix in place of the diagonal one would be as many numbers without a prior as it has entries.

    Args:
        inducing_points: (M, D), where the matrix is pinned down.
        inverse_lengthscale: (D,), where c starts, above 0.
        lengthscale: (D,), where the lengthscales of W start, above 0; by default the root of D.
        jitter: As for ``Deformation``.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    Example:
        >>> layer = ProjectedDeformation(torch.randn(4, 3), torch.tensor([1.0, 2.0, 4.0]))
        >>> layer.draw(torch.ones(5, 3), None, torch.zeros(3, 4, 3))[0]
        tensor([1., 2., 4.], dtype=torch.float64, grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        inverse_lengthscale: Float[Tensor, " D"],
        *,
        lengthscale: Float[Tensor, " D"] | None = None,
        jitter: float = 1e-6,
    ) -> None:
        checks.check_shape("inducing_points", inducing_points, ("M", "D"), hint="one a line")
        width = inducing_points.shape[1]
        super().__init__(inducing_points, latent_dim=width, jitter=jitter)
        for name, value in (
            ("inverse_lengthscale", inverse_lengthscale),
            ("lengthscale", lengthscale),
        ):
            if value is not None:
                checks.check_shape(name, value, (width,), hint="one number an input")
                checks.check_finite(name, value)
                checks.check_range(name, value, 0, open_low=True)
        length = self.mean.new_full((width,), width**0.5) if lengthscale is None else lengthscale
        self.log_lengthscale = nn.Parameter(length.detach().to(self.mean).log()[None])
        start = inverse_lengthscale.detach().to(self.mean, copy=True)
        self.log_inverse_lengthscale = nn.Parameter(start.log())

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        return {
            "inducing_points": self.inducing_points,
            "inverse_lengthscale": self.inverse_lengthscale(),
            "jitter": self.jitter,
        }

    def inverse_lengthscale(self) -> Float[Tensor, " D"]:
        """Return c, in units of f's lengthscale a standard deviation of the input."""
        return self.log_inverse_lengthscale.exp()

    def responses(self, at: Float[Tensor, "N P"]) -> Float[Tensor, "Q M N"]:
        """Return the whitened inducing variables' part in W at every row: the same for all of its rows."""
        return super().responses(at).expand(self.latent_dim, -1, -1)

    def constant(self) -> Float[Tensor, "Q C"]:
        """Return the diagonal matrix."""
        return self.inverse_lengthscale().diag()

    def unexplained(self, response: Float[Tensor, "Q M N"]) -> Float[Tensor, "Q N"]:
        """Return zeros: it is left out."""
        return torch.zeros_like(response[:, 0])

    def draw(
        self,
        x: Float[Tensor, "N D"],
        at: Float[Tensor, "N P"] | None,
        noise: Float[Tensor, "Q M D"],
    ) -> Float[Tensor, "N Q"]:
        """Return h of all rows at one draw of the matrix, which is looked up at ``at``, or at x.

        Args:
            x: (N, D), standardised.
            at: (N, P).
            noise: (Q, M, D), standard normal; zeros for the mean.
        """
        wide = x.to(torch.float64)
        values = self.mean + self.covariance_root() @ noise.to(self.mean)
        scaled = (0.5 * self.log_variance).exp()[:, None, None] * values
        matrix = self.responses(wide if at is None else at).mT @ scaled
        bent: Tensor = (matrix * wide).sum(-1).T
        return bent + wide * self.inverse_lengthscale()
