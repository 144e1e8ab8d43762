r"""Label measures: a Gaussian :math:`\gamma_k = N(m_k, \operatorname{diag} s_k^2)` a class."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.wasserstein.arguments import check_floating

_CANDIDATES = 64
"""Words of a code that are looked at for every one that is taken."""


class LabelMeasures(nn.Module):
    r"""A Gaussian a class in the label space, learnt or fixed.

    ``centered`` is the paper's form: all means are 0 and a class is told by its covariance alone. Then
    every :math:`s_k` is scaled to :math:`\lVert s_k \rVert^2 = D`: with unequal traces a class could be
    near to every point mass.

    Args:
        means: (C, D), where the means start.
        deviations: (C, D), where the standard deviations start, above 0.
        centered: Keep means at 0 and traces equal; ``means`` has to be 0.
        learnable: Follow the gradient of the objective. Learnt without a term that tells classes
            apart (the cross-entropy), all measures would collapse into one.

    Raises:
        TypeError: For what is no floating tensor.
        ValueError: For wrong shapes, no classes, numbers that are not finite, deviations not above 0, means that
            are not 0 where centred, or classes that nothing tells apart.

    Example:
        >>> targets = LabelMeasures.random(3, 2, seed=0)
        >>> targets.means.shape, targets.deviations().shape
        (torch.Size([3, 2]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        means: Float[Tensor, "C D"],
        deviations: Float[Tensor, "C D"],
        *,
        centered: bool = False,
        learnable: bool = True,
    ) -> None:
        super().__init__()
        check_floating("means", means)
        check_floating("deviations", deviations)
        checks.check_shape("means", means, ("C", "D"), hint="a mean a class")
        checks.check_not_empty("means", means, hint="a mean a class")
        checks.check_shape("deviations", deviations, tuple(means.shape))
        checks.check_range("deviations", deviations, 0, open_low=True)
        if centered and bool((means != 0).any()):
            raise ValueError("`means` should be 0 for centred label measures, got others.")
        self.centered, self.learnable = centered, learnable
        start = deviations.detach().clone().log()
        self.log_deviations = nn.Parameter(start, requires_grad=learnable)
        if centered:
            self.register_buffer("means", torch.zeros_like(means))
        else:
            self.means = nn.Parameter(means.detach().clone(), requires_grad=learnable)
        _check_told_apart(self)

    @classmethod
    def random(
        cls, num_classes: int, label_dim: int, *, seed: int = 0, learnable: bool = True
    ) -> LabelMeasures:
        """Return measures of standard normal means and unit covariance.

        Args:
            num_classes: C.
            label_dim: D.
            seed: Of the means.
            learnable: See the class.

        Raises:
            TypeError: For sizes that are not whole numbers.
            ValueError: For sizes below one.
        """
        _check_sizes(num_classes, label_dim)
        generator = torch.Generator().manual_seed(seed)
        means = torch.randn((num_classes, label_dim), generator=generator)
        return cls(means, torch.ones_like(means), learnable=learnable)

    @classmethod
    def code_book(
        cls, num_classes: int, label_dim: int, *, seed: int = 0, learnable: bool = False
    ) -> LabelMeasures:
        """Return centred measures whose deviations lie far from each other, at equal trace.

        Words of random signs in logarithms are taken one by one, the one that is furthest from those
        taken out of 64.

        Args:
            num_classes: C.
            label_dim: D, at least 2: one number of fixed size tells no classes apart.
            seed: Of the words.
            learnable: See the class.

        Raises:
            ValueError: For sizes too small.
        """
        _check_sizes(num_classes, label_dim)
        checks.check_range("label_dim", label_dim, 2, hint="centred measures differ in shape only")
        generator = torch.Generator().manual_seed(seed)
        chosen: list[Tensor] = []
        for _ in range(num_classes):
            words = torch.randn((_CANDIDATES, label_dim), generator=generator, dtype=torch.float64)
            words = _equal_trace(words.sign() + 0.25 * words)
            if chosen:
                nearest = torch.cdist(words, torch.stack(chosen)).amin(1)
                words = words[nearest.argmax()][None]
            chosen.append(words[0])
        deviations = torch.stack(chosen).to(torch.get_default_dtype())
        return cls(torch.zeros_like(deviations), deviations, centered=True, learnable=learnable)

    def deviations(self) -> Float[Tensor, "C D"]:
        """Return standard deviations, of equal trace where centred."""
        logs = self.log_deviations.to(torch.promote_types(self.log_deviations.dtype, torch.float32))
        return _equal_trace(logs) if self.centered else logs.exp()

    def extra_repr(self) -> str:
        """Show sizes and kind."""
        classes, dimensions = self.means.shape
        kind = "centered" if self.centered else "with means"
        return f"classes={classes}, label_dim={dimensions}, {kind}, learnable={self.learnable}"

    def constructor_arguments(self) -> dict[str, object]:
        """Return what rebuilds it: see ``predictive.save``."""
        return {
            "means": self.means.detach(),
            "deviations": self.deviations().detach().to(self.means.dtype),
            "centered": self.centered,
            "learnable": self.learnable,
        }


def _equal_trace(logs: Tensor) -> Tensor:
    """Return exp(logs) scaled to a squared length of D."""
    size = logs.shape[-1]
    return (logs - 0.5 * (2 * logs).logsumexp(-1, keepdim=True) + 0.5 * math.log(size)).exp()


def _check_sizes(num_classes: int, label_dim: int) -> None:
    checks.check_count("num_classes", num_classes)
    checks.check_count("label_dim", label_dim)


def _check_told_apart(targets: LabelMeasures) -> None:
    if len(targets.means) < 2:
        return
    both = torch.cat([targets.means, targets.deviations()], 1).detach().double()
    if float(torch.pdist(both).min()) < 1e-6:
        raise ValueError(
            "`means` and `deviations` should differ between classes, got two label measures that are "
            "the same: nothing would tell the classes apart."
        )
