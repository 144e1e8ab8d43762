"""Standardisation as a part of a model: what goes in and comes out is in the user's units.

``N`` rows, ``D`` inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.gp.deformation import SMALLEST_VARIANCE, keep_float64
from uncertain.gp.training_data import TrainingData, checked_inputs, checked_targets
from uncertain.predictive import GaussianMarginal

MEMBERS = 128
"""Members of a mixture where nothing is said."""


class Scaling(nn.Module):
    """Centre and spread of the inputs and of the target, as buffers in float64.

    Args:
        input_loc: (D,), the inputs' centres.
        input_scale: (D,), their spreads, above 0.
        loc: The target's centre.
        scale: The target's spread, above 0.

    Raises:
        ValueError: For shapes that differ, numbers that are not finite, or a spread not above 0.

    Example:
        >>> scaling = Scaling(torch.tensor([10.0]), torch.tensor([2.0]), 100.0, 5.0)
        >>> scaling.inputs(torch.tensor([[14.0]])).item()
        2.0
        >>> scaling.marginal(torch.ones(1), torch.ones(1), torch.zeros(()), torch.float32).loc
        tensor([105.])
    """

    input_loc: Tensor
    input_scale: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        input_loc: Float[Tensor, " D"],
        input_scale: Float[Tensor, " D"],
        loc: Float[Tensor, ""] | float,
        scale: Float[Tensor, ""] | float,
    ) -> None:
        super().__init__()
        checks.check_shape("input_loc", input_loc, ("D",), hint="one number an input")
        checks.check_shape("input_scale", input_scale, tuple(input_loc.shape))
        given = {"input_loc": input_loc, "input_scale": input_scale, "loc": loc, "scale": scale}
        for name, value in given.items():
            wide = torch.as_tensor(value).detach().to(input_loc.device, torch.float64, copy=True)
            checks.check_finite(name, wide)
            self.register_buffer(name, wide)
        checks.check_range("input_scale", self.input_scale, 0, open_low=True)
        checks.check_range("scale", self.scale, 0, open_low=True)

    @classmethod
    def of(cls, data: TrainingData) -> Scaling:
        """Return the scaling of training data.

        Args:
            data: Checked and standardised rows.
        """
        return cls(*data.input_scaling, *data.target_scaling)

    def inputs(self, x: Any, *, name: str = "x") -> Float[Tensor, "N D"]:
        """Return inputs standardised, in float64.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (N, D).
        """
        checked_inputs(x, len(self.input_loc), name=name)
        rows: Tensor = (x.to(torch.float64) - self.input_loc) / self.input_scale
        return rows

    def target(self, y: Any, count: int) -> Float[Tensor, " N"]:
        """Return targets standardised, in float64.

        Raises:
            TypeError, ValueError: For targets that are not one floating number a row.
        """
        return (checked_targets(y, count).to(self.loc) - self.loc) / self.scale

    def marginal(
        self,
        mean: Float[Tensor, "*batch"],
        variance: Float[Tensor, "*batch"],
        noise: Float[Tensor, "*any"],
        dtype: torch.dtype,
    ) -> GaussianMarginal:
        """Return predictions in the target's units.

        Args:
            mean: Of the standardised latent function.
            variance: Of it; clamped from below.
            noise: The variance of the noise, in units of the target's; it is broadcast.
            dtype: Of the inputs; at least float32 is returned.
        """
        wide = torch.promote_types(dtype, torch.float32)
        spread = self.scale * variance.clamp(min=SMALLEST_VARIANCE).sqrt()
        grain = (self.scale * noise.sqrt()).expand_as(mean)
        centre = self.loc + self.scale * mean
        return GaussianMarginal(centre.to(wide), spread.to(wide), grain.to(wide))


class Kept:
    """One thing that was made from a model's state, for as long as that does not change."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._found: Any = None

    def __getstate__(self) -> dict[str, None]:
        """Leave behind what was made: a copy's or a file's tensors are others."""
        return {"_key": None, "_found": None}

    def __call__(self, make: Callable[[], Any], tensors: Iterable[Tensor], *more: object) -> Any:
        """Return what ``make`` makes, or made before where nothing that it depends on has changed.

        Nothing is kept where gradients are wanted.

        Args:
            make: A function of the model's state alone, the same at every call.
            tensors: What it depends on.
            more: What else it depends on, to be compared.
        """
        if torch.is_grad_enabled():
            return make()
        key = (*more, *((id(t), t.device, t._version) for t in tensors))
        if self._key != key:
            with torch.inference_mode(False), torch.no_grad():
                self._key, self._found = key, make()
        return self._found


class ScaledModel(nn.Module):
    """A module whose parameters stay in float64 and which standardises what it is given.

    Args:
        scaling: Of inputs and target.
    """

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.scaling = scaling
        self.kept = Kept()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ScaledModel:
        moved: ScaledModel = super()._apply(keep_float64(fn), recurse)
        return moved


def row_weights(weight: Tensor | None, y: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return weights in the type of the targets: ones by default.

    Raises:
        ValueError: Where there is not one weight, at least 0, a row.
    """
    if weight is None:
        return torch.ones_like(y)
    checks.check_shape("weight", weight, (len(y),), hint="one weight a row")
    checks.check_range("weight", weight.detach(), 0)
    return weight.to(y)
