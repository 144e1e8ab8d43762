r"""The hidden layer: a matrix that varies smoothly over the inputs and bends them.

``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``M`` inducing points of the matrix, ``P`` dimensions
of the place where it is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import Kernel, base_kernel

SMALLEST_VARIANCE = 1e-12
"""Below it a variance counts as this, so that its square root keeps a finite gradient."""


class Deformation(nn.Module):
    r"""Inputs bent by a matrix of Gaussian processes, :math:`h(x) = W(x)\, x`.

    In a stack of layers the matrix is looked up at what the layer below returns, and still multiplies
    the inputs, :math:`h(x, a) = W(a)\, x`.

    Every entry of the (Q, D) matrix is a process of its own; those of one row share a
    kernel with variance :math:`s_q^2` and a lengthscale for each input (squared-exponential by default). Their
    values at M inducing points, whitened, have the posterior :math:`N(m_{qd}, S_q)`, the covariance
    shared by the entries of a row. With :math:`\alpha_q(x) = L_q^{-1} k_q(Z, x)` at variance 1,

    .. math:: \mathrm E\,W_{qd}(x) = s_q\, \alpha_q^\top m_{qd}, \qquad
              b_q(x) = \mathrm{Var}\,W_{qd}(x)
              = s_q^2 (1 - \alpha_q^\top \alpha_q + \alpha_q^\top S_q \alpha_q),

    and so :math:`h_q(x)` is Gaussian with mean :math:`\mathrm E W_q(x)\, x` and variance
    :math:`b_q(x) \lVert x \rVert^2`: it is zero, whatever the matrix, where x is. With ``bias`` the
    matrix has one column more, for an input that is 1 everywhere: :math:`h(x) = W(x)\,[x; 1]` then
    varies at zero, too.

    The processes have mean zero, or a constant matrix that is trained, ``prior_mean``: then a matrix
    that is the same everywhere costs no divergence, however precise it is.

    Parameters are kept in float64; see :func:`keep_float64`.

    Args:
        inducing_points: (M, P), where the matrix is pinned down.
        latent_dim: Q.
        input_dim: D; by default P.
        lengthscale: Where the kernels' lengthscales start, above 0; by default the root of P.
        jitter: Added to the diagonal of the inducing points' covariance, relative to its variance.
        bias: Whether the matrix has a column for an input that is 1 everywhere.
        kernel: Of the entries.
        prior_mean: (Q, D), or one column more with ``bias``: where the prior's mean starts.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        D. A. de Souza et al., "Thin and deep Gaussian processes", 2023.

    Example:
        >>> layer = Deformation(torch.randn(4, 3), latent_dim=2)
        >>> mean, variance = layer(torch.zeros(5, 3))
        >>> mean.shape, bool((variance < 1e-11).all())
        (torch.Size([5, 2]), True)
    """

    def __init__(
        self,
        inducing_points: Float[Tensor, "M P"],
        *,
        latent_dim: int,
        input_dim: int | None = None,
        lengthscale: float | None = None,
        jitter: float = 1e-6,
        bias: bool = False,
        kernel: Kernel = "squared_exponential",
        prior_mean: Float[Tensor, "Q C"] | None = None,
    ) -> None:
        super().__init__()
        checks.check_shape("inducing_points", inducing_points, ("M", "D"), hint="one a line")
        checks.check_not_empty("inducing_points", inducing_points)
        checks.check_finite("inducing_points", inducing_points)
        checks.check_range("latent_dim", latent_dim, 1)
        checks.check_range("jitter", jitter, 0)
        points = inducing_points.detach().to(torch.float64, copy=True)
        count, places = points.shape
        inputs = places if input_dim is None else input_dim
        checks.check_range("input_dim", inputs, 1)
        length = places**0.5 if lengthscale is None else lengthscale
        checks.check_range("lengthscale", length, 0, open_low=True)
        self.latent_dim, self.lengthscale, self.jitter = latent_dim, length, jitter
        self.bias = bias
        self.input_dim, self.kernel = inputs, kernel
        self.inducing_points = nn.Parameter(points)
        start = points.new_tensor(length).log().expand(latent_dim, places)
        self.log_lengthscale = nn.Parameter(start.clone())
        self.log_variance = nn.Parameter(points.new_zeros(latent_dim))
        self.mean = nn.Parameter(points.new_zeros(latent_dim, count, inputs + bias))
        self.prior_mean: nn.Parameter | None = None
        if prior_mean is not None:
            checks.check_shape("prior_mean", prior_mean, (latent_dim, inputs + bias))
            checks.check_finite("prior_mean", prior_mean)
            self.prior_mean = nn.Parameter(prior_mean.detach().to(points, copy=True))
        # A tenth of the prior's spread: a start near certainty leaves a gradient to the mean.
        spread = (0.1 * points.new_ones(count)).log().diag()
        self.root = nn.Parameter(spread.repeat(latent_dim, 1, 1))

    def forward(
        self, x: Float[Tensor, "N D"], at: Float[Tensor, "N P"] | None = None
    ) -> tuple[Float[Tensor, "N Q"], Float[Tensor, "N Q"]]:
        """Return the mean and the variance of h at every row; the matrix is that at ``at``, or at x."""
        checks.check_shape("x", x, ("N", self.input_dim))
        columns, variance = self.columns(x if at is None else at)
        wide = self.features(x)
        mean = torch.einsum("nqd,nd->nq", columns, wide)
        spread = variance * wide.square().sum(1, keepdim=True)
        return mean, spread.clamp(min=SMALLEST_VARIANCE)

    def matrix(
        self, at: Float[Tensor, "N P"]
    ) -> tuple[Float[Tensor, "N Q D"], Float[Tensor, "N Q"]]:
        """Return the mean of W there, and the variance that the entries of each of its rows share.

        The column of the bias is left out: see :meth:`offset`.
        """
        columns, variance = self.columns(at)
        return columns[..., : self.input_dim], variance

    def offset(self, at: Float[Tensor, "N P"]) -> Float[Tensor, "N Q"]:
        """Return the mean of the bias column; zeros where there is none.

        Its variance is that of the other entries of a row.
        """
        columns, variance = self.columns(at)
        return columns[..., self.input_dim] if self.bias else torch.zeros_like(variance)

    def columns(
        self, at: Float[Tensor, "N P"]
    ) -> tuple[Float[Tensor, "N Q C"], Float[Tensor, "N Q"]]:
        """Return what ``matrix`` does, with the column of the bias as the last."""
        checks.check_shape("x", at, ("N", self.inducing_points.shape[1]))
        response = self.responses(at)
        variance = self.log_variance.double().exp()
        spread = self.covariance_root().mT @ response
        open_variance = self.unexplained(response) + spread.square().sum(1)
        mean = torch.einsum("qmn,qmd->nqd", response, self.mean.double())
        mean = variance.sqrt()[:, None] * mean
        constant = self.constant()
        if constant is not None:
            mean = mean + constant
        return mean, (variance[:, None] * open_variance).T.clamp(min=0)

    def constant(self) -> Float[Tensor, "Q C"] | None:
        """Return the matrix that the processes deviate from, if it is not zero."""
        return None if self.prior_mean is None else self.prior_mean.double()

    def unexplained(self, response: Float[Tensor, "Q M N"]) -> Float[Tensor, "Q N"]:
        """Return the share of the prior variance that the inducing points leave open."""
        return 1 - response.square().sum(1)

    def features(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        """Return what the matrix multiplies: the rows, with a 1 at the end where there is a bias."""
        wide = x.to(torch.float64)
        return torch.cat([wide, torch.ones_like(wide[:, :1])], 1) if self.bias else wide

    def responses(self, at: Float[Tensor, "N P"]) -> Float[Tensor, "Q M N"]:
        r"""Return :math:`\alpha_q`, the whitened inducing variables' part in W, at every row."""
        points, rows = self.inducing_points.double(), at.to(torch.float64)
        scale = (-self.log_lengthscale.double()).exp()[:, None]
        centre = points.detach().mean(0)
        z, h = (points - centre) * scale, (rows - centre) * scale
        eye = torch.eye(len(points), dtype=torch.float64, device=points.device)
        factor = cholesky(
            base_kernel(z, z, self.kernel) + self.jitter * eye,
            name="K_ZZ of W",
            remedy=f"raise `jitter` above {self.jitter:g}, take fewer inducing points, or spread them",
        )
        cross = base_kernel(z, h, self.kernel)
        value: Tensor = torch.linalg.solve_triangular(factor, cross, upper=False)
        return value

    def covariance_root(self) -> Float[Tensor, "Q M M"]:
        """Return the lower triangular roots of the whitened covariances; their diagonals are positive."""
        root = self.root.double()
        return root.tril(-1) + root.diagonal(dim1=1, dim2=2).exp().diag_embed()

    def divergence(self) -> Float[Tensor, ""]:
        """Return the divergence of the posterior over W at its inducing points from the prior, in nats."""
        count, inputs = self.mean.shape[1:]
        logs = self.root.double().diagonal(dim1=1, dim2=2).sum()
        spread = self.covariance_root().square().sum() - self.latent_dim * count - 2 * logs
        return 0.5 * (inputs * spread + self.mean.double().square().sum())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Deformation:
        moved: Deformation = super()._apply(keep_float64(fn), recurse)
        return moved


def keep_float64(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return what a module does to its tensors, without the part that changes their precision.

    ``model.to(device)`` moves as ever; ``model.float()`` or ``.half()`` leave parameters as they
    are, since a Gaussian process of them would not survive its own Cholesky factor.

    Example:
        >>> Deformation(torch.zeros(1, 1), latent_dim=1).half().mean.dtype
        torch.float64
    """

    def kept(tensor: Tensor) -> Tensor:
        moved: Any = fn(tensor)
        return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

    return kept
