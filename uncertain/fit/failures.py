"""Numbers that stop being finite: found at once, named, and the last good state put back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from uncertain.fit.parallel import current_world, is_dtensor

_SHOWN = 10


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a parameter was not finite; the model holds the last good state.

    Attributes:
        step: Steps completed before the one that failed.
        term: What was not finite: a term of the objective, or the gradient of a parameter.
        index: (B,) the rows of the batch, as places in the data set.
        restored: The step whose state the model holds now.
        checkpoint: The last checkpoint, where one was written.

    Example:
        >>> print(NonFiniteError(7, "nll", torch.tensor([4, 2]), restored=7, detail="nll nan"))
        `nll` is not finite at step 8 (nll nan). Rows of the batch: 4, 2. The model holds the state after step 7.
    """

    def __init__(
        self,
        step: int,
        term: str,
        index: Tensor,
        *,
        restored: int,
        detail: str,
        checkpoint: Path | None = None,
    ) -> None:
        self.step, self.term, self.index = step, term, index
        self.restored, self.checkpoint = restored, checkpoint
        rows = ", ".join(map(str, index[:_SHOWN].tolist()))
        more = f", ... ({len(index)} rows)" if len(index) > _SHOWN else ""
        message = (
            f"`{term}` is not finite at step {step + 1} ({detail}). Rows of the batch: {rows}{more}."
            f" The model holds the state after step {restored}."
        )
        if checkpoint is not None:
            message += f" The last checkpoint is {checkpoint}."
        super().__init__(message)


class SpoiltError(ValueError):
    """A model's own check found numbers that are not finite; in ``fit`` it is a `NonFiniteError`.

    Attributes:
        term: What was not finite.

    Example:
        >>> str(SpoiltError("`x` should be finite, got NaN at row 3.", term="x"))
        '`x` should be finite, got NaN at row 3.'
    """

    def __init__(self, message: str, *, term: str) -> None:
        super().__init__(message)
        self.term = term


class LastGood:
    """Enough of a model's state to take back a step that went wrong.

    A gradient is checked before it is used, so usually only buffers (which the forward pass may have
    spoilt) have to be put back. An update can still overflow; for that a copy of the parameters is
    kept, refreshed every ``every`` steps once their loss and gradient were finite.

    Args:
        model: What is trained.
        every: 1 where a step updates parameters before it can be checked.
    """

    def __init__(self, model: nn.Module, every: int = 100) -> None:
        self._parameters = dict(model.named_parameters())
        self._buffers = dict(model.named_buffers())
        self._every = every
        self._kept: dict[str, Tensor] = {}
        self._kept_step = 0
        self._kept_buffers: dict[str, Tensor] = {}
        self._before = _clones(self._buffers)
        self._step = 0

    @torch.no_grad()
    def before(self, step: int) -> None:
        """Remember the buffers as they are before step ``step``."""
        self._step = step
        for name, kept in self._before.items():
            kept.copy_(self._buffers[name])
        if self._every == 1:
            self.keep(step)

    @torch.no_grad()
    def verified(self) -> None:
        """Say that the parameters gave a finite loss and gradient."""
        if self._every > 1 and self._step % self._every == 0:
            self.keep(self._step)

    def keep(self, step: int) -> None:
        """Copy the parameters."""
        if not self._kept:
            self._kept = _clones(self._parameters)
        else:
            for name, kept in self._kept.items():
                kept.copy_(self._parameters[name])
        self._kept_buffers = _clones(self._before)
        self._kept_step = step

    @torch.no_grad()
    def restore(self) -> int:
        """Put the last good state back, and return the step it belongs to."""
        reached, buffers = self._step, self._before
        if self._kept and (self._every == 1 or not_finite(self._parameters)):
            for name, kept in self._kept.items():
                self._parameters[name].copy_(kept)
            reached, buffers = self._kept_step, self._kept_buffers
        for name, kept in buffers.items():
            self._buffers[name].copy_(kept)
        return reached


def spoilt_parameter(error: ValueError) -> str:
    """Return what an error found not to be finite, as a parameter of a distribution, or nothing.

    torch validates the parameters of a distribution where it is made, so numbers that stop being
    finite inside a model come out as a ``ValueError`` about a constraint. The value it is about is
    in the frame that raised; a finite one (a negative scale, say) is the model's own mistake.
    """
    if isinstance(error, SpoiltError):
        return error.term
    found = re.match(r"Expected parameter (\w+) .*? of distribution (\w+)", str(error))
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    value = trace.tb_frame.f_locals.get("value") if trace is not None else None
    if found is None or not isinstance(value, Tensor) or not not_finite({"value": value}):
        return ""
    return f"{found[1]} of {found[2]}"


def not_finite(tensors: Mapping[str, Tensor | None]) -> list[str]:
    """Return the names of the tensors that hold NaN or infinity."""
    return [
        name
        for name, tensor in tensors.items()
        if tensor is not None
        and (tensor.is_floating_point() or tensor.is_complex())
        and not bool(torch.isfinite(_dense(tensor)).all())
    ]


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the 2-norm of all gradients together: finite only if every one of them is."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.nn.utils.get_total_norm([_dense(local(g)) for g in gradients])
    if any(is_dtensor(gradient) for gradient in gradients):
        return current_world().sum(norm.square()).sqrt()  # each rank has its own rows of each
    return norm


def local(tensor: Tensor) -> Tensor:
    """Return the part of a sharded tensor that this rank holds; any other tensor as it is."""
    part: Tensor = tensor.to_local() if is_dtensor(tensor) else tensor  # type: ignore[attr-defined]
    return part


def _dense(tensor: Tensor) -> Tensor:
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def _clones(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
