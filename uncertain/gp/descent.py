"""What `fit` minimises and how: priors added to an objective, L-BFGS, noise that is lowered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from uncertain import fit as training
from uncertain.fit.objective import default_objective
from uncertain.gp.limits import Limit
from uncertain.gp.plans import Phase

_TURN = 1e6
_FLOOR = 0.1
_PARTS = "base_dist", "transforms", "mixture_distribution", "component_distribution"

Priors = Mapping[str, Any]


def objective_of(model: nn.Module, priors: Priors | None) -> training.Objective:
    r"""Return a model's objective, plus minus the log density of its parameters a row.

    Args:
        model: To be fitted.
        priors: Of parameters, by name, over the numbers as the model keeps them (``log_noise``, not
            the noise); every entry has the same.

    Raises:
        TypeError: For a prior that is no distribution.
        ValueError: For a name that the model does not have, or a prior of another shape.
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
        _check_entries(name, prior, parameters[name])

    def prior_a_row(batch: training.Batch) -> Tensor:
        logs = [prior.log_prob(parameters[name]).sum() for name, prior in priors.items()]
        return -torch.stack(logs).sum() / batch.total

    return own + training.term("prior", prior_a_row)


def _check_entries(name: str, prior: Distribution, parameter: Tensor) -> None:
    """Refuse a prior whose numbers do not fit the parameter's: it would count some of them twice."""
    shape, wanted = tuple(prior.batch_shape + prior.event_shape), tuple(parameter.shape)
    fits = len(shape) <= len(wanted) and all(
        n in (1, m) for n, m in zip(shape[::-1], wanted[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"`priors[{name!r}]` should have one entry, or those of the parameter, {wanted}, got shape "
            f"{shape}."
        )


def named_priors(priors: Priors | None) -> training.Callback:
    """Return a callback that ties checkpoints to priors: their names, kinds and parameters.

    Args:
        priors: As for :func:`objective_of`.
    """
    told = ", ".join(f"{name}: {_told(prior)}" for name, prior in sorted((priors or {}).items()))
    hooks = training.Hooks(task=f"priors({told})" if told else "")
    return lambda _: hooks


def _told(value: Any) -> str:
    """Return what a distribution is, down to its numbers, as text."""
    if isinstance(value, Tensor):
        return str(value.tolist())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_told, value))}]"
    if isinstance(value, Distribution):
        names = [*value.arg_constraints, *(part for part in _PARTS if hasattr(value, part))]
        inner = {name: getattr(value, name) for name in names}
    elif isinstance(value, Transform):
        inner = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    else:
        return repr(value)
    return f"{type(value).__name__}({', '.join(f'{k}={_told(v)}' for k, v in inner.items())})"


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


def falling(phase: Phase, limit: Limit) -> training.Callback:
    """Return a callback that lowers the rate to a tenth by the phase's last step, or the last second.

    Args:
        phase: Of Adam.
        limit: Begun with the phase.
    """

    def half_cosine(step: int) -> float:
        along = max(step / phase.steps, limit.done)
        return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * along))

    return training.schedule(half_cosine)


class _OutOfTimeError(Exception):
    """Raised inside an iteration, which is then undone."""


class LBFGSStep:
    """A step of up to 20 iterations of L-BFGS with a strong-Wolfe line search, for full batches.

    Args:
        objective: What is minimised.
        limit: Where it ends, a step ends early, at the best parameters it has met.
    """

    def __init__(self, objective: training.Objective, limit: Limit) -> None:
        self._objective, self._limit = objective, limit
        self._optimizer: torch.optim.LBFGS | None = None
        self._loaded: dict[str, Any] = {}

    def __call__(self, model: nn.Module, batch: training.Batch) -> dict[str, Tensor]:
        """Take one step and return the objective before it."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        if self._optimizer is None:
            self._optimizer = torch.optim.LBFGS(
                parameters, max_iter=20, history_size=20, line_search_fn="strong_wolfe"
            )
            if self._loaded:
                self._optimizer.load_state_dict(self._loaded)
        optimizer, values = self._optimizer, list[float]()
        best = [p.detach().clone() for p in parameters]

        def closure() -> float:
            if values and self._limit.over:
                raise _OutOfTimeError
            optimizer.zero_grad()
            try:
                value = torch.stack(list(self._objective(batch).values())).sum()
            except ArithmeticError:
                if not values:
                    raise
                return _TURN  # too far along the line: it turns back
            values.append(float(value.detach()))
            if values[-1] <= min(values):
                for kept, parameter in zip(best, parameters, strict=True):
                    kept.copy_(parameter.detach())
            value.backward()  # type: ignore[no-untyped-call]
            return values[-1]

        try:
            return {"loss": torch.as_tensor(optimizer.step(closure))}
        except _OutOfTimeError:
            self._optimizer, self._loaded = None, {}  # its directions stop half way
            with torch.no_grad():
                for kept, parameter in zip(best, parameters, strict=True):
                    parameter.copy_(kept)
            return {"loss": torch.tensor(values[0], dtype=torch.float64)}

    def state_dict(self) -> dict[str, Any]:
        """Return the directions so far, for a checkpoint."""
        return {} if self._optimizer is None else self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self._loaded = state
