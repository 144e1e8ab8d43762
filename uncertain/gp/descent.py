"""What `fit` minimises and how: priors added to an objective, L-BFGS, noise that is lowered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain import fit as training
from uncertain.fit.objective import default_objective
from uncertain.gp.plans import Phase

_TURN = 1e6

Priors = Mapping[str, Any]


def objective_of(model: nn.Module, priors: Priors | None) -> training.Objective:
    r"""Return a model's objective, plus minus the log density of its parameters a row.

    Args:
        model: To be fitted.
        priors: Of parameters, by name, over the numbers as the model keeps them (``log_noise``, not
            the noise); every entry has the same.

    Raises:
        TypeError: For a prior that is no distribution.
        ValueError: For a name that the model does not have.
    """
    own = training.term("objective", default_objective(model))
    if not priors:
        return own
    parameters = dict(model.named_parameters())
    for name, prior in priors.items():
        if name not in parameters:
            raise ValueError(
                f"`priors` should be of the model's parameters ({', '.join(parameters)}), got `{name}`."
            )
        if not isinstance(prior, Distribution):
            raise TypeError(
                f"`priors[{name!r}]` should be a Distribution, got {type(prior).__name__}."
            )

    def prior_a_row(batch: training.Batch) -> Tensor:
        logs = [prior.log_prob(parameters[name]).sum() for name, prior in priors.items()]
        return -torch.stack(logs).sum() / batch.total

    return own + training.term("prior", prior_a_row)


def annealed(hold: Callable[[float | None], None], phase: Phase) -> training.Callback:
    """Return a callback that lowers the noise geometrically along a phase."""
    first, last = phase.noise or (1.0, 1.0)

    def start(run: training.Run) -> training.Hooks:
        def batch(given: training.Batch) -> training.Batch:
            along = run.step / max(1, run.steps - 1)
            hold(first * (last / first) ** along)
            return given

        return training.Hooks(batch=batch, task=f"annealed({first:g}, {last:g})")

    return start


class LBFGSStep:
    """A step of up to 20 iterations of L-BFGS with a strong-Wolfe line search, for full batches.

    Args:
        objective: What is minimised.
    """

    def __init__(self, objective: training.Objective) -> None:
        self._objective = objective
        self._optimizer: torch.optim.LBFGS | None = None
        self._loaded: dict[str, Any] = {}

    def __call__(self, model: nn.Module, batch: training.Batch) -> dict[str, Tensor]:
        """Take one step and return the objective before it."""
        if self._optimizer is None:
            parameters = [p for p in model.parameters() if p.requires_grad]
            self._optimizer = torch.optim.LBFGS(
                parameters, max_iter=20, history_size=20, line_search_fn="strong_wolfe"
            )
            if self._loaded:
                self._optimizer.load_state_dict(self._loaded)
        optimizer, seen = self._optimizer, False

        def closure() -> float:
            nonlocal seen
            optimizer.zero_grad()
            try:
                value = torch.stack(list(self._objective(batch).values())).sum()
            except ArithmeticError:
                if not seen:
                    raise
                return _TURN  # too far along the line: it turns back
            seen = True
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        return {"loss": torch.as_tensor(optimizer.step(closure))}

    def state_dict(self) -> dict[str, Any]:
        """Return the directions so far, for a checkpoint."""
        return {} if self._optimizer is None else self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self._loaded = state
