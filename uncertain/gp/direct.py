r"""The prior of a deformation, with inducing variables on what it returns instead of on its matrix.

``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``M`` inducing points, ``P`` dimensions of the place
where the matrix would be looked up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.gp.deformation import SMALLEST_VARIANCE, keep_float64
from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import Kernel, base_kernel


class DirectDeformation(nn.Module):
    r"""The process :math:`h = W(a)\,x` of a deformation, seen directly.

    With a matrix of independent entries each latent row is a process itself,

    .. math:: \mathrm{Cov}(h_q(x, a), h_q(x', a')) = s_q^2 \langle x, x' \rangle\, k_q(a, a'),

    and M values of it, not of every entry, can be its inducing variables. It is the same prior with a
    smaller variational family: about D times fewer numbers, and D times fewer places at which W is
    pinned down. At equal time and memory :class:`~uncertain.gp.Deformation` leaves less unexplained
    from about four inputs on; this class is for comparison and for very few inputs. It knows the
    matrix only through h, so metrics of W can not be read from it.

    Args:
        inducing_points: (M, D), the inputs of the inducing variables.
        latent_dim: Q.
        at: (M, P), the places of the inducing variables; by default the inputs, and P is D.
        lengthscale: Where the kernels' lengthscales start, above 0; by default the root of P.
        jitter: Added to the diagonal of the inducing points' covariance, relative to its mean.
        kernel: Of the entries of the matrix.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        D. A. de Souza et al., "Thin and deep Gaussian processes", 2023.

    Example:
        >>> layer = DirectDeformation(torch.randn(4, 3), latent_dim=2)
        >>> mean, variance = layer(torch.ones(5, 3))
        >>> mean.shape, bool((variance <= 3).all())
        (torch.Size([5, 2]), True)
    """

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        latent_dim: int,
        at: Float[Tensor, "M P"] | None = None,
        lengthscale: float | None = None,
        jitter: float = 1e-6,
        kernel: Kernel = "squared_exponential",
    ) -> None:
        super().__init__()
        checks.check_shape("inducing_points", inducing_points, ("M", "D"), hint="one a line")
        checks.check_not_empty("inducing_points", inducing_points)
        checks.check_finite("inducing_points", inducing_points)
        checks.check_range("latent_dim", latent_dim, 1)
        checks.check_range("jitter", jitter, 0)
        points = inducing_points.detach().to(torch.float64, copy=True)
        places = points if at is None else at.detach().to(torch.float64)
        checks.check_shape("at", places, (len(points), "P"), hint="one place a point")
        length = places.shape[1] ** 0.5 if lengthscale is None else lengthscale
        checks.check_range("lengthscale", length, 0, open_low=True)
        self.latent_dim, self.jitter, self.kernel = latent_dim, jitter, kernel
        self.lengthscale, self.input_dim, self.bias = length, points.shape[1], False
        self.inducing_points = nn.Parameter(points)
        self.at = None if at is None else nn.Parameter(places.clone())
        start = points.new_full((latent_dim, places.shape[1]), length).log()
        self.log_lengthscale = nn.Parameter(start)
        self.log_variance = nn.Parameter(points.new_zeros(latent_dim))
        self.mean = nn.Parameter(points.new_zeros(latent_dim, len(points)))
        spread = (0.1 * points.new_ones(len(points))).log().diag()
        self.root = nn.Parameter(spread.repeat(latent_dim, 1, 1))

    def forward(
        self, x: Float[Tensor, "N D"], at: Float[Tensor, "N P"] | None = None
    ) -> tuple[Float[Tensor, "N Q"], Float[Tensor, "N Q"]]:
        """Return the mean and the variance of h at every row."""
        checks.check_shape("x", x, ("N", self.input_dim))
        wide = x.to(torch.float64)
        response = self.responses(wide, wide if at is None else at)
        size = self.log_variance.exp()
        spread = self.covariance_root().mT @ response
        known = response.square().sum(1) - spread.square().sum(1)
        mean = size.sqrt()[:, None] * torch.einsum("qmn,qm->qn", response, self.mean)
        variance = size[:, None] * (wide.square().sum(1) - known)
        return mean.T, variance.T.clamp(min=SMALLEST_VARIANCE)

    def responses(self, x: Float[Tensor, "N D"], at: Float[Tensor, "N P"]) -> Tensor:
        """Return the whitened inducing variables' part in h at every row, (Q, M, N)."""
        points = self.inducing_points
        places = points if self.at is None else self.at
        scale = (-self.log_lengthscale).exp()[:, None]
        centre = places.detach().mean(0)
        z, a = (places - centre) * scale, (at.to(points) - centre) * scale
        jitter = self.jitter * points.square().sum(1).mean() * torch.eye(len(points)).to(points)
        factor = cholesky(
            (points @ points.T) * base_kernel(z, z, self.kernel) + jitter,
            name="K_ZZ of h",
            remedy=f"raise `jitter` above {self.jitter:g}, or take points further from zero",
        )
        cross = (points @ x.T) * base_kernel(z, a, self.kernel)
        value: Tensor = torch.linalg.solve_triangular(factor, cross, upper=False)
        return value

    def covariance_root(self) -> Float[Tensor, "Q M M"]:
        """Return the lower triangular roots of the whitened covariances; their diagonals are positive."""
        return self.root.tril(-1) + self.root.diagonal(dim1=1, dim2=2).exp().diag_embed()

    def divergence(self) -> Float[Tensor, ""]:
        """Return the divergence of the posterior at the inducing points from the prior, in nats."""
        logs = self.root.diagonal(dim1=1, dim2=2).sum()
        spread = self.covariance_root().square().sum() - self.mean.numel() - 2 * logs
        return 0.5 * (spread + self.mean.square().sum())

    @torch.no_grad()
    def start_at(self, x: Float[Tensor, "N D"], matrix: Float[Tensor, "Q D"]) -> None:
        """Set the mean of h near ``matrix @ x`` by least squares, and the variance to its size.

        Args:
            x: (N, D), standardised.
            matrix: (Q, D).
        """
        size = matrix.square().mean(1).clamp(min=torch.finfo(torch.float64).tiny)
        self.log_variance.copy_(size.log())
        response = self.responses(x, x)
        target = (x @ matrix.T).T / size.sqrt()[:, None]
        eye = torch.eye(response.shape[1]).to(response)
        gram = response @ response.mT + 1e-4 * len(x) * eye
        self.mean.copy_(torch.linalg.solve(gram, response @ target[..., None])[..., 0])

    def matrix(self, at: Float[Tensor, "N P"]) -> tuple[Tensor, Tensor]:
        """Raise: the matrix is known only through what it returns.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "`matrix` should be asked of a Deformation, got a DirectDeformation, which knows W only "
            "through W x: take `local_metric`."
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DirectDeformation:
        moved: DirectDeformation = super()._apply(keep_float64(fn), recurse)
        return moved
